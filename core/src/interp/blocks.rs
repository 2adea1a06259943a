//! The cache of decoded instructions, by where they lie in RAM.
//!
//! A block is a run of instructions in one page, up to the first that ends it. Blocks are cut wherever execution
//! happens to enter, so nothing may depend on where they begin or end. A page with blocks is watched; a write to one of
//! its 64-byte lines that instructions came from drops the page's blocks before the next instruction executes.

use super::op::Op;
use crate::memory::{PAGE_SHIFT, PAGE_SIZE, PageWatch, Ram, lines};
use std::collections::BTreeMap;

/// Longest block, in instructions.
pub(crate) const BLOCK_LIMIT: usize = 48;
/// All blocks are dropped once there are this many decoded instructions. It bounds what the cache costs the host: an
/// instruction takes 32 bytes, and the entry of a block, which may be as short as one, takes less again.
const OP_LIMIT: usize = 1 << 20;
const JUMP_ENTRIES: usize = 1 << 14;

/// Where a block's instructions are among all: the first and, in the low bits, how many.
#[derive(Clone, Copy)]
pub(crate) struct Span(u32);

const SPAN_LEN_BITS: u32 = 6;
const _: () = assert!(BLOCK_LIMIT < 1 << SPAN_LEN_BITS && OP_LIMIT << SPAN_LEN_BITS <= 1 << 32);

impl Span {
    fn new(start: usize, len: usize) -> Self {
        Self((start as u32) << SPAN_LEN_BITS | len as u32)
    }
}

/// What the jump cache is keyed by, beside the address.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct FetchKey {
    /// Context of the fetch, and 16-, 32- or 64-bit decoding.
    pub mode: u32,
    /// Grows whenever a fetch's translation may have changed.
    pub epoch: u64,
}

#[derive(Clone, Copy)]
struct Jump {
    linear: u64,
    mode: u32,
    block: Span,
    epoch: u64,
}

/// Where a block begins.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// Linear address.
    pub linear: u64,
    /// How it is fetched.
    pub key: FetchKey,
    /// Offset in RAM.
    pub offset: u64,
    /// 0, 1 or 2 for 16-, 32- or 64-bit decoding.
    pub size_code: u16,
}

/// Blocks of one page.
#[derive(Default)]
struct CodePage {
    /// Offset in the page times 4 plus the decoding size's code, and the block; in ascending order.
    heads: Vec<(u16, Span)>,
    /// One bit for each 64 bytes that an instruction came from.
    lines: u64,
}

/// The cache.
pub(crate) struct Blocks {
    /// The instructions of all blocks, also of those that were dropped since the last flush.
    ops: Vec<Op>,
    pages: BTreeMap<u64, CodePage>,
    jumps: Box<[Jump; JUMP_ENTRIES]>,
    /// Grows whenever a block is dropped, so that the jump cache forgets it.
    epoch: u64,
}

impl CodePage {
    fn find(&self, head: u16) -> Option<Span> {
        self.heads.binary_search_by_key(&head, |entry| entry.0).ok().map(|at| self.heads[at].1)
    }

    fn insert(&mut self, head: u16, block: Span) {
        match self.heads.binary_search_by_key(&head, |entry| entry.0) {
            Ok(at) => self.heads[at].1 = block,
            Err(at) => self.heads.insert(at, (head, block)),
        }
    }
}

impl Blocks {
    pub(crate) fn new() -> Self {
        let none = Jump { linear: 0, mode: u32::MAX, block: Span::new(0, 0), epoch: 0 };
        let jumps = vec![none; JUMP_ENTRIES].into_boxed_slice().try_into().ok().expect("the length is right");
        // All the room at once: the host gives memory only as it is used.
        Self { ops: Vec::with_capacity(OP_LIMIT), pages: BTreeMap::new(), jumps, epoch: 0 }
    }

    #[inline(always)]
    fn slot(linear: u64) -> usize {
        ((linear ^ linear >> 14) as usize) & (JUMP_ENTRIES - 1)
    }

    /// The block that was last found for a linear address, if nothing has changed since.
    #[inline(always)]
    pub(crate) fn jump(&self, linear: u64, key: FetchKey) -> Option<Span> {
        let jump = &self.jumps[Self::slot(linear)];
        let hit = jump.linear == linear && jump.mode == key.mode && jump.epoch == key.epoch.wrapping_add(self.epoch);
        hit.then_some(jump.block)
    }

    /// A block's instructions.
    #[inline(always)]
    pub(crate) fn ops(&self, block: Span) -> &[Op] {
        let start = (block.0 >> SPAN_LEN_BITS) as usize;
        let len = (block.0 & ((1 << SPAN_LEN_BITS) - 1)) as usize;
        self.ops.get(start..start + len).unwrap_or_default()
    }

