//! Addition, subtraction, comparison and bitwise logic (SDM vol. 1, 7.3.2 Binary Arithmetic Instructions and 7.3.4
//! Logical Instructions).

use super::operand::{Imm, Mem, Reg, Rm, Source, Target, by_size};
use crate::cpu::Flags;
use crate::interp::exec::{Exec, Outcome};
use crate::interp::op::{Handler, Lowering, Op};
use crate::interp::word::Integer;
use iced_x86::Mnemonic;

/// A two-operand operation that sets the status flags.
trait Binary {
    /// Whether the result is written to the first operand.
    const WRITES: bool = true;
    fn apply<W: Integer>(flags: &mut Flags, a: W, b: W) -> W;
}

struct Add;
struct Adc;
struct Sub;
struct Sbb;
struct Cmp;
struct And;
struct Or;
struct Xor;
struct Test;

/// CF, AF and OF from the carries out of each bit of a sum or difference.
#[inline(always)]
fn carries<W: Integer>(carry: u64) -> u64 {
    let cf = carry >> (W::BITS - 1) & 1;
    let of = cf ^ (carry >> (W::BITS - 2) & 1);
    let af = carry >> 3 & 1;
    cf | af << 4 | of << 11
}

#[inline(always)]
pub(super) fn add<W: Integer>(flags: &mut Flags, a: W, b: W, carry: u64) -> W {
    let (a, b) = (a.zero_extend(), b.zero_extend());
    let sum = a.wrapping_add(b).wrapping_add(carry);
    let result = W::truncate(sum);
    flags.set_result(result.sign_extend(), carries::<W>((a & b) | ((a | b) & !sum)));
    result
}

#[inline(always)]
pub(super) fn sub<W: Integer>(flags: &mut Flags, a: W, b: W, borrow: u64) -> W {
    let (a, b) = (a.zero_extend(), b.zero_extend());
    let difference = a.wrapping_sub(b).wrapping_sub(borrow);
    let result = W::truncate(difference);
    flags.set_result(result.sign_extend(), carries::<W>((!a & b) | ((!a | b) & difference)));
    result
}

#[inline(always)]
pub(super) fn logic<W: Integer>(flags: &mut Flags, result: u64) -> W {
    let result = W::truncate(result);
    flags.set_result(result.sign_extend(), 0);
    result
}

impl Binary for Add {
    #[inline(always)]
    fn apply<W: Integer>(flags: &mut Flags, a: W, b: W) -> W {
        add(flags, a, b, 0)
    }
}

impl Binary for Adc {
    #[inline(always)]
    fn apply<W: Integer>(flags: &mut Flags, a: W, b: W) -> W {
        let carry = u64::from(flags.carry());
        add(flags, a, b, carry)
    }
}

impl Binary for Sub {
    #[inline(always)]
    fn apply<W: Integer>(flags: &mut Flags, a: W, b: W) -> W {
        sub(flags, a, b, 0)
    }
}

impl Binary for Sbb {
    #[inline(always)]
    fn apply<W: Integer>(flags: &mut Flags, a: W, b: W) -> W {
        let borrow = u64::from(flags.carry());
        sub(flags, a, b, borrow)
    }
}

impl Binary for Cmp {
    const WRITES: bool = false;
    #[inline(always)]
    fn apply<W: Integer>(flags: &mut Flags, a: W, b: W) -> W {
        sub(flags, a, b, 0)
    }
}

impl Binary for And {
    #[inline(always)]
    fn apply<W: Integer>(flags: &mut Flags, a: W, b: W) -> W {
        logic(flags, a.zero_extend() & b.zero_extend())
    }
}

impl Binary for Or {
    #[inline(always)]
    fn apply<W: Integer>(flags: &mut Flags, a: W, b: W) -> W {
        logic(flags, a.zero_extend() | b.zero_extend())
    }
}

impl Binary for Xor {
    #[inline(always)]
    fn apply<W: Integer>(flags: &mut Flags, a: W, b: W) -> W {
        logic(flags, a.zero_extend() ^ b.zero_extend())
    }
}

impl Binary for Test {
    const WRITES: bool = false;
    #[inline(always)]
    fn apply<W: Integer>(flags: &mut Flags, a: W, b: W) -> W {
        logic(flags, a.zero_extend() & b.zero_extend())
    }
}

fn binary<W: Integer, O: Binary, D: Target + Source, S: Source>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    if !O::WRITES {
        let a = <D as Source>::get::<W>(x, op)?;
        let b = S::get::<W>(x, op)?;
        O::apply(&mut x.cpu.flags, a, b);
        return Ok(());
    }
    let b = S::get::<W>(x, op)?;
    let (place, a) = D::take::<W>(x, op)?;
    let mut flags = x.cpu.flags;
    let result = O::apply(&mut flags, a, b);
    D::put(x, op, place, result)?;
    x.cpu.flags = flags;
    Ok(())
}

/// A one-operand operation.
trait Unary {
    fn apply<W: Integer>(flags: &mut Flags, a: W) -> W;
}

struct Inc;
struct Dec;
struct Neg;
struct Not;

