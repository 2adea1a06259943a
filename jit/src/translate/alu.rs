//! Two-operand operations with a memory operand, and TEST: value and result pass through a scratch register, so that the
//! flags can be computed from them later.

use super::flags::{Base, FlagsAt, Kind, Loc, Step};
use super::pass::{register, value};
use super::plan::{Planned, STATUS};
use super::status::{Alu, R9, R10};
use super::{Source, Unit, slot};
use crate::registers::{PLACES, Place, Slot};
use dynasmrt::{DynasmApi, dynasm};
use iced_x86::{Instruction, Mnemonic, OpKind};

/// The operation, and whether its result is written.
fn operation(insn: &Instruction) -> Option<(Alu, bool)> {
    Some(match insn.mnemonic() {
        Mnemonic::Add => (Alu::Add, true),
        Mnemonic::Sub => (Alu::Sub, true),
        Mnemonic::And => (Alu::And, true),
        Mnemonic::Or => (Alu::Or, true),
        Mnemonic::Xor => (Alu::Xor, true),
        Mnemonic::Cmp => (Alu::Cmp, false),
        Mnemonic::Test => (Alu::And, false),
        _ => return None,
    })
}

/// How the flags follow from what is kept of the operation.
fn kind(alu: Alu) -> Kind {
    match alu {
        Alu::Cmp => Kind::Sub,
        Alu::Sub => Kind::SubResult,
        Alu::Add => Kind::AddResult,
        Alu::And | Alu::Or | Alu::Xor => Kind::Logic,
    }
}

