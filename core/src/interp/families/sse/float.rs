//! Floating-point arithmetic (SDM vol. 1, 10.4.1.2 SSE Arithmetic Instructions, 11.4.1.2 SSE2, 12.3 SSE3, 12.8.2
//! Floating-Point Dot Product, 12.8.5 Packed Rounding).

use super::lanes::{Lanes, build};
use super::operand::{Low, Mem, Rm, Source, Vector, plain};
use crate::cpu::{Exception, Vector as ExceptionVector, cr4};
use crate::interp::exec::{Exec, Outcome};
use crate::interp::op::{Handler, Lowering, Op};
use crate::interp::word::Integer;
use crate::softfloat::{self, Env, F32, F64, Format, Rounding};
use iced_x86::Mnemonic;

/// A format whose numbers are lanes.
pub(super) trait Float: Format<Bits: Integer> {
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
pub(super) fn env(x: &Exec<'_>) -> Env {
    Env::from_mxcsr(x.cpu.mxcsr)
}

/// Reports what was raised; an error if it is unmasked, and then nothing may be written.
#[inline(always)]
pub(super) fn settle(x: &mut Exec<'_>, mut env: Env) -> Outcome {
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

fn packed<F: Float, S: Source, O: Arithmetic>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    u128::ready(x)?;
    let b = S::get::<u128>(x, op)?;
    let a = u128::of(x, op.reg);
    let mut env = env(x);
    let result = F::vector(|i| O::apply::<F>(F::at(a, i), F::at(b, i), &mut env));
    settle(x, env)?;
    result.put(x, op.reg);
    Ok(())
}

fn scalar<F: Float, S: Source, O: Arithmetic>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    u128::ready(x)?;
    let b = S::get::<u128>(x, op)?;
    let a = u128::of(x, op.reg);
    let mut env = env(x);
    let result = O::apply::<F>(F::low(a), F::low(b), &mut env);
    settle(x, env)?;
    F::with_low(a, result).put(x, op.reg);
    Ok(())
}

/// ADDSUBPS and ADDSUBPD: subtracts at even indices and adds at odd ones.
fn add_subtract<F: Float, S: Source>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    u128::ready(x)?;
    let b = S::get::<u128>(x, op)?;
    let a = u128::of(x, op.reg);
    let mut env = env(x);
    let result = F::vector(|i| {
        let (a, b) = (F::at(a, i), F::at(b, i));
        if i % 2 == 0 { softfloat::sub::<F>(a, b, &mut env) } else { softfloat::add::<F>(a, b, &mut env) }
    });
    settle(x, env)?;
    result.put(x, op.reg);
    Ok(())
}

/// HADDPS and its kin: combines neighbours, those of the destination first.
fn horizontal<F: Float, S: Source, O: Arithmetic>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    u128::ready(x)?;
    let b = S::get::<u128>(x, op)?;
    let a = u128::of(x, op.reg);
    let mut env = env(x);
    let result = F::vector(|i| {
        let from = if i < F::COUNT / 2 { a } else { b };
        let at = 2 * i % F::COUNT;
        O::apply::<F>(F::at(from, at), F::at(from, at + 1), &mut env)
    });
    settle(x, env)?;
    result.put(x, op.reg);
    Ok(())
}

/// DPPS and DPPD: multiplies the lanes in the immediate's bits 4 to 7 and adds all products, in pairs first; the sum
/// goes to the lanes in bits 0 to 3. Each lane adds in an order of its own, as processors do: it shows in which NaN wins.
fn dot_product<F: Float, S: Source>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    u128::ready(x)?;
    let b = S::get::<u128>(x, op)?;
    let (a, imm) = (u128::of(x, op.reg), op.imm as u8);
    let mut env = env(x);
    let products = F::vector(|i| match imm >> (4 + i) & 1 {
        0 => F::Bits::default(),
        _ => softfloat::mul::<F>(F::at(a, i), F::at(b, i), &mut env),
    });
    settle(x, env)?;
    let mut pairs = products;
    if F::COUNT == 4 {
        pairs = F::vector(|i| softfloat::add::<F>(F::at(products, i ^ 1), F::at(products, i), &mut env));
        settle(x, env)?;
    }
    let sums = F::vector(|i| softfloat::add::<F>(F::at(pairs, i), F::at(pairs, i ^ (F::COUNT / 2)), &mut env));
    settle(x, env)?;
    F::vector(|i| if imm >> i & 1 != 0 { F::at(sums, i) } else { F::Bits::default() }).put(x, op.reg);
    Ok(())
}

