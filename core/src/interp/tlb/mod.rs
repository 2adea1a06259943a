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
//! A [`Table`] belongs to a *context*: the root of the page tables, and everything in the control registers and the
//! privilege that decides about permission. There are [`CONTEXTS`] of them, and the one that was used least recently
//! gives way, so a change of CR3 or of privilege costs a lookup and loses nothing; and vCPUs that share tables share
//! translations.
//!
//! Every page-table entry that a translation came from is remembered ([`uses`]), with the contexts that used it and the
//! linear addresses that it translates, and its page is watched. A write to it drops those translations in those
//! contexts, in the instruction that writes.
//!
//! What was derived from instruction fetches (blocks found by linear address) hangs on its table's
//! [`exec_epoch`](Table::exec_epoch), which changes when an entry that fetches came through is written. Supervisor code
//! with RFLAGS.AC set has another table for data, if SMAP is on, but the same for fetches; both change together.
//!
//! # The rule of writes
//!
//! Writes through a tag leave no trace, so a page may have a write tag only while it needs none ([`Ram::lend`]). When
//! that ends, RAM recalls the page, and [`Tlb::refresh_writes`] drops its write tags. *No access may use a write tag while
//! [`Ram::has_recalls`].* So whoever watches a page while an engine runs ([`Tlb::note_entry`], who puts code into a
//! cache) refreshes right away, and what happens between runs (a dirty log is taken, a machine restored) is made good by
//! the run loop's look around, which comes before anything is executed.

mod hints;
mod marks;
pub mod table;
mod uses;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use super::paging::{Access, mode};
use crate::board::{Board, Changes, Looked};
use crate::memory::{PAGE_SHIFT, PAGE_SIZE, PageWatch, Ram};
use hints::{TableSet, WriteHints};
use std::collections::BTreeSet;
use table::{Data, Table};
use uses::TableUses;
pub(crate) use uses::{Cover, UsedEntry};

/// Tables, at most; as many as a word has bits.
const CONTEXTS: usize = 64;
/// Tables in the test mode.
const FEW_CONTEXTS: usize = 4;
/// Everything is dropped once so many pages of page tables are remembered, counted for each context, some 200 bytes
/// each: a guest whose memory is all page tables shall not make the host pay for it twice.
const PAIR_LIMIT: usize = 1 << 16;
/// With so many pages recalled at once, looking at every translation is cheaper than looking for each page.
const MANY_RECALLS: usize = 256;

/// Everything but the tables themselves that decides how an access is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContextKey {
    /// CR3 without what is no address, or 0 without paging. PAE paging has its pointers in registers, so all four count.
    pub root: [u64; 4],
    /// Mode bits, by [`super::paging::mode`].
    pub mode: u32,
    /// The page of the vCPU's local APIC where it covers RAM, or 0: translations do not lead there.
    pub apic: u64,
}

/// The number of a [`ContextKey`]'s table, below [`CONTEXTS`]. It holds until other contexts are asked for.
pub(crate) type ContextId = u16;

/// What a walk found out about a page of RAM.
pub(crate) struct Translation {
    /// Offset of the page in RAM.
    pub page: u64,
    /// Reads are permitted.
    pub read: bool,
    /// Writes are permitted, and the dirty bit is set.
    pub write: bool,
}

/// Whose a table is.
struct Context {
    key: ContextKey,
    /// When it was used last.
    stamp: u64,
    /// Pages of page tables that its translations were made from.
    pages: BTreeSet<u32>,
}

/// The translation cache.
pub(crate) struct Tlb {
    tables: Vec<Box<Table>>,
    /// Whose the tables are, in the same order.
    contexts: Vec<Context>,
    /// Where the context with a hash was found last.
    found: [u8; 256],
    uses: TableUses,
    hints: WriteHints,
    /// Translations dropped so far, roughly: it grows with each.
    drops: u64,
    /// The last number given out, for epochs and stamps: none is given twice.
    last: u64,
    limit: usize,
    perturb: Option<Perturb>,
}

/// Drops entries at random moments.
struct Perturb {
    state: u64,
}

