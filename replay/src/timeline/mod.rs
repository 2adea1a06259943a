//! A recording as a place to walk in, forward and backwards.
//!
//! Everything that moves backwards is one thing: restore the nearest earlier checkpoint, run forward, remember the last
//! match.

mod checkpoints;

use crate::format::{ReadError, Recording};
use reprise_core::clock::Tick;
use reprise_core::disk::DiskGeometry;
use reprise_core::edit::Edit;
use reprise_core::machine::Machine;
use reprise_core::output::Output;
use reprise_core::probe::{Hit, Probes};
use std::ops::Range;

/// Bytes of checkpoints that are kept unless the user says otherwise.
pub const DEFAULT_CHECKPOINT_MEMORY: u64 = 2 << 30;

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// As time passes.
    Forward,
    /// Against it.
    Backward,
}

/// Why a movement came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Probes were hit, all at this position.
    Hits(Vec<Hit>),
    /// Where it was told to go.
    Reached,
    /// The start of history.
    Start,
    /// The end of history: how it ended, in words.
    End(String),
    /// Its watcher ended it; where it had come to, going forward, or where it began, going backwards.
    Interrupted,
    /// The replay differs from its recording, or that cannot be read: what follows cannot be reached.
    Broken(String),
}

/// Who waits for a movement to come back.
pub trait Watcher {
    /// The machine is at `now`. False ends the movement.
    fn pass(&mut self, now: Tick) -> bool;

    /// Takes what left the machine; only once, however often history is run through.
    fn output(&mut self, now: Tick, output: Output);
}

/// Why there is no timeline, or something cannot be done on it.
#[derive(Debug, thiserror::Error)]
pub enum TimelineError {
    /// The recording cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What is asked for is impossible, in words for the user.
    #[error("{0}")]
    Refused(String),
}

/// A machine with its recording, at some position.
pub struct Timeline {
    machine: Machine,
}

impl Timeline {
    /// The timeline of `recording`, at its start; `machine` is its machine at power-on and `disks` are its disks.
    /// Checkpoints take up to `memory` bytes.
    pub fn new(
        machine: Machine,
        recording: Recording,
        disks: Vec<DiskGeometry>,
        memory: u64,
    ) -> Result<Self, TimelineError> {
        let _ = (recording, disks, memory);
        Ok(Self { machine })
    }

    /// The machine, to look at.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The machine, for what changes no state: fingerprints.
    pub fn machine_mut(&mut self) -> &mut Machine {
        &mut self.machine
    }

    /// The position.
    pub fn now(&self) -> Tick {
        self.machine.now()
    }

    /// The first and the last position that history has.
    pub fn history(&self) -> Range<Tick> {
        todo!()
    }

    /// Goes to the position `tick`, or where history ends before it.
    pub fn seek(&mut self, tick: Tick, watcher: &mut dyn Watcher) -> Stop {
        let _ = (tick, watcher);
        todo!()
    }

    /// Goes to the position at which that many instructions are retired, the first of them.
    pub fn seek_icount(&mut self, icount: u64, watcher: &mut dyn Watcher) -> Stop {
        let _ = (icount, watcher);
        todo!()
    }

    /// Runs until a probe is hit, or history ends. [`Probes::step`] is not for running backwards: that is
    /// [`step_back`](Self::step_back).
    pub fn run(&mut self, probes: &Probes, direction: Direction, watcher: &mut dyn Watcher) -> Stop {
        let _ = (probes, direction, watcher);
        todo!()
    }

    /// Goes back to where the vCPU `cpu` was about to execute the last instruction that it has retired.
    pub fn step_back(&mut self, cpu: u32, watcher: &mut dyn Watcher) -> Stop {
        let _ = (cpu, watcher);
        todo!()
    }

    /// The last write to physical addresses before the position, by whomever; the position stays. The position of the
    /// write, if there was one.
    pub fn last_write(&mut self, physical: Range<u64>, watcher: &mut dyn Watcher) -> Result<Option<Hit>, Stop> {
        let _ = (physical, watcher);
        todo!()
    }

    /// Takes a checkpoint here, which stays.
    pub fn pin(&mut self) {
        todo!()
    }

    /// Changes the machine here: from this position on it is a diversion, and what the recording has after it is no
    /// longer its future.
    pub fn edit(&mut self, edit: Edit) -> Result<(), TimelineError> {
        let _ = edit;
        todo!()
    }

    /// The position of the first change; `None` on the recording.
    pub fn diverted_at(&self) -> Option<Tick> {
        todo!()
    }

    /// Drops the diversion: all changes. The position is then where the first one was made.
    pub fn rejoin(&mut self, watcher: &mut dyn Watcher) -> Stop {
        let _ = watcher;
        todo!()
    }
}
