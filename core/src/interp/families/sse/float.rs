//! Floating-point arithmetic (SDM vol. 1, 10.4.1.2 SSE Arithmetic Instructions, 11.4.1.2 SSE2, 12.3 SSE3, 12.8.2
//! Floating-Point Dot Product, 12.8.5 Packed Rounding).

use super::form::{Form, by_form, form, from_register, mnemonic, plain, single, whole};
use super::lanes::{Lanes, build};
use super::operand::{Low, Mem, Rm, Source, Xmm};
use super::vex::{Vex128, Vex256};
use crate::cpu::{Exception, Vector as ExceptionVector, cr4};
use crate::interp::exec::{Exec, Outcome};
use crate::interp::op::{Handler, Lowering, Op};
use crate::interp::word::Integer;
use crate::softfloat::{self, Env, F32, F64, Format, Rounding};
use iced_x86::Mnemonic;

/// A format whose numbers are lanes.
pub(in crate::interp::families) trait Float: Format<Bits: Integer> {
    /// The low number of a vector.
    fn low(v: u128) -> Self::Bits;
    /// The vector with another low number.
    fn with_low(v: u128, low: Self::Bits) -> u128;
    /// Makes a vector number by number.
    fn vector(f: impl FnMut(usize) -> Self::Bits) -> u128;
    /// The number at an index.
    fn at(v: u128, index: usize) -> Self::Bits;
    /// How many numbers a vector has.
    const COUNT: usize;
}

macro_rules! float {
    ($format:ty, $bits:ty, $count:literal) => {
        impl Float for $format {
            const COUNT: usize = $count;
            #[inline(always)]
            fn low(v: u128) -> $bits {
                v as $bits
            }
            #[inline(always)]
            fn with_low(v: u128, low: $bits) -> u128 {
                v & !u128::from(<$bits>::MAX) | u128::from(low)
            }
            #[inline(always)]
            fn vector(f: impl FnMut(usize) -> $bits) -> u128 {
                build(f)
            }
            #[inline(always)]
            fn at(v: u128, index: usize) -> $bits {
                <u128 as Lanes<$bits>>::split(v)[index % $count]
            }
        }
    };
}

float!(F32, u32, 4);
float!(F64, u64, 2);

/// The environment of this instruction.
#[inline(always)]
pub(in crate::interp::families) fn env(x: &Exec<'_>) -> Env {
    Env::from_mxcsr(x.cpu.mxcsr)
}

/// Reports what was raised; an error if it is unmasked, and then nothing may be written.
#[inline(always)]
pub(in crate::interp::families) fn settle(x: &mut Exec<'_>, mut env: Env) -> Outcome {
    let fault = env.settle();
    x.cpu.mxcsr |= u32::from(env.flags.bits());
    if fault { unmasked(x) } else { Ok(()) }
}

#[cold]
fn unmasked(x: &mut Exec<'_>) -> Outcome {
    let reported = x.cpu.cr4 & cr4::OSXMMEXCPT != 0;
    x.raise(if reported { Exception::new(ExceptionVector::SimdError) } else { Exception::ud() })
}

/// An operation on two numbers.
trait Arithmetic {
    fn apply<F: Float>(a: F::Bits, b: F::Bits, env: &mut Env) -> F::Bits;
}

macro_rules! arithmetic {
    ($($name:ident($a:pat, $b:pat, $env:ident) = $value:expr;)*) => {$(
        struct $name;
        impl Arithmetic for $name {
            #[inline(always)]
            fn apply<F: Float>($a: F::Bits, $b: F::Bits, $env: &mut Env) -> F::Bits {
                $value
            }
        }
    )*};
}

arithmetic! {
    Add(a, b, env) = softfloat::add::<F>(a, b, env);
    Sub(a, b, env) = softfloat::sub::<F>(a, b, env);
    Mul(a, b, env) = softfloat::mul::<F>(a, b, env);
    Div(a, b, env) = softfloat::div::<F>(a, b, env);
    Min(a, b, env) = softfloat::min::<F>(a, b, env);
    Max(a, b, env) = softfloat::max::<F>(a, b, env);
    Sqrt(_, b, env) = softfloat::sqrt::<F>(b, env);
}

