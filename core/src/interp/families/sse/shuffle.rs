//! Shuffles, interleavings, extensions, blends, insertions and extractions (SDM vol. 1, 9.4.5 Unpack Instructions,
//! 10.4.2 SSE Shuffle and Unpack Instructions, 11.4.1.4 SSE2, 12.4 SSE3, 12.6.6 PSHUFB, 12.6.7 PALIGNR, 12.8 SSE4.1).

use super::form::{Form, by_form, form, from_register, is_mmx, mnemonic, plain, single, whole};
use super::lanes::{Lanes, build, mask};
use super::operand::{Lane, Low, Mem, Operation, Rm, Source, Vector, Xmm, combine, operations};
use super::vex::{Vex128, Vex256};
use crate::cpu::Flags;
use crate::interp::exec::{Exec, Outcome};
use crate::interp::families::operand as general;
use crate::interp::op::{Handler, Lowering, Op};
use crate::interp::word::Integer;
use iced_x86::Mnemonic;

/// Lanes of `a` and `b` alternately: from the low halves, or from the high ones.
#[inline(always)]
fn interleave<T: Copy, V: Lanes<T>>(a: V, b: V, high: bool) -> V {
    let (a, b) = (a.split(), b.split());
    let from = if high { a.as_ref().len() / 2 } else { 0 };
    build(|i| if i % 2 == 0 { a.as_ref()[from + i / 2] } else { b.as_ref()[from + i / 2] })
}

/// Two bits of the immediate: which of four lanes.
#[inline(always)]
fn two_bits(imm: u8, at: usize) -> usize {
    usize::from(imm >> (2 * at) & 3)
}

/// The lanes of `b` that the immediate names.
#[inline(always)]
fn shuffle_four<T: Copy, V: Lanes<T>>(b: V, imm: u8) -> V {
    let lanes = b.split();
    build(|i| lanes.as_ref()[two_bits(imm, i)])
}

/// PSHUFLW and PSHUFHW: shuffles the four words from `from` and keeps the others.
#[inline(always)]
fn shuffle_words(b: u128, imm: u8, from: usize) -> u128 {
    let words = <u128 as Lanes<u16>>::split(b);
    build(|i| words[if i / 4 == from / 4 { from + two_bits(imm, i % 4) } else { i }])
}

/// The low lanes of `b`, wider.
#[inline(always)]
fn extend<N: Copy, W, V: Lanes<N> + Lanes<W>>(b: V, f: impl Fn(N) -> W) -> V {
    let lanes = <V as Lanes<N>>::split(b);
    build(|i| f(lanes.as_ref()[i]))
}

/// Lanes of `b` where the immediate's bit is set, else of `a`.
#[inline(always)]
pub(in crate::interp::families) fn blend<T: Copy, V: Lanes<T>>(a: V, b: V, imm: u8) -> V {
    let (a, b) = (a.split(), b.split());
    build(|i| if imm >> i & 1 != 0 { b.as_ref()[i] } else { a.as_ref()[i] })
}

#[inline(always)]
fn shuffle_bytes<V: Lane>(a: V, b: V) -> V {
    let (bytes, places) = (<V as Lanes<u8>>::split(a), <V as Lanes<u8>>::split(b));
    let (bytes, places) = (bytes.as_ref(), places.as_ref());
    build(|i| if places[i] & 0x80 != 0 { 0u8 } else { bytes[usize::from(places[i]) % bytes.len()] })
}

/// PALIGNR: `a` above `b`, shifted right by bytes.
#[inline(always)]
fn align_right<V: Lane>(a: V, b: V, imm: u8) -> V {
    let (high, low) = (<V as Lanes<u8>>::split(a), <V as Lanes<u8>>::split(b));
    let (high, low) = (high.as_ref(), low.as_ref());
    build(|i| {
        let at = i + usize::from(imm);
        low.get(at).or_else(|| high.get(at - low.len())).copied().unwrap_or(0u8)
    })
}

/// INSERTPS: puts a lane where bits 4 and 5 say and clears the lanes of bits 0 to 3.
#[inline(always)]
fn insert_float(a: u128, lane: u32, imm: u8) -> u128 {
    let mut lanes = <u128 as Lanes<u32>>::split(a);
    lanes[usize::from(imm >> 4 & 3)] = lane;
    build(|i| if imm >> i & 1 != 0 { 0 } else { lanes[i] })
}

