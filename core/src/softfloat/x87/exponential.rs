//! F2XM1, FYL2X and FYL2XP1.

use super::super::arith::exactly;
use super::super::env::{Env, Flags};
use super::super::format::{F80, Format, Unpacked};
use super::super::nan::{invalid, note_denormals, screen, screen_two};
use super::super::round::{Unrounded, infinity, round, zero};
use super::constant::{LN_TWO, LOG2_E};
use super::round_inexact;
use super::wide::{ONE, div, fraction, high_product, inexact, mul, odd_reciprocals, scaled, square_fraction};

/// Terms of the exponential series: (ln 2)^31 / 32! < 2^-130.
const TERMS: u128 = 31;

/// Terms of the logarithm's series: an argument of at most 0.172 leaves 2^-130.
const ODD_RECIPROCALS: [u128; 26] = odd_reciprocals();

/// The square root of two in Q127, where the logarithm's operand is folded.
const ROOT_TWO: u128 = 0xb504_f333_f9de_6484_597d_89b3_754a_be9f;

/// F2XM1: `2^st0 - 1`. Beyond -1 to 1, where the SDM leaves it undefined, the operand stays.
pub fn f2xm1(st0: F80, env: &mut Env) -> F80 {
    let a = F80::unpack(st0);
    if let Some(nan) = screen::<F80>(a, env) {
        return nan;
    }
    if a.is_infinity() {
        return if a.negative { F80::ONE.negate() } else { F80::INFINITY };
    }
    if a.is_zero() {
        return zero::<F80>(a.negative);
    }
    note_denormals(&[a], env);
    if a.exp >= 0 {
        return exponential_of_one(st0, env);
    }
    round::<F80>(exponential(mul(exactly(a), LN_TWO)), env)
}

/// F2XM1 of a magnitude of one or more, always with PE: the processor calls even the exact
/// answers for plus and minus one inexact, and leaves the operand alone beyond.
fn exponential_of_one(st0: F80, env: &mut Env) -> F80 {
    env.raise(Flags::PE);
    if st0 == F80::ONE.negate() {
        return F80::new(0xbffe, 1 << 63);
    }
    st0
}

/// `e^y - 1 = y (1 + y/2 (1 + y/3 (1 + ...)))` for a magnitude of at most ln 2.
fn exponential(y: Unrounded) -> Unrounded {
    let size = fraction(y);
    let sum = (2..=TERMS).rev().fold(ONE, |sum, k| {
        let term = high_product(size, sum) / k;
        if y.negative { ONE - term } else { ONE + term }
    });
    inexact(scaled(y, sum))
}

/// FYL2X: `st1 * log2(st0)`.
pub fn fyl2x(st0: F80, st1: F80, env: &mut Env) -> F80 {
    let (x, y) = (F80::unpack(st0), F80::unpack(st1));
    if let Some(nan) = screen_two::<F80>(x, y, env) {
        return nan;
    }
    if x.negative && !x.is_zero() {
        return invalid::<F80>(env);
    }
    let logarithm = if x.is_zero() {
        Logarithm::Infinite(true)
    } else if x.is_infinity() {
        Logarithm::Infinite(false)
    } else {
        Logarithm::finite(log2(exactly(x)), false)
    };
    let pole = x.is_zero() && !y.is_infinity();
    multiply(logarithm, x, y, pole, env)
}

/// FYL2XP1: `st1 * log2(st0 + 1)`. The SDM defines it for magnitudes of `st0` up to 1 - sqrt(1/2);
/// the processor computes it for all numbers above -1, and leaves others alone.
pub fn fyl2xp1(st0: F80, st1: F80, env: &mut Env) -> F80 {
    let (x, y) = (F80::unpack(st0), F80::unpack(st1));
    if let Some(nan) = screen_two::<F80>(x, y, env) {
        return nan;
    }
    if x.negative && x.is_infinity() {
        return invalid::<F80>(env);
    }
    let undefined = x.negative && !x.is_zero() && x.exp >= 0;
    if undefined && !y.is_zero() && !y.is_infinity() {
        note_denormals(&[y], env);
        env.raise(Flags::PE);
        return st0;
    }
    let logarithm = if x.is_infinity() {
        Logarithm::Infinite(false)
    } else if x.is_zero() {
        Logarithm::Zero(x.negative)
    } else if undefined {
        // Only its sign matters.
        Logarithm::Finite(exactly(x))
    } else {
        Logarithm::finite(log2_of_one_plus(exactly(x)), x.negative)
    };
    multiply(logarithm, x, y, false, env)
}

