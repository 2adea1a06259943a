//! Instructions on flags alone that every program may use (SDM vol. 1, 7.3.14 Flag Control (EFLAG) Instructions). PUSHF,
//! POPF, CLI and STI are in `system`.

use crate::cpu::Flags;
use crate::interp::exec::{Exec, Outcome};
use crate::interp::op::{HIGH_BYTE, Lowering, Op};
use crate::interp::word::Integer;
use iced_x86::Mnemonic;

fn load_ah(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    let flags = x.cpu.flags.get() as u8;
    flags.set(x, HIGH_BYTE);
    Ok(())
}

fn store_ah(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    let ah = u64::from(u8::get(x, HIGH_BYTE));
    x.cpu.flags.update(Flags::SF | Flags::ZF | Flags::AF | Flags::PF | Flags::CF, ah);
    Ok(())
}

/// CLC, STC and CMC: `third` is 0, 1 or 2.
fn set_carry(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let carry = match op.third {
        0 => false,
        1 => true,
        _ => !x.cpu.flags.carry(),
    };
    x.cpu.flags.put(Flags::CF, carry);
    Ok(())
}

/// CLD and STD: `third` is 0 or 1.
fn set_direction(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.cpu.flags.put(Flags::DF, op.third != 0);
    Ok(())
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    let with = |run, third| Some(Op { third, ..l.op(run) });
    match l.insn.mnemonic() {
        Mnemonic::Lahf => Some(l.op(load_ah)),
        Mnemonic::Sahf => Some(l.op(store_ah)),
        Mnemonic::Clc => with(set_carry, 0),
        Mnemonic::Stc => with(set_carry, 1),
        Mnemonic::Cmc => with(set_carry, 2),
        Mnemonic::Cld => with(set_direction, 0),
        Mnemonic::Std => with(set_direction, 1),
        _ => None,
    }
}
