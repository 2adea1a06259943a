//! A board under test: devices, a witness on every line, and random steps to take.

mod virtio;

use reprise_core::backend::{BackendKind, ChardevId, NetdevId};
use reprise_core::board::{Board, DeviceId, LineId, OutputPin, Region, Sink, Space};
use reprise_core::clock::Tick;
use reprise_core::device::{Context, Device, DeviceInput, KeyEvent, PointerEvent, Width};
use reprise_core::disk::{CLUSTER_SIZE, DiskGeometry, DiskState};
use reprise_core::door::{HostInput, Room};
use reprise_core::output::{Output, PowerEvent};
use reprise_core::property::{DeviceSpec, Properties, PropertyKind};
use reprise_core::request::Question;
use reprise_core::state::{StateError, decode, encode};
use reprise_frontend::pci;
use std::cell::Cell;
use std::rc::Rc;

/// The device that listens to every line.
pub(crate) const WITNESS: &str = "witness";
const RAM: u64 = 1 << 20;
const CPUS: usize = 2;
/// The local APIC's register that ends an interrupt.
const APIC_EOI: u64 = 0xb0;
const CHARDEV: ChardevId = ChardevId(0);
const NETDEV: NetdevId = NetdevId(0);
/// Each disk has so many bytes.
const DISK: u64 = 4 << 20;
/// Most timers that may fire at one tick: more is a timer that arms itself for now.
const TIMERS_AT_ONCE: usize = 256;
/// Most ticks with timers that one step goes through.
const STOPS: usize = 64;

/// Most ticks that a step lets pass, eleven days: a run does not reach the end of time.
const FAR: Tick = 1_000_000_000_000_000;

/// A small generator of random numbers (splitmix64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0xd134_2543_de82_ef95))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// A value that a register may take badly: any, a small one, an index, a command, a power of two, all ones, or an
    /// address in RAM of either byte order.
    pub(crate) fn value(&mut self) -> u64 {
        match self.below(8) {
            0 => self.next(),
            1 => self.below(256),
            2 => self.below(16),
            3 => 0xd0 + self.below(0x30),
            4 => 1 << self.below(64),
            5 => u64::MAX >> self.below(64),
            6 => self.below(RAM) & !7,
            _ => u64::from((self.below(RAM) as u32).swap_bytes()),
        }
    }
}

/// One thing that happens to the board.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Read {
        space: Space,
        address: u64,
        size: usize,
    },
    Write {
        space: Space,
        address: u64,
        size: usize,
        value: u64,
    },
    Line {
        index: usize,
        level: bool,
    },
    /// A CPU writes to memory.
    Memory {
        address: u64,
        bytes: Vec<u8>,
    },
    /// Several steps, one after the other.
    Sequence(Vec<Step>),
    Bytes(Vec<u8>),
    Connected(bool),
    Frame(Vec<u8>),
    Key(KeyEvent),
    Pointer(PointerEvent),
    PowerButton,
    /// A CPU takes an interrupt, or ends one: the interrupt controllers hear of both.
    TakeInterrupt {
        cpu: usize,
    },
    EndInterrupt {
        cpu: usize,
    },
    Time(Tick),
    NextTimer,
    Reset,
}

/// All that could be seen of a step.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    value: u64,
    outputs: Vec<Output>,
    power: Option<PowerEvent>,
    levels: Vec<bool>,
    room: (usize, bool),
    deadline: Option<Tick>,
    now: Tick,
}

/// A board with devices under test.
pub(crate) struct Rig {
    pub(crate) board: Board,
    pins: Vec<OutputPin>,
    line_changes: Rc<Cell<u64>>,
    /// What was mapped when someone last looked.
    regions: Vec<(DeviceId, Region)>,
    choices: u64,
}

