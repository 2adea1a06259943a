//! Near transfers of control (SDM vol. 1, 7.3.8 Control Transfer Instructions). Far ones are in `system`.

use super::operand::{Mem, Reg, Source};
use crate::cpu::{Exception, Flags, reg};
use crate::interp::exec::{Exec, Outcome};
use crate::interp::memory::is_canonical;
use crate::interp::op::{Handler, Lowering, Op, flag};
use crate::interp::word::Integer;
use iced_x86::{ConditionCode, Mnemonic};

/// A condition of Jcc, SETcc and CMOVcc (SDM vol. 1, appendix B EFLAGS Condition Codes).
pub(super) trait Condition {
    fn holds(flags: &Flags) -> bool;
}

macro_rules! conditions {
    ($($name:ident = |$flags:ident| $holds:expr;)*) => {
        $(
            pub(super) struct $name;
            impl Condition for $name {
                #[inline(always)]
                fn holds($flags: &Flags) -> bool {
                    $holds
                }
            }
        )*
    };
}

conditions! {
    Overflow = |f| f.overflow();
    NoOverflow = |f| !f.overflow();
    Below = |f| f.carry();
    AboveEqual = |f| !f.carry();
    Equal = |f| f.zero();
    NotEqual = |f| !f.zero();
    BelowEqual = |f| f.carry() || f.zero();
    Above = |f| !f.carry() && !f.zero();
    Sign = |f| f.sign();
    NoSign = |f| !f.sign();
    Parity = |f| f.parity();
    NoParity = |f| !f.parity();
    Less = |f| f.sign() != f.overflow();
    GreaterEqual = |f| f.sign() == f.overflow();
    LessEqual = |f| f.zero() || f.sign() != f.overflow();
    Greater = |f| !f.zero() && f.sign() == f.overflow();
}

/// Picks an instance of a generic handler for a condition.
macro_rules! by_condition {
    ($condition:expr, $handler:ident $(, $parameter:ty)*) => {{
        use crate::interp::families::control as c;
        use iced_x86::ConditionCode as Code;
        match $condition {
            Code::o => $handler::<c::Overflow $(, $parameter)*>,
            Code::no => $handler::<c::NoOverflow $(, $parameter)*>,
            Code::b => $handler::<c::Below $(, $parameter)*>,
            Code::ae => $handler::<c::AboveEqual $(, $parameter)*>,
            Code::e => $handler::<c::Equal $(, $parameter)*>,
            Code::ne => $handler::<c::NotEqual $(, $parameter)*>,
            Code::be => $handler::<c::BelowEqual $(, $parameter)*>,
            Code::a => $handler::<c::Above $(, $parameter)*>,
            Code::s => $handler::<c::Sign $(, $parameter)*>,
            Code::ns => $handler::<c::NoSign $(, $parameter)*>,
            Code::p => $handler::<c::Parity $(, $parameter)*>,
            Code::np => $handler::<c::NoParity $(, $parameter)*>,
            Code::l => $handler::<c::Less $(, $parameter)*>,
            Code::ge => $handler::<c::GreaterEqual $(, $parameter)*>,
            Code::le => $handler::<c::LessEqual $(, $parameter)*>,
            Code::g | Code::None => $handler::<c::Greater $(, $parameter)*>,
        }
    }};
}

pub(super) use by_condition;

impl Exec<'_> {
    /// Transfers control within the segment; `target` has the operand's size already.
    #[inline(always)]
    pub(crate) fn jump_near(&mut self, target: u64) -> Outcome {
        let legal = if self.is_64bit {
            is_canonical(target)
        } else {
            target <= u64::from(self.cpu.segs[crate::cpu::seg::CS].limit)
        };
        if !legal {
            return self.raise(Exception::gp(0));
        }
        self.cpu.regs.set_rip(target);
        Ok(())
    }
}

#[inline(always)]
fn target<W: Integer>(x: &Exec<'_>, op: &Op) -> u64 {
    x.cpu.regs.rip().wrapping_add(op.imm) & W::MASK
}

fn jump<W: Integer>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let target = target::<W>(x, op);
    x.jump_near(target)
}

fn jump_if<C: Condition, W: Integer>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    if C::holds(&x.cpu.flags) { jump::<W>(x, op) } else { Ok(()) }
}

fn jump_indirect<W: Integer, S: Source>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let target = S::get::<W>(x, op)?.zero_extend();
    x.jump_near(target)
}

fn call<W: Integer>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let target = target::<W>(x, op);
    call_to::<W>(x, target)
}

fn call_indirect<W: Integer, S: Source>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let target = S::get::<W>(x, op)?.zero_extend();
    call_to::<W>(x, target)
}

#[inline(always)]
fn call_to<W: Integer>(x: &mut Exec<'_>, target: u64) -> Outcome {
    let (back, top) = (x.cpu.regs.rip(), x.cpu.regs.get(reg::RSP));
    x.push(W::truncate(back))?;
    // The store is done before the target is found to be illegal, as on Intel's processors.
    let jumped = x.jump_near(target);
    if jumped.is_err() {
        x.cpu.regs.set(reg::RSP, top);
    }
    jumped
}

/// RET; the bytes to release beside the return address are in the immediate.
fn ret<W: Integer>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let target = x.peek_stack::<W>(0)?.zero_extend();
    x.jump_near(target)?;
    x.release_stack(W::BYTES as u64 + op.imm);
    Ok(())
}

