//! Recorded events around a position, decoded: the tape of a timeline.
//!
//! Events come in reels of a bounded size, which begin at fixed [`Mark`]s, wherever ticks begin and end: one tick may have
//! more events than all of memory holds. The reels used last are kept, so that going back a little decodes nothing.
//! Winding to a mark whose reel is not kept decodes from the seek point before it.

use crate::delivery::Tape;
use crate::format::{Event, ReadError, Recording};
use reprise_core::backend::DiskId;
use reprise_core::clock::Tick;
use reprise_core::disk::DiskGeometry;
use reprise_core::door::HostInput;
use reprise_core::edit::Edit;
use std::collections::BTreeSet;

/// A reel has at most so many events,
const REEL_EVENTS: usize = 1 << 14;
/// and ends with the event that brings it to so many bytes.
const REEL_BYTES: usize = 1 << 20;
/// Reels that are kept.
const REELS: usize = 6;

/// A place between two events: all of earlier ticks are before it, and so many of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    tick: Tick,
    taken: u64,
}

impl Mark {
    /// Before the first event.
    pub(super) const START: Self = Self { tick: 0, taken: 0 };

    /// After all events of a tick, which is not the last one of all time.
    pub(super) fn at_end_of(tick: Tick) -> Self {
        Self { tick: tick.saturating_add(1), taken: 0 }
    }

    /// The place after an event of `tick` that is at this one.
    fn after(self, tick: Tick) -> Self {
        Self { tick, taken: if tick == self.tick { self.taken.saturating_add(1) } else { 1 } }
    }
}

/// Some events in a row; none at the end of all.
struct Reel {
    start: Mark,
    events: Vec<(Tick, Event)>,
}

impl Reel {
    /// How many events are before `mark`, which is not before the first one.
    fn index(&self, mark: Mark) -> usize {
        let (earlier, skipped) = match mark.tick == self.start.tick {
            true => (0, self.start.taken),
            false => (self.events.partition_point(|(tick, _)| *tick < mark.tick), 0),
        };
        earlier.saturating_add(usize::try_from(mark.taken - skipped).unwrap_or(usize::MAX))
    }
}

/// The tape.
pub(super) struct Window {
    recording: Recording,
    disks: Vec<DiskGeometry>,
    /// Where reels begin, as far as that is known.
    starts: BTreeSet<Mark>,
    /// The reels that are kept; events are taken from the last one.
    reels: Vec<Reel>,
    /// How many events of it were taken,
    index: usize,
    /// and which place that is.
    at: Mark,
    /// The place before the event that was taken last.
    before: Mark,
}

impl Window {
    /// The tape of `recording`, whose machine has `disks`, at its start.
    pub(super) fn new(recording: Recording, disks: Vec<DiskGeometry>) -> Self {
        let (starts, reels) = (BTreeSet::from([Mark::START]), Vec::new());
        Self { recording, disks, starts, reels, index: 0, at: Mark::START, before: Mark::START }
    }

    /// What is recorded.
    pub(super) fn recording(&mut self) -> &mut Recording {
        &mut self.recording
    }

    /// The place before the event that was taken last: it is on its way.
    pub(super) fn mark(&self) -> Mark {
        self.before
    }

    /// The tick of the last event that was taken.
    pub(super) fn last_tick(&self) -> Tick {
        self.at.tick
    }

    /// Goes to `mark`.
    pub(super) fn wind(&mut self, mark: Mark) {
        (self.at, self.before) = (mark, mark);
        let start = *self.starts.range(..=mark).next_back().expect("the first reel begins before every mark");
        // What cannot be read is told when it is taken.
        if let Ok(reel) = self.use_reel(start) {
            let (index, length) = (reel.index(mark), reel.events.len());
            self.index = index;
            if index <= length {
                return;
            }
        }
        self.starts.insert(mark);
        (self.index, self.reels) = (0, Vec::new());
    }

    /// The reel that begins at `start`, which is the last of those that are kept then.
    fn use_reel(&mut self, start: Mark) -> Result<&Reel, ReadError> {
        let reel = match self.reels.iter().position(|reel| reel.start == start) {
            Some(place) => self.reels.remove(place),
            None => self.decode(start)?,
        };
        if self.reels.len() >= REELS {
            self.reels.remove(0);
        }
        self.reels.push(reel);
        Ok(self.reels.last().expect("it was put there a moment ago"))
    }

    /// The reel that begins at `start`: up to what cannot be read, unless it begins there.
    fn decode(&mut self, start: Mark) -> Result<Reel, ReadError> {
        let (mut events, mut bytes, mut skipped) = (Vec::new(), 0, 0);
        for event in self.recording.events(start.tick) {
            let (tick, event) = match event {
                Ok(event) => event,
                Err(_) if !events.is_empty() => break,
                Err(error) => return Err(error),
            };
            if tick == start.tick && skipped < start.taken {
                skipped += 1;
                continue;
            }
            bytes += size_of(&event);
            events.push((tick, event));
            if events.len() >= REEL_EVENTS || bytes >= REEL_BYTES {
                break;
            }
        }
        Ok(Reel { start, events })
    }

    /// The event at the index, from the next reel if this one has no more.
    fn event(&mut self) -> Result<Option<(Tick, Event)>, ReadError> {
        if let Some(event) = self.reels.last().and_then(|reel| reel.events.get(self.index)) {
            return Ok(Some(event.clone()));
        }
        let at = self.at;
        let event = self.use_reel(at)?.events.first().cloned();
        self.starts.insert(at);
        self.index = 0;
        Ok(event)
    }
}

impl Tape for Window {
    fn next_event(&mut self) -> Option<Result<(Tick, Event), ReadError>> {
        self.before = self.at;
        let event = self.event().transpose()?;
        if let Ok((tick, _)) = &event {
            (self.index, self.at) = (self.index + 1, self.at.after(*tick));
        }
        Some(event)
    }

    fn cluster(&mut self, disk: DiskId, cluster: u64) -> Result<Option<Vec<u8>>, ReadError> {
        self.recording.cluster(disk, cluster)
    }

    fn disk_size(&self, disk: DiskId) -> u64 {
        self.disks.get(usize::from(disk.0)).map_or(0, |disk| disk.size)
    }
}

/// Bytes of an event beside the event itself.
fn size_of(event: &Event) -> usize {
    match event {
        Event::Input(HostInput::Chardev { bytes, .. } | HostInput::Random { bytes, .. }) => bytes.len(),
        Event::Input(HostInput::Frame { frame, .. }) => frame.len(),
        Event::Input(HostInput::Cluster { data, .. }) => data.len(),
        Event::Input(HostInput::Edit(Edit::Memory { bytes, .. })) => bytes.len(),
        Event::Input(
            HostInput::Connected { .. }
            | HostInput::Key(_)
            | HostInput::Pointer(_)
            | HostInput::PowerButton
            | HostInput::Reset
            | HostInput::Quit
            | HostInput::Edit(Edit::Register { .. })
            | HostInput::ClusterFailed { .. },
        )
        | Event::Digest(_) => 0,
        Event::End(ended) => ended.reason.len(),
    }
}
