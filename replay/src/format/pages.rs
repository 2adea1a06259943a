//! Pages on their way into a recording: each contents once, up to [`FRAME_PAGES`] in a frame.

use super::checkpoint::{FRAME_PAGES, Place, Run, STORED_PAGE};
use reprise_core::disk::StoredBlock;
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_128;

/// A page that a recording holds, or is about to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PageId {
    /// Which frame of pages.
    frame: u32,
    /// Which page of it.
    slot: u8,
}

/// All pages of a recording in the making.
#[derive(Default)]
pub(super) struct Pages {
    /// Offsets of the frames so far.
    frames: Vec<u64>,
    /// The next frame.
    open: Vec<u8>,
    known: BTreeMap<u128, PageId>,
}

impl Pages {
    /// Adds a page, unless there is one with its contents. The caller then takes what is [full](Self::full).
    pub(super) fn add(&mut self, page: &[u8; STORED_PAGE]) -> PageId {
        let next = PageId { frame: self.frames.len() as u32, slot: (self.open.len() / STORED_PAGE) as u8 };
        let id = *self.known.entry(xxh3_128(page)).or_insert(next);
        if id == next {
            self.open.extend_from_slice(page);
        }
        id
    }

    /// The next frame's payload, if no page fits into it any more.
    pub(super) fn full(&self) -> Option<&[u8]> {
        (self.open.len() >= FRAME_PAGES * STORED_PAGE).then_some(&self.open)
    }

    /// The next frame's payload, if it has any.
    pub(super) fn rest(&self) -> Option<&[u8]> {
        (!self.open.is_empty()).then_some(&self.open)
    }

    /// The next frame was written at `offset`.
    pub(super) fn written(&mut self, offset: u64) {
        self.frames.push(offset);
        self.open.clear();
    }
}

/// The frames that a checkpoint needs, of all that were written, and places in them.
pub(super) struct Needed<'a> {
    pages: &'a Pages,
    /// For each frame that is needed, its place in the checkpoint's list.
    frames: BTreeMap<u32, u64>,
}

impl<'a> Needed<'a> {
    pub(super) fn new(pages: &'a Pages, ids: impl Iterator<Item = PageId>) -> Self {
        let mut frames: BTreeMap<u32, u64> = ids.map(|id| (id.frame, 0)).collect();
        frames.values_mut().zip(0..).for_each(|(place, at)| *place = at);
        Self { pages, frames }
    }

    /// Offsets of the frames.
    pub(super) fn offsets(&self) -> Vec<u64> {
        self.frames.keys().map(|&frame| self.pages.frames[frame as usize]).collect()
    }

    pub(super) fn place(&self, id: PageId) -> Place {
        self.frames[&id.frame] * FRAME_PAGES as u64 + u64::from(id.slot)
    }

    /// Pages of RAM in order, as runs.
    pub(super) fn runs(&self, ram: impl Iterator<Item = (u32, PageId)>) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for (page, id) in ram {
            let place = self.place(id);
            let follows = |run: &&mut Run| run.first + run.count == page && run.place + u64::from(run.count) == place;
            match runs.last_mut().filter(follows) {
                Some(run) => run.count += 1,
                None => runs.push(Run { first: page, count: 1, place }),
            }
        }
        runs
    }

    pub(super) fn block(&self, block: StoredBlock<PageId>) -> StoredBlock<Place> {
        let StoredBlock { number, written, contents } = block;
        StoredBlock { number, written, contents: contents.map(|id| self.place(id)) }
    }
}
