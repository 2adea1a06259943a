//! Fused multiply-add.

use super::arith::{exactly, operand, product, zero_sum};
use super::env::{Env, Flags};
use super::format::{Class, Format, Unpacked};
use super::nan::{invalid, note_denormals, quieted};
use super::round::{Unrounded, infinity, round, zero};

/// `a * b + c`, rounded once; [`F32`](super::F32) and [`F64`](super::F64). Of several NaNs the
/// first in the order a, b, c is the answer.
pub fn fused_multiply_add<F: Format>(a: F::Bits, b: F::Bits, c: F::Bits, env: &mut Env) -> F::Bits {
    let [a, b, c] = [a, b, c].map(|bits| operand::<F>(bits, env));
    if let Some(nan) = screen_three::<F>([a, b, c], env) {
        return nan;
    }
    let infinite = a.is_infinity() || b.is_infinity();
    let none = a.is_zero() || b.is_zero();
    let negative = a.negative != b.negative;
    if infinite && (none || c.is_infinity() && c.negative != negative) {
        return invalid::<F>(env);
    }
    note_denormals(&[a, b, c], env);
    if infinite {
        return infinity::<F>(negative);
    }
    if c.is_infinity() {
        return infinity::<F>(c.negative);
    }
    let product = (!none).then(|| product(a, b));
    finish::<F>(product, negative, c, env)
}

fn screen_three<F: Format>(operands: [Unpacked; 3], env: &mut Env) -> Option<F::Bits> {
    if operands.iter().any(|u| u.class == Class::Signalling) {
        env.raise(Flags::IE);
    }
    operands.into_iter().find(|u| u.is_nan()).map(quieted::<F>)
}

/// Adds the product (none: a signed zero) and a finite number.
fn finish<F: Format>(product: Option<Unrounded>, negative: bool, c: Unpacked, env: &mut Env) -> F::Bits {
    let sum = match (product, c.is_zero()) {
        (None, true) if negative == c.negative => return zero::<F>(negative),
        (None, true) => None,
        (Some(product), true) => Some(product),
        (None, false) => Some(exactly(c)),
        (Some(product), false) => product.sum(exactly(c)),
    };
    match sum {
        Some(sum) => round::<F>(sum, env),
        None => zero_sum::<F>(env),
    }
}