impl Unit<'_> {
    /// Translates an operation with a memory operand, if it is one of these.
    pub(super) fn alu_in_memory(&mut self, planned: &Planned) -> bool {
        let (insn, Some(access)) = (&planned.insn, planned.access) else { return false };
        if matches!(insn.mnemonic(), Mnemonic::Inc | Mnemonic::Dec) {
            self.access(planned, access);
            self.step_in_memory(planned, access.size);
            return true;
        }
        let Some((alu, writes)) = operation(insn) else { return false };
        let to_memory = insn.op0_kind() == OpKind::Memory;
        let Some(other) = value(insn, u32::from(to_memory)) else { return false };
        let in_slot = matches!(other, Loc::Register(number) if matches!(PLACES[usize::from(number)], Place::Slot(_)));
        // The address is needed until the result is written.
        if in_slot && to_memory && writes {
            return false;
        }
        self.access(planned, access);
        self.load_memory(access.size);
        if to_memory || insn.mnemonic() == Mnemonic::Test {
            self.operate_on_memory(planned, alu, writes, access.size, other);
        } else {
            self.operate_on_register(planned, alu, access.size, other);
        }
        self.host = STATUS;
        true
    }

    /// Loads the memory operand into r10, zero-extended.
    pub(super) fn load_memory(&mut self, size: u8) {
        match size {
            1 => dynasm!(self.e ; .arch x64 ; movzx r10d, BYTE [r9]),
            2 => dynasm!(self.e ; .arch x64 ; movzx r10d, WORD [r9]),
            4 => dynasm!(self.e ; .arch x64 ; mov r10d, [r9]),
            _ => dynasm!(self.e ; .arch x64 ; mov r10, [r9]),
        }
    }

    /// Stores the low bytes of r10 to the memory operand, whose address is in r9.
    pub(super) fn store_memory(&mut self, size: u8) {
        match size {
            1 => dynasm!(self.e ; .arch x64 ; mov [r9], r10b),
            2 => dynasm!(self.e ; .arch x64 ; mov [r9], r10w),
            4 => dynasm!(self.e ; .arch x64 ; mov [r9], r10d),
            _ => dynasm!(self.e ; .arch x64 ; mov [r9], r10),
        }
    }

    /// `op [memory], value`: r10 holds what was in memory.
    fn operate_on_memory(&mut self, planned: &Planned, alu: Alu, writes: bool, size: u8, other: Loc) {
        match other {
            Loc::Immediate(value) => self.alu_immediate(alu, size, 10, value),
            Loc::Register(number) => {
                let source = self.guest_or(R9, number);
                self.alu_registers(alu, size, R10, source);
            }
            Loc::Slot => unreachable!("operands of instructions are registers or immediates"),
        }
        if writes {
            self.store_memory(size);
        }
        if !planned.live {
            self.source = Source::Dead;
            return;
        }
        dynasm!(self.e ; .arch x64 ; mov [BYTE rsp + slot(Slot::FlagsA)], r10);
        let kind = kind(alu);
        let b = if kind.has_b() { other } else { Loc::Immediate(0) };
        self.source = Source::At(FlagsAt { base: Base::Known { kind, size, a: Loc::Slot, b }, top: None });
    }

    /// The host register that holds a guest register, which is loaded into a scratch register if it lives in a slot.
    fn guest_or(&mut self, scratch: u8, number: u8) -> u8 {
        match PLACES[usize::from(number)] {
            Place::Host(host) => host.number() as u8,
            Place::Slot(_) => {
                self.load_guest(scratch, number);
                scratch
            }
        }
    }

    /// `op register, [memory]`: r10 holds what is in memory.
    fn operate_on_register(&mut self, planned: &Planned, alu: Alu, size: u8, register: Loc) {
        let Loc::Register(number) = register else { unreachable!("the target is a register") };
        let target = self.guest_or(R9, number);
        self.alu_registers(alu, size, target, R10);
        if target == R9 && alu != Alu::Cmp {
            self.store_scratch(R9, usize::from(number));
        }
        if !planned.live {
            self.source = Source::Dead;
            return;
        }
        let kind = kind(alu);
        let b = if kind.has_b() { Loc::Slot } else { Loc::Immediate(0) };
        if b == Loc::Slot {
            dynasm!(self.e ; .arch x64 ; mov [BYTE rsp + slot(Slot::FlagsB)], r10);
        }
        self.source = Source::At(FlagsAt { base: Base::Known { kind, size, a: register, b }, top: None });
    }

    /// INC or DEC in memory; r9 is its host address.
    fn step_in_memory(&mut self, planned: &Planned, size: u8) {
        let step = if planned.insn.mnemonic() == Mnemonic::Inc { Step::Up } else { Step::Down };
        self.load_memory(size);
        self.step_register(step, size, R10);
        self.store_memory(size);
        if !planned.live {
            self.source = Source::Dead;
            return;
        }
        let Source::At(flags) = self.source else { unreachable!("flags are not the host's after an access") };
        dynasm!(self.e ; .arch x64 ; mov [BYTE rsp + slot(Slot::FlagsTop)], r10);
        self.source = Source::At(FlagsAt { base: flags.base, top: Some((step, size, Loc::Slot)) });
    }

    /// TEST of registers, if its flags will be computed later.
    pub(super) fn test(&mut self, planned: &Planned) -> bool {
        let insn = &planned.insn;
        let (Mnemonic::Test, Some((a, size)), Some(b)) = (insn.mnemonic(), register_of(insn), value_of(insn)) else {
            return false;
        };
        let Loc::Register(number) = a else { return false };
        if a == b || !planned.live {
            if !planned.live {
                return false;
            }
            let register = self.guest_or(R10, number);
            self.test_register(size, register);
            self.source = Source::At(logic(size, a));
        } else {
            self.load_guest(R10, number);
            match b {
                Loc::Immediate(value) => self.alu_immediate(Alu::And, size, R10, value),
                Loc::Register(other) => {
                    let other = self.guest_or(R9, other);
                    self.alu_registers(Alu::And, size, R10, other);
                }
                Loc::Slot => unreachable!("operands of instructions are registers or immediates"),
            }
            dynasm!(self.e ; .arch x64 ; mov [BYTE rsp + slot(Slot::FlagsA)], r10);
            self.source = Source::At(logic(size, Loc::Slot));
        }
        self.host = STATUS;
        true
    }
}

fn logic(size: u8, a: Loc) -> FlagsAt {
    FlagsAt { base: Base::Known { kind: Kind::Logic, size, a, b: Loc::Immediate(0) }, top: None }
}

fn register_of(insn: &Instruction) -> Option<(Loc, u8)> {
    (insn.op_count() == 2).then(|| register(insn, 0)).flatten()
}

fn value_of(insn: &Instruction) -> Option<Loc> {
    (insn.op_count() == 2).then(|| value(insn, 1)).flatten()
}
