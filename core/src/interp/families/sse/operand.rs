//! Vector registers, where vector operands come from, and whether the unit may execute at all (SDM vol. 3, 2.5 Control
//! Registers, and chapters 13 MMX and 14 SSE System Programming).

use super::lanes::Lanes;
use crate::cpu::{Exception, Vector as ExceptionVector, cr0, cr4};
use crate::interp::exec::{Exec, Outcome};
use crate::interp::op::{Handler, Lowering, Op};
use crate::interp::word::{Integer, Word};
use crate::softfloat::F80;
use std::marker::PhantomData;
use std::ops::{BitAnd, BitOr, BitXor, Not};

/// The x87 status word's summary of unmasked exceptions.
const ES: u16 = 1 << 7;
/// The x87 status word's top of the stack.
const TOP: u16 = 7 << 11;

/// Vectors whose registers hold lanes of every integer type.
pub(super) trait AllLanes:
    Lanes<u8> + Lanes<i8> + Lanes<u16> + Lanes<i16> + Lanes<u32> + Lanes<i32> + Lanes<u64> + Lanes<i64>
{
}
impl AllLanes for u64 {}
impl AllLanes for u128 {}

/// A vector: 64 bits of an MMX register, or 128 of an XMM register.
pub(super) trait Vector:
    Word + AllLanes + BitAnd<Output = Self> + BitOr<Output = Self> + BitXor<Output = Self> + Not<Output = Self>
{
    /// Whether operands in memory must be aligned.
    const ALIGNED: bool;
    /// Raises what keeps the unit from executing.
    fn ready(x: &mut Exec<'_>) -> Outcome;
    /// What an MMX instruction does once it has its operands, even if a floating-point exception comes of them: all x87
    /// registers are valid, and R0 is on top.
    fn enter(x: &mut Exec<'_>);
    /// The part of [`enter`](Self::enter) that an MMX instruction does before it stores to memory, even if that faults:
    /// R0 is on top.
    fn rewind(x: &mut Exec<'_>);
    /// A register's value.
    fn of(x: &Exec<'_>, register: u8) -> Self;
    /// Sets a register.
    fn put(self, x: &mut Exec<'_>, register: u8);
    /// Zero-extended from 64 bits.
    fn from_low(low: u64) -> Self;
    /// The low 64 bits.
    fn low(self) -> u64;
}

impl Vector for u128 {
    const ALIGNED: bool = true;
    #[inline(always)]
    fn ready(x: &mut Exec<'_>) -> Outcome {
        if x.cpu.cr0 & (cr0::EM | cr0::TS) != 0 || x.cpu.cr4 & cr4::OSFXSR == 0 {
            return sse_unavailable(x);
        }
        Ok(())
    }
    #[inline(always)]
    fn enter(_x: &mut Exec<'_>) {}
    #[inline(always)]
    fn rewind(_x: &mut Exec<'_>) {}
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
}

impl Vector for u64 {
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
pub(super) fn aligned(x: &mut Exec<'_>, op: &Op, size: usize, alignment: u64, write: bool) -> Outcome<u64> {
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
pub(super) fn after(x: &Exec<'_>, linear: u64, bytes: u64) -> u64 {
    let sum = linear.wrapping_add(bytes);
    if x.is_64bit { sum } else { sum & 0xffff_ffff }
}

/// A source operand.
pub(super) trait Source {
    /// Whether it is memory.
    const MEMORY: bool = true;
    fn get<V: Vector>(x: &mut Exec<'_>, op: &Op) -> Outcome<V>;
}

/// The vector register in [`Op::rm`].
pub(super) struct Rm;
/// The whole memory operand, aligned if the vector asks for it.
pub(super) struct Mem;
/// The whole memory operand, at any address.
pub(super) struct Loose;
/// A memory operand shorter than the vector, zero-extended, at any address.
pub(super) struct Low<W>(PhantomData<W>);

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
        if !V::ALIGNED {
            return x.read(op);
        }
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

/// What an instruction makes of its destination, its source and its immediate.
pub(super) trait Operation<V> {
    fn apply(a: V, b: V, imm: u8) -> V;
}

/// `reg = O(reg, source, imm)`
pub(super) fn combine<V: Vector, S: Source, O: Operation<V>>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    V::ready(x)?;
    let b = S::get::<V>(x, op)?;
    V::enter(x);
    O::apply(V::of(x, op.reg), b, op.imm as u8).put(x, op.reg);
    Ok(())
}

/// Declares operations as types of the instructions' names, and the function that lowers them.
///
/// `both` are those of MMX and XMM registers; `xmm` those of XMM registers alone; `narrow` those of XMM registers whose
/// operand in memory is shorter than a register.
macro_rules! operations {
    (@type both $name:ident $a:pat, $b:pat, $imm:pat, $value:expr) => {
        impl<V: Vector> Operation<V> for $name {
            #[inline(always)]
            fn apply($a: V, $b: V, $imm: u8) -> V {
                $value
            }
        }
    };
    (@type $kind:ident $name:ident $a:pat, $b:pat, $imm:pat, $value:expr) => {
        impl Operation<u128> for $name {
            #[inline(always)]
            fn apply($a: u128, $b: u128, $imm: u8) -> u128 {
                $value
            }
        }
    };
    (fn $lower:ident; $($kind:ident $name:ident($a:pat, $b:pat, $imm:pat) = $value:expr;)*) => {
        $(
            struct $name;
            operations!(@type $kind $name $a, $b, $imm, $value);
        )*

        fn $lower(l: &Lowering<'_>) -> Option<Op> {
            Some(match l.insn.mnemonic() {
                $(Mnemonic::$name => $crate::interp::families::sse::operand::$kind::<$name>(l),)*
                _ => return None,
            })
        }
    };
}
pub(super) use operations;

/// Whether operand `index` is an MMX register.
pub(super) fn is_mmx(l: &Lowering<'_>, index: u32) -> bool {
    l.is_register(index) && l.insn.op_register(index).is_mm()
}

/// Whether operand `index` is an XMM register.
pub(super) fn is_xmm(l: &Lowering<'_>, index: u32) -> bool {
    l.is_register(index) && l.insn.op_register(index).is_xmm()
}

/// An op with its registers and its immediate: the first operand in [`Op::reg`], the second in [`Op::rm`].
pub(super) fn plain(l: &Lowering<'_>, run: Handler) -> Op {
    let mut op = l.op(run);
    if l.is_register(0) {
        op.reg = l.register(0);
    }
    if l.insn.op_count() > 1 && l.is_register(1) {
        op.rm = l.register(1);
    }
    let last = l.insn.op_count().saturating_sub(1);
    if l.is_immediate(last) {
        op.imm = l.immediate(last);
    }
    op
}

/// Lowers an operation on MMX or XMM registers.
pub(super) fn both<O: Operation<u64> + Operation<u128>>(l: &Lowering<'_>) -> Op {
    if !is_mmx(l, 0) {
        return xmm::<O>(l);
    }
    plain(l, if l.is_register(1) { combine::<u64, Rm, O> } else { combine::<u64, Mem, O> })
}

/// Lowers an operation on XMM registers.
pub(super) fn xmm<O: Operation<u128>>(l: &Lowering<'_>) -> Op {
    plain(l, if l.is_register(1) { combine::<u128, Rm, O> } else { combine::<u128, Mem, O> })
}

/// Lowers an operation on XMM registers with a short operand in memory.
pub(super) fn narrow<O: Operation<u128>>(l: &Lowering<'_>) -> Op {
    let run: Handler = match (l.is_register(1), l.operand_size(1)) {
        (true, _) => combine::<u128, Rm, O>,
        (_, 2) => combine::<u128, Low<u16>, O>,
        (_, 4) => combine::<u128, Low<u32>, O>,
        (_, _) => combine::<u128, Low<u64>, O>,
    };
    plain(l, run)
}
