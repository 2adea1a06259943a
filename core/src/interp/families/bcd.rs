//! Decimal arithmetic and other instructions that 64-bit mode gave up (SDM vol. 1, 7.3.3 Decimal Arithmetic
//! Instructions; vol. 2 for BOUND and SALC).

use super::operand::by_size;
use crate::cpu::{Exception, Flags, Vector, reg};
use crate::interp::exec::{Exec, Outcome};
use crate::interp::op::{HIGH_BYTE, Lowering, Op};
use crate::interp::word::Integer;
use iced_x86::Mnemonic;

const AL: u8 = reg::RAX;
const AH: u8 = HIGH_BYTE;

/// ZF, SF and PF of AL, with these values of CF and AF.
fn set_flags(x: &mut Exec<'_>, carry: bool, auxiliary: bool) {
    let al = u8::get(x, AL);
    x.cpu.flags.set_result(al.sign_extend(), u64::from(carry) | u64::from(auxiliary) << 4);
}

/// DAA and DAS.
fn adjust_packed<const SUBTRACT: bool>(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    let (old, old_carry) = (u8::get(x, AL), x.cpu.flags.carry());
    let auxiliary = old & 15 > 9 || x.cpu.flags.has(Flags::AF);
    let apply = |al: u8, by: u8| if SUBTRACT { al.overflowing_sub(by) } else { al.overflowing_add(by) };
    let (mut al, mut carry) = (old, false);
    if auxiliary {
        let (adjusted, over) = apply(al, 6);
        (al, carry) = (adjusted, old_carry || over);
    }
    if old > 0x99 || old_carry {
        al = apply(al, 0x60).0;
        carry = true;
    }
    al.set(x, AL);
    set_flags(x, carry, auxiliary);
    Ok(())
}

/// AAA and AAS.
fn adjust_unpacked<const SUBTRACT: bool>(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    let adjust = u8::get(x, AL) & 15 > 9 || x.cpu.flags.has(Flags::AF);
    if adjust {
        let ax = u16::get(x, reg::RAX);
        let adjusted = if SUBTRACT { ax.wrapping_sub(0x106) } else { ax.wrapping_add(0x106) };
        adjusted.set(x, reg::RAX);
    }
    let al = u8::get(x, AL) & 15;
    al.set(x, AL);
    set_flags(x, adjust, adjust);
    Ok(())
}

fn split_decimal(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let (al, base) = (u8::get(x, AL), op.imm as u8);
    let Some(high) = al.checked_div(base) else { return x.raise(Exception::new(Vector::DivideError)) };
    high.set(x, AH);
    (al % base).set(x, AL);
    set_flags(x, false, false);
    Ok(())
}

fn join_decimal(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let joined = u8::get(x, AL).wrapping_add(u8::get(x, AH).wrapping_mul(op.imm as u8));
    u16::from(joined).set(x, reg::RAX);
    set_flags(x, false, false);
    Ok(())
}

fn set_al_on_carry(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    let value: u8 = if x.cpu.flags.carry() { 0xff } else { 0 };
    value.set(x, AL);
    Ok(())
}

fn bound<W: Integer>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let index = W::get(x, op.reg).sign_extend() as i64;
    let linear = x.ea(op, 2 * W::BYTES, false)?;
    let low = x.load::<W>(linear, op.seg)?.sign_extend() as i64;
    let high = x.load::<W>(linear.wrapping_add(W::BYTES as u64), op.seg)?.sign_extend() as i64;
    if index < low || index > high { x.raise(Exception::new(Vector::BoundRange)) } else { Ok(()) }
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    Some(match l.insn.mnemonic() {
        Mnemonic::Daa => l.op(adjust_packed::<false>),
        Mnemonic::Das => l.op(adjust_packed::<true>),
        Mnemonic::Aaa => l.op(adjust_unpacked::<false>),
        Mnemonic::Aas => l.op(adjust_unpacked::<true>),
        Mnemonic::Aam => Op { imm: l.immediate(0), ..l.op(split_decimal) },
        Mnemonic::Aad => Op { imm: l.immediate(0), ..l.op(join_decimal) },
        Mnemonic::Salc => l.op(set_al_on_carry),
        Mnemonic::Bound => Op { reg: l.register(0), ..l.op(by_size!(l.operand_size(0), bound)) },
        _ => return None,
    })
}
