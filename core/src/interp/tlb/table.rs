//! One context's translations, laid out so that native code can use them in place.
//!
//! While native code runs, the host's stack pointer is the *anchor* of the table of ordinary data accesses: translations
//! begin there, the jump cache follows at a fixed distance, native code's own slots lie right under the anchor, where
//! the System V ABI lets nobody interfere ("red zone"), and under them is room for what the host's kernel pushes when a
//! signal comes. Offsets are part of the contract with native code; the constants name them.
//!
//! An entry or jump that is not in use holds an address that its place cannot hold, so one compare decides.

use super::marks::Marks;
use crate::memory::{PAGE_SHIFT, PAGE_SIZE, Ram};
use std::mem::offset_of;
use zerocopy::FromZeros;

/// Bytes under the slots that the host may overwrite at any time.
pub const ROOM: usize = 65536;
/// Words under the anchor: number k of 1 to `SLOTS` lies 8 k bytes under it.
pub const SLOTS: usize = 16;
/// Translations in a table; the index is the page's number modulo this.
pub const ENTRIES: usize = 4096;
/// Bytes of a translation.
pub const ENTRY_SIZE: usize = 32;
/// Offset in a translation of its tag for reads: the page's linear address, if they hit.
pub const ENTRY_READ: usize = 0;
/// Offset in a translation of its tag for writes: the page's linear address, if they hit.
pub const ENTRY_WRITE: usize = 8;
/// Offset in a translation of the page's address in the host's mapping of guest RAM.
pub const ENTRY_HOST: usize = 16;
/// Offset in a translation of the page's offset in guest RAM.
pub const ENTRY_PAGE: usize = 24;
/// Offset of the jump cache from the anchor.
pub const JUMPS_OFFSET: usize = ENTRIES * ENTRY_SIZE;
/// Entries of the jump cache, of two words each: linear address, and host address of the code.
pub const JUMPS: usize = 4096;
/// Offset from the anchor of words of native code's that are too rarely used to lie among the slots.
pub const WORDS_OFFSET: usize = JUMPS_OFFSET + 16 * JUMPS;
/// How many they are.
pub const WORDS: usize = 16;
/// The first of these words.
pub const TARGET_OFFSET: usize = WORDS_OFFSET;
/// Offset from the anchor of native code's words for the x87 unit.
pub const X87_OFFSET: usize = WORDS_OFFSET + 8 * WORDS;
/// So many words: what FNSAVE stores, and two of native code's own.
pub const X87_WORDS: usize = 16;

const FETCHES: usize = 256;
/// Bits of a linear address: what lies above repeats the highest.
const LINEAR_MASK: u64 = (1 << 48) - 1;

const _: () = {
    let anchor = offset_of!(Table, entries);
    assert!(anchor == ROOM + 8 * SLOTS && anchor.is_multiple_of(64) && offset_of!(Table, slots) == ROOM);
    assert!(offset_of!(Table, jumps) == anchor + JUMPS_OFFSET && offset_of!(Table, words) == anchor + WORDS_OFFSET);
    assert!(offset_of!(Table, x87) == anchor + X87_OFFSET);
    assert!(size_of::<Entry>() == ENTRY_SIZE && ENTRIES == 1 << 12);
    assert!(offset_of!(Entry, read) == ENTRY_READ && offset_of!(Entry, write) == ENTRY_WRITE);
    assert!(offset_of!(Entry, host) == ENTRY_HOST && offset_of!(Entry, page) == ENTRY_PAGE);
};

#[derive(Clone, Copy, FromZeros)]
#[repr(C)]
struct Entry {
    read: u64,
    write: u64,
    host: u64,
    page: u64,
}

/// A translation for instruction fetches.
#[derive(Clone, Copy, FromZeros)]
#[repr(C)]
struct Fetch {
    tag: u64,
    page: u64,
}

/// The translations of one context, its jump cache, and the frame of native code that runs in it.
#[derive(FromZeros)]
#[repr(C, align(64))]
pub struct Table {
    _room: [u64; ROOM / 8],
    slots: [u64; SLOTS],
    entries: [Entry; ENTRIES],
    jumps: [[u64; 2]; JUMPS],
    words: [u64; WORDS],
    x87: [u64; X87_WORDS],
    fetches: [Fetch; FETCHES],
    /// Entries in use.
    used: Marks<{ ENTRIES / 64 }>,
    /// Entries whose page may be written, plainly or not.
    writable: Marks<{ ENTRIES / 64 }>,
    used_jumps: Marks<{ JUMPS / 64 }>,
    used_fetches: Marks<{ FETCHES / 64 }>,
    exec_epoch: u64,
    /// The kind of code that the jump cache leads to.
    jump_kind: u64,
}

