//! Breakpoints and watchpoints of a client. All are probes, software breakpoints too: nothing is written to the guest.

use super::target::Target;
use gdbstub::target::TargetResult;
use gdbstub::target::ext::breakpoints::{
    HwBreakpoint, HwBreakpointOps, HwWatchpoint, HwWatchpointOps, SwBreakpoint, SwBreakpointOps, WatchKind,
};
use reprise_core::board::Board;
use reprise_core::cpu::CpuState;
use reprise_core::probe::{Addressing, Breakpoint, Condition, Probes, Step, Watch, Watchpoint};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Most breakpoints, and most watchpoints, that a client can have.
const LIMIT: usize = 10_000;
/// Longest watchpoint in bytes: each of its pages is slow to access.
const WATCH_LIMIT: u64 = 1 << 20;

/// Breakpoints by address, with the conditions under which they count.
type Conditional = BTreeMap<u64, Option<Rc<dyn Condition>>>;

/// What a client waits for.
#[derive(Debug, Default)]
pub(super) struct Breakpoints {
    software: BTreeSet<u64>,
    hardware: BTreeSet<u64>,
    watchpoints: Vec<Watchpoint>,
    /// Those of the last time that the machine ran freely.
    free: Conditional,
}

impl Breakpoints {
    /// Whether there is a software breakpoint at `address`.
    pub(super) fn is_software(&self, address: u64) -> bool {
        self.software.contains(&address)
    }
}

/// Counts for all vCPUs but one.
#[derive(Debug)]
struct Others {
    than: u32,
    condition: Option<Rc<dyn Condition>>,
}

impl Condition for Others {
    fn holds(&self, cpu: &CpuState, board: &Board) -> bool {
        cpu.index != self.than && self.condition.as_ref().is_none_or(|condition| condition.holds(cpu, board))
    }
}

impl Target<'_> {
    /// What is waited for.
    ///
    /// To get past a breakpoint gdb takes it away, steps the vCPU, with the others standing still, and puts it back. Here
    /// the others do not stand still, so for them it stays.
    pub(super) fn probes(&mut self, step: Option<Step>, locked: bool) -> Probes {
        let addresses = self.breakpoints.software.union(&self.breakpoints.hardware);
        let mut breakpoints: Conditional =
            addresses.map(|address| (*address, self.packets.condition(*address))).collect();
        match &step {
            Some(step) if locked => {
                for (address, condition) in &self.breakpoints.free {
                    let others = || Others { than: step.cpu, condition: condition.clone() };
                    breakpoints.entry(*address).or_insert_with(|| Some(Rc::new(others())));
                }
            }
            _ => self.breakpoints.free.clone_from(&breakpoints),
        }
        Probes {
            breakpoints: breakpoints
                .into_iter()
                .map(|(address, condition)| Breakpoint { address, condition })
                .collect(),
            watchpoints: self.breakpoints.watchpoints.clone(),
            step,
        }
    }

    fn watchpoint(&self, address: u64, len: u64, kind: WatchKind) -> Option<Watchpoint> {
        let end = address.checked_add(len).filter(|_| (1..=WATCH_LIMIT).contains(&len))?;
        let watch = match kind {
            WatchKind::Write => Watch::Write,
            WatchKind::Read => Watch::Read,
            WatchKind::ReadWrite => Watch::Access,
        };
        let linear = Addressing::Linear { cpu: self.selected as u32 };
        let addressing = if self.packets.is_physical() { Addressing::Physical } else { linear };
        Some(Watchpoint { watch, addressing, range: address..end })
    }
}

/// Adds a breakpoint, if there is room; what a client asks for twice, it has once.
fn add(set: &mut BTreeSet<u64>, address: u64) -> bool {
    let has_room = set.len() < LIMIT;
    if has_room {
        set.insert(address);
    }
    has_room
}

impl gdbstub::target::ext::breakpoints::Breakpoints for Target<'_> {
    fn support_sw_breakpoint(&mut self) -> Option<SwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_breakpoint(&mut self) -> Option<HwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_watchpoint(&mut self) -> Option<HwWatchpointOps<'_, Self>> {
        Some(self)
    }
}

impl SwBreakpoint for Target<'_> {
    fn add_sw_breakpoint(&mut self, addr: u64, _kind: usize) -> TargetResult<bool, Self> {
        Ok(add(&mut self.breakpoints.software, addr))
    }

    fn remove_sw_breakpoint(&mut self, addr: u64, _kind: usize) -> TargetResult<bool, Self> {
        Ok(self.breakpoints.software.remove(&addr))
    }
}

impl HwBreakpoint for Target<'_> {
    fn add_hw_breakpoint(&mut self, addr: u64, _kind: usize) -> TargetResult<bool, Self> {
        Ok(add(&mut self.breakpoints.hardware, addr))
    }

    fn remove_hw_breakpoint(&mut self, addr: u64, _kind: usize) -> TargetResult<bool, Self> {
        Ok(self.breakpoints.hardware.remove(&addr))
    }
}

impl HwWatchpoint for Target<'_> {
    fn add_hw_watchpoint(&mut self, addr: u64, len: u64, kind: WatchKind) -> TargetResult<bool, Self> {
        let Some(watchpoint) = self.watchpoint(addr, len, kind) else { return Ok(false) };
        if self.breakpoints.watchpoints.contains(&watchpoint) {
            return Ok(true);
        }
        if self.breakpoints.watchpoints.len() >= LIMIT {
            return Ok(false);
        }
        self.breakpoints.watchpoints.push(watchpoint);
        Ok(true)
    }

    /// It may have been set while another vCPU was selected.
    fn remove_hw_watchpoint(&mut self, addr: u64, len: u64, kind: WatchKind) -> TargetResult<bool, Self> {
        let Some(wanted) = self.watchpoint(addr, len, kind) else { return Ok(false) };
        let is_physical = |watchpoint: &Watchpoint| watchpoint.addressing == Addressing::Physical;
        let watchpoints = &mut self.breakpoints.watchpoints;
        let place = watchpoints.iter().position(|watchpoint| {
            (watchpoint.watch, &watchpoint.range) == (wanted.watch, &wanted.range)
                && is_physical(watchpoint) == is_physical(&wanted)
        });
        Ok(place.map(|place| watchpoints.swap_remove(place)).is_some())
    }
}