operations! {
    fn lower_shuffle;
    both Punpckhbw(a, b, _) = interleave::<u8, V>(a, b, true);
    both Punpckhwd(a, b, _) = interleave::<u16, V>(a, b, true);
    both Punpckhdq(a, b, _) = interleave::<u32, V>(a, b, true);
    xmm Punpckhqdq(a, b, _) = interleave::<u64, _>(a, b, true);
    xmm Punpcklqdq(a, b, _) = interleave::<u64, _>(a, b, false);
    xmm Unpckhps(a, b, _) = interleave::<u32, _>(a, b, true);
    xmm Unpckhpd(a, b, _) = interleave::<u64, _>(a, b, true);
    xmm Unpcklps(a, b, _) = interleave::<u32, _>(a, b, false);
    xmm Unpcklpd(a, b, _) = interleave::<u64, _>(a, b, false);
    xmm Pshufd(_, b, imm) = shuffle_four::<u32, _>(b, imm);
    xmm Pshuflw(_, b, imm) = shuffle_words(b, imm, 0);
    xmm Pshufhw(_, b, imm) = shuffle_words(b, imm, 4);
    xmm Shufps(a, b, imm) = {
        let (a, b) = (<u128 as Lanes<u32>>::split(a), <u128 as Lanes<u32>>::split(b));
        build(|i| if i < 2 { a[two_bits(imm, i)] } else { b[two_bits(imm, i)] })
    };
    xmm Shufpd[2](a, b, imm) = {
        let (a, b) = (<u128 as Lanes<u64>>::split(a), <u128 as Lanes<u64>>::split(b));
        build(|i| if i == 0 { a[usize::from(imm & 1)] } else { b[usize::from(imm >> 1 & 1)] })
    };
    both Pshufb(a, b, _) = shuffle_bytes(a, b);
    both Palignr(a, b, imm) = align_right(a, b, imm);
    xmm Movsldup(_, b, _) = shuffle_four::<u32, _>(b, 0b10_10_00_00);
    xmm Movshdup(_, b, _) = shuffle_four::<u32, _>(b, 0b11_11_01_01);
    narrow Movddup(_, b, _) = b << 64 | b & u128::from(u64::MAX);
    xmm Blendps[4](a, b, imm) = blend::<u32, _>(a, b, imm);
    xmm Blendpd[2](a, b, imm) = blend::<u64, _>(a, b, imm);
    xmm Pblendw(a, b, imm) = blend::<u16, _>(a, b, imm);
    narrow Pmovzxbw(_, b, _) = extend(b, |x: u8| u16::from(x));
    narrow Pmovzxbd(_, b, _) = extend(b, |x: u8| u32::from(x));
    narrow Pmovzxbq(_, b, _) = extend(b, |x: u8| u64::from(x));
    narrow Pmovzxwd(_, b, _) = extend(b, |x: u16| u32::from(x));
    narrow Pmovzxwq(_, b, _) = extend(b, |x: u16| u64::from(x));
    narrow Pmovzxdq(_, b, _) = extend(b, |x: u32| u64::from(x));
    narrow Pmovsxbw(_, b, _) = extend(b, |x: i8| i16::from(x));
    narrow Pmovsxbd(_, b, _) = extend(b, |x: i8| i32::from(x));
    narrow Pmovsxbq(_, b, _) = extend(b, |x: i8| i64::from(x));
    narrow Pmovsxwd(_, b, _) = extend(b, |x: i16| i32::from(x));
    narrow Pmovsxwq(_, b, _) = extend(b, |x: i16| i64::from(x));
    narrow Pmovsxdq(_, b, _) = extend(b, |x: i32| i64::from(x));
}

/// PUNPCKLBW and its kin: from memory, the MMX form reads only the half that it needs.
struct InterleaveLow<T>(std::marker::PhantomData<T>);

impl<T: Copy, V: Lane + Lanes<T>> Operation<V> for InterleaveLow<T> {
    #[inline(always)]
    fn apply(a: V, b: V, _imm: u8) -> V {
        interleave::<T, V>(a, b, false)
    }
}