impl Tlb {
    pub(crate) fn new() -> Self {
        Self {
            tables: Vec::new(),
            contexts: Vec::new(),
            found: [0; 256],
            uses: TableUses::new(),
            hints: WriteHints::new(),
            drops: 0,
            last: 0,
            limit: CONTEXTS,
            perturb: None,
        }
    }

    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// The table of a context.
    #[inline]
    pub(crate) fn table(&mut self, context: ContextId) -> &mut Table {
        &mut self.tables[usize::from(context)]
    }

    /// All tables.
    pub(crate) fn tables(&mut self) -> impl Iterator<Item = &mut Table> {
        self.tables.iter_mut().map(Box::as_mut)
    }

    /// The offset in RAM of `linear`, if reads are cached.
    #[inline(always)]
    pub(crate) fn read(&self, linear: u64, context: ContextId) -> Option<u64> {
        self.tables.get(usize::from(context))?.read(linear)
    }

    /// The offset in RAM of `linear`, if plain writes are cached.
    #[inline(always)]
    pub(crate) fn write(&self, linear: u64, context: ContextId) -> Option<u64> {
        self.tables.get(usize::from(context))?.write(linear)
    }

    /// The offset in RAM of `linear`, if instruction fetches are cached.
    #[inline(always)]
    pub(crate) fn exec(&self, linear: u64, context: ContextId) -> Option<u64> {
        self.tables.get(usize::from(context))?.exec(linear)
    }

    /// Changes whenever what was executable at some address of a context may not be so any more.
    #[inline(always)]
    pub(crate) fn exec_epoch(&self, context: ContextId) -> u64 {
        self.tables.get(usize::from(context)).map_or(0, |table| table.exec_epoch())
    }

    /// The offset in RAM of `linear`, if it is known that a walk for this access would lead there and change nothing.
    pub(crate) fn known(&mut self, linear: u64, context: ContextId, access: Access, ram: &mut Ram) -> Option<u64> {
        let table = self.tables.get(usize::from(context))?;
        match access {
            Access::Read => table.read(linear),
            Access::Fetch => table.exec(linear),
            Access::Write => {
                let offset = table.writable(linear)?;
                self.make_plain(linear, context, offset, ram);
                Some(offset)
            }
        }
    }

    /// The page at `offset` is about to be written, so unless it is watched no log needs to hear of it again.
    fn make_plain(&mut self, linear: u64, context: ContextId, offset: u64, ram: &mut Ram) {
        ram.mark_dirty(offset);
        if self.lend(linear, context, offset & !(PAGE_SIZE - 1), ram) {
            self.table(context).set_plain(linear);
        }
    }

    /// Whether the page of RAM at `page` takes plain writes; if so it is remembered that they will come at `linear`.
    fn lend(&mut self, linear: u64, context: ContextId, page: u64, ram: &mut Ram) -> bool {
        self.refresh_writes(ram);
        let lent = ram.lend(page);
        if lent {
            self.hints.note(page, usize::from(context), table::index(linear), &self.tables, ram_pages(ram));
        }
        lent
    }

    /// Grows whenever a translation is dropped, as opposed to giving way to another.
    pub(crate) fn drops(&self) -> u64 {
        self.drops
    }

    /// Drops the write tags of pages that RAM has recalled.
    #[inline(always)]
    pub(crate) fn refresh_writes(&mut self, ram: &mut Ram) {
        if ram.has_recalls() {
            self.drop_writes(ram);
        }
    }

    #[cold]
    #[inline(never)]
    fn drop_writes(&mut self, ram: &mut Ram) {
        self.drops += 1;
        let recalls = ram.take_recalls();
        let many = recalls.len() > MANY_RECALLS;
        let mut scan = TableSet::default();
        for page in recalls {
            let places = self.hints.take(page);
            match places.indices() {
                Some(indices) if !many => self.drop_writes_to(page, places.tables, indices),
                _ => scan = scan.and(places.tables),
            }
        }
        let tables = (0..).zip(&mut self.tables).filter(|&(number, _)| scan.may_have(number));
        tables.for_each(|(_, table)| table.drop_recalled_writes(ram));
    }

