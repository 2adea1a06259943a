//! Instructions that the host executes as they are, with registers and memory operand exchanged.

use super::flags::{Base, FlagsAt, Kind, Loc, Step};
use super::plan::{Planned, STATUS, Sets, is_high_byte, shift_count};
use super::slots::slot_operands;
use super::{Source, Unit, slot};
use crate::emitter::{Exchange, NotPassed};
use crate::registers::{PLACES, Place, SCRATCH};
use crate::site::SiteKind;
use dynasmrt::{DynasmApi, dynasm};
use iced_x86::{Instruction, Mnemonic, OpKind};

impl Unit<'_> {
    pub(super) fn pass(&mut self, planned: &Planned) {
        if self.alu_in_memory(planned) || self.test(planned) {
            return;
        }
        let exchange = self.prepare(planned);
        self.execute(planned, exchange);
        self.note_flags(planned);
    }

    /// Gets memory operand and flags ready for an instruction.
    pub(super) fn prepare(&mut self, planned: &Planned) -> Exchange {
        let mut exchange = Exchange::new();
        let wanted = self.wanted(planned);
        if let Some(access) = planned.access {
            if wanted != 0 && self.step_that_gives(wanted).is_none() {
                self.settle_flags();
            }
            self.access(planned, access);
            exchange = exchange.memory(SCRATCH, 0);
        }
        self.ensure_host(wanted);
        self.protect(planned);
        exchange
    }

    /// Emits an instruction that is [prepared](Self::prepare), with operands in slots loaded and stored around it.
    pub(super) fn execute(&mut self, planned: &Planned, mut exchange: Exchange) {
        let slots = slot_operands(&planned.insn).expect("plans have only what there are scratch registers for");
        for operand in &slots {
            exchange = exchange.register(operand.number, operand.scratch);
            if operand.read {
                self.load_guest(operand.scratch.number() as u8, operand.number as u8);
            }
        }
        self.pass_once(planned, &exchange);
        for operand in slots.iter().filter(|operand| operand.written) {
            self.store_scratch(operand.scratch.number() as u8, operand.number);
        }
    }

    /// The host's flags that an instruction needs: those that it reads, and if it sets only some, all.
    pub(super) fn wanted(&self, planned: &Planned) -> u32 {
        if planned.sets == Sets::Some && planned.live && step(&planned.insn).is_none() {
            STATUS
        } else if planned.reads_flags {
            planned.insn.rflags_read() & STATUS
        } else {
            0
        }
    }

    fn pass_once(&mut self, planned: &Planned, exchange: &Exchange) {
        if self.try_pass(planned, exchange).is_err() {
            // No plan should have what cannot be encoded. If one does, nothing of the instruction is done yet.
            self.free_host_flags();
            let site = self.site(SiteKind::Interpret(planned.insn.mnemonic()), self.index, 0);
            self.emit_leave(site);
        }
    }

    fn try_pass(&mut self, planned: &Planned, exchange: &Exchange) -> Result<(), NotPassed> {
        let insn = &planned.insn;
        let rotates = matches!(insn.mnemonic(), Mnemonic::Rol | Mnemonic::Ror) && insn.op1_kind() != OpKind::Register;
        if !rotates || !planned.live || shift_count(insn) < 2 {
            return self.e.pass(insn, exchange);
        }
        // OF is as after the last of so many rotations by 1, where the manuals leave it undefined.
        let (mut most, mut last) = (*insn, *insn);
        most.set_immediate8(shift_count(insn) as u8 - 1);
        last.set_immediate8(1);
        self.e.pass(&most, exchange)?;
        self.e.pass(&last, exchange)
    }

    /// Stores a scratch register to the slot of a guest register.
    pub(super) fn store_scratch(&mut self, scratch: u8, number: usize) {
        let Place::Slot(home) = PLACES[number] else { unreachable!("only operands in slots are stored") };
        dynasm!(self.e ; .arch x64 ; mov [BYTE rsp + slot(home)], Rq(scratch));
    }

    /// After an instruction that ran on the host: what is known of the flags now.
    pub(super) fn note_flags(&mut self, planned: &Planned) {
        if planned.sets == Sets::None {
            return;
        }
        if !planned.live {
            self.source = Source::Dead;
            self.host = STATUS;
            return;
        }
        if let (Some((step, size, result)), Source::At(flags)) = (step(&planned.insn), self.source) {
            self.source = Source::At(FlagsAt { base: flags.base, top: Some((step, size, result)) });
            return;
        }
        self.source = known(&planned.insn).filter(|_| planned.sets == Sets::All).map_or(Source::Host, Source::At);
        self.host = STATUS;
    }

    /// A move of what a mask enables, where all of the operand may be accessed: nothing else is. Where not, even an access
    /// bit may be one too many.
    pub(super) fn masked(&mut self, planned: &Planned) {
        let access = planned.access.expect("masks are for memory operands");
        self.access_or_interpret(planned, access);
        self.execute(planned, Exchange::new().memory(SCRATCH, 0));
    }

    pub(super) fn lea(&mut self, planned: &Planned) {
        let insn = &planned.insn;
        let target = insn.op0_register();
        self.protect(planned);
        self.offset(insn);
        let number = target.full_register().number();
        match (PLACES[number], target.size()) {
            (Place::Host(host), 8) => dynasm!(self.e ; .arch x64 ; mov Rq(host.number() as u8), r9),
            (Place::Host(host), 4) => dynasm!(self.e ; .arch x64 ; mov Rd(host.number() as u8), r9d),
            (Place::Host(host), _) => dynasm!(self.e ; .arch x64 ; mov Rw(host.number() as u8), r9w),
            (Place::Slot(home), 8) => dynasm!(self.e ; .arch x64 ; mov [BYTE rsp + slot(home)], r9),
            (Place::Slot(home), 4) => dynasm!(self.e ; .arch x64 ; mov r9d, r9d ; mov [BYTE rsp + slot(home)], r9),
            (Place::Slot(home), _) => dynasm!(self.e ; .arch x64 ; mov [BYTE rsp + slot(home)], r9w),
        }
    }
}

