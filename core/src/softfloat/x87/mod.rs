//! What only the x87 has: mixed-format operands, loads and stores, partial remainders, scaling,
//! packed decimal, constants and transcendental functions.
//!
//! Each function is one instruction of Intel SDM volume 2, chapter 3, without the register stack:
//! tags, stack faults, pops and FIP/FDP belong to the caller. An `Option` that is `None` means
//! "operand out of range": set C2 and leave the stack alone.
//!
//! FABS and FCHS are [`F80::abs`](super::F80::abs) and [`F80::negate`](super::F80::negate), FXAM is
//! [`F80::class`](super::F80::class), FRNDINT is [`round_to_integral`](super::round_to_integral),
//! FSQRT is [`sqrt`](super::sqrt), FIST and FISTTP are [`to_signed`](super::to_signed), FILD is
//! [`from_signed`](super::from_signed).
//!
//! The transcendental functions are computed to about 120 bits and then rounded as the control
//! word says, so they differ from Intel's (which are within one unit in the last place) in a
//! small share of last bits. Sine, cosine and tangent reduce their operand with Intel's 66-bit
//! pi, as SDM volume 1, 8.3.8 "Approximation of Pi" has it.

mod arc_tangent;
mod constant;
mod decimal;
mod exponential;
mod memory;
mod remainder;
mod scale;
mod trigonometric;
mod wide;

use super::env::{Env, Flags};
use super::format::{Class, F80, Format, Unpacked};
use super::round::{Unrounded, round};

pub use arc_tangent::fpatan;
pub use constant::{Constant, constant};
pub use decimal::{fbld, fbstp};
pub use exponential::{f2xm1, fyl2x, fyl2xp1};
pub use memory::{Arith, arith, compare_with, load, store};
pub use remainder::{PartialRemainder, fprem, fprem1};
pub use scale::{fscale, fxtract};
pub use trigonometric::{fcos, fptan, fsin, fsincos};

/// A finite number that an instruction leaves alone: only a pseudo-denormal becomes normal. Not
/// even an unmasked underflow is raised.
fn normalised(bits: F80, unpacked: Unpacked) -> F80 {
    if unpacked.is_denormal() { F80::pack(unpacked.negative, (bits.sig >> 63) as u32, bits.sig) } else { bits }
}

/// Rounds, and calls the result inexact even if it is exact, as the processor does.
fn round_inexact(value: Unrounded, env: &mut Env) -> F80 {
    let result = round::<F80>(value, env);
    env.raise(Flags::PE);
    if result.class() == Class::Denormal {
        env.raise(Flags::UE);
    }
    result
}
