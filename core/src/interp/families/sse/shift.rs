//! Shifts of packed lanes (SDM vol. 1, 9.4.6 Shift Instructions, 11.4.2 SSE2 64-Bit and 128-Bit SIMD Integer
//! Instructions).

use super::lanes::map;
use super::operand::{Mem, Operation, Rm, Vector, combine, is_mmx, plain};
use crate::interp::exec::{Exec, Outcome};
use crate::interp::op::{Handler, Lowering, Op};
use iced_x86::Mnemonic;

/// Shifts every lane by the same count, which may exceed the lane's width.
trait Shift {
    fn apply<V: Vector>(a: V, count: u64) -> V;
}

/// A shift by a count in a vector's low 64 bits.
struct ByVector<S>(std::marker::PhantomData<S>);

impl<V: Vector, S: Shift> Operation<V> for ByVector<S> {
    #[inline(always)]
    fn apply(a: V, b: V, _imm: u8) -> V {
        S::apply(a, b.low())
    }
}

fn by_immediate<V: Vector, S: Shift>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    V::ready(x)?;
    V::enter(x);
    S::apply(V::of(x, op.reg), op.imm & 0xff).put(x, op.reg);
    Ok(())
}

macro_rules! logical {
    ($($name:ident: $lane:ty, $shift:tt;)*) => {$(
        struct $name;
        impl Shift for $name {
            #[inline(always)]
            fn apply<V: Vector>(a: V, count: u64) -> V {
                if count >= u64::from(<$lane>::BITS) {
                    return V::from_low(0);
                }
                map(a, |lane: $lane| lane $shift count)
            }
        }
    )*};
}

macro_rules! arithmetic {
    ($($name:ident: $lane:ty;)*) => {$(
        struct $name;
        impl Shift for $name {
            #[inline(always)]
            fn apply<V: Vector>(a: V, count: u64) -> V {
                let count = count.min(u64::from(<$lane>::BITS - 1));
                map(a, |lane: $lane| lane >> count)
            }
        }
    )*};
}

logical! {
    Psllw: u16, <<;
    Pslld: u32, <<;
    Psllq: u64, <<;
    Psrlw: u16, >>;
    Psrld: u32, >>;
    Psrlq: u64, >>;
}

arithmetic! {
    Psraw: i16;
    Psrad: i32;
}

/// PSLLDQ and PSRLDQ: shifts by bytes.
fn shift_bytes<const LEFT: bool>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    u128::ready(x)?;
    let bits = 8 * (op.imm & 0xff) as u32;
    let a = u128::of(x, op.reg);
    let shifted = if LEFT { a.checked_shl(bits) } else { a.checked_shr(bits) };
    shifted.unwrap_or(0).put(x, op.reg);
    Ok(())
}

fn lower_shift<S: Shift>(l: &Lowering<'_>) -> Op {
    let run: Handler = match (is_mmx(l, 0), l.is_register(1), l.is_immediate(1)) {
        (true, true, _) => combine::<u64, Rm, ByVector<S>>,
        (true, _, true) => by_immediate::<u64, S>,
        (true, ..) => combine::<u64, Mem, ByVector<S>>,
        (false, true, _) => combine::<u128, Rm, ByVector<S>>,
        (false, _, true) => by_immediate::<u128, S>,
        (false, ..) => combine::<u128, Mem, ByVector<S>>,
    };
    plain(l, run)
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    Some(match l.insn.mnemonic() {
        Mnemonic::Psllw => lower_shift::<Psllw>(l),
        Mnemonic::Pslld => lower_shift::<Pslld>(l),
        Mnemonic::Psllq => lower_shift::<Psllq>(l),
        Mnemonic::Psrlw => lower_shift::<Psrlw>(l),
        Mnemonic::Psrld => lower_shift::<Psrld>(l),
        Mnemonic::Psrlq => lower_shift::<Psrlq>(l),
        Mnemonic::Psraw => lower_shift::<Psraw>(l),
        Mnemonic::Psrad => lower_shift::<Psrad>(l),
        Mnemonic::Pslldq => plain(l, shift_bytes::<true>),
        Mnemonic::Psrldq => plain(l, shift_bytes::<false>),
        _ => return None,
    })
}
