//! The board of the machine `q35`: which parts are fixed on it, at which addresses, on which interrupt lines.
//!
//! There is no firmware. What firmware would leave in the chipset's registers (where the PM block and ECAM decode, how
//! PCI interrupts are routed) are these devices' values after power-on, and what it would leave in memory comes from
//! [`Pc::firmware_memory`].

pub mod layout;

use crate::acpi;
use layout::E820Entry;
use reprise_core::board::Board;
use reprise_core::output::ChardevId;
use reprise_core::property::{AttachError, PropertyError};

/// Serial ports that the board has room for: COM1 to COM4.
pub const SERIAL_PORTS: usize = 4;

/// What can be chosen about the fixed part of the board.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PcConfig {
    /// The character device of each serial port; `None` leaves the port out.
    pub serial: [Option<ChardevId>; SERIAL_PORTS],
    /// What the real-time clock shows at tick 0, in seconds since 1970-01-01 00:00:00.
    pub rtc_base: u64,
}

/// Why the board could not be built.
#[derive(Debug, thiserror::Error)]
pub enum PcError {
    /// A device could not be put on the board.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// A device refused a property; only a fault of the wiring can cause it.
    #[error(transparent)]
    Property(#[from] PropertyError),
}

/// What is known of a board once it is built.
#[derive(Clone, Debug)]
pub struct Pc {
    /// Which parts the ACPI tables describe.
    pub acpi: acpi::Description,
}

/// Puts all fixed devices on `board` in QEMU's order and connects their lines.
pub fn build(board: &mut Board, config: &PcConfig) -> Result<Pc, PcError>;

impl Pc {
    /// What firmware would have left in memory: ACPI tables, the BIOS data area and the extended one. To be called once
    /// all devices are attached: the tables describe those that are there.
    pub fn firmware_memory(&self, board: &Board) -> Vec<(u64, Vec<u8>)>;
}
