//! FSCALE and FXTRACT.

use super::super::arith::exactly;
use super::super::env::{Env, Flags, Rounding};
use super::super::format::{F80, Format, Unpacked};
use super::super::integer::{from_magnitude, round_whole};
use super::super::nan::{invalid, note_denormals, screen, screen_two};
use super::super::round::{Unrounded, infinity, round, zero};
use super::normalised;

/// No two exponents are farther apart, with the bias of unmasked exceptions.
const FARTHEST: u64 = 1 << 17;

/// FSCALE: `st0 * 2^trunc(st1)`.
pub fn fscale(st0: F80, st1: F80, env: &mut Env) -> F80 {
    let (a, b) = (F80::unpack(st0), F80::unpack(st1));
    if let Some(nan) = screen_two::<F80>(a, b, env) {
        return nan;
    }
    if b.is_infinity() && (if b.negative { a.is_infinity() } else { a.is_zero() }) {
        return invalid::<F80>(env);
    }
    note_denormals(&[a, b], env);
    if a.is_zero() || b.is_infinity() && b.negative {
        return zero::<F80>(a.negative);
    }
    if a.is_infinity() || b.is_infinity() {
        return infinity::<F80>(a.negative);
    }
    if b.is_zero() {
        return normalised(st0, a);
    }
    let exp = a.exp + truncated(b);
    round::<F80>(Unrounded { exp, ..exactly(a) }, env)
}

/// A finite number truncated to an integer, as far as it matters.
fn truncated(b: Unpacked) -> i32 {
    let magnitude = round_whole(b, Rounding::Zero).map_or(FARTHEST, |w| w.magnitude.min(FARTHEST));
    if b.negative { -(magnitude as i32) } else { magnitude as i32 }
}

/// FXTRACT: significand and exponent of `st0`.
pub fn fxtract(st0: F80, env: &mut Env) -> (F80, F80) {
    let a = F80::unpack(st0);
    if let Some(nan) = screen::<F80>(a, env) {
        return (nan, nan);
    }
    if a.is_zero() {
        env.raise(Flags::ZE);
        return (zero::<F80>(a.negative), infinity::<F80>(true));
    }
    if a.is_infinity() {
        return (infinity::<F80>(a.negative), F80::INFINITY);
    }
    note_denormals(&[a], env);
    let exponent = from_magnitude::<F80>(a.exp < 0, u64::from(a.exp.unsigned_abs()), env);
    let exponent = if a.exp == 0 { F80::ZERO } else { exponent };
    (F80::pack(a.negative, F80::BIAS as u32, a.sig), exponent)
}