fn packed<V: Xmm, S: Source, F: Float, O: Arithmetic>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    V::ready(x)?;
    let b = S::get::<V>(x, op)?;
    let a = V::of(x, op.third);
    let mut env = env(x);
    let result = a.lanewise(b, |a, b, _| F::vector(|i| O::apply::<F>(F::at(a, i), F::at(b, i), &mut env)));
    settle(x, env)?;
    result.put(x, op.reg);
    Ok(())
}

fn scalar<V: Xmm, S: Source, F: Float, O: Arithmetic>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    V::ready(x)?;
    let b = S::get::<V>(x, op)?;
    let a = V::of(x, op.third);
    let mut env = env(x);
    let result = a.lanewise(b, |a, b, _| F::with_low(a, O::apply::<F>(F::low(a), F::low(b), &mut env)));
    settle(x, env)?;
    result.put(x, op.reg);
    Ok(())
}

/// ADDSUBPS and ADDSUBPD: subtracts at even indices and adds at odd ones.
fn add_subtract<V: Xmm, S: Source, F: Float>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    V::ready(x)?;
    let b = S::get::<V>(x, op)?;
    let a = V::of(x, op.third);
    let mut env = env(x);
    let mut number = |a, b, i| match i % 2 {
        0 => softfloat::sub::<F>(a, b, &mut env),
        _ => softfloat::add::<F>(a, b, &mut env),
    };
    let result = a.lanewise(b, |a, b, _| F::vector(|i| number(F::at(a, i), F::at(b, i), i)));
    settle(x, env)?;
    result.put(x, op.reg);
    Ok(())
}

/// HADDPS and its kin: combines neighbours, those of the destination first.
fn horizontal<V: Xmm, S: Source, F: Float, O: Arithmetic>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    V::ready(x)?;
    let b = S::get::<V>(x, op)?;
    let a = V::of(x, op.third);
    let mut env = env(x);
    let mut pair = |from, at| O::apply::<F>(F::at(from, at), F::at(from, at + 1), &mut env);
    let result = a.lanewise(b, |a, b, _| F::vector(|i| pair(if i < F::COUNT / 2 { a } else { b }, 2 * i % F::COUNT)));
    settle(x, env)?;
    result.put(x, op.reg);
    Ok(())
}

/// DPPS and DPPD: multiplies the lanes in the immediate's bits 4 to 7 and adds all products, in pairs first; the sum
/// goes to the lanes in bits 0 to 3. Each lane adds in an order of its own, as processors do: it shows in which NaN wins.
fn dot_product<V: Xmm, S: Source, F: Float>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    V::ready(x)?;
    let b = S::get::<V>(x, op)?;
    let (a, imm) = (V::of(x, op.third), op.imm as u8);
    let mut env = env(x);
    let product = |a, b, env: &mut Env, i: usize| match imm >> (4 + i) & 1 {
        0 => F::Bits::default(),
        _ => softfloat::mul::<F>(F::at(a, i), F::at(b, i), env),
    };
    let products = a.lanewise(b, |a, b, _| F::vector(|i| product(a, b, &mut env, i)));
    settle(x, env)?;
    let sum = |v, i, j, env: &mut Env| softfloat::add::<F>(F::at(v, i), F::at(v, j), env);
    let mut pairs = products;
    if F::COUNT == 4 {
        pairs = products.lanewise(products, |v, _, _| F::vector(|i| sum(v, i ^ 1, i, &mut env)));
        settle(x, env)?;
    }
    let sums = pairs.lanewise(pairs, |v, _, _| F::vector(|i| sum(v, i, i ^ (F::COUNT / 2), &mut env)));
    settle(x, env)?;
    let chosen = |v, i| if imm >> i & 1 != 0 { F::at(v, i) } else { F::Bits::default() };
    sums.lanewise(sums, |v, _, _| F::vector(|i| chosen(v, i))).put(x, op.reg);
    Ok(())
}

