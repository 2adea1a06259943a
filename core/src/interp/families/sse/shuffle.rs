//! Shuffles, interleavings, extensions, blends, insertions and extractions (SDM vol. 1, 9.4.5 Unpack Instructions,
//! 10.4.2 SSE Shuffle and Unpack Instructions, 11.4.1.4 SSE2, 12.4 SSE3, 12.6.6 PSHUFB, 12.6.7 PALIGNR, 12.8 SSE4.1).

use super::lanes::{Lanes, build, mask};
use super::operand::{Low, Mem, Operation, Rm, Source, Vector, combine, is_mmx, operations, plain};
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
fn blend<T: Copy, V: Lanes<T>>(a: V, b: V, imm: u8) -> V {
    let (a, b) = (a.split(), b.split());
    build(|i| if imm >> i & 1 != 0 { b.as_ref()[i] } else { a.as_ref()[i] })
}

#[inline(always)]
fn shuffle_bytes<V: Vector>(a: V, b: V) -> V {
    let (bytes, places) = (<V as Lanes<u8>>::split(a), <V as Lanes<u8>>::split(b));
    let (bytes, places) = (bytes.as_ref(), places.as_ref());
    build(|i| if places[i] & 0x80 != 0 { 0u8 } else { bytes[usize::from(places[i]) % bytes.len()] })
}

