//! FPREM and FPREM1.

use super::super::arith::exactly;
use super::super::env::Env;
use super::super::format::{F80, Format, Unpacked};
use super::super::nan::{invalid, note_denormals, screen_two};
use super::super::round::{Unrounded, round, zero};
use super::normalised;

/// What FPREM leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartialRemainder {
    /// The new ST(0).
    pub value: F80,
    /// The low three bits of the quotient: bit 0 for C1, bit 1 for C3, bit 2 for C0.
    pub quotient: u8,
    /// C2: the exponents were too far apart, and the instruction must be repeated.
    pub incomplete: bool,
}

/// FPREM: the remainder of the truncated quotient.
pub fn fprem(st0: F80, st1: F80, env: &mut Env) -> PartialRemainder {
    remainder(st0, st1, false, env)
}

/// FPREM1: the remainder of the quotient rounded to nearest (IEEE 754).
pub fn fprem1(st0: F80, st1: F80, env: &mut Env) -> PartialRemainder {
    remainder(st0, st1, true, env)
}

const fn without_quotient(value: F80) -> PartialRemainder {
    PartialRemainder { value, quotient: 0, incomplete: false }
}

fn remainder(st0: F80, st1: F80, nearest: bool, env: &mut Env) -> PartialRemainder {
    let (a, b) = (F80::unpack(st0), F80::unpack(st1));
    if let Some(nan) = screen_two::<F80>(a, b, env) {
        return without_quotient(nan);
    }
    if a.is_infinity() || b.is_zero() {
        return without_quotient(invalid::<F80>(env));
    }
    note_denormals(&[a, b], env);
    if a.is_zero() {
        return without_quotient(zero::<F80>(a.negative));
    }
    if b.is_infinity() {
        return without_quotient(normalised(st0, a));
    }
    let distance = a.exp - b.exp;
    if distance < -1 || distance < 0 && !nearest {
        return without_quotient(round::<F80>(exactly(a), env));
    }
    if distance >= 64 {
        return partial(a, b, distance, env);
    }
    complete(a, b, nearest, env)
}

/// Takes away as many quotient bits as leave a multiple of 32 for later: the choice of N (32 to
/// 63) that SDM volume 2, "FPREM", leaves to the implementation.
fn partial(a: Unpacked, b: Unpacked, distance: i32, env: &mut Env) -> PartialRemainder {
    let taken = distance & 31 | 32;
    let rest = (u128::from(a.sig) << taken) % u128::from(b.sig);
    PartialRemainder { value: pack(a.negative, b.exp + distance - taken, rest, env), quotient: 0, incomplete: true }
}

fn complete(a: Unpacked, b: Unpacked, nearest: bool, env: &mut Env) -> PartialRemainder {
    // In units of the lesser last bit.
    let shift = (a.exp - b.exp).max(0);
    let dividend = u128::from(a.sig) << shift;
    let divisor = u128::from(b.sig) << (b.exp - a.exp).max(0);
    let (mut quotient, mut rest) = (dividend / divisor, dividend % divisor);
    let mut negative = a.negative;
    let twice = rest << 1;
    if nearest && (twice > divisor || twice == divisor && quotient & 1 != 0) {
        rest = divisor - rest;
        quotient += 1;
        negative = !negative;
    }
    let value = if rest == 0 { zero::<F80>(a.negative) } else { pack(negative, a.exp - shift, rest, env) };
    PartialRemainder { value, quotient: (quotient & 7) as u8, incomplete: false }
}

/// A remainder of at most 64 bits, in units of `2^(exp - 63)`.
fn pack(negative: bool, exp: i32, rest: u128, env: &mut Env) -> F80 {
    if rest == 0 {
        return zero::<F80>(negative);
    }
    round::<F80>(Unrounded::new(negative, exp, rest << 64), env)
}
