//! What is known of blocks, by where they lie in RAM.
//!
//! A page is known as long as nobody writes to one of its 64-byte lines that code was translated from; then all that is
//! known of it is dropped at once. Links between blocks never leave a page, so none is left dangling. An instruction that
//! crosses into another page is a block of its own, dropped with either page; no link leads to it, because what follows
//! its page is another matter in each address space.

use crate::variant::{VARIANT_BITS, Variant};
use reprise_core::memory::{PAGE_SHIFT, PAGE_SIZE, lines};

/// What is known of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// It was interpreted so many times.
    Cold(u8),
    /// Host address of its code.
    Code(u64),
    /// Host address of the code for one instruction that goes on in the page at this offset of RAM.
    Crossing(u64, u64),
}

/// What is known of a page.
#[derive(Debug, Default)]
struct CodePage {
    /// By offset in the page and variant, in ascending order.
    heads: Vec<(u32, Head)>,
    /// One bit for each 64 bytes that code was translated from.
    lines: u64,
    /// Linear addresses whose jump cache entries may lead here.
    jumps: Vec<u64>,
    /// Instructions that end here and begin in another page: its number, and their keys there.
    crossing: Vec<(u64, u32)>,
}

/// Linear addresses that are remembered of a page; beyond so many all jump caches are emptied when it is dropped.
const JUMPS_KEPT: usize = 512;

/// Linear addresses that jump caches must forget.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// These.
    Some(Vec<u64>),
    /// Any.
    All,
}

/// All blocks.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    /// For each page of RAM, its place in `pages` plus 1.
    index: Vec<u32>,
    pages: Vec<CodePage>,
    /// Places in `pages` that are not in use.
    free: Vec<u32>,
    /// What was found of late, by offset and variant; empty until something is known.
    recent: Vec<(u64, Head)>,
}

/// Entries of `recent`.
const RECENT: usize = 1 << 14;
/// What no block has for offset and variant.
const NOTHING: u64 = u64::MAX;

fn recent_key(offset: u64, variant: Variant) -> u64 {
    offset << VARIANT_BITS | u64::from(variant.number())
}

fn recent_index(offset: u64) -> usize {
    (offset ^ offset >> 12) as usize & (RECENT - 1)
}

fn key(offset: u64, variant: Variant) -> u32 {
    ((offset & (PAGE_SIZE - 1)) as u32) << VARIANT_BITS | variant.number()
}

/// The offset in the page of a key.
fn offset_of(key: u32) -> u64 {
    u64::from(key >> VARIANT_BITS)
}

const _: () = assert!(PAGE_SHIFT + VARIANT_BITS <= u32::BITS);

impl Blocks {
    fn page(&self, offset: u64) -> Option<&CodePage> {
        let place = *self.index.get((offset >> PAGE_SHIFT) as usize)?;
        self.pages.get((place as usize).checked_sub(1)?)
    }

    fn page_mut(&mut self, offset: u64) -> Option<&mut CodePage> {
        let place = *self.index.get((offset >> PAGE_SHIFT) as usize)?;
        self.pages.get_mut((place as usize).checked_sub(1)?)
    }

    fn page_or_new(&mut self, offset: u64, ram: u64) -> &mut CodePage {
        if self.index.is_empty() {
            // The host gives memory only for what is touched.
            self.index = vec![0; (ram >> PAGE_SHIFT) as usize];
            self.recent = vec![(NOTHING, Head::Cold(0)); RECENT];
        }
        let number = (offset >> PAGE_SHIFT) as usize;
        if self.index[number] == 0 {
            let place = self.free.pop().unwrap_or_else(|| {
                self.pages.push(CodePage::default());
                self.pages.len() as u32 - 1
            });
            self.index[number] = place + 1;
        }
        &mut self.pages[self.index[number] as usize - 1]
    }

    /// What is known of the block at an offset in RAM.
    #[inline]
    pub(crate) fn find(&mut self, offset: u64, variant: Variant) -> Head {
        let key = recent_key(offset, variant);
        match self.recent.get(recent_index(offset)) {
            Some(&(known, head)) if known == key => head,
            _ => self.find_in_page(offset, variant),
        }
    }

    #[cold]
    fn find_in_page(&mut self, offset: u64, variant: Variant) -> Head {
        let known = self.page(offset).and_then(|page| {
            let at = page.heads.binary_search_by_key(&key(offset, variant), |head| head.0).ok()?;
            Some(page.heads[at].1)
        });
        if let Some(head) = known {
            self.recent[recent_index(offset)] = (recent_key(offset, variant), head);
        }
        known.unwrap_or(Head::Cold(0))
    }

