//! Integer arithmetic, comparison and logic on packed lanes (SDM vol. 1, 9.4 MMX Instructions, 11.4.2 SSE2 64-Bit and
//! 128-Bit SIMD Integer Instructions, 12.5 SSSE3, 12.8 SSE4.1).

use super::lanes::{Lanes, build, map, zip};
use super::operand::{Lane, Operation, operations};
use crate::interp::op::{Lowering, Op};
use iced_x86::Mnemonic;

/// All ones if the relation holds.
macro_rules! select {
    ($lane:ty, $relation:expr) => {
        |x: $lane, y: $lane| if $relation(&x, &y) { !0 } else { 0 }
    };
}

operations! {
    fn lower_simple;
    both Paddb(a, b, _) = zip(a, b, u8::wrapping_add);
    both Paddw(a, b, _) = zip(a, b, u16::wrapping_add);
    both Paddd(a, b, _) = zip(a, b, u32::wrapping_add);
    both Paddq(a, b, _) = zip(a, b, u64::wrapping_add);
    both Psubb(a, b, _) = zip(a, b, u8::wrapping_sub);
    both Psubw(a, b, _) = zip(a, b, u16::wrapping_sub);
    both Psubd(a, b, _) = zip(a, b, u32::wrapping_sub);
    both Psubq(a, b, _) = zip(a, b, u64::wrapping_sub);
    both Paddsb(a, b, _) = zip(a, b, i8::saturating_add);
    both Paddsw(a, b, _) = zip(a, b, i16::saturating_add);
    both Paddusb(a, b, _) = zip(a, b, u8::saturating_add);
    both Paddusw(a, b, _) = zip(a, b, u16::saturating_add);
    both Psubsb(a, b, _) = zip(a, b, i8::saturating_sub);
    both Psubsw(a, b, _) = zip(a, b, i16::saturating_sub);
    both Psubusb(a, b, _) = zip(a, b, u8::saturating_sub);
    both Psubusw(a, b, _) = zip(a, b, u16::saturating_sub);
    both Pmullw(a, b, _) = zip(a, b, u16::wrapping_mul);
    both Pmulhw(a, b, _) = zip(a, b, |x: i16, y: i16| ((i32::from(x) * i32::from(y)) >> 16) as i16);
    both Pmulhuw(a, b, _) = zip(a, b, |x: u16, y: u16| ((u32::from(x) * u32::from(y)) >> 16) as u16);
    both Pmulhrsw(a, b, _) = zip(a, b, |x: i16, y: i16| ((((i32::from(x) * i32::from(y)) >> 14) + 1) >> 1) as i16);
    both Pmuludq(a, b, _) = zip(a, b, |x: u64, y: u64| u64::from(x as u32) * u64::from(y as u32));
    xmm Pmuldq(a, b, _) = zip(a, b, |x: i64, y: i64| i64::from(x as i32) * i64::from(y as i32));
    xmm Pmulld(a, b, _) = zip(a, b, u32::wrapping_mul);
    both Pavgb(a, b, _) = zip(a, b, |x: u8, y: u8| ((u16::from(x) + u16::from(y) + 1) >> 1) as u8);
    both Pavgw(a, b, _) = zip(a, b, |x: u16, y: u16| ((u32::from(x) + u32::from(y) + 1) >> 1) as u16);
    both Pminub(a, b, _) = zip(a, b, <u8 as Ord>::min);
    both Pmaxub(a, b, _) = zip(a, b, <u8 as Ord>::max);
    both Pminsw(a, b, _) = zip(a, b, <i16 as Ord>::min);
    both Pmaxsw(a, b, _) = zip(a, b, <i16 as Ord>::max);
    xmm Pminsb(a, b, _) = zip(a, b, <i8 as Ord>::min);
    xmm Pmaxsb(a, b, _) = zip(a, b, <i8 as Ord>::max);
    xmm Pminuw(a, b, _) = zip(a, b, <u16 as Ord>::min);
    xmm Pmaxuw(a, b, _) = zip(a, b, <u16 as Ord>::max);
    xmm Pminsd(a, b, _) = zip(a, b, <i32 as Ord>::min);
    xmm Pmaxsd(a, b, _) = zip(a, b, <i32 as Ord>::max);
    xmm Pminud(a, b, _) = zip(a, b, <u32 as Ord>::min);
    xmm Pmaxud(a, b, _) = zip(a, b, <u32 as Ord>::max);
    both Pcmpeqb(a, b, _) = zip(a, b, select!(u8, u8::eq));
    both Pcmpeqw(a, b, _) = zip(a, b, select!(u16, u16::eq));
    both Pcmpeqd(a, b, _) = zip(a, b, select!(u32, u32::eq));
    xmm Pcmpeqq(a, b, _) = zip(a, b, select!(u64, u64::eq));
    both Pcmpgtb(a, b, _) = zip(a, b, select!(i8, i8::gt));
    both Pcmpgtw(a, b, _) = zip(a, b, select!(i16, i16::gt));
    both Pcmpgtd(a, b, _) = zip(a, b, select!(i32, i32::gt));
    xmm Pcmpgtq(a, b, _) = zip(a, b, select!(i64, i64::gt));
    both Pabsb(_, b, _) = map(b, i8::wrapping_abs);
    both Pabsw(_, b, _) = map(b, i16::wrapping_abs);
    both Pabsd(_, b, _) = map(b, i32::wrapping_abs);
    both Psignb(a, b, _) = zip(a, b, |x: i8, y: i8| x.wrapping_mul(y.signum()));
    both Psignw(a, b, _) = zip(a, b, |x: i16, y: i16| x.wrapping_mul(y.signum()));
    both Psignd(a, b, _) = zip(a, b, |x: i32, y: i32| x.wrapping_mul(y.signum()));
    both Pand(a, b, _) = a & b;
    both Pandn(a, b, _) = !a & b;
    both Por(a, b, _) = a | b;
    both Pxor(a, b, _) = a ^ b;
    xmm Andps(a, b, _) = a & b;
    xmm Andpd(a, b, _) = a & b;
    xmm Andnps(a, b, _) = !a & b;
    xmm Andnpd(a, b, _) = !a & b;
    xmm Orps(a, b, _) = a | b;
    xmm Orpd(a, b, _) = a | b;
    xmm Xorps(a, b, _) = a ^ b;
    xmm Xorpd(a, b, _) = a ^ b;
}

