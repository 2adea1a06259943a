//! Conversions between floating-point formats and integers (SDM vol. 1, 10.4.3 SSE Conversion Instructions, 11.4.1.6
//! SSE2 Conversion Instructions).

use super::float::{Float, env, settle};
use super::form::{Form, by_form, form, from_register, mnemonic, plain, single, source, whole};
use super::lanes::{Lanes, build};
use super::operand::{Low, Mem, Rm, Source, Vector, Xmm, both_ready};
use super::vex::{Vex128, Vex256};
use crate::interp::exec::{Exec, Outcome};
use crate::interp::families::operand as general;
use crate::interp::op::{Handler, Lowering, Op};
use crate::interp::word::Integer;
use crate::softfloat::{self, Env, F32, F64, IntWidth, Rounding};
use iced_x86::Mnemonic;

/// What a conversion makes of its destination and its source.
trait Conversion {
    fn apply(a: u128, b: u128, env: &mut Env) -> u128;
}

macro_rules! conversions {
    ($($name:ident($a:pat, $b:pat, $env:ident) = $value:expr;)*) => {$(
        struct $name;
        impl Conversion for $name {
            #[inline(always)]
            fn apply($a: u128, $b: u128, $env: &mut Env) -> u128 {
                $value
            }
        }
    )*};
}

const LOW_64: u128 = u64::MAX as u128;

conversions! {
    SingleToDouble(_, b, env) = F64::vector(|i| softfloat::convert::<F32, F64>(F32::at(b, i), env));
    DoubleToSingle(_, b, env) = low_half(|i| softfloat::convert::<F64, F32>(F64::at(b, i), env));
    LowToDouble(a, b, env) = F64::with_low(a, softfloat::convert::<F32, F64>(F32::low(b), env));
    LowToSingle(a, b, env) = F32::with_low(a, softfloat::convert::<F64, F32>(F64::low(b), env));
    IntegersToSingle(_, b, env) = F32::vector(|i| softfloat::from_signed::<F32>(integer(b, i), env));
    IntegersToDouble(_, b, env) = F64::vector(|i| softfloat::from_signed::<F64>(integer(b, i), env));
    PairToSingle(a, b, env) = a & !LOW_64 | low_half(|i| softfloat::from_signed::<F32>(integer(b, i), env));
    SingleToIntegers(_, b, env) = {
        let rounding = env.rounding;
        build(|i| to_integer::<F32>(b, i, rounding, env))
    };
    SingleTruncated(_, b, env) = build(|i| to_integer::<F32>(b, i, Rounding::Zero, env));
    PairToIntegers(_, b, env) = {
        let rounding = env.rounding;
        low_half(|i| to_integer::<F32>(b, i, rounding, env))
    };
    PairTruncated(_, b, env) = low_half(|i| to_integer::<F32>(b, i, Rounding::Zero, env));
    DoubleToIntegers(_, b, env) = {
        let rounding = env.rounding;
        low_half(|i| to_integer::<F64>(b, i, rounding, env))
    };
    DoubleTruncated(_, b, env) = low_half(|i| to_integer::<F64>(b, i, Rounding::Zero, env));
}

/// Two lanes below zeros.
#[inline(always)]
fn low_half(mut f: impl FnMut(usize) -> u32) -> u128 {
    let low = f(0);
    u128::from(low) | u128::from(f(1)) << 32
}

#[inline(always)]
fn integer(b: u128, index: usize) -> i64 {
    i64::from(<u128 as Lanes<i32>>::split(b)[index % 4])
}

#[inline(always)]
fn to_integer<F: Float>(b: u128, index: usize, rounding: Rounding, env: &mut Env) -> u32 {
    softfloat::to_signed::<F>(F::at(b, index), IntWidth::W32, rounding, env) as u32
}

fn convert<V: Xmm, S: Source, C: Conversion>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    V::ready(x)?;
    let b = S::get::<V>(x, op)?;
    let mut env = env(x);
    let result = V::of(x, op.third).lanewise(b, |a, b, _| C::apply(a, b, &mut env));
    settle(x, env)?;
    result.put(x, op.reg);
    Ok(())
}

