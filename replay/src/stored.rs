//! Checkpoints that are stored in a recording: into it, and out of it again.
//!
//! Whoever opens a recording at its end would wait as long as its guest once ran. A stored checkpoint is all state at a
//! tick: from there it is not far. What is in a file is not trusted, though. It is taken over only by a build that says of
//! itself what the one that made it did, into a machine that is the same at power-on, and whatever comes of it is used
//! only if it has the fingerprint that was stored beside it. That is of the same file, so the digests that follow decide.

use crate::format::{
    FRAME_PAGES, NewCheckpoint, NewDisk, PageId, ReadError, Recording, STORED_PAGE, Stored, WriteError, Writer,
};
use reprise_core::clock::Tick;
use reprise_core::disk::{DiskState, StoredBlock};
use reprise_core::machine::{Fingerprint, Machine};
use reprise_core::memory::{DirtyLog, PAGE_SHIFT};
use reprise_core::state::StateError;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

/// The build, as stored checkpoints have it.
const BUILD: &str = concat!("reprise ", env!("CARGO_PKG_VERSION"));

type Page = [u8; STORED_PAGE];

/// Stores checkpoints of one machine.
pub struct Storing {
    origin: Fingerprint,
    /// Where the pages of RAM are that are not all zeros.
    ram: BTreeMap<u32, PageId>,
}

impl Storing {
    /// Stores checkpoints of `machine`, which is at power-on. From now on nobody else takes [`DirtyLog::Checkpoint`].
    pub fn new(machine: &mut Machine) -> Self {
        Self { origin: machine.fingerprint(), ram: BTreeMap::new() }
    }

    /// Stores the state of the machine, which has come back from a run *until* here. Costs time by the pages written since
    /// the last one.
    pub fn store(&mut self, machine: &mut Machine, writer: &mut Writer) -> Result<(), WriteError> {
        for page in machine.board.ram.take_dirty(DirtyLog::Checkpoint) {
            let bytes = page_of(machine, page);
            if bytes.iter().all(|&byte| byte == 0) {
                self.ram.remove(&page);
            } else {
                self.ram.insert(page, writer.page(bytes)?);
            }
        }
        let states: Vec<_> = machine.board.disks().map(|(_, disk)| disk.save()).collect();
        let disks = states.iter().map(|state| new_disk(state, writer)).collect::<Result<_, _>>()?;
        let (tick, fingerprint, parts) = (machine.now(), machine.fingerprint(), machine.encode_parts());
        let (origin, ram) = (self.origin, &self.ram);
        writer.checkpoint(NewCheckpoint { tick, build: BUILD, origin, fingerprint, parts, ram, disks })
    }
}

fn page_of(machine: &Machine, page: u32) -> &Page {
    let bytes = machine.board.ram.slice(u64::from(page) << PAGE_SHIFT, STORED_PAGE);
    bytes.and_then(|bytes| bytes.try_into().ok()).expect("it is a page of RAM")
}

fn new_disk(state: &DiskState, writer: &mut Writer) -> Result<NewDisk, WriteError> {
    let block = |block: StoredBlock<&Page>| {
        let contents = block.contents.map(|bytes| writer.page(bytes)).transpose()?;
        Ok(StoredBlock { number: block.number, written: block.written, contents })
    };
    Ok(NewDisk { blocks: state.blocks().map(block).collect::<Result<_, _>>()?, zeroes: state.zeroes().collect() })
}

/// Why a stored checkpoint is not used.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    /// There is none.
    #[error("the recording has no checkpoint at tick {0}")]
    None(Tick),
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Another build made it, whose state may be another.
    #[error("the checkpoint at tick {tick} was made by '{found}', and this is '{BUILD}'")]
    Build {
        /// Its tick.
        tick: Tick,
        /// The build that made it.
        found: String,
    },
    /// It is of a machine that is another one at power-on.
    #[error(
        "the checkpoint at tick {tick} is of a machine that is another one at power-on: {found} instead of {expected}"
    )]
    Origin {
        /// Its tick.
        tick: Tick,
        /// The fingerprint of this machine at power-on.
        expected: Fingerprint,
        /// That of the other.
        found: Fingerprint,
    },
    /// No state of this machine is in it.
    #[error("the checkpoint at tick {tick} cannot be: {source}")]
    State {
        /// Its tick.
        tick: Tick,
        /// What is wrong with it.
        source: StateError,
    },
    /// It is not the state that was stored.
    #[error("the checkpoint at tick {tick} is not what it says: its fingerprint is {found} instead of {expected}")]
    Fingerprint {
        /// Its tick.
        tick: Tick,
        /// What is stored beside it.
        expected: Fingerprint,
        /// What the machine has.
        found: Fingerprint,
    },
}

/// Ticks and fingerprints of the checkpoints that this build made; those of others say nothing to it.
pub fn fingerprints(recording: &Recording) -> Result<Vec<(Tick, Fingerprint)>, ReadError> {
    let mut found = Vec::new();
    for tick in recording.checkpoints() {
        if let Some(stored) = recording.stored_checkpoint(tick)?.filter(|stored| stored.build == BUILD) {
            found.push((tick, stored.fingerprint));
        }
    }
    Ok(found)
}

