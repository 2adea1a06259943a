//! Addition, subtraction, multiplication, division and square root.

use super::env::{Env, Flags, Rounding};
use super::format::{Format, Unpacked};
use super::nan::{invalid, note_denormals, screen, screen_two};
use super::round::{Unrounded, infinity, round_arithmetic, zero};

/// Takes an operand apart, as DAZ wants to see it.
#[inline]
pub(super) fn operand<F: Format>(bits: F::Bits, env: &Env) -> Unpacked {
    F::unpack(bits).flushed(env.daz)
}

/// `a + b`
#[inline]
pub fn add<F: Format>(a: F::Bits, b: F::Bits, env: &mut Env) -> F::Bits {
    if env.inexact_known
        && let Some(sum) = F::host_add(a, b)
    {
        return sum;
    }
    add_unpacked::<F>(operand::<F>(a, env), operand::<F>(b, env), env)
}

/// `a - b`
#[inline]
pub fn sub<F: Format>(a: F::Bits, b: F::Bits, env: &mut Env) -> F::Bits {
    if env.inexact_known
        && let Some(difference) = F::host_sub(a, b)
    {
        return difference;
    }
    sub_unpacked::<F>(operand::<F>(a, env), operand::<F>(b, env), env)
}

/// `a * b`
#[inline]
pub fn mul<F: Format>(a: F::Bits, b: F::Bits, env: &mut Env) -> F::Bits {
    if env.inexact_known
        && let Some(product) = F::host_mul(a, b)
    {
        return product;
    }
    mul_unpacked::<F>(operand::<F>(a, env), operand::<F>(b, env), env)
}

/// `a / b`
#[inline]
pub fn div<F: Format>(a: F::Bits, b: F::Bits, env: &mut Env) -> F::Bits {
    if env.inexact_known
        && let Some(quotient) = F::host_div(a, b)
    {
        return quotient;
    }
    div_unpacked::<F>(operand::<F>(a, env), operand::<F>(b, env), env)
}

/// The square root of `a`
#[inline]
pub fn sqrt<F: Format>(a: F::Bits, env: &mut Env) -> F::Bits {
    if env.inexact_known
        && let Some(root) = F::host_sqrt(a)
    {
        return root;
    }
    sqrt_unpacked::<F>(operand::<F>(a, env), env)
}

/// A finite non-zero number as a result to be rounded.
#[inline]
pub(super) fn exactly(a: Unpacked) -> Unrounded {
    Unrounded { negative: a.negative, exp: a.exp, sig: u128::from(a.sig) << 64 }
}

/// The sign of a sum that is exactly zero.
#[inline]
pub(super) fn zero_sum<F: Format>(env: &Env) -> F::Bits {
    zero::<F>(env.rounding == Rounding::Down)
}

#[inline(never)]
pub(super) fn add_unpacked<F: Format>(a: Unpacked, b: Unpacked, env: &mut Env) -> F::Bits {
    if let Some(nan) = screen_two::<F>(a, b, env) {
        return nan;
    }
    if a.is_infinity() && b.is_infinity() && a.negative != b.negative {
        return invalid::<F>(env);
    }
    note_denormals(&[a, b], env);
    if a.is_infinity() || b.is_infinity() {
        return infinity::<F>(if a.is_infinity() { a.negative } else { b.negative });
    }
    let sum = match (a.is_zero(), b.is_zero()) {
        (true, true) if a.negative == b.negative => return zero::<F>(a.negative),
        (true, true) => None,
        // The other operand is rounded too: the precision control may be shorter than it.
        (true, false) => Some(exactly(b)),
        (false, true) => Some(exactly(a)),
        (false, false) => exactly(a).sum(exactly(b)),
    };
    match sum {
        Some(sum) => round_arithmetic::<F>(sum, env),
        None => zero_sum::<F>(env),
    }
}

pub(super) fn sub_unpacked<F: Format>(a: Unpacked, b: Unpacked, env: &mut Env) -> F::Bits {
    // A NaN keeps its sign.
    let b = if b.is_nan() { b } else { b.negated() };
    add_unpacked::<F>(a, b, env)
}

/// The exact product of two finite non-zero numbers.
#[inline]
pub(super) fn product(a: Unpacked, b: Unpacked) -> Unrounded {
    let sig = u128::from(a.sig) * u128::from(b.sig);
    Unrounded::new(a.negative != b.negative, a.exp + b.exp + 1, sig)
}

#[inline(never)]
pub(super) fn mul_unpacked<F: Format>(a: Unpacked, b: Unpacked, env: &mut Env) -> F::Bits {
    if let Some(nan) = screen_two::<F>(a, b, env) {
        return nan;
    }
    let infinite = a.is_infinity() || b.is_infinity();
    let none = a.is_zero() || b.is_zero();
    if infinite && none {
        return invalid::<F>(env);
    }
    note_denormals(&[a, b], env);
    let negative = a.negative != b.negative;
    match (infinite, none) {
        (true, _) => infinity::<F>(negative),
        (_, true) => zero::<F>(negative),
        _ => round_arithmetic::<F>(product(a, b), env),
    }
}

/// The quotient of two finite non-zero numbers, with a sticky bit.
#[inline]
pub(super) fn quotient(a: Unpacked, b: Unpacked) -> Unrounded {
    let divisor = u128::from(b.sig);
    let first = u128::from(a.sig) << 63;
    let second = (first % divisor) << 64;
    let inexact = !second.is_multiple_of(divisor);
    let sig = ((first / divisor) << 64) | (second / divisor) | u128::from(inexact);
    Unrounded::new(a.negative != b.negative, a.exp - b.exp, sig)
}

#[inline(never)]
pub(super) fn div_unpacked<F: Format>(a: Unpacked, b: Unpacked, env: &mut Env) -> F::Bits {
    if let Some(nan) = screen_two::<F>(a, b, env) {
        return nan;
    }
    if a.is_infinity() && b.is_infinity() || a.is_zero() && b.is_zero() {
        return invalid::<F>(env);
    }
    let negative = a.negative != b.negative;
    if b.is_zero() && !a.is_infinity() {
        env.raise(Flags::ZE);
        return infinity::<F>(negative);
    }
    note_denormals(&[a, b], env);
    if a.is_infinity() {
        return infinity::<F>(negative);
    }
    if a.is_zero() || b.is_infinity() {
        return zero::<F>(negative);
    }
    round_arithmetic::<F>(quotient(a, b), env)
}

#[inline(never)]
fn sqrt_unpacked<F: Format>(a: Unpacked, env: &mut Env) -> F::Bits {
    if let Some(nan) = screen::<F>(a, env) {
        return nan;
    }
    if a.is_zero() {
        return zero::<F>(a.negative);
    }
    if a.negative {
        return invalid::<F>(env);
    }
    if a.is_infinity() {
        return infinity::<F>(false);
    }
    note_denormals(&[a], env);
    round_arithmetic::<F>(root(a), env)
}

/// The square root of a positive number, with the bit after the 64th and a sticky bit.
fn root(a: Unpacked) -> Unrounded {
    let radicand = u128::from(a.sig) << (63 + (a.exp & 1));
    let root = radicand.isqrt();
    let rest = radicand - root * root;
    // (root + 1/2)^2 = root^2 + root + 1/4
    let half = u128::from(rest > root) << 63;
    Unrounded { negative: false, exp: a.exp >> 1, sig: root << 64 | half | u128::from(rest != 0) }
}
