//! Reads a recording.

use super::bytes::{Bytes, Malformed, text};
use super::checkpoint::Stored;
use super::frame::{Kind, PIECE_SIZE};
use super::index::Index;
use super::scan::Scan;
use super::source::{PREAMBLE, Source};
use super::stored::{StoredCluster, StoredFile};
use super::{Damage, Ended, Event, Events, Header, ReadError, Sizes};
use reprise_core::backend::DiskId;
use reprise_core::clock::Tick;
use reprise_core::disk::CLUSTER_SIZE;
use std::path::Path;
use xxhash_rust::xxh3::xxh3_128;

/// Bytes of the end frame, which is always the same size.
const END_SIZE: u64 = 14;

/// A recording, as it was when it was opened. Only what is asked for is read, and each frame is checked then.
pub struct Recording {
    source: Source,
    header: Header,
    /// Where the first frame after the header is.
    start: u64,
    found: Scan,
}

impl Recording {
    /// Opens a recording. Where it has no end, because its recorder was killed or still writes, or the index is damaged, all
    /// frames are read, as far as they are whole; [`damage`](Self::damage) says how far that is.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let source = Source::open(path)?;
        let (place, payload) = source.frame(PREAMBLE, Kind::Header)?;
        let header = header(&payload).map_err(|malformed| source.damaged(PREAMBLE, malformed))?;
        let start = place.end();
        let found = match indexed(&source, start) {
            Some(found) => found,
            None => Scan::of(&source, start)?,
        };
        Ok(Self { source, header, start, found })
    }

    /// What was known before the run.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The version of the format that it is written in.
    pub fn version(&self) -> u32 {
        self.source.version()
    }

    /// The contents of the file that the configuration has by this name.
    pub fn file(&mut self, name: &str) -> Result<Vec<u8>, ReadError> {
        let Some(&offset) = self.found.index.files.get(name) else { return Err(self.no_file(name)) };
        let (place, payload) = self.source.frame(offset, Kind::File)?;
        let damaged = |malformed| self.source.damaged(place.offset, malformed);
        let file = StoredFile::decode(&payload).map_err(damaged)?;
        if file.name != name {
            return Err(damaged(Malformed::new(format!("file '{name}'"), format!("file '{}'", file.name))));
        }
        let bytes = self.pieces(&file)?;
        match xxh3_128(&bytes) {
            hash if hash == file.hash => Ok(bytes),
            hash => Err(damaged(Malformed::new(
                format!("contents of '{name}' with hash {:032x}", file.hash),
                format!("{hash:032x}"),
            ))),
        }
    }

    fn pieces(&self, file: &StoredFile) -> Result<Vec<u8>, ReadError> {
        let mut bytes = Vec::new();
        for &offset in &file.pieces {
            let (place, piece) = self.source.frame(offset, Kind::Contents)?;
            let wanted = (file.size - bytes.len() as u64).min(PIECE_SIZE as u64);
            if piece.len() as u64 != wanted {
                let expected = format!("{wanted} bytes of file '{}'", file.name);
                return Err(self.source.damaged(place.offset, Malformed::new(expected, piece.len().to_string())));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    fn no_file(&self, name: &str) -> ReadError {
        let names: Vec<_> = self.found.index.files.keys().map(|name| format!("'{name}'")).collect();
        let found = if names.is_empty() { "no files".to_owned() } else { names.join(", ") };
        ReadError::NoFile { path: self.source.path().to_owned(), name: name.to_owned(), found }
    }

    /// The names of all files, sorted.
    pub fn file_names(&self) -> Vec<String> {
        self.found.index.files.keys().cloned().collect()
    }

    /// Size and hash (XXH3-128) of the contents of the file of this name, without reading them.
    pub fn describe(&self, name: &str) -> Result<(u64, u128), ReadError> {
        let Some(&offset) = self.found.index.files.get(name) else { return Err(self.no_file(name)) };
        let (place, payload) = self.source.frame(offset, Kind::File)?;
        let file = StoredFile::decode(&payload).map_err(|malformed| self.source.damaged(place.offset, malformed))?;
        Ok((file.size, file.hash))
    }

    /// The clusters of disks' images that the recording has, in order.
    pub fn clusters(&self) -> impl Iterator<Item = (DiskId, u64)> {
        self.found.index.clusters.iter().map(StoredCluster::key)
    }

    /// The contents of a cluster of a disk's image, if the recording has it.
    pub fn cluster(&mut self, disk: DiskId, cluster: u64) -> Result<Option<Vec<u8>>, ReadError> {
        let Some(offset) = self.found.index.cluster(disk, cluster) else { return Ok(None) };
        let (place, contents) = self.source.frame(offset, Kind::Contents)?;
        if contents.len() as u64 > CLUSTER_SIZE {
            let malformed =
                Malformed::new(format!("at most {CLUSTER_SIZE} bytes of a cluster"), contents.len().to_string());
            return Err(self.source.damaged(place.offset, malformed));
        }
        Ok(Some(contents))
    }

    /// The ticks of the checkpoints that are stored in it, in order. What is in one is looked at when it is used.
    pub fn checkpoints(&self) -> impl DoubleEndedIterator<Item = Tick> {
        self.found.index.checkpoints.keys().copied()
    }

    /// The stored checkpoint of that tick, if there is one.
    pub(crate) fn stored_checkpoint(&self, tick: Tick) -> Result<Option<Stored>, ReadError> {
        let Some(&offset) = self.found.index.checkpoints.get(&tick) else { return Ok(None) };
        let (place, payload) = self.source.frame(offset, Kind::Checkpoint)?;
        let damaged = |malformed| self.source.damaged(place.offset, malformed);
        let stored = Stored::decode(&payload).map_err(damaged)?;
        if stored.tick != tick {
            let found = format!("one of tick {}", stored.tick);
            return Err(damaged(Malformed::new(format!("the checkpoint of tick {tick}"), found)));
        }
        Ok(Some(stored))
    }

    /// The pages in the frame at `offset`.
    pub(crate) fn stored_pages(&self, offset: u64) -> Result<Vec<u8>, ReadError> {
        self.source.frame(offset, Kind::Pages).map(|(_, payload)| payload)
    }

    /// What a writer needs to go on after what is in here: the file, up to where, and the index of it.
    pub(super) fn whole(&self) -> (&Source, u64, &Index) {
        (&self.source, self.found.frames_end, &self.found.index)
    }

    /// All events from tick `from` on, in order.
    pub fn events(&mut self, from: Tick) -> Events<'_> {
        let start = match self.found.index.seek(from) {
            Some(point) => (point.offset, None),
            None => (self.start, Some(0)),
        };
        Events::new(&self.source, from, start, self.found.frames_end, self.found.index.batches)
    }

    /// How the run ended; `None` if the recorder was killed or still writes.
    pub fn end(&self) -> Option<&Ended> {
        self.found.ended.as_ref()
    }

    /// The tick of the last event.
    pub fn last_tick(&self) -> Tick {
        self.found.last_tick
    }

    /// Where the recording stops being whole, if it was found not to be. What is before that can be used.
    pub fn damage(&self) -> Option<&Damage> {
        self.found.damage.as_ref()
    }

    /// Reads every frame, whether it is needed or not; the first place that is not whole.
    pub fn check(&self) -> Result<Option<Damage>, ReadError> {
        Ok(Scan::of(&self.source, self.start)?.damage)
    }

    /// Bytes of the file by what they are for.
    pub fn sizes(&self) -> Sizes {
        let named = self.found.index.sizes;
        let whole = self.found.damage.as_ref().map_or(self.source.length(), |damage| damage.offset);
        Sizes {
            header: self.start,
            index: whole.saturating_sub(self.found.frames_end),
            total: self.source.length(),
            ..named
        }
    }
}

fn header(payload: &[u8]) -> Result<Header, Malformed> {
    let mut from = Bytes::new(payload);
    let build = from.text("build")?;
    Ok(Header { build, config: text(from.rest(), "configuration")? })
}

/// What the index says; `None` if any of it is not whole.
fn indexed(source: &Source, start: u64) -> Option<Scan> {
    let end = source.length().checked_sub(END_SIZE).filter(|&end| end >= start)?;
    let (_, payload) = source.frame(end, Kind::End).ok()?;
    let frames_end = u64::from_le_bytes(payload.try_into().ok()?);
    let mut index = Index::default();
    let mut offset = frames_end;
    while offset < end {
        let (place, payload) = source.frame(offset, Kind::Index).ok()?;
        index.decode(&payload, source.length()).ok()?;
        offset = place.end();
    }
    let (last_tick, ended) = last_batch(source, &index)?;
    (offset == end && frames_end >= start).then_some(Scan::indexed(index, frames_end, last_tick, ended))
}

/// The last tick, and how the run ended.
fn last_batch(source: &Source, index: &Index) -> Option<(Tick, Option<Ended>)> {
    let Some(offset) = index.last_batch else { return Some((0, None)) };
    let (_, payload) = source.frame(offset, Kind::Events).ok()?;
    let mut batch = super::batch::BatchReader::new(payload).ok()?;
    let (mut last_tick, mut ended) = (0, None);
    while let Some((tick, event)) = batch.next().ok()? {
        last_tick = tick;
        if let Event::End(end) = event {
            ended = Some(end);
        }
    }
    (batch.number().checked_add(1) == Some(index.batches)).then_some((last_tick, ended))
}