    fn drop_writes_to(&mut self, page: u32, tables: TableSet, indices: &[usize]) {
        for (_, table) in (0..).zip(&mut self.tables).filter(|&(number, _)| tables.may_have(number)) {
            for &index in indices {
                table.drop_write(index, u64::from(page) << PAGE_SHIFT);
            }
        }
    }

    /// A debugger waits for something else now: forgets what would pass unseen.
    pub(crate) fn look_out(&mut self, changes: &Changes, board: &Board) {
        self.drops += 1;
        for table in &mut self.tables {
            if !changes.code.is_empty() {
                table.forget_jumps_where(|linear| changes.code.contains(&(linear >> PAGE_SHIFT)));
            }
            if changes.data && board.lookout.has_watchpoints() {
                let looked = |linear, page| board.lookout.looked_at(linear, board.physical_address(page));
                table.drop_data_where(|linear, page| looked(linear, page) != Looked::default());
            }
        }
    }

    /// Remembers a translation of the page of `linear`, as a walk for an access found it.
    pub(crate) fn insert(
        &mut self,
        linear: u64,
        context: ContextId,
        access: Access,
        translation: &Translation,
        ram: &mut Ram,
    ) {
        if self.perturb.as_mut().is_some_and(|perturb| perturb.one_in(4)) {
            return;
        }
        let &Translation { page, read, write: writable } = translation;
        // What jumps are remembered rests on fetches that were noted as such, so only a fetch makes a translation for
        // fetches.
        if access == Access::Fetch {
            self.table(context).insert_fetch(linear, page);
        } else if read {
            let plain = writable && self.lend(linear, context, page, ram);
            let host = ram.host_address(page);
            self.table(context).insert(linear, &Data { page, host, writable, plain });
        }
    }

    /// Remembers that a walk in a context used a page-table entry.
    pub(crate) fn note_entry(&mut self, entry: &UsedEntry, context: ContextId, ram: &mut Ram) {
        let noted = self.uses.note(entry, context, ram_pages(ram));
        if noted.table {
            self.contexts[usize::from(context)].pages.insert((entry.offset >> PAGE_SHIFT) as u32);
        }
        if noted.page {
            ram.watch(entry.offset, PageWatch::PageTable);
            self.refresh_writes(ram);
        }
    }

    /// A page that walks have read was written.
    pub(crate) fn table_written(&mut self, offset: u64, len: u32, ram: &mut Ram) {
        let page = offset & !(PAGE_SIZE - 1);
        let first = (offset & (PAGE_SIZE - 1)) >> 3;
        let last = ((offset & (PAGE_SIZE - 1)) + u64::from(len.max(1)) - 1).min(PAGE_SIZE - 1) >> 3;
        for slot in first..=last {
            self.slot_written(page | slot << 3, ram);
        }
        if let Some(tables) = self.uses.forget_unused(page) {
            for table in numbers(tables) {
                self.contexts[table].pages.remove(&((page >> PAGE_SHIFT) as u32));
            }
            ram.unwatch(page, PageWatch::PageTable);
        }
    }

    fn slot_written(&mut self, offset: u64, ram: &mut Ram) {
        let Some(concerned) = self.uses.written(offset) else { return };
        self.drops += 1;
        for table in numbers(concerned.tables) {
            match concerned.ranges() {
                Some(ranges) => ranges.for_each(|(base, shift)| self.tables[table].drop_range(base, shift)),
                None => self.clear(table, ram),
            }
        }
        for table in numbers(concerned.fetched) {
            self.bump(table);
        }
    }

    /// Drops all translations of a table.
    fn clear(&mut self, table: usize, ram: &mut Ram) {
        self.drops += 1;
        self.tables[table].clear();
        for page in std::mem::take(&mut self.contexts[table].pages) {
            if self.uses.forget_table(page, table as ContextId) {
                ram.unwatch(u64::from(page) << PAGE_SHIFT, PageWatch::PageTable);
            }
        }
        self.bump(table);
    }