    /// The block at an offset of RAM, remembered for the linear address.
    pub(crate) fn find(&mut self, place: Place) -> Option<Span> {
        let Place { linear, key, offset, size_code } = place;
        let block = self.pages.get(&(offset >> PAGE_SHIFT))?.find(head(offset, size_code))?;
        self.remember(linear, key, block);
        Some(block)
    }

    fn remember(&mut self, linear: u64, key: FetchKey, block: Span) {
        let epoch = key.epoch.wrapping_add(self.epoch);
        self.jumps[Self::slot(linear)] = Jump { linear, mode: key.mode, block, epoch };
    }

    /// Adds a block of `bytes` bytes.
    pub(crate) fn insert(&mut self, place: Place, ops: &[Op], bytes: u64, ram: &mut Ram) -> Span {
        let Place { linear, key, offset, size_code } = place;
        if self.ops.len() + ops.len() > OP_LIMIT {
            self.flush();
        }
        let block = Span::new(self.ops.len(), ops.len());
        self.ops.extend_from_slice(ops);
        let page = self.pages.entry(offset >> PAGE_SHIFT).or_default();
        page.insert(head(offset, size_code), block);
        page.lines |= lines(offset, bytes);
        ram.watch(offset, PageWatch::Code);
        self.remember(linear, key, block);
        block
    }

    /// Bytes of one page were written at an offset of RAM. Returns whether anything of the page is still remembered.
    pub(crate) fn written(&mut self, offset: u64, len: u32) -> bool {
        let number = offset >> PAGE_SHIFT;
        let Some(page) = self.pages.get(&number) else { return false };
        if page.lines & lines(offset, u64::from(len)) == 0 {
            return true;
        }
        // The instructions stay until the next flush: their places are not used again before it.
        self.pages.remove(&number);
        self.epoch += 1;
        false
    }

    /// Drops every block. Pages stay watched until they are written: others may have derived something from them.
    pub(crate) fn flush(&mut self) {
        self.pages.clear();
        self.ops.clear();
        self.epoch += 1;
    }
}

fn head(offset: u64, size_code: u16) -> u16 {
    ((offset & (PAGE_SIZE - 1)) as u16) << 2 | size_code
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::reg;

    const NOTHING: Op = Op {
        run: |_, _| Ok(()),
        imm: 0,
        disp: 0,
        base: reg::ZERO,
        index: reg::ZERO,
        scale: 0,
        seg: 0,
        reg: reg::ZERO,
        rm: reg::ZERO,
        third: reg::ZERO,
        len: 1,
        address_size: 8,
        size: 0,
        flags: 0,
    };
    const KEY: FetchKey = FetchKey { mode: 64, epoch: 0 };

    fn place(offset: u64) -> Place {
        Place { linear: offset, key: KEY, offset, size_code: 2 }
    }

    #[test]
    fn blocks_are_found_until_one_of_their_lines_is_written() {
        let mut ram = Ram::new(4 * PAGE_SIZE).unwrap();
        let mut blocks = Blocks::new();
        for (offset, len) in [(0x1100, 3), (0x1000, 2), (0x1080, 1)] {
            blocks.insert(place(offset), &[NOTHING; 3][..len], len as u64, &mut ram);
        }
        let found = |blocks: &mut Blocks, at| blocks.find(place(at)).map(|block| blocks.ops(block).len());
        assert_eq!([0x1000, 0x1080, 0x1100].map(|at| found(&mut blocks, at)), [Some(2), Some(1), Some(3)]);
        assert_eq!(found(&mut blocks, 0x1001), None);
        assert!(blocks.jump(0x1080, KEY).is_some());
        assert!(blocks.written(0x1040, 8));
        assert_eq!(found(&mut blocks, 0x1000), Some(2));
        assert!(!blocks.written(0x1101, 1));
        assert_eq!(found(&mut blocks, 0x1000), None);
        assert!(blocks.jump(0x1080, KEY).is_none());
    }

    #[test]
    fn code_that_is_written_again_and_again_takes_bounded_memory() {
        let mut ram = Ram::new(4 * PAGE_SIZE).unwrap();
        let mut blocks = Blocks::new();
        let ops = [NOTHING; BLOCK_LIMIT];
        for round in 0..3 * OP_LIMIT as u64 / BLOCK_LIMIT as u64 {
            let offset = round % 4 * PAGE_SIZE;
            let block = blocks.insert(place(offset), &ops, BLOCK_LIMIT as u64, &mut ram);
            assert_eq!(blocks.ops(block).len(), BLOCK_LIMIT);
            blocks.written(offset, 1);
        }
        assert!(blocks.ops.capacity() * size_of::<Op>() <= 32 << 20);
    }
}
