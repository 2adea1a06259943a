//! What is debugged: a recording, in which one can walk both ways, or a machine that is running.

use super::viewer::Viewer;
use reprise_core::edit::Edit;
use reprise_core::machine::Machine;
use reprise_core::probe::Probes;
use reprise_replay::timeline::{Direction, Stop, Timeline, Watcher};
use std::os::fd::OwnedFd;

/// What is debugged.
pub(crate) trait Debuggee {
    /// The machine, at an instruction boundary.
    fn machine(&self) -> &Machine;

    /// The recording that it walks in; `None` for a machine that is running.
    fn timeline(&mut self) -> Option<&mut Timeline>;

    /// Runs until a probe is hit, its end, or its watcher ends it. Only a timeline can be run backwards. Forward a breakpoint
    /// counts at the position where the run begins, unless it is for a step: debuggers step over breakpoints by themselves.
    fn run(&mut self, probes: &Probes, direction: Direction, watcher: &mut dyn Watcher) -> Stop;

    /// Changes the machine; an error says why that cannot be.
    fn edit(&mut self, edit: Edit) -> Result<(), String>;
}

/// Why the server waits no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// Somebody calls.
    Called,
    /// The operator lets the machine run.
    Started,
    /// The server is to end.
    Ended,
}

/// What surrounds a debuggee: the host, while the machine stands still and while it runs.
pub(crate) trait Host: Debuggee {
    /// What calls the server from now on, by being readable.
    fn watch(&mut self, bells: Vec<OwnedFd>);

    /// Waits, with the machine standing still, until somebody calls.
    fn wait(&mut self) -> Wake;

    /// A client has come, or has gone; a machine without one runs, or stands still.
    fn attach(&mut self, attached: bool, running: bool);

    /// Who sees what a replay shows.
    fn viewer(&self) -> Option<Viewer>;

    /// The exit status of the run, once it is over.
    fn exit_status(&self) -> Option<u8>;
}
