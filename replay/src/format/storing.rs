//! Puts checkpoints into a recording.

use super::checkpoint::{STORED_PAGE, Stored, StoredDisk};
use super::frame::Kind;
use super::pages::{Needed, PageId};
use super::writer::{level, within};
use super::{WriteError, Writer};
use reprise_core::clock::Tick;
use reprise_core::disk::StoredBlock;
use reprise_core::machine::Fingerprint;
use std::collections::BTreeMap;

/// What was written to a disk, whose contents are in the recording.
#[derive(Clone, Debug, Default)]
pub struct NewDisk {
    /// Blocks, in order.
    pub blocks: Vec<StoredBlock<PageId>>,
    /// Blocks that are all zeros: the first, and the one after the last; in order.
    pub zeroes: Vec<(u64, u64)>,
}

/// The state of a machine, the contents of whose RAM and disks are in the recording.
#[derive(Clone, Debug)]
pub struct NewCheckpoint<'a> {
    /// Its tick.
    pub tick: Tick,
    /// The build that runs it.
    pub build: &'a str,
    /// The fingerprint of the machine at power-on.
    pub origin: Fingerprint,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// All state but the contents of RAM and disks.
    pub parts: Vec<u8>,
    /// The pages of RAM that are not all zeros.
    pub ram: &'a BTreeMap<u32, PageId>,
    /// The disks.
    pub disks: Vec<NewDisk>,
}

impl Writer {
    /// Stores a page of RAM, or a block of a disk, unless there is one with its contents.
    pub fn page(&mut self, page: &[u8; STORED_PAGE]) -> Result<PageId, WriteError> {
        let id = self.pages.add(page);
        if let Some(payload) = self.pages.full().map(<[u8]>::to_vec) {
            self.pages_frame(&payload)?;
        }
        Ok(id)
    }

    fn pages_frame(&mut self, payload: &[u8]) -> Result<(), WriteError> {
        let offset = self.length;
        self.frame(Kind::Pages, payload, level::PAGES)?;
        self.index.sizes.checkpoints += self.length - offset;
        self.pages.written(offset);
        Ok(())
    }

    /// Stores a checkpoint; it takes the place of one of the same tick.
    pub fn checkpoint(&mut self, new: NewCheckpoint<'_>) -> Result<(), WriteError> {
        if let Some(payload) = self.pages.rest().map(<[u8]>::to_vec) {
            self.pages_frame(&payload)?;
        }
        let blocks = new.disks.iter().flat_map(|disk| &disk.blocks).filter_map(|block| block.contents);
        let needed = Needed::new(&self.pages, new.ram.values().copied().chain(blocks));
        let disk = |NewDisk { blocks, zeroes }: NewDisk| StoredDisk {
            blocks: blocks.into_iter().map(|block| needed.block(block)).collect(),
            zeroes,
        };
        let stored = Stored {
            tick: new.tick,
            build: new.build.to_owned(),
            origin: new.origin,
            fingerprint: new.fingerprint,
            parts: new.parts,
            frames: needed.offsets(),
            runs: needed.runs(new.ram.iter().map(|(&page, &id)| (page, id))),
            disks: new.disks.into_iter().map(disk).collect(),
        };
        self.stored(&stored)
    }

    /// Appends pages that another recording has; where they are.
    #[cfg(test)]
    pub(crate) fn stored_pages(&mut self, payload: &[u8]) -> Result<u64, WriteError> {
        let offset = self.length;
        self.frame(Kind::Pages, payload, level::PAGES)?;
        Ok(offset)
    }

    /// Appends a checkpoint whose pages are in the file.
    pub(crate) fn stored(&mut self, stored: &Stored) -> Result<(), WriteError> {
        let payload = stored.encode();
        within("the size of a checkpoint", payload.len() as u64, Kind::Checkpoint.limit() as u64)?;
        let offset = self.length;
        self.frame(Kind::Checkpoint, &payload, level::CHECKPOINT)?;
        self.index.sizes.checkpoints += self.length - offset;
        self.index.checkpoints.insert(stored.tick, offset);
        Ok(())
    }
}
