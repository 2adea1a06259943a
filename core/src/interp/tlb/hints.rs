//! Where translations let plain writes through to a page of RAM.
//!
//! A page is mostly written at one linear address, or two: the kernel's and a program's; in how many contexts soever,
//! its index in their tables is the same. So one word for a page, of two indices and a set of tables, finds them all; and
//! a page that is seen at more places at once, which is rare, says so.

use super::grow;
use super::table::{ENTRIES, Table};
use crate::memory::PAGE_SHIFT;

const INDEX_BITS: u32 = 12;
const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;
const COUNT_SHIFT: u32 = 2 * INDEX_BITS;
const TABLES_SHIFT: u32 = COUNT_SHIFT + 2;
const _: () = assert!(ENTRIES == 1 << INDEX_BITS);

/// A set of tables, by numbers that some share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TableSet(u64);

impl TableSet {
    fn of(table: usize) -> Self {
        Self(1 << (table as u32 % (u64::BITS - TABLES_SHIFT)))
    }

    /// Whether a table may be one of them.
    pub(super) fn may_have(self, table: usize) -> bool {
        self.0 & Self::of(table).0 != 0
    }

    /// Those of both sets.
    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Where tables may let plain writes through to a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Places {
    /// No other tables do.
    pub tables: TableSet,
    indices: [usize; 2],
    /// How many of `indices` hold; more than there are: it may be any.
    count: usize,
}

impl Places {
    /// The indices of the entries; `None` if it may be any.
    pub(super) fn indices(&self) -> Option<&[usize]> {
        self.indices.get(..self.count)
    }

    fn unpack(word: u64) -> Self {
        let indices = [word & INDEX_MASK, word >> INDEX_BITS & INDEX_MASK].map(|index| index as usize);
        Self { tables: TableSet(word >> TABLES_SHIFT), indices, count: (word >> COUNT_SHIFT & 3) as usize }
    }

    fn pack(&self) -> u64 {
        let indices = self.indices[0] as u64 | (self.indices[1] as u64) << INDEX_BITS;
        indices | (self.count as u64) << COUNT_SHIFT | self.tables.0 << TABLES_SHIFT
    }

    /// Adds an index, in the place of one that does not hold any longer if need be.
    fn add(&mut self, index: usize, holds: impl Fn(usize) -> bool) {
        if self.indices().is_none_or(|known| known.contains(&index)) {
            return;
        }
        let place = self.indices().and_then(|known| known.iter().position(|&at| !holds(at))).unwrap_or(self.count);
        if let Some(slot) = self.indices.get_mut(place) {
            *slot = index;
        }
        self.count = self.count.max(place + 1);
    }
}

/// A word for each page of RAM. Memory that is never touched costs nothing.
pub(super) struct WriteHints(Vec<u64>);

impl WriteHints {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    /// The table with a number lets plain writes through to the page at offset `page` of RAM, by its entry at `index`.
    pub(super) fn note(&mut self, page: u64, table: usize, index: usize, tables: &[Box<Table>], ram_pages: usize) {
        grow(&mut self.0, ram_pages);
        let word = &mut self.0[(page >> PAGE_SHIFT) as usize];
        let mut places = Places::unpack(*word);
        let known = places.tables;
        let candidates = (0..).zip(tables).filter(|&(number, _)| known.may_have(number));
        places.add(index, |at| candidates.clone().any(|(_, table)| table.writes_to(at, page)));
        places.tables = known.and(TableSet::of(table));
        *word = places.pack();
    }

    /// Takes what is known of the page with a number: nothing lets plain writes through to it any more.
    pub(super) fn take(&mut self, page: u32) -> Places {
        Places::unpack(self.0.get_mut(page as usize).map_or(0, std::mem::take))
    }
}
