//! Moving along history: restore a checkpoint, run forward in slices, take checkpoints on the way, and stop where history
//! stops.

use super::door::stops;
use super::{Stop, Timeline, Watcher};
use crate::format::{Damage, Event};
use crate::recorder::reason;
use crate::replayer::Outcome;
use reprise_core::clock::Tick;
use reprise_core::machine::End;
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

    /// The recording is whole up to `tick`.
    pub(super) fn damaged(tick: Tick, damage: &Damage) -> Self {
        Self { tick, stop: Stop::End(format!("the recording is damaged {damage}")), is_machines: false }
    }

    /// What the recording has ends at `tick`.
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

impl Timeline {
    /// Where history ends, as far as that is known. What the recording does not get to, no change was made at.
    pub(super) fn edge(&self) -> &Edge {
        match self.door.diverted_at() {
            Some(tick) if tick <= self.recorded_edge.tick => &self.diverted_edge,
            Some(_) | None => &self.recorded_edge,
        }
    }

    /// Goes to the first position, at which everything of its tick has happened.
    pub(super) fn begin(&mut self) {
        self.run_slice(0);
        self.take();
    }

    /// Takes a checkpoint, if there is none here.
    pub(super) fn take(&mut self) {
        let mark = self.door.mark();
        self.checkpoints.take(&mut self.machine, mark);
        self.note_place();
    }

    /// Takes a checkpoint, if the last one is too long ago.
    fn take_sometimes(&mut self) {
        let icount = self.machine.icount();
        let is_due = |taken_at: u64| icount.saturating_sub(taken_at) >= INTERVAL;
        if !is_due(self.taken_at) {
            return;
        }
        // On old ground one may have been passed.
        match self.icounts.get(&self.checkpoint_before(self.now())) {
            Some(&passed_at) if !is_due(passed_at) => self.taken_at = passed_at,
            Some(_) | None => self.take(),
        }
    }

    /// The machine is at a checkpoint.
    pub(super) fn note_place(&mut self) {
        self.taken_at = self.machine.icount();
        self.icounts.insert(self.now(), self.taken_at);
    }

    /// The last checkpoint at a tick or before it.
    pub(super) fn checkpoint_before(&self, at_most: Tick) -> Tick {
        self.checkpoints.latest(at_most).expect("there is one at the start")
    }

    /// Goes to a checkpoint.
    pub(super) fn restore(&mut self, tick: Tick) {
        let mark = self.checkpoints.restore(&mut self.machine, tick);
        self.door.wind(mark, tick);
        self.note_place();
        // At the start of history the checkpoint is there before the change.
        self.make_edits();
    }

    /// Makes the changes that are due here.
    fn make_edits(&mut self) {
        let now = self.now();
        if self.door.has_edit(now) {
            self.mind_nothing();
            self.machine.run(&mut self.door, now);
        }
    }

    /// Runs to `until`, which is no farther than history is known to go, or to where something happens; what was hit.
    fn run_slice(&mut self, until: Tick) -> Vec<Hit> {
        let (from, started) = (self.now(), Instant::now());
        let end = self.machine.run(&mut self.door, until);
        let came_to = self.now();
        self.pace.note(came_to - from, started.elapsed());
        let hits = self.machine.take_hits();
        match end {
            End::Probe => {}
            End::Until => self.arrived(),
            End::Off | End::Reset | End::TripleFault | End::Panicked | End::DebugExit(_) | End::Quit | End::Dead => {
                self.ended(end)
            }
        }
        // What history does not have was not hit.
        if self.now() == came_to { hits } else { Vec::new() }
    }

    /// Lets `probes` end runs from now on, but for a breakpoint at `skip`. To set again what is set costs next to nothing.
    pub(super) fn mind(&mut self, probes: &Probes, skip: Option<Tick>) {
        self.machine.set_probes(probes.clone(), skip);
        self.is_probed = true;
    }

    /// Lets no probes end runs from now on.
    pub(super) fn mind_nothing(&mut self) {
        if std::mem::take(&mut self.is_probed) {
            self.machine.set_probes(Probes::default(), None);
        }
    }

    /// Runs forward to `goal`, or until a probe is hit. What history does not have cannot be reached.
    pub(super) fn advance(&mut self, goal: Tick, patience: &mut Patience<'_>) -> Result<Leg, Stop> {
        while self.now() < goal {
            patience.check()?;
            let Edge { tick, stop, .. } = self.edge();
            let (edge, now) = (*tick, self.now());
            if now >= edge {
                return Err(stop.clone());
            }
            let hits = self.run_slice(goal.min(edge).min(now.saturating_add(self.pace.ticks)));
            patience.look(self.now(), &mut self.door.outputs);
            if !hits.is_empty() {
                return Ok(Leg::Hits(hits));
            }
            self.take_sometimes();
        }
        Ok(Leg::There)
    }

