//! What becomes of a client's requests, on a machine that stands still.

use super::debuggee::{Debuggee, Host, Wake};
use super::resume::Motion;
use super::target::{Target, thread};
use super::viewer::Viewer;
use gdbstub::common::Signal;
use gdbstub::stub::MultiThreadStopReason;
use gdbstub::target::ext::base::multithread::{MultiThreadBase, MultiThreadResume, MultiThreadSingleStep};
use gdbstub::target::ext::base::reverse_exec::ReplayLogPosition;
use gdbstub::target::ext::breakpoints::{HwBreakpoint, HwWatchpoint, SwBreakpoint, WatchKind};
use reprise_core::board::Board;
use reprise_core::cpu::{Activity, Model};
use reprise_core::edit::Edit;
use reprise_core::interp::Interpreter;
use reprise_core::machine::Machine;
use reprise_core::probe::{Accessor, Addressing, Cause, Hit, Probes, Step, Watch, Watchpoint};
use reprise_core::{clock::Tick, output::Output};
use reprise_replay::timeline::{Direction, Stop, Timeline, Watcher};
use std::os::fd::OwnedFd;

/// A machine of two vCPUs without a kernel.
struct Still(Machine);

impl Still {
    fn new() -> Self {
        let model = Model::find(Model::DEFAULT).unwrap();
        Self(Machine::new(Board::new(1 << 20, 2).unwrap(), model, Box::new(Interpreter::new(model))))
    }
}

impl Debuggee for Still {
    fn machine(&self) -> &Machine {
        &self.0
    }

    fn timeline(&mut self) -> Option<&mut Timeline> {
        None
    }

    fn run(&mut self, _probes: &Probes, _direction: Direction, _watcher: &mut dyn Watcher) -> Stop {
        Stop::Reached
    }

    fn edit(&mut self, edit: Edit) -> Result<(), String> {
        self.0.edit(&edit).map_err(|error| error.to_string())
    }
}

impl Host for Still {
    fn watch(&mut self, _bells: Vec<OwnedFd>) {}

    fn wait(&mut self) -> Wake {
        Wake::Ended
    }

    fn attach(&mut self, _attached: bool, _running: bool) {}

    fn viewer(&self) -> Option<Viewer> {
        None
    }

    fn exit_status(&self) -> Option<u8> {
        None
    }
}

struct Nobody;

impl Watcher for Nobody {
    fn pass(&mut self, _now: Tick) -> bool {
        true
    }

    fn output(&mut self, _now: Tick, _output: Output) {}
}

fn step(cpu: u32) -> Option<Step> {
    Some(Step { cpu, within: 0..0 })
}

#[test]
fn a_vcpu_steps_over_a_breakpoint_that_stays_for_the_others() {
    let mut host = Still::new();
    let mut target = Target::new(&mut host);
    assert!(target.add_sw_breakpoint(0x10, 1).is_ok_and(|done| done));
    assert!(target.add_hw_breakpoint(0x20, 1).is_ok_and(|done| done));
    assert_eq!(target.probes(None, false).breakpoints.len(), 2);
    assert!(target.remove_sw_breakpoint(0x10, 1).is_ok_and(|done| done));
    let probes = target.probes(step(1), true);
    assert_eq!(probes.breakpoints.iter().map(|breakpoint| breakpoint.address).collect::<Vec<_>>(), [0x10, 0x20]);
    let condition = probes.breakpoints[0].condition.as_ref().expect("it is for the others only");
    let machine = target.host.machine();
    assert_eq!([0, 1].map(|cpu| condition.holds(&machine.cpus[cpu], &machine.board)), [true, false]);
    assert!(probes.breakpoints[1].condition.is_none());
    assert_eq!(target.probes(step(1), false).breakpoints.len(), 1, "the client lets the others run");
}

#[test]
fn what_is_asked_for_twice_is_there_once_and_what_is_not_there_cannot_go() {
    let mut host = Still::new();
    let mut target = Target::new(&mut host);
    for _ in 0..2 {
        assert!(target.add_sw_breakpoint(0x10, 1).is_ok_and(|done| done));
        assert!(target.add_hw_watchpoint(0x10, 4, WatchKind::Write).is_ok_and(|done| done));
    }
    let probes = target.probes(None, false);
    assert_eq!((probes.breakpoints.len(), probes.watchpoints.len()), (1, 1));
    for (address, len) in [(0x10, 0), (u64::MAX, 4), (0, u64::MAX)] {
        assert!(target.add_hw_watchpoint(address, len, WatchKind::Read).is_ok_and(|done| !done));
    }
    target.selected = 1;
    assert!(target.remove_hw_watchpoint(0x10, 4, WatchKind::Write).is_ok_and(|done| done), "whoever is selected");
    assert!(target.remove_hw_watchpoint(0x10, 4, WatchKind::Write).is_ok_and(|done| !done));
    assert!(target.remove_sw_breakpoint(0x10, 1).is_ok_and(|done| done));
    assert!(target.remove_sw_breakpoint(0x10, 1).is_ok_and(|done| !done));
}

