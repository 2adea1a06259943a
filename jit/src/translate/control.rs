//! Near transfers of control. Within a page jumps are linked directly; others look into the jump cache.

use super::plan::{Planned, STATUS};
use super::stack::STACK;
use super::{Unit, slot};
use crate::emitter::{Condition, Side};
use crate::registers::{SCRATCH, Slot};
use crate::site::SiteKind;
use dynasmrt::{DynasmApi, dynasm};
use iced_x86::{Code, Instruction, Mnemonic, OpKind};
use reprise_core::interp::table::{JUMPS, JUMPS_OFFSET, TARGET_OFFSET};
use reprise_core::memory::{PAGE_SHIFT, PAGE_SIZE};

/// Where the host code's address is kept in an entry of the jump cache.
const CODE: i32 = JUMPS_OFFSET as i32 + 8;

/// Target of a direct transfer, from the start of the page.
fn target(insn: &Instruction) -> i64 {
    insn.near_branch_target() as i64
}

fn in_page(offset: i64) -> bool {
    (0..PAGE_SIZE as i64).contains(&offset)
}

/// Whether LOOP and JRCXZ are translated: a target in another page may be none, and then the count stays.
pub(super) fn counts_natively(insn: &Instruction) -> bool {
    matches!(insn.code(), Code::Jrcxz_rel8_64 | Code::Loop_rel8_64_RCX) && in_page(target(insn))
}

