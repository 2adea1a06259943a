//! Vector registers, where vector operands come from, and whether the unit may execute at all (SDM vol. 3, 2.5 Control
//! Registers, and chapters 13 MMX and 14 SSE System Programming).
//!
//! A handler is generic over the [`Vector`] that its registers hold, which says with the type how the instruction was
//! encoded: `u64` for MMX, `u128` for SSE, [`Vex128`] and [`Vex256`] for AVX. Whatever works on 128 bits works on each lane
//! of 128 bits of a longer register.

use super::lanes::Lanes;
use super::vex::{Vex128, Vex256};
use crate::cpu::{Exception, Vector as ExceptionVector, cr0, cr4};
use crate::interp::exec::{Exec, Outcome};
use crate::interp::op::Op;
use crate::interp::word::{Integer, Word};
use crate::softfloat::F80;
use std::marker::PhantomData;
use std::ops::{BitAnd, BitOr, BitXor, Not};

/// The x87 status word's summary of unmasked exceptions.
const ES: u16 = 1 << 7;
/// The x87 status word's top of the stack.
const TOP: u16 = 7 << 11;

/// Vectors whose registers hold lanes of every integer type.
pub(in crate::interp::families) trait AllLanes:
    Lanes<u8> + Lanes<i8> + Lanes<u16> + Lanes<i16> + Lanes<u32> + Lanes<i32> + Lanes<u64> + Lanes<i64>
{
}
impl AllLanes for u64 {}
impl AllLanes for u128 {}
impl AllLanes for Vex128 {}
impl AllLanes for Vex256 {}

