//! One run of the interpreter on one vCPU: what handlers work with.

use super::op::{Op, flag};
use super::paging::{self, Privilege};
use super::tlb::table::Table;
use super::tlb::{ContextId, ContextKey, Tlb};
use crate::board::Board;
use crate::clock::Tick;
use crate::cpu::{CpuState, Exception, Flags, Model, Segment, cr0, seg};
use crate::engine::Exit;

/// The instruction raised the exception that [`Exec::exception`] holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trap;

/// The result of an instruction or a part of one.
pub(crate) type Outcome<T = ()> = Result<T, Trap>;

/// A vCPU at work.
pub struct Exec<'a> {
    /// The architectural state.
    pub cpu: &'a mut CpuState,
    /// Everything around it.
    pub board: &'a mut Board,
    /// Cached translations.
    pub(crate) tlb: &'a mut Tlb,
    /// Which features exist.
    pub model: &'static Model,
    /// Writes to decoded code that the block cache has not heard of: offset in RAM and length.
    pub(crate) code_writes: &'a mut Vec<(u64, u32)>,
    /// Instructions that may still be retired before the next look around.
    pub budget: u64,
    /// Instructions put aside by [`stop`](Self::stop).
    pub(crate) held: u64,
    /// The exception that goes with [`Trap`].
    pub(crate) exception: Exception,
    /// The instruction is a single step, and will trap when it is done.
    pub(crate) single_step: bool,
    /// Why the run ends, once it does.
    pub(crate) exit: Option<Exit>,
    /// Instructions retired before the one at whose breakpoint the run did not end.
    pub(super) passed: Option<u64>,
    /// Instructions retired when something watched was accessed for one that had not begun.
    pub(super) met_ahead: Option<u64>,
    /// What is being accessed is accessed for an instruction that has not begun.
    pub(super) ahead: bool,
    /// The tick at which `budget` and `held` are all that was given.
    start: Tick,
    given: u64,
    /// 64-bit code: segment bases of ES, CS, SS and DS are zero, and there are no limits.
    pub(crate) is_64bit: bool,
    /// The context of ordinary data accesses.
    pub(crate) data: ContextId,
    /// The context of fetches, and 16-, 32- or 64-bit decoding: what a block is looked for by, beside its address.
    pub(crate) fetch_mode: u32,
    data_privilege: Privilege,
    contexts: [(ContextId, ContextKey); 3],
    /// Whether `contexts` were made to check alignment at privilege level 3.
    aligned: bool,
}

impl<'a> Exec<'a> {
    pub(crate) fn new(
        cpu: &'a mut CpuState,
        board: &'a mut Board,
        tlb: &'a mut Tlb,
        code_writes: &'a mut Vec<(u64, u32)>,
        model: &'static Model,
        budget: u64,
    ) -> Self {
        let start = board.now;
        let none = (0, ContextKey { root: [0; 4], mode: 0, apic: 0 });
        let mut exec = Self {
            cpu,
            board,
            tlb,
            model,
            code_writes,
            budget,
            held: 0,
            exception: Exception::ud(),
            single_step: false,
            exit: None,
            passed: None,
            met_ahead: None,
            ahead: false,
            start,
            given: budget,
            is_64bit: false,
            data: 0,
            fetch_mode: 0,
            data_privilege: Privilege::Supervisor,
            contexts: [none; 3],
            aligned: false,
        };
        exec.mode_changed();
        exec
    }

    /// Raises an exception: `return x.raise(..)`.
    #[cold]
    pub(crate) fn raise<T>(&mut self, exception: Exception) -> Outcome<T> {
        self.exception = exception;
        Err(Trap)
    }

    /// Asks for a look around after this instruction: something happened that a block does not watch for.
    #[inline]
    pub(crate) fn stop(&mut self) {
        self.held += self.budget;
        self.budget = 0;
    }

    /// Lets the instruction that was fetched be executed though its fetch asked for a look around, which comes after it then.
    pub(crate) fn allow_one(&mut self) {
        if self.budget == 0 {
            self.held -= 1;
            self.budget = 1;
        }
    }

    /// Whether a look around was asked for or the budget is used up; string instructions ask after each iteration.
    #[inline(always)]
    pub fn must_stop(&self) -> bool {
        self.budget == 0
    }

    /// Ends the run after this instruction.
    pub(crate) fn leave(&mut self, exit: Exit) {
        self.exit = Some(exit);
        self.stop();
    }

    /// Instructions retired so far, the current one included.
    #[inline(always)]
    pub(crate) fn retired(&self) -> u64 {
        self.given - self.budget - self.held
    }