/// A translation of a page of RAM for data.
#[derive(Clone, Copy)]
pub(super) struct Data {
    /// Offset of the page in RAM.
    pub page: u64,
    /// Address of the page on the host.
    pub host: u64,
    /// Writes are permitted, and the dirty bit is set.
    pub writable: bool,
    /// Writes need no book-keeping.
    pub plain: bool,
}

/// The page of a linear address.
#[inline(always)]
fn page_of(linear: u64) -> u64 {
    linear & !(PAGE_SIZE - 1)
}

/// What an entry holds that is not in use: the page next to one that it could hold.
#[inline(always)]
fn empty_tag(index: usize) -> u64 {
    (index as u64 ^ 1) << PAGE_SHIFT
}

/// The index of a linear address's translation.
#[inline(always)]
pub(super) fn index(linear: u64) -> usize {
    (linear >> PAGE_SHIFT) as usize & (ENTRIES - 1)
}

#[inline(always)]
fn fetch_index(linear: u64) -> usize {
    (linear >> PAGE_SHIFT) as usize & (FETCHES - 1)
}

/// What the jump cache has where no entry is in use: any number can be where a guest jumps to, but this one has its entry
/// elsewhere.
fn empty_jump(index: usize) -> [u64; 2] {
    [index as u64 ^ 1, 0]
}

/// The index of a linear address in the jump cache.
#[inline(always)]
pub const fn jump_index(linear: u64) -> usize {
    ((linear ^ linear >> 12) & (JUMPS as u64 - 1)) as usize
}

/// Whether `linear` lies among the `1 << shift` bytes from `base`.
#[inline(always)]
fn is_within(linear: u64, base: u64, shift: u32) -> bool {
    ((linear ^ base) & LINEAR_MASK) >> shift == 0
}

impl Table {
    /// A table without translations.
    pub(super) fn new(exec_epoch: u64) -> Box<Self> {
        let mut table = Self::new_box_zeroed().expect("the host has memory for a table");
        for index in 0..ENTRIES {
            table.empty(index);
        }
        for index in 0..FETCHES {
            table.fetches[index].tag = empty_tag(index);
        }
        for (index, jump) in table.jumps.iter_mut().enumerate() {
            *jump = empty_jump(index);
        }
        table.exec_epoch = exec_epoch;
        table
    }

    /// The anchor: the address of the first entry, from which native code reaches everything else.
    pub fn anchor(&mut self) -> *mut u8 {
        let start = std::ptr::from_mut(self).cast::<u8>();
        start.wrapping_add(offset_of!(Self, entries))
    }

    /// Native code's words under the anchor; the last one is number 1.
    pub fn slots(&mut self) -> &mut [u64; SLOTS] {
        &mut self.slots
    }

    /// Native code's words behind the jump cache.
    pub fn words(&mut self) -> &mut [u64; WORDS] {
        &mut self.words
    }

    /// Native code's words for the x87 unit.
    pub fn x87(&mut self) -> &mut [u64; X87_WORDS] {
        &mut self.x87
    }

    /// Changes, to a number that no table ever had before, whenever a translation may have changed through which
    /// instructions were fetched in this context, or the table is given to another context.
    #[inline(always)]
    pub fn exec_epoch(&self) -> u64 {
        self.exec_epoch
    }

    /// Remembers the host address of the code for the instruction at `linear`, until [`exec_epoch`](Self::exec_epoch)
    /// changes or [`forget_jumps`](Self::forget_jumps) is called.
    pub fn set_jump(&mut self, linear: u64, code: u64) {
        let index = jump_index(linear);
        self.jumps[index] = [linear, code];
        self.used_jumps.set(index);
    }

    /// The host address of the code for the instruction at `linear`, if it is remembered.
    #[inline]
    pub fn jump(&self, linear: u64) -> Option<u64> {
        let [address, code] = self.jumps[jump_index(linear)];
        (address == linear).then_some(code)
    }

    /// Forgets the code for the instructions at these addresses.
    pub fn forget_some(&mut self, addresses: &[u64]) {
        for &linear in addresses {
            let index = jump_index(linear);
            if self.jumps[index][0] == linear {
                self.jumps[index] = empty_jump(index);
            }
        }
    }