fn lower_interleave_low<T: Copy + 'static>(l: &Lowering<'_>) -> Op
where
    u64: Lanes<T>,
    u128: Lanes<T>,
{
    match (is_mmx(l, 0), from_register(l)) {
        (true, true) => plain(l, combine::<u64, Rm, InterleaveLow<T>>),
        (true, false) => plain(l, combine::<u64, Low<u32>, InterleaveLow<T>>),
        (false, _) => whole!(l, combine, InterleaveLow<T>),
    }
}

struct ShuffleMmx;
impl Operation<u64> for ShuffleMmx {
    #[inline(always)]
    fn apply(_a: u64, b: u64, imm: u8) -> u64 {
        shuffle_four::<u16, _>(b, imm)
    }
}

/// INSERTPS from a register: bits 6 and 7 say which lane.
struct InsertFromRegister;
impl Operation<u128> for InsertFromRegister {
    #[inline(always)]
    fn apply(a: u128, b: u128, imm: u8) -> u128 {
        insert_float(a, <u128 as Lanes<u32>>::split(b)[usize::from(imm >> 6)], imm)
    }
}

struct InsertFromMemory;
impl Operation<u128> for InsertFromMemory {
    #[inline(always)]
    fn apply(a: u128, b: u128, imm: u8) -> u128 {
        insert_float(a, b as u32, imm)
    }
}

/// PBLENDVB, BLENDVPS and BLENDVPD: lanes of the source where those of the register in the immediate are negative.
fn blend_by_register<V: Xmm + Lanes<T>, S: Source, T: Copy + Default + PartialOrd>(
    x: &mut Exec<'_>,
    op: &Op,
) -> Outcome {
    V::ready(x)?;
    let split = <V as Lanes<T>>::split;
    let b = split(S::get::<V>(x, op)?);
    let (a, choice) = (split(V::of(x, op.third)), split(V::of(x, op.imm as u8)));
    let (a, b, choice) = (a.as_ref(), b.as_ref(), choice.as_ref());
    build::<T, V>(|i| if choice[i] < T::default() { b[i] } else { a[i] }).put(x, op.reg);
    Ok(())
}

/// PMOVMSKB: the bytes' signs. A multiplication gathers those of eight bytes.
fn byte_signs<V: Vector>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const GATHER: u64 = 0x0102_0408_1020_4080;
    V::ready(x)?;
    V::enter(x);
    let quadwords = <V as Lanes<u64>>::split(V::of(x, op.rm));
    let signs = |quadword: u64| (quadword >> 7 & ONES).wrapping_mul(GATHER) >> 56;
    let all = quadwords.as_ref().iter().rev().fold(0, |all, &quadword| all << 8 | signs(quadword));
    x.cpu.regs.set(op.reg, all);
    Ok(())
}

/// MOVMSKPS and MOVMSKPD: the lanes' signs.
fn signs<V: Xmm + Lanes<T>, T: Copy + Default + PartialOrd>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    V::ready(x)?;
    let signs = mask(V::of(x, op.rm), |lane: T| lane < T::default());
    x.cpu.regs.set(op.reg, signs);
    Ok(())
}

/// PINSRB and its kin.
fn insert<V: Vector + Lanes<W>, W: Integer, S: general::Source>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    V::ready(x)?;
    let lane = S::get::<W>(x, op)?;
    V::enter(x);
    let mut lanes = <V as Lanes<W>>::split(V::of(x, op.third));
    let count = lanes.as_ref().len();
    lanes.as_mut()[op.imm as usize % count] = lane;
    <V as Lanes<W>>::join(lanes).put(x, op.reg);
    Ok(())
}

/// PEXTRB and its kin, zero-extended to a register.
fn extract<V: Vector + Lanes<W>, W: Integer>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    V::ready(x)?;
    V::enter(x);
    x.cpu.regs.set(op.reg, lane_of::<V, W>(x, op).zero_extend());
    Ok(())
}

fn extract_to_memory<V: Vector + Lanes<W>, W: Integer>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    V::ready(x)?;
    x.write(op, lane_of::<V, W>(x, op))
}

/// The lane of the source that the immediate names.
fn lane_of<V: Vector + Lanes<W>, W: Integer>(x: &Exec<'_>, op: &Op) -> W {
    let lanes = <V as Lanes<W>>::split(V::of(x, op.rm));
    lanes.as_ref()[op.imm as usize % lanes.as_ref().len()]
}