    /// Retires `count` further iterations of a string instruction; no more than the budget.
    #[inline(always)]
    pub(crate) fn retire_iterations(&mut self, count: u64) {
        debug_assert!(count <= self.budget);
        self.budget -= count;
    }

    /// The tick at which the current instruction executes: that of its start.
    #[inline]
    pub(crate) fn now(&self) -> Tick {
        self.start + self.retired().saturating_sub(1)
    }

    /// Brings the board's clock up to the current instruction, before anything that a device can see.
    #[inline]
    pub(crate) fn sync_clock(&mut self) {
        self.board.now = self.now();
    }

    /// Brings the board's clock to the end of the last instruction.
    pub(crate) fn finish_clock(&mut self) {
        self.board.now = self.start + self.retired();
    }

    /// This vCPU's index.
    #[inline]
    pub(crate) fn index(&self) -> usize {
        self.cpu.index as usize
    }

    /// To be called whenever CR0, CR3, CR4, EFER, DR7 or IA32_APIC_BASE changed, or everything did: all that was derived from them is
    /// derived again, and the next instruction is decoded anew.
    pub(crate) fn mode_changed(&mut self) {
        let watching = self.watches_data();
        let apic = self.apic_over_ram();
        self.aligned = self.checks_alignment();
        let key = |privilege| {
            let slow = watching || (privilege == Privilege::User && self.aligned);
            paging::context_key(self.cpu, privilege, slow, apic)
        };
        let keys = [Privilege::User, Privilege::Supervisor, Privilege::SupervisorAc].map(key);
        let ids = self.tlb.contexts(&keys, &mut self.board.ram);
        self.contexts = [0, 1, 2].map(|at| (ids[at], keys[at]));
        self.privilege_changed();
    }

    /// As [`mode_changed`](Self::mode_changed), when only CS, CPL or RFLAGS.AC changed.
    #[inline]
    pub(crate) fn privilege_changed(&mut self) {
        if self.checks_alignment() != self.aligned {
            return self.mode_changed();
        }
        self.is_64bit = self.cpu.is_64bit();
        self.access_changed();
        self.stop();
    }

    /// As [`privilege_changed`](Self::privilege_changed), when only RFLAGS.AC changed at CPL 0: fetches stay as they are.
    #[inline]
    pub(crate) fn access_changed(&mut self) {
        self.data_privilege = paging::data_privilege(self.cpu);
        self.data = self.contexts[self.data_privilege as usize].0;
        let (fetch, _) = self.context(self.fetch_privilege());
        self.fetch_mode = u32::from(fetch) << 8 | self.bitness();
    }

    /// The context number and key for a privilege.
    #[inline]
    pub(crate) fn context(&self, privilege: Privilege) -> (ContextId, ContextKey) {
        self.contexts[privilege as usize]
    }

    /// The table of ordinary data accesses at the current privilege. Instructions are fetched in the same context but for
    /// RFLAGS.AC, so what is known about jumps belongs there, too.
    pub fn table(&mut self) -> &mut Table {
        self.tlb.table(self.data)
    }

    /// The table of ordinary data accesses once RFLAGS.AC has its other value, at privilege level 0.
    pub fn other_table(&mut self) -> &mut Table {
        let other = match self.data_privilege {
            Privilege::SupervisorAc => Privilege::Supervisor,
            Privilege::Supervisor => Privilege::SupervisorAc,
            Privilege::User => Privilege::User,
        };
        self.tlb.table(self.context(other).0)
    }

    /// Gives RFLAGS.AC its other value, at privilege level 0.
    pub fn toggle_access(&mut self) {
        let on = self.cpu.flags.has(Flags::AC);
        self.cpu.flags.put(Flags::AC, !on);
        self.access_changed();
    }

    /// Grows whenever a translation is dropped: what native code found out about others stays true until then.
    pub fn dropped_translations(&self) -> u64 {
        self.tlb.drops()
    }

    /// The tables of all contexts.
    pub fn tables(&mut self) -> impl Iterator<Item = &mut Table> {
        self.tlb.tables()
    }

    /// Changes whenever what instruction fetches find at a linear address may have changed.
    #[inline(always)]
    pub(crate) fn fetch_epoch(&self) -> u64 {
        self.tlb.exec_epoch((self.fetch_mode >> 8) as ContextId)
    }

    /// The privilege of ordinary data accesses.
    #[inline]
    pub(crate) fn data_privilege(&self) -> Privilege {
        self.data_privilege
    }

    /// The privilege of instruction fetches.
    #[inline]
    pub(crate) fn fetch_privilege(&self) -> Privilege {
        if self.data_privilege == Privilege::User { Privilege::User } else { Privilege::Supervisor }
    }

    /// Whether misaligned data accesses raise #AC.
    pub(crate) fn checks_alignment(&self) -> bool {
        self.cpu.cr0 & cr0::AM != 0 && self.cpu.flags.has(Flags::AC) && self.cpu.cpl() == 3
    }

