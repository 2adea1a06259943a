//! Why the machine stopped, in the words of the protocol.

use super::target::{Target, thread};
use gdbstub::common::Signal;
use gdbstub::stub::MultiThreadStopReason;
use gdbstub::target::ext::base::reverse_exec::ReplayLogPosition;
use gdbstub::target::ext::breakpoints::WatchKind;
use reprise_core::cpu::Activity;
use reprise_core::probe::{Accessor, Cause, Hit, Watch};
use reprise_replay::timeline::Stop;

/// What a stop is for the client.
pub(super) struct Reply {
    /// What gdb makes of it.
    pub(super) reason: MultiThreadStopReason<u64>,
    /// What people are told beside it.
    pub(super) note: Option<String>,
}

impl Target<'_> {
    /// The reply for a stop, or for a movement that was refused. The vCPU of which it is becomes the selected one.
    pub(super) fn reply(&mut self, stop: Result<Stop, String>) -> Reply {
        match stop {
            Ok(Stop::Hits(hits)) => plain(self.hit_reason(&hits)),
            Ok(Stop::Reached) => plain(self.signal(Signal::SIGTRAP)),
            Ok(Stop::Interrupted) => {
                self.selected = self.likely();
                plain(self.signal(Signal::SIGINT))
            }
            Ok(Stop::Start) => plain(self.end_of_history(ReplayLogPosition::Begin)),
            Ok(Stop::End(how)) => match self.host.exit_status() {
                Some(status) => plain(MultiThreadStopReason::Exited(status)),
                None => {
                    let note = Some(format!("the recorded run ended here: {how}"));
                    Reply { reason: self.end_of_history(ReplayLogPosition::End), note }
                }
            },
            Ok(Stop::Broken(why)) => Reply { reason: self.end_of_history(ReplayLogPosition::End), note: Some(why) },
            Err(why) => Reply { reason: self.signal(Signal::SIGTRAP), note: Some(why) },
        }
    }

    /// The vCPU that is of interest where nothing says which: the one whose turn it is, or the next one that runs at all.
    fn likely(&self) -> usize {
        let machine = self.host.machine();
        let (turn, cpus) = (machine.turn().0, machine.cpus.len());
        let is = |activity: Activity| {
            (turn..turn + cpus).map(|cpu| cpu % cpus).find(|cpu| machine.cpus[*cpu].activity == activity)
        };
        is(Activity::Running).or_else(|| is(Activity::Halted)).unwrap_or(turn)
    }

    fn signal(&self, signal: Signal) -> MultiThreadStopReason<u64> {
        MultiThreadStopReason::SignalWithThread { tid: thread(self.selected), signal }
    }

    fn end_of_history(&self, pos: ReplayLogPosition) -> MultiThreadStopReason<u64> {
        MultiThreadStopReason::ReplayLog { tid: Some(thread(self.selected)), pos }
    }

    /// Of several hits at one position the client is told one: gdb finds out about breakpoints there by itself.
    fn hit_reason(&mut self, hits: &[Hit]) -> MultiThreadStopReason<u64> {
        let rank = |hit: &&Hit| match hit.cause {
            Cause::Watchpoint { .. } => 0,
            Cause::Step { .. } => 1,
            Cause::Breakpoint { .. } => 2,
        };
        let Some(hit) = hits.iter().min_by_key(rank) else { return self.signal(Signal::SIGTRAP) };
        self.selected = cpu_of(&hit.cause).unwrap_or(self.selected);
        let tid = thread(self.selected);
        match &hit.cause {
            Cause::Step { .. } => self.signal(Signal::SIGTRAP),
            Cause::Breakpoint { address, .. } if self.breakpoints.is_software(*address) => {
                MultiThreadStopReason::SwBreak(tid)
            }
            Cause::Breakpoint { .. } => MultiThreadStopReason::HwBreak(tid),
            Cause::Watchpoint { watchpoint, accessed, .. } => {
                let kind = match watchpoint.watch {
                    Watch::Write => WatchKind::Write,
                    Watch::Read => WatchKind::Read,
                    Watch::Access => WatchKind::ReadWrite,
                };
                MultiThreadStopReason::Watch { tid, kind, addr: accessed.0.max(watchpoint.range.start) }
            }
        }
    }
}

fn plain(reason: MultiThreadStopReason<u64>) -> Reply {
    Reply { reason, note: None }
}

/// The vCPU that met it; a device is none.
fn cpu_of(cause: &Cause) -> Option<usize> {
    match cause {
        Cause::Breakpoint { cpu, .. } | Cause::Step { cpu } => Some(*cpu as usize),
        Cause::Watchpoint { by: Accessor::Cpu(cpu), .. } => Some(*cpu as usize),
        Cause::Watchpoint { by: Accessor::Device(_), .. } => None,
    }
}
