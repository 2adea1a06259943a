//! The board: RAM, buses, devices, interrupt lines and local APICs, and the accesses between them.
//!
//! During a call into a device its slot on the board is empty, so a device can drive lines and master the bus while the
//! board stays whole around it. A device that reaches itself that way meets what the bus gives for an address that
//! nobody decodes. Calls nest only as deep as the wiring does.

mod access;
mod backends;
mod bus;
mod lines;
mod lookout;
mod snapshot;

pub use bus::{Bus, PlugError};
pub use lines::{LineId, OutputPin, Sink};
pub(crate) use lookout::{Changes, Looked, Lookout, Mapped};
pub(crate) use snapshot::BoardSnapshot;
pub use snapshot::BoardState;

use crate::apic::LocalApic;
use crate::clock::Tick;
use crate::device::{Context, Device, DeviceInput, Width};
use crate::disk::Disk;
use crate::memory::{AddressMap, MapError, Ram, RamError};
use crate::output::{Output, PowerEvent};
use crate::request::Requests;
use crate::scheduler::{Owner, Scheduler, Timer};
use backends::Connections;
use lines::Line;
use serde::{Deserialize, Serialize};
use std::any::Any;
use std::cell::OnceCell;
use std::ops::Range;
use std::sync::Arc;

/// End of the address space below 4 GiB that RAM may take up; PCI Express configuration space follows (as on q35).
pub const LOW_RAM_END: u64 = 0xb000_0000;
/// Where RAM goes on that does not fit below [`LOW_RAM_END`].
pub const HIGH_RAM_START: u64 = 1 << 32;
/// The window of the video adapter, in which no RAM answers.
pub const VGA_WINDOW: Range<u64> = 0xa_0000..0xc_0000;

/// A device's number on the board.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeviceId(pub u32);

/// An address space of the board.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Space {
    /// Physical memory addresses.
    Memory,
    /// I/O ports, 0 to 0xffff.
    Port,
    /// PCI configuration space; addresses are laid out as in ECAM: bus, device, function, register.
    PciConfig,
}

/// A range of addresses that a device decodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// In which address space.
    pub space: Space,
    /// Which addresses.
    pub range: Range<u64>,
    /// The device's number for it.
    pub number: u32,
    /// Narrowest access in bytes that reaches the device: a narrower read gets its part of this many bytes, a narrower
    /// write reaches the device with the other bytes zero.
    pub narrowest: u8,
    /// Widest access in bytes that reaches the device: a wider one is split, lowest address first.
    pub widest: u8,
}

impl Region {
    /// Ports `range`, accessed by bytes: wider accesses are split.
    pub fn ports(number: u32, range: Range<u64>) -> Self {
        Self { space: Space::Port, range, number, narrowest: 1, widest: 1 }
    }

    /// Memory `range` of 32-bit registers.
    pub fn registers(number: u32, range: Range<u64>) -> Self {
        Self { space: Space::Memory, range, number, narrowest: 4, widest: 4 }
    }

    /// The 4 KiB of configuration space of a PCI function.
    pub fn config(number: u32, device: u8, function: u8) -> Self {
        let start = u64::from(device) << 15 | u64::from(function) << 12;
        Self { space: Space::PciConfig, range: start..start + 4096, number, narrowest: 1, widest: 4 }
    }

    /// The same with accesses of `narrowest` to `widest` bytes.
    pub fn widths(self, narrowest: u8, widest: u8) -> Self {
        Self { narrowest, widest, ..self }
    }
}

/// What an address map leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Target {
    device: DeviceId,
    number: u32,
    narrowest: u8,
    widest: u8,
}

struct Slot {
    /// Name for people and for saved state: unique, the device's name with a number if there are several.
    name: String,
    device: Option<Box<dyn Device>>,
    /// What it saves, until it is called again: most devices are not between two checkpoints.
    saved: OnceCell<Arc<[u8]>>,
}

/// The board.
pub struct Board {
    /// Guest RAM, by offset.
    pub ram: Ram,
    low_ram: u64,
    /// The current tick; an engine brings it up to date before any access that reaches a device.
    pub now: Tick,
    /// All armed timers.
    pub scheduler: Scheduler,
    /// The local APICs, one for each vCPU.
    pub apics: Vec<LocalApic>,
    /// What left the machine since the run loop last looked.
    pub outputs: Vec<Output>,
    devices: Vec<Slot>,
    spaces: [AddressMap<Target>; 3],
    lines: Vec<Line>,
    interrupt_controller: Option<DeviceId>,
    io_apics: Vec<DeviceId>,
    connections: Connections,
    buses: Vec<Bus>,
    disks: Vec<Disk>,
    requests: Requests,
    keyboard: Option<DeviceId>,
    pointer: Option<DeviceId>,
    power_button: Option<DeviceId>,
    power: Option<PowerEvent>,
    leave: bool,
    /// What a debugger waits for.
    pub(crate) lookout: Lookout,
}

