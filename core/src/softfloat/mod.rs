//! Floating-point arithmetic of the virtual CPU: integer-only, and the same bits on every host.
//!
//! The part modelled is the floating-point unit of an Intel processor: x87 and SSE. Documents:
//! Intel SDM volume 1, 4.8.3.5 "Operating on SNaNs and QNaNs", 4.9.2 "Floating-Point Exception
//! Priority", 8.5 "x87 FPU Floating-Point Exception Conditions", 11.5.2 "SIMD Floating-Point
//! Exception Conditions"; volume 2 for the tables of special cases of each x87 instruction;
//! IEEE 754-2008. Where the document is silent, the hardware was asked
//! (`tests/tests/softfloat_silicon.rs`).
//!
//! # How to call it
//!
//! Numbers are bit patterns: `u16`, `u32`, `u64` for [`F16`], [`F32`], [`F64`], and [`F80`] itself
//! for the x87 extended format. Operations are free functions, generic over the [`Format`]:
//!
//! ```
//! use reprise_core::softfloat::{self, Env, F64};
//! let mut env = Env::from_mxcsr(0x1f80);
//! let third = softfloat::div::<F64>(1f64.to_bits(), 3f64.to_bits(), &mut env);
//! assert_eq!(third, (1f64 / 3f64).to_bits());
//! assert_eq!(env.flags, softfloat::Flags::PE);
//! ```
//!
//! Make an [`Env`] for each *instruction* ([`Env::from_mxcsr`] or [`Env::from_control_word`]), use
//! it for all its elements, then
//!
//! * SSE: `if env.settle() { MXCSR |= env.flags; raise #XM, write nothing } else { MXCSR |=
//!   env.flags; write the result }`.
//! * x87: `env.settle()`, status |= `env.flags`, C1 = `env.c1`; leave a *register* destination (and
//!   the stack: no push, no pop) alone if [`Env::blocks_register`], a *memory* destination if
//!   [`Env::blocks_memory`]. Comparisons set C0, C2, C3 (FCOMI: EFLAGS) even so, and only do not
//!   pop; FPREM keeps them; FLD m32 and m64 push in spite of an unmasked DE.
//!
//! # What there is
//!
//! | for SSE, by format | |
//! | --- | --- |
//! | [`add`] [`sub`] [`mul`] [`div`] [`sqrt`] [`fused_multiply_add`] | arithmetic |
//! | [`compare`] | `Relation`, quiet (UCOMIS) or signalling (COMIS) |
//! | [`min`] [`max`] | MINPS, MAXPS |
//! | [`convert`] | between [`F16`], [`F32`], [`F64`] |
//! | [`to_signed`] [`to_unsigned`] [`from_signed`] [`from_unsigned`] | integers |
//! | [`round_to_integral`] | ROUNDSS, FRNDINT |
//!
//! The x87 uses the same functions with [`F80`] and, in addition, [`x87`]: arithmetic with memory
//! operands, loads and stores, partial remainders, scaling, packed decimal, constants and the
//! transcendental functions.
//!
//! # Signatures
//!
//! ```text
//! add, sub, mul, div       <F: Format>(a: F::Bits, b: F::Bits, env: &mut Env) -> F::Bits
//! sqrt                     <F>(a: F::Bits, env) -> F::Bits
//! fused_multiply_add       <F>(a, b, c, env) -> F::Bits           a * b + c
//! compare                  <F>(a, b, rule: NanRule, env) -> Relation
//! min, max                 <F>(a, b, env) -> F::Bits
//! convert                  <S, D>(a: S::Bits, env) -> D::Bits
//! to_signed                <F>(a, width: IntWidth, rounding: Rounding, env) -> i64
//! to_unsigned              <F>(a, width: IntWidth, rounding: Rounding, env) -> u64
//! from_signed              <F>(value: i64, env) -> F::Bits
//! from_unsigned            <F>(value: u64, env) -> F::Bits
//! round_to_integral        <F>(a, rounding: Rounding, report_inexact: bool, env) -> F::Bits
//! x87::arith               <M>(op: Arith, st: F80, operand: M::Bits, env) -> F80
//! x87::compare_with        <M>(st: F80, operand: M::Bits, rule: NanRule, env) -> Relation
//! x87::load                <M>(bits: M::Bits, env) -> F80
//! x87::store               <M>(a: F80, env) -> M::Bits
//! x87::fprem, fprem1       (st0: F80, st1: F80, env) -> PartialRemainder
//! x87::fscale              (st0, st1, env) -> F80
//! x87::fxtract             (st0, env) -> (significand: F80, exponent: F80)
//! x87::fbld                (bytes: [u8; 10], env) -> F80
//! x87::fbstp               (st0, env) -> [u8; 10]
//! x87::constant            (which: Constant, rounding: Rounding) -> F80
//! x87::fsin, fcos          (st0, env) -> Option<F80>
//! x87::fsincos             (st0, env) -> Option<(sine: F80, cosine: F80)>
//! x87::fptan               (st0, env) -> Option<(tangent: F80, pushed: F80)>
//! x87::fpatan              (st0, st1, env) -> F80                  arctan(st1 / st0)
//! x87::f2xm1               (st0, env) -> F80
//! x87::fyl2x, fyl2xp1      (st0, st1, env) -> F80                  st1 * log2(st0 [+ 1])
//! ```
//!
//! Not modelled: decimal and bfloat16 formats, the 8087/287 infinity and rounding variants.

mod arith;
mod compare;
mod convert;
mod env;
mod format;
mod fused;
mod host;
mod integer;
mod nan;
mod round;
#[cfg(test)]
mod tests;
pub mod x87;

pub use arith::{add, div, mul, sqrt, sub};
pub use compare::{NanRule, Relation, compare, max, min};
pub use convert::convert;
pub use env::{Env, Flags, Precision, Rounding};
pub use format::{Class, F16, F32, F64, F80, Format};
pub use fused::fused_multiply_add;
pub use integer::{IntWidth, from_signed, from_unsigned, round_to_integral, to_signed, to_unsigned};