/// PALIGNR: `a` above `b`, shifted right by bytes.
#[inline(always)]
fn align_right<V: Vector>(a: V, b: V, imm: u8) -> V {
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
    xmm Shufpd(a, b, imm) = {
        let (a, b) = (<u128 as Lanes<u64>>::split(a), <u128 as Lanes<u64>>::split(b));
        build(|i| if i == 0 { a[usize::from(imm & 1)] } else { b[usize::from(imm >> 1 & 1)] })
    };
    both Pshufb(a, b, _) = shuffle_bytes(a, b);
    both Palignr(a, b, imm) = align_right(a, b, imm);
    xmm Movsldup(_, b, _) = shuffle_four::<u32, _>(b, 0b10_10_00_00);
    xmm Movshdup(_, b, _) = shuffle_four::<u32, _>(b, 0b11_11_01_01);
    narrow Movddup(_, b, _) = b << 64 | b & u128::from(u64::MAX);
    xmm Blendps(a, b, imm) = blend::<u32, _>(a, b, imm);
    xmm Blendpd(a, b, imm) = blend::<u64, _>(a, b, imm);
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

impl<T: Copy, V: Vector + Lanes<T>> Operation<V> for InterleaveLow<T> {
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
    let run: Handler = match (is_mmx(l, 0), l.is_register(1)) {
        (true, true) => combine::<u64, Rm, InterleaveLow<T>>,
        (true, false) => combine::<u64, Low<u32>, InterleaveLow<T>>,
        (false, true) => combine::<u128, Rm, InterleaveLow<T>>,
        (false, false) => combine::<u128, Mem, InterleaveLow<T>>,
    };
    plain(l, run)
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

/// PBLENDVB, BLENDVPS and BLENDVPD: lanes of the source where XMM0's lane is negative.
fn blend_by_xmm0<T: Copy + Default + PartialOrd, S: Source>(x: &mut Exec<'_>, op: &Op) -> Outcome
where
    u128: Lanes<T>,
{
    u128::ready(x)?;
    let b = S::get::<u128>(x, op)?.split();
    let (a, choice) = (u128::of(x, op.reg).split(), u128::of(x, 0).split());
    let (a, b, choice) = (a.as_ref(), b.as_ref(), choice.as_ref());
    build::<T, u128>(|i| if choice[i] < T::default() { b[i] } else { a[i] }).put(x, op.reg);
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
fn signs<T: Copy + Default + PartialOrd>(x: &mut Exec<'_>, op: &Op) -> Outcome
where
    u128: Lanes<T>,
{
    u128::ready(x)?;
    let signs = mask(u128::of(x, op.rm), |lane: T| lane < T::default());
    x.cpu.regs.set(op.reg, signs);
    Ok(())
}

/// PINSRB and its kin.
fn insert<V: Vector + Lanes<W>, W: Integer, S: general::Source>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    V::ready(x)?;
    let lane = S::get::<W>(x, op)?;
    V::enter(x);
    let mut lanes = <V as Lanes<W>>::split(V::of(x, op.reg));
    let count = lanes.as_ref().len();
    lanes.as_mut()[op.imm as usize % count] = lane;
    <V as Lanes<W>>::join(lanes).put(x, op.reg);
    Ok(())
}

/// PEXTRB and its kin to memory, or zero-extended to a register.
fn extract<V: Vector + Lanes<W>, W: Integer, const MEMORY: bool>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    V::ready(x)?;
    V::enter(x);
    let lanes = <V as Lanes<W>>::split(V::of(x, op.rm));
    let lane = lanes.as_ref()[op.imm as usize % lanes.as_ref().len()];
    if MEMORY {
        x.write(op, lane)?;
    } else {
        x.cpu.regs.set(op.reg, lane.zero_extend());
    }
    Ok(())
}

/// PTEST: ZF if no bit is common, CF if all of the source's bits are in the destination.
fn test<S: Source>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    u128::ready(x)?;
    let b = S::get::<u128>(x, op)?;
    let a = u128::of(x, op.reg);
    let zero = if a & b == 0 { Flags::ZF } else { 0 };
    let carry = if !a & b == 0 { Flags::CF } else { 0 };
    x.cpu.flags.update(Flags::STATUS, zero | carry);
    Ok(())
}

fn lower_insert<W: Integer>(l: &Lowering<'_>) -> Op
where
    u64: Lanes<W>,
    u128: Lanes<W>,
{
    let run: Handler = match (is_mmx(l, 0), l.is_register(1)) {
        (true, true) => insert::<u64, W, general::Rm>,
        (true, false) => insert::<u64, W, general::Mem>,
        (false, true) => insert::<u128, W, general::Rm>,
        (false, false) => insert::<u128, W, general::Mem>,
    };
    plain(l, run)
}

fn lower_extract<W: Integer>(l: &Lowering<'_>) -> Op
where
    u64: Lanes<W>,
    u128: Lanes<W>,
{
    let run: Handler = match (is_mmx(l, 1), l.is_register(0)) {
        (true, _) => extract::<u64, W, false>,
        (false, true) => extract::<u128, W, false>,
        (false, false) => extract::<u128, W, true>,
    };
    plain(l, run)
}

fn lower_blend_by_xmm0<T: Copy + Default + PartialOrd + 'static>(l: &Lowering<'_>) -> Op
where
    u128: Lanes<T>,
{
    let run: Handler = if l.is_register(1) { blend_by_xmm0::<T, Rm> } else { blend_by_xmm0::<T, Mem> };
    plain(l, run)
}

fn lower_insert_float(l: &Lowering<'_>) -> Op {
    let (register, memory): (Handler, Handler) =
        (combine::<u128, Rm, InsertFromRegister>, combine::<u128, Low<u32>, InsertFromMemory>);
    plain(l, if l.is_register(1) { register } else { memory })
}

fn lower_special(l: &Lowering<'_>) -> Option<Op> {
    use Mnemonic as M;
    Some(match l.insn.mnemonic() {
        M::Punpcklbw => lower_interleave_low::<u8>(l),
        M::Punpcklwd => lower_interleave_low::<u16>(l),
        M::Punpckldq => lower_interleave_low::<u32>(l),
        M::Pshufw if l.is_register(1) => plain(l, combine::<u64, Rm, ShuffleMmx>),
        M::Pshufw => plain(l, combine::<u64, Mem, ShuffleMmx>),
        M::Pblendvb => lower_blend_by_xmm0::<i8>(l),
        M::Blendvps => lower_blend_by_xmm0::<i32>(l),
        M::Blendvpd => lower_blend_by_xmm0::<i64>(l),
        M::Pmovmskb if is_mmx(l, 1) => plain(l, byte_signs::<u64>),
        M::Pmovmskb => plain(l, byte_signs::<u128>),
        M::Movmskps => plain(l, signs::<i32>),
        M::Movmskpd => plain(l, signs::<i64>),
        M::Pinsrb => lower_insert::<u8>(l),
        M::Pinsrw => lower_insert::<u16>(l),
        M::Pinsrd => lower_insert::<u32>(l),
        M::Pinsrq => lower_insert::<u64>(l),
        M::Pextrb => lower_extract::<u8>(l),
        M::Pextrw => lower_extract::<u16>(l),
        M::Pextrd | M::Extractps => lower_extract::<u32>(l),
        M::Pextrq => lower_extract::<u64>(l),
        M::Insertps => lower_insert_float(l),
        M::Ptest if l.is_register(1) => plain(l, test::<Rm>),
        M::Ptest => plain(l, test::<Mem>),
        _ => return None,
    })
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    lower_special(l).or_else(|| lower_shuffle(l))
}