impl Rig {
    /// A board with `specs`, and RAM that is filled from `seed`.
    pub(crate) fn new(specs: &[&'static DeviceSpec], seed: u64) -> Self {
        let mut board = Board::new(RAM, CPUS).unwrap();
        fill_memory(&mut board, seed);
        for spec in specs {
            attach_bus(&mut board, spec);
            attach(&mut board, spec, specs.len() == 1, seed);
        }
        let line_changes = Rc::new(Cell::new(0));
        let witness = board.add_device(WITNESS, Box::new(Witness { changes: 0, total: line_changes.clone() }));
        for (index, line) in lines().enumerate() {
            board.connect_sink(line, Sink::Device(witness, index as u32));
        }
        let pins = lines().map(|line| board.connect_output(line)).collect();
        Self { board, pins, line_changes, regions: Vec::new(), choices: 0 }
    }

    /// Lets interrupts through to the CPUs, as firmware does.
    pub(crate) fn enable_interrupts(&mut self) {
        (0..CPUS).for_each(|cpu| self.board.set_virtual_wire(cpu));
    }

    /// How often any line has changed, restored or not.
    pub(crate) fn line_changes(&self) -> u64 {
        self.line_changes.get()
    }

    /// Guest memory.
    pub(crate) fn memory(&self) -> Vec<u8> {
        self.board.ram.slice(0, RAM as usize).unwrap().to_vec()
    }

    /// What was written to every disk.
    pub(crate) fn disks(&self) -> Vec<DiskState> {
        self.board.disks().map(|(_, disk)| disk.save()).collect()
    }

    /// Makes guest memory, and what was written to disks, that of another rig.
    pub(crate) fn copy_memory(&mut self, other: &Self) {
        assert!(self.board.ram.write(0, &other.memory()));
        for (id, disk) in other.board.disks() {
            self.board.disk_mut(id).load(&disk.save());
        }
    }

    /// Lets go of all lines that steps have driven.
    pub(crate) fn lower_lines(&mut self) {
        for &pin in &self.pins {
            self.board.set_line(pin, false);
        }
    }

    /// Any step.
    pub(crate) fn choose(&mut self, random: &mut Random) -> Step {
        match random.below(74) {
            64..71 => self.choose_virtio(random),
            71 => Step::Connected(random.below(2) != 0),
            72..74 => Step::Frame((0..random.below(80)).map(|byte| byte as u8).collect()),
            0..20 => self.choose_read(random),
            20..44 => self.choose_write(random),
            44..48 => Step::Line { index: random.below(self.pins.len() as u64) as usize, level: random.below(2) != 0 },
            48..50 => Step::Bytes((0..random.below(20)).map(|byte| byte as u8).collect()),
            50..52 => Step::Key(KeyEvent { code: random.below(260) as u16, down: random.below(2) != 0 }),
            52..54 => {
                let [dx, dy, wheel, buttons] = [0; 4].map(|_: u64| random.value());
                Step::Pointer(PointerEvent { dx: dx as i16, dy: dy as i16, wheel: wheel as i8, buttons: buttons as u8 })
            }
            54 if random.below(8) == 0 => Step::Reset,
            54 => Step::PowerButton,
            55 => Step::TakeInterrupt { cpu: random.below(CPUS as u64) as usize },
            56 => Step::EndInterrupt { cpu: random.below(CPUS as u64) as usize },
            57..59 => Step::NextTimer,
            _ => {
                let scale = 10u64.pow(random.below(10) as u32);
                Step::Time(random.below(3 * scale))
            }
        }
    }

    /// Mostly accesses.
    pub(crate) fn choose_hostile(&mut self, random: &mut Random) -> Step {
        match random.below(8) {
            0 => self.choose(random),
            1 => self.choose_read(random),
            _ => self.choose_write(random),
        }
    }

    /// What a driver does, if there is anything that it can drive.
    fn choose_virtio(&mut self, random: &mut Random) -> Step {
        if self.regions.is_empty() {
            self.regions = self.board.save().regions;
        }
        virtio::choose(&self.board, &self.regions, random).unwrap_or(Step::NextTimer)
    }

    fn choose_read(&mut self, random: &mut Random) -> Step {
        let (space, address) = self.choose_address(random);
        Step::Read { space, address, size: 1 + random.below(8) as usize }
    }

    fn choose_write(&mut self, random: &mut Random) -> Step {
        let (space, address) = self.choose_address(random);
        let size = if random.below(4) == 0 { 1 + random.below(8) } else { 1 << random.below(3) };
        Step::Write { space, address, size: size as usize, value: random.value() }
    }

    /// An address in or near something that is mapped, more often near its start than not.
    pub(crate) fn choose_address(&mut self, random: &mut Random) -> (Space, u64) {
        if self.choices.is_multiple_of(64) {
            self.regions = self.board.save().regions;
        }
        self.choices += 1;
        let Some((_, region)) = self.regions.get(random.below(self.regions.len().max(1) as u64) as usize) else {
            return (Space::Port, random.below(0x1_0000));
        };
        let length = region.range.end - region.range.start;
        let offset = match random.below(8) {
            0..4 => random.below(length.min(64)),
            4..7 => random.below(length),
            _ => return (region.space, region.range.start.wrapping_add(random.below(length + 16)).wrapping_sub(8)),
        };
        let aligned = if random.below(2) == 0 { offset & !3 } else { offset };
        (region.space, region.range.start + aligned)
    }

    /// Which device decodes an address.
    pub(crate) fn owner(&self, space: Space, address: u64) -> Option<&str> {
        let decodes = |(_, region): &&(DeviceId, Region)| region.space == space && region.range.contains(&address);
        let (device, _) = self.regions.iter().find(decodes)?;
        self.board.device_names().nth(device.0 as usize)
    }

    /// Takes a step.
    pub(crate) fn take(&mut self, step: &Step) -> Seen {
        let mut value = 0;
        match *step {
            Step::Read { space, address, size } => value = self.board.read(space, address, size),
            Step::Write { space, address, size, value } => self.board.write(space, address, size, value),
            Step::Line { index, level } => self.board.set_line(self.pins[index], level),
            Step::Memory { address, ref bytes } => self.board.dma_write(address, bytes),
            Step::Sequence(ref steps) => return self.take_all(steps),
            Step::Connected(connected) => self.board.chardev_connected(CHARDEV, connected),
            Step::Frame(ref frame) => {
                if Room::netdev(&self.board, NETDEV) {
                    self.board.frame_input(NETDEV, frame);
                }
            }
            Step::Bytes(ref bytes) => self.board.chardev_input(CHARDEV, bytes),
            Step::Key(key) => self.board.person_input(DeviceInput::Key(key)),
            Step::Pointer(event) => self.board.person_input(DeviceInput::Pointer(event)),
            Step::PowerButton => self.board.person_input(DeviceInput::PowerButton),
            Step::TakeInterrupt { cpu } => {
                value = self.board.acknowledge_interrupt(cpu).map_or(u64::MAX, u64::from);
            }
            Step::EndInterrupt { cpu } => self.board.apic_write(cpu, APIC_EOI, 0),
            Step::Time(ticks) => self.pass(self.board.now.saturating_add(ticks)),
            Step::NextTimer => {
                let deadline = self.board.next_event().unwrap_or(self.board.now);
                self.pass(deadline.min(self.board.now.saturating_add(FAR)));
            }
            Step::Reset => {
                self.board.reset_devices();
                self.enable_interrupts();
            }
        }
        Seen {
            value,
            outputs: std::mem::take(&mut self.board.outputs),
            power: self.board.take_power(),
            levels: lines().map(|line| self.board.line_level(line)).collect(),
            room: (Room::chardev(&self.board, CHARDEV), Room::netdev(&self.board, NETDEV)),
            deadline: self.board.next_event(),
            now: self.board.now,
        }
    }

    /// Takes several steps; what is seen after the last, with all outputs.
    fn take_all(&mut self, steps: &[Step]) -> Seen {
        let mut outputs = Vec::new();
        for step in steps {
            outputs.extend(self.take(step).outputs);
        }
        Seen { outputs, ..self.take(&Step::Time(0)) }
    }

    /// Lets time pass as the run loop does: it stops at each deadline on the way, at most so often.
    fn pass(&mut self, target: Tick) {
        for _ in 0..STOPS {
            match self.board.next_event() {
                Some(deadline) if deadline <= target => {
                    self.board.now = self.board.now.max(deadline);
                    let fired = (0..TIMERS_AT_ONCE).take_while(|_| self.board.fire_due_timer()).count();
                    assert!(fired < TIMERS_AT_ONCE, "a timer arms itself for tick {}, which is now", self.board.now);
                    self.board.answer_requests(&mut answer);
                }
                _ => {
                    self.board.now = self.board.now.max(target);
                    return;
                }
            }
        }
    }
}

/// Every line of a board.
fn lines() -> impl Iterator<Item = LineId> {
    (0..24).map(LineId::gsi).chain([LineId::INTR, LineId::NMI, LineId::PIT, LineId::RTC])
}

/// Random bytes everywhere in RAM, but for the video window, where none answers.
fn fill_memory(board: &mut Board, seed: u64) {
    let mut random = Random::new(seed ^ 0x5eed);
    for address in (0..RAM).step_by(4096) {
        let page: Vec<u8> = (0..4096 / 8).flat_map(|_| random.value().to_le_bytes()).collect();
        board.dma_write(address, &page);
    }
}

/// Puts the root complex on the board for a device that needs it and is alone.
fn attach_bus(board: &mut Board, spec: &'static DeviceSpec) {
    let root = &pci::root::SPEC;
    if spec.user_creatable && spec.bus == pci::BUS && !board.device_names().any(|name| name == root.name) {
        attach(board, root, true, 0);
    }
}

/// Puts a device on the board; one that is alone, or the only one of its kind, serves the character device.
/// Packed rings are on offer for every other seed.
fn attach(board: &mut Board, spec: &'static DeviceSpec, alone: bool, seed: u64) {
    let serves = alone || spec.name == "isa-serial";
    let mut given = Vec::new();
    for property in spec.properties {
        if property.name == "packed" && seed.is_multiple_of(2) {
            given.push(("packed".into(), "on".into()));
        }
        let PropertyKind::Backend(kind) = property.kind else { continue };
        let number = match kind {
            BackendKind::Chardev => CHARDEV.0 + u16::from(!serves),
            BackendKind::Disk => board.add_disk(DiskGeometry { size: DISK, read_only: false }).0,
            BackendKind::Netdev => NETDEV.0,
            BackendKind::Rng => 0,
        };
        given.push((property.name.to_owned(), number.to_string()));
    }
    let properties = Properties::new(spec, &given).unwrap();
    (spec.attach)(board, &properties).unwrap_or_else(|error| panic!("{}: {error}", spec.name));
}

/// Who stands at the door: the same question always has the same answer, and now and then the host fails.
fn answer(question: &Question) -> HostInput {
    match *question {
        Question::Random { rng, length } => HostInput::Random { rng, bytes: (0..length).map(|n| n as u8).collect() },
        Question::Cluster { disk, cluster } if cluster % 8 == 7 => HostInput::ClusterFailed { disk, cluster },
        Question::Cluster { disk, cluster } => {
            HostInput::Cluster { disk, cluster, data: vec![cluster as u8; CLUSTER_SIZE as usize] }
        }
    }
}

/// Counts changes of lines: once as state, and once for the test.
struct Witness {
    changes: u64,
    total: Rc<Cell<u64>>,
}

impl Device for Witness {
    fn read(&mut self, _: u32, _: u64, _: Width, _: &mut Context<'_>) -> u64 {
        0
    }

    fn write(&mut self, _: u32, _: u64, _: Width, _: u64, _: &mut Context<'_>) {}

    fn peek(&self, _: u32, _: u64, _: Width, _: Tick) -> u64 {
        0
    }

    fn timer(&mut self, _: u32, _: &mut Context<'_>) {}

    fn line(&mut self, pin: u32, level: bool, _: &mut Context<'_>) {
        self.total.set(self.total.get() + 1);
        self.changes = self.changes.wrapping_mul(31).wrapping_add(u64::from(pin) << 1 | u64::from(level));
    }

    fn input(&mut self, _: DeviceInput<'_>, _: &mut Context<'_>) {}

    fn input_room(&self, _port: u32) -> usize {
        0
    }

    fn reset(&mut self, _: &mut Context<'_>) {}

    fn save(&self) -> Vec<u8> {
        encode(&self.changes)
    }

    fn load(&mut self, state: &[u8]) -> Result<(), StateError> {
        self.changes = decode(WITNESS, state)?;
        Ok(())
    }
}
