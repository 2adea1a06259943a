//! F16C: conversion between single precision and half precision, which exists in memory and registers but not in
//! arithmetic (SDM vol. 1, 14.4 Half-Precision Floating-Point Conversion).
//!
//! Half-precision numbers are never taken or flushed to zero, whatever MXCSR says of denormals.

use super::sse::float::{env, settle};
use super::sse::form::{Form, form, from_register, plain};
use super::sse::lanes::{Lanes, build};
use super::sse::operand::{Low, Mem, Rm, Source, Vector};
use super::sse::vex::{Vex128, Vex256};
use crate::interp::exec::{Exec, Outcome};
use crate::interp::op::{Handler, Lowering, Op};
use crate::softfloat::{self, F16, F32, Rounding};
use iced_x86::Mnemonic;

/// In VCVTPS2PH's immediate: round as MXCSR says.
const BY_MXCSR: u64 = 4;

/// VCVTPH2PS, from the low half of an XMM register or from all of it.
fn widen<V: Vector + Lanes<u32>, S: Source>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    V::ready(x)?;
    let halves: [u16; 8] = Lanes::<u16>::split(S::get::<Vex128>(x, op)?);
    let mut env = env(x);
    let result = build::<u32, V>(|i| softfloat::convert::<F16, F32>(halves[i], &mut env));
    settle(x, env)?;
    result.put(x, op.reg);
    Ok(())
}

/// The register's numbers in half precision: twice as many as a YMM register has, of which the rest is zero.
fn narrowed<V: Vector + Lanes<u32>>(x: &mut Exec<'_>, op: &Op) -> Outcome<Vex128> {
    let singles = Lanes::<u32>::split(V::of(x, op.rm));
    let mut env = env(x);
    if op.imm & BY_MXCSR == 0 {
        env.rounding = Rounding::from_rc(op.imm as u32);
    }
    let mut halves = [0u16; 8];
    for (half, &single) in halves.iter_mut().zip(singles.as_ref()) {
        *half = softfloat::convert::<F32, F16>(single, &mut env);
    }
    settle(x, env)?;
    Ok(Lanes::<u16>::join(halves))
}

fn narrow<V: Vector + Lanes<u32>>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    V::ready(x)?;
    narrowed::<V>(x, op)?.put(x, op.reg);
    Ok(())
}

/// The memory operand has half as many bytes as the register. Processors convert before they look at the address: MXCSR
/// has the conversion's exceptions even if the store faults, and an unmasked one comes first.
fn narrow_to_memory<V: Vector + Lanes<u32>>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    V::ready(x)?;
    let Vex128([halves]) = narrowed::<V>(x, op)?;
    if V::BYTES == 16 { x.write(op, halves as u64) } else { x.write(op, halves) }
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    let run: Handler = match (l.insn.mnemonic(), form(l)) {
        (Mnemonic::Vcvtph2ps, Form::Vex256) if from_register(l) => widen::<Vex256, Rm>,
        (Mnemonic::Vcvtph2ps, Form::Vex256) => widen::<Vex256, Mem>,
        (Mnemonic::Vcvtph2ps, _) if from_register(l) => widen::<Vex128, Rm>,
        (Mnemonic::Vcvtph2ps, _) => widen::<Vex128, Low<u64>>,
        (Mnemonic::Vcvtps2ph, Form::Vex256) if l.is_register(0) => narrow::<Vex256>,
        (Mnemonic::Vcvtps2ph, Form::Vex256) => narrow_to_memory::<Vex256>,
        (Mnemonic::Vcvtps2ph, _) if l.is_register(0) => narrow::<Vex128>,
        (Mnemonic::Vcvtps2ph, _) => narrow_to_memory::<Vex128>,
        _ => return None,
    };
    Some(plain(l, run))
}
