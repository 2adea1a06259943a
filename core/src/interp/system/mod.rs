//! The system side of the CPU: exceptions and interrupts, segments, control registers, privilege.

use super::exec::Exec;
use super::op::{Lowering, Op};
use crate::cpu::Exception;

/// What a careful step must remember from before the instruction.
pub(super) struct Before {}

impl Exec<'_> {
    /// Delivers an exception; RIP is that of the faulting instruction.
    pub(super) fn deliver_exception(&mut self, _exception: Exception) {
        self.board.power(crate::output::PowerEvent::TripleFault);
        self.cpu.activity = crate::cpu::Activity::Shutdown;
    }

    /// At an instruction boundary: takes what waits there, in the order of priority (SDM vol. 3, table 6-2).
    pub(super) fn take_signals(&mut self) {}

    /// Whether a debug register watches instruction fetches.
    pub(super) fn watches_code(&self) -> bool {
        false
    }

    /// Raises #DB if a debug register watches the next instruction; true if it did.
    pub(super) fn code_breakpoint(&mut self) -> bool {
        false
    }

    /// Before an instruction that is executed with care.
    pub(super) fn before_step(&mut self) -> Before {
        Before {}
    }

    /// After an instruction that was executed with care.
    pub(super) fn after_step(&mut self, _before: Before) {}

    /// Notes an access to data that a debug register watches; the trap comes after the instruction.
    pub(super) fn note_watched(&mut self, _linear: u64, _size: usize, _write: bool) {}
}

pub(super) fn lower(_l: &Lowering<'_>) -> Option<Op> {
    None
}
