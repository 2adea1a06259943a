//! Arithmetic with an operand of another format, loads and stores.

use super::super::arith::{add_unpacked, div_unpacked, mul_unpacked, sub_unpacked};
use super::super::compare::compare_unpacked;
use super::super::convert::reformat;
use super::super::env::{Env, Flags};
use super::super::format::{F80, Format};
use super::super::{NanRule, Relation};

/// The operations of opcodes D8, DC and DE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arith {
    /// FADD
    Add,
    /// FMUL
    Mul,
    /// FSUB: `st - operand`
    Sub,
    /// FSUBR: `operand - st`
    SubReverse,
    /// FDIV: `st / operand`
    Div,
    /// FDIVR: `operand / st`
    DivReverse,
}

/// Arithmetic on a register and an operand of any format, of which a signalling NaN still counts
/// as one and a denormal raises DE. For integer operands convert with
/// [`from_signed`](super::super::from_signed) first, which is exact.
pub fn arith<M: Format>(op: Arith, st: F80, operand: M::Bits, env: &mut Env) -> F80 {
    let (a, b) = (F80::unpack(st), M::unpack(operand));
    match op {
        Arith::Add => add_unpacked::<F80>(a, b, env),
        Arith::Mul => mul_unpacked::<F80>(a, b, env),
        Arith::Sub => sub_unpacked::<F80>(a, b, env),
        Arith::SubReverse => sub_unpacked::<F80>(b, a, env),
        Arith::Div => div_unpacked::<F80>(a, b, env),
        Arith::DivReverse => div_unpacked::<F80>(b, a, env),
    }
}

/// FCOM, FUCOM, FCOMI, FTST: compares a register with an operand of any format.
pub fn compare_with<M: Format>(st: F80, operand: M::Bits, rule: NanRule, env: &mut Env) -> Relation {
    compare_unpacked(F80::unpack(st), M::unpack(operand), rule, env)
}

/// FLD m32fp, m64fp. (FLD m80fp copies the ten bytes and raises nothing.) An unmasked DE is
/// raised and does not stop the load; only an unmasked IE does.
pub fn load<M: Format>(bits: M::Bits, env: &mut Env) -> F80 {
    let number = M::unpack(bits);
    if number.is_denormal() {
        env.raise(Flags::DE);
    }
    reformat::<F80>(number, env)
}

/// FST m32fp, m64fp. (FSTP m80fp copies the ten bytes and raises nothing.)
pub fn store<M: Format>(a: F80, env: &mut Env) -> M::Bits {
    let result = reformat::<M>(F80::unpack(a), env);
    if env.unmasked().intersects(Flags::OE.or(Flags::UE)) {
        // Nothing is stored, so nothing is inexact.
        env.flags = env.flags.without(Flags::PE);
        env.c1 = false;
    }
    result
}