/// A conversion to a YMM register of what half as many bits hold.
fn widen<S: Source, C: Conversion>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    Vex256::ready(x)?;
    let Vex128([b]) = S::get(x, op)?;
    let mut env = env(x);
    let result = Vex256([b, b >> 64].map(|b| C::apply(0, b, &mut env)));
    settle(x, env)?;
    result.put(x, op.reg);
    Ok(())
}

/// A conversion from a YMM register to half as many bits.
fn narrow<S: Source, C: Conversion>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    Vex256::ready(x)?;
    let Vex256(b) = S::get(x, op)?;
    let mut env = env(x);
    let [low, high] = b.map(|b| C::apply(0, b, &mut env));
    settle(x, env)?;
    Vex128([low | high << 64]).put(x, op.reg);
    Ok(())
}

/// CVTPI2PS and CVTPI2PD: from memory they leave the x87 alone.
fn convert_from_mmx<S: Source, C: Conversion>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    if S::MEMORY { u128::ready(x) } else { both_ready(x) }?;
    let b = u128::from(S::get::<u64>(x, op)?);
    if !S::MEMORY {
        u64::enter(x);
    }
    let mut env = env(x);
    let result = C::apply(u128::of(x, op.reg), b, &mut env);
    settle(x, env)?;
    result.put(x, op.reg);
    Ok(())
}

fn convert_to_mmx<S: Source, C: Conversion>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    both_ready(x)?;
    let b = S::get::<u128>(x, op)?;
    u64::enter(x);
    let mut env = env(x);
    let result = C::apply(0, b, &mut env);
    settle(x, env)?;
    result.low().put(x, op.reg);
    Ok(())
}

/// CVTSI2SS and CVTSI2SD.
fn convert_from_general<V: Xmm, F: Float, W: Integer, S: general::Source>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    V::ready(x)?;
    let value = S::get::<W>(x, op)?.sign_extend() as i64;
    let mut env = env(x);
    let result = softfloat::from_signed::<F>(value, &mut env);
    settle(x, env)?;
    let a = V::of(x, op.third);
    a.lanewise(a, |a, _, _| F::with_low(a, result)).put(x, op.reg);
    Ok(())
}

/// CVTSS2SI and its kin.
fn convert_to_general<V: Xmm, S: Source, F: Float, W: Integer, const TRUNCATE: bool>(
    x: &mut Exec<'_>,
    op: &Op,
) -> Outcome {
    V::ready(x)?;
    let b = S::get::<u128>(x, op)?;
    let mut env = env(x);
    let rounding = if TRUNCATE { Rounding::Zero } else { env.rounding };
    let width = if W::BYTES == 8 { IntWidth::W64 } else { IntWidth::W32 };
    let value = softfloat::to_signed::<F>(F::low(b), width, rounding, &mut env);
    settle(x, env)?;
    W::truncate(value as u64).set(x, op.reg);
    Ok(())
}

/// A conversion between lanes of the same size.
fn lower_whole<C: Conversion>(l: &Lowering<'_>) -> Op {
    whole!(l, convert, C)
}

/// A conversion to lanes of half the size.
fn lower_narrow<C: Conversion>(l: &Lowering<'_>) -> Op {
    match (form(l), from_register(l)) {
        (Form::Vex256, true) => plain(l, narrow::<Rm, C>),
        (Form::Vex256, false) => plain(l, narrow::<Mem, C>),
        (Form::Sse | Form::Vex128, _) => single!(l, Mem: convert, C),
    }
}

/// A conversion to lanes of twice the size.
fn lower_wide<C: Conversion>(l: &Lowering<'_>) -> Op {
    match (form(l), from_register(l)) {
        (Form::Vex256, true) => plain(l, widen::<Rm, C>),
        (Form::Vex256, false) => plain(l, widen::<Mem, C>),
        (Form::Sse | Form::Vex128, _) => single!(l, Low<u64>: convert, C),
    }
}

