//! A diversion as a recording of its own.
//!
//! Up to a checkpoint before the first change the two are the same, so that is copied. From there the machine runs once
//! more to the position, and what enters by its door is written down: what of the recording fitted, what was invented, and
//! the changes. The end of the new recording is the position.

use super::door::TimelineDoor;
use super::{Timeline, TimelineError, Watcher};
use crate::format::{DIGEST_INTERVAL, Ended, Event, Recording, WriteError, Writer};
use crate::recorder::reason;
use reprise_core::clock::Tick;
use reprise_core::door::{Door, HostInput, Room};
use reprise_core::machine::{Digest, End, Machine};
use reprise_core::output::Output;
use reprise_core::request::Question;
use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::path::Path;

/// Ticks between two looks at who waits.
const SLICE: Tick = 5_000_000;

impl Timeline {
    /// Saves the diversion up to the position as the recording `path`, a new file; the bytes that it has. The position
    /// stays.
    pub fn save(&mut self, path: &Path, watcher: &mut dyn Watcher) -> Result<u64, TimelineError> {
        let Some(first) = self.diverted_at().filter(|first| *first <= self.now()) else {
            return Err(refused("nothing was changed up to here: this is the recorded run"));
        };
        let here = self.now();
        claim(path)?;
        let saved = self.save_to(path, first, here, watcher);
        if saved.is_err() {
            // It was made a moment ago, and is no recording.
            let _ = fs::remove_file(path);
        }
        if self.now() != here {
            self.return_to(here);
        }
        saved
    }

    fn save_to(
        &mut self,
        path: &Path,
        first: Tick,
        here: Tick,
        watcher: &mut dyn Watcher,
    ) -> Result<u64, TimelineError> {
        let start = self.checkpoint_before(first.saturating_sub(1));
        let written = |error: WriteError| refused(error.to_string());
        let header = self.door.recording().header().clone();
        let mut writer = Writer::create(path, &header).map_err(written)?;
        copy(self.door.recording(), start, &mut writer)?;
        // At the start of history there is no checkpoint before the changes that are made there.
        for (tick, edit) in self.door.edits().iter().filter(|(tick, _)| *tick <= start) {
            writer.event(*tick, &Event::Input(HostInput::Edit(edit.clone()))).map_err(written)?;
        }
        self.mind_nothing();
        self.restore(start);
        let end = self.write_down(&mut writer, here, watcher)?;
        let status = if let End::DebugExit(status) = end { status } else { 0 };
        let (icount, fingerprint) = (self.machine.icount(), self.machine.fingerprint());
        let ended = Ended { reason: reason(end).into(), status, icount, fingerprint };
        writer.event(here, &Event::End(ended)).map_err(written)?;
        writer.finish().map_err(written)
    }

    /// Runs to the position `here`, and writes down what enters by the door; why the machine came back there.
    fn write_down(&mut self, writer: &mut Writer, here: Tick, watcher: &mut dyn Watcher) -> Result<End, TimelineError> {
        let machine = &mut self.machine;
        let next_digest = (machine.now() / DIGEST_INTERVAL).saturating_add(1).saturating_mul(DIGEST_INTERVAL);
        let mut pen = Pen { door: &mut self.door, writer, next_digest, failed: None };
        loop {
            let end = machine.run(&mut pen, here.min(machine.now().saturating_add(SLICE)));
            if let Some(error) = pen.failed {
                return Err(refused(error.to_string()));
            }
            match end {
                End::Until if machine.now() < here => {}
                end if machine.now() == here => return Ok(end),
                _ => return Err(refused("the machine came to its end before the position")),
            }
            if !watcher.pass(machine.now()) {
                return Err(refused("it was interrupted"));
            }
        }
    }
}

fn refused(text: impl Into<String>) -> TimelineError {
    TimelineError::Refused(text.into())
}

/// Makes an empty file, unless there is one.
fn claim(path: &Path) -> Result<(), TimelineError> {
    let name = path.display();
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Err(refused(format!("there is a file '{name}' already: name another one")))
        }
        Err(error) => Err(refused(format!("cannot create recording '{name}': {error}"))),
    }
}

/// Writes what `recording` has of the host, and what happened up to `tick`, where no checkpoint is without all of it.
fn copy(recording: &mut Recording, tick: Tick, writer: &mut Writer) -> Result<(), TimelineError> {
    let written = |error: WriteError| refused(error.to_string());
    for name in recording.file_names() {
        writer.file(&name, &recording.file(&name)?).map_err(written)?;
    }
    let clusters: Vec<_> = recording.clusters().collect();
    for (disk, cluster) in clusters {
        if let Some(bytes) = recording.cluster(disk, cluster)? {
            writer.cluster(disk, cluster, &bytes).map_err(written)?;
        }
    }
    for event in recording.events(0) {
        match event? {
            (at, _) if at > tick => break,
            (_, Event::End(_)) => break,
            (at, event) => writer.event(at, &event).map_err(written)?,
        }
    }
    Ok(())
}

/// A door that writes down what enters by the one of a timeline.
struct Pen<'a> {
    door: &'a mut TimelineDoor,
    writer: &'a mut Writer,
    next_digest: Tick,
    /// Why nothing more is written.
    failed: Option<WriteError>,
}

impl Pen<'_> {
    fn write(&mut self, tick: Tick, event: &Event) {
        if self.failed.is_none() {
            self.failed = self.writer.event(tick, event).err();
        }
    }
}

impl Door for Pen<'_> {
    fn poll(&mut self, now: Tick, room: &dyn Room) -> Option<HostInput> {
        let event = Event::Input(self.door.poll(now, room)?);
        self.write(now, &event);
        let Event::Input(input) = event else { unreachable!("it was made a moment ago") };
        Some(input)
    }

    fn answer(&mut self, now: Tick, question: &Question) -> HostInput {
        let event = Event::Input(self.door.answer(now, question));
        // A cluster is there already, whenever it is read.
        if !matches!(event, Event::Input(HostInput::Cluster { .. })) {
            self.write(now, &event);
        }
        let Event::Input(input) = event else { unreachable!("it was made a moment ago") };
        input
    }

    fn next_due(&self) -> Option<Tick> {
        self.door.next_due()
    }

    fn poll_interval(&self) -> Tick {
        self.door.poll_interval()
    }

    fn idle(&mut self, now: Tick, deadline: Option<Tick>) -> Option<Tick> {
        let woken = self.door.idle(now, deadline)?;
        // Of a long sleep, in which nothing changes, one digest is enough.
        self.next_digest = self.next_digest.max(woken / DIGEST_INTERVAL * DIGEST_INTERVAL);
        Some(woken)
    }

    fn output(&mut self, now: Tick, output: Output) {
        self.door.output(now, output);
    }

    fn next_digest(&self) -> Option<Tick> {
        self.door.next_digest().into_iter().chain([self.next_digest]).min()
    }

    fn digest(&mut self, tick: Tick, digest: Digest, machine: &Machine) {
        if self.door.next_digest() == Some(tick) {
            self.door.digest(tick, digest, machine);
        }
        if self.next_digest <= tick {
            self.write(tick, &Event::Digest(digest));
            self.next_digest = tick.saturating_add(DIGEST_INTERVAL);
        }
    }
}

#[cfg(test)]
mod tests;
