//! Finds what a recording without an index holds: frame by frame, as far as they are whole.

use super::batch::BatchReader;
use super::bytes::Malformed;
use super::checkpoint::Stored;
use super::frame::Kind;
use super::index::Index;
use super::source::{Place, Source};
use super::stored::{FILES_LIMIT, StoredCluster, StoredFile};
use super::{Damage, Ended, Event, ReadError};
use reprise_core::backend::DiskId;
use reprise_core::clock::Tick;
use std::collections::BTreeSet;

/// What was found.
pub(super) struct Scan {
    pub(super) index: Index,
    /// Where the frames end that are whole and hold what is replayed.
    pub(super) frames_end: u64,
    pub(super) last_tick: Tick,
    pub(super) ended: Option<Ended>,
    pub(super) damage: Option<Damage>,
    /// Bytes of contents to which no name belongs yet.
    nameless: u64,
    /// The clusters so far.
    clusters: BTreeSet<(DiskId, u64)>,
}

impl Scan {
    /// What an index said.
    pub(super) fn indexed(index: Index, frames_end: u64, last_tick: Tick, ended: Option<Ended>) -> Self {
        Self { index, frames_end, last_tick, ended, damage: None, nameless: 0, clusters: BTreeSet::new() }
    }

    /// Reads all frames of `source` from `start` on.
    pub(super) fn of(source: &Source, start: u64) -> Result<Self, ReadError> {
        let mut scan = Self::indexed(Index::default(), start, 0, None);
        match scan.frames(source) {
            Ok(()) => {}
            Err(ReadError::Damaged { damage, .. }) => scan.damage = Some(damage),
            Err(other) => return Err(other),
        }
        scan.index.sizes.files += scan.nameless;
        scan.index.sort();
        Ok(scan)
    }

    /// Goes on to the end, or to the first frame that is not whole.
    fn frames(&mut self, source: &Source) -> Result<(), ReadError> {
        let mut offset = self.frames_end;
        loop {
            let place = source.place(offset)?;
            offset = place.end();
            match place.head.kind {
                Kind::Events => self.events(source, &place)?,
                Kind::Contents => {
                    source.check(&place)?;
                    self.nameless += place.head.frame_size();
                }
                Kind::File => self.file(source, &place)?,
                Kind::Cluster => self.cluster(source, &place)?,
                Kind::Pages => {
                    source.check(&place)?;
                    self.index.sizes.checkpoints += place.head.frame_size();
                }
                Kind::Checkpoint => self.checkpoint(source, &place)?,
                Kind::Index => source.check(&place)?,
                Kind::End => return self.end(source, &place),
                Kind::Header => {
                    return Err(source.damaged(place.offset, Malformed::new("one header frame", "a second")));
                }
            }
            if place.head.kind != Kind::Index {
                self.frames_end = offset;
            }
        }
    }

    fn events(&mut self, source: &Source, place: &Place) -> Result<(), ReadError> {
        let payload = source.payload(place)?;
        let damaged = |malformed| source.damaged(place.offset, malformed);
        let mut batch = BatchReader::new(payload).map_err(damaged)?;
        in_sequence(self.index.batches, batch.number()).map_err(damaged)?;
        if self.ended.is_some() {
            return Err(damaged(Malformed::new("nothing after the end of the run", "more events")));
        }
        // Kept only if the whole frame is good: a reader gives all of a frame or nothing.
        let (mut first_tick, mut last_tick, mut ended) = (None, self.last_tick, None);
        while let Some((tick, event)) = batch.next().map_err(damaged)? {
            in_order(last_tick, tick).map_err(damaged)?;
            first_tick.get_or_insert(tick);
            last_tick = tick;
            if let Event::End(end) = event {
                ended = Some(end);
            }
        }
        let first_tick = first_tick.ok_or_else(|| damaged(Malformed::new("an event at least", "an empty frame")))?;
        self.index.add_batch(first_tick, place.offset, place.head.frame_size(), batch.size(), batch.digest_bytes());
        (self.last_tick, self.ended) = (last_tick, ended);
        Ok(())
    }

    fn file(&mut self, source: &Source, place: &Place) -> Result<(), ReadError> {
        let damaged = |malformed| source.damaged(place.offset, malformed);
        let file = StoredFile::decode(&source.payload(place)?).map_err(damaged)?;
        if self.index.files.len() >= FILES_LIMIT {
            return Err(damaged(Malformed::new(format!("at most {FILES_LIMIT} files"), "more")));
        }
        if self.index.files.insert(file.name.clone(), place.offset).is_some() {
            return Err(damaged(Malformed::new(format!("one file '{}'", file.name), "a second")));
        }
        self.index.sizes.files += std::mem::take(&mut self.nameless) + place.head.frame_size();
        Ok(())
    }

    fn cluster(&mut self, source: &Source, place: &Place) -> Result<(), ReadError> {
        let damaged = |malformed| source.damaged(place.offset, malformed);
        let found = StoredCluster::decode(&source.payload(place)?).map_err(damaged)?;
        if !self.clusters.insert(found.key()) {
            let expected = format!("cluster {} of disk {} once", found.cluster, found.disk.0);
            return Err(damaged(Malformed::new(expected, "it a second time")));
        }
        self.index.clusters.push(found);
        self.index.sizes.clusters += std::mem::take(&mut self.nameless) + place.head.frame_size();
        Ok(())
    }

    fn checkpoint(&mut self, source: &Source, place: &Place) -> Result<(), ReadError> {
        let stored = Stored::decode(&source.payload(place)?);
        let stored = stored.map_err(|malformed| source.damaged(place.offset, malformed))?;
        self.index.checkpoints.insert(stored.tick, place.offset);
        self.index.sizes.checkpoints += place.head.frame_size();
        Ok(())
    }

    /// The frame after which nothing comes.
    fn end(&mut self, source: &Source, place: &Place) -> Result<(), ReadError> {
        source.check(place)?;
        match source.length() - place.end() {
            0 => Ok(()),
            more => {
                let malformed = Malformed::new("the end of the file", format!("{more} more bytes"));
                Err(source.damaged(place.end(), malformed))
            }
        }
    }
}

/// Frames of events are numbered: none is left out.
pub(super) fn in_sequence(expected: u64, found: u64) -> Result<(), Malformed> {
    if found == expected {
        return Ok(());
    }
    Err(Malformed::new(format!("events frame {expected}"), format!("events frame {found}")))
}

/// Ticks never go back.
pub(super) fn in_order(last: Tick, tick: Tick) -> Result<(), Malformed> {
    if tick >= last {
        return Ok(());
    }
    Err(Malformed::new(format!("events from tick {last} on"), format!("one at tick {tick}")))
}
