//! A recording as a place to walk in, forward and backwards.
//!
//! Everything that moves backwards is one thing: restore the nearest earlier checkpoint, run forward, remember the last
//! match.
//!
//! The machine is always at a *position*: in the one state of its tick in which a run until that tick ends. So it does
//! not matter by which way one came, and a fingerprint at a tick is a fact.
//!
//! | where | what |
//! | --- | --- |
//! | [`door`], [`window`] | the recording at the door, which can be wound back, and the changes of a diversion |
//! | [`checkpoints`] | places to go back to |
//! | [`journey`] | getting to a tick, and where history ends |
//! | [`events`] | what is where |
//! | [`backwards`], [`steps`] | what was hit before, and what a vCPU did before |

mod backwards;
pub mod checkpoints;
mod door;
mod events;
mod journey;
mod jumps;
mod save;
mod steps;
#[cfg(test)]
mod tests;
mod window;

use crate::format::{ReadError, Recording};
use crate::replayer::Outcome;
use checkpoints::Checkpoints;
use door::{DoorMark, TimelineDoor};
use journey::{Edge, Leg, Pace, Patience};
use jumps::Stock;
use reprise_core::clock::Tick;
use reprise_core::disk::DiskGeometry;
use reprise_core::edit::Edit;
use reprise_core::machine::Machine;
use reprise_core::output::Output;
use reprise_core::probe::{Hit, Probes};
use std::collections::BTreeMap;
use std::ops::Range;
use steps::Turns;
use window::Window;

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
    door: TimelineDoor,
    checkpoints: Checkpoints<DoorMark>,
    /// Those that the recording has.
    stock: Stock,
    /// Instructions retired at places that were passed.
    icounts: BTreeMap<Tick, u64>,
    /// Instructions retired where the last checkpoint is that was taken or gone to.
    taken_at: u64,
    /// Where the recording ends,
    recorded_edge: Edge,
    /// and whether the run was found to end there as it did.
    is_edge_checked: bool,
    /// Where the diversion ends.
    diverted_edge: Edge,
    turns: Turns,
    pace: Pace,
    /// Whether probes may end a run.
    is_probed: bool,
}

/// A diversion ends where the machine does, if ever.
const ENDLESS: Edge = Edge { tick: Tick::MAX, stop: Stop::Reached, is_machines: false };

