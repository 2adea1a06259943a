//! An engine with a fault, to show that comparing engines finds it.

use reprise_core::board::Board;
use reprise_core::clock::Tick;
use reprise_core::cpu::{CpuState, Model, reg};
use reprise_core::engine::{Engine, Exit, HostCode, Ran};
use reprise_core::interp::Interpreter;

/// The tick whose instruction is executed wrongly.
pub const TICK: Tick = 234_567;
/// The fault shows only if this many instructions before it, and one after it, are executed in one run, as in a block of
/// translated code.
pub const BLOCK: u64 = 3;

/// An interpreter that at tick [`TICK`] inverts a bit of RBX.
pub struct Planted {
    inner: Interpreter,
}

impl Planted {
    /// One for CPUs of `model`.
    #[must_use]
    pub fn make(model: &'static Model) -> Box<dyn Engine> {
        Box::new(Self { inner: Interpreter::new(model) })
    }

    fn run_apart(&mut self, cpu: &mut CpuState, board: &mut Board, budget: u64) -> Ran {
        let before = TICK - board.now;
        let ran = self.inner.run(cpu, board, before);
        if ran.retired < before || ran.exit != Exit::Budget {
            return ran;
        }
        cpu.regs.set(reg::RBX, cpu.regs.get(reg::RBX) ^ 0x10);
        let rest = self.inner.run(cpu, board, budget - before);
        Ran { retired: ran.retired + rest.retired, exit: rest.exit }
    }
}

impl Engine for Planted {
    fn run(&mut self, cpu: &mut CpuState, board: &mut Board, budget: u64) -> Ran {
        let (start, end) = (board.now, board.now.saturating_add(budget));
        if start + BLOCK <= TICK && TICK < end {
            self.run_apart(cpu, board, budget)
        } else {
            self.inner.run(cpu, board, budget)
        }
    }

    fn flush(&mut self) {
        self.inner.flush();
    }

    fn perturb_caches(&mut self, seed: u64) {
        self.inner.perturb_caches(seed);
    }

    fn describe(&self, cpu: &CpuState, _board: &Board, _offset: u64) -> Vec<HostCode> {
        // XOR RBX, 10h.
        vec![HostCode { rip: cpu.regs.rip(), usual: vec![0x48, 0x83, 0xf3, 0x10], rare: Vec::new() }]
    }
}
