//! The interpreter: complete, portable, and the oracle that other engines are compared with.
//!
//! Instructions are decoded once into blocks of [`op::Op`]s, each with the function that executes it. The run loop finds
//! the block at RIP, executes its ops one by one while the budget lasts, and looks around at instruction boundaries
//! whenever something asked it to ([`exec::Exec::stop`]). Nothing guest-visible depends on where blocks begin or end.
//!
//! | module | what |
//! | --- | --- |
//! | [`exec`] | a vCPU at work: what handlers use |
//! | [`memory`], [`tlb`], [`paging`], [`page_tables`] | loads and stores, cached translations, page-table walks |
//! | [`blocks`], [`decode`], [`op`] | decoded instructions |
//! | [`translator`] | what may run code natively in the interpreter's place |
//! | [`probing`] | breakpoints and watchpoints of a debugger |
//! | [`system`] | exceptions, interrupts, segments, control registers, privilege |
//! | the others | instructions by family, under the names that the tests use too |

mod blocks;
mod decode;
mod exec;
mod families;
mod memory;
mod op;
mod page_tables;
mod paging;
mod probing;
mod system;
mod tlb;
mod translator;
mod word;

#[cfg(test)]
mod coherence;
#[cfg(test)]
mod tests;

pub use exec::Exec;
pub(crate) use page_tables::translate;
pub(crate) use paging::PHYSICAL_BITS;
pub use tlb::table;
pub use translator::{Rest, Translator};

use crate::board::Board;
use crate::cpu::{Activity, CpuState, Exception, Flags, Model, Shadow, seg};
use crate::engine::{Engine, Exit, Ran};
use crate::memory::{PAGE_SIZE, PageWatch};
use blocks::{BLOCK_LIMIT, Blocks, FetchKey, Place, Span};
use exec::Outcome;
use op::Op;
use paging::Access;
use tlb::Tlb;
use translator::Nothing;

/// What is at RIP.
enum Fetched {
    /// Decoded instructions, at least one.
    Block(Span),
    /// The one instruction there could not be cached and was executed.
    Executed,
    /// The fetch or the instruction faulted, and the exception was delivered.
    Faulted,
}

/// The interpreter.
pub struct Interpreter {
    model: &'static Model,
    tlb: Tlb,
    blocks: Blocks,
    code_writes: Vec<(u64, u32)>,
    /// A flush is due: state was changed from outside.
    flush: bool,
    perturbed: bool,
}

impl Interpreter {
    /// An interpreter for CPUs of `model`.
    pub fn new(model: &'static Model) -> Self {
        Self { model, tlb: Tlb::new(), blocks: Blocks::new(), code_writes: Vec::new(), flush: true, perturbed: false }
    }

    fn prepare(&mut self, native: &mut impl Translator, board: &mut Board) {
        let flush = std::mem::take(&mut self.flush);
        if flush {
            self.tlb.flush(&mut board.ram);
        }
        if flush || (self.perturbed && self.tlb.maybe_flush(&mut board.ram)) {
            native.flush();
            self.blocks.flush();
        }
        if let Some(changes) = board.lookout.take_changes() {
            self.tlb.look_out(&changes, board);
        }
    }

    /// As [`Engine::run`], with a companion that runs natively what it can. It must be the same one in every call.
    pub fn run_with(
        &mut self,
        native: &mut impl Translator,
        cpu: &mut CpuState,
        board: &mut Board,
        budget: u64,
    ) -> Ran {
        self.prepare(native, board);
        board.take_leave();
        let Self { tlb, blocks, code_writes, model, .. } = self;
        let mut exec = Exec::new(cpu, board, tlb, code_writes, model, budget);
        let exit = exec.run(blocks, native);
        exec.finish_clock();
        Ran { retired: exec.retired(), exit }
    }
}

impl Engine for Interpreter {
    fn run(&mut self, cpu: &mut CpuState, board: &mut Board, budget: u64) -> Ran {
        self.run_with(&mut Nothing, cpu, board, budget)
    }

    fn flush(&mut self) {
        self.flush = true;
    }

    fn perturb_caches(&mut self, seed: u64) {
        self.tlb.perturb(seed);
        self.perturbed = true;
    }
}