operations! {
    fn lower_across;
    both Pmaddwd(a, b, _) = multiply_add(a, b);
    both Pmaddubsw(a, b, _) = multiply_add_bytes(a, b);
    both Psadbw(a, b, _) = absolute_differences(a, b);
    both Phaddw(a, b, _) = horizontal(a, b, u16::wrapping_add);
    both Phaddd(a, b, _) = horizontal(a, b, u32::wrapping_add);
    both Phaddsw(a, b, _) = horizontal(a, b, i16::saturating_add);
    both Phsubw(a, b, _) = horizontal(a, b, u16::wrapping_sub);
    both Phsubd(a, b, _) = horizontal(a, b, u32::wrapping_sub);
    both Phsubsw(a, b, _) = horizontal(a, b, i16::saturating_sub);
    both Packsswb(a, b, _) = pack(a, b, |x: i16| x.clamp(-128, 127) as u8);
    both Packuswb(a, b, _) = pack(a, b, |x: i16| x.clamp(0, 255) as u8);
    both Packssdw(a, b, _) = pack(a, b, |x: i32| x.clamp(-0x8000, 0x7fff) as u16);
    xmm Packusdw(a, b, _) = pack(a, b, |x: i32| x.clamp(0, 0xffff) as u16);
    xmm Phminposuw(_, b, _) = least_word(b);
    xmm Mpsadbw[3](a, b, imm) = sums_of_differences(a, b, imm);
}

fn multiply_add<V: Lane>(a: V, b: V) -> V {
    let (a, b) = (<V as Lanes<i16>>::split(a), <V as Lanes<i16>>::split(b));
    let product = |i: usize| i32::from(a.as_ref()[i]) * i32::from(b.as_ref()[i]);
    // Four times 0x8000 squared is the one sum that does not fit.
    build(|i| product(2 * i).wrapping_add(product(2 * i + 1)))
}

fn multiply_add_bytes<V: Lane>(a: V, b: V) -> V {
    let (a, b) = (<V as Lanes<u8>>::split(a), <V as Lanes<i8>>::split(b));
    let product = |i: usize| i32::from(a.as_ref()[i]) * i32::from(b.as_ref()[i]);
    build(|i| (product(2 * i) + product(2 * i + 1)).clamp(-0x8000, 0x7fff) as i16)
}

fn absolute_differences<V: Lane>(a: V, b: V) -> V {
    let (a, b) = (<V as Lanes<u8>>::split(a), <V as Lanes<u8>>::split(b));
    let difference = |at: usize| u64::from(a.as_ref()[at].abs_diff(b.as_ref()[at]));
    build(|i| (8 * i..8 * i + 8).map(difference).sum::<u64>())
}

/// Combines neighbours: those of `a` make the low half of the result, those of `b` the high one.
fn horizontal<T: Copy, V: Lanes<T>>(a: V, b: V, f: impl Fn(T, T) -> T) -> V {
    let (a, b) = (a.split(), b.split());
    let half = a.as_ref().len() / 2;
    build(|i| {
        let from = if i < half { a.as_ref() } else { b.as_ref() };
        let at = 2 * (i % half);
        f(from[at], from[at + 1])
    })
}

/// Narrows the lanes of `a` to the low half of the result and those of `b` to the high one.
fn pack<W: Copy, N, V: Lanes<W> + Lanes<N>>(a: V, b: V, f: impl Fn(W) -> N) -> V {
    let (a, b) = (<V as Lanes<W>>::split(a), <V as Lanes<W>>::split(b));
    let half = a.as_ref().len();
    build(|i| f(if i < half { a.as_ref()[i] } else { b.as_ref()[i - half] }))
}

/// PHMINPOSUW: the least word, and the lowest index at which it is.
fn least_word(b: u128) -> u128 {
    let words = <u128 as Lanes<u16>>::split(b);
    let (index, least) = words.iter().enumerate().min_by_key(|(_, word)| **word).unwrap_or((0, &0));
    u128::from(*least) | (index as u128) << 16
}

/// MPSADBW: eight sums of absolute differences between a group of four bytes of `b` and groups that begin at successive
/// bytes of `a`.
fn sums_of_differences(a: u128, b: u128, imm: u8) -> u128 {
    let (a, b) = (a.to_le_bytes(), b.to_le_bytes());
    let (from, group) = (usize::from(imm >> 2 & 1) * 4, usize::from(imm & 3) * 4);
    build(|i| (0..4).map(|k| u16::from(a[from + i + k].abs_diff(b[group + k]))).sum::<u16>())
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    lower_simple(l).or_else(|| lower_across(l))
}
