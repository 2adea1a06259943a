//! What a debugger waits for: breakpoints, watchpoints and steps.
//!
//! Probes are no part of the machine's state: they are not saved, not restored, not hashed, and a run with probes takes
//! the machine through exactly the states that it has without. They only end the run earlier, at an instruction
//! boundary, and say why.
//!
//! A *position* is a tick: the state after all that happens at that tick, with the next instruction not yet begun. An
//! instruction that begins at tick `t` ends at `t + 1`, so an access that it makes lies between these two positions; what
//! a device writes at tick `t` by itself lies between `t - 1` and `t`. A run forward stops after what it met, and a run
//! backwards stops before it, as gdb wants it.

use crate::board::{Board, DeviceId};
use crate::clock::Tick;
use crate::cpu::CpuState;
use std::fmt;
use std::ops::Range;
use std::rc::Rc;

/// Decides whether a breakpoint counts.
///
/// It may look at anything and changes nothing.
pub trait Condition: fmt::Debug {
    /// Whether it holds for `cpu`, which is about to execute the instruction at the breakpoint.
    fn holds(&self, cpu: &CpuState, board: &Board) -> bool;
}

/// Stops before an instruction at a linear address, on any vCPU, each time that it is about to be executed; for a string
/// instruction that repeats, before each iteration.
#[derive(Clone, Debug)]
pub struct Breakpoint {
    /// Its linear address.
    pub address: u64,
    /// When it counts; always, without one.
    pub condition: Option<Rc<dyn Condition>>,
}

/// Which accesses a watchpoint is for: those to data, and to what the processor finds by linear addresses, as descriptors and
/// stacks. Fetches of instructions are none. Walks of page tables are at physical addresses, and only the accessed and
/// dirty bits count that they set: how often they read depends on what is cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// Reads.
    Read,
    /// Writes.
    Write,
    /// Both.
    Access,
}

/// What the addresses of a watchpoint are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// Linear: accesses of vCPUs in any address space, and what devices write where vCPU `cpu` has them mapped when the
    /// probes are set.
    Linear {
        /// Whose page tables say where devices would write.
        cpu: u32,
    },
    /// Physical: accesses of vCPUs by whatever linear address, and devices.
    Physical,
}

/// Stops after an access to some bytes: after the instruction of a vCPU, or the iteration of one that repeats, and after
/// the tick at which a device accessed them by itself. A write counts whatever was there before. An instruction that
/// faults counts for what it wrote before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watchpoint {
    /// Which accesses.
    pub watch: Watch,
    /// What the addresses are.
    pub addressing: Addressing,
    /// The bytes; not empty. Where physical ones are no RAM, they are never accessed.
    pub range: Range<u64>,
}

/// Stops when a vCPU has retired an instruction; an interrupt that it takes, or an attempt that faults, is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which vCPU; the others run on as it is their turn.
    pub cpu: u32,
    /// It goes on while RIP is in here: gdb's range stepping. Empty for a single step.
    pub within: Range<u64>,
}

/// Everything that is waited for.
#[derive(Clone, Debug, Default)]
pub struct Probes {
    /// Breakpoints.
    pub breakpoints: Vec<Breakpoint>,
    /// Watchpoints.
    pub watchpoints: Vec<Watchpoint>,
    /// A step.
    pub step: Option<Step>,
}

impl Probes {
    /// Whether nothing is waited for.
    pub fn is_empty(&self) -> bool {
        self.breakpoints.is_empty() && self.watchpoints.is_empty() && self.step.is_none()
    }
}

/// Who accessed what is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accessor {
    /// A vCPU.
    Cpu(u32),
    /// A device that masters the bus.
    Device(DeviceId),
}

/// Why a probe ended a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A vCPU is about to execute the instruction at a breakpoint.
    Breakpoint {
        /// Which vCPU.
        cpu: u32,
        /// Its linear address.
        address: u64,
    },
    /// What is watched was accessed.
    Watchpoint {
        /// Which watchpoint.
        watchpoint: Watchpoint,
        /// By whom.
        by: Accessor,
        /// Whether it was written.
        write: bool,
        /// The first accessed byte, in the watchpoint's addressing, and how many up to the last. Several accesses of one
        /// kind within an instruction are one.
        accessed: (u64, u64),
    },
    /// The step is done.
    Step {
        /// Which vCPU.
        cpu: u32,
    },
}

/// A probe ended a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The position where a run forward stops.
    pub after: Tick,
    /// The position where a run backwards stops: for a breakpoint the same, or else one less.
    pub before: Tick,
    /// Why.
    pub cause: Cause,
}
