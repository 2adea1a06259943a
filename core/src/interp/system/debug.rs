//! Breakpoints, watchpoints and single steps (SDM vol. 3, 17.2 Debug Registers and 17.3 Debug Exceptions).
//!
//! Traps gather in [`CpuState::pending_debug`](crate::cpu::CpuState) while an instruction executes, and are delivered at
//! its end. The run loop executes an instruction with care whenever anything of this could happen.

use crate::cpu::{Activity, Exception, Flags, Shadow, cr4};
use crate::interp::exec::{Exec, Outcome};
use crate::interp::op::{Lowering, Op, flag};
use iced_x86::Mnemonic;

/// Bits of DR6.
pub(in crate::interp) mod dr6 {
    /// Debug register access detected.
    pub(in crate::interp) const BD: u64 = 1 << 13;
    /// Single step.
    pub(in crate::interp) const BS: u64 = 1 << 14;
    /// Bits that read as one.
    pub(in crate::interp) const FIXED: u64 = 0xffff_0ff0;
    /// Bits that can be written.
    pub(in crate::interp) const WRITABLE: u64 = 0xe00f;
}

/// General detect enable, in DR7.
const DR7_GD: u64 = 1 << 13;
/// Bits of DR7 that can be written.
const DR7_WRITABLE: u64 = 0xffff_23ff;
/// The bit of DR7 that reads as one.
const DR7_FIXED: u64 = 0x400;

/// What a breakpoint register of DR7 waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    Execute = 0,
    Write = 1,
    Port = 2,
    Access = 3,
}

impl Exec<'_> {
    fn condition(&self, number: usize) -> Option<Condition> {
        if self.cpu.dr7 >> (2 * number) & 3 == 0 {
            return None;
        }
        Some(match self.cpu.dr7 >> (16 + 4 * number) & 3 {
            0 => Condition::Execute,
            1 => Condition::Write,
            2 => Condition::Port,
            _ => Condition::Access,
        })
    }

    /// Whether `size` bytes at `address` touch what breakpoint register `number` watches.
    fn touches(&self, number: usize, address: u64, size: usize) -> bool {
        let len = [1, 2, 8, 4][(self.cpu.dr7 >> (18 + 4 * number) & 3) as usize];
        let start = self.cpu.dr[number] & !(len - 1);
        address <= start.wrapping_add(len - 1) && start <= address.wrapping_add(size as u64 - 1)
    }

    /// Whether a debug register watches instruction fetches.
    pub(in crate::interp) fn watches_code(&self) -> bool {
        self.cpu.dr7 & 0xff != 0 && (0..4).any(|n| self.condition(n) == Some(Condition::Execute))
    }

    /// Raises #DB if a debug register watches the next instruction; true if it did.
    pub(in crate::interp) fn code_breakpoint(&mut self) -> bool {
        if !self.watches_code() || self.cpu.flags.has(Flags::RF) || self.cpu.shadow == Shadow::MovSs {
            return false;
        }
        let linear = self.code_linear(self.cpu.regs.rip());
        let hit = |n: &usize| self.condition(*n) == Some(Condition::Execute) && self.cpu.dr[*n] == linear;
        let hits = (0..4).filter(hit).fold(0, |bits, n| bits | 1 << n);
        if hits != 0 {
            // A handler at whose first instruction a debug register waits shall not stop the clock.
            self.budget -= 1;
            self.deliver_exception(Exception::debug(hits));
            self.stop();
        }
        hits != 0
    }

    /// Before an instruction that is executed with care.
    pub(in crate::interp) fn before_step(&mut self) {
        self.single_step = self.cpu.flags.has(Flags::TF);
        if self.single_step || self.cpu.shadow != Shadow::None {
            // One iteration of a string instruction is a step.
            self.held += self.budget - 1;
            self.budget = 1;
        }
        self.cpu.shadow = Shadow::None;
        self.cpu.flags.put(Flags::RF, false);
    }

    /// After an instruction that was executed with care.
    pub(in crate::interp) fn after_step(&mut self) {
        if std::mem::take(&mut self.single_step) {
            self.cpu.pending_debug |= dr6::BS;
        }
        if self.cpu.pending_debug != 0 && self.cpu.activity == Activity::Halted {
            self.cpu.activity = Activity::Running;
        }
    }

    /// Notes an access to data that a debug register watches; the trap comes after the instruction.
    pub(in crate::interp) fn note_watched(&mut self, linear: u64, size: usize, write: bool) {
        for number in 0..4 {
            let hit = match self.condition(number) {
                Some(Condition::Write) => write,
                Some(Condition::Access) => true,
                Some(Condition::Execute | Condition::Port) | None => false,
            };
            if hit && self.touches(number, linear, size) {
                self.cpu.pending_debug |= 1 << number;
                self.stop();
            }
        }
    }

    /// Notes an access to a port that a debug register watches.
    pub(in crate::interp) fn note_watched_port(&mut self, port: u16, size: usize) {
        if self.cpu.cr4 & cr4::DE == 0 {
            return;
        }
        for number in 0..4 {
            if self.condition(number) == Some(Condition::Port) && self.touches(number, u64::from(port), size) {
                self.cpu.pending_debug |= 1 << number;
                self.stop();
            }
        }
    }

    /// DR6 and DR7 when a debug exception is delivered.
    pub(super) fn record_debug(&mut self, bits: u64) {
        self.cpu.dr6 |= bits & dr6::WRITABLE;
        self.cpu.dr7 &= !DR7_GD;
    }
}

impl Exec<'_> {
    /// The debug register that a MOV names, once its checks have passed: DR4 and DR5 are DR6 and DR7 unless CR4.DE.
    fn debug_register(&mut self, op: &Op) -> Outcome<u8> {
        let register = match (op.rm, self.cpu.cr4 & cr4::DE != 0) {
            (0..=3 | 6 | 7, _) => op.rm,
            (4 | 5, false) => op.rm + 2,
            _ => return self.raise(Exception::ud()),
        };
        self.require_kernel()?;
        if self.cpu.dr7 & DR7_GD != 0 {
            return self.raise(Exception::debug(dr6::BD));
        }
        Ok(register)
    }
}

fn move_from_debug(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let value = match x.debug_register(op)? {
        6 => x.cpu.dr6,
        7 => x.cpu.dr7,
        number => x.cpu.dr[usize::from(number & 3)],
    };
    x.put_system_register(op, value);
    Ok(())
}

fn move_to_debug(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let register = x.debug_register(op)?;
    let value = x.system_register(op);
    if register >= 6 && value >> 32 != 0 {
        return x.raise(Exception::gp(0));
    }
    match register {
        6 => x.cpu.dr6 = value & dr6::WRITABLE | dr6::FIXED,
        7 => x.cpu.dr7 = value & DR7_WRITABLE | DR7_FIXED,
        number => x.cpu.dr[usize::from(number & 3)] = value,
    }
    x.mode_changed();
    Ok(())
}

/// MOV between a general and a debug register.
pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    let is_debug = |index| l.is_register(index) && l.insn.op_register(index).is_dr();
    let size = (l.bitness / 32 * 4).max(4) as u8;
    let op = if l.insn.mnemonic() != Mnemonic::Mov {
        return None;
    } else if is_debug(0) {
        Op { reg: l.register(1), rm: l.register(0), ..l.op(move_to_debug) }
    } else if is_debug(1) {
        Op { reg: l.register(0), rm: l.register(1), ..l.op(move_from_debug) }
    } else {
        return None;
    };
    Some(Op { size, flags: flag::ENDS_BLOCK, ..op })
}
