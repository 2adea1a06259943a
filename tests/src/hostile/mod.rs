//! Hostile guests: machines whose code, tables and registers are drawn from a seed.
//!
//! The whole board of the PC runs bytes that nobody wrote, in every mode of the processor: [`code`] makes the bytes,
//! [`start`] the tables and the registers, [`devices`] the storms of interrupts. What such a guest does has no meaning; what is tested is that it always does
//! the same, in bounded time, however the run is cut and whatever the caches hold.

pub mod code;
pub mod devices;
pub mod start;

use reprise::engine::MakeEngine;
use reprise_core::backend::ChardevId;
use reprise_core::board::Board;
use reprise_core::clock::Tick;
use reprise_core::cpu::Model;
use reprise_core::cpu::model::MODELS;
use reprise_core::device::{KeyEvent, PointerEvent};
use reprise_core::door::{HostInput, Script};
use reprise_core::machine::{BootImage, Machine};
use reprise_frontend::pc::{self, PcConfig};
use reprise_frontend::{DEVICES, isa};
use reprise_silicon::generate::Random;
use start::Start;

/// RAM of the machines but for those that have some above 4 GiB.
const RAM: u64 = 4 << 20;
/// RAM of the others: the last 16 MiB lie above 4 GiB.
const MUCH_RAM: u64 = 0xb000_0000 + (16 << 20);

/// A guest, its machine and what the host sends it: a function of the seed.
pub struct Hostile {
    ram: u64,
    model: &'static Model,
    cpus: Vec<Start>,
    memory: Vec<(u64, Vec<u8>)>,
    devices: Vec<devices::Write>,
    inputs: Vec<(Tick, HostInput)>,
    no_reboot: bool,
    /// The tick at which the run ends, if the guest does not end it.
    pub ticks: Tick,
}

impl Hostile {
    /// The guest of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let ram = if random.percent(5) { MUCH_RAM } else { RAM };
        let model = &MODELS[random.below(MODELS.len() as u64) as usize];
        let count = if random.percent(60) { 1 } else { 2 + random.below(3) };
        let mode = random.pick(&start::Mode::ALL);
        let cpus: Vec<_> = (0..count)
            .map(|_| {
                let mode = if random.percent(70) { mode } else { random.pick(&start::Mode::ALL) };
                Start::new(&mut random, mode)
            })
            .collect();
        let memory = start::memory(&mut random, &cpus);
        let ticks = if random.percent(20) { 150_000 } else { 30_000 };
        let inputs = inputs(&mut random, ticks);
        let devices = devices::writes(&mut random, count);
        Self { ram, model, cpus, memory, devices, inputs, no_reboot: random.percent(85), ticks }
    }

    /// How the guest starts, for people.
    #[must_use]
    pub fn describe(&self) -> String {
        let modes: Vec<_> = self.cpus.iter().map(|cpu| format!("{:?} at level {}", cpu.mode, cpu.level)).collect();
        format!("{}, {} MiB, {} ticks: {}", self.model.name, self.ram >> 20, self.ticks, modes.join(", "))
    }

    /// The machine at power-on, on `engine`.
    ///
    /// # Panics
    ///
    /// If the host has no memory for it.
    #[must_use]
    pub fn machine(&self, engine: MakeEngine) -> Machine {
        let mut board = Board::new(self.ram, self.cpus.len()).expect("the host has room for the RAM");
        let serial = [Some(ChardevId(0)), Some(ChardevId(1)), None, None];
        let pc = pc::build(&mut board, &PcConfig { serial, rtc_base: 1_000_000_000 }).expect("the board can be built");
        for spec in [&isa::isa_debug_exit::SPEC, &isa::pvpanic::SPEC] {
            assert!(DEVICES.iter().any(|known| known.name == spec.name));
            let none = reprise_core::property::Properties::new(spec, &[]).expect("nothing is given");
            (spec.attach)(&mut board, &none).expect("the ports are free");
        }
        let mut memory = pc.firmware_memory(&board);
        memory.extend(self.memory.iter().cloned());
        let mut machine = Machine::new(board, self.model, engine(self.model));
        machine.set_no_reboot(self.no_reboot);
        machine.set_boot(BootImage { memory, cpu: self.cpus[0].state(0, self.model) });
        for (index, cpu) in self.cpus.iter().enumerate().skip(1) {
            machine.cpus[index] = cpu.state(index as u32, self.model);
        }
        for write in &self.devices {
            write.perform(&mut machine.board);
        }
        machine
    }

    /// What the host sends, but for what it sent before `tick`.
    #[must_use]
    pub fn door(&self, tick: Tick) -> Script {
        Script::new(self.inputs.iter().filter(|(due, _)| *due > tick).cloned().collect())
    }
}

/// Keys, pointer movements, bytes, and rarely the buttons of the case.
fn inputs(random: &mut Random, ticks: Tick) -> Vec<(Tick, HostInput)> {
    let count = random.below(12);
    (0..count)
        .map(|_| {
            let value = random.next();
            let input = match random.below(20) {
                0..=6 => HostInput::Key(KeyEvent { code: (value % 256) as u16, down: value & 256 != 0 }),
                7..=12 => HostInput::Pointer(PointerEvent {
                    dx: value as i16,
                    dy: (value >> 16) as i16,
                    wheel: (value >> 32) as i8,
                    buttons: (value >> 40) as u8,
                }),
                13..=17 => HostInput::Chardev {
                    chardev: ChardevId((value & 1) as u16),
                    bytes: value.to_le_bytes()[..1 + (value >> 60) as usize % 8].to_vec(),
                },
                18 => HostInput::PowerButton,
                _ => HostInput::Reset,
            };
            (1 + random.below(ticks), input)
        })
        .collect()
}