impl Unit<'_> {
    /// The block goes on with the next instruction.
    pub(super) fn fall_through(&mut self) {
        self.hand_over_flags();
        let next = self.plan.insns[self.index].insn.next_ip() as i64;
        if self.plan.meets_end {
            self.go_far(next, None);
        } else {
            self.go_on(next, None);
        }
    }

    pub(super) fn jump_direct(&mut self, planned: &Planned) {
        self.hand_over_flags();
        self.go_on(target(&planned.insn), Some(0));
    }

    pub(super) fn jump_if(&mut self, planned: &Planned) {
        self.ensure_host(planned.insn.rflags_read() & STATUS);
        self.hand_over_flags();
        let condition = Condition::of(planned.insn.condition_code()).expect("a conditional jump has a condition");
        self.branch(condition, &planned.insn);
    }

    /// Goes on at the target of a direct jump under a condition, or else with the next instruction.
    fn branch(&mut self, condition: Condition, insn: &Instruction) {
        let target = target(insn);
        if in_page(target) {
            let taken = self.e.jump_if(condition);
            let site = self.site_at(SiteKind::Link(taken.field()), target as u16, 0, 0);
            self.cold_leave(taken, site);
        } else {
            let not_taken = self.e.jump_if(condition.negated());
            self.go_on(target, Some(0));
            self.e.bind(not_taken);
        }
        self.go_on(insn.next_ip() as i64, None);
    }

    /// LOOP and JRCXZ, by the 64-bit count.
    pub(super) fn jump_by_count(&mut self, planned: &Planned) {
        self.hand_over_flags();
        let condition = if planned.insn.mnemonic() == Mnemonic::Loop {
            dynasm!(self.e ; .arch x64 ; sub rcx, 1);
            Condition::NotEqual
        } else {
            dynasm!(self.e ; .arch x64 ; test rcx, rcx);
            Condition::Equal
        };
        self.branch(condition, &planned.insn);
    }

    pub(super) fn call(&mut self, planned: &Planned) {
        self.push_return(planned);
        self.go_on(target(&planned.insn), Some(-8));
    }

    pub(super) fn call_indirect(&mut self, planned: &Planned) {
        self.load_target(planned);
        dynasm!(self.e ; .arch x64 ; mov [DWORD rsp + (TARGET_OFFSET as i32)], r9);
        self.push_return(planned);
        dynasm!(self.e ; .arch x64 ; mov r9, [DWORD rsp + (TARGET_OFFSET as i32)]);
        self.look_up(Some(-8));
    }

    pub(super) fn jump_indirect(&mut self, planned: &Planned) {
        self.load_target(planned);
        self.hand_over_flags();
        self.look_up(Some(0));
    }

    pub(super) fn ret(&mut self, planned: &Planned) {
        self.access_at(STACK, 0, false);
        self.hand_over_flags();
        let release = 8 + if planned.insn.op_count() > 0 { planned.insn.immediate(0) as u16 as i32 } else { 0 };
        dynasm!(self.e ; .arch x64 ; mov r9, [r9] ; lea r8, [r8 + release]);
        self.look_up(Some(release));
    }

    /// Puts the target of an indirect transfer into r9.
    fn load_target(&mut self, planned: &Planned) {
        if planned.insn.op0_kind() == OpKind::Register {
            self.load_guest(SCRATCH.number() as u8, planned.insn.op0_register().number() as u8);
        } else {
            let access = planned.access.expect("a memory operand is accessed");
            self.access(planned, access);
            dynasm!(self.e ; .arch x64 ; mov r9, [r9]);
        }
    }

    /// Pushes the address of the next instruction, and hands the flags over.
    fn push_return(&mut self, planned: &Planned) {
        self.access_at(STACK, -8, true);
        self.hand_over_flags();
        let next = planned.insn.next_ip() as i32;
        dynasm!(self.e
            ; .arch x64
            ; mov r10, [BYTE rsp + slot(Slot::Page)]
            ; lea r10, [DWORD r10 + next]
            ; mov [r9], r10
            ; lea r8, [r8 - 8]
        );
    }

    /// Goes on at an offset from the start of the page. `undo` is what the instruction has added to rsp, if it is undone
    /// where nothing can be at the target.
    fn go_on(&mut self, offset: i64, undo: Option<i32>) {
        if in_page(offset) {
            let jump = self.e.jump();
            let site = self.site_at(SiteKind::Link(jump.field()), offset as u16, 0, 0);
            self.cold_leave(jump, site);
        } else {
            self.go_far(offset, undo);
        }
    }

    /// As [`go_on`](Self::go_on), by the jump cache.
    fn go_far(&mut self, offset: i64, undo: Option<i32>) {
        dynasm!(self.e ; .arch x64 ; mov r9, [BYTE rsp + slot(Slot::Page)]);
        match i32::try_from(offset) {
            Ok(near) => dynasm!(self.e ; .arch x64 ; lea r9, [DWORD r9 + near]),
            Err(_) => dynasm!(self.e ; .arch x64 ; mov r10, QWORD offset ; add r9, r10),
        }
        self.look_up(undo);
    }

    /// Goes on at the linear address in r9, by the jump cache.
    fn look_up(&mut self, undo: Option<i32>) {
        let at = self.plan.insns[self.index].at();
        let site = self.site_at(SiteKind::Jump(undo), at, 0, 0);
        dynasm!(self.e
            ; .arch x64
            ; mov r10, r9
            ; shr r10, PAGE_SHIFT as i8
            ; xor r10d, r9d
            ; and r10d, (JUMPS - 1) as i32
            ; shl r10d, 4
            ; cmp [DWORD rsp + r10 + (JUMPS_OFFSET as i32)], r9
        );
        let miss = self.e.jump_if(Condition::NotEqual);
        dynasm!(self.e
            ; .arch x64
            ; and r9, -(PAGE_SIZE as i32)
            ; mov [BYTE rsp + slot(Slot::Page)], r9
            ; jmp QWORD [DWORD rsp + r10 + CODE]
        );
        let side = self.e.switch(Side::Cold);
        self.e.bind(miss);
        self.leave_for_target(site);
        self.e.switch(side);
    }

    /// Leaves with the target in r9.
    fn leave_for_target(&mut self, site: u32) {
        dynasm!(self.e ; .arch x64 ; mov [BYTE rsp + slot(Slot::Address)], r9);
        self.emit_leave(site);
    }
}
