//! String instructions with 64-bit addresses that go forward (Intel SDM vol. 1, 7.3.9 String Instructions).
//!
//! A repeated move or store runs natively if all of it lies in one page and the budget covers every iteration. Everything
//! else about repetitions, what is interrupted above all, is the interpreter's.

use super::flags::{Base, FlagsAt, Kind, Loc};
use super::plan::{Access, Planned, STATUS};
use super::status::{Alu, R9, R10};
use super::{Source, Unit, slot};
use crate::emitter::Condition;
use crate::registers::{Slot, Word};
use dynasmrt::{DynasmApi, dynasm};
use iced_x86::{Instruction, Mnemonic, OpKind, Register};
use reprise_core::cpu::reg;
use reprise_core::memory::PAGE_SIZE;

/// What a string instruction does with an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Move,
    Store,
    Load,
    Scan,
    Compare,
}

fn operation(insn: &Instruction) -> Option<(Operation, u8)> {
    use Mnemonic as M;
    use Operation::{Compare, Load, Move, Scan, Store};
    if !insn.is_string_instruction() {
        return None;
    }
    Some(match insn.mnemonic() {
        M::Movsb => (Move, 1),
        M::Movsw => (Move, 2),
        M::Movsd => (Move, 4),
        M::Movsq => (Move, 8),
        M::Stosb => (Store, 1),
        M::Stosw => (Store, 2),
        M::Stosd => (Store, 4),
        M::Stosq => (Store, 8),
        M::Lodsb => (Load, 1),
        M::Lodsw => (Load, 2),
        M::Lodsd => (Load, 4),
        M::Lodsq => (Load, 8),
        M::Scasb => (Scan, 1),
        M::Scasw => (Scan, 2),
        M::Scasd => (Scan, 4),
        M::Scasq => (Scan, 8),
        M::Cmpsb => (Compare, 1),
        M::Cmpsw => (Compare, 2),
        M::Cmpsd => (Compare, 4),
        M::Cmpsq => (Compare, 8),
        _ => return None,
    })
}

fn is_repeated(insn: &Instruction) -> bool {
    insn.has_rep_prefix() || insn.has_repne_prefix()
}

/// Whether it is translated here.
pub(super) fn is_native(insn: &Instruction) -> bool {
    let Some((operation, _)) = operation(insn) else { return false };
    let flat = (0..insn.op_count()).all(|operand| match insn.op_kind(operand) {
        OpKind::MemorySegRSI => !matches!(insn.memory_segment(), Register::FS | Register::GS),
        OpKind::MemoryESRDI | OpKind::Register => true,
        _ => false,
    });
    flat && (!is_repeated(insn) || matches!(operation, Operation::Move | Operation::Store))
}

