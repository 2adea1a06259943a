//! A running machine as a debuggee: it goes forward only, and the host stands at its door.
//!
//! While it stands still its clock does too: guest time is counted in instructions, so there is nothing to catch up with.

use super::debuggee::{Debuggee, Host, Wake};
use super::viewer::Viewer;
use crate::run;
use reprise_backend::netdev::DumpDoor;
use reprise_backend::{LiveDoor, Woken};
use reprise_core::clock::Tick;
use reprise_core::door::{Door, HostInput, Room};
use reprise_core::edit::Edit;
use reprise_core::machine::{Digest, End, Machine};
use reprise_core::output::Output;
use reprise_core::probe::Probes;
use reprise_core::request::Question;
use reprise_replay::Recorder;
use reprise_replay::timeline::{Direction, Stop, Timeline, Watcher};
use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// How often it is looked for calls while the machine runs.
const LOOK_INTERVAL: Duration = Duration::from_millis(3);
/// Ticks between two looks while a vCPU is stepped, which is slow.
const STEP_POLL_INTERVAL: Tick = 1 << 13;

/// Whoever stands around the door of a live machine.
pub(crate) trait Around: Door {
    /// Makes a debugger's change.
    fn edit(&mut self, machine: &mut Machine, edit: &Edit) -> Result<(), String>;
}

impl Around for DumpDoor<'_> {
    fn edit(&mut self, machine: &mut Machine, edit: &Edit) -> Result<(), String> {
        machine.edit(edit).map_err(|error| error.to_string())
    }
}

impl<D: Door> Around for Recorder<D> {
    fn edit(&mut self, machine: &mut Machine, edit: &Edit) -> Result<(), String> {
        Recorder::edit(self, machine, edit).map_err(|error| error.to_string())
    }
}

/// A machine that is running.
pub(crate) struct Live<'a> {
    machine: &'a mut Machine,
    /// Its door, and whoever stands around it.
    door: &'a mut dyn Around,
    /// The innermost door.
    host: &'a RefCell<LiveDoor>,
    until: Tick,
    attached: bool,
    probed: bool,
    end: Option<End>,
}

impl<'a> Live<'a> {
    /// `machine` with `door`, behind which `host` is; it runs to `until` at most.
    pub(crate) fn new(
        machine: &'a mut Machine,
        door: &'a mut dyn Around,
        host: &'a RefCell<LiveDoor>,
        until: Tick,
    ) -> Self {
        Self { machine, door, host, until, attached: false, probed: false, end: None }
    }

    /// How the machine ended. It is told that it is to end, if it was not.
    pub(crate) fn finish(mut self) -> End {
        if let Some(end) = self.end {
            return end;
        }
        self.set_probes(&Probes::default());
        self.host.borrow_mut().quit();
        self.machine.run(self.door, self.until)
    }

    fn set_probes(&mut self, probes: &Probes) {
        if self.probed || !probes.is_empty() {
            // A step gets past a breakpoint where it begins.
            let skip = probes.step.as_ref().map(|_| self.machine.now());
            self.machine.set_probes(probes.clone(), skip);
            self.probed = !probes.is_empty();
        }
    }
}

impl Debuggee for Live<'_> {
    fn machine(&self) -> &Machine {
        self.machine
    }

    fn timeline(&mut self) -> Option<&mut Timeline> {
        None
    }

    fn run(&mut self, probes: &Probes, _direction: Direction, watcher: &mut dyn Watcher) -> Stop {
        self.set_probes(probes);
        // What came together with the request does not ring again.
        if !watcher.pass(self.machine.now()) {
            return Stop::Interrupted;
        }
        self.host.borrow_mut().hold(false);
        self.host.borrow_mut().start();
        let interval = if probes.step.is_some() { STEP_POLL_INTERVAL } else { Tick::MAX };
        let stop = loop {
            let (door, looked) = (&mut *self.door, Instant::now());
            let mut door = Attended { door, host: self.host, interval, looked, called: false };
            let end = self.machine.run(&mut door, self.until);
            let called = door.called;
            match end {
                End::Probe => break Stop::Hits(self.machine.take_hits()),
                End::Quit if called => {
                    // What was hit at the very position of the call would be forgotten.
                    let hits = self.machine.take_hits();
                    if !hits.is_empty() {
                        break Stop::Hits(hits);
                    }
                    if !watcher.pass(self.machine.now()) {
                        break Stop::Interrupted;
                    }
                }
                _ => {
                    self.end = Some(end);
                    break Stop::End(format!("{end:?}"));
                }
            }
        };
        self.host.borrow_mut().hold(self.attached);
        stop
    }

    fn edit(&mut self, edit: Edit) -> Result<(), String> {
        self.door.edit(self.machine, &edit)
    }
}

impl Host for Live<'_> {
    fn watch(&mut self, bells: Vec<OwnedFd>) {
        self.host.borrow_mut().watch(bells);
    }

    fn wait(&mut self) -> Wake {
        match self.host.borrow_mut().stand_by() {
            Woken::Called => Wake::Called,
            Woken::Started => Wake::Started,
            Woken::Ended => Wake::Ended,
        }
    }

    fn attach(&mut self, attached: bool, running: bool) {
        self.attached = attached;
        let mut host = self.host.borrow_mut();
        host.hold(attached);
        if running {
            host.start();
        } else {
            host.pause();
        }
    }

    fn viewer(&self) -> Option<Viewer> {
        None
    }

    fn exit_status(&self) -> Option<u8> {
        let host = self.host.borrow();
        match (host.ending(), self.end) {
            (None, None) => None,
            (ending, end) => Some(run::status(self.machine, end.unwrap_or(End::Quit), ending)),
        }
    }
}

/// The door of a machine whose server may be called. It is the outermost, so that nothing of this is recorded.
struct Attended<'a> {
    door: &'a mut dyn Door,
    host: &'a RefCell<LiveDoor>,
    /// Ticks between two looks at most.
    interval: Tick,
    looked: Instant,
    /// Whether the machine came back because of a call.
    called: bool,
}

impl Attended<'_> {
    fn is_called(&mut self) -> bool {
        let host = self.host.borrow();
        if !host.is_paused() && self.looked.elapsed() < LOOK_INTERVAL {
            return false;
        }
        self.looked = Instant::now();
        self.called = host.is_rung();
        self.called
    }
}

impl Door for Attended<'_> {
    fn poll(&mut self, now: Tick, room: &dyn Room) -> Option<HostInput> {
        self.door.poll(now, room).or_else(|| self.is_called().then_some(HostInput::Quit))
    }

    fn answer(&mut self, now: Tick, question: &Question) -> HostInput {
        self.door.answer(now, question)
    }

    fn next_due(&self) -> Option<Tick> {
        self.door.next_due()
    }

    fn poll_interval(&self) -> Tick {
        self.door.poll_interval().min(self.interval)
    }

    fn idle(&mut self, now: Tick, deadline: Option<Tick>) -> Option<Tick> {
        self.door.idle(now, deadline)
    }

    fn output(&mut self, now: Tick, output: Output) {
        self.door.output(now, output);
    }

    fn next_digest(&self) -> Option<Tick> {
        self.door.next_digest()
    }

    fn digest(&mut self, tick: Tick, digest: Digest, machine: &Machine) {
        self.door.digest(tick, digest, machine);
    }
}
