//! Scratch registers for operands that live in slots.

use super::plan::{has_memory, in_slot, registers};
use crate::registers::{SCRATCH, SECOND_SCRATCH};
use iced_x86::{Instruction, InstructionInfoFactory, OpAccess, OpKind, Register};

/// A register operand that lives in a slot.
pub(super) struct SlotOperand {
    /// The guest register's.
    pub number: usize,
    pub read: bool,
    pub written: bool,
    /// What stands for it.
    pub scratch: Register,
}

/// The operands of an instruction that live in slots, with scratch registers; `None` if there are too few. The first
/// scratch register holds the address of a memory operand.
///
/// An operand that is only written may have the register of one that is only read: the host reads all before it writes.
pub(super) fn slot_operands(insn: &Instruction) -> Option<Vec<SlotOperand>> {
    let mut operands = without_registers(insn);
    let mut free = vec![SECOND_SCRATCH];
    if !has_memory(insn) {
        free.push(SCRATCH);
    }
    let mut free = free.into_iter();
    for operand in operands.iter_mut().filter(|operand| operand.read) {
        operand.scratch = free.next()?;
    }
    let mut taken: Vec<_> = operands.iter().filter(|one| one.read && one.written).map(|one| one.scratch).collect();
    for operand in operands.iter_mut().filter(|operand| !operand.read) {
        let shared = || [SECOND_SCRATCH, SCRATCH].into_iter().find(|register| !taken.contains(register));
        operand.scratch = free.next().or_else(shared)?;
        taken.push(operand.scratch);
    }
    Some(operands)
}

fn without_registers(insn: &Instruction) -> Vec<SlotOperand> {
    let mut found: Vec<SlotOperand> = Vec::new();
    if !registers(insn).any(in_slot) {
        return found;
    }
    let mut factory = InstructionInfoFactory::new();
    let info = factory.info(insn);
    for operand in (0..insn.op_count()).filter(|&operand| insn.op_kind(operand) == OpKind::Register) {
        let register = insn.op_register(operand);
        if !in_slot(register) {
            continue;
        }
        let access = info.op_access(operand);
        let written = !matches!(access, OpAccess::Read | OpAccess::CondRead | OpAccess::None);
        // What is not written whole must be there before.
        let read = access != OpAccess::Write || register.size() < 4;
        let number = register.full_register().number();
        match found.iter_mut().find(|operand| operand.number == number) {
            Some(operand) => {
                operand.read |= read;
                operand.written |= written;
            }
            None => found.push(SlotOperand { number, read, written, scratch: Register::None }),
        }
    }
    found
}
