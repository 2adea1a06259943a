//! Makes a recording.
//!
//! A frame is handed to the host in one piece, as soon as it is full: killing the recorder costs the frame that it was
//! filling. Where a frame of events ends depends on the events alone, so the same run makes the same bytes, however fast
//! the host was.

use super::batch::Batch;
use super::bytes::put_bytes;
use super::frame::{Kind, PIECE_SIZE, Packer, put_raw};
use super::index::Index;
use super::pages::Pages;
use super::stored::{FILE_LIMIT, FILES_LIMIT, NAME_LIMIT, StoredCluster, StoredFile};
use super::{Event, FORMAT_VERSION, Header, MAGIC, Recording, WriteError};
use reprise_core::backend::DiskId;
use reprise_core::clock::Tick;
use reprise_core::disk::CLUSTER_SIZE;
use reprise_core::door::HostInput;
use reprise_core::edit::{EDIT_LIMIT, Edit};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_128;

/// Digests in a frame, with those left out: 0.32 s of guest time, some seconds of a busy guest's host time.
const FRAME_DIGESTS: u64 = 32;
/// Bytes of events in a frame, or more if the last one is large.
const FRAME_EVENTS: usize = 64 << 10;

/// Compression levels of zstd.
pub(super) mod level {
    /// Once, and every byte counts.
    pub(super) const HEADER: i32 = 19;
    pub(super) const EVENTS: i32 = 3;
    pub(super) const FILE: i32 = 3;
    pub(in crate::format) const CHECKPOINT: i32 = 3;
    pub(in crate::format) const PAGES: i32 = 1;
    /// The guest waits for it.
    pub(super) const CLUSTER: i32 = 1;
    pub(super) const INDEX: i32 = 3;
}

/// Makes a recording: one file, append-only. Dropping it keeps what was given to it, but leaves the file without its end.
pub struct Writer {
    file: File,
    path: PathBuf,
    /// Bytes of whole frames in the file.
    pub(super) length: u64,
    /// Nothing more can be written.
    ended: bool,
    packer: Packer,
    batch: Batch,
    last_tick: Tick,
    /// The end of the run was given.
    run_ended: bool,
    pub(super) index: Index,
    /// Contents of RAM and disks in checkpoints.
    pub(super) pages: Pages,
    /// Offset of each content by its hash.
    contents: BTreeMap<u128, u64>,
    /// Hash of each stored cluster.
    clusters: BTreeMap<(DiskId, u64), u128>,
    /// Hash of each stored file.
    files: BTreeMap<String, u128>,
}

impl Writer {
    /// Creates the file, or empties it, and writes what is known before the run.
    pub fn create(path: &Path, header: &Header) -> Result<Self, WriteError> {
        let create = |source| WriteError::Create { path: path.to_owned(), source };
        let file = File::create(path).map_err(create)?;
        let mut writer = Self::of(file, path)?;
        writer.header(header)?;
        Ok(writer)
    }

    fn of(file: File, path: &Path) -> Result<Self, WriteError> {
        let create = |source| WriteError::Create { path: path.to_owned(), source };
        Ok(Self {
            file,
            path: path.to_owned(),
            length: 0,
            ended: false,
            packer: Packer::new().map_err(create)?,
            batch: Batch::new(0, 0),
            last_tick: 0,
            run_ended: false,
            index: Index::default(),
            pages: Pages::default(),
            contents: BTreeMap::new(),
            clusters: BTreeMap::new(),
            files: BTreeMap::new(),
        })
    }

    /// Creates the file, or empties it, and writes all that `recording` holds, which has to be whole: checkpoints can be
    /// added to it.
    pub fn copy(path: &Path, recording: &Recording) -> Result<Self, WriteError> {
        let create = |source| WriteError::Create { path: path.to_owned(), source };
        let (from, end, index) = recording.whole();
        let mut writer = Self::of(File::create(path).map_err(create)?, path)?;
        writer.append(&[&MAGIC[..], &FORMAT_VERSION.to_le_bytes()].concat())?;
        while writer.length < end {
            let mut piece = vec![0; PIECE_SIZE.min((end - writer.length) as usize)];
            from.read(writer.length, &mut piece).map_err(|source| WriteError::Copy { source: Box::new(source) })?;
            writer.append(&piece)?;
        }
        (writer.index, writer.run_ended) = (index.clone(), true);
        Ok(writer)
    }

