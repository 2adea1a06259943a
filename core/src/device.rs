//! What a device model is, and the only door through which it touches the world.

use crate::backend::DiskId;
use crate::board::{Board, DeviceId, OutputPin, Region, Space};
use crate::clock::Tick;
use crate::disk::Disk;
use crate::memory::MapError;
use crate::output::{Output, PowerEvent};
use crate::request::Request;
use crate::scheduler::{Owner, Timer};
use crate::state::StateError;
use serde::{Deserialize, Serialize};
use std::any::Any;

/// Width of one bus access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Width {
    /// One byte.
    Byte = 1,
    /// Two bytes.
    Word = 2,
    /// Four bytes.
    Dword = 4,
    /// Eight bytes.
    Qword = 8,
}

impl Width {
    /// The width of `bytes` bytes: 1, 2, 4 or 8.
    pub const fn from_bytes(bytes: u64) -> Option<Self> {
        match bytes {
            1 => Some(Self::Byte),
            2 => Some(Self::Word),
            4 => Some(Self::Dword),
            8 => Some(Self::Qword),
            _ => None,
        }
    }

    /// Bytes of this width.
    pub const fn bytes(self) -> u64 {
        self as u64
    }

    /// A mask of the bits of this width.
    pub const fn mask(self) -> u64 {
        u64::MAX >> (64 - 8 * self as u64)
    }
}

