//! The translation cache: coherent with the page tables in memory, and shared by all vCPUs.
//!
//! # The problem
//!
//! A TLB that can be stale is state: whether the guest faults between changing a page-table entry and flushing would
//! depend on what the TLB happens to hold, and a restored machine starts with an empty one. So ours is never stale:
//! whatever it answers is what a walk of the tables would answer now (determinism contract, item 9).
//!
//! # The mechanism
//!
//! Every page-table entry that a cached translation came from is remembered, by page and slot, and its page is watched.
//! A write to a remembered slot drops the translations made from it, in the instruction that writes. A leaf entry of
//! 4 KiB translates exactly one page of any address space that shares the table, and its slot is the low nine bits of
//! the page number; those nine bits are part of the cache's index, so a leaf write has only [`WAYS`] places to look at.
//! Other entries, which change rarely, drop everything.
//!
//! An entry belongs to a *context*: the root of the page tables, and everything in the control registers and the
//! privilege that decides about permission. Contexts are numbered as they appear, so a change of CR3 or of privilege
//! costs a lookup and loses nothing; and vCPUs that share tables share translations.

use crate::memory::{PAGE_SHIFT, PAGE_SIZE, PageWatch, Ram};
use std::collections::BTreeMap;

/// Entries whose index shares the low nine bits of the page number.
const WAYS: usize = 8;
const ENTRIES: usize = 512 * WAYS;
/// Everything is dropped once so many pages of page tables are remembered, some 300 bytes each: a guest whose memory is
/// all page tables shall not make the host pay for it twice.
const TABLE_LIMIT: usize = 1 << 15;
/// No tag is this: contexts are numbered below it.
const NO_TAG: u64 = 0xfff;
const MAX_CONTEXTS: usize = 0xffe;

/// Everything but the tables themselves that decides how an access is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ContextKey {
    /// CR3 without what is no address, or 0 without paging. PAE paging has its pointers in registers, so all four count.
    pub root: [u64; 4],
    /// Mode bits, by [`super::paging::mode`].
    pub mode: u32,
    /// The page of the vCPU's local APIC where it covers RAM, or 0: translations do not lead there.
    pub apic: u64,
}

/// A number for a [`ContextKey`], below [`NO_TAG`].
pub(crate) type ContextId = u16;

/// One translation. Tags are the page's linear address plus the context's number, for each kind of access allowed
/// without further ado.
#[derive(Clone, Copy)]
struct Entry {
    read: u64,
    write: u64,
    exec: u64,
    /// Offset of the page in RAM.
    page: u64,
}

const EMPTY: Entry = Entry { read: NO_TAG, write: NO_TAG, exec: NO_TAG, page: 0 };

/// What a walk found out about a page of RAM.
pub(crate) struct Translation {
    /// Offset of the page in RAM.
    pub page: u64,
    /// Reads may use the entry.
    pub read: bool,
    /// Writes may use the entry: permitted, dirty bit set, and the page of RAM takes plain writes.
    pub write: bool,
    /// Instruction fetches may use the entry.
    pub exec: bool,
    /// Offset in RAM of the leaf page-table entry, if it is a 4 KiB leaf of 8 bytes.
    pub leaf: Option<u64>,
}

/// Slots of a page-table page that cached translations came from, a bit for 8 bytes.
#[derive(Default)]
struct TableUse {
    leaf: [u64; 8],
    inner: [u64; 8],
    /// Leaf slots through which instructions were fetched: what was derived from the fetch outlives an evicted entry.
    fetched: [u64; 8],
}

/// The translation cache.
pub(crate) struct Tlb {
    entries: Box<[Entry; ENTRIES]>,
    /// For each entry the offset in RAM of its leaf page-table entry.
    leaves: Box<[u64; ENTRIES]>,
    tables: BTreeMap<u64, TableUse>,
    contexts: Vec<ContextKey>,
    ids: BTreeMap<ContextKey, ContextId>,
    /// Grows whenever contexts are numbered anew.
    context_generation: u64,
    /// The RAM epoch at which write tags were made.
    ram_epoch: u64,
    /// Grows whenever an executable translation is dropped or contexts are renumbered.
    exec_epoch: u64,
    perturb: Option<Perturb>,
}