/// Whether LOOP, LOOPE or LOOPNE counts on; `third` says which.
fn loop_near<W: Integer>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let count = x.wrap(x.cpu.regs.get(reg::RCX).wrapping_sub(1), op.address_size);
    let on = match op.third {
        1 => x.cpu.flags.zero(),
        2 => !x.cpu.flags.zero(),
        _ => true,
    };
    if count != 0 && on {
        jump::<W>(x, op)?;
    }
    match op.address_size {
        8 => x.cpu.regs.set(reg::RCX, count),
        4 => x.cpu.regs.set32(reg::RCX, count as u32),
        _ => x.cpu.regs.set16(reg::RCX, count as u16),
    }
    Ok(())
}

fn jump_if_count_zero<W: Integer>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    if x.wrap(x.cpu.regs.get(reg::RCX), op.address_size) == 0 { jump::<W>(x, op) } else { Ok(()) }
}

/// Handlers for an instruction pointer of 2, 4 or 8 bytes.
macro_rules! by_pointer {
    ($size:expr, $handler:ident $(, $parameter:ty)*) => {
        match $size {
            2 => $handler::<u16 $(, $parameter)*>,
            4 => $handler::<u32 $(, $parameter)*>,
            _ => $handler::<u64 $(, $parameter)*>,
        }
    };
}

/// Bytes of the instruction pointer that a near branch sets.
fn pointer_size(l: &Lowering<'_>) -> u8 {
    use iced_x86::OpKind::{NearBranch16, NearBranch32, NearBranch64};
    match (l.insn.op_count() > 0).then(|| l.insn.op0_kind()) {
        Some(NearBranch16) => 2,
        Some(NearBranch32) => 4,
        Some(NearBranch64) => 8,
        _ if l.insn.mnemonic() == Mnemonic::Ret => (l.insn.stack_pointer_increment() - ret_release(l) as i32) as u8,
        _ => l.operand_size(0) as u8,
    }
}

fn ret_release(l: &Lowering<'_>) -> u64 {
    if l.insn.op_count() > 0 { l.immediate(0) & 0xffff } else { 0 }
}

fn relative(l: &Lowering<'_>, run: Handler) -> Op {
    Op { imm: l.branch(), ..l.op(run) }
}

fn indirect(l: &Lowering<'_>, register: Handler, memory: Handler) -> Op {
    if l.is_register(0) { Op { reg: l.register(0), ..l.op(register) } } else { l.op(memory) }
}

/// Which register LOOP and JCXZ count in.
fn count_size(l: &Lowering<'_>) -> u8 {
    use iced_x86::Code as C;
    match l.insn.code() {
        C::Loop_rel8_16_CX
        | C::Loop_rel8_32_CX
        | C::Loope_rel8_16_CX
        | C::Loope_rel8_32_CX
        | C::Loopne_rel8_16_CX
        | C::Loopne_rel8_32_CX
        | C::Jcxz_rel8_16
        | C::Jcxz_rel8_32 => 2,
        C::Loop_rel8_16_RCX
        | C::Loop_rel8_64_RCX
        | C::Loope_rel8_16_RCX
        | C::Loope_rel8_64_RCX
        | C::Loopne_rel8_16_RCX
        | C::Loopne_rel8_64_RCX
        | C::Jrcxz_rel8_16
        | C::Jrcxz_rel8_64 => 8,
        _ => 4,
    }
}

fn counted(l: &Lowering<'_>, run: Handler, kind: u8) -> Op {
    Op { address_size: count_size(l), third: kind, ..relative(l, run) }
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    let size = pointer_size(l);
    let is_far =
        l.insn.is_call_far() || l.insn.is_jmp_far() || l.insn.is_call_far_indirect() || l.insn.is_jmp_far_indirect();
    if is_far {
        return None;
    }
    let mut op = match l.insn.mnemonic() {
        Mnemonic::Jmp if l.insn.is_jmp_near_indirect() => {
            indirect(l, by_pointer!(size, jump_indirect, Reg), by_pointer!(size, jump_indirect, Mem))
        }
        Mnemonic::Jmp => relative(l, by_pointer!(size, jump)),
        Mnemonic::Call if l.insn.is_call_near_indirect() => {
            indirect(l, by_pointer!(size, call_indirect, Reg), by_pointer!(size, call_indirect, Mem))
        }
        Mnemonic::Call => relative(l, by_pointer!(size, call)),
        Mnemonic::Ret => Op { imm: ret_release(l), ..l.op(by_pointer!(size, ret)) },
        Mnemonic::Loop => counted(l, by_pointer!(size, loop_near), 0),
        Mnemonic::Loope => counted(l, by_pointer!(size, loop_near), 1),
        Mnemonic::Loopne => counted(l, by_pointer!(size, loop_near), 2),
        Mnemonic::Jcxz | Mnemonic::Jecxz | Mnemonic::Jrcxz => counted(l, by_pointer!(size, jump_if_count_zero), 0),
        _ if l.insn.is_jcc_short_or_near() && l.insn.condition_code() != ConditionCode::None => {
            let run: Handler = match size {
                2 => by_condition!(l.insn.condition_code(), jump_if, u16),
                4 => by_condition!(l.insn.condition_code(), jump_if, u32),
                _ => by_condition!(l.insn.condition_code(), jump_if, u64),
            };
            relative(l, run)
        }
        _ => return None,
    };
    op.flags |= flag::ENDS_BLOCK;
    Some(op)
}