impl Board {
    /// A board with `ram` bytes of RAM and `cpus` local APICs, and no devices.
    pub fn new(ram: u64, cpus: usize) -> Result<Self, RamError> {
        // q35 keeps a whole 2 GiB below 4 GiB once RAM reaches into the PCI hole, so that the rest is aligned.
        let low_ram = if ram >= LOW_RAM_END { 0x8000_0000 } else { ram };
        Ok(Self {
            ram: Ram::new(ram)?,
            low_ram,
            now: 0,
            scheduler: Scheduler::default(),
            apics: (0..cpus as u32).map(LocalApic::new).collect(),
            outputs: Vec::new(),
            devices: Vec::new(),
            spaces: Default::default(),
            lines: Line::all(),
            interrupt_controller: None,
            io_apics: Vec::new(),
            connections: Connections::default(),
            buses: Vec::new(),
            disks: Vec::new(),
            requests: Requests::default(),
            keyboard: None,
            pointer: None,
            power_button: None,
            power: None,
            leave: false,
            lookout: Lookout::default(),
        })
    }

    /// Bytes of RAM below 4 GiB.
    pub fn low_ram(&self) -> u64 {
        self.low_ram
    }

    /// Bytes of RAM from 4 GiB upward.
    pub fn high_ram(&self) -> u64 {
        self.ram.len() - self.low_ram
    }

    /// The offset into RAM of physical `address`, if RAM answers there.
    #[inline]
    pub fn ram_offset(&self, address: u64) -> Option<u64> {
        if address < self.low_ram {
            (!VGA_WINDOW.contains(&address)).then_some(address)
        } else if address >= HIGH_RAM_START && address - HIGH_RAM_START < self.high_ram() {
            Some(address - HIGH_RAM_START + self.low_ram)
        } else {
            None
        }
    }

    /// The physical address at which the byte of RAM at `offset` answers.
    pub fn physical_address(&self, offset: u64) -> u64 {
        if offset < self.low_ram { offset } else { offset - self.low_ram + HIGH_RAM_START }
    }

    /// Puts a device on the board; `name` gets a number appended if it is taken.
    pub fn add_device(&mut self, name: &str, device: Box<dyn Device>) -> DeviceId {
        let taken = |wanted: &str| self.devices.iter().any(|slot| slot.name == wanted);
        let unique = (1..).map(|n| if n == 1 { name.to_owned() } else { format!("{name}.{n}") }).find(|n| !taken(n));
        self.devices.push(Slot {
            name: unique.expect("numbers do not run out"),
            device: Some(device),
            saved: OnceCell::new(),
        });
        DeviceId(self.devices.len() as u32 - 1)
    }

    /// The device `id`, if it is a `T`: for a device that plugs into it while the machine is built.
    pub fn device_mut<T: Device>(&mut self, id: DeviceId) -> Option<&mut T> {
        let slot = self.devices.get_mut(id.0 as usize)?;
        slot.saved.take();
        let device: &mut dyn Any = slot.device.as_mut()?.as_mut();
        device.downcast_mut()
    }

    /// Names of all devices, in the order in which they were added.
    pub fn device_names(&self) -> impl Iterator<Item = &str> {
        self.devices.iter().map(|slot| slot.name.as_str())
    }

    /// Maps a region of a device.
    pub fn map(&mut self, device: DeviceId, region: Region) -> Result<(), MapError> {
        let Region { space, range, number, narrowest, widest } = region;
        self.spaces[space as usize].insert(range, Target { device, number, narrowest, widest })
    }

    /// Unmaps a region of a device.
    pub fn unmap(&mut self, device: DeviceId, space: Space, number: u32) {
        self.spaces[space as usize].retain(|target| target.device != device || target.number != number);
    }

    /// The name of the device that decodes `address`, for people and for tables that describe the board.
    pub fn decoder(&self, space: Space, address: u64) -> Option<&str> {
        let (target, _) = self.spaces[space as usize].find(address)?;
        Some(&self.devices[target.device.0 as usize].name)
    }

    /// Names the 8259 pair: who answers interrupt acknowledge cycles.
    pub fn set_interrupt_controller(&mut self, device: DeviceId) {
        self.interrupt_controller = Some(device);
    }

    /// Adds an I/O APIC: who hears of the end of level-triggered interrupts.
    pub fn add_io_apic(&mut self, device: DeviceId) {
        self.io_apics.push(device);
    }

