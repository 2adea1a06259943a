//! The cache of decoded instructions, by where they lie in RAM.
//!
//! A block is a run of instructions in one page, up to the first that ends it. Blocks are cut wherever execution
//! happens to enter, so nothing may depend on where they begin or end. A page with blocks is watched; a write to one of
//! its 64-byte lines that instructions came from drops the page's blocks before the next instruction executes.

use super::op::Op;
use crate::memory::{PAGE_SHIFT, PAGE_SIZE, PageWatch, Ram};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Longest block, in instructions.
pub(crate) const BLOCK_LIMIT: usize = 48;
/// All blocks are dropped once there are this many decoded instructions: 40 bytes each.
const OP_LIMIT: usize = 2 << 20;
const JUMP_ENTRIES: usize = 1 << 14;

/// A block's number.
type BlockId = u32;

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
    block: BlockId,
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
    /// Offset in the page times 4 plus the decoding size's code, and the block.
    heads: BTreeMap<u16, BlockId>,
    /// One bit for each 64 bytes that an instruction came from.
    lines: u64,
}

/// The cache.
pub(crate) struct Blocks {
    blocks: Vec<Rc<[Op]>>,
    pages: BTreeMap<u64, CodePage>,
    jumps: Box<[Jump]>,
    ops: usize,
    /// Grows whenever a block is dropped, so that the jump cache forgets it.
    epoch: u64,
}

impl Blocks {
    pub(crate) fn new() -> Self {
        let none = Jump { linear: 0, mode: u32::MAX, block: 0, epoch: 0 };
        Self {
            blocks: Vec::new(),
            pages: BTreeMap::new(),
            jumps: vec![none; JUMP_ENTRIES].into_boxed_slice(),
            ops: 0,
            epoch: 0,
        }
    }

    #[inline(always)]
    fn slot(linear: u64) -> usize {
        ((linear ^ linear >> 14) as usize) & (JUMP_ENTRIES - 1)
    }

    /// The block that was last found for a linear address, if nothing has changed since.
    #[inline(always)]
    pub(crate) fn jump(&self, linear: u64, key: FetchKey) -> Option<&Rc<[Op]>> {
        let jump = &self.jumps[Self::slot(linear)];
        let hit = jump.linear == linear && jump.mode == key.mode && jump.epoch == key.epoch.wrapping_add(self.epoch);
        if hit { self.blocks.get(jump.block as usize) } else { None }
    }

    /// The block at an offset of RAM, remembered for the linear address.
    pub(crate) fn find(&mut self, place: Place) -> Option<Rc<[Op]>> {
        let Place { linear, key, offset, size_code } = place;
        let page = self.pages.get(&(offset >> PAGE_SHIFT))?;
        let block = *page.heads.get(&head(offset, size_code))?;
        self.remember(linear, key, block);
        Some(self.blocks[block as usize].clone())
    }

    fn remember(&mut self, linear: u64, key: FetchKey, block: BlockId) {
        let epoch = key.epoch.wrapping_add(self.epoch);
        self.jumps[Self::slot(linear)] = Jump { linear, mode: key.mode, block, epoch };
    }

    /// Adds a block of `bytes` bytes.
    pub(crate) fn insert(&mut self, place: Place, ops: Vec<Op>, bytes: u64, ram: &mut Ram) -> Rc<[Op]> {
        let Place { linear, key, offset, size_code } = place;
        if self.ops + ops.len() > OP_LIMIT {
            self.flush(ram);
        }
        self.ops += ops.len();
        let id = self.blocks.len() as BlockId;
        let block: Rc<[Op]> = ops.into();
        self.blocks.push(block.clone());
        let page = self.pages.entry(offset >> PAGE_SHIFT).or_default();
        page.heads.insert(head(offset, size_code), id);
        page.lines |= lines(offset, bytes);
        ram.watch(offset, PageWatch::Code);
        self.remember(linear, key, id);
        block
    }

    /// Bytes at an offset of RAM were written.
    pub(crate) fn written(&mut self, offset: u64, len: u32, ram: &mut Ram) {
        let number = offset >> PAGE_SHIFT;
        let hit = self.pages.get(&number).is_some_and(|page| page.lines & lines(offset, u64::from(len)) != 0);
        if hit {
            // The page's blocks stay allocated until the next flush: numbers are not used again before it.
            self.pages.remove(&number);
            ram.unwatch(offset, PageWatch::Code);
            self.epoch += 1;
        }
    }

    /// Drops every block.
    pub(crate) fn flush(&mut self, ram: &mut Ram) {
        for (number, _) in std::mem::take(&mut self.pages) {
            ram.unwatch(number << PAGE_SHIFT, PageWatch::Code);
        }
        self.blocks.clear();
        self.ops = 0;
        self.epoch += 1;
    }
}

fn head(offset: u64, size_code: u16) -> u16 {
    ((offset & (PAGE_SIZE - 1)) as u16) << 2 | size_code
}

/// The lines of 64 bytes that a range of one page touches.
fn lines(offset: u64, bytes: u64) -> u64 {
    let first = (offset & (PAGE_SIZE - 1)) >> 6;
    let last = ((offset & (PAGE_SIZE - 1)) + bytes.max(1) - 1).min(PAGE_SIZE - 1) >> 6;
    (u64::MAX << first) & (u64::MAX >> (63 - last))
}