impl Unit<'_> {
    pub(super) fn string(&mut self, planned: &Planned) {
        let (operation, size) = operation(&planned.insn).expect("it was planned as one");
        self.free_host_flags();
        dynasm!(self.e ; .arch x64 ; cmp DWORD [DWORD rsp + Word::Direction.displacement()], 0);
        self.interpret_if(Condition::NotEqual);
        let repeated = is_repeated(&planned.insn);
        match operation {
            Operation::Store if repeated => self.repeat_store(planned, size),
            Operation::Move if repeated => self.repeat_move(planned, size),
            Operation::Store => self.store_element(planned, size),
            Operation::Move => self.move_element(planned, size),
            Operation::Load => self.load_element(planned, size),
            Operation::Scan => self.scan_element(planned, size),
            Operation::Compare => self.compare_elements(planned, size),
        }
    }

    /// Leaves the host address of `size` bytes at a pointer in r9.
    fn element(&mut self, pointer: u8, size: u8, write: bool) {
        let retry = self.e.position();
        dynasm!(self.e ; .arch x64 ; mov r9, Rq(pointer));
        self.check(Access { size, write, aligned: false }, retry);
    }

    fn advance(&mut self, pointer: u8, size: u8) {
        dynasm!(self.e ; .arch x64 ; lea Rq(pointer), [BYTE Rq(pointer) + size as i8]);
    }

    /// Keeps r10 where nothing but a later part of the same instruction looks for it.
    fn put_aside(&mut self) {
        dynasm!(self.e ; .arch x64 ; mov [DWORD rsp + Word::Target.displacement()], r10);
    }

    fn store_element(&mut self, planned: &Planned, size: u8) {
        self.element(reg::RDI, size, true);
        self.protect(planned);
        dynasm!(self.e ; .arch x64 ; mov r10, rax);
        self.store_memory(size);
        self.advance(reg::RDI, size);
    }

    fn move_element(&mut self, planned: &Planned, size: u8) {
        self.element(reg::RSI, size, false);
        self.load_memory(size);
        self.put_aside();
        self.element(reg::RDI, size, true);
        self.protect(planned);
        dynasm!(self.e ; .arch x64 ; mov r10, [DWORD rsp + Word::Target.displacement()]);
        self.store_memory(size);
        self.advance(reg::RSI, size);
        self.advance(reg::RDI, size);
    }

    fn load_element(&mut self, planned: &Planned, size: u8) {
        self.element(reg::RSI, size, false);
        self.protect(planned);
        match size {
            1 => dynasm!(self.e ; .arch x64 ; mov al, [r9]),
            2 => dynasm!(self.e ; .arch x64 ; mov ax, [r9]),
            4 => dynasm!(self.e ; .arch x64 ; mov eax, [r9]),
            _ => dynasm!(self.e ; .arch x64 ; mov rax, [r9]),
        }
        self.advance(reg::RSI, size);
    }

    fn scan_element(&mut self, planned: &Planned, size: u8) {
        self.element(reg::RDI, size, false);
        self.load_memory(size);
        dynasm!(self.e ; .arch x64 ; mov [BYTE rsp + slot(Slot::FlagsB)], r10);
        self.alu_registers(Alu::Cmp, size, reg::RAX, R10);
        self.compared(planned, size, Loc::Register(reg::RAX));
        self.advance(reg::RDI, size);
    }

    /// The destination is read first, as the interpreter does.
    fn compare_elements(&mut self, planned: &Planned, size: u8) {
        self.element(reg::RDI, size, false);
        self.load_memory(size);
        self.put_aside();
        self.element(reg::RSI, size, false);
        self.load_memory(size);
        dynasm!(self.e
            ; .arch x64
            ; mov r9, [DWORD rsp + Word::Target.displacement()]
            ; mov [BYTE rsp + slot(Slot::FlagsA)], r10
            ; mov [BYTE rsp + slot(Slot::FlagsB)], r9
        );
        self.alu_registers(Alu::Cmp, size, R10, R9);
        self.compared(planned, size, Loc::Slot);
        self.advance(reg::RSI, size);
        self.advance(reg::RDI, size);
    }

    /// The host has compared `a` with what is in the slot for b.
    fn compared(&mut self, planned: &Planned, size: u8, a: Loc) {
        let base = Base::Known { kind: Kind::Sub, size, a, b: Loc::Slot };
        self.source = if planned.live { Source::At(FlagsAt { base, top: None }) } else { Source::Dead };
        self.host = STATUS;
    }

    /// Leaves a repetition to the interpreter unless the count is not 0, the budget covers it, and no page's end comes
    /// before its own.
    fn countable(&mut self, size: u8, pointers: &[u8]) {
        let most = PAGE_SIZE as i32 / i32::from(size);
        dynasm!(self.e ; .arch x64 ; lea r10, [rcx - 1] ; cmp r10, most - 1);
        self.interpret_if(Condition::Above);
        dynasm!(self.e ; .arch x64 ; cmp r10, r11);
        self.interpret_if(Condition::Above);
        for &pointer in pointers {
            dynasm!(self.e ; .arch x64 ; mov r10d, Rd(pointer) ; and r10d, PAGE_SIZE as i32 - 1);
            self.add_count(R10, R10, size);
            dynasm!(self.e ; .arch x64 ; cmp r10d, PAGE_SIZE as i32);
            self.interpret_if(Condition::Above);
        }
    }

    /// `target` = `base` + count times `size`.
    fn add_count(&mut self, target: u8, base: u8, size: u8) {
        match size {
            1 => dynasm!(self.e ; .arch x64 ; lea Rq(target), [Rq(base) + rcx]),
            2 => dynasm!(self.e ; .arch x64 ; lea Rq(target), [Rq(base) + rcx * 2]),
            4 => dynasm!(self.e ; .arch x64 ; lea Rq(target), [Rq(base) + rcx * 4]),
            _ => dynasm!(self.e ; .arch x64 ; lea Rq(target), [Rq(base) + rcx * 8]),
        }
    }

    /// Pays for all iterations but the first, which the block's head has paid for.
    fn pay(&mut self) {
        dynasm!(self.e ; .arch x64 ; sub r11, rcx ; lea r11, [r11 + 1]);
    }

    /// REP and an instruction without operands: `opcode` for bytes, the next one for anything longer.
    fn repeat_on_host(&mut self, opcode: u8, size: u8) {
        match size {
            1 => self.e.extend(&[0xf3, opcode]),
            2 => self.e.extend(&[0x66, 0xf3, opcode | 1]),
            4 => self.e.extend(&[0xf3, opcode | 1]),
            _ => self.e.extend(&[0xf3, 0x48, opcode | 1]),
        }
    }

    fn repeat_store(&mut self, planned: &Planned, size: u8) {
        self.countable(size, &[reg::RDI]);
        self.element(reg::RDI, size, true);
        self.protect(planned);
        self.add_count(R10, reg::RDI, size);
        self.pay();
        dynasm!(self.e ; .arch x64 ; mov rdi, r9);
        self.repeat_on_host(0xaa, size);
        dynasm!(self.e ; .arch x64 ; mov rdi, r10);
    }

    fn repeat_move(&mut self, planned: &Planned, size: u8) {
        self.countable(size, &[reg::RSI, reg::RDI]);
        self.element(reg::RSI, size, false);
        dynasm!(self.e ; .arch x64 ; mov r10, r9);
        self.put_aside();
        self.element(reg::RDI, size, true);
        self.protect(planned);
        self.add_count(R10, reg::RDI, size);
        dynasm!(self.e ; .arch x64 ; mov rdi, r9);
        self.add_count(R9, reg::RSI, size);
        self.pay();
        dynasm!(self.e ; .arch x64 ; mov rsi, [DWORD rsp + Word::Target.displacement()]);
        self.repeat_on_host(0xa4, size);
        dynasm!(self.e ; .arch x64 ; mov rdi, r10 ; mov rsi, r9);
    }
}