/// Takes `machine` to the checkpoint of `tick` that `recording` has; `origin` is the machine's fingerprint at power-on.
///
/// On an error the machine is in no state that means anything: it has to be taken to another one before it runs.
pub fn restore(
    recording: &Recording,
    tick: Tick,
    machine: &mut Machine,
    origin: Fingerprint,
) -> Result<(), StoredError> {
    let stored = recording.stored_checkpoint(tick)?.ok_or(StoredError::None(tick))?;
    check(&stored, origin)?;
    let disks = stored_disks(recording, &stored)?;
    let state = |source| StoredError::State { tick, source };
    machine.load_parts(&stored.parts, &disks).map_err(state)?;
    load_ram(recording, &stored, machine)?;
    let (expected, found) = (stored.fingerprint, machine.fingerprint());
    if (expected, tick) != (found, machine.now()) {
        return Err(StoredError::Fingerprint { tick, expected, found });
    }
    Ok(())
}

fn check(stored: &Stored, origin: Fingerprint) -> Result<(), StoredError> {
    let tick = stored.tick;
    if stored.build != BUILD {
        return Err(StoredError::Build { tick, found: stored.build.clone() });
    }
    if stored.origin != origin {
        return Err(StoredError::Origin { tick, expected: origin, found: stored.origin });
    }
    Ok(())
}

/// The frames of a checkpoint's pages, of which the last one that was read is kept.
struct Frames<'a> {
    recording: &'a Recording,
    offsets: &'a [u64],
    last: Option<(usize, Vec<u8>)>,
}

impl<'a> Frames<'a> {
    fn new(recording: &'a Recording, stored: &'a Stored) -> Self {
        Self { recording, offsets: &stored.frames, last: None }
    }

    /// The page at `place`, if its frame is so long.
    fn page(&mut self, place: u64) -> Result<Option<&Page>, ReadError> {
        let (frame, slot) = (place as usize / FRAME_PAGES, place as usize % FRAME_PAGES);
        if self.last.as_ref().is_none_or(|(last, _)| *last != frame) {
            let Some(&offset) = self.offsets.get(frame) else { return Ok(None) };
            self.last = Some((frame, self.recording.stored_pages(offset)?));
        }
        let (_, pages) = self.last.as_ref().expect("it was read a moment ago");
        Ok(pages.chunks_exact(STORED_PAGE).nth(slot).and_then(|page| page.try_into().ok()))
    }
}

/// What is wrong with a checkpoint that names what is not there.
fn missing(tick: Tick, what: &str, expected: String, found: String) -> StoredError {
    StoredError::State { tick, source: StateError::Mismatch { part: what.to_owned(), expected, found } }
}

fn stored_disks(recording: &Recording, stored: &Stored) -> Result<Vec<DiskState>, StoredError> {
    let mut frames = Frames::new(recording, stored);
    // Blocks that are alike are in the file once, and in memory: a small file does not make much of it.
    let mut pages: BTreeMap<u64, Arc<Page>> = BTreeMap::new();
    let mut disks = Vec::new();
    for disk in &stored.disks {
        let mut blocks = Vec::new();
        for &StoredBlock { number, written, contents } in &disk.blocks {
            let contents = match contents {
                None => None,
                Some(place) => Some(match pages.entry(place) {
                    Entry::Occupied(page) => page.get().clone(),
                    Entry::Vacant(vacant) => {
                        let page = frames.page(place)?;
                        let page =
                            page.ok_or_else(|| missing(stored.tick, "a disk", "a block".into(), "none".into()))?;
                        vacant.insert(Arc::new(*page)).clone()
                    }
                }),
            };
            blocks.push(StoredBlock { number, written, contents });
        }
        disks.push(DiskState::new(blocks, disk.zeroes.iter().copied()));
    }
    Ok(disks)
}

/// Puts into RAM what the checkpoint has. Only what differs is written.
fn load_ram(recording: &Recording, stored: &Stored, machine: &mut Machine) -> Result<(), StoredError> {
    let pages = (machine.board.ram.len() >> PAGE_SHIFT) as u32;
    if let Some(run) = stored.runs.last().filter(|run| run.first + run.count > pages) {
        let found = (run.first + run.count).to_string();
        return Err(missing(stored.tick, "RAM", format!("{pages} pages"), found));
    }
    clear_others(stored, machine);
    // In the order of the file: each frame is unpacked once.
    let mut places: Vec<(u64, u32)> = Vec::new();
    for run in &stored.runs {
        places.extend((run.place..).zip(run.first..run.first + run.count));
    }
    places.sort_unstable();
    let mut frames = Frames::new(recording, stored);
    for (place, page) in places {
        let bytes = frames.page(place)?.ok_or_else(|| missing(stored.tick, "RAM", "a page".into(), "none".into()))?;
        if page_of(machine, page) != bytes {
            machine.board.ram.write(u64::from(page) << PAGE_SHIFT, bytes);
        }
    }
    Ok(())
}

/// Makes zeros of the pages that the checkpoint does not have.
fn clear_others(stored: &Stored, machine: &mut Machine) {
    let mut runs = stored.runs.iter().peekable();
    let nonzero: Vec<u32> = machine.board.ram.nonzero_pages().collect();
    for page in nonzero {
        while runs.next_if(|run| run.first + run.count <= page).is_some() {}
        if runs.peek().is_none_or(|run| page < run.first) {
            machine.board.ram.write(u64::from(page) << PAGE_SHIFT, &[0; STORED_PAGE]);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