    fn header(&mut self, header: &Header) -> Result<(), WriteError> {
        let mut payload = Vec::new();
        put_bytes(&mut payload, header.build.as_bytes());
        payload.extend_from_slice(header.config.as_bytes());
        within("the size of the configuration", payload.len() as u64, Kind::Header.limit() as u64)?;
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        self.pack(&mut out, Kind::Header, &payload, level::HEADER)?;
        self.append(&out)
    }

    /// Stores a host file by the name that the configuration has for it; nothing if it is stored already.
    pub fn file(&mut self, name: &str, bytes: &[u8]) -> Result<(), WriteError> {
        let hash = xxh3_128(bytes);
        if let Some(&known) = self.files.get(name) {
            return if known == hash { Ok(()) } else { Err(WriteError::FileChanged { name: name.to_owned() }) };
        }
        within("the length of a file's name", name.len() as u64, NAME_LIMIT)?;
        within("the number of files", self.files.len() as u64 + 1, FILES_LIMIT as u64)?;
        within(&format!("the size of file '{name}'"), bytes.len() as u64, FILE_LIMIT)?;
        let before = self.length;
        let pieces = bytes.chunks(PIECE_SIZE).map(|piece| self.contents(piece)).collect::<Result<_, _>>()?;
        let file = StoredFile { name: name.to_owned(), size: bytes.len() as u64, hash, pieces };
        let offset = self.length;
        self.frame(Kind::File, &file.encode(), level::FILE)?;
        self.index.sizes.files += self.length - before;
        self.index.files.insert(name.to_owned(), offset);
        self.files.insert(name.to_owned(), hash);
        Ok(())
    }

    /// The offset of a piece of a file, which is written unless it was.
    fn contents(&mut self, piece: &[u8]) -> Result<u64, WriteError> {
        let hash = xxh3_128(piece);
        if let Some(&offset) = self.contents.get(&hash) {
            return Ok(offset);
        }
        let offset = self.length;
        self.frame(Kind::Contents, piece, level::FILE)?;
        self.contents.insert(hash, offset);
        Ok(offset)
    }

    /// Stores a cluster of a disk's image; nothing if it is stored already, an error if it was other bytes then.
    pub fn cluster(&mut self, disk: DiskId, cluster: u64, bytes: &[u8]) -> Result<(), WriteError> {
        let hash = xxh3_128(bytes);
        if let Some(&known) = self.clusters.get(&(disk, cluster)) {
            return if known == hash { Ok(()) } else { Err(WriteError::ImageChanged { disk, cluster }) };
        }
        within("the size of a cluster", bytes.len() as u64, CLUSTER_SIZE)?;
        let mut out = Vec::new();
        let contents = match self.contents.get(&hash) {
            Some(&offset) => offset,
            None => {
                self.pack(&mut out, Kind::Contents, bytes, level::CLUSTER)?;
                self.length
            }
        };
        let stored = StoredCluster { disk, cluster, contents };
        put_raw(&mut out, Kind::Cluster, &stored.encode());
        self.append(&out)?;
        self.contents.insert(hash, contents);
        self.clusters.insert((disk, cluster), hash);
        self.index.clusters.push(stored);
        self.index.sizes.clusters += out.len() as u64;
        Ok(())
    }

    /// Takes what happened at `tick`, which is not before the last one. A digest is at its multiple of
    /// [`DIGEST_INTERVAL`](super::DIGEST_INTERVAL), and nothing follows the end of the run.
    pub fn event(&mut self, tick: Tick, event: &Event) -> Result<(), WriteError> {
        assert!(tick >= self.last_tick, "tick {tick} comes after tick {}", self.last_tick);
        if let Event::Input(HostInput::Cluster { disk, cluster, data }) = event {
            return self.cluster(*disk, *cluster, data);
        }
        self.within_limit(event)?;
        assert!(!self.run_ended, "something happened at tick {tick}, after the end of the run");
        self.last_tick = tick;
        self.run_ended = matches!(event, Event::End(_));
        self.batch.push(tick, event);
        if self.is_full(event) { self.flush() } else { self.usable() }
    }

