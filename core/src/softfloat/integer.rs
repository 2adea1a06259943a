//! Conversion to and from integers, and rounding to an integral number.

use super::arith::{exactly, operand};
use super::env::{Env, Flags, Rounding};
use super::format::{Format, Unpacked};
use super::nan::{note_denormals, screen};
use super::round::{Unrounded, round, rounds_up, shift_right_sticky, zero};

/// The width of an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntWidth {
    /// 16 bits.
    W16,
    /// 32 bits.
    W32,
    /// 64 bits.
    W64,
}

impl IntWidth {
    /// Number of bits.
    #[inline]
    pub const fn bits(self) -> u32 {
        match self {
            Self::W16 => 16,
            Self::W32 => 32,
            Self::W64 => 64,
        }
    }

    /// The answer to an invalid conversion, sign-extended: the most negative integer.
    #[inline]
    pub const fn indefinite(self) -> i64 {
        i64::MIN >> (64 - self.bits())
    }
}

/// A magnitude rounded to an integer.
pub(super) struct Whole {
    pub(super) magnitude: u64,
    pub(super) inexact: bool,
    pub(super) up: bool,
}

/// Rounds a number to an integer; none if it has no integer of 64 bits.
pub(super) fn round_whole(a: Unpacked, rounding: Rounding) -> Option<Whole> {
    if a.is_zero() {
        return Some(Whole { magnitude: 0, inexact: false, up: false });
    }
    let finite = a.class == super::Class::Normal || a.is_denormal();
    if !finite || a.exp > 63 {
        return None;
    }
    let distance = 63i32.wrapping_sub(a.exp) as u32;
    let fixed = shift_right_sticky(u128::from(a.sig) << 64, distance);
    let kept = (fixed >> 64) as u64;
    let rest = u128::from(fixed as u64);
    let up = rounds_up(rounding, a.negative, kept & 1 != 0, rest, 1 << 63);
    Some(Whole { magnitude: kept.checked_add(u64::from(up))?, inexact: rest != 0, up })
}

/// PE and C1 of an integer conversion that succeeded.
pub(super) fn note_whole(inexact: bool, up: bool, env: &mut Env) {
    env.c1 = up;
    if inexact {
        env.raise(Flags::PE);
    }
}

/// CVTSD2SI, CVTTSD2SI, FIST, FISTTP: converts to a signed integer, sign-extended to 64 bits. Out
/// of range, infinite or not a number: raises IE, and the answer is [`IntWidth::indefinite`].
#[inline]
pub fn to_signed<F: Format>(a: F::Bits, width: IntWidth, rounding: Rounding, env: &mut Env) -> i64 {
    if rounding == Rounding::Zero
        && let Some((value, exact)) = F::host_truncate(a)
        && (exact || env.inexact_known)
        && value << (64 - width.bits()) >> (64 - width.bits()) == value
    {
        return value;
    }
    to_signed_unpacked(operand::<F>(a, env), width, rounding, env)
}

fn to_signed_unpacked(a: Unpacked, width: IntWidth, rounding: Rounding, env: &mut Env) -> i64 {
    let limit = (1u64 << (width.bits() - 1)) - u64::from(!a.negative);
    match round_whole(a, rounding) {
        Some(w) if w.magnitude <= limit => {
            note_whole(w.inexact, w.up, env);
            let value = w.magnitude as i64;
            if a.negative { value.wrapping_neg() } else { value }
        }
        _ => {
            env.raise(Flags::IE);
            width.indefinite()
        }
    }
}

/// Converts to an unsigned integer. Out of range (negative, unless it rounds to zero), infinite or
/// not a number: raises IE, and the answer is all ones.
pub fn to_unsigned<F: Format>(a: F::Bits, width: IntWidth, rounding: Rounding, env: &mut Env) -> u64 {
    let a = operand::<F>(a, env);
    let limit = u64::MAX >> (64 - width.bits());
    match round_whole(a, rounding) {
        Some(w) if w.magnitude <= limit && (!a.negative || w.magnitude == 0) => {
            note_whole(w.inexact, w.up, env);
            w.magnitude
        }
        _ => {
            env.raise(Flags::IE);
            limit
        }
    }
}

/// CVTSI2SD, FILD: converts a signed integer.
#[inline]
pub fn from_signed<F: Format>(value: i64, env: &mut Env) -> F::Bits {
    let exact = value.unsigned_abs() >> (F::PRECISION - 1) == 0;
    if (exact || env.inexact_known)
        && let Some(result) = F::host_from_signed(value)
    {
        return result;
    }
    from_magnitude::<F>(value < 0, value.unsigned_abs(), env)
}

/// Converts an unsigned integer.
pub fn from_unsigned<F: Format>(value: u64, env: &mut Env) -> F::Bits {
    from_magnitude::<F>(false, value, env)
}

/// Converts a sign and a magnitude.
pub(super) fn from_magnitude<F: Format>(neg: bool, magnitude: u64, env: &mut Env) -> F::Bits {
    if magnitude == 0 {
        return zero::<F>(neg);
    }
    round::<F>(Unrounded::new(neg, 63, u128::from(magnitude) << 64), env)
}

/// ROUNDSS, FRNDINT: rounds to an integral number. ROUNDSS can suppress PE.
pub fn round_to_integral<F: Format>(a: F::Bits, rounding: Rounding, report_inexact: bool, env: &mut Env) -> F::Bits {
    let a = operand::<F>(a, env);
    if let Some(nan) = screen::<F>(a, env) {
        return nan;
    }
    if a.is_zero() {
        return zero::<F>(a.negative);
    }
    if F::EXTENDED {
        note_denormals(&[a], env);
    }
    if a.is_infinity() || a.exp >= F::PRECISION as i32 - 1 {
        return repack::<F>(a, env);
    }
    let Some(w) = round_whole(a, rounding) else {
        return repack::<F>(a, env);
    };
    let result = from_magnitude::<F>(a.negative, w.magnitude, env);
    note_whole(w.inexact && report_inexact, w.up, env);
    result
}

/// A large number or an infinity as it was.
fn repack<F: Format>(a: Unpacked, env: &mut Env) -> F::Bits {
    if a.is_infinity() {
        return super::round::infinity::<F>(a.negative);
    }
    round::<F>(exactly(a), env)
}
