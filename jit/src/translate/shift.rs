//! Shifts. What they leave undefined is computed from operand and count.

use super::flags::{Base, FlagsAt, Kind, Loc};
use super::plan::{Planned, Sets, operand_size, shift_count};
use super::{Source, Unit};
use crate::emitter::Condition;
use crate::registers::Slot;
use dynasmrt::{DynasmApi, dynasm};
use iced_x86::{Mnemonic, OpKind, Register, RflagsBits};
use reprise_core::cpu::reg;

impl Unit<'_> {
    pub(super) fn shift(&mut self, planned: &Planned) {
        if !planned.live || planned.sets != Sets::All {
            return self.pass(planned);
        }
        let insn = &planned.insn;
        let size = operand_size(insn, 0);
        let by_cl = insn.op1_kind() == OpKind::Register;
        if by_cl {
            // By zero the flags stay, whatever they are.
            self.free_host_flags();
            dynasm!(self.e ; .arch x64 ; test cl, if size == 8 { 63 } else { 31 });
            self.interpret_if(Condition::Equal);
        }
        let exchange = self.prepare(planned);
        self.keep(planned, 0, Slot::FlagsA);
        let b = if !by_cl {
            Loc::Immediate(shift_count(insn) as i32)
        } else if insn.op0_kind() == OpKind::Register && insn.op0_register().full_register() == Register::RCX {
            self.store_guest(reg::RCX, Slot::FlagsB);
            Loc::Slot
        } else {
            Loc::Register(reg::RCX)
        };
        self.execute(planned, exchange);
        let kind = match insn.mnemonic() {
            Mnemonic::Shr => Kind::Shr,
            Mnemonic::Sar => Kind::Sar,
            _ => Kind::Shl,
        };
        self.source = Source::At(FlagsAt { base: Base::Known { kind, size, a: Loc::Slot, b }, top: None });
        self.host = RflagsBits::CF | RflagsBits::ZF | RflagsBits::SF | RflagsBits::PF;
    }

    /// Keeps the value of a register or memory operand in a slot; after [`prepare`](Self::prepare), with which r9 is the
    /// memory operand's address.
    pub(super) fn keep(&mut self, planned: &Planned, operand: u32, home: Slot) {
        if planned.insn.op_kind(operand) == OpKind::Memory {
            self.load_memory(operand_size(&planned.insn, operand));
            dynasm!(self.e ; .arch x64 ; mov [BYTE rsp + super::slot(home)], r10);
        } else {
            let register = planned.insn.op_register(operand);
            self.store_guest(register.full_register().number() as u8, home);
        }
    }
}
