//! Where translations let plain writes through to a page of RAM.
//!
//! A page is mostly written at one linear address, or two: the kernel's and a program's; in how many contexts soever,
//! its index in their tables is the same. So one word for a page, of two indices, finds them all; and a page that is
//! seen at more places at once, which is rare, says so.

use super::grow;
use super::table::{ENTRIES, Table};
use crate::memory::PAGE_SHIFT;

const INDEX_BITS: u32 = 12;
const INDEX_MASK: u32 = (1 << INDEX_BITS) - 1;
const COUNT_SHIFT: u32 = 2 * INDEX_BITS;
const _: () = assert!(ENTRIES == 1 << INDEX_BITS);

/// Indices at which tables may let plain writes through to a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Places {
    /// No more than these.
    Few([usize; 2], usize),
    /// Any.
    Many,
}

/// A word for each page of RAM. Memory that is never touched costs nothing.
pub(super) struct WriteHints(Vec<u32>);

fn unpack(word: u32) -> Places {
    let (first, second) = (word & INDEX_MASK, word >> INDEX_BITS & INDEX_MASK);
    match word >> COUNT_SHIFT {
        count @ 0..=2 => Places::Few([first as usize, second as usize], count as usize),
        _ => Places::Many,
    }
}

fn pack(places: Places) -> u32 {
    match places {
        Places::Few([first, second], count) => {
            first as u32 | (second as u32) << INDEX_BITS | (count as u32) << COUNT_SHIFT
        }
        Places::Many => 3 << COUNT_SHIFT,
    }
}

impl WriteHints {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    /// A table lets plain writes through to the page at offset `page` of RAM, by its entry at `index`.
    pub(super) fn note(&mut self, page: u64, index: usize, tables: &[Box<Table>], ram_pages: usize) {
        grow(&mut self.0, ram_pages);
        let word = &mut self.0[(page >> PAGE_SHIFT) as usize];
        if let Places::Few(known, count) = unpack(*word)
            && !known[..count].contains(&index)
        {
            *word = pack(with(known, count, index, |at| tables.iter().any(|table| table.writes_to(at, page))));
        }
    }

    /// Takes what is known of the page with a number: nothing lets plain writes through to it any more.
    pub(super) fn take(&mut self, page: u32) -> Places {
        self.0.get_mut(page as usize).map_or(Places::Few([0; 2], 0), |word| unpack(std::mem::take(word)))
    }
}

/// One index more, in the place of one that does not hold any longer if need be.
fn with(mut known: [usize; 2], count: usize, index: usize, holds: impl Fn(usize) -> bool) -> Places {
    let place = if count < 2 { Some(count) } else { known.iter().position(|&at| !holds(at)) };
    let Some(place) = place else { return Places::Many };
    known[place] = index;
    Places::Few(known, (count + 1).min(2))
}