/// Rounds as the immediate of ROUNDPS says.
fn round<F: Float>(b: F::Bits, imm: u8, env: &mut Env) -> F::Bits {
    let rounding = if imm & 4 != 0 { env.rounding } else { Rounding::from_rc(u32::from(imm)) };
    softfloat::round_to_integral::<F>(b, rounding, imm & 8 == 0, env)
}

fn round_packed<V: Xmm, S: Source, F: Float>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    V::ready(x)?;
    let b = S::get::<V>(x, op)?;
    let mut env = env(x);
    let result = b.lanewise(b, |b, _, _| F::vector(|i| round::<F>(F::at(b, i), op.imm as u8, &mut env)));
    settle(x, env)?;
    result.put(x, op.reg);
    Ok(())
}

fn round_scalar<V: Xmm, S: Source, F: Float>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    V::ready(x)?;
    let b = S::get::<V>(x, op)?;
    let mut env = env(x);
    let a = V::of(x, op.third);
    let result = a.lanewise(b, |a, b, _| F::with_low(a, round::<F>(F::low(b), op.imm as u8, &mut env)));
    settle(x, env)?;
    result.put(x, op.reg);
    Ok(())
}

fn lower_arithmetic(l: &Lowering<'_>) -> Option<Op> {
    use Mnemonic as M;
    Some(match mnemonic(l) {
        M::Addps => whole!(l, packed, F32, Add),
        M::Addpd => whole!(l, packed, F64, Add),
        M::Addss => single!(l, Low<u32>: scalar, F32, Add),
        M::Addsd => single!(l, Low<u64>: scalar, F64, Add),
        M::Subps => whole!(l, packed, F32, Sub),
        M::Subpd => whole!(l, packed, F64, Sub),
        M::Subss => single!(l, Low<u32>: scalar, F32, Sub),
        M::Subsd => single!(l, Low<u64>: scalar, F64, Sub),
        M::Mulps => whole!(l, packed, F32, Mul),
        M::Mulpd => whole!(l, packed, F64, Mul),
        M::Mulss => single!(l, Low<u32>: scalar, F32, Mul),
        M::Mulsd => single!(l, Low<u64>: scalar, F64, Mul),
        M::Divps => whole!(l, packed, F32, Div),
        M::Divpd => whole!(l, packed, F64, Div),
        M::Divss => single!(l, Low<u32>: scalar, F32, Div),
        M::Divsd => single!(l, Low<u64>: scalar, F64, Div),
        M::Minps => whole!(l, packed, F32, Min),
        M::Minpd => whole!(l, packed, F64, Min),
        M::Minss => single!(l, Low<u32>: scalar, F32, Min),
        M::Minsd => single!(l, Low<u64>: scalar, F64, Min),
        M::Maxps => whole!(l, packed, F32, Max),
        M::Maxpd => whole!(l, packed, F64, Max),
        M::Maxss => single!(l, Low<u32>: scalar, F32, Max),
        M::Maxsd => single!(l, Low<u64>: scalar, F64, Max),
        M::Sqrtps => whole!(l, packed, F32, Sqrt),
        M::Sqrtpd => whole!(l, packed, F64, Sqrt),
        M::Sqrtss => single!(l, Low<u32>: scalar, F32, Sqrt),
        M::Sqrtsd => single!(l, Low<u64>: scalar, F64, Sqrt),
        _ => return None,
    })
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    use Mnemonic as M;
    Some(match mnemonic(l) {
        M::Addsubps => whole!(l, add_subtract, F32),
        M::Addsubpd => whole!(l, add_subtract, F64),
        M::Haddps => whole!(l, horizontal, F32, Add),
        M::Haddpd => whole!(l, horizontal, F64, Add),
        M::Hsubps => whole!(l, horizontal, F32, Sub),
        M::Hsubpd => whole!(l, horizontal, F64, Sub),
        M::Dpps => whole!(l, dot_product, F32),
        M::Dppd => whole!(l, dot_product, F64),
        M::Roundps => whole!(l, round_packed, F32),
        M::Roundpd => whole!(l, round_packed, F64),
        M::Roundss => single!(l, Low<u32>: round_scalar, F32),
        M::Roundsd => single!(l, Low<u64>: round_scalar, F64),
        _ => return lower_arithmetic(l),
    })
}