    /// Runs forward to `goal` with checkpoints on the way that are ever closer to it, without probes.
    pub(super) fn approach(&mut self, goal: Tick, patience: &mut Patience<'_>) -> Result<(), Stop> {
        self.mind_nothing();
        let mut distance = FINEST;
        while distance.saturating_mul(COARSER) < goal.saturating_sub(self.now()) {
            distance *= COARSER;
        }
        while distance >= FINEST {
            let stop = goal.saturating_sub(distance);
            if stop > self.now() {
                self.advance(stop, patience)?;
                self.take();
            }
            distance /= COARSER;
        }
        self.advance(goal, patience).map(|_| ())
    }

    /// Goes to `goal` by the shortest way, or to where history ends before it.
    pub(super) fn go(&mut self, goal: Tick, patience: &mut Patience<'_>) -> Result<(), Stop> {
        self.mind_nothing();
        let near = goal.min(self.edge().tick);
        let checkpoint = self.checkpoint_before(near);
        if near < self.now() || checkpoint > self.now() {
            self.restore(checkpoint);
        }
        self.jump_towards(near);
        self.approach(near, patience)?;
        // Only now it is known to be there.
        if goal > near { self.advance(goal, patience).map(|_| ()) } else { Ok(()) }
    }

    /// Goes to a position that history has, whoever watches: where a movement began that does not go on.
    pub(super) fn return_to(&mut self, tick: Tick) {
        // It was there before; what cannot be read any more ends the way earlier.
        let _ = self.go(tick, &mut Patience::endless());
    }

    /// A probe ended the run: at every position there is one state.
    pub(super) fn settle(&mut self) {
        let now = self.now();
        if !self.machine.is_settled() || now == self.edge().tick {
            self.restore(self.checkpoint_before(now));
            self.return_to(now);
        }
    }

    /// The machine ran until the tick that it was told.
    fn arrived(&mut self) {
        let now = self.now();
        if now != self.recorded_edge.tick || self.is_edge_checked || self.door.diverted_at().is_some() {
            return;
        }
        match self.door.delivery().front() {
            // Dead it is only if it is told to go on.
            Some((_, Event::End(ended))) if ended.reason == reason(End::Dead) => {
                self.take();
                let end = self.machine.run(&mut self.door, now.saturating_add(1));
                self.compare_end(end);
                if self.now() != now || end == End::Dead {
                    self.restore(self.checkpoint_before(now));
                    self.return_to(self.recorded_edge.tick);
                }
            }
            Some((_, Event::End(_))) => self.compare_end(End::Until),
            Some((_, Event::Input(_) | Event::Digest(_))) | None => {}
        }
    }

    /// The machine came to its end, or to where its door does not let it go on.
    fn ended(&mut self, end: End) {
        let now = self.now();
        if self.door.is_diverted() {
            self.diverted_edge = Edge::ended(now, reason(end));
            if end == End::Dead {
                // It was told to go on, and looked for a vCPU that can.
                self.restore(self.checkpoint_before(now));
                self.return_to(now);
            }
            return;
        }
        let delivery = self.door.delivery();
        let last = delivery.tape.last_tick();
        let edge = match delivery.drained() {
            Some(outcome) if delivery.is_starved() => Some(Edge::unknown(now.saturating_sub(1), outcome)),
            Some(outcome) if now > last => Some(Edge::unknown(last, outcome)),
            Some(_) | None => None,
        };
        match edge {
            Some(edge) => self.stop_before(edge),
            None => self.compare_end(end),
        }
        self.make_edits();
    }

    /// Compares the end of the run, or what ended it, with the recording.
    fn compare_end(&mut self, end: End) {
        let now = self.now();
        let delivery = self.door.delivery();
        let outcome = match delivery.is_over().then(|| delivery.take_outcome()).flatten() {
            // Of a cluster. A damaged event is no reason to end before the last one that is whole.
            Some(Outcome::Damaged(error)) => return self.stop_before(Edge::broken(now, error.to_string())),
            Some(outcome) => outcome,
            None => delivery.compare_ends(&mut self.machine, end),
        };
        match outcome {
            Outcome::Ended(_) => self.is_edge_checked = true,
            Outcome::NoEnd | Outcome::Damaged(_) => self.recorded_edge = Edge::unknown(now, &outcome),
            Outcome::Diverged(divergence) => {
                self.stop_before(Edge::broken(divergence.differs, divergence.to_string()));
            }
            Outcome::Left => {
                let found =
                    format!("the replay differs from its recording at tick {now}: the run goes on past its end");
                self.stop_before(Edge::broken(now, found));
            }
        }
    }

    /// History ends earlier than it seemed to.
    fn stop_before(&mut self, edge: Edge) {
        let tick = edge.tick;
        self.recorded_edge = edge;
        self.is_edge_checked = true;
        self.door.forget_edits_after(tick);
        if self.checkpoints.latest(tick).is_some() && tick != self.now() {
            self.checkpoints.forget_after(tick);
            self.return_to(tick);
        }
    }
}
