//! The timer of the local APIC (SDM vol. 3, 11.5.4 APIC Timer).
//!
//! The input clock is the tick: 1 GHz. Counts are computed from the tick at which the initial count was written, so
//! that a guest can read as often as it likes without moving anything.

use crate::clock::Tick;
use serde::{Deserialize, Serialize};

/// The timer's mode, from its entry in the local vector table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimerMode {
    OneShot,
    Periodic,
    /// The reserved encoding 11b counts as this one, too.
    TscDeadline,
}

impl TimerMode {
    pub(super) fn of(entry: u32) -> Self {
        match entry >> 17 & 3 {
            0 => Self::OneShot,
            1 => Self::Periodic,
            _ => Self::TscDeadline,
        }
    }
}

/// What software can observe of the timer, all but its entry in the local vector table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TimerState {
    /// Initial-count register.
    pub(super) initial: u32,
    /// Divide configuration register.
    pub(super) divide: u32,
    /// The count that was current at `start`; 0 if nothing counts.
    loaded: u32,
    start: Tick,
    /// IA32_TSC_DEADLINE; 0 if it is not armed.
    deadline: u64,
    /// What the vCPU's TSC is ahead of the tick.
    pub(super) tsc_offset: u64,
}

impl TimerState {
    /// Ticks in one count, as a power of two.
    fn shift(&self) -> u32 {
        ((self.divide & 3 | self.divide >> 1 & 4) + 1) & 7
    }

    /// When the count that was loaded reaches 0.
    fn first_expiry(&self) -> Option<Tick> {
        (self.loaded != 0).then(|| self.start.saturating_add(u64::from(self.loaded) << self.shift()))
    }

    /// Ticks from one expiry to the next in periodic mode.
    fn period(&self) -> Option<Tick> {
        (self.initial != 0).then(|| u64::from(self.initial) << self.shift())
    }

    /// The current-count register.
    pub(super) fn count(&self, mode: TimerMode, now: Tick) -> u32 {
        let left = match (mode, self.first_expiry()) {
            (TimerMode::TscDeadline, _) | (_, None) => 0,
            (_, Some(expiry)) if now < expiry => expiry - now,
            (TimerMode::OneShot, Some(_)) => 0,
            (TimerMode::Periodic, Some(expiry)) => self.period().map_or(0, |period| period - (now - expiry) % period),
        };
        left.div_ceil(1 << self.shift()).min(u64::from(u32::MAX)) as u32
    }

    /// The first expiry after `now`.
    pub(super) fn next_expiry(&self, mode: TimerMode, now: Tick) -> Option<Tick> {
        match mode {
            TimerMode::OneShot => self.first_expiry().filter(|&expiry| expiry > now),
            TimerMode::Periodic => {
                let first = self.first_expiry()?;
                if first > now {
                    return Some(first);
                }
                let period = self.period()?;
                now.checked_add(period - (now - first) % period)
            }
            TimerMode::TscDeadline if self.deadline == 0 => None,
            TimerMode::TscDeadline => now.checked_add(self.deadline.checked_sub(self.tsc(now)).filter(|&d| d > 0)?),
        }
    }

    fn tsc(&self, now: Tick) -> u64 {
        now.wrapping_add(self.tsc_offset)
    }

    /// Starts counting from `count`; 0 stops the timer.
    pub(super) fn set_initial(&mut self, count: u32, now: Tick) {
        (self.initial, self.loaded, self.start) = (count, count, now);
    }

    /// Changes the divisor; the count goes on from where it is.
    pub(super) fn set_divide(&mut self, divide: u32, mode: TimerMode, now: Tick) {
        if divide != self.divide {
            (self.loaded, self.start) = (self.count(mode, now), now);
            self.divide = divide;
        }
    }

    /// Changes the mode: a change to or from TSC-deadline disarms the timer (SDM vol. 3, 11.5.4.1 TSC-Deadline Mode).
    pub(super) fn change_mode(&mut self, from: TimerMode, to: TimerMode, now: Tick) {
        if from == to {
            return;
        }
        if from == TimerMode::TscDeadline || to == TimerMode::TscDeadline {
            self.set_initial(0, now);
            self.deadline = 0;
        } else {
            (self.loaded, self.start) = (self.count(from, now), now);
        }
    }

    /// IA32_TSC_DEADLINE as software reads it.
    pub(super) fn deadline(&self, now: Tick) -> u64 {
        if self.tsc(now) >= self.deadline { 0 } else { self.deadline }
    }

    /// Writes IA32_TSC_DEADLINE.
    pub(super) fn set_deadline(&mut self, deadline: u64) {
        self.deadline = deadline;
    }

    /// Disarms a TSC deadline that has come; whether there was one.
    pub(super) fn take_deadline(&mut self, now: Tick) -> bool {
        let due = self.deadline != 0 && self.tsc(now) >= self.deadline;
        if due {
            self.deadline = 0;
        }
        due
    }
}
