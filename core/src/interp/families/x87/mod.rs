//! x87 instructions (SDM vol. 1, chapter 8 Programming with the x87 FPU): the register stack, its faults, tags and
//! conditions. The arithmetic itself is [`crate::softfloat`].
//!
//! Not modelled: FOP and FDP stay zero, and FCS and FDS are zero as on processors that deprecate them (CPUID leaf 7,
//! EBX bit 13); FERR# and the external error reporting of CR0.NE = 0: an unmasked exception raises #MF in any case.

mod arith;
mod compare;
mod environment;
mod function;
mod transfer;

use crate::cpu::{Exception, Vector, cr0};
use crate::interp::exec::{Exec, Outcome};
use crate::interp::op::{Lowering, Op};
use crate::softfloat::{Env, F80};

/// Status word bits (SDM vol. 1, 8.1.3 x87 FPU Status Register).
mod status {
    pub(super) const IE: u16 = 1 << 0;
    pub(super) const SF: u16 = 1 << 6;
    pub(super) const ES: u16 = 1 << 7;
    pub(super) const C0: u16 = 1 << 8;
    pub(super) const C1: u16 = 1 << 9;
    pub(super) const C2: u16 = 1 << 10;
    pub(super) const C3: u16 = 1 << 14;
    pub(super) const B: u16 = 1 << 15;
    pub(super) const CONDITIONS: u16 = C0 | C1 | C2 | C3;
}

impl Exec<'_> {
    /// What every x87 instruction checks first but those that control the unit: whether it is there, and whether an
    /// exception is waiting.
    fn x87_ready(&mut self) -> Outcome {
        self.x87_present()?;
        if self.cpu.x87.status & status::ES != 0 {
            return self.raise(Exception::new(Vector::X87Error));
        }
        Ok(())
    }

    /// Whether the unit may be used at all.
    fn x87_present(&mut self) -> Outcome {
        if self.cpu.cr0 & (cr0::EM | cr0::TS) != 0 {
            return self.raise(Exception::new(Vector::DeviceNotAvailable));
        }
        Ok(())
    }

    /// Remembers where an instruction that is no control instruction lies.
    fn note_pointer(&mut self, op: &Op) {
        self.cpu.x87.fip = self.cpu.regs.rip().wrapping_sub(u64::from(op.len));
    }

    fn x87_env(&self) -> Env {
        Env::from_control_word(self.cpu.x87.control)
    }

    /// Register number of ST(i).
    fn physical_register(&self, i: u8) -> usize {
        self.cpu.x87.physical(i)
    }

    fn st(&self, i: u8) -> F80 {
        self.cpu.x87.regs[self.physical_register(i)]
    }

    fn is_empty(&self, i: u8) -> bool {
        self.cpu.x87.empty >> self.physical_register(i) & 1 != 0
    }

    fn set_st(&mut self, i: u8, value: F80) {
        let register = self.physical_register(i);
        self.cpu.x87.regs[register] = value;
        self.cpu.x87.empty &= !(1 << register);
    }

    fn free_st(&mut self, i: u8) {
        self.cpu.x87.empty |= 1 << self.physical_register(i);
    }

    /// Moves the top of the stack by `by` registers.
    fn rotate_stack(&mut self, by: i16) {
        let top = (self.cpu.x87.status >> 11).wrapping_add(by as u16) & 7;
        self.cpu.x87.status = self.cpu.x87.status & !(7 << 11) | top << 11;
    }

    fn pop_st(&mut self) {
        self.free_st(0);
        self.rotate_stack(1);
    }

    fn pop_times(&mut self, times: u8) {
        for _ in 0..times {
            self.pop_st();
        }
    }

    /// Pushes a value; a full stack is a fault, of which the masked answer is the indefinite. False if nothing was
    /// pushed.
    fn push_st(&mut self, value: F80) -> bool {
        let full = !self.is_empty(7);
        if full && !self.stack_fault(true) {
            return false;
        }
        self.rotate_stack(-1);
        self.set_st(0, if full { F80::INDEFINITE } else { value });
        true
    }

    /// Raises a stack fault; true if it is masked.
    fn stack_fault(&mut self, overflow: bool) -> bool {
        let x87 = &mut self.cpu.x87;
        x87.status = x87.status & !status::C1 | status::IE | status::SF | if overflow { status::C1 } else { 0 };
        self.update_summary();
        self.cpu.x87.control & status::IE != 0
    }

    /// Puts what an operation raised, and C1, into the status word. Nothing else changes here.
    fn finish_x87(&mut self, env: &mut Env) {
        env.settle();
        let x87 = &mut self.cpu.x87;
        let c1 = if env.c1 { status::C1 } else { 0 };
        x87.status = x87.status & !status::C1 | c1 | u16::from(env.flags.bits());
        self.update_summary();
    }

    fn update_summary(&mut self) {
        self.cpu.x87.update_summary();
    }

    fn set_conditions(&mut self, conditions: u16) {
        self.cpu.x87.status = self.cpu.x87.status & !status::CONDITIONS | conditions;
    }
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    arith::lower(l)
        .or_else(|| transfer::lower(l))
        .or_else(|| compare::lower(l))
        .or_else(|| function::lower(l))
        .or_else(|| environment::lower(l))
}
