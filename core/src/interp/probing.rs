//! Probes of a debugger, as a vCPU at work meets them. None of this changes what it does, but for where the run ends.
//!
//! Breakpoints are looked at where the run loop looks around, after signals; what runs instructions in between comes back
//! before one at a breakpoint. What is watched has no translation in the TLB that would let an access pass unseen, so all
//! of them take the slow path.

use super::Fetched;
use super::blocks::{BLOCK_LIMIT, Blocks};
use super::exec::Exec;
use super::op::Op;
use super::paging::Access;
use super::translator::{Rest, Translator};
use crate::board::Looked;
use crate::probe::Cause;

impl Exec<'_> {
    /// Whether the run ends here since what is watched was accessed. What was met on the way to the next instruction, which
    /// has not begun, belongs to that one.
    #[inline(always)]
    pub(super) fn ends_at_access(&self) -> bool {
        self.board.lookout.has_met() && self.met_ahead.is_none_or(|at| self.retired() > at)
    }

    /// Lets only one instruction be executed if something was met on the way to it.
    #[inline(always)]
    pub(super) fn mind_access(&mut self) {
        if self.board.lookout.has_met() {
            self.execute_one();
        }
    }

    /// Lets one instruction be executed before the next look around.
    fn execute_one(&mut self) {
        self.held += self.budget.saturating_sub(1);
        self.budget = self.budget.min(1);
    }

    /// At an instruction boundary that nothing else has a claim to: whether the run ends here, at a breakpoint.
    pub(super) fn ends_at_breakpoint(&mut self) -> bool {
        let linear = self.code_linear(self.cpu.regs.rip());
        if !self.board.lookout.breaks_at(linear) {
            return false;
        }
        let hit = !self.board.lookout.skips(self.board.now) && self.breaks(linear);
        if hit {
            self.board.lookout.reach(Cause::Breakpoint { cpu: self.cpu.index, address: linear });
        } else {
            self.passed = Some(self.retired());
            self.execute_one();
        }
        hit
    }

    /// Whether a breakpoint at a linear address counts.
    fn breaks(&self, linear: u64) -> bool {
        let conditions = (0..).map_while(|number| self.board.lookout.condition(linear, number));
        conditions.into_iter().any(|condition| condition.is_none_or(|condition| condition.holds(self.cpu, self.board)))
    }

    /// Whether the instruction at RIP is at a breakpoint that was not looked at.
    fn is_before_breakpoint(&self) -> bool {
        self.passed != Some(self.retired()) && self.is_breakpoint(self.cpu.regs.rip())
    }

    /// Offsets of the breakpoints in the page of code at an instruction pointer, ascending.
    #[inline(always)]
    pub fn breakpoints_near(&self, rip: u64) -> &[u16] {
        if self.board.lookout.has_breakpoints() { self.breaks_near(rip) } else { &[] }
    }

    #[cold]
    fn breaks_near(&self, rip: u64) -> &[u16] {
        self.board.lookout.breaks_in(self.code_linear(rip))
    }

    /// Whether the instruction at an instruction pointer is at a breakpoint. Who runs native code leaves it to the
    /// interpreter, before it fetches it.
    #[inline(always)]
    pub fn is_breakpoint(&self, rip: u64) -> bool {
        self.board.lookout.has_breakpoints() && self.breaks_at(rip)
    }

    #[cold]
    fn breaks_at(&self, rip: u64) -> bool {
        self.board.lookout.breaks_at(self.code_linear(rip))
    }

    /// As [`run_blocks`](Self::run_blocks), and looks around before a breakpoint.
    pub(super) fn run_to_breakpoint(&mut self, blocks: &mut Blocks, native: &mut impl Translator) {
        while self.budget > 0 {
            let limit = match native.run(self) {
                Rest::Block => BLOCK_LIMIT,
                Rest::One => 1,
                Rest::Nothing => continue,
            };
            self.drop_written_code(blocks, native);
            if self.budget == 0 {
                return;
            }
            if self.is_before_breakpoint() {
                return self.stop();
            }
            if let Fetched::Block(block) = self.block(blocks, native) {
                let ops = blocks.ops(block);
                let count = self.before_next_breakpoint(&ops[..ops.len().min(limit)]);
                if self.run_ops(&ops[..count]).is_err() {
                    self.fault();
                }
            }
        }
    }

    /// How many of the instructions at RIP, at least one, can be executed one after the other before one is at a breakpoint.
    fn before_next_breakpoint(&self, ops: &[Op]) -> usize {
        let mut rip = self.cpu.regs.rip();
        if self.breakpoints_near(rip).is_empty() {
            return ops.len();
        }
        let next = |op: &Op| {
            rip = rip.wrapping_add(u64::from(op.len));
            self.is_breakpoint(rip)
        };
        ops.iter().position(next).map_or(ops.len(), |at| at + 1)
    }

    /// Which accesses to a page of RAM, translated for `access`, are looked at.
    #[inline(always)]
    pub(super) fn looked_at(&self, linear: u64, physical: u64, access: Access) -> Looked {
        if access == Access::Fetch || !self.board.lookout.has_watchpoints() {
            return Looked::default();
        }
        self.board.lookout.looked_at(linear, physical)
    }

    /// Whether such accesses to the page of a linear address are looked at each time.
    #[inline(always)]
    pub(super) fn looks_at(&self, linear: u64, write: bool) -> bool {
        self.board.lookout.has_watchpoints() && self.board.lookout.looks_at(linear, write)
    }

    /// Notes an access at a linear address.
    #[inline(always)]
    pub(super) fn note_linear(&mut self, linear: u64, size: usize, write: bool) {
        if self.board.lookout.has_watchpoints()
            && self.board.lookout.note_linear(self.cpu.index, linear, size as u64, write)
        {
            self.stop();
        }
    }

    /// Notes an access to RAM at a physical address. `ahead`, the next instruction has not begun.
    #[inline(always)]
    pub(super) fn note_physical(&mut self, physical: u64, size: usize, write: bool, ahead: bool) {
        if self.board.note_cpu_access(self.cpu.index, physical, size as u64, write) {
            if ahead {
                self.met_ahead = Some(self.retired());
            }
            self.stop();
        }
    }
}
