//! What is debugged: a recording, in which one can walk both ways, or a machine that is running.

use reprise_core::edit::Edit;
use reprise_core::machine::Machine;
use reprise_core::probe::Probes;
use reprise_replay::timeline::{Direction, Stop, Timeline, Watcher};

/// What is debugged.
pub(crate) trait Debuggee {
    /// The machine, at an instruction boundary.
    fn machine(&self) -> &Machine;

    /// The recording that it walks in; `None` for a machine that is running.
    fn timeline(&mut self) -> Option<&mut Timeline>;

    /// Runs until a probe is hit, its end, or its watcher ends it. Only a timeline can be run backwards.
    fn run(&mut self, probes: &Probes, direction: Direction, watcher: &mut dyn Watcher) -> Stop;

    /// Changes the machine; an error says why that cannot be.
    fn edit(&mut self, edit: Edit) -> Result<(), String>;
}
