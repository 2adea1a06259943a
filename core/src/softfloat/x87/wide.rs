//! The arithmetic inside the transcendental functions: 128-bit significands, and fractions in
//! fixed point.
//!
//! A fraction "in Q127" is an integer that counts units of 2^-127, so that 2^127 is one; in Q128
//! one does not fit.

use super::super::round::{Unrounded, shift_right_sticky};

/// One in Q127.
pub(super) const ONE: u128 = 1 << 127;

/// The high and low halves of a product.
const fn full_product(a: u128, b: u128) -> (u128, u128) {
    const LOW: u128 = u64::MAX as u128;
    let (a1, a0, b1, b0) = (a >> 64, a & LOW, b >> 64, b & LOW);
    let low = a0 * b0;
    let middle = a1 * b0 + (low >> 64);
    let other = a0 * b1 + (middle & LOW);
    (a1 * b1 + (middle >> 64) + (other >> 64), other << 64 | low & LOW)
}

/// `a * b / 2^128`, truncated.
pub(super) const fn high_product(a: u128, b: u128) -> u128 {
    full_product(a, b).0
}

/// The product, with a sticky bit.
pub(super) const fn mul(a: Unrounded, b: Unrounded) -> Unrounded {
    let (high, low) = full_product(a.sig, b.sig);
    let sig = if high >> 127 == 0 { high << 1 | low >> 127 } else { high };
    let lost = if high >> 127 == 0 { low << 1 } else { low };
    Unrounded {
        negative: a.negative != b.negative,
        exp: a.exp + b.exp + (high >> 127) as i32,
        sig: sig | (lost != 0) as u128,
    }
}

/// The quotient, with a sticky bit.
pub(super) fn div(a: Unrounded, b: Unrounded) -> Unrounded {
    // One quotient bit at a time; `rest < b.sig` holds at the head of the loop.
    let first = a.sig >= b.sig;
    let mut rest = if first { a.sig - b.sig } else { a.sig };
    let mut sig = u128::from(first);
    let bits = if first { 127 } else { 128 };
    for _ in 0..bits {
        let over = rest >> 127 != 0;
        rest <<= 1;
        let fits = over || rest >= b.sig;
        if fits {
            rest = rest.wrapping_sub(b.sig);
        }
        sig = sig << 1 | u128::from(fits);
    }
    Unrounded {
        negative: a.negative != b.negative,
        exp: a.exp - b.exp - i32::from(!first),
        sig: sig | u128::from(rest != 0),
    }
}

/// A magnitude below one in Q128.
pub(super) fn fraction(a: Unrounded) -> u128 {
    shift_right_sticky(a.sig, (-1i32).wrapping_sub(a.exp) as u32)
}

/// The square of a magnitude below one in Q128.
pub(super) fn square_fraction(a: Unrounded) -> u128 {
    fraction(mul(a, a))
}

/// `a` times a factor in Q127.
pub(super) fn scaled(a: Unrounded, factor: u128) -> Unrounded {
    mul(a, Unrounded::new(false, 0, factor))
}

/// A transcendental number is never exact, even where 128 bits do not show it.
pub(super) fn inexact(a: Unrounded) -> Unrounded {
    Unrounded { sig: a.sig | 1, ..a }
}

/// The reciprocals of the odd numbers 1, 3, 5 ... in Q127.
pub(super) const fn odd_reciprocals<const N: usize>() -> [u128; N] {
    let mut table = [0; N];
    let mut i = 0;
    while i < N {
        table[i] = ONE / (2 * i as u128 + 1);
        i += 1;
    }
    table
}
