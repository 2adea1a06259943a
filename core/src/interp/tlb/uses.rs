//! Which entries of which page tables translations were made from.
//!
//! A page of page tables is known by what it translates: an aligned range of linear addresses, each 8 bytes of it an
//! equal part (two entries, where they have 4). A written entry therefore names the translations that it may concern.
//! A page that is used in several places at once, at another level of itself for instance, has several ranges; if they
//! are more than [`COVERS`], everything in the contexts that used it is concerned.

use super::marks::Marks;
use super::{ContextId, grow};
use crate::memory::{PAGE_SHIFT, PAGE_SIZE};
use slab::Slab;

/// Linear address bits that a page of page tables resolves.
const PAGE_BITS: u32 = 9;
/// Ranges that are remembered for a page.
const COVERS: usize = 2;
/// Bits of a linear address.
const LINEAR_BITS: u32 = 48;

/// What 8 bytes of a page of page tables translate, of which part of the linear address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cover {
    /// What the first 8 bytes of the page translate begins here.
    base: u64,
    /// log2 of the bytes that 8 bytes of the page translate.
    shift: u32,
}

impl Cover {
    /// For an entry of `size` bytes at a level, 1 being the last, that was used to translate `linear`.
    pub(crate) fn new(linear: u64, level: usize, size: u64) -> Self {
        let shift = match size {
            4 => 13 + 10 * (level as u32 - 1),
            _ => PAGE_SHIFT + PAGE_BITS * (level as u32 - 1),
        };
        let within = (1u64 << (shift + PAGE_BITS)) - 1;
        Self { base: linear & ((1 << LINEAR_BITS) - 1) & !within, shift }
    }
}

/// A page-table entry that a walk used.
pub(crate) struct UsedEntry {
    /// Its offset in RAM.
    pub offset: u64,
    /// What it translates.
    pub cover: Cover,
    /// The walk was that of an instruction fetch.
    pub fetch: bool,
}

/// What is new about a [`UsedEntry`].
#[derive(Clone, Copy)]
pub(super) struct Noted {
    /// The page was not remembered at all.
    pub page: bool,
    /// The page was not remembered for this context.
    pub table: bool,
}

/// What a write to 8 bytes of a page concerns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Concerned {
    /// The contexts, a bit each.
    pub tables: u64,
    /// Those that may have fetched instructions by it.
    pub fetched: u64,
    covers: [Cover; COVERS],
    cover_count: usize,
    slot: u64,
}

impl Concerned {
    /// The linear addresses: where they begin, and log2 of how many; `None` if it may be any.
    pub(super) fn ranges(&self) -> Option<impl Iterator<Item = (u64, u32)>> {
        let covers = self.covers.get(..self.cover_count)?;
        let slot = self.slot;
        Some(covers.iter().map(move |cover| (cover.base | slot << cover.shift, cover.shift)))
    }
}

/// A page of page tables.
struct TableUse {
    /// Its number.
    page: u32,
    /// Its 8-byte slots that translations were made from.
    slots: Marks<8>,
    /// Those that instructions were fetched through: what was derived from that outlives the translation.
    fetched: Marks<8>,
    tables: u64,
    fetch_tables: u64,
    covers: [Cover; COVERS],
    /// How many of `covers` hold; more than there are: too many to remember.
    cover_count: usize,
}

impl TableUse {
    fn new(page: u32, cover: Cover) -> Self {
        let (slots, fetched) = (Marks::NONE, Marks::NONE);
        Self { page, slots, fetched, tables: 0, fetch_tables: 0, covers: [cover; COVERS], cover_count: 1 }
    }

    fn note_cover(&mut self, cover: Cover) {
        if self.covers.iter().take(self.cover_count).any(|known| *known == cover) {
            return;
        }
        if let Some(place) = self.covers.get_mut(self.cover_count) {
            *place = cover;
        }
        self.cover_count = (self.cover_count + 1).min(COVERS + 1);
    }
}

/// All pages of page tables that translations were made from.
pub(super) struct TableUses {
    /// For each page of RAM the key of its use plus 1, or 0. Memory that is never touched costs nothing.
    places: Vec<u32>,
    uses: Slab<TableUse>,
    /// Pairs of a page and a context.
    pairs: usize,
}

fn slot_of(offset: u64) -> usize {
    ((offset & (PAGE_SIZE - 1)) >> 3) as usize
}

impl TableUses {
    pub(super) fn new() -> Self {
        Self { places: Vec::new(), uses: Slab::new(), pairs: 0 }
    }

    /// Pairs of a page and a context.
    pub(super) fn pairs(&self) -> usize {
        self.pairs
    }

    fn key(&self, page: u64) -> Option<usize> {
        self.places.get(page as usize).and_then(|&place| (place as usize).checked_sub(1))
    }

    /// Remembers an entry for a context, in a RAM of `ram_pages` pages.
    pub(super) fn note(&mut self, entry: &UsedEntry, table: ContextId, ram_pages: usize) -> Noted {
        let page = entry.offset >> PAGE_SHIFT;
        let known = self.key(page);
        let key = known.unwrap_or_else(|| self.add(page, entry.cover, ram_pages));
        let found = &mut self.uses[key];
        let bit = 1 << table;
        let noted = Noted { page: known.is_none(), table: found.tables & bit == 0 };
        found.tables |= bit;
        found.slots.set(slot_of(entry.offset));
        found.note_cover(entry.cover);
        if entry.fetch {
            found.fetch_tables |= bit;
            found.fetched.set(slot_of(entry.offset));
        }
        self.pairs += usize::from(noted.table);
        noted
    }

    fn add(&mut self, page: u64, cover: Cover, ram_pages: usize) -> usize {
        let key = self.uses.insert(TableUse::new(page as u32, cover));
        grow(&mut self.places, ram_pages);
        self.places[page as usize] = key as u32 + 1;
        key
    }

    /// Forgets the 8 bytes at `offset`, which were written; returns what was made from them.
    pub(super) fn written(&mut self, offset: u64) -> Option<Concerned> {
        let key = self.key(offset >> PAGE_SHIFT)?;
        let found = &mut self.uses[key];
        let slot = slot_of(offset);
        if !found.slots.get(slot) {
            return None;
        }
        let fetched = if found.fetched.get(slot) { found.fetch_tables } else { 0 };
        found.slots.clear(slot);
        found.fetched.clear(slot);
        let (covers, cover_count) = (found.covers, found.cover_count);
        Some(Concerned { tables: found.tables, fetched, covers, cover_count, slot: slot as u64 })
    }

    /// Forgets the page at `offset` if nothing is made from it any more; returns the contexts that it was remembered for.
    pub(super) fn forget_unused(&mut self, offset: u64) -> Option<u64> {
        let key = self.key(offset >> PAGE_SHIFT)?;
        let unused = self.uses[key].slots.is_empty();
        unused.then(|| self.remove(key))
    }

    fn remove(&mut self, key: usize) -> u64 {
        let found = self.uses.remove(key);
        self.places[found.page as usize] = 0;
        self.pairs -= found.tables.count_ones() as usize;
        found.tables
    }

    /// A context has nothing more from a page; returns whether the page is forgotten.
    pub(super) fn forget_table(&mut self, page: u32, table: ContextId) -> bool {
        let Some(key) = self.key(u64::from(page)) else { return false };
        let found = &mut self.uses[key];
        self.pairs -= (found.tables >> table & 1) as usize;
        found.tables &= !(1 << table);
        found.fetch_tables &= !(1 << table);
        let unused = found.tables == 0;
        if unused {
            self.remove(key);
        }
        unused
    }
}
