//! Addresses, and the inline look into the TLB.

use super::plan::{Access, Planned, displacement};
use super::{Unit, slot};
use super::stack::STACK;
use crate::emitter::{Condition, Exchange, Jump, Side};
use crate::registers::{PLACES, Place, SCRATCH, SECOND_SCRATCH, Slot};
use crate::site::SiteKind;
use dynasmrt::{DynasmApi, dynasm};
use iced_x86::{Instruction, Register};
use reprise_core::interp::table::{ENTRIES, ENTRY_HOST, ENTRY_READ, ENTRY_SIZE, ENTRY_WRITE};
use reprise_core::memory::{PAGE_SHIFT, PAGE_SIZE};

const ENTRY_SHIFT: u32 = ENTRY_SIZE.trailing_zeros();
const INDEX_MASK: i32 = ((ENTRIES - 1) * ENTRY_SIZE) as i32;

impl Unit<'_> {
    /// Leaves the host address of the memory operand in r9. Native code may leave and come back before it. The host's
    /// flags are lost, and r10 too.
    pub(super) fn access(&mut self, planned: &Planned, access: Access) {
        if self.near(planned, access) {
            return;
        }
        self.free_host_flags();
        let retry = self.e.position();
        self.linear(&planned.insn);
        self.check(access, retry);
    }

    /// As [`access`](Self::access), but what is not cached is left to the interpreter.
    pub(super) fn access_or_interpret(&mut self, planned: &Planned, access: Access) {
        self.free_host_flags();
        self.linear(&planned.insn);
        self.compare(access);
        self.interpret_if(Condition::Above);
        dynasm!(self.e ; .arch x64 ; add r9, [BYTE rsp + r10 + (ENTRY_HOST as i8)]);
    }

    /// As [`access`](Self::access), to 8 bytes at a host register plus a displacement.
    pub(super) fn access_at(&mut self, base: u8, displacement: i8, write: bool) {
        if base == STACK && self.near_stack(i32::from(displacement), write) {
            return;
        }
        self.free_host_flags();
        let retry = self.e.position();
        dynasm!(self.e ; .arch x64 ; lea r9, [BYTE Rq(base) + displacement]);
        self.check(Access { size: 8, write, aligned: false }, retry);
    }

    /// Puts the linear address of the memory operand into r9.
    pub(super) fn linear(&mut self, insn: &Instruction) {
        self.offset(insn);
        match insn.memory_segment() {
            Register::FS => dynasm!(self.e ; .arch x64 ; add r9, [BYTE rsp + slot(Slot::FsBase)]),
            Register::GS => dynasm!(self.e ; .arch x64 ; add r9, [BYTE rsp + slot(Slot::GsBase)]),
            _ => {}
        }
    }

    /// Puts the offset of the memory operand in its segment into r9, leaving the host's flags alone.
    pub(super) fn offset(&mut self, insn: &Instruction) {
        if insn.is_ip_rel_memory_operand() {
            let displacement = displacement(insn).expect("others are not translated");
            dynasm!(self.e
                ; .arch x64
                ; mov r9, [BYTE rsp + slot(Slot::Page)]
                ; lea r9, [DWORD r9 + displacement]
            );
        } else if insn.memory_base() == Register::None && insn.memory_index() == Register::None {
            self.absolute(insn.memory_displacement64());
        } else {
            let exchange = self.address_registers(insn);
            self.e.address(SCRATCH, insn, &exchange).expect("addresses can be encoded");
        }
    }

    fn absolute(&mut self, address: u64) {
        match i32::try_from(address as i64) {
            Ok(near) => dynasm!(self.e ; .arch x64 ; mov r9, DWORD near),
            Err(_) => dynasm!(self.e ; .arch x64 ; mov r9, QWORD address as i64),
        }
    }

    /// Loads base and index that live in slots into scratch registers.
    pub(super) fn address_registers(&mut self, insn: &Instruction) -> Exchange {
        let mut exchange = Exchange::new();
        for (register, scratch) in [(insn.memory_base(), SCRATCH), (insn.memory_index(), SECOND_SCRATCH)] {
            if register == Register::None {
                continue;
            }
            let number = register.full_register().number();
            if let Place::Slot(home) = PLACES[number]
                && exchange.host(register).is_none()
            {
                dynasm!(self.e ; .arch x64 ; mov Rq(scratch.number() as u8), [BYTE rsp + slot(home)]);
                exchange = exchange.register(number, scratch);
            }
        }
        exchange
    }

    /// Turns the linear address in r9 into the host's, or leaves.
    pub(super) fn check(&mut self, access: Access, retry: u64) {
        if access.aligned {
            // Before the look into the TLB: a miss would set accessed bits, and a misaligned address faults first.
            dynasm!(self.e ; .arch x64 ; test r9b, (access.size - 1) as i8);
            self.interpret_if(Condition::NotEqual);
        }
        self.compare(access);
        let miss = self.e.jump_if(Condition::Above);
        let kind = SiteKind::Miss { size: u16::from(access.size), write: access.write, several: false };
        let site = self.site(kind, self.index, retry);
        self.cold_miss(miss, access, site);
        self.add_host();
    }

    /// Adds the host's address of the page to the offset in r9.
    pub(super) fn add_host(&mut self) {
        dynasm!(self.e ; .arch x64 ; add r9, [BYTE rsp + r10 + (ENTRY_HOST as i8)]);
    }

    /// Lets a jump lead to where native code leaves with the address that was compared.
    pub(super) fn cold_miss(&mut self, miss: Jump, access: Access, site: u32) {
        let side = self.e.switch(Side::Cold);
        self.e.bind(miss);
        dynasm!(self.e
            ; .arch x64
            ; xor r9, [BYTE rsp + r10 + tag(access)]
            ; mov [BYTE rsp + slot(Slot::Address)], r9
        );
        self.emit_leave(site);
        self.e.switch(side);
    }

    /// Compares the linear address in r9 with what is cached: above if native code cannot access it.
    fn compare(&mut self, access: Access) {
        self.compare_span(access, u16::from(access.size));
    }

    /// As [`compare`](Self::compare), for so many bytes.
    pub(super) fn compare_span(&mut self, access: Access, bytes: u16) {
        let last = (PAGE_SIZE - u64::from(bytes)) as i32;
        dynasm!(self.e
            ; .arch x64
            ; mov r10, r9
            ; shr r10, (PAGE_SHIFT - ENTRY_SHIFT) as i8
            ; and r10d, INDEX_MASK
            ; xor r9, [BYTE rsp + r10 + tag(access)]
            ; cmp r9, last
        );
    }
}

/// Offset of the tag in an entry that an access must match.
fn tag(access: Access) -> i8 {
    (if access.write { ENTRY_WRITE } else { ENTRY_READ }) as i8
}
