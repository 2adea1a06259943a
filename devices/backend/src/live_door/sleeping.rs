//! How idle time passes, and waiting for the host.

use super::LiveDoor;
use reprise_core::backend::RngId;
use reprise_core::clock::Tick;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Oversleep that later sleeps make up for; more is forgotten, as after a stop.
const OVERSLEPT_LIMIT: Duration = Duration::from_millis(20);

/// How guest time relates to the host's while every vCPU is idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Idle time passes as on a clock.
    Real,
    /// Idle time is skipped.
    Fast,
}

impl LiveDoor {
    /// Whether the machine would take something if it polled now. What it had no room for at its last poll it has no room
    /// for until it ran again, or a timer fired: so one poll at a tick is enough, and waiting input keeps no idle machine
    /// from sleeping.
    pub(super) fn has_news(&self, now: Tick) -> bool {
        self.ending.is_some() || self.paused || (self.polled_at != Some(now) && self.has_waiting())
    }

    /// How idle time passes now.
    fn current_pace(&self) -> Pace {
        if self.nets.iter().any(|net| net.netdev.expects_answer()) { Pace::Real } else { self.pace }
    }

    /// Lets idle time pass until `deadline`, or until there is news; `None` if neither will ever come.
    pub(super) fn pass_idle_time(&mut self, now: Tick, deadline: Option<Tick>) -> Option<Tick> {
        match (self.current_pace(), deadline) {
            (Pace::Fast, Some(deadline)) => Some(deadline),
            (Pace::Fast | Pace::Real, deadline) => self.sleep(now, deadline),
        }
    }

    fn sleep(&mut self, now: Tick, deadline: Option<Tick>) -> Option<Tick> {
        let wanted = deadline.map(|deadline| Duration::from_nanos(deadline.saturating_sub(now)));
        let debt = std::mem::take(&mut self.overslept);
        let start = Instant::now();
        loop {
            if self.look() {
                return Some(self.woken(now, deadline, debt + start.elapsed()));
            }
            let slept = debt + start.elapsed();
            if let Some(over) = wanted.and_then(|wanted| slept.checked_sub(wanted)) {
                self.overslept = over.min(OVERSLEPT_LIMIT);
                return deadline;
            }
            // An answer that somebody waited for may have been given up: nothing is left to sleep for.
            if wanted.is_some() && self.current_pace() == Pace::Fast {
                return deadline;
            }
            if wanted.is_none() && !self.input_can_come() {
                return None;
            }
            self.wait(wanted.map(|wanted| wanted - slept), None);
        }
    }

    /// The tick at which news found the machine asleep since `now`.
    fn woken(&mut self, now: Tick, deadline: Option<Tick>, slept: Duration) -> Tick {
        match self.current_pace() {
            Pace::Fast => now,
            Pace::Real => {
                let slept = u64::try_from(slept.as_nanos()).unwrap_or(u64::MAX);
                now.saturating_add(slept).min(deadline.unwrap_or(Tick::MAX))
            }
        }
    }

    /// Waits until there is something to look at, or `rng` has more bytes; for at most `timeout`.
    pub(super) fn wait(&self, timeout: Option<Duration>, rng: Option<RngId>) {
        let reading = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
        let mut fds: Vec<_> = self.signals.iter().map(|signals| reading(signals.wake())).collect();
        fds.extend(rng.map(|rng| reading(self.rngs[usize::from(rng.0)].source())));
        fds.extend(self.lines.iter().flat_map(|line| line.poll_fds()));
        fds.extend(self.nets.iter().flat_map(|net| net.poll_fds()));
        fds.extend(self.bells.iter().map(|bell| reading(bell.as_fd())));
        let of_lines = self.lines.iter().filter_map(|line| line.timeout());
        let of_nets = self.nets.iter().filter_map(|net| net.timeout());
        let timeout = timeout.into_iter().chain(of_lines).chain(of_nets).min();
        let timeout = timeout.map(|t| Timespec { tv_sec: t.as_secs() as i64, tv_nsec: i64::from(t.subsec_nanos()) });
        // An error is a signal, which the caller looks for anyhow.
        let _ = poll(&mut fds, timeout.as_ref());
    }
}