/// Drops entries at random moments.
struct Perturb {
    state: u64,
}

impl Tlb {
    pub(crate) fn new() -> Self {
        let entries = vec![EMPTY; ENTRIES].into_boxed_slice().try_into().ok().expect("the length is right");
        let leaves = vec![u64::MAX; ENTRIES].into_boxed_slice().try_into().expect("the length is right");
        Self {
            entries,
            leaves,
            tables: BTreeMap::new(),
            contexts: Vec::new(),
            ids: BTreeMap::new(),
            context_generation: 0,
            ram_epoch: 0,
            exec_epoch: 0,
            perturb: None,
        }
    }

    #[inline(always)]
    fn index(linear: u64, context: ContextId) -> usize {
        let page = linear >> PAGE_SHIFT;
        let way = (page >> 9) ^ (page >> 12) ^ u64::from(context);
        ((page & 511) | (way & (WAYS as u64 - 1)) << 9) as usize
    }

    #[inline(always)]
    fn tag(linear: u64, context: ContextId) -> u64 {
        linear & !(PAGE_SIZE - 1) | u64::from(context)
    }

    /// The offset in RAM of `linear`, if reads are cached.
    #[inline(always)]
    pub(crate) fn read(&self, linear: u64, context: ContextId) -> Option<u64> {
        let entry = &self.entries[Self::index(linear, context)];
        (entry.read == Self::tag(linear, context)).then_some(entry.page | linear & (PAGE_SIZE - 1))
    }

    /// The offset in RAM of `linear`, if plain writes are cached.
    #[inline(always)]
    pub(crate) fn write(&self, linear: u64, context: ContextId, ram: &Ram) -> Option<u64> {
        let entry = &self.entries[Self::index(linear, context)];
        let hit = entry.write == Self::tag(linear, context) && self.ram_epoch == ram.epoch();
        hit.then_some(entry.page | linear & (PAGE_SIZE - 1))
    }

    /// The offset in RAM of `linear`, if instruction fetches are cached.
    #[inline(always)]
    pub(crate) fn exec(&self, linear: u64, context: ContextId) -> Option<u64> {
        let entry = &self.entries[Self::index(linear, context)];
        (entry.exec == Self::tag(linear, context)).then_some(entry.page | linear & (PAGE_SIZE - 1))
    }

    /// Grows whenever what was executable at some address may not be so any more.
    #[inline(always)]
    pub(crate) fn exec_epoch(&self) -> u64 {
        self.exec_epoch
    }

    /// Whether write tags are from before a page of RAM stopped taking plain writes; if so they are dropped.
    pub(crate) fn refresh_writes(&mut self, ram: &Ram) {
        if self.ram_epoch != ram.epoch() {
            for entry in self.entries.iter_mut() {
                if entry.write != NO_TAG && !ram.write_is_plain(entry.page) {
                    entry.write = NO_TAG;
                }
            }
            self.ram_epoch = ram.epoch();
        }
    }

    /// Remembers a translation of the page of `linear`.
    pub(crate) fn insert(&mut self, linear: u64, context: ContextId, translation: &Translation, ram: &Ram) {
        if self.perturb.as_mut().is_some_and(|perturb| perturb.one_in(4)) {
            return;
        }
        self.refresh_writes(ram);
        let index = Self::index(linear, context);
        let tag = Self::tag(linear, context);
        let old = &mut self.entries[index];
        let same = old.read == tag || old.exec == tag;
        let kept = if same && self.leaves[index] == translation.leaf.unwrap_or(u64::MAX) { *old } else { EMPTY };
        *old = Entry {
            read: if translation.read { tag } else { kept.read },
            write: if translation.write { tag } else { kept.write },
            exec: if translation.exec { tag } else { kept.exec },
            page: translation.page,
        };
        self.leaves[index] = translation.leaf.unwrap_or(u64::MAX);
    }

