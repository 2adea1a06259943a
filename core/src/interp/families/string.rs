//! String instructions (SDM vol. 1, 7.3.9 String Instructions).
//!
//! Each iteration of a repeated one retires an instruction, and between iterations it can be interrupted: registers
//! show the progress, and RIP stays until the last. The first iteration is paid for by the run loop; this file pays for
//! the others. Forward moves and stores within a page go at once.

use crate::cpu::{Flags, reg, seg};
use crate::interp::exec::{Exec, Outcome};
use crate::interp::op::{Handler, Lowering, Op, flag};
use crate::interp::word::Integer;
use crate::memory::PAGE_SIZE;
use iced_x86::Mnemonic;

/// What one iteration says about the next.
#[derive(PartialEq)]
pub(super) enum Next {
    /// Go on while the count lasts.
    Continue,
    /// The condition of REPE or REPNE ended the repetition.
    Done,
}

/// One string operation on elements of a size.
trait StringOp {
    /// Executes `most` iterations or fewer, at least one; returns how many, and whether to go on.
    fn iterate<W: Integer>(x: &mut Exec<'_>, op: &Op, most: u64) -> Outcome<(u64, Next)>;
}

struct Move;
struct Compare;
struct Store;
struct Load;
struct Scan;

impl Exec<'_> {
    /// Repeats `iterate` as the prefix says. It executes at most so many iterations, and says how many it did. True
    /// comes back if the instruction is done, and false if it was interrupted and goes on later.
    #[inline(always)]
    pub(super) fn repeat(
        &mut self,
        op: &Op,
        mut iterate: impl FnMut(&mut Self, u64) -> Outcome<(u64, Next)>,
    ) -> Outcome<bool> {
        if op.flags & (flag::REP | flag::REPNE) == 0 {
            return iterate(self, 1).map(|_| true);
        }
        loop {
            let count = self.wrap(self.cpu.regs.get(reg::RCX), op.address_size);
            // A 32-bit count register is written in any case, which clears its upper half: even if there is nothing to do,
            // or the first iteration faults.
            self.set_address_register(reg::RCX, count, op.address_size);
            if count == 0 {
                return Ok(true);
            }
            let (done, next) = iterate(self, count.min(self.budget.saturating_add(1)))?;
            self.retire_iterations(done - 1);
            self.set_address_register(reg::RCX, count.wrapping_sub(done), op.address_size);
            if count == done || next == Next::Done {
                return Ok(true);
            }
            if self.must_stop() {
                let this = self.cpu.regs.rip().wrapping_sub(u64::from(op.len));
                self.cpu.regs.set_rip(this);
                // The rest is the same instruction: no breakpoint stops it a second time (SDM vol. 3, 17.3.1.1).
                self.cpu.flags.put(Flags::RF, true);
                return Ok(false);
            }
            self.retire_iterations(1);
        }
    }

    /// Sets the part of a register that addresses of `size` bytes use.
    #[inline(always)]
    pub(super) fn set_address_register(&mut self, register: u8, value: u64, size: u8) {
        match size {
            8 => self.cpu.regs.set(register, value),
            4 => self.cpu.regs.set32(register, value as u32),
            _ => self.cpu.regs.set16(register, value as u16),
        }
    }

    /// Moves RSI or RDI on by `elements` elements of `bytes` bytes.
    #[inline(always)]
    pub(super) fn advance(&mut self, register: u8, bytes: usize, elements: u64, op: &Op) {
        let distance = (bytes as u64).wrapping_mul(elements);
        let old = self.cpu.regs.get(register);
        let new = if self.cpu.flags.has(Flags::DF) { old.wrapping_sub(distance) } else { old.wrapping_add(distance) };
        self.set_address_register(register, new, op.address_size);
    }

    /// Linear address of the source element.
    #[inline(always)]
    pub(super) fn source(&mut self, op: &Op, bytes: usize) -> Outcome<u64> {
        let offset = self.wrap(self.cpu.regs.get(reg::RSI), op.address_size);
        self.linear(op.seg, offset, bytes, false)
    }

    /// Linear address of the destination element, always in ES.
    #[inline(always)]
    pub(super) fn destination(&mut self, op: &Op, bytes: usize, write: bool) -> Outcome<u64> {
        let offset = self.wrap(self.cpu.regs.get(reg::RDI), op.address_size);
        self.linear(seg::ES as u8, offset, bytes, write)
    }

    /// How many of `most` elements can be handled at once from `linear` on: forward, in 64-bit mode, within a page.
    #[inline(always)]
    fn run_length(&self, linear: u64, bytes: usize, most: u64, op: &Op) -> u64 {
        if !self.is_64bit || op.address_size != 8 || self.cpu.flags.has(Flags::DF) {
            return 0;
        }
        most.min((PAGE_SIZE - linear % PAGE_SIZE) / bytes as u64)
    }
}

impl StringOp for Move {
    #[inline(always)]
    fn iterate<W: Integer>(x: &mut Exec<'_>, op: &Op, most: u64) -> Outcome<(u64, Next)> {
        let from = x.source(op, W::BYTES)?;
        let to = x.destination(op, W::BYTES, true)?;
        let run = x.run_length(from, W::BYTES, most, op).min(x.run_length(to, W::BYTES, most, op));
        let done = if run > 1 { move_run(x, from, to, run, W::BYTES) } else { 0 };
        if done == 0 {
            let value = x.load::<W>(from, op.seg)?;
            x.store(to, value, seg::ES as u8)?;
        }
        let done = done.max(1);
        x.advance(reg::RSI, W::BYTES, done, op);
        x.advance(reg::RDI, W::BYTES, done, op);
        Ok((done, Next::Continue))
    }
}

