//! Others who serve descriptors of their own while a machine runs: a debugger's server.
//!
//! The door only watches for their calls. Whoever served a call lets the machine run on.

use super::{Ending, LiveDoor};
use reprise_core::clock::Tick;
use reprise_core::door::{Door, HostInput, Room};
use reprise_core::machine::{Digest, Machine};
use reprise_core::output::Output;
use reprise_core::request::Question;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::cell::RefCell;
use std::os::fd::OwnedFd;

/// Why a machine stands still no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// Somebody calls.
    Called,
    /// The operator lets it run.
    Started,
    /// The run is to end.
    Ended,
}

impl LiveDoor {
    /// Watches `bells`, and no others: while one of them can be read, nothing here waits any longer.
    pub fn watch(&mut self, bells: Vec<OwnedFd>) {
        self.bells = bells;
    }

    /// Whether a bell can be read.
    pub fn is_rung(&self) -> bool {
        if self.bells.is_empty() {
            return false;
        }
        let mut fds: Vec<_> = self.bells.iter().map(|bell| PollFd::new(bell, PollFlags::IN)).collect();
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|count| count > 0)
    }

    /// Whether the machine is paused.
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Lets the machine run on.
    pub fn start(&mut self) {
        self.paused = false;
    }

    /// Whether a debugger has the machine stopped, and is the only one who starts it again.
    pub fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// Ends the run.
    pub fn quit(&mut self) {
        self.end(Ending::Debugger);
    }

    /// Why the run is to end, if it is.
    pub fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    /// Serves the host while the machine, which is paused or held, stands still.
    pub fn stand_by(&mut self) -> Woken {
        loop {
            self.look();
            if self.ending.is_some() {
                return Woken::Ended;
            }
            if self.is_rung() {
                return Woken::Called;
            }
            if !self.paused && !self.held {
                return Woken::Started;
            }
            self.wait(None, None);
        }
    }
}

/// The door of a machine that somebody beside it stops and starts, too.
#[derive(Clone, Copy)]
pub struct SharedDoor<'a>(pub &'a RefCell<LiveDoor>);

impl Door for SharedDoor<'_> {
    fn poll(&mut self, now: Tick, room: &dyn Room) -> Option<HostInput> {
        self.0.borrow_mut().poll(now, room)
    }

    fn answer(&mut self, now: Tick, question: &Question) -> HostInput {
        self.0.borrow_mut().answer(now, question)
    }

    fn next_due(&self) -> Option<Tick> {
        self.0.borrow().next_due()
    }

    fn poll_interval(&self) -> Tick {
        self.0.borrow().poll_interval()
    }

    fn idle(&mut self, now: Tick, deadline: Option<Tick>) -> Option<Tick> {
        self.0.borrow_mut().idle(now, deadline)
    }

    fn output(&mut self, now: Tick, output: Output) {
        self.0.borrow_mut().output(now, output);
    }

    fn next_digest(&self) -> Option<Tick> {
        self.0.borrow().next_digest()
    }

    fn digest(&mut self, tick: Tick, digest: Digest, machine: &Machine) {
        self.0.borrow_mut().digest(tick, digest, machine);
    }
}
