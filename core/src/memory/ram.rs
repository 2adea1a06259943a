//! Guest RAM: sparse on the host, with dirty-page tracking and page watches.
//!
//! RAM is one anonymous mapping that the host fills with pages only as the guest touches them, so 32 GiB of guest RAM
//! cost nothing until used. Two kinds of book-keeping hang on its pages:
//!
//! * **Dirty logs.** Each client (fingerprints, checkpoints) has a bitmap of the pages written since it last looked.
//! * **Watches.** An engine marks pages from which it derived something (translated code, page-table entries). A write
//!   to such a page, by a CPU or by DMA, is queued, and the engine drops what it derived before it runs on: caches are
//!   not state (determinism contract, item 9).
//!
//! Most pages need no book-keeping most of the time: they were written since each log looked, and nobody watches them.
//! A writer inside an engine may borrow such a page ([`Ram::lend`]) and write to it directly, until RAM recalls it
//! ([`Ram::take_recalls`]) because a log was taken or somebody watches it now.

use memmap2::{Advice, MmapMut, MmapOptions};

/// log2 of the size of a page.
pub const PAGE_SHIFT: u32 = 12;
/// Bytes in a page.
pub const PAGE_SIZE: u64 = 1 << PAGE_SHIFT;
/// Bytes in a line: what engines remember code by.
const LINE: usize = 64;

/// Why guest RAM could not be had.
#[derive(Debug, thiserror::Error)]
pub enum RamError {
    /// Zero, or no whole number of pages.
    #[error("guest RAM of {0} bytes is not a whole number of 4096-byte pages")]
    Size(u64),
    /// The host refused the reservation.
    #[error("the host refused to reserve {bytes} bytes of address space for guest RAM: {source}")]
    Host {
        /// Bytes asked for.
        bytes: u64,
        /// What the host said.
        source: std::io::Error,
    },
}

/// Who reads a dirty log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirtyLog {
    /// The incremental fingerprint.
    Fingerprint,
    /// Checkpoints.
    Checkpoint,
}

/// What an engine has derived from a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageWatch {
    /// Decoded or translated instructions.
    Code,
    /// Page-table entries that a walk has read.
    PageTable,
}

const CLEAN_FINGERPRINT: u8 = 1;
const CLEAN_CHECKPOINT: u8 = 2;
const WATCH_CODE: u8 = 4;
const WATCH_TABLE: u8 = 8;
const WATCHED: u8 = WATCH_CODE | WATCH_TABLE;
/// The page was written at some time, so it may hold anything but zeros.
const TOUCHED: u8 = 16;
/// Somebody writes to the page directly; it needs no book-keeping.
const LENT: u8 = 32;

impl DirtyLog {
    const fn clean_bit(self) -> u8 {
        match self {
            Self::Fingerprint => CLEAN_FINGERPRINT,
            Self::Checkpoint => CLEAN_CHECKPOINT,
        }
    }
}

impl PageWatch {
    const fn bit(self) -> u8 {
        match self {
            Self::Code => WATCH_CODE,
            Self::PageTable => WATCH_TABLE,
        }
    }
}

/// Guest RAM, addressed by offset from its first byte.
pub struct Ram {
    bytes: MmapMut,
    /// One byte of flags a page; [`TOUCHED`] alone, but for [`LENT`], means that a write needs no book-keeping at all.
    pages: Vec<u8>,
    /// Pages written since the last look, a list a log, each page once.
    dirty: [Vec<u32>; 2],
    /// Writes to watched pages that no engine has seen yet: offset and length.
    watched_writes: Vec<(u64, u32)>,
    /// Pages that were lent and need book-keeping now, each once.
    recalls: Vec<u32>,
}