    /// Names the device that keys go to.
    pub fn set_keyboard(&mut self, device: DeviceId) {
        self.keyboard = Some(device);
    }

    /// Names the device that pointer movements go to.
    pub fn set_pointer(&mut self, device: DeviceId) {
        self.pointer = Some(device);
    }

    /// Names the device that the power button belongs to.
    pub fn set_power_button(&mut self, device: DeviceId) {
        self.power_button = Some(device);
    }

    /// Hands an input of a person to the device that it is for.
    pub fn person_input(&mut self, input: DeviceInput<'_>) {
        let device = match input {
            DeviceInput::Key(_) => self.keyboard,
            DeviceInput::Pointer(_) => self.pointer,
            DeviceInput::PowerButton => self.power_button,
            DeviceInput::Bytes { .. }
            | DeviceInput::Connected { .. }
            | DeviceInput::Frame(_)
            | DeviceInput::Answer { .. } => None,
        };
        if let Some(id) = device {
            self.with_device(id, |device, ctx| device.input(input, ctx));
        }
    }

    /// Calls `call` with a device and its context; `None` if the device is being called already.
    pub(crate) fn with_device<T>(
        &mut self,
        id: DeviceId,
        call: impl FnOnce(&mut dyn Device, &mut Context<'_>) -> T,
    ) -> Option<T> {
        let slot = self.devices.get_mut(id.0 as usize)?;
        let mut device = slot.device.take()?;
        slot.saved.take();
        let result = call(device.as_mut(), &mut Context::new(self, id));
        self.devices[id.0 as usize].device = Some(device);
        Some(result)
    }

    /// Runs a device's timer.
    fn fire_timer(&mut self, id: DeviceId, slot: u32) {
        self.with_device(id, |device, ctx| device.timer(slot, ctx));
    }

    /// Runs the first timer that is due now; false if none is.
    pub fn fire_due_timer(&mut self) -> bool {
        let Some(Timer { owner, slot }) = self.scheduler.pop_due(self.now) else { return false };
        match owner {
            Owner::LocalApic(cpu) => self.apic_timer(cpu as usize, slot),
            Owner::Device(id) => self.fire_timer(DeviceId(id), slot),
        }
        true
    }

    /// The tick of the next timer or answer.
    pub fn next_event(&self) -> Option<Tick> {
        [self.scheduler.next_deadline(), self.requests.next_due()].into_iter().flatten().min()
    }

    /// Runs all timers that are due now, in order.
    pub fn fire_due_timers(&mut self) {
        while self.fire_due_timer() {}
    }

    /// Resets every device and local APIC, in board order.
    pub fn reset_devices(&mut self) {
        for id in 0..self.devices.len() as u32 {
            self.with_device(DeviceId(id), |device, ctx| device.reset(ctx));
        }
        for cpu in 0..self.apics.len() {
            self.reset_apic(cpu);
        }
    }

    /// Asks for a change of the power state; the first one at an instruction boundary counts.
    pub fn power(&mut self, event: PowerEvent) {
        self.power.get_or_insert(event);
        self.request_leave();
    }

    /// Takes the change of the power state that was asked for.
    pub fn take_power(&mut self) -> Option<PowerEvent> {
        self.power.take()
    }

    /// Whether a change of the power state was asked for and not taken.
    pub fn has_power_event(&self) -> bool {
        self.power.is_some()
    }

    /// Asks the engine to return to the run loop after the current instruction: a deadline, an interrupt or the power
    /// state may have changed.
    pub fn request_leave(&mut self) {
        self.leave = true;
    }

    /// Whether the engine was asked to return; asks once.
    #[inline(always)]
    pub fn take_leave(&mut self) -> bool {
        std::mem::take(&mut self.leave)
    }

    /// Whether the engine was asked to return.
    #[inline(always)]
    pub fn leave_requested(&self) -> bool {
        self.leave
    }

    /// Interrupt acknowledge cycle to the 8259 pair.
    pub(crate) fn acknowledge_external(&mut self) -> Option<u8> {
        let id = self.interrupt_controller?;
        self.with_device(id, |device, ctx| device.acknowledge_interrupt(ctx)).flatten()
    }

    /// Tells all I/O APICs of the end of a level-triggered interrupt.
    pub(crate) fn broadcast_end_of_interrupt(&mut self, vector: u8) {
        for index in 0..self.io_apics.len() {
            let id = self.io_apics[index];
            self.with_device(id, |device, ctx| device.end_of_interrupt(vector, ctx));
        }
    }
}

/// The width of `bytes`; the bus never makes others.
fn width(bytes: u64) -> Width {
    Width::from_bytes(bytes).expect("the bus splits accesses into powers of two")
}

#[cfg(test)]
mod tests;
