//! What is gathered in memory while a machine is made ready to boot.

use super::BootError;
use reprise_core::board::{Board, HIGH_RAM_START, VGA_WINDOW};
use reprise_frontend::pc::layout::EBDA;
use std::ops::Range;

/// Where loaders put what they hand to a kernel: information, memory map, command line.
pub(super) const BOOT_DATA: Range<u64> = 0x9_0000..EBDA;
/// Where loaders put the descriptor table that their segments come from.
pub(super) const GDT: u64 = 0x8_f000;
/// Where loaders put page tables.
pub(super) const PAGE_TABLES: u64 = 0x7_0000;

/// The contents of memory so far.
pub(super) struct Image<'a> {
    board: &'a Board,
    parts: Vec<Part>,
}

struct Part {
    what: String,
    start: u64,
    bytes: Vec<u8>,
}

impl Part {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl<'a> Image<'a> {
    pub(super) fn new(board: &'a Board) -> Self {
        Self { board, parts: Vec::new() }
    }

    pub(super) fn board(&self) -> &'a Board {
        self.board
    }

    /// Puts `bytes` at `start`, followed by zeros up to `size`; refused if there is no RAM or something lies there.
    pub(super) fn put(&mut self, what: &str, start: u64, bytes: &[u8], size: u64) -> Result<(), BootError> {
        if size == 0 {
            return Ok(());
        }
        let end = start.checked_add(size).filter(|&end| self.is_ram(start, end));
        let ram = self.board.ram.len();
        let Some(end) = end else {
            return Err(BootError::NoRam { what: what.into(), start, end: start.saturating_add(size), ram });
        };
        if let Some(other) = self.parts.iter().find(|part| part.start < end && start < part.end()) {
            return Err(BootError::Overlap { what: what.into(), start, other: other.what.clone() });
        }
        let mut all = bytes.to_vec();
        all.resize(size as usize, 0);
        self.parts.push(Part { what: what.into(), start, bytes: all });
        Ok(())
    }

    /// Puts `bytes` at `start`.
    pub(super) fn put_bytes(&mut self, what: &str, start: u64, bytes: &[u8]) -> Result<(), BootError> {
        self.put(what, start, bytes, bytes.len() as u64)
    }

    fn is_ram(&self, start: u64, end: u64) -> bool {
        let low = end <= self.board.low_ram() && (end <= VGA_WINDOW.start || start >= VGA_WINDOW.end);
        let high = start >= HIGH_RAM_START && end <= HIGH_RAM_START + self.board.high_ram();
        low || high
    }

    pub(super) fn into_memory(self) -> Vec<(u64, Vec<u8>)> {
        self.parts.into_iter().map(|part| (part.start, part.bytes)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board() -> Board {
        Board::new(16 << 20, 1).unwrap()
    }

    #[test]
    fn what_is_put_is_padded_with_zeros() {
        let board = board();
        let mut image = Image::new(&board);
        image.put("kernel", 0x10_0000, &[1, 2], 4).unwrap();
        assert_eq!(image.into_memory(), [(0x10_0000, vec![1, 2, 0, 0])]);
    }

    #[test]
    fn where_no_ram_is_nothing_can_be() {
        let board = board();
        let mut image = Image::new(&board);
        for (start, size) in
            [(16 << 20, 1), ((16 << 20) - 1, 2), (u64::MAX, 2), (0x9_ffff, 2), (0xb_0000, 1), (0, u64::MAX)]
        {
            assert!(matches!(image.put("x", start, &[], size), Err(BootError::NoRam { .. })), "{start:#x}");
        }
        image.put("x", 0xc_0000, &[1], 1).unwrap();
    }

    #[test]
    fn overlaps_name_both() {
        let board = board();
        let mut image = Image::new(&board);
        image.put("first", 0x1000, &[], 0x1000).unwrap();
        image.put("beside", 0x2000, &[], 1).unwrap();
        let error = image.put("second", 0xfff, &[], 2).unwrap_err();
        assert_eq!(error.to_string(), "second at 0xfff overlaps first");
    }
}
