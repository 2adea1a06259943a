//! Machines under test: a configuration, a script at the door, and how the run ended.

use reprise::cli::values::DEFAULT_RTC_BASE;
use reprise::engine::EngineKind;
use reprise::machine::{self, BootConfig, DeviceConfig, MachineConfig};
use reprise_core::backend::ChardevId;
use reprise_core::clock::Tick;
use reprise_core::cpu::Model;
use reprise_core::door::{HostInput, Script};
use reprise_core::machine::{End, Fingerprint, Machine, MachineState};
use reprise_silicon::generate::Random;
use std::path::PathBuf;

/// The character device of the first serial port.
pub const CONSOLE: ChardevId = ChardevId(0);

/// Slices of a guest that sleeps are below two to this many ticks.
const IDLE_BITS: u64 = 20;

/// How a run ended: equal ends are equal runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Why it came back.
    pub end: End,
    /// Instructions retired by all vCPUs.
    pub icount: u64,
    /// The tick.
    pub tick: Tick,
    /// All guest-visible state.
    pub fingerprint: Fingerprint,
    /// What the first serial port sent.
    pub console: String,
}

/// The embedded guest in a machine with that many vCPUs, which a reset ends.
#[must_use]
pub fn embedded(cpus: u32) -> MachineConfig {
    MachineConfig {
        machine: machine::MACHINES[0].0.into(),
        cpu: Model::DEFAULT.into(),
        cpus,
        ram: 128 << 20,
        serial: [Some(CONSOLE), None, None, None],
        disks: Vec::new(),
        rtc_base: DEFAULT_RTC_BASE,
        devices: Vec::new(),
        boot: BootConfig::default(),
        no_reboot: true,
    }
}

/// That kernel with that command line, on one vCPU, and with `isa-debug-exit` and `pvpanic`.
#[must_use]
pub fn kernel(file: impl Into<PathBuf>, command_line: &str) -> MachineConfig {
    let device = |name: &str| DeviceConfig { name: name.into(), id: None, properties: Vec::new() };
    let boot = BootConfig { kernel: Some(file.into()), initrd: None, command_line: command_line.into() };
    MachineConfig { devices: vec![device("isa-debug-exit"), device("pvpanic")], boot, ..embedded(1) }
}

/// The machine that `config` describes, at power-on.
///
/// # Panics
///
/// If it cannot be built.
#[must_use]
pub fn power_on(config: &MachineConfig, engine: EngineKind) -> Machine {
    machine::build(config, engine.make()).unwrap_or_else(|error| panic!("{config:?}: {error:#}"))
}

/// A machine and who stands at its door.
pub struct Run {
    /// The machine.
    pub machine: Machine,
    /// Its inputs to come and its output so far.
    pub door: Script,
}

impl Run {
    /// The machine that `config` describes, at power-on, with `inputs` to come.
    #[must_use]
    pub fn new(config: &MachineConfig, inputs: &[(Tick, HostInput)]) -> Self {
        Self::on(EngineKind::Interp, config, inputs)
    }

    /// The same on another engine.
    #[must_use]
    pub fn on(engine: EngineKind, config: &MachineConfig, inputs: &[(Tick, HostInput)]) -> Self {
        Self { machine: power_on(config, engine), door: Script::new(inputs.to_vec()) }
    }

    /// Runs on until the machine ends, or to the tick `until`.
    pub fn go(&mut self, until: Tick) -> End {
        self.machine.run(&mut self.door, until)
    }

    /// What it is like now, after `end`.
    #[must_use]
    pub fn ending(&mut self, end: End) -> Ending {
        Ending {
            end,
            icount: self.machine.icount(),
            tick: self.machine.now(),
            fingerprint: self.machine.fingerprint(),
            console: self.console(),
        }
    }

    /// What the first serial port sent so far.
    #[must_use]
    pub fn console(&self) -> String {
        String::from_utf8_lossy(self.door.output_of(CONSOLE)).into_owned()
    }

    /// Types `text` from now on, a byte every `pause` ticks; input that was to come is forgotten.
    pub fn type_text(&mut self, text: &str, pause: Tick) {
        let ticks = (1..).map(|n| self.machine.now() + n * pause);
        let key = |(tick, byte)| (tick, HostInput::Chardev { chardev: CONSOLE, bytes: vec![byte] });
        let typed = Script::new(ticks.zip(text.bytes()).map(key).collect());
        let before = std::mem::replace(&mut self.door, typed);
        self.door.bytes = before.bytes;
    }

    /// Runs on until the machine ends, or to the tick `until`, and tells what it is like then.
    #[must_use]
    pub fn finish(mut self, until: Tick) -> Ending {
        let end = self.go(until);
        self.ending(end)
    }

    /// Runs on in slices of odd length, of less than two to the `longest` ticks while the guest is busy, with `between`
    /// called after each, until the machine ends.
    pub fn go_in_slices(
        &mut self,
        random: &mut Random,
        longest: u64,
        between: &mut dyn FnMut(&mut Self, &mut Random),
    ) -> End {
        let mut bits = longest;
        loop {
            let (tick, icount) = (self.machine.now(), self.machine.icount());
            let bound = 1 << (1 + random.below(bits));
            let end = self.go(tick + (random.below(bound) | 1));
            if end != End::Until {
                return end;
            }
            let busy = self.machine.icount() - icount > (self.machine.now() - tick) / 4;
            bits = if busy { longest } else { IDLE_BITS };
            between(self, random);
        }
    }

    /// Moves all state into a machine of `config` that was just switched on, on `engine`, and goes on there.
    ///
    /// # Panics
    ///
    /// If the state does not arrive as it was.
    pub fn move_to_another(
        &mut self,
        engine: EngineKind,
        config: &MachineConfig,
        through: fn(MachineState) -> MachineState,
    ) {
        let state = through(self.machine.save());
        let before = self.machine.fingerprint();
        self.machine = power_on(config, engine);
        self.machine.load(&state).expect("the machine is alike");
        assert_eq!(self.machine.fingerprint(), before, "at tick {}", self.machine.now());
    }
}
