//! Instructions for the system flags, and those that wait: PUSHF, POPF, CLI, STI, CLAC, STAC, HLT, PAUSE (SDM vol. 2).
//! The virtual interrupt flag (CR4.VME, CR4.PVI) is not modelled.

use super::far_return::ALWAYS;
use crate::cpu::{Activity, Exception, Flags, Shadow};
use crate::engine::Exit;
use crate::interp::exec::{Exec, Outcome};
use crate::interp::op::{Lowering, Op, flag};
use crate::interp::word::Integer;
use iced_x86::Mnemonic;

fn push_flags<W: Integer>(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    let flags = x.cpu.flags.get() & !(Flags::VM | Flags::RF);
    x.push(W::truncate(flags))
}

fn pop_flags<W: Integer>(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    let value = x.pop::<W>()?.zero_extend();
    let wide = if W::BYTES == 2 { 0 } else { Flags::AC | Flags::ID };
    let before = x.cpu.flags.get();
    x.cpu.flags.update(ALWAYS | wide | x.privileged_flags(), value);
    let after = x.cpu.flags.get();
    if (before ^ after) & Flags::AC != 0 {
        x.privilege_changed();
    }
    if after & (Flags::IF | Flags::TF) != 0 {
        x.stop();
    }
    Ok(())
}

impl Exec<'_> {
    /// Raises #GP unless the program runs at privilege level 0.
    pub(super) fn require_kernel(&mut self) -> Outcome {
        if self.cpu.cpl() == 0 { Ok(()) } else { self.raise(Exception::gp(0)) }
    }
}

fn require_io_privilege(x: &mut Exec<'_>) -> Outcome {
    if x.cpu.cpl() <= x.iopl() || !x.cpu.is_protected() { Ok(()) } else { x.raise(Exception::gp(0)) }
}

fn clear_interrupt(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    require_io_privilege(x)?;
    x.cpu.flags.put(Flags::IF, false);
    Ok(())
}

fn set_interrupt(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    require_io_privilege(x)?;
    if !x.cpu.flags.has(Flags::IF) {
        x.cpu.flags.put(Flags::IF, true);
        x.cpu.shadow = Shadow::Sti;
        x.stop();
    }
    Ok(())
}

/// CLAC and STAC: the immediate says which.
fn set_alignment_check(x: &mut Exec<'_>, op: &Op) -> Outcome {
    if x.cpu.cpl() != 0 {
        return x.raise(Exception::ud());
    }
    x.cpu.flags.put(Flags::AC, op.imm != 0);
    x.access_changed();
    Ok(())
}

fn halt(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    x.require_kernel()?;
    x.cpu.activity = Activity::Halted;
    x.leave(Exit::Idle);
    Ok(())
}

/// In a spin loop another vCPU has what this one waits for.
fn pause(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    if x.board.apics.len() > 1 {
        x.leave(Exit::Pause);
    }
    Ok(())
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    use Mnemonic as M;
    let mut op = match l.insn.mnemonic() {
        M::Pushf => l.op(push_flags::<u16>),
        M::Pushfd => l.op(push_flags::<u32>),
        M::Pushfq => l.op(push_flags::<u64>),
        M::Popf => l.op(pop_flags::<u16>),
        M::Popfd => l.op(pop_flags::<u32>),
        M::Popfq => l.op(pop_flags::<u64>),
        M::Cli => l.op(clear_interrupt),
        M::Sti => l.op(set_interrupt),
        M::Clac => l.op(set_alignment_check),
        M::Stac => Op { imm: 1, ..l.op(set_alignment_check) },
        M::Hlt => l.op(halt),
        M::Pause => l.op(pause),
        _ => return None,
    };
    if !matches!(l.insn.mnemonic(), M::Pushf | M::Pushfd | M::Pushfq | M::Cli | M::Clac | M::Stac) {
        op.flags |= flag::ENDS_BLOCK;
    }
    Some(op)
}