    /// Forgets the code for instructions at addresses of which this says so.
    pub(super) fn forget_jumps_where(&mut self, concerned: impl Fn(u64) -> bool) {
        let mut from = 0;
        while let Some(index) = self.used_jumps.next(from, JUMPS) {
            if concerned(self.jumps[index][0]) {
                self.jumps[index] = empty_jump(index);
                self.used_jumps.clear(index);
            }
            from = index + 1;
        }
    }

    /// Empties the jump cache. Costs what was used of it.
    pub fn forget_jumps(&mut self) {
        let mut from = 0;
        while let Some(index) = self.used_jumps.next(from, JUMPS) {
            self.jumps[index] = empty_jump(index);
            from = index + 1;
        }
        self.used_jumps.clear_all();
    }

    /// Lets the jump cache lead to code of one kind only: what it had of another is forgotten.
    #[inline]
    pub fn keep_jumps_of(&mut self, kind: u64) {
        if self.jump_kind != kind {
            self.jump_kind = kind;
            self.forget_jumps();
        }
    }

    /// What was derived from instruction fetches is void.
    pub(super) fn bump(&mut self, epoch: u64) {
        self.exec_epoch = epoch;
        self.forget_jumps();
    }

    /// The offset in RAM of `linear`, if reads are cached.
    #[inline(always)]
    pub(super) fn read(&self, linear: u64) -> Option<u64> {
        let entry = &self.entries[index(linear)];
        (entry.read == page_of(linear)).then_some(entry.page | linear & (PAGE_SIZE - 1))
    }

    /// The offset in RAM of `linear`, if plain writes are cached.
    #[inline(always)]
    pub(super) fn write(&self, linear: u64) -> Option<u64> {
        let entry = &self.entries[index(linear)];
        (entry.write == page_of(linear)).then_some(entry.page | linear & (PAGE_SIZE - 1))
    }

    /// The offset in RAM of `linear`, if it is known that writes are permitted, plain or not.
    pub(super) fn writable(&self, linear: u64) -> Option<u64> {
        if self.writable.get(index(linear)) { self.read(linear) } else { None }
    }

    /// The offset in RAM of `linear`, if instruction fetches are cached.
    #[inline(always)]
    pub(super) fn exec(&self, linear: u64) -> Option<u64> {
        let entry = &self.fetches[fetch_index(linear)];
        (entry.tag == page_of(linear)).then_some(entry.page | linear & (PAGE_SIZE - 1))
    }

    /// Remembers a translation for data.
    pub(super) fn insert(&mut self, linear: u64, data: &Data) {
        let (index, tag) = (index(linear), page_of(linear));
        let write = if data.plain { tag } else { empty_tag(index) };
        self.entries[index] = Entry { read: tag, write, host: data.host, page: data.page };
        self.used.set(index);
        if data.writable {
            self.writable.set(index);
        } else {
            self.writable.clear(index);
        }
    }

    /// Lets plain writes use the translation of `linear` that is there.
    pub(super) fn set_plain(&mut self, linear: u64) {
        self.entries[index(linear)].write = page_of(linear);
    }

    /// Remembers a translation for instruction fetches.
    pub(super) fn insert_fetch(&mut self, linear: u64, page: u64) {
        let index = fetch_index(linear);
        self.fetches[index] = Fetch { tag: page_of(linear), page };
        self.used_fetches.set(index);
    }

    fn empty(&mut self, index: usize) {
        let tag = empty_tag(index);
        self.entries[index] = Entry { read: tag, write: tag, host: 0, page: 0 };
        self.used.clear(index);
        self.writable.clear(index);
    }

    fn empty_fetch(&mut self, index: usize) {
        self.fetches[index] = Fetch { tag: empty_tag(index), page: 0 };
        self.used_fetches.clear(index);
    }

    /// Drops the translations of `1 << shift` bytes from `base`, a multiple of that; whole pages.
    pub(super) fn drop_range(&mut self, base: u64, shift: u32) {
        let (first, end) = span(index(base), ENTRIES, shift);
        self.drop_data(first, end, |linear| is_within(linear, base, shift));
        let (first, end) = span(fetch_index(base), FETCHES, shift);
        self.drop_fetches(first, end, |linear| is_within(linear, base, shift));
    }