impl Ram {
    /// RAM of `size` bytes, all zero; a whole number of pages.
    pub fn new(size: u64) -> Result<Self, RamError> {
        if size == 0 || !size.is_multiple_of(PAGE_SIZE) || size >> PAGE_SHIFT > u64::from(u32::MAX) {
            return Err(RamError::Size(size));
        }
        let host = |source| RamError::Host { bytes: size, source };
        let len = usize::try_from(size).map_err(|_| RamError::Size(size))?;
        let bytes = MmapOptions::new().len(len).no_reserve_swap().map_anon().map_err(host)?;
        // A huge page would make the host pay 2 MiB for each touched 4 KiB. Advice only: failure changes no result.
        let _ = bytes.advise(Advice::NoHugePage);
        let pages = vec![CLEAN_FINGERPRINT | CLEAN_CHECKPOINT; len >> PAGE_SHIFT];
        let dirty = [Vec::new(), Vec::new()];
        Ok(Self { bytes, pages, dirty, watched_writes: Vec::new(), recalls: Vec::new() })
    }

    /// Bytes of RAM.
    pub fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Bytes in pages that were ever written: what the guest's RAM costs the host.
    pub fn touched_bytes(&self) -> u64 {
        let touched = self.pages.iter().filter(|&flags| flags & TOUCHED != 0).count();
        (touched as u64) << PAGE_SHIFT
    }

    /// Whether there is no RAM; never true.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The `N` bytes at `offset`, or `None` past the end.
    #[inline(always)]
    pub fn get<const N: usize>(&self, offset: u64) -> Option<[u8; N]> {
        let at = offset as usize;
        self.bytes.get(at..at.wrapping_add(N))?.try_into().ok()
    }

    /// The bytes at `offset`, or `None` if any lies past the end.
    #[inline]
    pub fn slice(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let at = offset as usize;
        self.bytes.get(at..at.checked_add(len)?)
    }

    /// Writes `data` at `offset` with all book-keeping; false, and nothing written, if any byte lies past the end.
    pub fn write(&mut self, offset: u64, data: &[u8]) -> bool {
        let at = offset as usize;
        let Some(target) = at.checked_add(data.len()).and_then(|end| self.bytes.get_mut(at..end)) else {
            return false;
        };
        target.copy_from_slice(data);
        self.note_write(offset, data.len() as u64);
        true
    }

    /// Lends the page at `offset` if writes to it need no book-keeping: they may then be made directly until the page is
    /// among the [recalls](Self::take_recalls).
    pub fn lend(&mut self, offset: u64) -> bool {
        let Some(flags) = self.pages.get_mut((offset >> PAGE_SHIFT) as usize) else { return false };
        let plain = is_plain(*flags);
        if plain {
            *flags |= LENT;
        }
        plain
    }

    /// Whether the page at `offset` is lent.
    #[inline]
    pub fn is_lent(&self, offset: u64) -> bool {
        self.pages.get((offset >> PAGE_SHIFT) as usize).is_some_and(|flags| flags & LENT != 0)
    }

    /// Whether lent pages must not be written directly any more.
    #[inline(always)]
    pub fn has_recalls(&self) -> bool {
        !self.recalls.is_empty()
    }