/// Rounds as the immediate of ROUNDPS says.
fn round<F: Float>(b: F::Bits, imm: u8, env: &mut Env) -> F::Bits {
    let rounding = if imm & 4 != 0 { env.rounding } else { Rounding::from_rc(u32::from(imm)) };
    softfloat::round_to_integral::<F>(b, rounding, imm & 8 == 0, env)
}

fn round_packed<F: Float, S: Source>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    u128::ready(x)?;
    let b = S::get::<u128>(x, op)?;
    let mut env = env(x);
    let result = F::vector(|i| round::<F>(F::at(b, i), op.imm as u8, &mut env));
    settle(x, env)?;
    result.put(x, op.reg);
    Ok(())
}

fn round_scalar<F: Float, S: Source>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    u128::ready(x)?;
    let b = S::get::<u128>(x, op)?;
    let mut env = env(x);
    let result = round::<F>(F::low(b), op.imm as u8, &mut env);
    settle(x, env)?;
    F::with_low(u128::of(x, op.reg), result).put(x, op.reg);
    Ok(())
}

/// Picks an instance of a generic handler for a whole vector in a register or in memory.
macro_rules! whole {
    ($l:ident, $handler:ident, $format:ty $(, $parameter:ty)*) => {
        plain($l, if $l.is_register(1) {
            $handler::<$format, Rm $(, $parameter)*> as Handler
        } else {
            $handler::<$format, Mem $(, $parameter)*>
        })
    };
}
pub(super) use whole;

/// Picks an instance of a generic handler for one number in a register or in memory.
macro_rules! single {
    ($l:ident, $handler:ident, F32 $(, $parameter:ty)*) => { single!(@ $l, $handler, F32, u32 $(, $parameter)*) };
    ($l:ident, $handler:ident, F64 $(, $parameter:ty)*) => { single!(@ $l, $handler, F64, u64 $(, $parameter)*) };
    (@ $l:ident, $handler:ident, $format:ty, $bits:ty $(, $parameter:ty)*) => {
        plain($l, if $l.is_register(1) {
            $handler::<$format, Rm $(, $parameter)*> as Handler
        } else {
            $handler::<$format, Low<$bits> $(, $parameter)*>
        })
    };
}
pub(super) use single;

fn lower_arithmetic(l: &Lowering<'_>) -> Option<Op> {
    use Mnemonic as M;
    Some(match l.insn.mnemonic() {
        M::Addps => whole!(l, packed, F32, Add),
        M::Addpd => whole!(l, packed, F64, Add),
        M::Addss => single!(l, scalar, F32, Add),
        M::Addsd => single!(l, scalar, F64, Add),
        M::Subps => whole!(l, packed, F32, Sub),
        M::Subpd => whole!(l, packed, F64, Sub),
        M::Subss => single!(l, scalar, F32, Sub),
        M::Subsd => single!(l, scalar, F64, Sub),
        M::Mulps => whole!(l, packed, F32, Mul),
        M::Mulpd => whole!(l, packed, F64, Mul),
        M::Mulss => single!(l, scalar, F32, Mul),
        M::Mulsd => single!(l, scalar, F64, Mul),
        M::Divps => whole!(l, packed, F32, Div),
        M::Divpd => whole!(l, packed, F64, Div),
        M::Divss => single!(l, scalar, F32, Div),
        M::Divsd => single!(l, scalar, F64, Div),
        M::Minps => whole!(l, packed, F32, Min),
        M::Minpd => whole!(l, packed, F64, Min),
        M::Minss => single!(l, scalar, F32, Min),
        M::Minsd => single!(l, scalar, F64, Min),
        M::Maxps => whole!(l, packed, F32, Max),
        M::Maxpd => whole!(l, packed, F64, Max),
        M::Maxss => single!(l, scalar, F32, Max),
        M::Maxsd => single!(l, scalar, F64, Max),
        M::Sqrtps => whole!(l, packed, F32, Sqrt),
        M::Sqrtpd => whole!(l, packed, F64, Sqrt),
        M::Sqrtss => single!(l, scalar, F32, Sqrt),
        M::Sqrtsd => single!(l, scalar, F64, Sqrt),
        _ => return None,
    })
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    use Mnemonic as M;
    Some(match l.insn.mnemonic() {
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
        M::Roundss => single!(l, round_scalar, F32),
        M::Roundsd => single!(l, round_scalar, F64),
        _ => return lower_arithmetic(l),
    })
}
