//! Rounding an exact (or sticky) result and putting it into a format.

use super::env::{Env, Flags, Rounding};
use super::format::Format;

/// What an unmasked x87 overflow or underflow takes from or adds to the exponent of the delivered
/// result (SDM volume 1, 8.5.4 "Numeric Overflow Exception", 8.5.5 "Numeric Underflow Exception").
const TRAP_BIAS: i32 = 24576;

/// A non-zero result before rounding: `sig / 2^127 * 2^exp`, bit 127 set. Bit 0 is sticky: it is
/// set if anything below it was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unrounded {
    pub(super) negative: bool,
    pub(super) exp: i32,
    pub(super) sig: u128,
}

impl Unrounded {
    /// Normalises. `exp` belongs to bit 127 of `sig`, which is not zero.
    #[inline]
    pub(super) const fn new(negative: bool, exp: i32, sig: u128) -> Self {
        let shift = sig.leading_zeros();
        assert!(shift < 128, "a zero has no exponent");
        Self { negative, exp: exp - shift as i32, sig: sig << shift }
    }

    /// The exact sum, with a sticky bit; none if it is zero.
    #[inline]
    pub(super) fn sum(self, other: Self) -> Option<Self> {
        let (big, small) = if self.exp >= other.exp { (self, other) } else { (other, self) };
        let distance = big.exp.wrapping_sub(small.exp) as u32;
        // One bit of room for the carry.
        let x = shift_right_sticky(big.sig, 1);
        let y = shift_right_sticky(small.sig, distance.saturating_add(1));
        let (negative, sig) = if big.negative == small.negative {
            (big.negative, x + y)
        } else if x >= y {
            (big.negative, x - y)
        } else {
            (small.negative, y - x)
        };
        (sig != 0).then(|| Self::new(negative, big.exp + 1, sig))
    }
}

/// Shifts right; what falls out is remembered in bit 0.
#[inline]
pub(super) const fn shift_right_sticky(value: u128, distance: u32) -> u128 {
    match distance {
        0 => value,
        1..=127 => value >> distance | (value << (128 - distance) != 0) as u128,
        _ => (value != 0) as u128,
    }
}

/// A significand cut to size.
struct Cut {
    /// Integer bit at 63.
    sig: u64,
    /// Rounding ran over: `sig` is 1.0 and the exponent must grow by one.
    carry: bool,
    inexact: bool,
    /// The magnitude grew.
    up: bool,
}

/// Decides whether to round the magnitude up. `odd` is the last bit that stays; `rest` is what
/// goes, as a fraction of `half * 2`.
#[inline]
pub(super) fn rounds_up(rounding: Rounding, negative: bool, odd: bool, rest: u128, half: u128) -> bool {
    match rounding {
        Rounding::NearestEven => rest > half || rest == half && odd,
        Rounding::Down => negative && rest != 0,
        Rounding::Up => !negative && rest != 0,
        Rounding::Zero => false,
    }
}

/// Cuts a significand to `bits` bits.
#[inline]
fn cut(sig: u128, bits: u32, negative: bool, rounding: Rounding) -> Cut {
    let unit = 1u64 << (64 - bits);
    let top = (sig >> 64) as u64;
    let kept = top & unit.wrapping_neg();
    let rest = sig - (u128::from(kept) << 64);
    let half = u128::from(unit) << 63;
    let up = rounds_up(rounding, negative, top & unit != 0, rest, half);
    let (sum, carry) = kept.overflowing_add(if up { unit } else { 0 });
    Cut { sig: if carry { 1 << 63 } else { sum }, carry, inexact: rest != 0, up }
}

/// Rounds to all bits of the format.
#[inline]
pub(super) fn round<F: Format>(value: Unrounded, env: &mut Env) -> F::Bits {
    round_to::<F>(value, F::PRECISION, env)
}

/// Rounds as arithmetic does: [`F80`](super::F80) obeys the precision control.
#[inline]
pub(super) fn round_arithmetic<F: Format>(value: Unrounded, env: &mut Env) -> F::Bits {
    let bits = if F::EXTENDED { env.precision.bits() } else { F::PRECISION };
    round_to::<F>(value, bits, env)
}

