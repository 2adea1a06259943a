//! RCPPS, RCPSS, RSQRTPS and RSQRTSS: approximations with a relative error below 1.5 * 2^-12 (SDM vol. 2).
//!
//! The manual leaves the bits open. These are the ones that Intel processors give: the significand is cut to its first
//! 11 bits (10 and the exponent's lowest bit for the square root), and the answer is that of the middle of the
//! interval, rounded to 12 bits after the binary point. Tiny operands count as zeros and tiny results are zeros,
//! whatever MXCSR says, and no exception is ever reported.

use super::float::Float;
use super::form::{Form, by_form, form, from_register, mnemonic, plain, single, whole};
use super::operand::{Low, Mem, Rm, Source, Xmm};
use super::vex::{Vex128, Vex256};
use crate::interp::exec::{Exec, Outcome};
use crate::interp::op::{Handler, Lowering, Op};
use crate::softfloat::F32;
use iced_x86::Mnemonic;

const SIGN: u32 = 1 << 31;
const INFINITY: u32 = 0x7f80_0000;
const QUIET: u32 = 1 << 22;
/// The answer to an invalid operation.
const INDEFINITE: u32 = 0xffc0_0000;

/// The answer of both functions for what is no ordinary number, and for any negative one that `negative` answers.
fn special(a: u32, negative: Option<u32>) -> Option<u32> {
    let magnitude = a & !SIGN;
    match magnitude >> 23 {
        0 => Some(a & SIGN | INFINITY),
        0xff if magnitude > INFINITY => Some(a | QUIET),
        _ if a & SIGN != 0 && negative.is_some() => negative,
        0xff => Some(a & SIGN),
        _ => None,
    }
}

/// A result from a significand of 4096 to 8191 and a biased exponent.
fn assemble(significand: u32, exponent: i32) -> u32 {
    if exponent <= 0 { 0 } else { (exponent as u32) << 23 | (significand & 0xfff) << 11 }
}

fn reciprocal(a: u32) -> u32 {
    if let Some(answer) = special(a, None) {
        return answer;
    }
    // 2^13 / (1 + (index + 1/2) / 2^11), to nearest.
    let divisor = 2 * (a >> 12 & 0x7ff) + 4097;
    let significand = ((1 << 25) + divisor / 2) / divisor;
    a & SIGN | assemble(significand, 253 - (a >> 23 & 0xff) as i32)
}

fn reciprocal_root(a: u32) -> u32 {
    if let Some(answer) = special(a, Some(INDEFINITE)) {
        return answer;
    }
    let exponent = (a >> 23) as i32 - 127;
    // 2^13 / sqrt(p * (1 + (index + 1/2) / 2^10)), to nearest, where p takes up an odd exponent.
    let divisor = u64::from(2 * (a >> 13 & 0x3ff) + 2049) << (exponent & 1);
    let significand = ((1u64 << 39) / divisor).isqrt().div_ceil(2) as u32;
    assemble(significand, 126 - (exponent >> 1))
}

fn packed<V: Xmm, S: Source>(x: &mut Exec<'_>, op: &Op, f: fn(u32) -> u32) -> Outcome {
    V::ready(x)?;
    let b = S::get::<V>(x, op)?;
    b.lanewise(b, |b, _, _| F32::vector(|i| f(F32::at(b, i)))).put(x, op.reg);
    Ok(())
}

fn scalar<V: Xmm, S: Source>(x: &mut Exec<'_>, op: &Op, f: fn(u32) -> u32) -> Outcome {
    V::ready(x)?;
    let b = S::get::<V>(x, op)?;
    V::of(x, op.third).lanewise(b, |a, b, _| F32::with_low(a, f(F32::low(b)))).put(x, op.reg);
    Ok(())
}

macro_rules! handlers {
    ($($name:ident = $shape:ident, $f:ident;)*) => {$(
        fn $name<V: Xmm, S: Source>(x: &mut Exec<'_>, op: &Op) -> Outcome {
            $shape::<V, S>(x, op, $f)
        }
    )*};
}

handlers! {
    rcpps = packed, reciprocal;
    rcpss = scalar, reciprocal;
    rsqrtps = packed, reciprocal_root;
    rsqrtss = scalar, reciprocal_root;
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    Some(match mnemonic(l) {
        Mnemonic::Rcpps => whole!(l, rcpps),
        Mnemonic::Rcpss => single!(l, Low<u32>: rcpss),
        Mnemonic::Rsqrtps => whole!(l, rsqrtps),
        Mnemonic::Rsqrtss => single!(l, Low<u32>: rsqrtss),
        _ => return None,
    })
}
