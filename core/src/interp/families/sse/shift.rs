//! Shifts of packed lanes (SDM vol. 1, 9.4.6 Shift Instructions, 11.4.2 SSE2 64-Bit and 128-Bit SIMD Integer
//! Instructions).

use super::form::{Form, by_form, form, from_register, is_mmx, mnemonic, plain};
use super::lanes::map;
use super::operand::{Mem, Rm, Source, Vector, Xmm};
use super::vex::{Vex128, Vex256};
use crate::interp::exec::{Exec, Outcome};
use crate::interp::op::{Handler, Lowering, Op};
use iced_x86::Mnemonic;

/// Shifts every lane by the same count, which may exceed the lane's width.
trait Shift {
    fn apply<V: Vector>(a: V, count: u64) -> V;
}

/// Shifts by a count in the low 64 bits of a register or of 128 bits in memory.
fn by_vector<V: Vector, C: Vector, S: Source, H: Shift>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    V::ready(x)?;
    let count = S::get::<C>(x, op)?.low();
    V::enter(x);
    H::apply(V::of(x, op.third), count).put(x, op.reg);
    Ok(())
}

fn by_immediate<V: Vector, H: Shift>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    V::ready(x)?;
    V::enter(x);
    H::apply(V::of(x, op.rm), op.imm & 0xff).put(x, op.reg);
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
fn shift_bytes<V: Xmm>(x: &mut Exec<'_>, op: &Op, shift: fn(u128, u32) -> Option<u128>) -> Outcome {
    V::ready(x)?;
    let (a, bits) = (V::of(x, op.rm), 8 * (op.imm & 0xff) as u32);
    a.lanewise(a, |a, _, _| shift(a, bits).unwrap_or(0)).put(x, op.reg);
    Ok(())
}

fn bytes_left<V: Xmm>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    shift_bytes::<V>(x, op, u128::checked_shl)
}

fn bytes_right<V: Xmm>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    shift_bytes::<V>(x, op, u128::checked_shr)
}

/// A shift by an immediate of the operand before it.
fn lower_by_immediate(l: &Lowering<'_>, run: Handler) -> Op {
    Op { rm: l.register(l.insn.op_count().saturating_sub(2)), ..plain(l, run) }
}

fn lower_shift<H: Shift>(l: &Lowering<'_>) -> Op {
    let by_immediate_count = l.is_immediate(l.insn.op_count().saturating_sub(1));
    if by_immediate_count {
        let run = if is_mmx(l, 0) { by_immediate::<u64, H> } else { by_form!(l, by_immediate, H) };
        return lower_by_immediate(l, run);
    }
    let run: Handler = match (is_mmx(l, 0), form(l), from_register(l)) {
        (true, _, true) => by_vector::<u64, u64, Rm, H>,
        (true, _, false) => by_vector::<u64, u64, Mem, H>,
        (false, Form::Sse, true) => by_vector::<u128, u128, Rm, H>,
        (false, Form::Sse, false) => by_vector::<u128, u128, Mem, H>,
        (false, Form::Vex128, true) => by_vector::<Vex128, Vex128, Rm, H>,
        (false, Form::Vex128, false) => by_vector::<Vex128, Vex128, Mem, H>,
        (false, Form::Vex256, true) => by_vector::<Vex256, Vex128, Rm, H>,
        (false, Form::Vex256, false) => by_vector::<Vex256, Vex128, Mem, H>,
    };
    plain(l, run)
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    Some(match mnemonic(l) {
        Mnemonic::Psllw => lower_shift::<Psllw>(l),
        Mnemonic::Pslld => lower_shift::<Pslld>(l),
        Mnemonic::Psllq => lower_shift::<Psllq>(l),
        Mnemonic::Psrlw => lower_shift::<Psrlw>(l),
        Mnemonic::Psrld => lower_shift::<Psrld>(l),
        Mnemonic::Psrlq => lower_shift::<Psrlq>(l),
        Mnemonic::Psraw => lower_shift::<Psraw>(l),
        Mnemonic::Psrad => lower_shift::<Psrad>(l),
        Mnemonic::Pslldq => lower_by_immediate(l, by_form!(l, bytes_left)),
        Mnemonic::Psrldq => lower_by_immediate(l, by_form!(l, bytes_right)),
        _ => return None,
    })
}
