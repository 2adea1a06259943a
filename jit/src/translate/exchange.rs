//! Bits of strings of bits in memory, and XCHG with memory, which the host would lock.

use super::plan::{Planned, in_slot, registers};
use super::{Unit, slot};
use crate::registers::{PLACES, Place, Word};
use dynasmrt::{DynasmApi, dynasm};
use iced_x86::{Instruction, Mnemonic, OpKind, Register};

/// Whether BT, BTS, BTR or BTC of a bit string is translated: its address has 64 bits.
pub(super) fn is_bit_string(insn: &Instruction) -> bool {
    let wide = |register: Register| register == Register::None || register.is_gpr64() || register == Register::RIP;
    let (base, index) = (insn.memory_base(), insn.memory_index());
    let is_test = matches!(insn.mnemonic(), Mnemonic::Bt | Mnemonic::Bts | Mnemonic::Btr | Mnemonic::Btc);
    let in_memory = insn.op0_kind() == OpKind::Memory && insn.op1_kind() == OpKind::Register;
    is_test && in_memory && wide(base) && wide(index) && (base, index) != (Register::None, Register::None)
}

/// Whether it is XCHG with memory.
pub(super) fn is_exchange(insn: &Instruction) -> bool {
    insn.mnemonic() == Mnemonic::Xchg && (0..2).any(|operand| insn.op_kind(operand) == OpKind::Memory)
}

impl Unit<'_> {
    pub(super) fn bit_string(&mut self, planned: &Planned) {
        let (insn, access) = (&planned.insn, planned.access.expect("a memory operand is accessed"));
        let wanted = self.wanted(planned);
        if wanted != 0 {
            self.settle_flags();
        }
        self.free_host_flags();
        let retry = self.e.position();
        self.linear(insn);
        self.add_bit_offset(insn.op1_register(), access.size);
        self.check(access, retry);
        self.ensure_host(wanted);
        self.load_memory(access.size);
        self.change_bit(insn, access.size);
        if access.write {
            self.store_memory(access.size);
        }
        self.note_flags(planned);
    }

    /// Moves r9 on to the operand of `size` bytes that has the bit.
    fn add_bit_offset(&mut self, index: Register, size: u8) {
        self.load_guest(10, index.full_register().number() as u8);
        match size {
            2 => dynasm!(self.e ; .arch x64 ; movsx r10, r10w ; sar r10, 4 ; lea r9, [r9 + r10 * 2]),
            4 => dynasm!(self.e ; .arch x64 ; movsxd r10, r10d ; sar r10, 5 ; lea r9, [r9 + r10 * 4]),
            _ => dynasm!(self.e ; .arch x64 ; sar r10, 6 ; lea r9, [r9 + r10 * 8]),
        }
    }

    /// Tests and changes a bit of r10; the index is taken modulo its width.
    fn change_bit(&mut self, insn: &Instruction, size: u8) {
        let number = insn.op1_register().full_register().number();
        match PLACES[number] {
            Place::Host(host) => self.change_bit_by(insn.mnemonic(), size, host.number() as u8),
            Place::Slot(home) => {
                let aside = Word::Target.displacement();
                dynasm!(self.e ; .arch x64 ; mov [DWORD rsp + aside], rax ; mov rax, [BYTE rsp + slot(home)]);
                self.change_bit_by(insn.mnemonic(), size, 0);
                dynasm!(self.e ; .arch x64 ; mov rax, [DWORD rsp + aside]);
            }
        }
    }

    fn change_bit_by(&mut self, mnemonic: Mnemonic, size: u8, index: u8) {
        match (mnemonic, size) {
            (Mnemonic::Bt, 2) => dynasm!(self.e ; .arch x64 ; bt r10w, Rw(index)),
            (Mnemonic::Bt, 4) => dynasm!(self.e ; .arch x64 ; bt r10d, Rd(index)),
            (Mnemonic::Bt, _) => dynasm!(self.e ; .arch x64 ; bt r10, Rq(index)),
            (Mnemonic::Bts, 2) => dynasm!(self.e ; .arch x64 ; bts r10w, Rw(index)),
            (Mnemonic::Bts, 4) => dynasm!(self.e ; .arch x64 ; bts r10d, Rd(index)),
            (Mnemonic::Bts, _) => dynasm!(self.e ; .arch x64 ; bts r10, Rq(index)),
            (Mnemonic::Btr, 2) => dynasm!(self.e ; .arch x64 ; btr r10w, Rw(index)),
            (Mnemonic::Btr, 4) => dynasm!(self.e ; .arch x64 ; btr r10d, Rd(index)),
            (Mnemonic::Btr, _) => dynasm!(self.e ; .arch x64 ; btr r10, Rq(index)),
            (_, 2) => dynasm!(self.e ; .arch x64 ; btc r10w, Rw(index)),
            (_, 4) => dynasm!(self.e ; .arch x64 ; btc r10d, Rd(index)),
            (_, _) => dynasm!(self.e ; .arch x64 ; btc r10, Rq(index)),
        }
    }

    /// XCHG of a register and memory: there is one thread, so two moves will do.
    pub(super) fn exchange(&mut self, planned: &Planned) {
        let access = planned.access.expect("a memory operand is accessed");
        let register = registers(&planned.insn).next().expect("the other operand is a register");
        self.access(planned, access);
        self.protect(planned);
        self.load_memory(access.size);
        let number = register.full_register().number();
        if in_slot(register) {
            dynasm!(self.e ; .arch x64 ; mov [DWORD rsp + Word::Target.displacement()], r10);
            self.load_guest(10, number as u8);
            self.store_memory(access.size);
            dynasm!(self.e ; .arch x64 ; mov r10, [DWORD rsp + Word::Target.displacement()]);
            self.put_in_slot(number, access.size);
            return;
        }
        let Place::Host(host) = PLACES[number] else { unreachable!("others live in slots") };
        let host = host.number() as u8;
        match access.size {
            1 => dynasm!(self.e ; .arch x64 ; mov [r9], Rb(host) ; mov Rb(host), r10b),
            2 => dynasm!(self.e ; .arch x64 ; mov [r9], Rw(host) ; mov Rw(host), r10w),
            4 => dynasm!(self.e ; .arch x64 ; mov [r9], Rd(host) ; mov Rd(host), r10d),
            _ => dynasm!(self.e ; .arch x64 ; mov [r9], Rq(host) ; mov Rq(host), r10),
        }
    }

    /// Writes r10, zero-extended, to `size` bytes of a guest register that lives in a slot.
    fn put_in_slot(&mut self, number: usize, size: u8) {
        let Place::Slot(home) = PLACES[number] else { unreachable!("the others are the host's") };
        match size {
            1 => dynasm!(self.e ; .arch x64 ; mov [BYTE rsp + slot(home)], r10b),
            2 => dynasm!(self.e ; .arch x64 ; mov [BYTE rsp + slot(home)], r10w),
            _ => dynasm!(self.e ; .arch x64 ; mov [BYTE rsp + slot(home)], r10),
        }
    }
}
