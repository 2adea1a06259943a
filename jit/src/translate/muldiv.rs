//! Products; divisions, which must not fault on the host; and bit scans, which must not meet a zero.

use super::flags::{Base, FlagsAt, Kind, Loc};
use super::plan::{Planned, operand_size};
use super::status::R10;
use super::{Source, Unit};
use crate::emitter::Condition;
use crate::registers::{PLACES, Place, Slot};
use dynasmrt::{DynasmApi, dynasm};
use iced_x86::{Mnemonic, OpKind, RflagsBits};
use reprise_core::cpu::reg;

impl Unit<'_> {
    /// Loads a register or memory operand of 4 or 8 bytes into r10. The host's flags are lost.
    fn load_operand(&mut self, planned: &Planned, operand: u32) -> u8 {
        self.free_host_flags();
        let insn = &planned.insn;
        if let Some(access) = planned.access.filter(|_| insn.op_kind(operand) == OpKind::Memory) {
            self.access(planned, access);
            self.load_memory(access.size);
            return access.size;
        }
        let register = insn.op_register(operand);
        self.load_guest(R10, register.full_register().number() as u8);
        if register.size() == 4 {
            dynasm!(self.e ; .arch x64 ; mov r10d, r10d);
        }
        register.size() as u8
    }

    /// MUL and IMUL. Flags that they leave undefined are computed from the factors.
    pub(super) fn multiply(&mut self, planned: &Planned) {
        let insn = &planned.insn;
        let exchange = self.prepare(planned);
        if planned.live {
            match insn.op_count() {
                1 => {
                    self.store_guest(reg::RAX, Slot::FlagsA);
                    self.keep(planned, 0, Slot::FlagsB);
                }
                2 => {
                    self.keep(planned, 0, Slot::FlagsA);
                    self.keep(planned, 1, Slot::FlagsB);
                }
                _ => self.keep(planned, 1, Slot::FlagsA),
            }
        }
        self.execute(planned, exchange);
        if !planned.live {
            return self.note_flags(planned);
        }
        let kind = if insn.mnemonic() == Mnemonic::Mul { Kind::Mul } else { Kind::Imul };
        let size = operand_size(insn, 0);
        let b = if insn.op_count() == 3 { Loc::Immediate(insn.immediate(2) as i32) } else { Loc::Slot };
        self.source = Source::At(FlagsAt { base: Base::Known { kind, size, a: Loc::Slot, b }, top: None });
        self.host = RflagsBits::CF | RflagsBits::OF;
    }

    /// Leaves the instruction to the interpreter under a condition.
    pub(super) fn interpret_if(&mut self, condition: Condition) {
        let jump = self.e.jump_if(condition);
        let site = self.interpret_site();
        self.cold_leave(jump, site);
    }

    /// DIV and IDIV, once it is certain that the quotient fits. Flags stay as they were.
    pub(super) fn divide(&mut self, planned: &Planned) {
        let size = self.load_operand(planned, 0);
        let signed = planned.insn.mnemonic() == Mnemonic::Idiv;
        match (signed, size) {
            (false, 8) => dynasm!(self.e ; .arch x64 ; cmp rdx, r10),
            (false, _) => dynasm!(self.e ; .arch x64 ; cmp edx, r10d),
            (true, 8) => dynasm!(self.e ; .arch x64 ; mov r9, rax ; sar r9, 63 ; cmp r9, rdx),
            (true, _) => dynasm!(self.e ; .arch x64 ; mov r9d, eax ; sar r9d, 31 ; cmp r9d, edx),
        }
        if signed {
            self.interpret_if(Condition::NotEqual);
            // Neither 0 nor -1.
            if size == 8 {
                dynasm!(self.e ; .arch x64 ; lea r9, [r10 + 1] ; cmp r9, 1);
            } else {
                dynasm!(self.e ; .arch x64 ; lea r9d, [r10 + 1] ; cmp r9d, 1);
            }
            self.interpret_if(Condition::BelowOrEqual);
        } else {
            self.interpret_if(Condition::AboveOrEqual);
        }
        self.protect(planned);
        match (signed, size) {
            (false, 8) => dynasm!(self.e ; .arch x64 ; div r10),
            (false, _) => dynasm!(self.e ; .arch x64 ; div r10d),
            (true, 8) => dynasm!(self.e ; .arch x64 ; idiv r10),
            (true, _) => dynasm!(self.e ; .arch x64 ; idiv r10d),
        }
    }

    /// BSF and BSR of anything but zero. All flags but ZF are 0 by [`reprise_core::cpu::undefined`]: as after a bitwise
    /// operation with the result 1.
    pub(super) fn bit_scan(&mut self, planned: &Planned) {
        let size = self.load_operand(planned, 1);
        dynasm!(self.e ; .arch x64 ; test r10, r10);
        self.interpret_if(Condition::Equal);
        self.protect(planned);
        let target = planned.insn.op0_register().full_register().number();
        let host = match PLACES[target] {
            Place::Host(host) => host.number() as u8,
            Place::Slot(_) => R10,
        };
        match (planned.insn.mnemonic(), size) {
            (Mnemonic::Bsf, 8) => dynasm!(self.e ; .arch x64 ; bsf Rq(host), r10),
            (Mnemonic::Bsf, _) => dynasm!(self.e ; .arch x64 ; bsf Rd(host), r10d),
            (_, 8) => dynasm!(self.e ; .arch x64 ; bsr Rq(host), r10),
            (_, _) => dynasm!(self.e ; .arch x64 ; bsr Rd(host), r10d),
        }
        if matches!(PLACES[target], Place::Slot(_)) {
            self.store_scratch(R10, target);
        }
        let one = Base::Known { kind: Kind::Logic, size: 1, a: Loc::Immediate(1), b: Loc::Immediate(0) };
        self.source = if planned.live { Source::At(FlagsAt { base: one, top: None }) } else { Source::Dead };
        self.host = 0;
    }
}