    /// Drops the translations for data whose pages, by linear address and offset in RAM, this says.
    pub(super) fn drop_data_where(&mut self, concerned: impl Fn(u64, u64) -> bool) {
        let mut from = 0;
        while let Some(index) = self.used.next(from, ENTRIES) {
            if concerned(self.entries[index].read, self.entries[index].page) {
                self.empty(index);
            }
            from = index + 1;
        }
    }

    /// Drops every translation.
    pub(super) fn clear(&mut self) {
        self.drop_data(0, ENTRIES, |_| true);
        self.drop_fetches(0, FETCHES, |_| true);
    }

    #[inline(always)]
    fn drop_data(&mut self, first: usize, end: usize, concerned: impl Fn(u64) -> bool) {
        let mut from = first;
        while let Some(index) = self.used.next(from, end) {
            if concerned(self.entries[index].read) {
                self.empty(index);
            }
            from = index + 1;
        }
    }

    #[inline(always)]
    fn drop_fetches(&mut self, first: usize, end: usize, concerned: impl Fn(u64) -> bool) {
        let mut from = first;
        while let Some(index) = self.used_fetches.next(from, end) {
            if concerned(self.fetches[index].tag) {
                self.empty_fetch(index);
            }
            from = index + 1;
        }
    }

    /// Whether the entry at an index lets plain writes through to the page of RAM at `page`.
    pub(super) fn writes_to(&self, index: usize, page: u64) -> bool {
        let entry = &self.entries[index % ENTRIES];
        entry.page == page && entry.write != empty_tag(index)
    }

    /// No longer lets plain writes through the entry at an index, if it leads to the page of RAM at `page`.
    pub(super) fn drop_write(&mut self, index: usize, page: u64) {
        if self.writes_to(index, page) {
            self.entries[index % ENTRIES].write = empty_tag(index);
        }
    }

    /// No longer lets plain writes through to any page that is not lent.
    pub(super) fn drop_recalled_writes(&mut self, ram: &Ram) {
        let mut from = 0;
        while let Some(index) = self.used.next(from, ENTRIES) {
            let entry = &mut self.entries[index];
            if entry.write == entry.read && !ram.is_lent(entry.page) {
                entry.write = empty_tag(index);
            }
            from = index + 1;
        }
    }
}

/// What a table holds, for tests.
#[cfg(test)]
impl Table {
    /// Linear addresses and translations for data.
    pub(super) fn translations(&self) -> impl Iterator<Item = (u64, Data)> {
        all(&self.used).map(|index| {
            let entry = &self.entries[index];
            let plain = entry.write != empty_tag(index);
            assert!(entry.read != empty_tag(index) && (!plain || entry.write == entry.read));
            let writable = self.writable.get(index);
            (entry.read, Data { page: entry.page, host: entry.host, writable, plain })
        })
    }

    /// Linear addresses and pages of translations for fetches.
    pub(super) fn fetches(&self) -> impl Iterator<Item = (u64, u64)> {
        all(&self.used_fetches).map(|index| (self.fetches[index].tag, self.fetches[index].page))
    }

    /// Places that are not marked as used and yet hold something.
    pub(super) fn unmarked(&self) -> usize {
        let entries = (0..ENTRIES).filter(|&at| !self.used.get(at) && self.entries[at].read != empty_tag(at));
        let writes = (0..ENTRIES).filter(|&at| !self.used.get(at) && self.entries[at].write != empty_tag(at));
        let fetches = (0..FETCHES).filter(|&at| !self.used_fetches.get(at) && self.fetches[at].tag != empty_tag(at));
        let jumps = (0..JUMPS).filter(|&at| !self.used_jumps.get(at) && self.jumps[at] != empty_jump(at));
        entries.count() + writes.count() + fetches.count() + jumps.count()
    }

    /// The contents of the jump cache.
    pub(super) fn known_jumps(&self) -> impl Iterator<Item = (u64, u64)> {
        all(&self.used_jumps).map(|index| (self.jumps[index][0], self.jumps[index][1]))
    }
}

#[cfg(test)]
fn all<const WORDS: usize>(marks: &Marks<WORDS>) -> impl Iterator<Item = usize> {
    let after = move |from: usize| marks.next(from, 64 * WORDS);
    std::iter::successors(after(0), move |&at| after(at + 1))
}

/// The places, of `len` in all, that pages from the one at `first` on may have, where `1 << shift` bytes are concerned.
fn span(first: usize, len: usize, shift: u32) -> (usize, usize) {
    let pages = 1usize << (shift - PAGE_SHIFT).min(usize::BITS - 1);
    if pages >= len { (0, len) } else { (first, first + pages) }
}
