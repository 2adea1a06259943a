//! Reading page tables, without any effect (SDM vol. 3, chapter 4 Paging).
//!
//! The walk of an access is a descent, and what it does with the entries that were read afterwards; who only looks at a
//! machine descends, too.

use super::paging::{PHYSICAL_BITS, Privilege, context_key, mode};
use super::tlb::ContextKey;
use crate::board::Board;
use crate::cpu::CpuState;
use crate::memory::PAGE_SIZE;

const PHYSICAL_MASK: u64 = (1 << PHYSICAL_BITS) - 1;

const P: u64 = 1;
const RW: u64 = 2;
const US: u64 = 4;
const PS: u64 = 1 << 7;
const NX: u64 = 1 << 63;

/// Permissions gathered on the way down.
pub(super) struct Rights {
    pub(super) user: bool,
    pub(super) writable: bool,
    pub(super) no_execute: bool,
}

/// The entries that a descent has read.
pub(super) struct Trail {
    /// Physical address and value of the entry at each level, 1 first.
    pub(super) entries: [(u64, u64); 4],
    /// The level of the entry that maps the page.
    pub(super) leaf: usize,
    /// The level at which the descent began.
    pub(super) top: usize,
    /// Bytes of an entry.
    pub(super) size: u64,
}

/// Where a descent ended.
pub(super) struct Leaf {
    /// Physical address of the page that contains the linear address, 4 KiB of it.
    pub(super) page: u64,
    pub(super) rights: Rights,
    pub(super) trail: Trail,
}

/// Why a descent found no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gap {
    /// An entry is not present.
    Absent,
    /// A present entry has a reserved bit set.
    Reserved,
}

/// Finds the page of `linear` in the tables of a context that has paging on.
#[inline]
pub(super) fn descend(board: &Board, key: &ContextKey, linear: u64) -> Result<Leaf, Gap> {
    if key.mode & mode::LONG != 0 {
        return descend_wide(board, key.mode, linear, key.root[0], 4);
    }
    if key.mode & mode::PAE == 0 {
        return descend_32(board, key.mode, linear, key.root[0]);
    }
    let pointer = key.root[(linear >> 30 & 3) as usize];
    if pointer & P == 0 {
        return Err(Gap::Absent);
    }
    descend_wide(board, key.mode, linear, pointer & PHYSICAL_MASK & !0xfff, 2)
}

/// Tables of 512 entries, `levels` deep (SDM vol. 3, 4.4 PAE Paging and 4.5 4-Level Paging).
fn descend_wide(board: &Board, mode: u32, linear: u64, root: u64, levels: usize) -> Result<Leaf, Gap> {
    let mut rights = Rights { user: true, writable: true, no_execute: false };
    let mut table = root;
    let mut entries = [(0u64, 0u64); 4];
    for level in (1..=levels).rev() {
        let shift = 12 + 9 * (level - 1);
        let address = table | (linear >> shift & 511) << 3;
        let entry = entry(board, address, 8);
        entries[level - 1] = (address, entry);
        if entry & P == 0 {
            return Err(Gap::Absent);
        }
        let large = level > 1 && entry & PS != 0;
        if entry & reserved(level, large, mode) != 0 {
            return Err(Gap::Reserved);
        }
        rights.user &= entry & US != 0;
        rights.writable &= entry & RW != 0;
        rights.no_execute |= entry & NX != 0;
        if large || level == 1 {
            let offset_mask = (1u64 << shift) - 1;
            let page = (entry & PHYSICAL_MASK & !0xfff & !offset_mask) | linear & offset_mask & !0xfff;
            return Ok(Leaf { page, rights, trail: Trail { entries, leaf: level, top: levels, size: 8 } });
        }
        table = entry & PHYSICAL_MASK & !0xfff;
    }
    unreachable!("level 1 is always a leaf")
}

/// The two levels of 32-bit paging (SDM vol. 3, 4.3 32-Bit Paging).
fn descend_32(board: &Board, mode: u32, linear: u64, root: u64) -> Result<Leaf, Gap> {
    let directory_at = root | (linear >> 22 & 1023) << 2;
    let directory = entry(board, directory_at, 4);
    if directory & P == 0 {
        return Err(Gap::Absent);
    }
    let mut rights = Rights { user: directory & US != 0, writable: directory & RW != 0, no_execute: false };
    let mut entries = [(0, 0), (directory_at, directory), (0, 0), (0, 0)];
    if mode & mode::PSE != 0 && directory & PS != 0 {
        // PSE-36: bits 13 to 20 are bits 32 to 39 of the address, bit 21 is reserved.
        if directory & 1 << 21 != 0 {
            return Err(Gap::Reserved);
        }
        let page = directory & 0xffc0_0000 | (directory >> 13 & 0xff) << 32 | linear & 0x3f_f000;
        return Ok(Leaf { page, rights, trail: Trail { entries, leaf: 2, top: 2, size: 4 } });
    }
    let table_at = directory & 0xffff_f000 | (linear >> 12 & 1023) << 2;
    let table = entry(board, table_at, 4);
    if table & P == 0 {
        return Err(Gap::Absent);
    }
    rights.user &= table & US != 0;
    rights.writable &= table & RW != 0;
    entries[0] = (table_at, table);
    Ok(Leaf { page: table & 0xffff_f000, rights, trail: Trail { entries, leaf: 1, top: 2, size: 4 } })
}

/// A page-table entry; what lies in no RAM reads as all ones, as the bus answers.
pub(super) fn entry(board: &Board, address: u64, size: u64) -> u64 {
    let offset = board.ram_offset(address);
    let value = match size {
        4 => offset.and_then(|at| board.ram.get(at)).map(|b| u64::from(u32::from_le_bytes(b))),
        _ => offset.and_then(|at| board.ram.get(at)).map(u64::from_le_bytes),
    };
    value.unwrap_or(u64::MAX >> (64 - 8 * size))
}

/// Bits that must be zero in a present entry.
fn reserved(level: usize, large: bool, mode: u32) -> u64 {
    let address = !PHYSICAL_MASK & 0x000f_ffff_ffff_ffff;
    let no_execute = if mode & mode::NXE == 0 { NX } else { 0 };
    let legacy_high = if mode & mode::LONG == 0 { 0x7ff0_0000_0000_0000 } else { 0 };
    let kind = match (level, large) {
        (4, _) => PS,
        (3, true) => 0x3fff_e000,
        (2, true) => 0x1f_e000,
        _ => 0,
    };
    address | no_execute | legacy_high | kind
}

/// The physical address that a vCPU has mapped at a linear one, whatever the permissions.
pub(crate) fn translate(cpu: &CpuState, board: &Board, linear: u64) -> Option<u64> {
    let long = cpu.is_long_mode();
    if long && !super::memory::is_canonical(linear) {
        return None;
    }
    // Outside long mode linear addresses have 32 bits.
    let linear = if long { linear } else { linear & 0xffff_ffff };
    let key = context_key(cpu, Privilege::Supervisor, false, 0);
    if key.mode & mode::PAGING == 0 {
        return Some(linear);
    }
    let leaf = descend(board, &key, linear).ok()?;
    Some(leaf.page | linear & (PAGE_SIZE - 1))
}
