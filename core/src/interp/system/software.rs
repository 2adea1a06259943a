//! Instructions that interrupt: INT n, INT3, INTO, INT1, UD0, UD1, UD2 and BOUND (SDM vol. 2).

use super::deliver::Event;
use crate::cpu::{Exception, Vector};
use crate::interp::exec::{Exec, Outcome};
use crate::interp::op::{Lowering, Op, flag};
use crate::interp::word::Integer;
use iced_x86::Mnemonic;

fn interrupt(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.interrupt(&Event::software(op.imm as u8))
}

fn interrupt_on_overflow(x: &mut Exec<'_>, op: &Op) -> Outcome {
    if x.cpu.flags.overflow() { interrupt(x, op) } else { Ok(()) }
}

/// INT1 is an exception to the gate's privilege check, but a trap, and it leaves DR6 alone.
fn interrupt_1(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    x.interrupt(&Event::external(Vector::Debug as u8))
}

fn undefined(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    x.raise(Exception::ud())
}

fn bound<W: Integer>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let linear = x.ea(op, 2 * W::BYTES, false)?;
    let lower = x.load::<W>(linear, op.seg)?.sign_extend() as i64;
    let upper = x.load::<W>(linear.wrapping_add(W::BYTES as u64), op.seg)?.sign_extend() as i64;
    let index = W::get(x, op.reg).sign_extend() as i64;
    if (lower..=upper).contains(&index) { Ok(()) } else { x.raise(Exception::new(Vector::BoundRange)) }
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    let mut op = match l.insn.mnemonic() {
        Mnemonic::Int => Op { imm: l.immediate(0) & 0xff, ..l.op(interrupt) },
        Mnemonic::Int3 => Op { imm: Vector::Breakpoint as u64, ..l.op(interrupt) },
        Mnemonic::Into => Op { imm: Vector::Overflow as u64, ..l.op(interrupt_on_overflow) },
        Mnemonic::Int1 => l.op(interrupt_1),
        Mnemonic::Ud0 | Mnemonic::Ud1 | Mnemonic::Ud2 => l.op(undefined),
        Mnemonic::Bound if l.operand_size(0) == 2 => Op { reg: l.register(0), ..l.op(bound::<u16>) },
        Mnemonic::Bound => Op { reg: l.register(0), ..l.op(bound::<u32>) },
        _ => return None,
    };
    if l.insn.mnemonic() != Mnemonic::Bound {
        op.flags |= flag::ENDS_BLOCK;
    }
    Some(op)
}