    /// What was derived from instruction fetches in a context is void.
    fn bump(&mut self, table: usize) {
        let key = self.contexts[table].key;
        let epoch = self.next();
        self.tables[table].bump(epoch);
        // Code at another RFLAGS.AC fetches by the same table.
        let twin = ContextKey { mode: key.mode ^ mode::SMAP, ..key };
        if key.mode & mode::USER == 0
            && let Some(twin) = self.find(&twin)
        {
            let epoch = self.next();
            self.tables[twin].bump(epoch);
        }
    }

    /// Drops every translation.
    pub(crate) fn flush(&mut self, ram: &mut Ram) {
        (0..self.tables.len()).for_each(|table| self.clear(table, ram));
    }

    /// Whether so many tables are remembered that a flush is due.
    pub(crate) fn is_full(&self) -> bool {
        self.uses.pairs() > PAIR_LIMIT
    }

    /// The numbers of the contexts that a vCPU needs at once. They hold until the next call.
    pub(crate) fn contexts(&mut self, keys: &[ContextKey; 3], ram: &mut Ram) -> [ContextId; 3] {
        // None of those that are there already may give way to another.
        let stamp = self.next();
        for key in keys {
            if let Some(table) = self.find(key) {
                self.contexts[table].stamp = stamp;
            }
        }
        keys.map(|key| self.context(key, stamp, ram) as ContextId)
    }

    fn context(&mut self, key: ContextKey, stamp: u64, ram: &mut Ram) -> usize {
        if let Some(table) = self.find(&key) {
            return table;
        }
        let table = if self.tables.len() < self.limit { self.add(key) } else { self.least_recent() };
        self.clear(table, ram);
        let context = &mut self.contexts[table];
        (context.key, context.stamp) = (key, stamp);
        self.found[hash(&key)] = table as u8;
        table
    }

    fn add(&mut self, key: ContextKey) -> usize {
        let epoch = self.next();
        self.tables.push(Table::new(epoch));
        self.contexts.push(Context { key, stamp: 0, pages: BTreeSet::new() });
        self.tables.len() - 1
    }

    fn least_recent(&self) -> usize {
        (0..self.contexts.len()).min_by_key(|&at| self.contexts[at].stamp).expect("there are contexts")
    }

    /// The table of a context, if it has one.
    fn find(&mut self, key: &ContextKey) -> Option<usize> {
        let place = hash(key);
        let last = usize::from(self.found[place]);
        if self.contexts.get(last).is_some_and(|context| context.key == *key) {
            return Some(last);
        }
        let table = self.contexts.iter().position(|context| context.key == *key)?;
        self.found[place] = table as u8;
        Some(table)
    }

    /// From now on forgets at random moments drawn from `seed`, and has fewer contexts.
    pub(crate) fn perturb(&mut self, seed: u64) {
        self.perturb = Some(Perturb { state: seed });
        self.limit = FEW_CONTEXTS;
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

/// A number below 256 that is mostly another one for another context.
fn hash(key: &ContextKey) -> usize {
    let root = key.root[0] >> PAGE_SHIFT ^ key.root[3] >> PAGE_SHIFT ^ key.apic >> PAGE_SHIFT;
    let mixed = (root << 12 ^ u64::from(key.mode)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 56) as usize
}

/// The numbers of the bits of `set`, ascending.
fn numbers(set: u64) -> impl Iterator<Item = usize> {
    std::iter::successors(Some(set), |rest| Some(rest & rest.wrapping_sub(1)))
        .take_while(|&rest| rest != 0)
        .map(|rest| rest.trailing_zeros() as usize)
}

fn ram_pages(ram: &Ram) -> usize {
    (ram.len() >> PAGE_SHIFT) as usize
}

/// Makes `words` at least `len` long. Where there were none, the host gives memory only as it is touched.
fn grow<T: Copy + Default>(words: &mut Vec<T>, len: usize) {
    if words.len() < len {
        let mut grown = vec![T::default(); len];
        grown[..words.len()].copy_from_slice(words);
        *words = grown;
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