/// A vector: 64 bits of an MMX register, 128 of an XMM register, or a register as VEX-encoded instructions see it.
pub(in crate::interp::families) trait Vector: Word + AllLanes {
    /// What an operation works on at a time.
    type Lane: Lane;
    /// Whether operands in memory must be aligned.
    const ALIGNED: bool;
    /// Raises what keeps the unit from executing.
    fn ready(x: &mut Exec<'_>) -> Outcome;
    /// What an MMX instruction does once it has its operands, even if a floating-point exception comes of them: all x87
    /// registers are valid, and R0 is on top.
    #[inline(always)]
    fn enter(_x: &mut Exec<'_>) {}
    /// The part of [`enter`](Self::enter) that an MMX instruction does before it stores to memory, even if that faults:
    /// R0 is on top.
    #[inline(always)]
    fn rewind(_x: &mut Exec<'_>) {}
    /// A register's value.
    fn of(x: &Exec<'_>, register: u8) -> Self;
    /// Sets a register.
    fn put(self, x: &mut Exec<'_>, register: u8);
    /// Zero-extended from 64 bits.
    fn from_low(low: u64) -> Self;
    /// The low 64 bits.
    fn low(self) -> u64;
    /// Combines two vectors lane by lane, the lowest first; the function is told the lane's index.
    fn lanewise(self, other: Self, f: impl FnMut(Self::Lane, Self::Lane, u32) -> Self::Lane) -> Self;
}

/// A vector that is its only lane.
pub(in crate::interp::families) trait Lane:
    Vector<Lane = Self> + BitAnd<Output = Self> + BitOr<Output = Self> + BitXor<Output = Self> + Not<Output = Self>
{
}
impl Lane for u64 {}
impl Lane for u128 {}

/// A vector whose lanes are those of XMM registers.
pub(in crate::interp::families) trait Xmm: Vector<Lane = u128> {}
impl<V: Vector<Lane = u128>> Xmm for V {}

impl Vector for u128 {
    type Lane = Self;
    const ALIGNED: bool = true;
    #[inline(always)]
    fn ready(x: &mut Exec<'_>) -> Outcome {
        if x.cpu.cr0 & (cr0::EM | cr0::TS) != 0 || x.cpu.cr4 & cr4::OSFXSR == 0 {
            return sse_unavailable(x);
        }
        Ok(())
    }
    #[inline(always)]
    fn of(x: &Exec<'_>, register: u8) -> Self {
        x.cpu.vectors[usize::from(register & 15)].low
    }
    #[inline(always)]
    fn put(self, x: &mut Exec<'_>, register: u8) {
        x.cpu.vectors[usize::from(register & 15)].low = self;
    }
    #[inline(always)]
    fn from_low(low: u64) -> Self {
        u128::from(low)
    }
    #[inline(always)]
    fn low(self) -> u64 {
        self as u64
    }
    #[inline(always)]
    fn lanewise(self, other: Self, mut f: impl FnMut(Self, Self, u32) -> Self) -> Self {
        f(self, other, 0)
    }
}

impl Vector for u64 {
    type Lane = Self;
    const ALIGNED: bool = false;
    #[inline(always)]
    fn ready(x: &mut Exec<'_>) -> Outcome {
        if x.cpu.cr0 & (cr0::EM | cr0::TS) != 0 || x.cpu.x87.status & ES != 0 {
            return mmx_unavailable(x);
        }
        Ok(())
    }
    #[inline(always)]
    fn enter(x: &mut Exec<'_>) {
        Self::rewind(x);
        x.cpu.x87.empty = 0;
    }
    #[inline(always)]
    fn rewind(x: &mut Exec<'_>) {
        x.cpu.x87.status &= !TOP;
    }
    #[inline(always)]
    fn of(x: &Exec<'_>, register: u8) -> Self {
        x.cpu.x87.regs[usize::from(register & 7)].sig
    }
    #[inline(always)]
    fn put(self, x: &mut Exec<'_>, register: u8) {
        x.cpu.x87.regs[usize::from(register & 7)] = F80 { sign_exp: 0xffff, sig: self };
    }
    #[inline(always)]
    fn from_low(low: u64) -> Self {
        low
    }
    #[inline(always)]
    fn low(self) -> u64 {
        self
    }
    #[inline(always)]
    fn lanewise(self, other: Self, mut f: impl FnMut(Self, Self, u32) -> Self) -> Self {
        f(self, other, 0)
    }
}

#[cold]
fn sse_unavailable(x: &mut Exec<'_>) -> Outcome {
    if x.cpu.cr0 & cr0::EM != 0 || x.cpu.cr4 & cr4::OSFXSR == 0 {
        return x.raise(Exception::ud());
    }
    x.raise(Exception::new(ExceptionVector::DeviceNotAvailable))
}

#[cold]
fn mmx_unavailable(x: &mut Exec<'_>) -> Outcome {
    x.raise(match x.cpu.cr0 {
        cr0 if cr0 & cr0::EM != 0 => Exception::ud(),
        cr0 if cr0 & cr0::TS != 0 => Exception::new(ExceptionVector::DeviceNotAvailable),
        _ => Exception::new(ExceptionVector::X87Error),
    })
}

/// Raises what keeps an instruction from executing that uses both XMM and MMX registers.
#[inline(always)]
pub(super) fn both_ready(x: &mut Exec<'_>) -> Outcome {
    u128::ready(x)?;
    u64::ready(x)
}

/// Linear address of the memory operand, which must be a multiple of `alignment`.
#[inline(always)]
pub(in crate::interp::families) fn aligned(
    x: &mut Exec<'_>,
    op: &Op,
    size: usize,
    alignment: u64,
    write: bool,
) -> Outcome<u64> {
    let linear = x.ea(op, size, write)?;
    if linear & (alignment - 1) != 0 {
        return misaligned(x);
    }
    Ok(linear)
}

/// Alignment is looked at first: a misaligned address is a general protection fault even if it is not canonical and
/// relative to the stack.
#[cold]
fn misaligned(x: &mut Exec<'_>) -> Outcome<u64> {
    x.raise(Exception::gp(0))
}

/// The linear address some bytes after another one.
pub(in crate::interp::families) fn after(x: &Exec<'_>, linear: u64, bytes: u64) -> u64 {
    let sum = linear.wrapping_add(bytes);
    if x.is_64bit { sum } else { sum & 0xffff_ffff }
}

/// A source operand.
pub(in crate::interp::families) trait Source {
    /// Whether it is memory.
    const MEMORY: bool = true;
    fn get<V: Vector>(x: &mut Exec<'_>, op: &Op) -> Outcome<V>;
}

/// The vector register in [`Op::rm`].
pub(in crate::interp::families) struct Rm;
/// The whole memory operand, aligned if the vector asks for it.
pub(in crate::interp::families) struct Mem;
/// The whole memory operand, aligned.
pub(in crate::interp::families) struct Aligned;
/// The whole memory operand, at any address.
pub(in crate::interp::families) struct Loose;
/// A memory operand shorter than the vector, zero-extended, at any address.
pub(in crate::interp::families) struct Low<W>(PhantomData<W>);

impl Source for Rm {
    const MEMORY: bool = false;
    #[inline(always)]
    fn get<V: Vector>(x: &mut Exec<'_>, op: &Op) -> Outcome<V> {
        Ok(V::of(x, op.rm))
    }
}

impl Source for Mem {
    #[inline(always)]
    fn get<V: Vector>(x: &mut Exec<'_>, op: &Op) -> Outcome<V> {
        if V::ALIGNED { Aligned::get(x, op) } else { Loose::get(x, op) }
    }
}

impl Source for Aligned {
    #[inline(always)]
    fn get<V: Vector>(x: &mut Exec<'_>, op: &Op) -> Outcome<V> {
        let linear = aligned(x, op, V::BYTES, V::BYTES as u64, false)?;
        x.load(linear, op.seg)
    }
}

impl Source for Loose {
    #[inline(always)]
    fn get<V: Vector>(x: &mut Exec<'_>, op: &Op) -> Outcome<V> {
        x.read(op)
    }
}

impl<W: Integer> Source for Low<W> {
    #[inline(always)]
    fn get<V: Vector>(x: &mut Exec<'_>, op: &Op) -> Outcome<V> {
        Ok(V::from_low(x.read::<W>(op)?.zero_extend()))
    }
}

/// What an instruction makes of its destination (or its first source), its source and its immediate; of each lane, if
/// the vector has several.
pub(in crate::interp::families) trait Operation<L> {
    /// Bits of the immediate that each lane has for itself; 0 if all of it is for every lane.
    const PER_LANE: u32 = 0;
    fn apply(a: L, b: L, imm: u8) -> L;
}

/// `reg = O(third, source, imm)`
pub(in crate::interp::families) fn combine<V: Vector, S: Source, O: Operation<V::Lane>>(
    x: &mut Exec<'_>,
    op: &Op,
) -> Outcome {
    V::ready(x)?;
    let b = S::get::<V>(x, op)?;
    V::enter(x);
    V::of(x, op.third).lanewise(b, |a, b, lane| O::apply(a, b, (op.imm >> (lane * O::PER_LANE)) as u8)).put(x, op.reg);
    Ok(())
}

/// Declares operations as types of the instructions' names, and the function that lowers them.
///
/// `both` are those of MMX and XMM registers; `xmm` those of XMM registers alone; `narrow` those of XMM registers whose
/// operand in memory is shorter than a register. A number in brackets is [`Operation::PER_LANE`].
macro_rules! operations {
    (@type both $name:ident $bits:expr, $a:pat, $b:pat, $imm:pat, $value:expr) => {
        impl<V: Lane> Operation<V> for $name {
            const PER_LANE: u32 = $bits;
            #[inline(always)]
            fn apply($a: V, $b: V, $imm: u8) -> V {
                $value
            }
        }
    };
    (@type $kind:ident $name:ident $bits:expr, $a:pat, $b:pat, $imm:pat, $value:expr) => {
        impl Operation<u128> for $name {
            const PER_LANE: u32 = $bits;
            #[inline(always)]
            fn apply($a: u128, $b: u128, $imm: u8) -> u128 {
                $value
            }
        }
    };
    (fn $lower:ident; $($kind:ident $name:ident $([$bits:literal])? ($a:pat, $b:pat, $imm:pat) = $value:expr;)*) => {
        $(
            struct $name;
            operations!(@type $kind $name 0 $(+ $bits)?, $a, $b, $imm, $value);
        )*

        fn $lower(l: &Lowering<'_>) -> Option<Op> {
            Some(match $crate::interp::families::sse::form::mnemonic(l) {
                $(Mnemonic::$name => $crate::interp::families::sse::form::$kind::<$name>(l),)*
                _ => return None,
            })
        }
    };
}
pub(in crate::interp::families) use operations;
