//! The JIT: translates guest x86-64 code to host x86-64 code, beside the interpreter, with the same results to the last bit
//! while every instruction is counted.
//!
//! Nothing here can reach the host's clock, files, threads, environment or randomness, and nothing that the guest can see
//! depends on where translated code lies. `unsafe` is denied but for the two modules that need it: [`code_memory`], which maps
//! memory, and [`enter`], which calls into it.
#![allow(clippy::useless_conversion, reason = "dynasm converts every register number that is not known before")]
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

pub mod code_memory;
pub mod emitter;
pub mod enter;
pub mod instruments;
pub mod leaves;
pub mod listing;
pub mod profile;
pub mod registers;
pub mod stats;

mod blocks;
mod dispatch;
mod site;
mod translate;
mod variant;
mod x87;

use dispatch::Dispatcher;
use instruments::Instruments;
use reprise_core::board::Board;
use reprise_core::cpu::{CpuState, Model};
use reprise_core::engine::{Engine, HostCode, Ran};
use reprise_core::interp::Interpreter;
use stats::JitStats;

/// Bytes of code memory, unless said otherwise.
pub const CODE_BYTES: usize = 128 << 20;

/// What the host's processor can do, as far as translated code makes use of it. It decides how fast a guest runs, and
/// never what it computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostFeatures {
    /// AVX and AVX2, and the operating system saves their registers.
    pub avx2: bool,
    /// All of x86-64-v3: AVX, AVX2, FMA, F16C, BMI1, BMI2, LZCNT and MOVBE. Without it code that uses them is interpreted.
    pub v3: bool,
}

/// The engine that translates what is run often, and interprets the rest.
pub struct Jit {
    interpreter: Interpreter,
    dispatcher: Dispatcher,
}

impl Jit {
    /// An engine for CPUs of `model` with `bytes` bytes of code memory, at least 1 MiB.
    ///
    /// # Errors
    ///
    /// What the host says when it refuses the memory.
    pub fn new(model: &'static Model, host: HostFeatures, bytes: usize) -> std::io::Result<Self> {
        let dispatcher = Dispatcher::new(model, bytes, host)?;
        Ok(Self { interpreter: Interpreter::new(model), dispatcher })
    }

    /// Lends it instruments. Before it has run, so that they miss nothing.
    pub fn instrument(&mut self, instruments: Instruments) {
        self.dispatcher.instrument(instruments);
    }

    /// What it has counted so far.
    pub fn stats(&self) -> &JitStats {
        self.dispatcher.stats()
    }
}

impl Engine for Jit {
    fn run(&mut self, cpu: &mut CpuState, board: &mut Board, budget: u64) -> Ran {
        self.interpreter.run_with(&mut self.dispatcher, cpu, board, budget)
    }

    fn flush(&mut self) {
        self.interpreter.flush();
    }

    fn describe(&self, cpu: &CpuState, board: &Board, offset: u64) -> Vec<HostCode> {
        listing::describe(cpu, board, offset, self.dispatcher.variant_of(cpu), self.dispatcher.model())
    }

    fn statistics(&self) -> Option<String> {
        Some(self.stats().to_string())
    }

    fn perturb_caches(&mut self, seed: u64) {
        self.interpreter.perturb_caches(seed);
        self.dispatcher.translate_at_once();
    }
}
