//! What runs a vCPU.

use crate::board::Board;
use crate::cpu::CpuState;

/// Why an engine came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The budget is used up.
    Budget,
    /// The board asked for it: a deadline, an interrupt line or the power state may have changed.
    Leave,
    /// The vCPU can do nothing until a signal comes: HLT, INIT or shutdown.
    Idle,
    /// PAUSE in a spin loop: another vCPU had better run.
    Pause,
    /// A probe of the board was hit; the state is that at an instruction boundary.
    Probe,
}

/// What one call of an engine did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Instructions retired, faulting attempts and acknowledged interrupts included; never more than the budget.
    pub retired: u64,
    /// Why it came back.
    pub exit: Exit,
}

/// What an engine made of one instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostCode {
    /// The guest's instruction pointer.
    pub rip: u64,
    /// The code that is executed.
    pub usual: Vec<u8>,
    /// The code that is executed if something rare happens.
    pub rare: Vec<u8>,
}

/// Runs one vCPU at a time.
///
/// Whatever an engine remembers between calls is a cache: two engines, or one whose caches were dropped, take the same
/// state to the same state.
pub trait Engine {
    /// Runs `cpu` for at most `budget` instructions from the tick `board.now`, taking signals of its local APIC at
    /// instruction boundaries. On return `board.now` has grown by the instructions retired.
    fn run(&mut self, cpu: &mut CpuState, board: &mut Board, budget: u64) -> Ran;

    /// Forgets everything remembered: state was changed from outside (restore, reset, debugger).
    fn flush(&mut self);

    /// From now on drops and shrinks caches at random moments drawn from `seed` (determinism contract, item 9).
    fn perturb_caches(&mut self, seed: u64);

    /// What it has counted of its own work, for people; `None` if it counts nothing.
    fn statistics(&self) -> Option<String> {
        None
    }

    /// What this engine makes of the code that `cpu` executes next, which is at `offset` in RAM: for people. Nothing, if it
    /// interprets it.
    fn describe(&self, _cpu: &CpuState, _board: &Board, _offset: u64) -> Vec<HostCode> {
        Vec::new()
    }
}