    /// Takes the numbers of the pages that must not be written directly any more, each once.
    pub fn take_recalls(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.recalls)
    }

    /// Sets flags of a page that need book-keeping.
    fn set_flags(&mut self, page: usize, set: u8) {
        let flags = &mut self.pages[page];
        if *flags & LENT != 0 {
            self.recalls.push(page as u32);
        }
        *flags = *flags & !LENT | set;
    }

    /// The address on the host of the byte at `offset`, which never changes: for an engine's caches, and never part of
    /// any state.
    #[inline]
    pub fn host_address(&self, offset: u64) -> u64 {
        (self.bytes.as_ptr() as u64).wrapping_add(offset)
    }

    /// Writes to a page that was [lent](Self::lend); nothing happens past the end.
    #[inline(always)]
    pub fn write_plain<const N: usize>(&mut self, offset: u64, data: [u8; N]) {
        let at = offset as usize;
        if let Some(target) = self.bytes.get_mut(at..at.wrapping_add(N)) {
            target.copy_from_slice(&data);
        }
    }

    /// Copies `len` bytes within RAM as one move, to a page that was lent; nothing happens past the end.
    pub fn copy_plain(&mut self, from: u64, to: u64, len: usize) {
        let (from, to) = (from as usize, to as usize);
        let end = self.bytes.len();
        if from.saturating_add(len) <= end && to.saturating_add(len) <= end {
            self.bytes.copy_within(from..from + len, to);
        }
    }

    /// Fills `count` elements with a pattern, in a page that was lent; nothing happens past the end.
    pub fn fill_plain(&mut self, offset: u64, pattern: &[u8], count: usize) {
        let at = offset as usize;
        let target = at.checked_add(pattern.len() * count).and_then(|end| self.bytes.get_mut(at..end));
        if let Some(target) = target {
            target.chunks_exact_mut(pattern.len()).for_each(|element| element.copy_from_slice(pattern));
        }
    }

    /// Marks the page at `offset` dirty in every log, as a write to it would.
    pub fn mark_dirty(&mut self, offset: u64) {
        let page = (offset >> PAGE_SHIFT) as usize;
        let Some(flags) = self.pages.get_mut(page) else { return };
        for (log, clean) in [CLEAN_FINGERPRINT, CLEAN_CHECKPOINT].into_iter().enumerate() {
            if *flags & clean != 0 {
                self.dirty[log].push(page as u32);
            }
        }
        *flags = *flags & (WATCHED | LENT) | TOUCHED;
    }

    /// Writes to one page without telling who watches it: a walk that sets accessed and dirty bits.
    pub fn write_unseen(&mut self, offset: u64, data: &[u8]) {
        let at = offset as usize;
        if let Some(target) = at.checked_add(data.len()).and_then(|end| self.bytes.get_mut(at..end)) {
            target.copy_from_slice(data);
            self.mark_dirty(offset);
        }
    }

    fn note_write(&mut self, offset: u64, len: u64) {
        if len == 0 {
            return;
        }
        let last = (offset + len - 1) >> PAGE_SHIFT;
        for page in offset >> PAGE_SHIFT..=last {
            if is_plain(self.pages[page as usize]) {
                continue;
            }
            self.mark_dirty(page << PAGE_SHIFT);
            if self.pages[page as usize] & WATCHED != 0 {
                let start = offset.max(page << PAGE_SHIFT);
                let end = (offset + len).min((page + 1) << PAGE_SHIFT);
                self.watched_writes.push((start, (end - start) as u32));
            }
        }
    }

    /// Asks to hear of writes to the page at `offset`.
    pub fn watch(&mut self, offset: u64, watch: PageWatch) {
        let page = (offset >> PAGE_SHIFT) as usize;
        if page < self.pages.len() {
            self.set_flags(page, watch.bit());
        }
    }

    /// No longer asks to hear of writes to the page at `offset`.
    pub fn unwatch(&mut self, offset: u64, watch: PageWatch) {
        if let Some(flags) = self.pages.get_mut((offset >> PAGE_SHIFT) as usize) {
            *flags &= !watch.bit();
        }
    }

    /// Whether the page at `offset` is watched so.
    #[inline]
    pub fn is_watched(&self, offset: u64, watch: PageWatch) -> bool {
        self.pages.get((offset >> PAGE_SHIFT) as usize).is_some_and(|flags| flags & watch.bit() != 0)
    }

    /// Whether there are writes to watched pages that no engine has seen.
    #[inline(always)]
    pub fn has_watched_writes(&self) -> bool {
        !self.watched_writes.is_empty()
    }

    /// Takes one of the writes to watched pages that were not taken yet: offset and length, none across a page.
    pub fn take_watched_write(&mut self) -> Option<(u64, u32)> {
        self.watched_writes.pop()
    }

    /// Takes the numbers of the pages written since the last call, in ascending order.
    pub fn take_dirty(&mut self, log: DirtyLog) -> Vec<u32> {
        let mut pages = std::mem::take(&mut self.dirty[log as usize]);
        pages.sort_unstable();
        for &page in &pages {
            self.set_flags(page as usize, log.clean_bit());
        }
        pages
    }

    /// Sets all of RAM to zero, giving touched pages back by writing only those that are not zero.
    pub fn clear(&mut self) {
        for page in 0..self.pages.len() as u64 {
            if self.page_is_nonzero(page) {
                self.write(page << PAGE_SHIFT, &[0; PAGE_SIZE as usize]);
            }
        }
    }

    fn page_is_nonzero(&self, page: u64) -> bool {
        let at = (page << PAGE_SHIFT) as usize;
        self.pages[page as usize] & TOUCHED != 0 && self.bytes[at..at + PAGE_SIZE as usize].iter().any(|&b| b != 0)
    }

    /// Gives a page contents that it had before, with all book-keeping; only lines of 64 bytes that differ are written, so
    /// what was derived from the others stays. Nothing happens past the end.
    pub fn restore_page(&mut self, page: u32, contents: &[u8; PAGE_SIZE as usize]) {
        let base = u64::from(page) << PAGE_SHIFT;
        let Some(current) = self.slice(base, PAGE_SIZE as usize) else { return };
        let lines = current.as_chunks::<LINE>().0.iter().zip(contents.as_chunks::<LINE>().0);
        let differ = lines.enumerate().fold(0u64, |bits, (at, (old, new))| bits | u64::from(differs(old, new)) << at);
        let mut left = differ;
        while left != 0 {
            let first = left.trailing_zeros();
            let count = (left >> first).trailing_ones();
            let (start, end) = (first as usize * LINE, (first + count) as usize * LINE);
            self.write(base + start as u64, &contents[start..end]);
            left &= u64::MAX.checked_shl(first + count).unwrap_or(0);
        }
    }

    /// Numbers of the pages that hold anything but zeros, in ascending order.
    pub fn nonzero_pages(&self) -> impl Iterator<Item = u32> {
        (0..self.pages.len() as u32).filter(|&page| self.page_is_nonzero(u64::from(page)))
    }
}

