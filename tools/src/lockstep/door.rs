//! What stands around the door of the first machine.

use super::Lockstep;
use reprise_core::clock::Tick;
use reprise_core::door::{Door, HostInput, Room};
use reprise_core::machine::{Digest, Machine};
use reprise_core::output::Output;
use reprise_core::request::Question;

/// The door of the first machine, and the second machine.
pub(super) struct Watched<'a> {
    pub(super) door: &'a mut dyn Door,
    pub(super) lockstep: &'a mut Lockstep,
}

impl Door for Watched<'_> {
    fn poll(&mut self, now: Tick, room: &dyn Room) -> Option<HostInput> {
        if self.lockstep.is_different() {
            return Some(HostInput::Quit);
        }
        let input = self.door.poll(now, room)?;
        self.lockstep.note(now, &input);
        Some(input)
    }

    fn answer(&mut self, now: Tick, question: &Question) -> HostInput {
        let answer = self.door.answer(now, question);
        self.lockstep.note(now, &answer);
        answer
    }

    fn next_due(&self) -> Option<Tick> {
        if self.lockstep.is_different() { Some(0) } else { self.door.next_due() }
    }

    fn poll_interval(&self) -> Tick {
        self.door.poll_interval()
    }

    fn idle(&mut self, now: Tick, deadline: Option<Tick>) -> Option<Tick> {
        let woken = self.door.idle(now, deadline)?;
        // Nothing changes in a sleep.
        self.lockstep.next = self.lockstep.next.max(woken);
        Some(woken)
    }

    fn output(&mut self, now: Tick, output: Output) {
        self.lockstep.outputs.push((now, output.clone()));
        self.door.output(now, output);
    }

    fn next_digest(&self) -> Option<Tick> {
        if self.lockstep.is_different() {
            return None;
        }
        self.door.next_digest().into_iter().chain([self.lockstep.next]).min()
    }

    fn digest(&mut self, tick: Tick, digest: Digest, machine: &Machine) {
        if self.door.next_digest().is_some_and(|due| due <= tick) {
            self.door.digest(tick, digest, machine);
        }
        if self.lockstep.next <= tick {
            self.lockstep.compare(machine, digest);
        }
    }
}
