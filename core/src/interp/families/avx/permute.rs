//! Broadcasts, insertion and extraction of 128 bits, permutations (SDM vol. 1, 14.7.1 Broadcast, 14.7.2 Permute; vol. 2,
//! VBROADCAST, VEXTRACTF128, VINSERTF128, VPERM2F128, VPERMILPS, VPERMD, VPERMQ).

use crate::interp::exec::{Exec, Outcome};
use crate::interp::families::sse::form::{Form, by_form, form, from_register, plain, whole};
use crate::interp::families::sse::lanes::{Lanes, build};
use crate::interp::families::sse::operand::{Loose, Low, Mem, Operation, Rm, Source, Vector, Xmm, combine};
use crate::interp::families::sse::vex::{Vex128, Vex256};
use crate::interp::op::{Handler, Lowering, Op};
use iced_x86::Mnemonic;

/// The source's lowest lane in every lane.
fn broadcast<V: Xmm + Lanes<T>, S: Source, T: Copy>(x: &mut Exec<'_>, op: &Op) -> Outcome
where
    u128: Lanes<T>,
{
    V::ready(x)?;
    let source = <u128 as Lanes<T>>::split(S::get(x, op)?);
    build::<T, V>(|_| source.as_ref()[0]).put(x, op.reg);
    Ok(())
}

/// VBROADCASTF128 and VBROADCASTI128.
fn broadcast_lane(x: &mut Exec<'_>, op: &Op) -> Outcome {
    Vex256::ready(x)?;
    let lane = x.read::<u128>(op)?;
    Vex256([lane; 2]).put(x, op.reg);
    Ok(())
}

/// The lane that an immediate's lowest bit names.
fn lane_of(x: &Exec<'_>, op: &Op) -> u128 {
    Vex256::of(x, op.rm).0[op.imm as usize & 1]
}

fn extract_lane(x: &mut Exec<'_>, op: &Op) -> Outcome {
    Vex256::ready(x)?;
    Vex128([lane_of(x, op)]).put(x, op.reg);
    Ok(())
}

fn extract_lane_to_memory(x: &mut Exec<'_>, op: &Op) -> Outcome {
    Vex256::ready(x)?;
    x.write(op, lane_of(x, op))
}

fn insert_lane<S: Source>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    Vex256::ready(x)?;
    let Vex128([lane]) = S::get(x, op)?;
    let mut lanes = Vex256::of(x, op.third);
    lanes.0[op.imm as usize & 1] = lane;
    lanes.put(x, op.reg);
    Ok(())
}

/// VPERM2F128 and VPERM2I128: four bits of the immediate for each lane name one of four, or none.
fn permute_lanes<S: Source>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    Vex256::ready(x)?;
    let Vex256(b) = S::get(x, op)?;
    let Vex256(a) = Vex256::of(x, op.third);
    let chosen = |control: u64| if control & 8 != 0 { 0 } else { [a[0], a[1], b[0], b[1]][control as usize & 3] };
    Vex256([chosen(op.imm), chosen(op.imm >> 4)]).put(x, op.reg);
    Ok(())
}

/// VPERMD and VPERMPS: the lanes of the source that the first source's lanes name.
fn permute_by_register<S: Source>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    Vex256::ready(x)?;
    let source = <Vex256 as Lanes<u32>>::split(S::get(x, op)?);
    let places = <Vex256 as Lanes<u32>>::split(Vex256::of(x, op.third));
    build::<u32, Vex256>(|i| source[places[i] as usize & 7]).put(x, op.reg);
    Ok(())
}

/// VPERMQ and VPERMPD: the lanes of the source that the immediate names.
fn permute_by_immediate<S: Source>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    Vex256::ready(x)?;
    let source = <Vex256 as Lanes<u64>>::split(S::get(x, op)?);
    build::<u64, Vex256>(|i| source[(op.imm >> (2 * i)) as usize & 3]).put(x, op.reg);
    Ok(())
}

/// Declares permutations within lanes of 128 bits.
macro_rules! within_lanes {
    ($($name:ident $([$bits:literal])? ($a:pat, $b:pat, $imm:pat): $lane:ty, $place:expr;)*) => {$(
        struct $name;
        impl Operation<u128> for $name {
            const PER_LANE: u32 = 0 $(+ $bits)?;
            #[inline(always)]
            fn apply($a: u128, $b: u128, $imm: u8) -> u128 {
                let (source, place) = $place;
                let source = <u128 as Lanes<$lane>>::split(source);
                build(|i| source[place(i)])
            }
        }
    )*};
}

within_lanes! {
    SinglesByImmediate(_, b, imm): u32, (b, |i: usize| usize::from(imm >> (2 * i) & 3));
    DoublesByImmediate[2](_, b, imm): u64, (b, |i: usize| usize::from(imm >> i & 1));
    SinglesByRegister(a, b, _): u32, (a, |i: usize| <u128 as Lanes<u32>>::split(b)[i] as usize & 3);
    DoublesByRegister(a, b, _): u64, (a, |i: usize| <u128 as Lanes<u64>>::split(b)[i] as usize >> 1 & 1);
}

/// Picks an instance of a handler of YMM registers by where the source is.
macro_rules! ymm {
    ($l:ident, $handler:ident) => {
        plain($l, if from_register($l) { $handler::<Rm> as Handler } else { $handler::<Loose> })
    };
}

fn lower_extract(l: &Lowering<'_>) -> Op {
    plain(l, if l.is_register(0) { extract_lane } else { extract_lane_to_memory })
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    use Mnemonic as M;
    let by_immediate = l.insn.op_count() > 2 && l.is_immediate(2);
    Some(match l.insn.mnemonic() {
        M::Vbroadcastss | M::Vpbroadcastd => whole!(l, Low<u32>: broadcast, u32),
        M::Vbroadcastsd | M::Vpbroadcastq => whole!(l, Low<u64>: broadcast, u64),
        M::Vpbroadcastb => whole!(l, Low<u8>: broadcast, u8),
        M::Vpbroadcastw => whole!(l, Low<u16>: broadcast, u16),
        M::Vbroadcastf128 | M::Vbroadcasti128 => plain(l, broadcast_lane),
        M::Vextractf128 | M::Vextracti128 => lower_extract(l),
        M::Vinsertf128 | M::Vinserti128 => ymm!(l, insert_lane),
        M::Vperm2f128 | M::Vperm2i128 => ymm!(l, permute_lanes),
        M::Vpermd | M::Vpermps => ymm!(l, permute_by_register),
        M::Vpermq | M::Vpermpd => ymm!(l, permute_by_immediate),
        M::Vpermilps if by_immediate => whole!(l, combine, SinglesByImmediate),
        M::Vpermilpd if by_immediate => whole!(l, combine, DoublesByImmediate),
        M::Vpermilps => whole!(l, combine, SinglesByRegister),
        M::Vpermilpd => whole!(l, combine, DoublesByRegister),
        _ => return None,
    })
}
