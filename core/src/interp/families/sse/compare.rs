//! Floating-point comparisons (SDM vol. 1, 10.4.1.4 SSE Comparison Instructions, 11.4.1.5 SSE2; vol. 2, CMPPS, COMISS).

use super::float::{Float, env, settle};
use super::form::{Form, by_form, form, from_register, mnemonic, plain, single, whole};
use super::operand::{Low, Mem, Rm, Source, Vector, Xmm};
use super::vex::{Vex128, Vex256};
use crate::cpu::Flags;
use crate::interp::exec::{Exec, Outcome};
use crate::interp::op::{Handler, Lowering, Op};
use crate::interp::word::Integer;
use crate::softfloat::{self, Env, F32, F64, NanRule, Relation};
use iced_x86::Mnemonic;

/// Which relations satisfy the predicates of VCMPPS, of which CMPPS has the first eight; the other sixteen of VCMPPS are
/// the same with the other rule for NaNs.
#[rustfmt::skip]
const SATISFYING: [u8; 16] = {
    const L: u8 = 1;
    const E: u8 = 2;
    const G: u8 = 4;
    const U: u8 = 8;
    [
        E, L, L | E, U, L | G | U, E | G | U, G | U, L | E | G,
        E | U, L | U, L | E | U, 0, L | G, E | G, G, L | E | G | U,
    ]
};

/// Whether two numbers satisfy a predicate.
fn satisfies<F: Float>(a: F::Bits, b: F::Bits, predicate: u8, env: &mut Env) -> bool {
    let signalling = matches!(predicate & 3, 1 | 2) != (predicate & 16 != 0);
    let rule = if signalling { NanRule::Signalling } else { NanRule::Quiet };
    let bit = match softfloat::compare::<F>(a, b, rule, env) {
        Relation::Less => 1,
        Relation::Equal => 2,
        Relation::Greater => 4,
        Relation::Unordered => 8,
    };
    SATISFYING[usize::from(predicate & 15)] & bit != 0
}

/// All ones if the predicate holds.
#[inline(always)]
fn selected<F: Float>(a: F::Bits, b: F::Bits, predicate: u8, env: &mut Env) -> F::Bits {
    F::Bits::truncate(if satisfies::<F>(a, b, predicate, env) { u64::MAX } else { 0 })
}

fn compare_packed<V: Xmm, S: Source, F: Float>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    V::ready(x)?;
    let b = S::get::<V>(x, op)?;
    let a = V::of(x, op.third);
    let mut env = env(x);
    let mut number = |a, b| selected::<F>(a, b, op.imm as u8, &mut env);
    let result = a.lanewise(b, |a, b, _| F::vector(|i| number(F::at(a, i), F::at(b, i))));
    settle(x, env)?;
    result.put(x, op.reg);
    Ok(())
}

fn compare_scalar<V: Xmm, S: Source, F: Float>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    V::ready(x)?;
    let b = S::get::<V>(x, op)?;
    let a = V::of(x, op.third);
    let mut env = env(x);
    let mut number = |a, b| selected::<F>(a, b, op.imm as u8, &mut env);
    let result = a.lanewise(b, |a, b, _| F::with_low(a, number(F::low(a), F::low(b))));
    settle(x, env)?;
    result.put(x, op.reg);
    Ok(())
}

/// COMISS and its kin: the relation in ZF, PF and CF.
fn compare_ordered<V: Xmm, S: Source, F: Float, const QUIET: bool>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    V::ready(x)?;
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

fn comis<V: Xmm, S: Source, F: Float>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    compare_ordered::<V, S, F, false>(x, op)
}

fn ucomis<V: Xmm, S: Source, F: Float>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    compare_ordered::<V, S, F, true>(x, op)
}

/// With the predicates that the form has.
fn predicated(l: &Lowering<'_>, op: Op) -> Op {
    Op { imm: op.imm & if form(l) == Form::Sse { 7 } else { 31 }, ..op }
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    use Mnemonic as M;
    Some(match mnemonic(l) {
        M::Cmpps => predicated(l, whole!(l, compare_packed, F32)),
        M::Cmppd => predicated(l, whole!(l, compare_packed, F64)),
        M::Cmpss => predicated(l, single!(l, Low<u32>: compare_scalar, F32)),
        M::Cmpsd if !l.insn.is_string_instruction() => predicated(l, single!(l, Low<u64>: compare_scalar, F64)),
        M::Comiss => single!(l, Low<u32>: comis, F32),
        M::Comisd => single!(l, Low<u64>: comis, F64),
        M::Ucomiss => single!(l, Low<u32>: ucomis, F32),
        M::Ucomisd => single!(l, Low<u64>: ucomis, F64),
        _ => return None,
    })
}
