//! A recording that is replayed in pieces: forward, and again from a saved state.

use crate::dump::text_line;
use crate::engine::MakeEngine;
use crate::inputs::Inputs;
use crate::recorded;
use anyhow::{Context, Result};
use reprise_core::clock::Tick;
use reprise_core::machine::{End, Machine, MachineState};
use reprise_replay::{Event, ReadError, Recording};
use std::path::Path;

/// A machine with its recording at the door.
pub(super) struct Playback {
    /// The machine.
    pub machine: Machine,
    door: Inputs<Recording>,
    /// To which tick, inclusive, inputs were taken from the recording.
    loaded: Option<Tick>,
    /// To where it ran; it may have ended before.
    position: Tick,
    ended: bool,
    saved: Option<Saved>,
}

/// Where to go back to.
struct Saved {
    state: MachineState,
    position: Tick,
    ended: bool,
}

impl Playback {
    /// The machine of the recording at `path`, at power-on.
    pub(super) fn open(path: &Path, engine: MakeEngine) -> Result<Self> {
        let mut recording = Recording::open(path)?;
        let machine = recorded::machine(&mut recording, engine);
        let (machine, _) = machine.with_context(|| format!("'{}' cannot be replayed", path.display()))?;
        Ok(Self { machine, door: Inputs::new(recording), loaded: None, position: 0, ended: false, saved: None })
    }

    /// Takes inputs up to tick `to` from the recording.
    fn load(&mut self, to: Tick) -> Result<(), ReadError> {
        let from = self.loaded.map_or(0, |tick| tick.saturating_add(1));
        let mut inputs = Vec::new();
        for event in self.door.images().events(from) {
            match event? {
                (tick, _) if tick > to => break,
                (tick, Event::Input(input)) => inputs.push((tick, input)),
                (_, Event::Digest(_) | Event::End(_)) => {}
            }
        }
        inputs.into_iter().for_each(|(tick, input)| self.door.push(tick, input));
        self.loaded = self.loaded.max(Some(to));
        Ok(())
    }

    /// Runs to `tick`, or to the machine's end.
    pub(super) fn go(&mut self, tick: Tick) -> Result<()> {
        self.load(tick)?;
        if !self.ended {
            self.ended = self.machine.run(&mut self.door, tick) != End::Until;
        }
        self.position = tick;
        Ok(())
    }

    /// To where it ran.
    pub(super) fn position(&self) -> Tick {
        self.position
    }

    /// Remembers where it is.
    pub(super) fn save(&mut self) {
        let Self { machine, position, ended, .. } = self;
        self.saved = Some(Saved { state: machine.save(), position: *position, ended: *ended });
    }

    /// Goes back to where it was remembered.
    pub(super) fn restore(&mut self) -> Result<()> {
        let Some(saved) = &self.saved else { return Ok(()) };
        self.machine.load(&saved.state)?;
        (self.position, self.ended) = (saved.position, saved.ended);
        self.door.clear();
        self.loaded = Some(saved.position);
        Ok(())
    }

    /// What is recorded as input at `tick`, in words.
    pub(super) fn inputs_at(&mut self, tick: Tick) -> Result<Vec<String>> {
        let mut inputs = Vec::new();
        for event in self.door.images().events(tick) {
            match event? {
                (at, event @ Event::Input(_)) if at == tick => inputs.push(text_line(&event)),
                (at, _) if at > tick => break,
                (_, Event::Input(_) | Event::Digest(_) | Event::End(_)) => {}
            }
        }
        Ok(inputs)
    }

    /// The first thing that the machine asked for and the recording does not have.
    pub(super) fn note(&self) -> Option<&str> {
        self.door.note()
    }
}