/// A front end: wiring that is fixed after construction, plus one plain serde struct that holds everything the guest
/// can ever observe of it.
///
/// The bus has done the work that is the same for all: an access reaches a device only inside a region that it mapped,
/// with a width that the region admits; wider ones were split, undecoded ones answered with all ones.
pub trait Device: Any {
    /// Reads `width` at `offset` of `region`; bits past the width are ignored.
    fn read(&mut self, region: u32, offset: u64, width: Width, ctx: &mut Context<'_>) -> u64;

    /// Writes `value`, which has no bits past `width`, at `offset` of `region`.
    fn write(&mut self, region: u32, offset: u64, width: Width, value: u64, ctx: &mut Context<'_>);

    /// What a read would return, for a debugger: nothing changes, nothing is acknowledged.
    fn peek(&self, region: u32, offset: u64, width: Width, now: Tick) -> u64;

    /// The timer `slot` that the device armed is due.
    fn timer(&mut self, slot: u32, ctx: &mut Context<'_>);

    /// The level of the input pin `pin` changed.
    fn line(&mut self, pin: u32, level: bool, ctx: &mut Context<'_>);

    /// An input from the host arrived for this device.
    fn input(&mut self, input: DeviceInput<'_>, ctx: &mut Context<'_>);

    /// How many bytes of [`DeviceInput::Bytes`] for `port` the device can take now, or whether (as 1 or 0) it can take a
    /// [`DeviceInput::Frame`]; 0 for a device without such a back end.
    fn input_room(&self, port: u32) -> usize;

    /// Puts the device into its state after power-on, with output pins low and timers disarmed.
    fn reset(&mut self, ctx: &mut Context<'_>);

    /// All state, by [`crate::state::encode`].
    fn save(&self) -> Vec<u8>;

    /// Takes the state of [`save`](Self::save) over, without any effect on anything else; on an error nothing changed.
    fn load(&mut self, state: &[u8]) -> Result<(), StateError>;

    /// Interrupt acknowledge cycle: the vector that the 8259 pair puts on the bus. Only the board's designated
    /// interrupt controller is asked.
    fn acknowledge_interrupt(&mut self, _ctx: &mut Context<'_>) -> Option<u8> {
        None
    }

    /// A local APIC broadcast the end of the level-triggered interrupt `vector`. Only I/O APICs are told.
    fn end_of_interrupt(&mut self, _vector: u8, _ctx: &mut Context<'_>) {}
}

/// An input from the host, as the device that it is for sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceInput<'a> {
    /// Bytes from a character device.
    Bytes {
        /// The port of the device that it is connected to, as in [`Board::connect_chardev`].
        port: u32,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// Somebody came to, or left, the other end of a character device.
    Connected {
        /// The port of the device.
        port: u32,
        /// Whether there is somebody now.
        connected: bool,
    },
    /// An Ethernet frame, without its check sequence.
    Frame(&'a [u8]),
    /// The answer to a request of this device.
    Answer {
        /// What the device called its request.
        tag: u64,
        /// All that was asked for; `None` if the host failed.
        data: Option<&'a [u8]>,
    },
    /// A key went down or up.
    Key(KeyEvent),
    /// The pointer moved, or its buttons changed.
    Pointer(PointerEvent),
    /// The operator pressed the power button.
    PowerButton,
}

/// A key went down or up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyEvent {
    /// `KEY_*` number of Linux's `input-event-codes.h`.
    pub code: u16,
    /// Pressed or released.
    pub down: bool,
}

/// The pointer moved, or its buttons changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointerEvent {
    /// To the right, in counts.
    pub dx: i16,
    /// Downward, in counts.
    pub dy: i16,
    /// Wheel, away from the user.
    pub wheel: i8,
    /// Buttons that are down: bit 0 left, 1 right, 2 middle.
    pub buttons: u8,
}

/// The world as a device may touch it during one call.
pub struct Context<'a> {
    board: &'a mut Board,
    device: DeviceId,
    bus_master: bool,
}

impl<'a> Context<'a> {
    pub(crate) fn new(board: &'a mut Board, device: DeviceId) -> Self {
        Self { board, device, bus_master: true }
    }

    /// The current tick.
    pub fn now(&self) -> Tick {
        self.board.now
    }

    /// Arms the device's timer `slot`; a deadline in the past fires at the next instruction boundary.
    pub fn arm(&mut self, slot: u32, deadline: Tick) {
        self.board.scheduler.arm(self.timer(slot), deadline);
        self.board.request_leave();
    }

    /// Disarms the device's timer `slot`.
    pub fn disarm(&mut self, slot: u32) {
        self.board.scheduler.disarm(self.timer(slot));
    }

    /// Disarms every timer of the device.
    pub fn disarm_all(&mut self) {
        self.board.scheduler.disarm_all(Owner::Device(self.device.0));
    }

    /// The deadline of the device's timer `slot`, if it is armed.
    pub fn deadline(&self, slot: u32) -> Option<Tick> {
        self.board.scheduler.deadline(self.timer(slot))
    }

    fn timer(&self, slot: u32) -> Timer {
        Timer { owner: Owner::Device(self.device.0), slot }
    }

    /// Drives an output pin; whoever listens to its line is told before this returns.
    pub fn set_line(&mut self, pin: OutputPin, level: bool) {
        self.board.set_line(pin, level);
    }

    /// Whether this device drives `pin` high.
    pub fn line_is_driven(&self, pin: OutputPin) -> bool {
        self.board.line_is_driven(pin)
    }

    /// Whether the device may master the bus for the rest of this call: a PCI function whose driver denies it reads all
    /// ones, and what it writes is lost.
    pub fn set_bus_master(&mut self, allowed: bool) {
        self.bus_master = allowed;
    }

    /// Reads guest memory as a bus master; addresses without RAM read as all ones.
    pub fn dma_read(&mut self, address: u64, data: &mut [u8]) {
        if self.bus_master {
            self.board.note_device_access(self.device, address, data.len(), false);
            self.board.dma_read(address, data);
        } else {
            data.fill(0xff);
        }
    }

    /// Writes guest memory as a bus master. A write of four bytes to 0xfeexxxxx is a message-signalled interrupt;
    /// addresses without RAM ignore it.
    pub fn dma_write(&mut self, address: u64, data: &[u8]) {
        if self.bus_master {
            self.board.note_device_access(self.device, address, data.len(), true);
            self.board.dma_write(address, data);
        }
    }

    /// Sends an interrupt message to the local APICs: the address and data of a message-signalled interrupt.
    pub fn interrupt_message(&mut self, address: u64, data: u32) {
        if self.bus_master {
            self.board.interrupt_message(address, data);
        }
    }

    /// Reads another function's PCI configuration space; `address` is bus, device, function and register as in ECAM.
    pub fn config_read(&mut self, address: u64, width: Width) -> u64 {
        self.board.read(Space::PciConfig, address, width.bytes() as usize)
    }

    /// Writes another function's PCI configuration space.
    pub fn config_write(&mut self, address: u64, width: Width, value: u64) {
        self.board.write(Space::PciConfig, address, width.bytes() as usize, value);
    }

    /// Peeks at another function's PCI configuration space.
    pub fn config_peek(&self, address: u64, width: Width) -> u64 {
        self.board.peek(Space::PciConfig, address, width.bytes() as usize)
    }

    /// Maps a region of this device, in place of where it was.
    pub fn map(&mut self, region: Region) -> Result<(), MapError> {
        self.unmap(region.space, region.number);
        self.board.map(self.device, region)
    }

    /// Unmaps a region of this device.
    pub fn unmap(&mut self, space: Space, number: u32) {
        self.board.unmap(self.device, space, number);
    }

    /// Asks for something that only the host has. [`DeviceInput::Answer`] with `tag` comes at the tick `due`, which the
    /// device computes from its model of the hardware; one that is not in the future means the next tick. Guests decide
    /// what is asked: a request beyond the limits of [`Request`] is answered as failed.
    pub fn request(&mut self, due: Tick, tag: u64, request: Request) {
        self.board.request(self.device, due, tag, request);
    }

    /// Forgets the requests of this device that were not yet answered.
    pub fn cancel_requests(&mut self) {
        self.board.cancel_requests(self.device);
    }

    /// A disk, to write to it and to ask for its size. Reading is a [`Request`].
    pub fn disk(&mut self, disk: DiskId) -> &mut Disk {
        self.board.disk_mut(disk)
    }

    /// Emits what leaves the machine.
    pub fn output(&mut self, output: Output) {
        self.board.outputs.push(output);
        self.board.request_leave();
    }

    /// Asks for a change of the machine's power state, taken at the next instruction boundary.
    pub fn power(&mut self, event: PowerEvent) {
        self.board.power(event);
    }
}
