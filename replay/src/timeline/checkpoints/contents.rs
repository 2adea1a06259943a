//! Where contents of pages are kept, and shared: in large mappings, which the host may fill with large pages. One by one
//! it would take longer to give a page than to copy one.

use super::history::Page;
use memmap2::{Advice, MmapMut, MmapOptions};
use reprise_core::memory::PAGE_SIZE;
use std::num::NonZero;

/// Pages in a slab: a few of the host's large pages.
const SLAB: usize = 4096;
/// Bytes that contents take: a page, and how often it is shared.
const COST: u64 = PAGE_SIZE + size_of::<u32>() as u64;

/// The contents of a page: their place, plus 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ContentsId(NonZero<u32>);

impl ContentsId {
    fn new(place: usize) -> Self {
        let number = u32::try_from(place + 1).ok().and_then(NonZero::new);
        Self(number.expect("memory ends before numbers do"))
    }

    fn place(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// Contents of pages.
#[derive(Default)]
pub(super) struct Contents {
    slabs: Vec<MmapMut>,
    /// How many share each of them.
    shares: Vec<u32>,
    /// Places that are not in use, the one that was given back last at the end: the host has given memory for it.
    free: Vec<usize>,
}

impl Contents {
    /// Bytes that they take.
    pub(super) fn bytes(&self) -> u64 {
        (self.shares.len() - self.free.len()) as u64 * COST
    }

    pub(super) fn get(&self, id: ContentsId) -> &Page {
        let (slab, within) = (id.place() / SLAB, id.place() % SLAB);
        &self.slabs[slab].as_chunks::<{ PAGE_SIZE as usize }>().0[within]
    }

    pub(super) fn add(&mut self, page: &Page) -> ContentsId {
        let place = self.free.pop().unwrap_or_else(|| self.add_place());
        self.slabs[place / SLAB].as_chunks_mut::<{ PAGE_SIZE as usize }>().0[place % SLAB] = *page;
        self.shares[place] = 1;
        ContentsId::new(place)
    }

    fn add_place(&mut self) -> usize {
        if self.shares.len() == self.slabs.len() * SLAB {
            let slab = MmapOptions::new().len(SLAB * PAGE_SIZE as usize).no_reserve_swap().map_anon();
            let slab = slab.expect("the host gives memory for checkpoints");
            // Advice only: without large pages it is slower.
            let _ = slab.advise(Advice::HugePage);
            self.slabs.push(slab);
        }
        self.shares.push(0);
        self.shares.len() - 1
    }

    /// One more has the same contents.
    pub(super) fn share(&mut self, id: ContentsId) -> ContentsId {
        self.shares[id.place()] += 1;
        id
    }

    /// One less has them; the last one gives them back.
    pub(super) fn release(&mut self, id: ContentsId) {
        let shares = &mut self.shares[id.place()];
        *shares -= 1;
        if *shares == 0 {
            self.free.push(id.place());
        }
    }

    /// How many share the contents.
    #[cfg(test)]
    pub(super) fn shares(&self, id: ContentsId) -> u32 {
        self.shares[id.place()]
    }

    /// How many different contents there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shares.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_used_again_once_nobody_shares_them() {
        let mut contents = Contents::default();
        let page = |n: usize| -> Page { std::array::from_fn(|at| (at * n) as u8) };
        let ids: Vec<_> = (0..SLAB + 3).map(|n| contents.add(&page(n))).collect();
        assert_eq!((contents.slabs.len(), contents.bytes()), (2, (SLAB as u64 + 3) * COST));
        assert!(ids.iter().enumerate().all(|(n, &id)| *contents.get(id) == page(n)));
        contents.share(ids[7]);
        contents.release(ids[7]);
        assert_eq!(*contents.get(ids[7]), page(7));
        contents.release(ids[7]);
        contents.release(ids[9]);
        assert_eq!((contents.len(), contents.add(&page(1)), contents.add(&page(2))), (SLAB + 1, ids[9], ids[7]));
        assert_eq!((*contents.get(ids[9]), *contents.get(ids[7])), (page(1), page(2)));
    }
}
