//! Floating-point comparisons (SDM vol. 1, 10.4.1.4 SSE Comparison Instructions, 11.4.1.5 SSE2; vol. 2, CMPPS, COMISS).

use super::float::{Float, env, settle, single, whole};
use super::operand::{Low, Mem, Rm, Source, Vector, plain};
use crate::cpu::Flags;
use crate::interp::exec::{Exec, Outcome};
use crate::interp::op::{Handler, Lowering, Op};
use crate::interp::word::Integer;
use crate::softfloat::{self, Env, F32, F64, NanRule, Relation};
use iced_x86::Mnemonic;

/// A predicate of CMPPS: which NaNs it objects to, and which relations satisfy it.
fn satisfies<F: Float>(a: F::Bits, b: F::Bits, predicate: u8, env: &mut Env) -> bool {
    let rule = if matches!(predicate & 3, 1 | 2) { NanRule::Signalling } else { NanRule::Quiet };
    let relation = softfloat::compare::<F>(a, b, rule, env);
    let positive = match predicate & 3 {
        0 => relation == Relation::Equal,
        1 => relation == Relation::Less,
        2 => matches!(relation, Relation::Less | Relation::Equal),
        _ => relation == Relation::Unordered,
    };
    positive != (predicate & 4 != 0)
}

/// All ones if the predicate holds.
#[inline(always)]
fn selected<F: Float>(a: F::Bits, b: F::Bits, predicate: u8, env: &mut Env) -> F::Bits {
    F::Bits::truncate(if satisfies::<F>(a, b, predicate, env) { u64::MAX } else { 0 })
}

fn compare_packed<F: Float, S: Source>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    u128::ready(x)?;
    let b = S::get::<u128>(x, op)?;
    let a = u128::of(x, op.reg);
    let mut env = env(x);
    let result = F::vector(|i| selected::<F>(F::at(a, i), F::at(b, i), op.imm as u8, &mut env));
    settle(x, env)?;
    result.put(x, op.reg);
    Ok(())
}

fn compare_scalar<F: Float, S: Source>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    u128::ready(x)?;
    let b = S::get::<u128>(x, op)?;
    let a = u128::of(x, op.reg);
    let mut env = env(x);
    let result = selected::<F>(F::low(a), F::low(b), op.imm as u8, &mut env);
    settle(x, env)?;
    F::with_low(a, result).put(x, op.reg);
    Ok(())
}

/// COMISS and its kin: the relation in ZF, PF and CF.
fn compare_ordered<F: Float, S: Source, const QUIET: bool>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    u128::ready(x)?;
    let b = S::get::<u128>(x, op)?;
    let a = u128::of(x, op.reg);
    let mut env = env(x);
    let rule = if QUIET { NanRule::Quiet } else { NanRule::Signalling };
    let relation = softfloat::compare::<F>(F::low(a), F::low(b), rule, &mut env);
    settle(x, env)?;
    let flags = match relation {
        Relation::Less => Flags::CF,
        Relation::Equal => Flags::ZF,
        Relation::Greater => 0,
        Relation::Unordered => Flags::ZF | Flags::PF | Flags::CF,
    };
    x.cpu.flags.update(Flags::STATUS, flags);
    Ok(())
}

fn comis<F: Float, S: Source>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    compare_ordered::<F, S, false>(x, op)
}

fn ucomis<F: Float, S: Source>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    compare_ordered::<F, S, true>(x, op)
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    use Mnemonic as M;
    Some(match l.insn.mnemonic() {
        M::Cmpps => whole!(l, compare_packed, F32),
        M::Cmppd => whole!(l, compare_packed, F64),
        M::Cmpss => single!(l, compare_scalar, F32),
        M::Cmpsd if !l.insn.is_string_instruction() => single!(l, compare_scalar, F64),
        M::Comiss => single!(l, comis, F32),
        M::Comisd => single!(l, comis, F64),
        M::Ucomiss => single!(l, ucomis, F32),
        M::Ucomisd => single!(l, ucomis, F64),
        _ => return None,
    })
}
