//! Moving along history: restore a checkpoint, run forward in slices, take checkpoints on the way, and stop where history
//! stops.

use super::checkpoints::Checkpoints;
use super::door::{TimelineDoor, stops};
use super::{Stop, Timeline, Watcher};
use crate::format::Event;
use crate::recorder::reason;
use crate::replayer::Outcome;
use reprise_core::clock::Tick;
use reprise_core::machine::{End, Machine};
use reprise_core::output::Output;
use reprise_core::probe::{Hit, Probes};
use std::time::{Duration, Instant};

/// Instructions between two checkpoints on the way over new ground.
const INTERVAL: u64 = 10_000_000;
/// Ticks from the goal of an approach to the nearest checkpoint on the way: running so far costs less than restoring.
pub(super) const FINEST: Tick = 512;
/// By how much the distance from the goal grows from one to the next.
const COARSER: Tick = 4;
/// About as long the machine runs before somebody looks around.
const SLICE: Duration = Duration::from_millis(3);
/// So often a watcher is asked.
const PATIENCE: Duration = Duration::from_millis(2);

/// Ticks that the machine runs in one go.
pub(super) struct Pace {
    ticks: Tick,
}

impl Pace {
    pub(super) const START: Self = Self { ticks: 1_000_000 };

    /// Takes note of a run of so many ticks. How busy they are changes from one moment to the next.
    fn note(&mut self, ticks: Tick, took: Duration) {
        if ticks >= self.ticks || took > SLICE {
            let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
            let fit = ticks.saturating_mul(SLICE.as_micros() as u64) / micros;
            self.ticks = fit.clamp(self.ticks / 16, self.ticks * 2).clamp(10_000, 64_000_000);
        }
    }
}

/// A watcher, who is not asked more often than need be.
pub(super) struct Patience<'w> {
    watcher: Option<&'w mut dyn Watcher>,
    asked: Instant,
    is_over: bool,
}

impl<'w> Patience<'w> {
    pub(super) fn of(watcher: &'w mut dyn Watcher) -> Self {
        Self { watcher: Some(watcher), asked: Instant::now(), is_over: false }
    }

    /// Nobody watches.
    pub(super) fn endless() -> Self {
        Self { watcher: None, asked: Instant::now(), is_over: false }
    }

    /// The machine has come to `now`.
    fn look(&mut self, now: Tick, outputs: &mut Vec<(Tick, Output)>) {
        let Some(watcher) = &mut self.watcher else { return };
        outputs.drain(..).for_each(|(tick, output)| watcher.output(tick, output));
        if self.asked.elapsed() >= PATIENCE {
            self.is_over |= !watcher.pass(now);
            self.asked = Instant::now();
        }
    }

    /// Interrupted, if its watcher has no more of it.
    pub(super) fn check(&self) -> Result<(), Stop> {
        if self.is_over { Err(Stop::Interrupted) } else { Ok(()) }
    }
}

/// Where history ends.
#[derive(Clone, Debug)]
pub(super) struct Edge {
    /// The last position.
    pub(super) tick: Tick,
    /// Why one cannot go on there.
    pub(super) stop: Stop,
    /// Whether the machine itself came to an end there, so that no change makes it go on.
    pub(super) is_machines: bool,
}

impl Edge {
    fn broken(differs: Tick, why: String) -> Self {
        Self { tick: differs.saturating_sub(1), stop: Stop::Broken(why), is_machines: false }
    }

    /// Where a run ended with `reason`, a word of recordings.
    pub(super) fn ended(tick: Tick, reason: &str) -> Self {
        let (words, is_machines) = match reason {
            "off" => ("the guest switched the machine off", true),
            "reset" => ("the machine was reset", true),
            "triple-fault" => ("a triple fault reset the machine", true),
            "panicked" => ("the guest's kernel panicked", true),
            "debug-exit" => ("the guest ended the run", true),
            "quit" => ("the operator ended the run", false),
            "dead" => ("every vCPU is idle for ever", false),
            "until" => ("the run was told to end there", false),
            "host-error" => ("the host of the run failed", false),
            other => (other, false),
        };
        Self { tick, stop: Stop::End(words.into()), is_machines }
    }

    pub(super) fn unknown(tick: Tick, outcome: &Outcome) -> Self {
        Self { tick, stop: Stop::End(stops(outcome)), is_machines: false }
    }
}

/// Why a run forward came back before anything went wrong.
pub(super) enum Leg {
    /// It is at its goal.
    There,
    /// Probes were hit on the way.
    Hits(Vec<Hit>),
}

/// Parts of a timeline that movements need at once.
pub(super) struct Parts {
    pub(super) machine: Machine,
    pub(super) door: TimelineDoor,
    pub(super) checkpoints: Checkpoints<super::door::DoorMark>,
}
