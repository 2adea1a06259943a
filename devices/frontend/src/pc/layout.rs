//! Where things lie in physical memory, and the map of it that firmware hands to a system.

use crate::pci::{ECAM_BASE, ECAM_SIZE};
use reprise_core::board::{Board, HIGH_RAM_START};

/// Least RAM of a machine: what lies below 1 MiB is spoken for.
pub const LEAST_RAM: u64 = 1 << 20;
/// The extended BIOS data area: the last KiB of conventional memory.
pub const EBDA: u64 = 0x9_fc00;
/// End of conventional memory.
pub const CONVENTIONAL_END: u64 = 0xa_0000;
/// Where firmware keeps its tables.
pub const FIRMWARE: u64 = 0xe_0000;
/// Where RAM goes on above firmware.
pub const EXTENDED: u64 = 0x10_0000;

/// What a range of physical memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum E820Kind {
    /// RAM that the system may use.
    Usable = 1,
    /// RAM or registers that it must leave alone.
    Reserved = 2,
}

/// A range of physical memory (ACPI 6.5, 15.1 INT 15H, E820H - Query System Address Map).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct E820Entry {
    /// First address.
    pub start: u64,
    /// Bytes.
    pub size: u64,
    /// What it is.
    pub kind: E820Kind,
}

impl E820Entry {
    const fn new(start: u64, end: u64, kind: E820Kind) -> Self {
        Self { start, size: end - start, kind }
    }
}

/// The map of `board`'s physical memory, in order of addresses.
pub fn memory_map(board: &Board) -> Vec<E820Entry> {
    use E820Kind::{Reserved, Usable};
    let mut map = vec![
        E820Entry::new(0, EBDA, Usable),
        E820Entry::new(EBDA, CONVENTIONAL_END, Reserved),
        E820Entry::new(FIRMWARE, EXTENDED, Reserved),
    ];
    if board.low_ram() > EXTENDED {
        map.push(E820Entry::new(EXTENDED, board.low_ram(), Usable));
    }
    map.push(E820Entry::new(ECAM_BASE, ECAM_BASE + ECAM_SIZE, Reserved));
    if board.high_ram() > 0 {
        map.push(E820Entry::new(HIGH_RAM_START, HIGH_RAM_START + board.high_ram(), Usable));
    }
    map
}

/// The BIOS data area at 0x400, as far as systems without a BIOS read it: serial ports, equipment, the extended area and
/// the size of conventional memory.
pub(super) fn bios_data_area(serial: [Option<u16>; 4]) -> Vec<u8> {
    const FPU: u16 = 1 << 1;
    const MOUSE: u16 = 1 << 2;
    let present: Vec<u16> = serial.into_iter().flatten().collect();
    let mut area = vec![0; 0x100];
    let mut word = |offset: usize, value: u16| area[offset..offset + 2].copy_from_slice(&value.to_le_bytes());
    for (index, &port) in present.iter().enumerate() {
        word(2 * index, port);
    }
    word(0x0e, (EBDA >> 4) as u16);
    word(0x10, FPU | MOUSE | (present.len() as u16) << 9);
    word(0x13, (EBDA >> 10) as u16);
    // The keyboard buffer, empty.
    for (offset, value) in [(0x1a, 0x1e), (0x1c, 0x1e), (0x80, 0x1e), (0x82, 0x3e)] {
        word(offset, value);
    }
    area
}

/// The first byte of the extended BIOS data area: its size in KiB.
pub(super) const EBDA_HEAD: [u8; 1] = [1];

#[cfg(test)]
mod tests {
    use super::*;

    fn map(ram: u64) -> Vec<(u64, u64, E820Kind)> {
        let board = Board::new(ram, 1).unwrap();
        memory_map(&board).iter().map(|entry| (entry.start, entry.size, entry.kind)).collect()
    }

    #[test]
    fn ranges_ascend_and_never_meet() {
        for ram in [1 << 20, 64 << 20, 2 << 30, 3 << 30, 32 << 30] {
            let map = map(ram);
            assert!(map.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0), "{map:x?}");
        }
    }

    #[test]
    fn usable_ranges_are_the_ram_but_for_what_is_reserved() {
        for ram in [1 << 20, 512 << 20, 5 << 30] {
            let usable: u64 = map(ram).iter().filter(|entry| entry.2 == E820Kind::Usable).map(|entry| entry.1).sum();
            assert_eq!(usable, ram - (EXTENDED - EBDA));
        }
    }

    #[test]
    fn high_ram_begins_at_four_gib() {
        assert_eq!(map(5 << 30).last(), Some(&(1 << 32, 3 << 30, E820Kind::Usable)));
    }

    #[test]
    fn the_bios_data_area_names_the_serial_ports_that_are_there() {
        let area = bios_data_area([Some(0x3f8), None, Some(0x3e8), None]);
        assert_eq!(area[..6], [0xf8, 0x03, 0xe8, 0x03, 0, 0]);
        assert_eq!(area[0x0e..0x15], [0xc0, 0x9f, 0x06, 0x04, 0, 0x7f, 0x02]);
    }
}