/// PTEST: ZF if no bit is common, CF if all of the source's bits are in the destination.
fn test<V: Xmm, S: Source>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    V::ready(x)?;
    let b = S::get::<V>(x, op)?;
    let a = V::of(x, op.third);
    let zero = if a.lanewise(b, |a, b, _| a & b) == V::default() { Flags::ZF } else { 0 };
    let carry = if a.lanewise(b, |a, b, _| !a & b) == V::default() { Flags::CF } else { 0 };
    x.cpu.flags.update(Flags::STATUS, zero | carry);
    Ok(())
}

fn lower_insert<W: Integer>(l: &Lowering<'_>) -> Op
where
    u64: Lanes<W>,
    u128: Lanes<W>,
    Vex128: Lanes<W>,
{
    let run: Handler = match (is_mmx(l, 0), form(l) == Form::Sse, from_register(l)) {
        (true, _, true) => insert::<u64, W, general::Rm>,
        (true, _, false) => insert::<u64, W, general::Mem>,
        (false, true, true) => insert::<u128, W, general::Rm>,
        (false, true, false) => insert::<u128, W, general::Mem>,
        (false, false, true) => insert::<Vex128, W, general::Rm>,
        (false, false, false) => insert::<Vex128, W, general::Mem>,
    };
    plain(l, run)
}

fn lower_extract<W: Integer>(l: &Lowering<'_>) -> Op
where
    u64: Lanes<W>,
    u128: Lanes<W>,
    Vex128: Lanes<W>,
{
    let run: Handler = match (is_mmx(l, 1), form(l) == Form::Sse, l.is_register(0)) {
        (true, ..) => extract::<u64, W>,
        (false, true, true) => extract::<u128, W>,
        (false, true, false) => extract_to_memory::<u128, W>,
        (false, false, true) => extract::<Vex128, W>,
        (false, false, false) => extract_to_memory::<Vex128, W>,
    };
    plain(l, run)
}

/// The register that chooses is XMM0, or the fourth operand.
fn lower_blend_by_register<T: Copy + Default + PartialOrd + 'static>(l: &Lowering<'_>) -> Op
where
    u128: Lanes<T>,
    Vex128: Lanes<T>,
    Vex256: Lanes<T>,
{
    let choice = if form(l) == Form::Sse { 0 } else { u64::from(l.register(3)) };
    Op { imm: choice, ..whole!(l, blend_by_register, T) }
}

fn lower_insert_float(l: &Lowering<'_>) -> Op {
    if from_register(l) {
        return single!(l, Mem: combine, InsertFromRegister);
    }
    single!(l, Low<u32>: combine, InsertFromMemory)
}

fn lower_special(l: &Lowering<'_>) -> Option<Op> {
    use Mnemonic as M;
    Some(match mnemonic(l) {
        M::Punpcklbw => lower_interleave_low::<u8>(l),
        M::Punpcklwd => lower_interleave_low::<u16>(l),
        M::Punpckldq => lower_interleave_low::<u32>(l),
        M::Pshufw if l.is_register(1) => plain(l, combine::<u64, Rm, ShuffleMmx>),
        M::Pshufw => plain(l, combine::<u64, Mem, ShuffleMmx>),
        M::Pblendvb => lower_blend_by_register::<i8>(l),
        M::Blendvps => lower_blend_by_register::<i32>(l),
        M::Blendvpd => lower_blend_by_register::<i64>(l),
        M::Pmovmskb if is_mmx(l, 1) => plain(l, byte_signs::<u64>),
        M::Pmovmskb => plain(l, by_form!(l, byte_signs)),
        M::Movmskps => plain(l, by_form!(l, signs, i32)),
        M::Movmskpd => plain(l, by_form!(l, signs, i64)),
        M::Pinsrb => lower_insert::<u8>(l),
        M::Pinsrw => lower_insert::<u16>(l),
        M::Pinsrd => lower_insert::<u32>(l),
        M::Pinsrq => lower_insert::<u64>(l),
        M::Pextrb => lower_extract::<u8>(l),
        M::Pextrw => lower_extract::<u16>(l),
        M::Pextrd | M::Extractps => lower_extract::<u32>(l),
        M::Pextrq => lower_extract::<u64>(l),
        M::Insertps => lower_insert_float(l),
        M::Ptest => whole!(l, test),
        _ => return None,
    })
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    lower_special(l).or_else(|| lower_shuffle(l))
}
