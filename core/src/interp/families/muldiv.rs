//! Multiplication and division (SDM vol. 1, 7.3.2 Binary Arithmetic Instructions).

use super::operand::{Imm, Mem, Reg, Rm, Source, by_size};
use crate::cpu::{Exception, Flags, Vector, reg};
use crate::interp::exec::{Exec, Outcome};
use crate::interp::op::{Handler, Lowering, Op};
use crate::interp::word::Integer;
use iced_x86::Mnemonic;

const OVERFLOW: u64 = Flags::CF | Flags::OF;

/// The double-width accumulator: AX for bytes, else rDX:rAX.
fn accumulator<W: Integer>(x: &Exec<'_>) -> u128 {
    if W::BYTES == 1 {
        return u128::from(u16::get(x, reg::RAX).zero_extend());
    }
    u128::from(W::get(x, reg::RDX).zero_extend()) << W::BITS | u128::from(W::get(x, reg::RAX).zero_extend())
}

fn set_accumulator<W: Integer>(x: &mut Exec<'_>, low: u64, high: u64) {
    if W::BYTES == 1 {
        return u16::truncate(low & 0xff | high << 8).set(x, reg::RAX);
    }
    W::truncate(low).set(x, reg::RAX);
    W::truncate(high).set(x, reg::RDX);
}

fn multiply<W: Integer, S: Source>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let b = u128::from(S::get::<W>(x, op)?.zero_extend());
    let product = u128::from(W::get(x, reg::RAX).zero_extend()) * b;
    let (low, high) = (product as u64, (product >> W::BITS) as u64);
    set_accumulator::<W>(x, low, high);
    x.cpu.flags.set_result(W::truncate(low).sign_extend(), if high & W::MASK != 0 { OVERFLOW } else { 0 });
    Ok(())
}

fn signed<W: Integer>(value: W) -> i128 {
    i128::from(value.sign_extend() as i64)
}

fn set_signed_flags<W: Integer>(x: &mut Exec<'_>, product: i128) -> W {
    let low = W::truncate(product as u64);
    x.cpu.flags.set_result(low.sign_extend(), if signed(low) != product { OVERFLOW } else { 0 });
    low
}

fn multiply_signed<W: Integer, S: Source>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let product = signed(S::get::<W>(x, op)?) * signed(W::get(x, reg::RAX));
    set_signed_flags::<W>(x, product);
    set_accumulator::<W>(x, product as u64, (product >> W::BITS) as u64);
    Ok(())
}

/// IMUL with a destination register of its own: `reg = A * B`.
fn multiply_into<W: Integer, A: Source, B: Source>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let product = signed(A::get::<W>(x, op)?) * signed(B::get::<W>(x, op)?);
    let low = set_signed_flags::<W>(x, product);
    low.set(x, op.reg);
    Ok(())
}

fn divide<W: Integer, S: Source>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let divisor = u128::from(S::get::<W>(x, op)?.zero_extend());
    let dividend = accumulator::<W>(x);
    match dividend.checked_div(divisor).filter(|&quotient| quotient <= u128::from(W::MASK)) {
        Some(quotient) => {
            set_accumulator::<W>(x, quotient as u64, (dividend % divisor) as u64);
            Ok(())
        }
        None => x.raise(Exception::new(Vector::DivideError)),
    }
}

fn divide_signed<W: Integer, S: Source>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let divisor = signed(S::get::<W>(x, op)?);
    let unused = 128 - 2 * W::BITS;
    let dividend = ((accumulator::<W>(x) << unused) as i128) >> unused;
    let fits = |quotient: &i128| signed(W::truncate(*quotient as u64)) == *quotient;
    match dividend.checked_div(divisor).filter(fits) {
        Some(quotient) => {
            set_accumulator::<W>(x, quotient as u64, (dividend % divisor) as u64);
            Ok(())
        }
        None => x.raise(Exception::new(Vector::DivideError)),
    }
}

fn one_operand(l: &Lowering<'_>, register: Handler, memory: Handler) -> Op {
    if l.is_register(0) { Op { reg: l.register(0), ..l.op(register) } } else { l.op(memory) }
}

fn lower_multiply_into(l: &Lowering<'_>) -> Op {
    let size = l.operand_size(0);
    let three = l.insn.op_count() == 3;
    let run: Handler = match (three, l.is_register(1)) {
        (false, true) => by_size!(size, multiply_into, Reg, Rm),
        (false, false) => by_size!(size, multiply_into, Reg, Mem),
        (true, true) => by_size!(size, multiply_into, Rm, Imm),
        (true, false) => by_size!(size, multiply_into, Mem, Imm),
    };
    let mut op = Op { reg: l.register(0), ..l.op(run) };
    if l.is_register(1) {
        op.rm = l.register(1);
    }
    if three {
        op.imm = l.immediate(2);
    }
    op
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    let size = l.operand_size(0);
    Some(match l.insn.mnemonic() {
        Mnemonic::Mul => one_operand(l, by_size!(size, multiply, Reg), by_size!(size, multiply, Mem)),
        Mnemonic::Imul if l.insn.op_count() == 1 => {
            one_operand(l, by_size!(size, multiply_signed, Reg), by_size!(size, multiply_signed, Mem))
        }
        Mnemonic::Imul => lower_multiply_into(l),
        Mnemonic::Div => one_operand(l, by_size!(size, divide, Reg), by_size!(size, divide, Mem)),
        Mnemonic::Idiv => one_operand(l, by_size!(size, divide_signed, Reg), by_size!(size, divide_signed, Mem)),
        _ => return None,
    })
}
