//! The timer queue: which device wants to be called at which tick.
//!
//! The queue holds data, not closures: `(deadline, owner, slot)`. `slab` owns the armed timers, `priority-queue` orders
//! them. Two timers with one deadline fire in the order of owner, then slot, so that ties have one answer. The queue is
//! state: it is in every checkpoint and fingerprint.

use crate::clock::Tick;
use priority_queue::PriorityQueue;
use serde::{Deserialize, Serialize};
use slab::Slab;
use std::cmp::Reverse;
use std::hash::BuildHasherDefault;
use xxhash_rust::xxh3::Xxh3Default;

/// Who a timer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Owner {
    /// The local APIC of a vCPU, by index.
    LocalApic(u32),
    /// A device, by its number on the board.
    Device(u32),
}

/// One armed timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timer {
    /// Who is called.
    pub owner: Owner,
    /// Which of the owner's timers this is.
    pub slot: u32,
}

/// Order in the queue: the earliest deadline first, then owner, then slot.
type Priority = Reverse<(Tick, Timer)>;

/// All armed timers.
///
/// Hash order never shows: `priority-queue` uses its map only to find an entry, with a fixed hasher.
#[derive(Default)]
pub struct Scheduler {
    timers: Slab<Timer>,
    queue: PriorityQueue<usize, Priority, BuildHasherDefault<Xxh3Default>>,
    /// Cached earliest deadline.
    next: Option<Tick>,
}

impl Scheduler {
    /// Arms `timer` for `deadline`, in place of the deadline it had.
    pub fn arm(&mut self, timer: Timer, deadline: Tick) {
        let key = self.key(timer).unwrap_or_else(|| self.timers.insert(timer));
        self.queue.push(key, Reverse((deadline, timer)));
        self.cache_next();
    }

    /// Disarms `timer`; nothing happens if it was not armed.
    pub fn disarm(&mut self, timer: Timer) {
        if let Some(key) = self.key(timer) {
            self.queue.remove(&key);
            self.timers.remove(key);
            self.cache_next();
        }
    }

    /// Disarms every timer of `owner`.
    pub fn disarm_all(&mut self, owner: Owner) {
        let keys: Vec<_> = self.timers.iter().filter(|(_, timer)| timer.owner == owner).map(|(key, _)| key).collect();
        for key in keys {
            self.queue.remove(&key);
            self.timers.remove(key);
        }
        self.cache_next();
    }

    /// The tick at which `timer` is due, if it is armed.
    pub fn deadline(&self, timer: Timer) -> Option<Tick> {
        let (_, Reverse((deadline, _))) = self.queue.get(&self.key(timer)?)?;
        Some(*deadline)
    }

    /// The earliest deadline of all timers.
    pub fn next_deadline(&self) -> Option<Tick> {
        self.next
    }

    /// Takes the first timer that is due at `now`.
    pub fn pop_due(&mut self, now: Tick) -> Option<Timer> {
        if self.next? > now {
            return None;
        }
        let (key, _) = self.queue.pop()?;
        self.cache_next();
        Some(self.timers.remove(key))
    }

    /// All armed timers in the order in which they fire.
    pub fn sorted(&self) -> Vec<(Tick, Timer)> {
        let mut all: Vec<_> = self.queue.iter().map(|(_, Reverse(entry))| *entry).collect();
        all.sort_unstable();
        all
    }

    /// Puts the timers of [`sorted`](Self::sorted) in place of all that are armed.
    pub fn restore(&mut self, timers: &[(Tick, Timer)]) {
        *self = Self::default();
        for &(deadline, timer) in timers {
            self.arm(timer, deadline);
        }
    }

    fn key(&self, timer: Timer) -> Option<usize> {
        self.timers.iter().find(|(_, armed)| **armed == timer).map(|(key, _)| key)
    }

    fn cache_next(&mut self) {
        self.next = self.queue.peek().map(|(_, Reverse((deadline, _)))| *deadline);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timer(device: u32, slot: u32) -> Timer {
        Timer { owner: Owner::Device(device), slot }
    }

    #[test]
    fn ties_fire_by_owner_then_slot() {
        let mut scheduler = Scheduler::default();
        for t in [timer(2, 0), timer(1, 1), timer(1, 0), Timer { owner: Owner::LocalApic(9), slot: 0 }] {
            scheduler.arm(t, 5);
        }
        let fired: Vec<_> = std::iter::from_fn(|| scheduler.pop_due(5)).collect();
        assert_eq!(fired, [Timer { owner: Owner::LocalApic(9), slot: 0 }, timer(1, 0), timer(1, 1), timer(2, 0)]);
    }

    #[test]
    fn arming_again_moves_the_deadline() {
        let mut scheduler = Scheduler::default();
        scheduler.arm(timer(0, 0), 5);
        scheduler.arm(timer(0, 0), 9);
        assert_eq!(scheduler.pop_due(8), None);
        assert_eq!(scheduler.next_deadline(), Some(9));
        assert_eq!(scheduler.pop_due(9), Some(timer(0, 0)));
        assert_eq!(scheduler.pop_due(u64::MAX), None);
    }

    #[test]
    fn restore_replaces_what_was_armed() {
        let mut scheduler = Scheduler::default();
        scheduler.arm(timer(0, 0), 5);
        let saved = scheduler.sorted();
        scheduler.arm(timer(1, 0), 1);
        scheduler.restore(&saved);
        assert_eq!(scheduler.sorted(), saved);
        assert_eq!(scheduler.next_deadline(), Some(5));
    }
}