fn lower_from_mmx<C: Conversion>(l: &Lowering<'_>) -> Op {
    plain(l, if l.is_register(1) { convert_from_mmx::<Rm, C> } else { convert_from_mmx::<Mem, C> })
}

fn lower_to_mmx<S: Source, C: Conversion>(l: &Lowering<'_>) -> Op {
    plain(l, if l.is_register(1) { convert_to_mmx::<Rm, C> } else { convert_to_mmx::<S, C> })
}

/// CVTSI2SS and CVTSI2SD.
fn lower_from_general<V: Xmm, F: Float>(l: &Lowering<'_>) -> Op {
    let run: Handler = match (l.operand_size(source(l)), from_register(l)) {
        (8, true) => convert_from_general::<V, F, u64, general::Rm>,
        (8, false) => convert_from_general::<V, F, u64, general::Mem>,
        (_, true) => convert_from_general::<V, F, u32, general::Rm>,
        (_, false) => convert_from_general::<V, F, u32, general::Mem>,
    };
    plain(l, run)
}

fn from_general<F: Float>(l: &Lowering<'_>) -> Op {
    if form(l) == Form::Sse { lower_from_general::<u128, F>(l) } else { lower_from_general::<Vex128, F>(l) }
}

fn rounded<V: Xmm, S: Source, F: Float, W: Integer>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    convert_to_general::<V, S, F, W, false>(x, op)
}

fn truncated<V: Xmm, S: Source, F: Float, W: Integer>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    convert_to_general::<V, S, F, W, true>(x, op)
}

fn to_general<F: Float>(l: &Lowering<'_>) -> Op {
    match l.operand_size(0) {
        8 => single!(l, Low<F::Bits>: rounded, F, u64),
        _ => single!(l, Low<F::Bits>: rounded, F, u32),
    }
}

fn to_general_truncated<F: Float>(l: &Lowering<'_>) -> Op {
    match l.operand_size(0) {
        8 => single!(l, Low<F::Bits>: truncated, F, u64),
        _ => single!(l, Low<F::Bits>: truncated, F, u32),
    }
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    use Mnemonic as M;
    Some(match mnemonic(l) {
        M::Cvtps2pd => lower_wide::<SingleToDouble>(l),
        M::Cvtpd2ps => lower_narrow::<DoubleToSingle>(l),
        M::Cvtss2sd => single!(l, Low<u32>: convert, LowToDouble),
        M::Cvtsd2ss => single!(l, Low<u64>: convert, LowToSingle),
        M::Cvtdq2ps => lower_whole::<IntegersToSingle>(l),
        M::Cvtdq2pd => lower_wide::<IntegersToDouble>(l),
        M::Cvtps2dq => lower_whole::<SingleToIntegers>(l),
        M::Cvttps2dq => lower_whole::<SingleTruncated>(l),
        M::Cvtpd2dq => lower_narrow::<DoubleToIntegers>(l),
        M::Cvttpd2dq => lower_narrow::<DoubleTruncated>(l),
        M::Cvtpi2ps => lower_from_mmx::<PairToSingle>(l),
        M::Cvtpi2pd => lower_from_mmx::<IntegersToDouble>(l),
        M::Cvtps2pi => lower_to_mmx::<Low<u64>, PairToIntegers>(l),
        M::Cvttps2pi => lower_to_mmx::<Low<u64>, PairTruncated>(l),
        M::Cvtpd2pi => lower_to_mmx::<Mem, DoubleToIntegers>(l),
        M::Cvttpd2pi => lower_to_mmx::<Mem, DoubleTruncated>(l),
        M::Cvtsi2ss => from_general::<F32>(l),
        M::Cvtsi2sd => from_general::<F64>(l),
        M::Cvtss2si => to_general::<F32>(l),
        M::Cvtsd2si => to_general::<F64>(l),
        M::Cvttss2si => to_general_truncated::<F32>(l),
        M::Cvttsd2si => to_general_truncated::<F64>(l),
        _ => return None,
    })
}