    /// Remembers something of the block at an offset in RAM of `ram` bytes.
    pub(crate) fn set(&mut self, offset: u64, variant: Variant, head: Head, ram: u64) {
        let page = self.page_or_new(offset, ram);
        let key = key(offset, variant);
        let recent = (recent_key(offset, variant), head);
        match page.heads.binary_search_by_key(&key, |head| head.0) {
            Ok(at) => page.heads[at].1 = head,
            Err(at) => page.heads.insert(at, (key, head)),
        }
        self.recent[recent_index(offset)] = recent;
    }

    /// Remembers that a block was made from `bytes` bytes.
    pub(crate) fn made_from(&mut self, offset: u64, bytes: u64, ram: u64) {
        self.page_or_new(offset, ram).lines |= lines(offset, bytes);
    }

    /// Remembers that the instruction at an offset in RAM goes on with `bytes` bytes of the page at `next`.
    pub(crate) fn crosses(&mut self, offset: u64, variant: Variant, next: u64, bytes: u64, ram: u64) {
        self.made_from(next, bytes, ram);
        let place = (offset >> PAGE_SHIFT, key(offset, variant));
        let page = self.page_or_new(next, ram);
        if !page.crossing.contains(&place) {
            page.crossing.push(place);
        }
    }

    fn forget_crossing(&mut self, (number, key): (u64, u32)) {
        if let Some(page) = self.page_mut(number << PAGE_SHIFT)
            && let Ok(at) = page.heads.binary_search_by_key(&key, |head| head.0)
        {
            page.heads.remove(at);
            let offset = number << PAGE_SHIFT | offset_of(key);
            self.recent[recent_index(offset)] = (NOTHING, Head::Cold(0));
        }
    }

    /// Remembers that a jump cache leads from a linear address to the block at an offset.
    pub(crate) fn jumped_to(&mut self, offset: u64, linear: u64) {
        if let Some(page) = self.page_mut(offset)
            && page.jumps.len() <= JUMPS_KEPT
        {
            page.jumps.push(linear);
        }
    }

    /// Bytes of one page were written. Returns what jump caches must forget, and whether the page is still known.
    pub(crate) fn written(&mut self, offset: u64, len: u32) -> (Option<Dropped>, bool) {
        let Some(page) = self.page(offset) else { return (None, false) };
        if page.lines & lines(offset, u64::from(len)) == 0 {
            return (None, page.lines != 0);
        }
        let number = (offset >> PAGE_SHIFT) as usize;
        let place = std::mem::take(&mut self.index[number]) - 1;
        let page = std::mem::take(&mut self.pages[place as usize]);
        self.free.push(place);
        for &(key, _) in &page.heads {
            let offset = offset & !(PAGE_SIZE - 1) | offset_of(key);
            self.recent[recent_index(offset)] = (NOTHING, Head::Cold(0));
        }
        page.crossing.iter().for_each(|&place| self.forget_crossing(place));
        let dropped = if page.jumps.len() > JUMPS_KEPT { Dropped::All } else { Dropped::Some(page.jumps) };
        (Some(dropped), false)
    }

    /// Forgets everything.
    pub(crate) fn flush(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reprise_core::cpu::Model;

    const RAM: u64 = 8 * PAGE_SIZE;

    fn variant() -> Variant {
        Variant::usual(Model::find(Model::DEFAULT).expect("the default model exists"))
    }

    const HERE: u64 = 2 * PAGE_SIZE - 3;
    const NEXT: u64 = 5 * PAGE_SIZE;

    fn with_crossing() -> Blocks {
        let mut blocks = Blocks::default();
        blocks.made_from(HERE, 3, RAM);
        blocks.crosses(HERE, variant(), NEXT, 2, RAM);
        blocks.set(HERE, variant(), Head::Crossing(1, NEXT), RAM);
        blocks.jumped_to(HERE, 0x1ffd);
        blocks.jumped_to(NEXT, 0x1ffd);
        blocks
    }

    #[test]
    fn an_instruction_in_two_pages_is_forgotten_with_either() {
        for written in [HERE, NEXT + 1] {
            let mut blocks = with_crossing();
            assert_eq!(blocks.find(HERE, variant()), Head::Crossing(1, NEXT));
            assert_eq!(blocks.written(written, 1), (Some(Dropped::Some(vec![0x1ffd])), false));
            assert_eq!(blocks.find(HERE, variant()), Head::Cold(0));
        }
    }

    #[test]
    fn other_lines_of_the_second_page_may_be_written() {
        let mut blocks = with_crossing();
        assert_eq!(blocks.written(NEXT + 64, 8), (None, true));
        assert_eq!(blocks.find(HERE, variant()), Head::Crossing(1, NEXT));
    }
}
