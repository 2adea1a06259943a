//! PUSH, POP and LEAVE.

use super::plan::Planned;
use super::{Unit, slot};
use crate::registers::{PLACES, Place, Word};
use dynasmrt::{DynasmApi, dynasm};
use iced_x86::OpKind;

/// Host number of the register that holds the guest's rsp.
pub(super) const STACK: u8 = 8;
/// Host number of rbp.
const FRAME: u8 = 5;

impl Unit<'_> {
    pub(super) fn push(&mut self, planned: &Planned) {
        let insn = &planned.insn;
        let aside = Word::Target.displacement();
        if let Some(access) = planned.access {
            self.access(planned, access);
            dynasm!(self.e ; .arch x64 ; mov r10, [r9] ; mov [DWORD rsp + aside], r10);
        }
        self.access_at(STACK, -8, true);
        if planned.access.is_some() {
            dynasm!(self.e ; .arch x64 ; mov r10, [DWORD rsp + aside] ; mov [r9], r10);
        } else if insn.op0_kind() == OpKind::Register {
            match PLACES[insn.op0_register().number()] {
                Place::Host(host) => dynasm!(self.e ; .arch x64 ; mov [r9], Rq(host.number() as u8)),
                Place::Slot(home) => {
                    dynasm!(self.e ; .arch x64 ; mov r10, [BYTE rsp + slot(home)] ; mov [r9], r10);
                }
            }
        } else {
            let value = insn.immediate(0) as i32;
            dynasm!(self.e ; .arch x64 ; mov QWORD [r9], value);
        }
        self.protect(planned);
        dynasm!(self.e ; .arch x64 ; lea r8, [r8 - 8]);
    }

    pub(super) fn pop(&mut self, planned: &Planned) {
        self.access_at(STACK, 0, false);
        if let Some(access) = planned.access {
            let aside = Word::Target.displacement();
            dynasm!(self.e ; .arch x64 ; mov r10, [r9] ; mov [DWORD rsp + aside], r10);
            self.access(planned, access);
            dynasm!(self.e ; .arch x64 ; mov r10, [DWORD rsp + aside] ; mov [r9], r10);
            self.protect(planned);
            dynasm!(self.e ; .arch x64 ; lea r8, [r8 + 8]);
            return;
        }
        self.protect(planned);
        match PLACES[planned.insn.op0_register().number()] {
            // The popped value is what stays in rsp.
            Place::Host(host) if host.number() as u8 == STACK => dynasm!(self.e ; .arch x64 ; mov r8, [r9]),
            Place::Host(host) => {
                dynasm!(self.e ; .arch x64 ; mov Rq(host.number() as u8), [r9] ; lea r8, [r8 + 8]);
            }
            Place::Slot(home) => {
                dynasm!(self.e ; .arch x64 ; mov r10, [r9] ; mov [BYTE rsp + slot(home)], r10 ; lea r8, [r8 + 8]);
            }
        }
    }

    pub(super) fn leave_frame(&mut self, planned: &Planned) {
        self.access_at(FRAME, 0, false);
        self.protect(planned);
        dynasm!(self.e ; .arch x64 ; lea r8, [rbp + 8] ; mov rbp, [r9]);
    }
}