/// Rounds to `bits` bits in the range of the format.
#[inline]
fn round_to<F: Format>(value: Unrounded, bits: u32, env: &mut Env) -> F::Bits {
    let cut = cut(value.sig, bits, value.negative, env.rounding);
    let exp = value.exp + i32::from(cut.carry);
    if exp > F::BIAS {
        return overflow::<F>(value.negative, exp, bits, &cut, env);
    }
    if value.exp < F::MIN_EXP {
        // Tininess is decided after rounding, as if the exponent had no bound.
        return underflow::<F>(value, exp, bits, &cut, env);
    }
    deliver::<F>(value.negative, exp, &cut, env)
}

/// A normal result.
#[inline]
fn deliver<F: Format>(negative: bool, exp: i32, cut: &Cut, env: &mut Env) -> F::Bits {
    note(cut, env);
    F::pack(negative, (exp + F::BIAS) as u32, cut.sig)
}

/// PE and C1 of a rounding.
#[inline]
fn note(cut: &Cut, env: &mut Env) {
    env.c1 = cut.up;
    if cut.inexact {
        env.raise(Flags::PE);
    }
}

#[cold]
fn overflow<F: Format>(neg: bool, exp: i32, bits: u32, cut: &Cut, env: &mut Env) -> F::Bits {
    env.raise(Flags::OE);
    if !env.masks.intersects(Flags::OE) {
        if F::EXTENDED && exp - TRAP_BIAS <= F::BIAS {
            return deliver::<F>(neg, exp - TRAP_BIAS, cut, env);
        }
        note(cut, env);
        if F::EXTENDED {
            // Only FSCALE gets here: so large that no exponent will do.
            env.raise(Flags::PE);
            env.c1 = true;
            return infinity::<F>(neg);
        }
        return F::pack(neg, 2 * F::BIAS as u32, u64::MAX << (64 - bits));
    }
    env.raise(Flags::PE);
    let to_infinity = match env.rounding {
        Rounding::NearestEven => true,
        Rounding::Down => neg,
        Rounding::Up => !neg,
        Rounding::Zero => false,
    };
    env.c1 = to_infinity;
    if to_infinity {
        return infinity::<F>(neg);
    }
    F::pack(neg, 2 * F::BIAS as u32, u64::MAX << (64 - bits))
}

#[cold]
fn underflow<F: Format>(value: Unrounded, exp: i32, bits: u32, cut_unbounded: &Cut, env: &mut Env) -> F::Bits {
    let tiny = exp < F::MIN_EXP;
    let masked = env.masks.intersects(Flags::UE);
    if tiny && !masked {
        env.raise(Flags::UE);
        if F::EXTENDED {
            return underflow_unmasked::<F>(value.negative, exp, cut_unbounded, env);
        }
        // The result is not delivered; it is inexact if it were so without a bound.
        note(cut_unbounded, env);
        return zero::<F>(value.negative);
    }
    if tiny && masked && env.ftz {
        env.raise(Flags::UE.or(Flags::PE));
        return F::pack(value.negative, 0, 0);
    }
    let distance = F::MIN_EXP.wrapping_sub(value.exp) as u32;
    let sig = shift_right_sticky(value.sig, distance);
    let cut = cut(sig, bits, value.negative, env.rounding);
    note(&cut, env);
    if tiny && cut.inexact {
        env.raise(Flags::UE);
    }
    F::pack(value.negative, (cut.sig >> 63) as u32, cut.sig)
}

/// The x87 delivers the result with a larger exponent, or zero if even that is too small.
fn underflow_unmasked<F: Format>(neg: bool, exp: i32, cut: &Cut, env: &mut Env) -> F::Bits {
    if exp + TRAP_BIAS >= F::MIN_EXP {
        return deliver::<F>(neg, exp + TRAP_BIAS, cut, env);
    }
    env.raise(Flags::PE);
    env.c1 = false;
    zero::<F>(neg)
}

/// A signed infinity.
#[inline]
pub(super) fn infinity<F: Format>(negative: bool) -> F::Bits {
    F::pack(negative, 2 * F::BIAS as u32 + 1, 1 << 63)
}

/// A signed zero.
#[inline]
pub(super) fn zero<F: Format>(negative: bool) -> F::Bits {
    F::pack(negative, 0, 0)
}
