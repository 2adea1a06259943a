//! Jumps to checkpoints that are stored in the recording: what lies between is not run, unless somebody looks at it later.
//!
//! A stored checkpoint becomes one in memory like any other, but that nobody knows what was written on the way to it: it
//! has every page in its list. Digests on the way are compared when the way is run. One that cannot be used is noted, and
//! not tried again.

use super::Timeline;
use crate::format::Recording;
use crate::stored;
use reprise_core::clock::Tick;
use reprise_core::machine::{Fingerprint, Machine};
use std::collections::BTreeSet;

/// Ticks that are run rather than jumped over: a jump reads all of the guest's memory.
const WORTH: Tick = 10_000_000;

/// The checkpoints of a recording.
pub(super) struct Stock {
    /// Those that are not known to be useless.
    ticks: BTreeSet<Tick>,
    /// Of the machine at power-on.
    origin: Fingerprint,
    /// Why some are not used, as far as nobody has been told.
    notes: Vec<String>,
}

impl Stock {
    /// What `recording` has for `machine`, which is at power-on.
    pub(super) fn new(recording: &Recording, machine: &mut Machine) -> Self {
        // The end of the run is an event that a machine goes to.
        let ticks = recording.checkpoints().filter(|&tick| tick > 0 && tick < recording.last_tick()).collect();
        Self { ticks, origin: machine.fingerprint(), notes: Vec::new() }
    }
}

impl Timeline {
    /// Takes what there is to say about checkpoints of the recording that cannot be used.
    pub fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.stock.notes)
    }

    /// The last stored checkpoint that is between two positions, and worth going to. In a diversion they are only of use
    /// before the first change.
    fn stored_between(&self, from: Tick, goal: Tick) -> Option<Tick> {
        let diverted = self.diverted_at().map_or(Tick::MAX, |tick| tick.saturating_sub(1));
        let end = goal.min(diverted).min(self.edge().tick);
        let start = from.saturating_add(WORTH);
        if start > end { None } else { self.stock.ticks.range(start..=end).next_back().copied() }
    }

    /// Goes to the last stored checkpoint up to `goal`, if that is worth it; the machine is at or before `goal`, and no
    /// checkpoint in memory is between.
    pub(super) fn jump_towards(&mut self, goal: Tick) {
        while let Some(tick) = self.stored_between(self.now(), goal) {
            let from = self.checkpoint_before(self.now());
            match stored::restore(self.door.recording(), tick, &mut self.machine, self.stock.origin) {
                Ok(()) => {
                    let mark = self.door.jump(from, tick);
                    self.checkpoints.take_after_jump(&mut self.machine, mark);
                    self.note_place();
                    return;
                }
                Err(error) => {
                    self.stock.notes.push(format!("{error}: it is not used"));
                    self.stock.ticks.remove(&tick);
                    self.restore(from);
                }
            }
        }
    }

    /// The last checkpoint at a tick or before it, after one that is stored nearer was brought into memory.
    pub(super) fn nearest_checkpoint(&mut self, at_most: Tick) -> Tick {
        let checkpoint = self.checkpoint_before(at_most);
        if self.stored_between(checkpoint, at_most).is_some() {
            self.restore(checkpoint);
            self.jump_towards(at_most);
        }
        self.checkpoint_before(at_most)
    }
}

#[cfg(test)]
mod tests;
