//! PCMPESTRI, PCMPESTRM, PCMPISTRI and PCMPISTRM (SDM vol. 1, 12.10.1 String and Text Processing Instructions; vol. 2,
//! 4.1 Imm8 Control Byte Operation).

use super::form::{Form, form, from_register, mnemonic, plain, single};
use super::lanes::{Lanes, build};
use super::operand::{Loose, Rm, Source, Vector, Xmm};
use super::vex::Vex128;
use crate::cpu::{Flags, reg};
use crate::interp::exec::{Exec, Outcome};
use crate::interp::op::{Handler, Lowering, Op};
use iced_x86::Mnemonic;

/// One operand: its elements, widened, and how many are valid.
struct Text {
    elements: [i32; 16],
    valid: usize,
}

impl Text {
    /// Elements in the format of the immediate's bits 0 and 1.
    fn elements(v: u128, imm: u8) -> [i32; 16] {
        match imm & 3 {
            0 => v.to_le_bytes().map(i32::from),
            2 => <u128 as Lanes<i8>>::split(v).map(i32::from),
            1 => widen(<u128 as Lanes<u16>>::split(v).map(i32::from)),
            _ => widen(<u128 as Lanes<i16>>::split(v).map(i32::from)),
        }
    }

    /// Valid up to the first zero.
    fn implicit(v: u128, imm: u8) -> Self {
        let elements = Self::elements(v, imm);
        let valid = elements.iter().take(count(imm)).position(|&element| element == 0);
        Self { elements, valid: valid.unwrap_or(count(imm)) }
    }

    /// As many valid as the length's magnitude says.
    fn explicit(v: u128, length: i64, imm: u8) -> Self {
        let valid = length.unsigned_abs().min(count(imm) as u64) as usize;
        Self { elements: Self::elements(v, imm), valid }
    }

    /// The element at an index, if valid.
    fn get(&self, at: usize) -> Option<i32> {
        (at < self.valid).then(|| self.elements[at % 16])
    }
}

fn widen(words: [i32; 8]) -> [i32; 16] {
    std::array::from_fn(|i| words.get(i).copied().unwrap_or(0))
}

/// Elements of a vector.
fn count(imm: u8) -> usize {
    if imm & 1 != 0 { 8 } else { 16 }
}

/// Whether an element of `b` is one of those in `a`.
fn equal_any(a: &Text, b: &Text, at: usize) -> bool {
    b.get(at).is_some_and(|element| a.elements[..a.valid].contains(&element))
}

/// Whether an element of `b` lies in one of the ranges that pairs of `a` make.
fn in_ranges(a: &Text, b: &Text, at: usize) -> bool {
    let mut pairs = a.elements[..a.valid].chunks_exact(2);
    b.get(at).is_some_and(|element| pairs.any(|pair| pair[0] <= element && element <= pair[1]))
}

/// Whether two elements are equal, or both invalid.
fn equal_each(a: &Text, b: &Text, at: usize) -> bool {
    a.get(at) == b.get(at)
}

/// Whether the valid part of `a` stands in `b` from an index on, as far as the vector shows.
fn equal_ordered(a: &Text, b: &Text, at: usize, count: usize) -> bool {
    (0..a.valid.min(count - at)).all(|i| b.get(at + i) == a.get(i))
}

/// The comparison's bits, before the polarity.
fn aggregate(a: &Text, b: &Text, imm: u8) -> u32 {
    let count = count(imm);
    let holds = |at: usize| match imm >> 2 & 3 {
        0 => equal_any(a, b, at),
        1 => in_ranges(a, b, at),
        2 => equal_each(a, b, at),
        _ => equal_ordered(a, b, at, count),
    };
    (0..count).fold(0, |bits, at| bits | u32::from(holds(at)) << at)
}

/// The comparison's bits.
fn compare(a: &Text, b: &Text, imm: u8) -> u32 {
    let bits = aggregate(a, b, imm);
    let all = (1 << count(imm)) - 1;
    match imm >> 4 & 3 {
        1 => bits ^ all,
        3 => bits ^ ((1 << b.valid) - 1),
        _ => bits,
    }
}

