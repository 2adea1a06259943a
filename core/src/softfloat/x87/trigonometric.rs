//! FSIN, FCOS, FSINCOS and FPTAN.

use super::super::arith::exactly;
use super::super::env::{Env, Flags};
use super::super::format::{F80, Format, Unpacked};
use super::super::nan::{invalid, note_denormals, screen};
use super::super::round::{Unrounded, round, zero};
use super::round_inexact;
use super::wide::{ONE, div, high_product, inexact, scaled, square_fraction};

/// Half of Intel's pi, in units of 2^-65: 66 bits (SDM volume 1, 8.3.8 "Approximation of Pi").
const HALF_PI: u128 = 0xc_90fd_aa22_168c_234c >> 2;

/// Operands from 2^63 on are out of range.
const OUT_OF_RANGE: i32 = 63;

/// Below 2^-68 the processor answers with the operand, or one, in all rounding modes.
const TINY: i32 = -68;

/// Terms of the sine and cosine series: (pi/4)^34 / 34! < 2^-130.
const TERMS: u128 = 17;

/// An operand as `quarters * pi/2 + rest`, with the magnitude of the rest at most pi/4.
struct Reduced {
    quarters: u32,
    rest: Unrounded,
}

impl Reduced {
    /// Of a finite non-zero number below 2^63.
    fn new(a: Unpacked) -> Self {
        if a.exp < -2 {
            return Self { quarters: 0, rest: exactly(a) };
        }
        let (quarters, rest) = divide(u128::from(a.sig), (a.exp + 2) as u32);
        let past_middle = rest * 2 > HALF_PI;
        let magnitude = if past_middle { HALF_PI - rest } else { rest };
        let quarters = quarters + u32::from(past_middle);
        // The angle of a negative operand is mirrored as a whole.
        Self {
            quarters: if a.negative { quarters.wrapping_neg() } else { quarters } & 3,
            rest: Unrounded::new(past_middle != a.negative, 62, magnitude),
        }
    }

    fn sine(&self) -> Unrounded {
        let result = if self.quarters & 1 == 0 { sine_series(self.rest) } else { cosine_series(self.rest) };
        negated_if(self.quarters & 2 != 0, result)
    }

    fn cosine(&self) -> Unrounded {
        let result = if self.quarters & 1 == 0 { cosine_series(self.rest) } else { sine_series(self.rest) };
        negated_if(matches!(self.quarters, 1 | 2), result)
    }
}

fn negated_if(negate: bool, a: Unrounded) -> Unrounded {
    Unrounded { negative: a.negative != negate, ..a }
}

/// `value * 2^shift` divided by [`HALF_PI`]: the quotient modulo 4 and the rest, which is never
/// zero, as `HALF_PI` is odd and longer than `value`.
fn divide(value: u128, shift: u32) -> (u32, u128) {
    let mut rest = value % HALF_PI;
    let mut quotient = value / HALF_PI;
    let mut left = shift;
    while left > 0 {
        let step = left.min(60);
        let shifted = rest << step;
        quotient = (quotient << step).wrapping_add(shifted / HALF_PI) & 3;
        rest = shifted % HALF_PI;
        left -= step;
    }
    ((quotient & 3) as u32, rest)
}

/// `1 - z/(f(1)) * (1 - z/(f(2)) * (1 - ...))` in Q127, and below one.
fn alternating(z: u128, factors: impl Fn(u128) -> u128) -> u128 {
    let sum = (1..=TERMS).rev().fold(ONE, |sum, k| ONE - high_product(z, sum) / factors(k));
    sum.min(ONE - 1)
}

fn sine_series(a: Unrounded) -> Unrounded {
    let factor = alternating(square_fraction(a), |k| 2 * k * (2 * k + 1));
    inexact(scaled(a, factor))
}

fn cosine_series(a: Unrounded) -> Unrounded {
    let cosine = alternating(square_fraction(a), |k| (2 * k - 1) * 2 * k);
    inexact(Unrounded::new(false, 0, cosine))
}

/// What an operand leads to.
enum Angle {
    /// Not a number, or infinite: this is the answer.
    Answer(F80),
    Zero(bool),
    OutOfRange,
    Tiny(Unpacked),
    Finite(Reduced),
}

fn angle(st0: F80, env: &mut Env) -> Angle {
    let a = F80::unpack(st0);
    if let Some(nan) = screen::<F80>(a, env) {
        return Angle::Answer(nan);
    }
    if a.is_infinity() {
        return Angle::Answer(invalid::<F80>(env));
    }
    if a.is_zero() {
        return Angle::Zero(a.negative);
    }
    if a.exp >= OUT_OF_RANGE {
        return Angle::OutOfRange;
    }
    note_denormals(&[a], env);
    if a.exp < TINY {
        return Angle::Tiny(a);
    }
    Angle::Finite(Reduced::new(a))
}

/// The sine or tangent of a tiny angle: itself, and inexact.
fn itself(a: Unpacked, env: &mut Env) -> F80 {
    round_inexact(exactly(a), env)
}

/// The cosine of a tiny angle: one, and inexact.
fn one(_: Unpacked, env: &mut Env) -> F80 {
    env.raise(Flags::PE);
    F80::ONE
}

/// FSIN; none if out of range.
pub fn fsin(st0: F80, env: &mut Env) -> Option<F80> {
    fsin_or_cos(st0, env, zero::<F80>, itself, Reduced::sine)
}

/// FCOS; none if out of range.
pub fn fcos(st0: F80, env: &mut Env) -> Option<F80> {
    fsin_or_cos(st0, env, |_| F80::ONE, one, Reduced::cosine)
}

fn fsin_or_cos(
    st0: F80,
    env: &mut Env,
    of_zero: fn(bool) -> F80,
    of_tiny: fn(Unpacked, &mut Env) -> F80,
    of_number: fn(&Reduced) -> Unrounded,
) -> Option<F80> {
    match angle(st0, env) {
        Angle::Answer(answer) => Some(answer),
        Angle::Zero(negative) => Some(of_zero(negative)),
        Angle::OutOfRange => None,
        Angle::Tiny(a) => Some(of_tiny(a, env)),
        Angle::Finite(reduced) => Some(round::<F80>(of_number(&reduced), env)),
    }
}

/// FSINCOS: the sine, which replaces ST(0), and the cosine, which is pushed; none if out of range.
pub fn fsincos(st0: F80, env: &mut Env) -> Option<(F80, F80)> {
    match angle(st0, env) {
        Angle::Answer(answer) => Some((answer, answer)),
        Angle::Zero(negative) => Some((zero::<F80>(negative), F80::ONE)),
        Angle::OutOfRange => None,
        Angle::Tiny(a) => Some((itself(a, env), F80::ONE)),
        Angle::Finite(reduced) => {
            let sine = round::<F80>(reduced.sine(), env);
            Some((sine, round::<F80>(reduced.cosine(), env)))
        }
    }
}

/// FPTAN: the tangent, which replaces ST(0), and what is pushed: 1.0, or the NaN once more; none
/// if out of range.
pub fn fptan(st0: F80, env: &mut Env) -> Option<(F80, F80)> {
    match angle(st0, env) {
        Angle::Answer(answer) => Some((answer, answer)),
        Angle::Zero(negative) => Some((zero::<F80>(negative), F80::ONE)),
        Angle::OutOfRange => None,
        Angle::Tiny(a) => Some((itself(a, env), F80::ONE)),
        Angle::Finite(reduced) => {
            let tangent = inexact(div(reduced.sine(), reduced.cosine()));
            Some((round::<F80>(tangent, env), F80::ONE))
        }
    }
}
