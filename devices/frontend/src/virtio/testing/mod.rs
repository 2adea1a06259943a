//! A driver for tests: sets a device up through configuration space as a system does, and talks to it through rings.

mod packed;
mod split;

pub(crate) use super::pci::registers::{common, status};
use crate::pci;
use packed::PackedRing;
use reprise_core::board::{Board, Space};
use reprise_core::clock::Tick;
use reprise_core::door::HostInput;
use reprise_core::property::{DeviceSpec, Properties};
use reprise_core::request::Question;
use split::SplitRing;

/// Where the driver puts the base address registers.
pub(crate) const MSIX: u64 = 0xc000_0000;
pub(crate) const STRUCTURES: u64 = 0xd000_0000;
const ISR: u64 = STRUCTURES + 0x1000;
pub(crate) const CONFIG: u64 = STRUCTURES + 0x2000;
const NOTIFY: u64 = STRUCTURES + 0x3000;
/// The function's configuration space: slot 1.
const FUNCTION: u64 = 1 << 15;
/// Messages are written here, four bytes for each vector: to memory, where a test can count them.
const MAILBOX: u64 = 0xf_0000;
/// Rings go here, one after the other.
const RINGS: u64 = 0x1_0000;
const RING_STRIDE: u64 = 0x8000;
/// Memory that buffers may take up.
pub(crate) const BUFFERS: u64 = 0x8_0000;

/// One part of a buffer: address, length, and whether the device writes it.
pub(crate) type Part = (u64, u32, bool);

/// A ring as its driver has it.
pub(crate) trait Ring {
    /// Makes a buffer available, by an indirect table if `table` says where; its token.
    fn add(&mut self, board: &mut Board, parts: &[Part], table: Option<u64>) -> u16;
    /// Whether the device wants to be notified of what was added since this was last asked.
    fn wants_kick(&mut self, board: &Board) -> bool;
    /// The next buffer that came back: its token, and how many bytes were written.
    fn take_used(&mut self, board: &mut Board) -> Option<(u16, u32)>;
    /// Asks for interrupts, or for none.
    fn want_interrupts(&mut self, board: &mut Board, wanted: bool);
    /// Slots that are free.
    fn room(&self) -> u16;
}

/// A board with one device and its driver.
pub(crate) struct Bench {
    pub(crate) board: Board,
    pub(crate) rings: Vec<Box<dyn Ring>>,
    mail: Vec<u32>,
}

/// What a driver agrees to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wishes {
    pub(crate) features: u64,
    pub(crate) msix: bool,
}

impl Bench {
    /// A board with a device of `spec`, of which no driver knows yet; `prepare` adds what it needs.
    pub(crate) fn new(spec: &'static DeviceSpec, given: &[(&str, &str)], prepare: impl FnOnce(&mut Board)) -> Self {
        let mut board = Board::new(1 << 20, 1).unwrap();
        prepare(&mut board);
        (pci::root::SPEC.attach)(&mut board, &Properties::new(&pci::root::SPEC, &[]).unwrap()).unwrap();
        let given: Vec<_> = given.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        (spec.attach)(&mut board, &Properties::new(spec, &given).unwrap()).unwrap();
        Self { board, rings: Vec::new(), mail: Vec::new() }
    }

    /// Does all that a driver does until the device may work; the features that were agreed on.
    pub(crate) fn start(&mut self, wishes: Wishes) -> u64 {
        self.enable(wishes.msix);
        let features = self.negotiate(wishes.features);
        for queue in 0..self.common(common::NUM_QUEUES, 2) as u16 {
            self.set_up_queue(queue, features);
        }
        self.set_status(status::DRIVER_OK);
        features
    }

    /// Base address registers, memory, bus mastering, MSI-X.
    pub(crate) fn enable(&mut self, msix: bool) {
        self.write_config(0x14, 4, MSIX);
        self.write_config(0x20, 4, STRUCTURES);
        self.write_config(0x24, 4, 0);
        self.write_config(0x04, 2, 6);
        let Some(capability) = self.capability(pci::CAP_ID_MSIX).filter(|_| msix) else { return };
        let vectors = (self.read_config(capability + 2, 2) & 0x7ff) + 1;
        for vector in 0..vectors {
            let entry = MSIX + 16 * vector;
            for (offset, value) in [(0, MAILBOX + 4 * vector), (4, 0), (8, 1 + vector), (12, 0)] {
                self.board.write(Space::Memory, entry + offset, 4, value);
            }
        }
        self.mail = vec![0; vectors as usize];
        self.write_config(capability + 2, 2, 0x8000);
    }

    /// From reset to FEATURES_OK with what of `wanted` is offered.
    pub(crate) fn negotiate(&mut self, wanted: u64) -> u64 {
        self.set_common(common::DEVICE_STATUS, 1, 0);
        self.rings.clear();
        self.set_status(status::ACKNOWLEDGE | status::DRIVER);
        let features = self.offered() & (wanted | 1 << 32);
        for half in 0..2 {
            self.set_common(common::DRIVER_FEATURE_SELECT, 4, half);
            self.set_common(common::DRIVER_FEATURE, 4, features >> (32 * half) & 0xffff_ffff);
        }
        self.set_status(status::FEATURES_OK);
        assert!(self.status() & status::FEATURES_OK != 0, "features {features:#x} were refused");
        features
    }