impl Exec<'_> {
    fn run(&mut self, blocks: &mut Blocks, native: &mut impl Translator) -> Exit {
        loop {
            self.budget += std::mem::take(&mut self.held);
            self.settle_writes();
            self.drop_written_code(blocks, native);
            if let Some(exit) = self.exit {
                return exit;
            }
            if self.ends_at_access() {
                return Exit::Probe;
            }
            if self.board.take_leave() {
                return Exit::Leave;
            }
            self.tlb.refresh_writes(&mut self.board.ram);
            self.finish_clock();
            self.budget += std::mem::take(&mut self.held);
            if self.budget == 0 {
                return Exit::Budget;
            }
            if self.take_signals() || !self.code_writes.is_empty() || self.board.leave_requested() {
                continue;
            }
            self.budget += std::mem::take(&mut self.held);
            if self.cpu.activity != Activity::Running {
                return Exit::Idle;
            }
            let breaks = self.board.lookout.has_breakpoints();
            if breaks && self.ends_at_breakpoint() {
                return Exit::Probe;
            }
            self.mind_access();
            if self.needs_care() {
                self.step_with_care(blocks, native);
            } else if breaks {
                self.run_to_breakpoint(blocks, native);
            } else {
                self.run_blocks(blocks, native);
            }
        }
    }

    /// Drops the blocks that were decoded from what was written since.
    fn drop_written_code(&mut self, blocks: &mut Blocks, native: &mut impl Translator) {
        if self.code_writes.is_empty() {
            return;
        }
        for (offset, len) in std::mem::take(self.code_writes) {
            let translated = native.written(self, offset, len);
            if !blocks.written(offset, len) && !translated {
                self.board.ram.unwatch(offset, PageWatch::Code);
            }
        }
    }

    /// Executes blocks until a look around is due.
    fn run_blocks(&mut self, blocks: &mut Blocks, native: &mut impl Translator) {
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
            if let Fetched::Block(block) = self.block(blocks, native) {
                let ops = blocks.ops(block);
                if self.run_ops(&ops[..ops.len().min(limit)]).is_err() {
                    self.fault();
                }
            }
        }
    }

    #[inline(always)]
    fn run_ops(&mut self, ops: &[Op]) -> Outcome {
        for op in ops {
            if self.budget == 0 {
                break;
            }
            self.budget -= 1;
            let next = self.cpu.regs.rip().wrapping_add(u64::from(op.len));
            self.cpu.regs.set_rip(next);
            if let Err(trap) = (op.run)(self, op) {
                // Handlers that fault have not moved RIP.
                self.cpu.regs.set_rip(next.wrapping_sub(u64::from(op.len)));
                return Err(trap);
            }
        }
        Ok(())
    }

    /// Delivers the exception that an instruction or a fetch raised.
    fn fault(&mut self) {
        self.stop();
        // Watched data will be accessed again.
        self.cpu.pending_debug = 0;
        if self.board.lookout.has_met() {
            self.board.lookout.forget_reads();
        }
        let exception = self.exception;
        self.deliver_exception(exception);
    }

    /// The offset in RAM of the instruction at RIP; `None` if it cannot be fetched from RAM as any other, which only the
    /// interpreter looks into.
    pub fn code_place(&mut self) -> Option<u64> {
        if self.is_near_limit() {
            return None;
        }
        self.code_place_at(self.code_linear(self.cpu.regs.rip()))
    }

    /// As [`code_place`](Self::code_place), of what lies at a linear address: the rest of the instruction at RIP, perhaps.
    pub fn code_place_at(&mut self, linear: u64) -> Option<u64> {
        if self.check_fetch(linear).is_err() {
            return None;
        }
        let privilege = self.fetch_privilege();
        if let Some(offset) = self.tlb.exec(linear, self.context(privilege).0) {
            return Some(offset);
        }
        let physical = self.physical(linear, Access::Fetch, privilege).ok()?;
        self.board.ram_offset(physical).filter(|_| self.code_writes.is_empty())
    }

    /// Asks to hear of writes to the page at an offset in RAM, from which code was translated.
    pub fn watch_code(&mut self, offset: u64) {
        self.board.ram.watch(offset, PageWatch::Code);
        self.tlb.refresh_writes(&mut self.board.ram);
    }

    /// The block at RIP.
    #[inline(always)]
    fn block(&mut self, blocks: &mut Blocks, native: &mut impl Translator) -> Fetched {
        let linear = self.code_linear(self.cpu.regs.rip());
        let key = self.fetch_key();
        if let Some(block) = blocks.jump(linear, key)
            && !self.is_near_limit()
        {
            return Fetched::Block(block);
        }
        self.find_block(blocks, native, linear, key)
    }

    #[inline(always)]
    fn fetch_key(&self) -> FetchKey {
        FetchKey { mode: self.fetch_mode, epoch: self.fetch_epoch() }
    }

    #[cold]
    #[inline(never)]
    fn find_block(&mut self, blocks: &mut Blocks, native: &mut impl Translator, linear: u64, key: FetchKey) -> Fetched {
        let fetched = self.fetch_block(blocks, native, linear, key);
        self.drop_written_code(blocks, native);
        match fetched {
            Ok(fetched) => fetched,
            Err(exec::Trap) => self.fetch_fault(),
        }
    }

    /// A fetch that faults counts as one attempt, so that a guest that only faults still moves time.
    fn fetch_fault(&mut self) -> Fetched {
        self.allow_one();
        self.budget -= 1;
        self.fault();
        Fetched::Faulted
    }

    fn fetch_block(
        &mut self,
        blocks: &mut Blocks,
        native: &mut impl Translator,
        linear: u64,
        key: FetchKey,
    ) -> Outcome<Fetched> {
        self.check_fetch(linear)?;
        if self.is_near_limit() {
            return self.run_uncached(linear);
        }
        let (id, _) = self.context(self.fetch_privilege());
        let physical = match self.tlb.exec(linear, id) {
            Some(offset) => Some(offset),
            None => {
                let physical = self.physical(linear, Access::Fetch, self.fetch_privilege())?;
                self.drop_written_code(blocks, native);
                self.board.ram_offset(physical)
            }
        };
        let Some(offset) = physical else { return self.run_uncached(linear) };
        let size_code = (self.bitness() >> 5) as u16;
        if let Some(block) = blocks.find(Place { linear, key, offset, size_code }) {
            return Ok(Fetched::Block(block));
        }
        let (ops, bytes) = self.decode_block(offset);
        if ops.is_empty() {
            return self.run_uncached(linear);
        }
        let place = Place { linear, key, offset, size_code };
        let block = blocks.insert(place, &ops, bytes, &mut self.board.ram);
        self.tlb.refresh_writes(&mut self.board.ram);
        Ok(Fetched::Block(block))
    }

    /// Executes the instruction at RIP without the cache: it crosses a page, or lies in no RAM or where its segment ends.
    fn run_uncached(&mut self, linear: u64) -> Outcome<Fetched> {
        let op = self.decode_uncached(linear)?;
        self.check_fetch_end(&op)?;
        // Nobody watches its bytes: it is fetched again for each iteration of a string instruction, which may write them.
        self.allow_one();
        self.held += self.budget - 1;
        self.budget = 1;
        if self.run_ops(&[op]).is_ok() {
            return Ok(Fetched::Executed);
        }
        self.fault();
        Ok(Fetched::Faulted)
    }

    /// Whether the next instruction needs more than its handler: single step, breakpoints, interrupt shadow.
    fn needs_care(&self) -> bool {
        let cpu = &*self.cpu;
        cpu.flags.has(Flags::TF | Flags::RF)
            || cpu.shadow != Shadow::None
            || cpu.pending_debug != 0
            || self.watches_code()
            || self.watches_data()
    }

    /// Executes one instruction with all that may happen around it.
    fn step_with_care(&mut self, blocks: &mut Blocks, native: &mut impl Translator) {
        if self.code_breakpoint() {
            return;
        }
        self.before_step();
        let executed = match self.block(blocks, native) {
            Fetched::Block(block) => {
                self.allow_one();
                let result = self.run_ops(&blocks.ops(block)[..1]);
                if result.is_err() {
                    self.fault();
                }
                result.is_ok()
            }
            Fetched::Executed => true,
            Fetched::Faulted => false,
        };
        if executed {
            self.after_step();
        }
        self.stop();
    }

    /// Whether a block at RIP could reach beyond the limit of the code segment: it lies in one page.
    #[inline(always)]
    fn is_near_limit(&self) -> bool {
        !self.is_64bit && self.cpu.regs.rip() + PAGE_SIZE > u64::from(self.cpu.segs[seg::CS].limit)
    }

    /// Raises #GP for an instruction that goes on beyond the limit of the code segment.
    fn check_fetch_end(&mut self, op: &Op) -> Outcome {
        let last = self.cpu.regs.rip().wrapping_add(u64::from(op.len.max(1)) - 1);
        let inside = self.is_64bit || last <= u64::from(self.cpu.segs[seg::CS].limit);
        if inside { Ok(()) } else { self.raise(Exception::gp(0)) }
    }

    /// Raises #GP for a fetch outside the code segment or the canonical address space.
    fn check_fetch(&mut self, linear: u64) -> Outcome {
        let rip = self.cpu.regs.rip();
        let inside =
            if self.is_64bit { memory::is_canonical(linear) } else { rip <= u64::from(self.cpu.segs[seg::CS].limit) };
        if inside { Ok(()) } else { self.raise(Exception::gp(0)) }
    }
}