    /// Remembers that the page-table entry at this offset of RAM was used by a walk.
    pub(crate) fn note_table(&mut self, offset: u64, is_leaf: bool, fetch: bool, ram: &mut Ram) {
        let page = offset >> PAGE_SHIFT;
        let slot = (offset & (PAGE_SIZE - 1)) >> 3;
        let table = self.tables.entry(page).or_default();
        let slots = if is_leaf { &mut table.leaf } else { &mut table.inner };
        slots[(slot >> 6) as usize] |= 1 << (slot & 63);
        if fetch {
            table.fetched[(slot >> 6) as usize] |= 1 << (slot & 63);
        }
        ram.watch(offset, PageWatch::PageTable);
    }

    /// A page that walks have read was written.
    pub(crate) fn table_written(&mut self, offset: u64, len: u32, ram: &mut Ram) {
        let page = offset >> PAGE_SHIFT;
        let first = (offset & (PAGE_SIZE - 1)) >> 3;
        let last = ((offset & (PAGE_SIZE - 1)) + u64::from(len.max(1)) - 1).min(PAGE_SIZE - 1) >> 3;
        for slot in first..=last {
            let Some(table) = self.tables.get_mut(&page) else { return };
            let (word, bit) = ((slot >> 6) as usize, 1 << (slot & 63));
            if table.inner[word] & bit != 0 {
                self.flush(ram);
                return;
            }
            if table.leaf[word] & bit != 0 {
                table.leaf[word] &= !bit;
                if table.fetched[word] & bit != 0 {
                    table.fetched[word] &= !bit;
                    self.exec_epoch += 1;
                }
                self.drop_leaf(page << PAGE_SHIFT | slot << 3, slot as usize);
            }
        }
        self.forget_unused(page, ram);
    }

    fn drop_leaf(&mut self, leaf: u64, slot: usize) {
        for way in 0..WAYS {
            let index = slot | way << 9;
            if self.leaves[index] == leaf {
                self.entries[index] = EMPTY;
                self.leaves[index] = u64::MAX;
            }
        }
    }

    fn forget_unused(&mut self, page: u64, ram: &mut Ram) {
        if self.tables.get(&page).is_some_and(|table| table.leaf == [0; 8] && table.inner == [0; 8]) {
            self.tables.remove(&page);
            ram.unwatch(page << PAGE_SHIFT, PageWatch::PageTable);
        }
    }

    /// Drops every translation.
    pub(crate) fn flush(&mut self, ram: &mut Ram) {
        self.entries.fill(EMPTY);
        self.leaves.fill(u64::MAX);
        for (page, _) in std::mem::take(&mut self.tables) {
            ram.unwatch(page << PAGE_SHIFT, PageWatch::PageTable);
        }
        self.exec_epoch += 1;
    }

    /// Whether so many tables are remembered that a flush is due.
    pub(crate) fn is_full(&self) -> bool {
        self.tables.len() > TABLE_LIMIT
    }

    /// The number of a context.
    pub(crate) fn context(&mut self, key: ContextKey, ram: &mut Ram) -> ContextId {
        if let Some(&id) = self.ids.get(&key) {
            return id;
        }
        if self.contexts.len() >= MAX_CONTEXTS {
            self.contexts.clear();
            self.ids.clear();
            self.context_generation += 1;
            self.flush(ram);
        }
        let id = self.contexts.len() as ContextId;
        self.contexts.push(key);
        self.ids.insert(key, id);
        id
    }

    /// Grows whenever numbers of contexts lose their meaning.
    #[inline(always)]
    pub(crate) fn context_generation(&self) -> u64 {
        self.context_generation
    }

    /// From now on forgets at random moments drawn from `seed`.
    pub(crate) fn perturb(&mut self, seed: u64) {
        self.perturb = Some(Perturb { state: seed });
    }

    /// In the test mode: perhaps drops everything, now and then.
    pub(crate) fn maybe_flush(&mut self, ram: &mut Ram) -> bool {
        let flush = self.perturb.as_mut().is_some_and(|perturb| perturb.one_in(64));
        if flush {
            self.flush(ram);
        }
        flush
    }
}

impl Perturb {
    /// SplitMix64.
    fn one_in(&mut self, n: u64) -> bool {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31).is_multiple_of(n)
    }
}
