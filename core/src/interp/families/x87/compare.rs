//! FCOM, FUCOM, FICOM, FTST, FCOMI, FUCOMI and FXAM.

use super::arith::{Operand, memory_kind};
use super::status::{C0, C1, C2, C3};
use crate::cpu::Flags;
use crate::interp::exec::{Exec, Outcome};
use crate::interp::op::{Lowering, Op};
use crate::softfloat::x87::compare_with;
use crate::softfloat::{Class, Env, F32, F64, F80, NanRule, Relation, from_signed};
use iced_x86::Mnemonic;

/// Bits of `imm`: which NaNs are invalid, and where the result goes.
const QUIET: u64 = 1;
const TO_FLAGS: u64 = 2;
const WITH_ZERO: u64 = 4;

fn rule(op: &Op) -> NanRule {
    if op.imm & QUIET != 0 { NanRule::Quiet } else { NanRule::Signalling }
}

/// C3, C2 and C0, or ZF, PF and CF.
fn report(x: &mut Exec<'_>, op: &Op, relation: Relation) {
    let (zero, parity, carry) = match relation {
        Relation::Greater => (false, false, false),
        Relation::Less => (false, false, true),
        Relation::Equal => (true, false, false),
        Relation::Unordered => (true, true, true),
    };
    let pick = |on: bool, bit: u64| if on { bit } else { 0 };
    if op.imm & TO_FLAGS != 0 {
        let flags = pick(zero, Flags::ZF) | pick(parity, Flags::PF) | pick(carry, Flags::CF);
        x.cpu.flags.update(Flags::STATUS, flags);
        return;
    }
    let c1 = x.cpu.x87.status & C1;
    let bits = pick(zero, C3.into()) | pick(parity, C2.into()) | pick(carry, C0.into());
    x.set_conditions(bits as u16 | c1);
}

/// The stack is short: the answer is "unordered", and the stack is popped if the fault is masked.
fn underflow(x: &mut Exec<'_>, op: &Op) {
    let masked = x.stack_fault(false);
    report(x, op, Relation::Unordered);
    if masked {
        x.pop_times(op.third);
    }
}

fn conclude(x: &mut Exec<'_>, op: &Op, relation: Relation, mut env: Env) {
    let c1 = x.cpu.x87.status & C1;
    x.finish_x87(&mut env);
    if op.imm & TO_FLAGS != 0 {
        // FCOMI and its relatives leave C1 alone.
        x.cpu.x87.status |= c1;
    }
    report(x, op, relation);
    if !env.blocks_register() {
        x.pop_times(op.third);
    }
}

fn registers(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.x87_ready()?;
    x.note_pointer(op);
    let with_zero = op.imm & WITH_ZERO != 0;
    if x.is_empty(0) || (!with_zero && x.is_empty(op.rm)) {
        underflow(x, op);
        return Ok(());
    }
    let other = if with_zero { F80::ZERO } else { x.st(op.rm) };
    let mut env = x.x87_env();
    let relation = compare_with::<F80>(x.st(0), other, rule(op), &mut env);
    conclude(x, op, relation, env);
    Ok(())
}

fn memory(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.x87_ready()?;
    let operand = Operand::read(x, op)?;
    x.note_pointer(op);
    if x.is_empty(0) {
        underflow(x, op);
        return Ok(());
    }
    let mut env = x.x87_env();
    let st = x.st(0);
    let relation = match operand {
        Operand::Single(bits) => compare_with::<F32>(st, bits, rule(op), &mut env),
        Operand::Double(bits) => compare_with::<F64>(st, bits, rule(op), &mut env),
        Operand::Integer(value) => {
            let exact = from_signed::<F80>(value, &mut Env::from_control_word(0x037f));
            compare_with::<F80>(st, exact, rule(op), &mut env)
        }
    };
    conclude(x, op, relation, env);
    Ok(())
}

/// FXAM (SDM vol. 2, table 3-42).
fn examine(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.x87_ready()?;
    x.note_pointer(op);
    let value = x.st(0);
    let class = if x.is_empty(0) {
        C3 | C0
    } else {
        match value.class() {
            Class::Unsupported => 0,
            Class::Quiet | Class::Signalling => C0,
            Class::Normal => C2,
            Class::Infinity => C2 | C0,
            Class::Zero => C3,
            Class::Denormal => C3 | C2,
        }
    };
    x.set_conditions(class | if value.is_negative() { C1 } else { 0 });
    Ok(())
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    use Mnemonic as M;
    let (imm, third) = match l.insn.mnemonic() {
        M::Fcom | M::Ficom => (0, 0),
        M::Fcomp | M::Ficomp => (0, 1),
        M::Fcompp => (0, 2),
        M::Fucom => (QUIET, 0),
        M::Fucomp => (QUIET, 1),
        M::Fucompp => (QUIET, 2),
        M::Fcomi => (TO_FLAGS, 0),
        M::Fcomip => (TO_FLAGS, 1),
        M::Fucomi => (TO_FLAGS | QUIET, 0),
        M::Fucomip => (TO_FLAGS | QUIET, 1),
        M::Ftst => (WITH_ZERO, 0),
        M::Fxam => return Some(l.op(examine)),
        _ => return None,
    };
    if l.insn.op_count() > 0 && !l.is_register(0) {
        return Some(Op { imm, third, size: memory_kind(l), ..l.op(memory) });
    }
    let rm = match l.insn.op_count() {
        0 => 1,
        1 => l.register(0),
        _ => l.register(1),
    };
    Some(Op { imm, third, rm, ..l.op(registers) })
}