impl Unary for Inc {
    #[inline(always)]
    fn apply<W: Integer>(flags: &mut Flags, a: W) -> W {
        let carry = flags.carry();
        let result = add(flags, a, W::truncate(1), 0);
        flags.put(Flags::CF, carry);
        result
    }
}

impl Unary for Dec {
    #[inline(always)]
    fn apply<W: Integer>(flags: &mut Flags, a: W) -> W {
        let carry = flags.carry();
        let result = sub(flags, a, W::truncate(1), 0);
        flags.put(Flags::CF, carry);
        result
    }
}

impl Unary for Neg {
    #[inline(always)]
    fn apply<W: Integer>(flags: &mut Flags, a: W) -> W {
        sub(flags, W::truncate(0), a, 0)
    }
}

impl Unary for Not {
    #[inline(always)]
    fn apply<W: Integer>(_flags: &mut Flags, a: W) -> W {
        W::truncate(!a.zero_extend())
    }
}

fn unary<W: Integer, O: Unary, D: Target>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let (place, a) = D::take::<W>(x, op)?;
    let mut flags = x.cpu.flags;
    let result = O::apply(&mut flags, a);
    D::put(x, op, place, result)?;
    x.cpu.flags = flags;
    Ok(())
}

fn exchange_add<W: Integer, D: Target>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let b = W::get(x, op.rm);
    let (place, a) = D::take::<W>(x, op)?;
    let mut flags = x.cpu.flags;
    let sum = add(&mut flags, a, b, 0);
    if place == 0 {
        // With one register as both operands the sum stays, so it is written last.
        a.set(x, op.rm);
        D::put(x, op, place, sum)?;
    } else {
        D::put(x, op, place, sum)?;
        a.set(x, op.rm);
    }
    x.cpu.flags = flags;
    Ok(())
}

fn compare_exchange<W: Integer, D: Target>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let (place, old) = D::take::<W>(x, op)?;
    let expected = W::get(x, crate::cpu::reg::RAX);
    let mut flags = x.cpu.flags;
    sub(&mut flags, expected, old, 0);
    if expected == old {
        let new = W::get(x, op.rm);
        D::put(x, op, place, new)?;
    } else {
        // Memory is written in any case; a register is not, not even its upper half.
        if D::IN_MEMORY {
            D::put(x, op, place, old)?;
        }
        old.set(x, crate::cpu::reg::RAX);
    }
    x.cpu.flags = flags;
    Ok(())
}

/// Fills an op's operands for `destination, source` and picks the handler by their kinds.
fn lower_binary<O: Binary>(l: &Lowering<'_>) -> Op {
    let size = l.operand_size(0);
    let run: Handler = match (l.is_register(0), l.is_register(1), l.is_memory(1)) {
        (true, true, _) => by_size!(size, binary, O, Reg, Rm),
        (true, _, true) => by_size!(size, binary, O, Reg, Mem),
        (true, ..) => by_size!(size, binary, O, Reg, Imm),
        (false, true, _) => by_size!(size, binary, O, Mem, Rm),
        (false, ..) => by_size!(size, binary, O, Mem, Imm),
    };
    let mut op = l.op(run);
    if l.is_register(0) {
        op.reg = l.register(0);
    }
    if l.is_register(1) {
        op.rm = l.register(1);
    } else if l.is_immediate(1) {
        op.imm = l.immediate(1);
    }
    op
}

fn lower_unary<O: Unary>(l: &Lowering<'_>) -> Op {
    let size = l.operand_size(0);
    if l.is_register(0) {
        return Op { reg: l.register(0), ..l.op(by_size!(size, unary, O, Reg)) };
    }
    l.op(by_size!(size, unary, O, Mem))
}

fn lower_exchange(l: &Lowering<'_>, register: Handler, memory: Handler) -> Op {
    let mut op = l.op(if l.is_register(0) { register } else { memory });
    if l.is_register(0) {
        op.reg = l.register(0);
    }
    op.rm = l.register(1);
    op
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    let size = l.operand_size(0);
    Some(match l.insn.mnemonic() {
        Mnemonic::Add => lower_binary::<Add>(l),
        Mnemonic::Adc => lower_binary::<Adc>(l),
        Mnemonic::Sub => lower_binary::<Sub>(l),
        Mnemonic::Sbb => lower_binary::<Sbb>(l),
        Mnemonic::Cmp => lower_binary::<Cmp>(l),
        Mnemonic::And => lower_binary::<And>(l),
        Mnemonic::Or => lower_binary::<Or>(l),
        Mnemonic::Xor => lower_binary::<Xor>(l),
        Mnemonic::Test => lower_binary::<Test>(l),
        Mnemonic::Inc => lower_unary::<Inc>(l),
        Mnemonic::Dec => lower_unary::<Dec>(l),
        Mnemonic::Neg => lower_unary::<Neg>(l),
        Mnemonic::Not => lower_unary::<Not>(l),
        Mnemonic::Xadd => lower_exchange(l, by_size!(size, exchange_add, Reg), by_size!(size, exchange_add, Mem)),
        Mnemonic::Cmpxchg => {
            lower_exchange(l, by_size!(size, compare_exchange, Reg), by_size!(size, compare_exchange, Mem))
        }
        _ => return None,
    })
}
