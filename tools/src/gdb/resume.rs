//! What the client asks the machine to do: go on, step a vCPU, either way.
//!
//! gdbstub only says what is asked for; the session then does it, because it is long, and the client may think better of
//! it.

use super::target::Target;
use gdbstub::common::{Signal, Tid};
use gdbstub::target::ext::base::multithread::{
    MultiThreadRangeStepping, MultiThreadRangeSteppingOps, MultiThreadResume, MultiThreadSchedulerLocking,
    MultiThreadSchedulerLockingOps, MultiThreadSingleStep, MultiThreadSingleStepOps,
};
use gdbstub::target::ext::base::reverse_exec::{ReverseCont, ReverseContOps, ReverseStep, ReverseStepOps};
use reprise_core::cpu::Activity;
use reprise_core::machine::Machine;
use reprise_core::probe::Step;
use reprise_replay::timeline::{Direction, Stop, Watcher};
use std::convert::Infallible;
use std::ops::Range;

/// How the machine is to move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Motion {
    /// Forward.
    Forward {
        /// Until a vCPU has made a step.
        step: Option<Step>,
        /// Whether the client wants the others to stand still meanwhile. They cannot: whose turn it is, is part of the run.
        locked: bool,
    },
    /// Backwards to where this vCPU began its last instruction.
    StepBack(usize),
    /// Backwards.
    Backward,
    /// Not at all, for this reason.
    Refused(String),
}

impl Default for Motion {
    fn default() -> Self {
        Self::Forward { step: None, locked: false }
    }
}

/// Why a step of a vCPU would never end.
fn never_steps(machine: &Machine, cpu: usize) -> Option<String> {
    match machine.cpus[cpu].activity {
        Activity::Running | Activity::Halted => None,
        Activity::WaitForSipi => {
            Some(format!("CPU#{cpu} waits for another vCPU to start it: it has no instruction to step"))
        }
        Activity::Shutdown => {
            Some(format!("CPU#{cpu} is shut down after a triple fault: it has no instruction to step"))
        }
    }
}

impl Target<'_> {
    /// Moves the machine as it was told.
    pub(super) fn perform(&mut self, watcher: &mut dyn Watcher) -> Result<Stop, String> {
        match std::mem::take(&mut self.motion) {
            Motion::Refused(why) => Err(why),
            Motion::Forward { step, locked } => {
                if let Some(why) = step.as_ref().and_then(|step| never_steps(self.host.machine(), step.cpu as usize)) {
                    return Err(why);
                }
                let steps_over = step.is_some() && locked;
                let probes = self.probes(step, locked);
                let stop = self.host.run(&probes, Direction::Forward, watcher);
                Ok(if steps_over { self.stepped_over(stop) } else { stop })
            }
            Motion::Backward => {
                let probes = self.probes(None, false);
                Ok(self.host.run(&probes, Direction::Backward, watcher))
            }
            Motion::StepBack(cpu) => match self.host.timeline() {
                Some(timeline) => Ok(timeline.step_back(cpu as u32, watcher)),
                None => Err("a running machine goes forward only: record it, and replay that with -gdb".into()),
            },
        }
    }

    /// The stop that gdb is told after it stepped over a breakpoint to go on. It knows of no history that ends meanwhile: it
    /// would wait for the step for ever. It learns of the end as it goes on.
    fn stepped_over(&mut self, stop: Stop) -> Stop {
        match stop {
            Stop::End(_) | Stop::Broken(_) if self.host.timeline().is_some() => Stop::Reached,
            other => other,
        }
    }

    fn set_step(&mut self, tid: Tid, range: Range<u64>) {
        let Motion::Forward { step: step @ None, .. } = &mut self.motion else { return };
        let cpus = self.host.machine().cpus.len();
        // Old packets step the thread of `Hc`, which gdbstub forgets at each stop.
        match self.stepping.or(Some(tid.get() - 1)).filter(|cpu| *cpu < cpus) {
            Some(cpu) => *step = Some(Step { cpu: cpu as u32, within: range }),
            None => self.motion = Motion::Refused(format!("there is no thread {tid}")),
        }
    }
}

impl MultiThreadResume for Target<'_> {
    fn resume(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn clear_resume_actions(&mut self) -> Result<(), Infallible> {
        self.motion = Motion::default();
        Ok(())
    }

    fn set_resume_action_continue(&mut self, _tid: Tid, _signal: Option<Signal>) -> Result<(), Infallible> {
        Ok(())
    }

    fn support_single_step(&mut self) -> Option<MultiThreadSingleStepOps<'_, Self>> {
        Some(self)
    }

    fn support_range_step(&mut self) -> Option<MultiThreadRangeSteppingOps<'_, Self>> {
        Some(self)
    }

    fn support_scheduler_locking(&mut self) -> Option<MultiThreadSchedulerLockingOps<'_, Self>> {
        Some(self)
    }

    fn support_reverse_step(&mut self) -> Option<ReverseStepOps<'_, Tid, Self>> {
        self.host.timeline().is_some().then_some(self)
    }

    fn support_reverse_cont(&mut self) -> Option<ReverseContOps<'_, Tid, Self>> {
        self.host.timeline().is_some().then_some(self)
    }
}

impl MultiThreadSingleStep for Target<'_> {
    fn set_resume_action_step(&mut self, tid: Tid, _signal: Option<Signal>) -> Result<(), Infallible> {
        self.set_step(tid, 0..0);
        Ok(())
    }
}

impl MultiThreadRangeStepping for Target<'_> {
    fn set_resume_action_range_step(&mut self, tid: Tid, start: u64, end: u64) -> Result<(), Infallible> {
        self.set_step(tid, start..end);
        Ok(())
    }
}

impl MultiThreadSchedulerLocking for Target<'_> {
    fn set_resume_action_scheduler_lock(&mut self) -> Result<(), Infallible> {
        if let Motion::Forward { locked, .. } = &mut self.motion {
            *locked = true;
        }
        Ok(())
    }
}

impl ReverseCont<Tid> for Target<'_> {
    fn reverse_cont(&mut self) -> Result<(), Infallible> {
        self.motion = Motion::Backward;
        Ok(())
    }
}

impl ReverseStep<Tid> for Target<'_> {
    fn reverse_step(&mut self, _tid: Tid) -> Result<(), Infallible> {
        self.motion = Motion::StepBack(self.stepping.unwrap_or(self.selected));
        Ok(())
    }
}
