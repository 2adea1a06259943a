//! ACPI: the tables that describe the board (ACPI 6.5, 5 ACPI Software Programming Model), and the fixed hardware.
//!
//! Guests see the same devices, resources and interrupt links as on QEMU's q35. ACPI is always enabled: there is no SMI
//! command port.

mod dsdt;
pub mod ich9_pm;
mod tables;

pub use tables::{RSDP, Tables, tables};

/// Which parts the tables describe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Processors; the APIC ID of each is its number.
    pub cpus: u32,
    /// Which of the serial ports COM1 to COM4 are there.
    pub serial: [bool; 4],
    /// The port of the paravirtual panic device, if it is there.
    pub pvpanic: Option<u16>,
    /// Bytes of RAM below 4 GiB.
    pub low_ram: u64,
    /// Bytes of RAM from 4 GiB upward.
    pub high_ram: u64,
}