#[test]
fn what_can_never_end_is_refused() {
    let mut host = Still::new();
    host.0.cpus[0].activity = Activity::Shutdown;
    host.0.cpus[1].activity = Activity::WaitForSipi;
    let mut target = Target::new(&mut host);
    for (cpu, reason) in [(0, "CPU#0 is shut down"), (1, "CPU#1 waits for another vCPU"), (8, "there is no thread 9")] {
        target.clear_resume_actions().unwrap();
        target.set_resume_action_step(thread(cpu), None).unwrap();
        let refused = target.perform(&mut Nobody).unwrap_err();
        assert!(refused.starts_with(reason), "{refused}");
    }
    target.motion = Motion::StepBack(0);
    assert!(target.perform(&mut Nobody).unwrap_err().contains("goes forward only"));
}

#[test]
fn of_several_hits_the_one_is_told_that_gdb_cannot_find_by_itself() {
    let mut host = Still::new();
    let mut target = Target::new(&mut host);
    target.add_sw_breakpoint(0x10, 1).unwrap_or_default();
    let hit = |cause| Hit { after: 5, before: 4, cause };
    let stop = |target: &mut Target<'_>, causes: &[Cause]| {
        target.reply(Ok(Stop::Hits(causes.iter().cloned().map(hit).collect()))).reason
    };
    let software = Cause::Breakpoint { cpu: 1, address: 0x10 };
    let hardware = Cause::Breakpoint { cpu: 0, address: 0x20 };
    let watchpoint = Watchpoint { watch: Watch::Access, addressing: Addressing::Physical, range: 0x100..0x108 };
    let watch = |by| Cause::Watchpoint { watchpoint: watchpoint.clone(), by, write: true, accessed: (0xfe, 8) };
    let watched = |cpu| MultiThreadStopReason::Watch { tid: thread(cpu), kind: WatchKind::ReadWrite, addr: 0x100 };
    assert_eq!(stop(&mut target, std::slice::from_ref(&software)), MultiThreadStopReason::SwBreak(thread(1)));
    assert_eq!(stop(&mut target, &[hardware]), MultiThreadStopReason::HwBreak(thread(0)));
    assert_eq!(stop(&mut target, &[software.clone(), watch(Accessor::Cpu(1))]), watched(1));
    let trap = MultiThreadStopReason::SignalWithThread { tid: thread(1), signal: Signal::SIGTRAP };
    assert_eq!(stop(&mut target, &[software, Cause::Step { cpu: 1 }]), trap);
}

#[test]
fn the_end_of_a_recording_is_the_end_of_history() {
    let mut host = Still::new();
    let mut target = Target::new(&mut host);
    let mut reason = |stop| target.reply(Ok(stop)).reason;
    let end = |pos| MultiThreadStopReason::ReplayLog { tid: Some(thread(0)), pos };
    assert_eq!(reason(Stop::Start), end(ReplayLogPosition::Begin));
    assert_eq!(reason(Stop::End("off".into())), end(ReplayLogPosition::End));
    assert_eq!(reason(Stop::Broken("it differs".into())), end(ReplayLogPosition::End));
}

#[test]
fn memory_is_written_whole_or_not_at_all() {
    let mut host = Still::new();
    let mut target = Target::new(&mut host);
    assert!(target.write_addrs(0xff8, &[1; 16], thread(0)).is_ok());
    let mut bytes = [0; 18];
    assert_eq!(target.read_memory(1, 0xff7, &mut bytes), 18);
    assert_eq!((bytes[0], bytes[1], bytes[16], bytes[17]), (0, 1, 1, 0));
    assert!(target.write_addrs(0xf_fff8, &[1; 16], thread(0)).is_err());
    assert_eq!(
        target.refusal.as_deref(),
        Some("no RAM answers at 0x0000000000100000, so nothing can be written there")
    );
}