    fn within_limit(&self, event: &Event) -> Result<(), WriteError> {
        let limit = (Kind::Events.limit() - 2 * FRAME_EVENTS) as u64;
        match event {
            Event::Input(HostInput::Chardev { bytes, .. } | HostInput::Random { bytes, .. }) => {
                within("the size of an input", bytes.len() as u64, limit)
            }
            Event::Input(HostInput::Frame { frame, .. }) => {
                within("the size of a network frame", frame.len() as u64, limit)
            }
            Event::Input(HostInput::Edit(Edit::Memory { address: _, bytes })) => {
                within("the size of a change of memory", bytes.len() as u64, EDIT_LIMIT as u64)
            }
            Event::End(ended) => within("the length of the reason of the end", ended.reason.len() as u64, limit),
            Event::Input(_) | Event::Digest(_) => Ok(()),
        }
    }

    /// Whether the frame ends after `event`. Depends on nothing but the events.
    fn is_full(&self, event: &Event) -> bool {
        let full = self.batch.bytes().len() >= FRAME_EVENTS;
        match event {
            Event::Digest(_) => full || self.batch.passes(FRAME_DIGESTS),
            Event::Input(_) => full,
            Event::End(_) => true,
        }
    }

    /// Ends the current frame and hands it to the host. Never needed for a frame that is full; where it is called by the
    /// host's time, recordings of the same run differ in where frames end.
    pub fn flush(&mut self) -> Result<(), WriteError> {
        let Some(first_tick) = self.batch.first_tick() else { return self.usable() };
        let next = Batch::new(self.index.batches + 1, self.batch.next_digest());
        let batch = std::mem::replace(&mut self.batch, next);
        let offset = self.length;
        self.frame(Kind::Events, batch.bytes(), level::EVENTS)?;
        let stored = self.length - offset;
        self.index.add_batch(first_tick, offset, stored, batch.bytes().len(), batch.digest_bytes());
        Ok(())
    }

    /// Writes index and end, and has the host put all of it on its disk; the bytes of the recording.
    pub fn finish(mut self) -> Result<u64, WriteError> {
        self.flush()?;
        let start = self.length;
        self.index.sort();
        for payload in self.index.encode() {
            self.frame(Kind::Index, &payload, level::INDEX)?;
        }
        let mut out = Vec::new();
        put_raw(&mut out, Kind::End, &start.to_le_bytes());
        self.append(&out)?;
        self.sync().map_err(|source| self.host_error(source))?;
        self.ended = true;
        Ok(self.length)
    }

    /// Pipes and devices have nothing to wait for.
    fn sync(&self) -> io::Result<()> {
        if self.file.metadata()?.is_file() { self.file.sync_all() } else { Ok(()) }
    }

    pub(super) fn frame(&mut self, kind: Kind, payload: &[u8], level: i32) -> Result<(), WriteError> {
        let mut out = Vec::new();
        self.pack(&mut out, kind, payload, level)?;
        self.append(&out)
    }

    fn pack(&mut self, out: &mut Vec<u8>, kind: Kind, payload: &[u8], level: i32) -> Result<u64, WriteError> {
        self.packer.pack(out, kind, payload, level).map_err(|source| self.host_error(source))
    }

    /// Appends whole frames. If the host takes only a part, it is taken back, and nothing can follow.
    fn append(&mut self, frames: &[u8]) -> Result<(), WriteError> {
        self.usable()?;
        if let Err(source) = self.file.write_all(frames) {
            self.ended = true;
            // If this fails too, the reader finds half a frame, and says so.
            let _ = self.file.set_len(self.length);
            return Err(self.host_error(source));
        }
        self.length += frames.len() as u64;
        Ok(())
    }

    fn usable(&self) -> Result<(), WriteError> {
        if self.ended {
            return Err(WriteError::Ended { path: self.path.clone(), offset: self.length });
        }
        Ok(())
    }

    fn host_error(&self, source: io::Error) -> WriteError {
        WriteError::Host { path: self.path.clone(), offset: self.length, source }
    }
}

impl Drop for Writer {
    /// What is known when a bug ends the recorder is what finds the bug.
    fn drop(&mut self) {
        let _ = self.flush();
    }
}

pub(super) fn within(what: &str, found: u64, limit: u64) -> Result<(), WriteError> {
    if found > limit {
        return Err(WriteError::TooLarge { what: what.to_owned(), found, limit });
    }
    Ok(())
}
