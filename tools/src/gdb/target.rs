//! The machine as gdbstub sees it: a process with a thread for each vCPU, and memory by the linear addresses of each.

use super::breakpoints::Breakpoints;
use super::debuggee::Host;
use super::features::Features;
use super::packets::Packets;
use super::registers::{INVALID, Pc, Values};
use super::resume::Motion;
use gdbstub::common::Tid;
use gdbstub::target::ext::base::BaseOps;
use gdbstub::target::ext::base::multithread::{MultiThreadBase, MultiThreadResumeOps};
use gdbstub::target::ext::base::single_register_access::SingleRegisterAccessOps;
use gdbstub::target::ext::breakpoints::BreakpointsOps;
use gdbstub::target::ext::target_description_xml_override::TargetDescriptionXmlOverrideOps;
use gdbstub::target::ext::thread_extra_info::{ThreadExtraInfo, ThreadExtraInfoOps};
use gdbstub::target::{self, TargetError, TargetResult};
use reprise_core::cpu::Activity;
use reprise_core::edit::{EDIT_LIMIT, Edit};
use reprise_core::memory::PAGE_SIZE;
use std::convert::Infallible;

/// EFAULT.
const FAULT: u8 = 14;

/// The machine.
pub(crate) struct Target<'h> {
    /// What is debugged.
    pub(super) host: &'h mut dyn Host,
    /// The registers that a vCPU has.
    pub(super) features: Features,
    /// The vCPU that the client looked at last.
    pub(super) selected: usize,
    pub(super) breakpoints: Breakpoints,
    /// What gdbstub lacks.
    pub(super) packets: Packets,
    /// How the machine is to move.
    pub(super) motion: Motion,
    /// Which vCPU old packets step: the one that `Hc` named, if it named one.
    pub(super) stepping: Option<usize>,
    /// Why the last request was refused.
    pub(super) refusal: Option<String>,
    /// What people are told as soon as the client takes text.
    pub(super) notes: Vec<String>,
}

/// The gdb thread of a vCPU.
pub(super) fn thread(cpu: usize) -> Tid {
    Tid::MIN.saturating_add(cpu)
}

impl<'h> Target<'h> {
    /// What `host` debugs.
    pub(super) fn new(host: &'h mut dyn Host) -> Self {
        let features = Features::new(host.machine().model());
        Self {
            packets: Packets::new(features.clone()),
            features,
            selected: 0,
            host,
            breakpoints: Breakpoints::default(),
            motion: Motion::default(),
            stepping: None,
            refusal: None,
            notes: Vec::new(),
        }
    }

    /// The vCPU of a gdb thread.
    pub(super) fn cpu(&self, tid: Tid) -> Option<usize> {
        Some(tid.get() - 1).filter(|cpu| *cpu < self.host.machine().cpus.len())
    }

    /// The vCPU of a gdb thread, which the client looks at from now on.
    pub(super) fn select(&mut self, tid: Tid) -> TargetResult<usize, Self> {
        let cpu = self.cpu(tid).ok_or(TargetError::Errno(INVALID))?;
        self.selected = cpu;
        Ok(cpu)
    }

    /// Reads memory; how many bytes there are.
    pub(super) fn read_memory(&self, cpu: usize, address: u64, bytes: &mut [u8]) -> usize {
        let view = self.host.machine().view(cpu);
        if self.packets.is_physical() {
            view.read_physical(address, bytes);
            return bytes.len();
        }
        view.read_linear(address, bytes)
    }

    /// Changes the machine. In a recording the first change begins a diversion, of which people are told.
    pub(super) fn edit(&mut self, edit: Edit) -> Result<(), String> {
        let was_diverted = self.is_diverted();
        self.host.edit(edit)?;
        if self.is_diverted() && !was_diverted {
            let back = "'monitor diversion drop' goes back to it";
            self.notes.push(format!("this is a diversion from the recording now, which stays as it is; {back}"));
        }
        Ok(())
    }

    fn is_diverted(&mut self) -> bool {
        self.host.timeline().is_some_and(|timeline| timeline.diverted_at().is_some())
    }

    /// Writes all of `bytes`, or nothing.
    pub(super) fn write_memory(&mut self, cpu: usize, address: u64, bytes: &[u8]) -> Result<(), String> {
        let edit = |(address, part): (u64, &[u8])| Edit::Memory { address, bytes: part.to_vec() };
        let edits: Vec<_> = self.pieces(cpu, address, bytes)?.into_iter().map(edit).collect();
        let board = &self.host.machine().board;
        edits.iter().try_for_each(|edit| edit.check(board)).map_err(|error| error.to_string())?;
        edits.into_iter().try_for_each(|edit| self.edit(edit))
    }