/// Moves `run` elements at once if both pages are cached and one move gives what element after element would.
fn move_run(x: &mut Exec<'_>, from: u64, to: u64, run: u64, bytes: usize) -> u64 {
    let (Some(source), Some(target)) = (x.tlb.read(from, x.data), x.tlb.write(to, x.data)) else {
        return 0;
    };
    let len = run * bytes as u64;
    if target > source && target < source + len {
        return 0;
    }
    x.board.ram.copy_plain(source, target, len as usize);
    run
}

impl StringOp for Store {
    #[inline(always)]
    fn iterate<W: Integer>(x: &mut Exec<'_>, op: &Op, most: u64) -> Outcome<(u64, Next)> {
        let to = x.destination(op, W::BYTES, true)?;
        let value = W::get(x, reg::RAX);
        let run = x.run_length(to, W::BYTES, most, op);
        let cached = if run > 1 { x.tlb.write(to, x.data) } else { None };
        let done = match cached {
            Some(target) => {
                x.board.ram.fill_plain(target, value.to_le().as_ref(), run as usize);
                run
            }
            None => {
                x.store(to, value, seg::ES as u8)?;
                1
            }
        };
        x.advance(reg::RDI, W::BYTES, done, op);
        Ok((done, Next::Continue))
    }
}

impl StringOp for Load {
    #[inline(always)]
    fn iterate<W: Integer>(x: &mut Exec<'_>, op: &Op, _most: u64) -> Outcome<(u64, Next)> {
        let from = x.source(op, W::BYTES)?;
        x.load::<W>(from, op.seg)?.set(x, reg::RAX);
        x.advance(reg::RSI, W::BYTES, 1, op);
        Ok((1, Next::Continue))
    }
}

/// Whether REPE or REPNE goes on after a comparison.
#[inline(always)]
fn condition(x: &Exec<'_>, op: &Op) -> Next {
    let wanted = op.flags & flag::REP != 0;
    if x.cpu.flags.zero() == wanted { Next::Continue } else { Next::Done }
}

impl StringOp for Compare {
    #[inline(always)]
    fn iterate<W: Integer>(x: &mut Exec<'_>, op: &Op, _most: u64) -> Outcome<(u64, Next)> {
        let from = x.source(op, W::BYTES)?;
        let to = x.destination(op, W::BYTES, false)?;
        // Intel's processors read the destination first, which shows when both fault.
        let b = x.load::<W>(to, seg::ES as u8)?;
        let a = x.load::<W>(from, op.seg)?;
        super::arith::sub(&mut x.cpu.flags, a, b, 0);
        x.advance(reg::RSI, W::BYTES, 1, op);
        x.advance(reg::RDI, W::BYTES, 1, op);
        Ok((1, condition(x, op)))
    }
}

impl StringOp for Scan {
    #[inline(always)]
    fn iterate<W: Integer>(x: &mut Exec<'_>, op: &Op, _most: u64) -> Outcome<(u64, Next)> {
        let to = x.destination(op, W::BYTES, false)?;
        let b = x.load::<W>(to, seg::ES as u8)?;
        let a = W::get(x, reg::RAX);
        super::arith::sub(&mut x.cpu.flags, a, b, 0);
        x.advance(reg::RDI, W::BYTES, 1, op);
        Ok((1, condition(x, op)))
    }
}

fn string<W: Integer, O: StringOp>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.repeat(op, |x, most| O::iterate::<W>(x, op, most)).map(|_| ())
}

/// CMPS and SCAS. Until the instruction is done the flags are those from before it, whether an interrupt or a fault comes
/// between (SDM vol. 2, REP: "EFLAGS register is restored to the state prior to the execution of the instruction"). So it
/// shows nowhere how often it was interrupted.
fn comparing<W: Integer, O: StringOp>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let flags = x.cpu.flags;
    let done = x.repeat(op, |x, most| O::iterate::<W>(x, op, most));
    if !matches!(done, Ok(true)) {
        x.cpu.flags = flags;
        x.cpu.flags.put(Flags::RF, matches!(done, Ok(false)));
    }
    done.map(|_| ())
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    let run: Handler = match l.insn.mnemonic() {
        Mnemonic::Movsb => string::<u8, Move>,
        Mnemonic::Movsw => string::<u16, Move>,
        Mnemonic::Movsd if l.insn.is_string_instruction() => string::<u32, Move>,
        Mnemonic::Movsq => string::<u64, Move>,
        Mnemonic::Cmpsb => comparing::<u8, Compare>,
        Mnemonic::Cmpsw => comparing::<u16, Compare>,
        Mnemonic::Cmpsd if l.insn.is_string_instruction() => comparing::<u32, Compare>,
        Mnemonic::Cmpsq => comparing::<u64, Compare>,
        Mnemonic::Stosb => string::<u8, Store>,
        Mnemonic::Stosw => string::<u16, Store>,
        Mnemonic::Stosd => string::<u32, Store>,
        Mnemonic::Stosq => string::<u64, Store>,
        Mnemonic::Lodsb => string::<u8, Load>,
        Mnemonic::Lodsw => string::<u16, Load>,
        Mnemonic::Lodsd => string::<u32, Load>,
        Mnemonic::Lodsq => string::<u64, Load>,
        Mnemonic::Scasb => comparing::<u8, Scan>,
        Mnemonic::Scasw => comparing::<u16, Scan>,
        Mnemonic::Scasd => comparing::<u32, Scan>,
        Mnemonic::Scasq => comparing::<u64, Scan>,
        _ => return None,
    };
    Some(Op { flags: l.repeat(), ..l.op(run) })
}