fn flags(a: &Text, b: &Text, bits: u32, imm: u8) -> u64 {
    let bit = |on: bool, flag: u64| if on { flag } else { 0 };
    bit(bits != 0, Flags::CF)
        | bit(b.valid < count(imm), Flags::ZF)
        | bit(a.valid < count(imm), Flags::SF)
        | bit(bits & 1 != 0, Flags::OF)
}

/// The bits' first or last set one; how many elements there are if none is set.
fn index(bits: u32, imm: u8) -> u32 {
    match (bits, imm & 0x40 != 0) {
        (0, _) => count(imm) as u32,
        (_, true) => 31 - bits.leading_zeros(),
        (_, false) => bits.trailing_zeros(),
    }
}

/// The bits as they are, or each as wide as an element.
fn mask(bits: u32, imm: u8) -> u128 {
    let set = |at: usize| bits >> at & 1 != 0;
    match (imm & 0x40 != 0, imm & 1 != 0) {
        (false, _) => u128::from(bits),
        (true, false) => build(|at| if set(at) { u8::MAX } else { 0 }),
        (true, true) => build(|at| if set(at) { u16::MAX } else { 0 }),
    }
}

/// What the comparison is told of the operands' lengths.
trait Lengths {
    fn text(x: &Exec<'_>, v: u128, register: u8, imm: u8) -> Text;
}

/// Up to the first zero.
struct Implicit;
/// In EAX and EDX.
struct Explicit32;
/// In RAX and RDX.
struct Explicit64;

impl Lengths for Implicit {
    fn text(_x: &Exec<'_>, v: u128, _register: u8, imm: u8) -> Text {
        Text::implicit(v, imm)
    }
}

impl Lengths for Explicit32 {
    fn text(x: &Exec<'_>, v: u128, register: u8, imm: u8) -> Text {
        Text::explicit(v, i64::from(x.cpu.regs.get(register) as i32), imm)
    }
}

impl Lengths for Explicit64 {
    fn text(x: &Exec<'_>, v: u128, register: u8, imm: u8) -> Text {
        Text::explicit(v, x.cpu.regs.get(register) as i64, imm)
    }
}

/// The comparison's bits and its flags.
fn string_compare<V: Xmm, S: Source, L: Lengths>(x: &mut Exec<'_>, op: &Op) -> Outcome<u32> {
    V::ready(x)?;
    let imm = op.imm as u8;
    let b = S::get::<u128>(x, op)?;
    let a = L::text(x, u128::of(x, op.reg), reg::RAX, imm);
    let b = L::text(x, b, reg::RDX, imm);
    let bits = compare(&a, &b, imm);
    x.cpu.flags.update(Flags::STATUS, flags(&a, &b, bits, imm));
    Ok(bits)
}

fn string_index<V: Xmm, S: Source, L: Lengths>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let bits = string_compare::<V, S, L>(x, op)?;
    x.cpu.regs.set32(reg::RCX, index(bits, op.imm as u8));
    Ok(())
}

fn string_mask<V: Xmm, S: Source, L: Lengths>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let bits = string_compare::<V, S, L>(x, op)?;
    let mask = mask(bits, op.imm as u8);
    V::default().lanewise(V::default(), |_, _, _| mask).put(x, 0);
    Ok(())
}

fn lower_index<L: Lengths>(l: &Lowering<'_>) -> Op {
    single!(l, Loose: string_index, L)
}

fn lower_mask<L: Lengths>(l: &Lowering<'_>) -> Op {
    single!(l, Loose: string_mask, L)
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    use Mnemonic as M;
    Some(match mnemonic(l) {
        M::Pcmpistri => lower_index::<Implicit>(l),
        M::Pcmpistrm => lower_mask::<Implicit>(l),
        M::Pcmpestri => lower_index::<Explicit32>(l),
        M::Pcmpestrm => lower_mask::<Explicit32>(l),
        M::Pcmpestri64 => lower_index::<Explicit64>(l),
        M::Pcmpestrm64 => lower_mask::<Explicit64>(l),
        _ => return None,
    })
}
