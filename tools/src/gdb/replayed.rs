//! A recording as a debuggee.

use super::debuggee::{Debuggee, Host, Wake};
use super::viewer::Viewer;
use crate::say;
use reprise_core::edit::Edit;
use reprise_core::machine::Machine;
use reprise_core::probe::Probes;
use reprise_replay::timeline::{Direction, Stop, Timeline, Watcher};
use std::os::fd::OwnedFd;

/// A recording, and who watches it.
pub(crate) struct Replayed {
    timeline: Timeline,
    viewer: Viewer,
    bells: Vec<OwnedFd>,
}

impl Replayed {
    /// Walks in `timeline`, which `viewer` sees.
    pub(crate) fn new(timeline: Timeline, viewer: Viewer) -> Self {
        Self { timeline, viewer, bells: Vec::new() }
    }

    /// The recording.
    pub(crate) fn into_timeline(self) -> Timeline {
        self.timeline
    }
}

impl Debuggee for Replayed {
    fn machine(&self) -> &Machine {
        self.timeline.machine()
    }

    fn timeline(&mut self) -> Option<&mut Timeline> {
        Some(&mut self.timeline)
    }

    fn run(&mut self, probes: &Probes, direction: Direction, watcher: &mut dyn Watcher) -> Stop {
        match direction {
            Direction::Forward if probes.step.is_none() => self.timeline.go_on(probes, watcher),
            // A step gets past a breakpoint where it begins.
            Direction::Forward | Direction::Backward => self.timeline.run(probes, direction, watcher),
        }
    }

    fn edit(&mut self, edit: Edit) -> Result<(), String> {
        self.timeline.edit(edit).map_err(|error| error.to_string())
    }
}

impl Host for Replayed {
    fn watch(&mut self, bells: Vec<OwnedFd>) {
        self.bells = bells;
    }

    fn wait(&mut self) -> Wake {
        self.viewer.flush();
        self.timeline.take_notes().iter().for_each(|note| say(note));
        if !self.viewer.has_to_end() {
            self.viewer.wait(&self.bells);
        }
        if self.viewer.has_to_end() { Wake::Ended } else { Wake::Called }
    }

    /// A recording moves only as it is told to.
    fn attach(&mut self, _attached: bool, _running: bool) {}

    fn viewer(&self) -> Option<Viewer> {
        Some(self.viewer.clone())
    }

    /// The end of a recording is a place like any other.
    fn exit_status(&self) -> Option<u8> {
        None
    }
}