/// INC or DEC of a register: which, its bytes, and where the result is.
fn step(insn: &Instruction) -> Option<(Step, u8, Loc)> {
    let step = match insn.mnemonic() {
        Mnemonic::Inc => Step::Up,
        Mnemonic::Dec => Step::Down,
        _ => return None,
    };
    let (loc, size) = register(insn, 0)?;
    Some((step, size, loc))
}

/// A register operand that holds a value in its low bytes, and how many.
pub(super) fn register(insn: &Instruction, operand: u32) -> Option<(Loc, u8)> {
    if insn.op_kind(operand) != OpKind::Register {
        return None;
    }
    let register = insn.op_register(operand);
    let plain = register.is_gpr() && !is_high_byte(register);
    plain.then(|| (Loc::Register(register.full_register().number() as u8), register.size() as u8))
}

/// A register or immediate operand.
pub(super) fn value(insn: &Instruction, operand: u32) -> Option<Loc> {
    match insn.op_kind(operand) {
        OpKind::Register => register(insn, operand).map(|(loc, _)| loc),
        OpKind::Memory => None,
        _ => Some(Loc::Immediate(insn.immediate(operand) as i32)),
    }
}

/// The flags after an operation on registers, as a function of its operands, if they are still there.
fn known(insn: &Instruction) -> Option<FlagsAt> {
    let (a, size) = register(insn, 0)?;
    let flags = |kind, b| FlagsAt { base: Base::Known { kind, size, a, b }, top: None };
    let nothing = Loc::Immediate(0);
    match insn.mnemonic() {
        Mnemonic::Neg => return Some(flags(Kind::Negated, nothing)),
        Mnemonic::And | Mnemonic::Or | Mnemonic::Xor => return Some(flags(Kind::Logic, nothing)),
        Mnemonic::Cmp | Mnemonic::Sub | Mnemonic::Add => {}
        _ => return None,
    }
    let b = value(insn, 1)?;
    match (insn.mnemonic(), a == b) {
        (Mnemonic::Cmp, _) => Some(flags(Kind::Sub, b)),
        (Mnemonic::Sub, true) => Some(flags(Kind::Logic, nothing)),
        (Mnemonic::Sub, false) => Some(flags(Kind::SubResult, b)),
        (_, true) => None,
        (_, false) => Some(flags(Kind::AddResult, b)),
    }
}