    /// Whether a debug register watches data.
    pub(crate) fn watches_data(&self) -> bool {
        (0..4).any(|n| self.cpu.dr7 >> (2 * n) & 3 != 0 && self.cpu.dr7 >> (16 + 4 * n) & 1 != 0)
    }

    /// 16, 32 or 64: how instructions are decoded.
    #[inline]
    pub fn bitness(&self) -> u32 {
        match (self.is_64bit, self.cpu.segs[seg::CS].is_big()) {
            (true, _) => 64,
            (false, true) => 32,
            (false, false) => 16,
        }
    }

    /// The linear address of `offset` in CS.
    #[inline]
    pub(crate) fn code_linear(&self, offset: u64) -> u64 {
        if self.is_64bit { offset } else { (self.cpu.segs[seg::CS].base.wrapping_add(offset)) & 0xffff_ffff }
    }

    /// Offset of the memory operand in its segment.
    #[inline(always)]
    pub(crate) fn offset(&self, op: &Op) -> u64 {
        self.wrap(self.sum(op), op.address_size)
    }

    /// Base, scaled index and displacement of the memory operand.
    #[inline(always)]
    fn sum(&self, op: &Op) -> u64 {
        let regs = &self.cpu.regs;
        regs.get(op.base).wrapping_add(regs.get(op.index) << (op.scale & 3)).wrapping_add(op.disp as i64 as u64)
    }

    /// Cuts an offset to `size` bytes.
    #[inline(always)]
    pub(crate) fn wrap(&self, offset: u64, size: u8) -> u64 {
        match size {
            8 => offset,
            4 => offset & 0xffff_ffff,
            _ => offset & 0xffff,
        }
    }

    /// Linear address of `size` bytes at `offset` of segment register `segment`, checked as for a read or a write.
    #[inline(always)]
    pub(crate) fn linear(&mut self, segment: u8, offset: u64, size: usize, write: bool) -> Outcome<u64> {
        if self.is_64bit {
            let segment = usize::from(segment);
            let base = if segment >= seg::FS { self.cpu.segs[segment % 6].base } else { 0 };
            return Ok(base.wrapping_add(offset));
        }
        self.linear_with_limit(segment, offset, size, write)
    }

    /// Linear address of the memory operand of `size` bytes.
    #[inline(always)]
    pub(crate) fn ea(&mut self, op: &Op, size: usize, write: bool) -> Outcome<u64> {
        if op.flags & flag::FLAT != 0 {
            return Ok(self.sum(op));
        }
        self.ea_in_segment(op, size, write)
    }

    #[inline(never)]
    fn ea_in_segment(&mut self, op: &Op, size: usize, write: bool) -> Outcome<u64> {
        let offset = self.offset(op);
        self.linear(op.seg, offset, size, write)
    }

    /// Limit and type checks outside 64-bit mode (SDM vol. 3, 5.3 Limit Checking and 5.4 Type Checking).
    fn linear_with_limit(&mut self, segment: u8, offset: u64, size: usize, write: bool) -> Outcome<u64> {
        let register = self.cpu.segs[usize::from(segment) % 6];
        let last = offset.wrapping_add(size as u64 - 1);
        if self.segment_admits(&register, offset, last, write) {
            return Ok(register.base.wrapping_add(offset) & 0xffff_ffff);
        }
        let fault = if usize::from(segment) == seg::SS {
            Exception::with_code(crate::cpu::Vector::StackFault, 0)
        } else {
            Exception::gp(0)
        };
        self.raise(fault)
    }

    /// Whether a segment admits an access to `offset` to `last`.
    pub(crate) fn segment_admits(&self, segment: &Segment, offset: u64, last: u64, write: bool) -> bool {
        let code = segment.attributes & Segment::CODE != 0;
        let rw = segment.attributes & Segment::RW != 0;
        let expand_down = !code && segment.attributes & Segment::DC != 0;
        let limit = u64::from(segment.limit);
        let inside = if expand_down {
            let top = if segment.is_big() { 0xffff_ffff } else { 0xffff };
            offset > limit && last <= top && last >= offset
        } else {
            last <= limit && last >= offset
        };
        let typed = if write { !code && rw } else { !code || rw };
        inside && (typed || !self.cpu.is_protected()) && segment.is_present()
    }

    /// Width of the stack pointer in bytes.
    #[inline(always)]
    pub(crate) fn stack_size(&self) -> u8 {
        match (self.is_64bit, self.cpu.segs[seg::SS].is_big()) {
            (true, _) => 8,
            (false, true) => 4,
            (false, false) => 2,
        }
    }
}