/// Whether two lines differ: without a branch or a call, since all lines of a page are compared.
#[inline(always)]
fn differs(one: &[u8; LINE], other: &[u8; LINE]) -> bool {
    let words = one.as_chunks::<8>().0.iter().zip(other.as_chunks::<8>().0);
    words.fold(0, |bits, (one, other)| bits | (u64::from_le_bytes(*one) ^ u64::from_le_bytes(*other))) != 0
}

/// Whether a write to a page with these flags needs no book-keeping.
#[inline(always)]
fn is_plain(flags: u8) -> bool {
    flags & !LENT == TOUCHED
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ram() -> Ram {
        Ram::new(16 * PAGE_SIZE).unwrap()
    }

    #[test]
    fn each_log_hears_of_a_page_once() {
        let mut ram = ram();
        assert!(ram.write(PAGE_SIZE - 2, &[1, 2, 3, 4]));
        assert!(ram.write(0, &[9]));
        assert_eq!(ram.take_dirty(DirtyLog::Fingerprint), [0, 1]);
        assert_eq!(ram.take_dirty(DirtyLog::Fingerprint), []);
        assert!(ram.write(0, &[9]));
        assert_eq!(ram.take_dirty(DirtyLog::Fingerprint), [0]);
        assert_eq!(ram.take_dirty(DirtyLog::Checkpoint), [0, 1]);
    }

    #[test]
    fn lent_pages_are_recalled_once_when_someone_looks_or_watches() {
        let mut ram = ram();
        assert!(!ram.lend(0));
        ram.write(0, &[1]);
        assert!(ram.lend(0) && ram.lend(0) && ram.is_lent(0));
        ram.mark_dirty(0);
        assert!(ram.is_lent(0) && !ram.has_recalls());
        ram.take_dirty(DirtyLog::Checkpoint);
        ram.watch(0, PageWatch::Code);
        assert_eq!(ram.take_recalls(), [0]);
        assert!(!ram.is_lent(0) && !ram.has_recalls());
        ram.write(0, &[1]);
        assert!(!ram.lend(0));
        ram.unwatch(0, PageWatch::Code);
        assert!(ram.lend(0));
    }

    #[test]
    fn pages_that_nobody_borrowed_are_not_recalled() {
        let mut ram = ram();
        ram.write(0, &[1; 2 * PAGE_SIZE as usize]);
        ram.watch(0, PageWatch::PageTable);
        ram.take_dirty(DirtyLog::Fingerprint);
        assert!(!ram.has_recalls());
    }

    #[test]
    fn host_addresses_are_as_far_apart_as_offsets() {
        let ram = ram();
        assert_eq!(ram.host_address(5 * PAGE_SIZE + 3) - ram.host_address(0), 5 * PAGE_SIZE + 3);
        assert_eq!(ram.host_address(0) % PAGE_SIZE, 0);
    }

    #[test]
    fn writes_to_watched_pages_are_queued_a_page_at_a_time() {
        let mut ram = ram();
        ram.watch(0, PageWatch::Code);
        ram.watch(PAGE_SIZE, PageWatch::PageTable);
        ram.write(PAGE_SIZE - 1, &[0; 3]);
        ram.write(5 * PAGE_SIZE, &[1]);
        assert_eq!(ram.take_watched_write(), Some((PAGE_SIZE, 2)));
        assert_eq!(ram.take_watched_write(), Some((PAGE_SIZE - 1, 1)));
        assert_eq!(ram.take_watched_write(), None);
    }

    #[test]
    fn a_page_is_restored_by_the_lines_that_differ() {
        let mut ram = ram();
        let before: [u8; PAGE_SIZE as usize] = std::array::from_fn(|at| at as u8);
        ram.write(PAGE_SIZE, &before);
        [0, 70, 130, 1000, 4095].into_iter().for_each(|at| assert!(ram.write(PAGE_SIZE + at, &[0xaa])));
        ram.watch(PAGE_SIZE, PageWatch::Code);
        [DirtyLog::Fingerprint, DirtyLog::Checkpoint].into_iter().for_each(|log| assert_eq!(ram.take_dirty(log), [1]));
        ram.restore_page(1, &before);
        assert_eq!(ram.slice(PAGE_SIZE, PAGE_SIZE as usize), Some(&before[..]));
        let seen: Vec<_> = std::iter::from_fn(|| ram.take_watched_write()).collect();
        assert_eq!(seen, [(2 * PAGE_SIZE - 64, 64), (PAGE_SIZE + 960, 64), (PAGE_SIZE, 192)]);
        assert_eq!(ram.take_dirty(DirtyLog::Fingerprint), [1]);
        ram.restore_page(1, &before);
        ram.restore_page(16, &before);
        assert!(!ram.has_watched_writes() && ram.take_dirty(DirtyLog::Fingerprint).is_empty(), "nothing differs");
    }

    #[test]
    fn nothing_past_the_end() {
        let mut ram = ram();
        let end = ram.len();
        assert!(!ram.write(end - 1, &[1, 2]));
        assert!(!ram.write(u64::MAX, &[1]));
        assert_eq!(ram.get::<2>(end - 1), None);
        assert_eq!(ram.get::<8>(u64::MAX - 3), None);
        assert!(ram.slice(u64::MAX, 2).is_none());
        assert_eq!(ram.nonzero_pages().count(), 0);
    }

    #[test]
    fn sizes_that_cannot_be_are_refused() {
        assert!(matches!(Ram::new(0), Err(RamError::Size(0))));
        assert!(matches!(Ram::new(4097), Err(RamError::Size(4097))));
        assert!(Ram::new(!0xfff).is_err());
    }

    #[test]
    fn thirty_two_gib_cost_nothing_until_touched() {
        let mut ram = Ram::new(32 << 30).unwrap();
        ram.write((32 << 30) - 1, &[7]);
        assert_eq!(ram.nonzero_pages().collect::<Vec<_>>(), [(32 << 18) - 1]);
        assert_eq!(ram.touched_bytes(), PAGE_SIZE);
    }
}