/// A logarithm that may be a special case.
enum Logarithm {
    Zero(bool),
    Infinite(bool),
    Finite(Unrounded),
}

impl Logarithm {
    fn finite(value: Option<Unrounded>, negative_zero: bool) -> Self {
        value.map_or(Self::Zero(negative_zero), Self::Finite)
    }

    const fn is_negative(&self) -> bool {
        match self {
            Self::Zero(negative) | Self::Infinite(negative) => *negative,
            Self::Finite(value) => value.negative,
        }
    }
}

/// `y` times the logarithm of `x`.
fn multiply(log: Logarithm, x: Unpacked, y: Unpacked, pole: bool, env: &mut Env) -> F80 {
    let negative = log.is_negative() != y.negative;
    match log {
        Logarithm::Zero(_) if y.is_infinity() => return invalid::<F80>(env),
        Logarithm::Infinite(_) if y.is_zero() => return invalid::<F80>(env),
        Logarithm::Infinite(_) if pole => {
            env.raise(Flags::ZE);
            return infinity::<F80>(negative);
        }
        Logarithm::Zero(_) | Logarithm::Infinite(_) | Logarithm::Finite(_) => {}
    }
    note_denormals(&[x, y], env);
    match log {
        Logarithm::Infinite(_) => infinity::<F80>(negative),
        Logarithm::Zero(_) => zero::<F80>(negative),
        Logarithm::Finite(_) if y.is_infinity() => infinity::<F80>(negative),
        Logarithm::Finite(_) if y.is_zero() => zero::<F80>(negative),
        Logarithm::Finite(value) => round_inexact(mul(value, exactly(y)), env),
    }
}

/// The binary logarithm of a positive number; none if it is zero. Only powers of two have an
/// exact one.
fn log2(x: Unrounded) -> Option<Unrounded> {
    // x = m * 2^exp, with m (in Q126) from sqrt(1/2) to sqrt(2)
    let folded = x.sig > ROOT_TWO;
    let exp = x.exp + i32::from(folded);
    let m = x.sig >> (1 + u32::from(folded));
    let whole = (exp != 0).then(|| Unrounded::new(exp < 0, 127, u128::from(exp.unsigned_abs())));
    let distance = m.abs_diff(ONE >> 1);
    if distance == 0 {
        return whole;
    }
    let numerator = Unrounded::new(folded, 1, distance);
    let fractional = log2_series(div(numerator, Unrounded::new(false, 1, m + (ONE >> 1))));
    match whole {
        Some(whole) => whole.sum(fractional).map(inexact),
        None => Some(fractional),
    }
}

/// The binary logarithm of `1 + x` for x above -1; none if it is zero.
fn log2_of_one_plus(x: Unrounded) -> Option<Unrounded> {
    if x.exp >= -2 {
        return Unrounded::new(false, 0, ONE).sum(x).and_then(log2);
    }
    let two_plus = Unrounded::new(false, 1, ONE).sum(x)?;
    Some(log2_series(div(x, two_plus)))
}

/// `log2((1 + s) / (1 - s)) = 2/ln 2 * (s + s^3/3 + s^5/5 + ...)`
fn log2_series(s: Unrounded) -> Unrounded {
    let z = square_fraction(s);
    let sum = ODD_RECIPROCALS.iter().rev().fold(0, |sum, &term| term + high_product(z, sum));
    let doubled = Unrounded { exp: LOG2_E.exp + 1, ..LOG2_E };
    inexact(mul(scaled(s, sum), doubled))
}
