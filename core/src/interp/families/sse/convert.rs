//! Conversions between floating-point formats and integers (SDM vol. 1, 10.4.3 SSE Conversion Instructions, 11.4.1.6
//! SSE2 Conversion Instructions).

use super::float::{Float, env, settle};
use super::lanes::{Lanes, build};
use super::operand::{Low, Mem, Rm, Source, Vector, both_ready, plain};
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

fn convert<S: Source, C: Conversion>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    u128::ready(x)?;
    let b = S::get::<u128>(x, op)?;
    let mut env = env(x);
    let result = C::apply(u128::of(x, op.reg), b, &mut env);
    settle(x, env)?;
    result.put(x, op.reg);
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
fn convert_from_general<F: Float, W: Integer, S: general::Source>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    u128::ready(x)?;
    let value = S::get::<W>(x, op)?.sign_extend() as i64;
    let mut env = env(x);
    let result = softfloat::from_signed::<F>(value, &mut env);
    settle(x, env)?;
    F::with_low(u128::of(x, op.reg), result).put(x, op.reg);
    Ok(())
}

/// CVTSS2SI and its kin.
fn convert_to_general<F: Float, W: Integer, S: Source, const TRUNCATE: bool>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    u128::ready(x)?;
    let b = S::get::<u128>(x, op)?;
    let mut env = env(x);
    let rounding = if TRUNCATE { Rounding::Zero } else { env.rounding };
    let width = if W::BYTES == 8 { IntWidth::W64 } else { IntWidth::W32 };
    let value = softfloat::to_signed::<F>(F::low(b), width, rounding, &mut env);
    settle(x, env)?;
    W::truncate(value as u64).set(x, op.reg);
    Ok(())
}

/// A conversion whose source in memory is a whole vector.
fn lower_whole<C: Conversion>(l: &Lowering<'_>) -> Op {
    plain(l, if l.is_register(1) { convert::<Rm, C> } else { convert::<Mem, C> })
}

/// A conversion whose source in memory is shorter.
fn lower_narrow<W: Integer, C: Conversion>(l: &Lowering<'_>) -> Op {
    plain(l, if l.is_register(1) { convert::<Rm, C> } else { convert::<Low<W>, C> })
}

fn lower_from_mmx<C: Conversion>(l: &Lowering<'_>) -> Op {
    plain(l, if l.is_register(1) { convert_from_mmx::<Rm, C> } else { convert_from_mmx::<Mem, C> })
}

fn lower_to_mmx<S: Source, C: Conversion>(l: &Lowering<'_>) -> Op {
    plain(l, if l.is_register(1) { convert_to_mmx::<Rm, C> } else { convert_to_mmx::<S, C> })
}

fn lower_from_general<F: Float>(l: &Lowering<'_>) -> Op {
    let run: Handler = match (l.operand_size(1), l.is_register(1)) {
        (8, true) => convert_from_general::<F, u64, general::Rm>,
        (8, false) => convert_from_general::<F, u64, general::Mem>,
        (_, true) => convert_from_general::<F, u32, general::Rm>,
        (_, false) => convert_from_general::<F, u32, general::Mem>,
    };
    plain(l, run)
}

fn lower_to_general<F: Float, const TRUNCATE: bool>(l: &Lowering<'_>) -> Op {
    let run: Handler = match (l.operand_size(0), l.is_register(1)) {
        (8, true) => convert_to_general::<F, u64, Rm, TRUNCATE>,
        (8, false) => convert_to_general::<F, u64, Low<F::Bits>, TRUNCATE>,
        (_, true) => convert_to_general::<F, u32, Rm, TRUNCATE>,
        (_, false) => convert_to_general::<F, u32, Low<F::Bits>, TRUNCATE>,
    };
    plain(l, run)
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    use Mnemonic as M;
    Some(match l.insn.mnemonic() {
        M::Cvtps2pd => lower_narrow::<u64, SingleToDouble>(l),
        M::Cvtpd2ps => lower_whole::<DoubleToSingle>(l),
        M::Cvtss2sd => lower_narrow::<u32, LowToDouble>(l),
        M::Cvtsd2ss => lower_narrow::<u64, LowToSingle>(l),
        M::Cvtdq2ps => lower_whole::<IntegersToSingle>(l),
        M::Cvtdq2pd => lower_narrow::<u64, IntegersToDouble>(l),
        M::Cvtps2dq => lower_whole::<SingleToIntegers>(l),
        M::Cvttps2dq => lower_whole::<SingleTruncated>(l),
        M::Cvtpd2dq => lower_whole::<DoubleToIntegers>(l),
        M::Cvttpd2dq => lower_whole::<DoubleTruncated>(l),
        M::Cvtpi2ps => lower_from_mmx::<PairToSingle>(l),
        M::Cvtpi2pd => lower_from_mmx::<IntegersToDouble>(l),
        M::Cvtps2pi => lower_to_mmx::<Low<u64>, PairToIntegers>(l),
        M::Cvttps2pi => lower_to_mmx::<Low<u64>, PairTruncated>(l),
        M::Cvtpd2pi => lower_to_mmx::<Mem, DoubleToIntegers>(l),
        M::Cvttpd2pi => lower_to_mmx::<Mem, DoubleTruncated>(l),
        M::Cvtsi2ss => lower_from_general::<F32>(l),
        M::Cvtsi2sd => lower_from_general::<F64>(l),
        M::Cvtss2si => lower_to_general::<F32, false>(l),
        M::Cvtsd2si => lower_to_general::<F64, false>(l),
        M::Cvttss2si => lower_to_general::<F32, true>(l),
        M::Cvttsd2si => lower_to_general::<F64, true>(l),
        _ => return None,
    })
}
