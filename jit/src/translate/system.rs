//! System instructions that need no exit: those on flags that no table depends on, and SWAPGS (Intel SDM vol. 2).
//!
//! IF, DF and the other system flags lie in words of their own while native code runs ([`Word`]), so that CLI and CLD
//! leave the host's flags alone. What opens a window for interrupts, or changes who may access what, is the interpreter's.

use super::flags::FlagsAt;
use super::plan::{Planned, STATUS};
use super::stack::STACK;
use super::status::R9;
use super::{Source, Unit, slot};
use crate::emitter::Condition;
use crate::registers::{Slot, Word};
use crate::variant::Variant;
use dynasmrt::{DynasmApi, dynasm};
use iced_x86::{Instruction, Mnemonic};
use reprise_core::cpu::Flags;

/// Flags that POPF may change and native code does not.
const FIXED: i32 = (Flags::TF | Flags::IF | Flags::DF | Flags::IOPL | Flags::NT | Flags::AC | Flags::ID) as i32;
/// The status flags in the low byte of RFLAGS, and the bit there that is always set.
const LOW: i32 = (Flags::STATUS & 0xff | 2) as i32;

/// Upper byte of the raw flags: SF, ZF, AF, PF and CF. OF is below it.
const RAW_LOW: i8 = Slot::FlagsKind.displacement() as i8 + 5;
const RAW_OVERFLOW: i8 = Slot::FlagsKind.displacement() as i8 + 4;

/// Whether it is translated here.
pub(super) fn is_native(insn: &Instruction, variant: Variant) -> bool {
    match insn.mnemonic() {
        Mnemonic::Cld | Mnemonic::Std | Mnemonic::Pushfq | Mnemonic::Popfq => true,
        Mnemonic::Cli | Mnemonic::Sti | Mnemonic::Swapgs | Mnemonic::Clac | Mnemonic::Stac => variant.is_kernel(),
        _ => false,
    }
}

impl Unit<'_> {
    pub(super) fn system(&mut self, planned: &Planned) {
        match planned.insn.mnemonic() {
            Mnemonic::Cld => self.set_word(Word::Direction, 0),
            Mnemonic::Std => self.set_word(Word::Direction, Flags::DF as i32),
            Mnemonic::Cli => self.set_word(Word::Interrupt, 0),
            Mnemonic::Sti => self.set_interrupt(),
            Mnemonic::Swapgs => self.swap_gs(),
            Mnemonic::Clac => self.set_access(false),
            Mnemonic::Stac => self.set_access(true),
            Mnemonic::Pushfq => self.push_flags(),
            Mnemonic::Popfq => self.pop_flags(),
            other => unreachable!("{other:?} is not planned as a system instruction"),
        }
    }

    fn set_word(&mut self, word: Word, value: i32) {
        dynasm!(self.e ; .arch x64 ; mov QWORD [DWORD rsp + word.displacement()], value);
    }

    /// STI where interrupts are enabled does nothing.
    fn set_interrupt(&mut self) {
        self.free_host_flags();
        dynasm!(self.e ; .arch x64 ; cmp DWORD [DWORD rsp + Word::Interrupt.displacement()], 0);
        self.interpret_if(Condition::Equal);
    }

    /// CLAC and STAC: what may be accessed is another table's matter.
    fn set_access(&mut self, on: bool) {
        self.free_host_flags();
        let flags = Word::OtherFlags.displacement();
        dynasm!(self.e ; .arch x64 ; test DWORD [DWORD rsp + flags], Flags::AC as i32);
        let same = self.e.jump_if(if on { Condition::NotEqual } else { Condition::Equal });
        let back = self.e.address_of(R9);
        let _ = self.e.jump_to(self.thunks.switch);
        self.e.bind(back);
        self.e.bind(same);
    }

    fn swap_gs(&mut self) {
        let kernel = Word::KernelGsBase.displacement();
        dynasm!(self.e
            ; .arch x64
            ; mov r9, [BYTE rsp + slot(Slot::GsBase)]
            ; mov r10, [DWORD rsp + kernel]
            ; mov [BYTE rsp + slot(Slot::GsBase)], r10
            ; mov [DWORD rsp + kernel], r9
        );
    }

    fn push_flags(&mut self) {
        if self.source != Source::At(FlagsAt::RAW) {
            self.ensure_host(STATUS);
            self.source = Source::Host;
        }
        self.access_at(STACK, -8, true);
        dynasm!(self.e
            ; .arch x64
            ; movzx r10d, BYTE [BYTE rsp + RAW_LOW]
            ; mov [r9], r10
            ; movzx r10d, BYTE [BYTE rsp + RAW_OVERFLOW]
            ; shl r10d, 11
            ; or r10d, [DWORD rsp + Word::Interrupt.displacement()]
            ; or r10d, [DWORD rsp + Word::Direction.displacement()]
            ; or r10d, [DWORD rsp + Word::OtherFlags.displacement()]
            ; or [r9], r10
            ; lea r8, [r8 - 8]
        );
    }

    /// POPF of status flags alone.
    fn pop_flags(&mut self) {
        self.access_at(STACK, 0, false);
        dynasm!(self.e
            ; .arch x64
            ; mov r9, [r9]
            ; mov r10d, [DWORD rsp + Word::Interrupt.displacement()]
            ; or r10d, [DWORD rsp + Word::Direction.displacement()]
            ; or r10d, [DWORD rsp + Word::OtherFlags.displacement()]
            ; xor r10d, r9d
            ; test r10d, FIXED
        );
        self.interpret_if(Condition::NotEqual);
        dynasm!(self.e
            ; .arch x64
            ; mov r10d, r9d
            ; and r10d, LOW
            ; or r10d, 2
            ; mov [BYTE rsp + RAW_LOW], r10b
            ; shr r9d, 11
            ; and r9d, 1
            ; mov [BYTE rsp + RAW_OVERFLOW], r9b
            ; lea r8, [r8 + 8]
        );
        self.source = Source::At(FlagsAt::RAW);
        self.host = 0;
    }
}