    pub(crate) fn offered(&mut self) -> u64 {
        (0..2).fold(0, |features, half| {
            self.set_common(common::DEVICE_FEATURE_SELECT, 4, half);
            features | self.common(common::DEVICE_FEATURE, 4) << (32 * half)
        })
    }

    /// Sets a queue up with its largest size.
    pub(crate) fn set_up_queue(&mut self, queue: u16, features: u64) {
        let base = RINGS + RING_STRIDE * u64::from(queue);
        self.set_common(common::QUEUE_SELECT, 2, u64::from(queue));
        let size = self.common(common::QUEUE_SIZE, 2) as u16;
        let (driver, device) = (base + 0x4000, base + 0x6000);
        for (register, address) in
            [(common::QUEUE_DESC, base), (common::QUEUE_DRIVER, driver), (common::QUEUE_DEVICE, device)]
        {
            self.set_common(register, 4, address);
            self.set_common(register + 4, 4, 0);
        }
        self.board.dma_write(base, &vec![0; RING_STRIDE as usize]);
        self.set_common(common::QUEUE_MSIX_VECTOR, 2, u64::from(queue) + 1);
        self.set_common(common::CONFIG_MSIX_VECTOR, 2, 0);
        self.set_common(common::QUEUE_ENABLE, 2, 1);
        let event_idx = features & 1 << 29 != 0;
        self.rings.push(if features & 1 << 34 != 0 {
            Box::new(PackedRing::new(base, driver, device, size, event_idx))
        } else {
            Box::new(SplitRing::new(base, driver, device, size, event_idx))
        });
    }

    /// Makes a buffer available and notifies the device if it wants that.
    pub(crate) fn send(&mut self, queue: u16, parts: &[Part]) -> u16 {
        let token = self.rings[usize::from(queue)].add(&mut self.board, parts, None);
        self.kick(queue);
        token
    }

    /// Notifies the device if it wants that.
    pub(crate) fn kick(&mut self, queue: u16) {
        if self.rings[usize::from(queue)].wants_kick(&self.board) {
            self.notify(queue);
        }
    }

    /// Notifies the device whether it wants that or not.
    pub(crate) fn notify(&mut self, queue: u16) {
        self.board.write(Space::Memory, NOTIFY + 4 * u64::from(queue), 2, u64::from(queue));
    }

    /// The next buffer that came back.
    pub(crate) fn receive(&mut self, queue: u16) -> Option<(u16, u32)> {
        self.rings[usize::from(queue)].take_used(&mut self.board)
    }

    /// How many of the messages of `vector` came since this was last asked: 1 stands for any number.
    pub(crate) fn take_message(&mut self, vector: u16) -> bool {
        let at = MAILBOX + 4 * u64::from(vector);
        let mut data = [0; 4];
        self.board.dma_read(at, &mut data);
        self.board.dma_write(at, &[0; 4]);
        u32::from_le_bytes(data) == 1 + u32::from(vector)
    }

    /// The ISR status; reading acknowledges it.
    pub(crate) fn isr(&mut self) -> u8 {
        self.board.read(Space::Memory, ISR, 1) as u8
    }

    pub(crate) fn status(&mut self) -> u8 {
        self.common(common::DEVICE_STATUS, 1) as u8
    }

    pub(crate) fn set_status(&mut self, bits: u8) {
        let status = u64::from(self.status() | bits);
        self.set_common(common::DEVICE_STATUS, 1, status);
    }

    pub(crate) fn common(&mut self, register: u64, size: usize) -> u64 {
        self.board.read(Space::Memory, STRUCTURES + register, size)
    }

    pub(crate) fn set_common(&mut self, register: u64, size: usize, value: u64) {
        self.board.write(Space::Memory, STRUCTURES + register, size, value);
    }

    pub(crate) fn read_config(&mut self, offset: u64, size: usize) -> u64 {
        self.board.read(Space::PciConfig, FUNCTION + offset, size)
    }

    pub(crate) fn write_config(&mut self, offset: u64, size: usize, value: u64) {
        self.board.write(Space::PciConfig, FUNCTION + offset, size, value);
    }

    /// Where the first capability `id` lies.
    pub(crate) fn capability(&mut self, id: u8) -> Option<u64> {
        self.capabilities().into_iter().find(|&(found, _)| found == id).map(|(_, at)| at)
    }

    /// ID and offset of every capability.
    pub(crate) fn capabilities(&mut self) -> Vec<(u8, u64)> {
        let mut found = Vec::new();
        let mut at = self.read_config(0x34, 1);
        while at != 0 {
            found.push((self.read_config(at, 1) as u8, at));
            at = self.read_config(at + 1, 1);
        }
        found
    }

    pub(crate) fn memory(&self, address: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.board.dma_read(address, &mut bytes);
        bytes
    }

    /// Lets time pass until `tick`; `answer` answers what is asked at the door.
    pub(crate) fn run_to(&mut self, tick: Tick, answer: &mut dyn FnMut(&Question) -> HostInput) {
        while let Some(due) = self.board.next_event().filter(|&due| due <= tick) {
            self.board.now = self.board.now.max(due);
            self.board.fire_due_timers();
            self.board.answer_requests(answer);
        }
        self.board.now = self.board.now.max(tick);
    }
}

/// For a device that asks nothing.
pub(crate) fn nobody(question: &Question) -> HostInput {
    panic!("nobody expected {question:?}");
}
