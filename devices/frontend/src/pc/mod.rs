//! The board of the machine `q35`: which parts are fixed on it, at which addresses, on which interrupt lines.
//!
//! | part | addresses | interrupt |
//! | --- | --- | --- |
//! | root complex | ports 0xcf8 to 0xcff, memory 0xb0000000 to 0xbfffffff | |
//! | host bridge | function 00:00.0 | |
//! | south bridge, power management | function 00:1f.0, ports 0x600 to 0x67f, 0xb2, 0xb3 | 9 |
//! | 8259 pair | ports 0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1 | |
//! | I/O APIC | memory 0xfec00000 | |
//! | HPET | memory 0xfed00000 | 0, 8 or 16 to 23 |
//! | real-time clock | ports 0x70 to 0x73 | 8 |
//! | 8254 | ports 0x40 to 0x43, 0x61 | 0 |
//! | keyboard controller | ports 0x60, 0x64 | 1, 12 |
//! | fast reset | port 0x92 | |
//! | serial ports | ports 0x3f8, 0x2f8, 0x3e8, 0x2e8 | 4, 3 |
//! | firmware configuration | ports 0x510 to 0x51b | |
//!
//! There is no firmware. What firmware would leave in the chipset's registers (where the PM block and ECAM decode, how
//! PCI interrupts are routed) are these devices' values after power-on, and what it would leave in memory comes from
//! [`Pc::firmware_memory`].

pub mod layout;
#[cfg(test)]
mod tests;

use crate::acpi::{self, Description};
use crate::chipset::{hpet, i8254_pit, i8259_pic, i82093_ioapic};
use crate::fw_cfg::{self, FileError, Items};
use crate::isa::{i8042, mc146818_rtc, ns16550_uart, port92, pvpanic};
use crate::pci::{ich9_lpc, mch, root};
use layout::{EBDA, EBDA_HEAD, bios_data_area, memory_map};
use reprise_core::backend::ChardevId;
use reprise_core::board::{Board, Space};
use reprise_core::property::{AttachError, DeviceSpec, Properties, PropertyError};

/// Serial ports that the board has room for: COM1 to COM4.
pub const SERIAL_PORTS: usize = 4;
/// First port of each of them.
const SERIAL_BASES: [u16; SERIAL_PORTS] = [0x3f8, 0x2f8, 0x3e8, 0x2e8];
/// Where the BIOS data area lies.
const BIOS_DATA_AREA: u64 = 0x400;

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
    /// A device refused a property.
    #[error(transparent)]
    Property(#[from] PropertyError),
    /// The firmware configuration device refused a file.
    #[error(transparent)]
    Firmware(#[from] FileError),
}

/// What is known of a board once all its fixed devices are there.
#[derive(Clone, Copy, Debug)]
pub struct Pc {
    rsdp: u64,
}

/// Puts all fixed devices on `board` and connects their lines.
pub fn build(board: &mut Board, config: &PcConfig) -> Result<Pc, PcError> {
    for spec in [&root::SPEC, &mch::SPEC, &ich9_lpc::SPEC, &i8259_pic::SPEC, &i82093_ioapic::SPEC, &hpet::SPEC] {
        attach(board, spec, &[])?;
    }
    attach(board, &mc146818_rtc::SPEC, &[("base", config.rtc_base.to_string())])?;
    attach(board, &i8254_pit::SPEC, &[])?;
    attach(board, &i8042::SPEC, &[])?;
    attach(board, &port92::SPEC, &[])?;
    for (index, chardev) in config.serial.iter().enumerate() {
        if let Some(ChardevId(chardev)) = chardev {
            attach(board, &ns16550_uart::SPEC, &[("index", index.to_string()), ("chardev", chardev.to_string())])?;
        }
    }
    let mut items = Items::of_board(board);
    items.add_file("etc/e820", e820_file(board))?;
    fw_cfg::attach(board, items)?;
    Ok(Pc { rsdp: acpi::RSDP })
}

fn attach(board: &mut Board, spec: &'static DeviceSpec, given: &[(&str, String)]) -> Result<(), PcError> {
    let given: Vec<_> = given.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    (spec.attach)(board, &Properties::new(spec, &given)?)?;
    Ok(())
}

/// The memory map as firmware reads it.
fn e820_file(board: &Board) -> Vec<u8> {
    let entry = |entry: layout::E820Entry| {
        [&entry.start.to_le_bytes()[..], &entry.size.to_le_bytes(), &(entry.kind as u32).to_le_bytes()].concat()
    };
    memory_map(board).into_iter().flat_map(entry).collect()
}

impl Pc {
    /// Where the root pointer of the ACPI tables lies.
    pub fn rsdp(&self) -> u64 {
        self.rsdp
    }

    /// What firmware would have left in memory: ACPI tables, the BIOS data area and the extended one. To be called once
    /// all devices are attached: the tables describe those that are there.
    pub fn firmware_memory(&self, board: &Board) -> Vec<(u64, Vec<u8>)> {
        let description = describe(board);
        let tables = acpi::tables(&description);
        assert_eq!(tables.rsdp, self.rsdp, "the root pointer lies where everyone was told");
        let serial = std::array::from_fn(|index| description.serial[index].then_some(SERIAL_BASES[index]));
        vec![(BIOS_DATA_AREA, bios_data_area(serial)), (EBDA, EBDA_HEAD.to_vec()), (tables.base, tables.bytes)]
    }
}

/// Which parts are on `board`, by who decodes the ports.
fn describe(board: &Board) -> Description {
    let is_at = |spec: &DeviceSpec, port: u16| {
        let name = board.decoder(Space::Port, u64::from(port)).and_then(|name| name.split('.').next());
        name == Some(spec.name)
    };
    Description {
        cpus: board.apics.len() as u32,
        serial: SERIAL_BASES.map(|base| is_at(&ns16550_uart::SPEC, base)),
        pvpanic: (0..=u16::MAX).find(|&port| is_at(&pvpanic::SPEC, port)),
        low_ram: board.low_ram(),
        high_ram: board.high_ram(),
    }
}