impl Timeline {
    /// The timeline of `recording`, at its start; `machine` is its machine at power-on and `disks` are its disks.
    /// Checkpoints take up to `memory` bytes.
    pub fn new(
        mut machine: Machine,
        recording: Recording,
        disks: Vec<DiskGeometry>,
        memory: u64,
    ) -> Result<Self, TimelineError> {
        let last = recording.last_tick();
        let recorded_edge = match (recording.end(), recording.damage()) {
            (Some(ended), _) => Edge::ended(last, &ended.reason),
            (None, Some(damage)) => Edge::damaged(last, damage),
            (None, None) => Edge::unknown(last, &Outcome::NoEnd),
        };
        let stock = Stock::new(&recording, &mut machine);
        let mut timeline = Self {
            machine,
            door: TimelineDoor::new(Window::new(recording, disks)),
            checkpoints: Checkpoints::new(memory),
            stock,
            icounts: BTreeMap::new(),
            taken_at: 0,
            recorded_edge,
            is_edge_checked: false,
            diverted_edge: ENDLESS,
            turns: Turns::default(),
            pace: Pace::START,
            is_probed: false,
        };
        timeline.begin();
        Ok(timeline)
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

    /// The first and the last position that history has. Where a diversion ends is not known before one was there: until
    /// then it seems to last as long as the recording.
    pub fn history(&self) -> Range<Tick> {
        let last = match self.edge().tick {
            Tick::MAX => self.recorded_edge.tick.max(self.now()),
            tick => tick,
        };
        0..last
    }

    /// Goes to the position `tick`, or where history ends before it.
    pub fn seek(&mut self, tick: Tick, watcher: &mut dyn Watcher) -> Stop {
        self.move_to(tick < self.now(), |timeline| timeline.go(tick, &mut Patience::of(watcher)))
    }

    /// Goes somewhere; interrupted on the way back, it is where it was.
    fn move_to(&mut self, is_back: bool, go: impl FnOnce(&mut Self) -> Result<(), Stop>) -> Stop {
        let from = self.now();
        if is_back {
            self.take();
        }
        match go(self) {
            Ok(()) => Stop::Reached,
            Err(Stop::Interrupted) if is_back => {
                self.return_to(from);
                Stop::Interrupted
            }
            Err(stop) => stop,
        }
    }

    /// Goes to the position at which that many instructions are retired, the first of them.
    pub fn seek_icount(&mut self, icount: u64, watcher: &mut dyn Watcher) -> Stop {
        let is_back = icount <= self.machine.icount();
        self.move_to(is_back, |timeline| timeline.go_to_icount(icount, &mut Patience::of(watcher)))
    }

    /// Runs until a probe is hit, or history ends. [`Probes::step`] is not for running backwards: that is
    /// [`step_back`](Self::step_back).
    ///
    /// Whatever a run over all of history meets is met in both directions; a run forward stops at the first that lies
    /// [after](Hit::after) its position, a run backwards at the last that lies [before](Hit::before) it. One exception:
    /// what devices write where a vCPU has mapped what is watched at linear addresses is found by its page tables as they
    /// are where the run, or the stretch that is looked through, begins.
    pub fn run(&mut self, probes: &Probes, direction: Direction, watcher: &mut dyn Watcher) -> Stop {
        let mut patience = Patience::of(watcher);
        match direction {
            Direction::Forward => self.run_forward(probes, Some(self.now()), &mut patience),
            Direction::Backward => self.run_backwards(probes, &mut patience),
        }
    }

    /// Runs forward as a debugger means it that steps over breakpoints itself: one at the position counts.
    pub fn go_on(&mut self, probes: &Probes, watcher: &mut dyn Watcher) -> Stop {
        self.run_forward(probes, None, &mut Patience::of(watcher))
    }

    fn run_forward(&mut self, probes: &Probes, skip: Option<Tick>, patience: &mut Patience<'_>) -> Stop {
        self.mind(probes, skip);
        let leg = self.advance(Tick::MAX, patience);
        self.settle();
        match leg {
            Ok(Leg::Hits(hits)) => Stop::Hits(hits),
            Ok(Leg::There) => Stop::Reached,
            Err(stop) => stop,
        }
    }

    /// Takes a checkpoint here, which stays.
    pub fn pin(&mut self) {
        let mark = self.door.mark();
        self.checkpoints.pin(&mut self.machine, mark);
        self.note_place();
    }

    /// Changes the machine here: from this position on it is a diversion, and what the recording has after it is no
    /// longer its future. In a diversion, changes that were made after this position are dropped.
    pub fn edit(&mut self, edit: Edit) -> Result<(), TimelineError> {
        let now = self.now();
        let edge = self.edge();
        if edge.is_machines && now >= edge.tick {
            let text = "the machine came to its end here: go back before that, and change it there";
            return Err(TimelineError::Refused(text.into()));
        }
        self.machine.edit(&edit).map_err(|error| TimelineError::Refused(error.to_string()))?;
        self.door.divert(now, edit);
        self.forget_from(now);
        Ok(())
    }

    /// History is another one from the position `tick` on.
    fn forget_from(&mut self, tick: Tick) {
        self.checkpoints.forget_after(tick.saturating_sub(1));
        self.icounts.split_off(&tick.max(1));
        self.turns = Turns::default();
        self.diverted_edge = ENDLESS;
    }

    /// The position of the first change; `None` on the recording.
    pub fn diverted_at(&self) -> Option<Tick> {
        self.door.diverted_at()
    }

    /// The changes that make the diversion, each with its position, in the order in which they were made.
    pub fn edits(&self) -> &[(Tick, Edit)] {
        self.door.edits()
    }

    /// Drops the diversion: all changes. The position is then where the first one was made.
    pub fn rejoin(&mut self, watcher: &mut dyn Watcher) -> Stop {
        let Some(tick) = self.diverted_at() else { return Stop::Reached };
        self.door.rejoin();
        self.forget_from(tick);
        self.restore(self.checkpoint_before(tick));
        match self.go(tick, &mut Patience::of(watcher)) {
            Ok(()) => Stop::Reached,
            Err(stop) => stop,
        }
    }
}