    /// The physical addresses of `bytes`, page by page.
    fn pieces<'b>(&self, cpu: usize, address: u64, bytes: &'b [u8]) -> Result<Vec<(u64, &'b [u8])>, String> {
        const { assert!(PAGE_SIZE as usize <= EDIT_LIMIT) };
        let (mut pieces, mut at, mut rest) = (Vec::new(), address, bytes);
        while !rest.is_empty() {
            let (part, after) = rest.split_at(rest.len().min((PAGE_SIZE - at % PAGE_SIZE) as usize));
            let physical = if self.packets.is_physical() { Some(at) } else { self.host.machine().translate(cpu, at) };
            pieces.push((physical.ok_or_else(|| format!("nothing is mapped at {at:#x}"))?, part));
            (at, rest) = (at.wrapping_add(part.len() as u64), after);
        }
        Ok(pieces)
    }
}

impl target::Target for Target<'_> {
    type Arch = Pc;
    type Error = Infallible;

    fn base_ops(&mut self) -> BaseOps<'_, Pc, Infallible> {
        BaseOps::MultiThread(self)
    }

    fn use_rle(&self) -> bool {
        // Answers are looked at on their way.
        false
    }

    // A machine makes no processes.

    fn use_fork_stop_reason(&self) -> bool {
        false
    }

    fn use_vfork_stop_reason(&self) -> bool {
        false
    }

    fn use_vforkdone_stop_reason(&self) -> bool {
        false
    }

    fn support_breakpoints(&mut self) -> Option<BreakpointsOps<'_, Self>> {
        Some(self)
    }

    fn support_target_description_xml_override(&mut self) -> Option<TargetDescriptionXmlOverrideOps<'_, Self>> {
        Some(self)
    }
}

impl MultiThreadBase for Target<'_> {
    fn read_registers(&mut self, regs: &mut Values, tid: Tid) -> TargetResult<(), Self> {
        let cpu = self.select(tid)?;
        *regs = self.all_registers(cpu);
        Ok(())
    }

    fn write_registers(&mut self, regs: &Values, tid: Tid) -> TargetResult<(), Self> {
        let cpu = self.select(tid)?;
        self.set_all_registers(cpu, regs)
    }

    fn support_single_register_access(&mut self) -> Option<SingleRegisterAccessOps<'_, Tid, Self>> {
        Some(self)
    }

    fn read_addrs(&mut self, start_addr: u64, data: &mut [u8], tid: Tid) -> TargetResult<usize, Self> {
        let cpu = self.select(tid)?;
        match self.read_memory(cpu, start_addr, data) {
            0 if !data.is_empty() => Err(TargetError::Errno(FAULT)),
            count => Ok(count),
        }
    }

    fn write_addrs(&mut self, start_addr: u64, data: &[u8], tid: Tid) -> TargetResult<(), Self> {
        let cpu = self.select(tid)?;
        self.write_memory(cpu, start_addr, data).or_else(|error| self.refuse(&error))
    }

    fn list_active_threads(&mut self, thread_is_active: &mut dyn FnMut(Tid)) -> Result<(), Infallible> {
        (0..self.host.machine().cpus.len()).for_each(|cpu| thread_is_active(thread(cpu)));
        Ok(())
    }

    fn support_resume(&mut self) -> Option<MultiThreadResumeOps<'_, Self>> {
        Some(self)
    }

    fn support_thread_extra_info(&mut self) -> Option<ThreadExtraInfoOps<'_, Self>> {
        Some(self)
    }
}

impl ThreadExtraInfo for Target<'_> {
    fn thread_extra_info(&self, tid: Tid, buf: &mut [u8]) -> Result<usize, Infallible> {
        let Some(cpu) = self.cpu(tid) else { return Ok(0) };
        let state = match self.host.machine().cpus[cpu].activity {
            Activity::Running => "running",
            Activity::Halted => "halted",
            Activity::WaitForSipi => "waits to be started",
            Activity::Shutdown => "shut down",
        };
        let text = format!("CPU#{cpu} [{state}]");
        let count = text.len().min(buf.len());
        buf[..count].copy_from_slice(&text.as_bytes()[..count]);
        Ok(count)
    }
}
