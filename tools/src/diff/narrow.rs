//! Replaying two recordings side by side, to the first instruction after which their machines differ.
//!
//! Both run to the last tick at which they are known to be the same, and are saved there. The interval up to a tick at
//! which they differ is then halved: both run to its middle, and by whether they are the same there, either half remains.
//! A state at a tick is what is there after everything that is due at that tick, and before the next instruction.
//!
//! A machine that differs because something that is no input reached it may differ elsewhere at each attempt. So what the
//! replays show counts, not what digests in the recordings say; and if the replays agree, at least one of the recordings
//! is not of the run that it replays to.

use super::playback::Playback;
use crate::cli::DiffPlan;
use crate::differences::{self, PartDifference};
use crate::disassembly::next_instruction;
use crate::engine::MakeEngine;
use crate::progress::Progress;
use anyhow::Result;
use reprise_core::clock::Tick;
use reprise_core::cpu::CpuState;
use reprise_core::machine::Digest;
use reprise_replay::format::DIGEST_INTERVAL;
use serde::Serialize;
use std::path::Path;

/// What replaying showed.
pub(super) enum Narrowed {
    /// The machines are the same at this tick, and have this digest.
    Same(Tick, Digest),
    /// They are not.
    Different(Box<First>),
}

/// The first tick at which two machines differ.
#[derive(Debug, Serialize)]
pub(super) struct First {
    /// The tick.
    pub tick: Tick,
    /// Instructions retired up to there; in the one machine, if that differs.
    pub icount: u64,
    /// The instruction before it; `None` if no vCPU executed one.
    pub instruction: Option<Instruction>,
    /// The inputs at that tick, in either recording.
    pub inputs: [Vec<String>; 2],
    /// What differs.
    pub parts: Vec<PartDifference>,
}

/// An instruction that a vCPU executed.
#[derive(Debug, Serialize)]
pub(super) struct Instruction {
    /// Which vCPU.
    pub cpu: usize,
    /// Its address.
    pub rip: u64,
    /// Itself, in Intel's syntax.
    pub text: String,
}

/// Two replays that keep step.
struct Pair {
    a: Playback,
    b: Playback,
}

impl Pair {
    /// Both at the first tick.
    fn start(a: &Path, b: &Path, engine: MakeEngine) -> Result<Self> {
        let mut pair = Self { a: Playback::open(a, engine)?, b: Playback::open(b, engine)? };
        pair.go(0)?;
        Ok(pair)
    }

    fn go(&mut self, tick: Tick) -> Result<()> {
        self.a.go(tick)?;
        self.b.go(tick)
    }

    /// Runs on to `tick` in steps, so that neither takes much of its recording into memory at once.
    fn go_slowly(&mut self, tick: Tick, progress: &mut Progress) -> Result<()> {
        while self.a.position() < tick {
            self.go(tick.min(self.a.position() + DIGEST_INTERVAL))?;
            progress.at(self.a.position());
        }
        Ok(())
    }

    fn are_the_same(&mut self) -> bool {
        self.a.machine.fingerprint() == self.b.machine.fingerprint()
    }

    fn save(&mut self) {
        self.a.save();
        self.b.save();
    }

    fn restore(&mut self) -> Result<()> {
        self.a.restore()?;
        self.b.restore()
    }
}

/// What replaying showed, and what was odd about it.
pub(super) struct Replayed {
    pub(super) outcome: Narrowed,
    /// What the machines asked for and the recordings do not have.
    pub(super) notes: Vec<String>,
}

/// Finds the first tick at which the machines of the two recordings of `plan` differ; `same` is where they probably are
/// still the same, and `different` where they probably are not.
pub(super) fn narrow(plan: &DiffPlan, engine: MakeEngine, same: Tick, different: Tick) -> Result<Replayed> {
    let start = || Pair::start(&plan.a, &plan.b, engine);
    let mut pair = start()?;
    let outcome = if pair.are_the_same() {
        let (low, high) = pair.run_apart(&start, same, different)?;
        if pair.are_the_same() { Narrowed::Same(high, pair.a.machine.digest()) } else { pair.halve(low, high)? }
    } else {
        Narrowed::Different(Box::new(pair.first(None)?))
    };
    let notes = [("A", pair.a.note()), ("B", pair.b.note())];
    let notes = notes.into_iter().filter_map(|(side, note)| Some(format!("{side}: {}", note?)));
    Ok(Replayed { outcome, notes: notes.collect() })
}

impl Pair {
    /// Runs to the end of the interval, saved at its start; the interval is an earlier one if its start is too late.
    fn run_apart(&mut self, start: &dyn Fn() -> Result<Self>, same: Tick, different: Tick) -> Result<(Tick, Tick)> {
        let mut progress = Progress::new("replaying both", different);
        self.go_slowly(same, &mut progress)?;
        let (mut low, mut high) = (same, different);
        if !self.are_the_same() {
            (low, high) = (0, same);
            *self = start()?;
        }
        self.save();
        self.go_slowly(high, &mut progress)?;
        Ok((low, high))
    }

    /// Halves the interval from `low`, where both are saved, until it is one tick.
    fn halve(&mut self, mut low: Tick, mut high: Tick) -> Result<Narrowed> {
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            self.restore()?;
            self.go(middle)?;
            if self.are_the_same() {
                low = middle;
                self.save();
            } else {
                high = middle;
            }
        }
        self.restore()?;
        let instruction = self.step(high)?;
        Ok(Narrowed::Different(Box::new(self.first(instruction)?)))
    }

    /// Runs the one tick to `tick`; what was executed.
    fn step(&mut self, tick: Tick) -> Result<Option<Instruction>> {
        let before = self.a.machine.cpus.clone();
        let texts: Vec<_> = before.iter().map(|cpu| next_instruction(&self.a.machine.board, cpu)).collect();
        let icount = self.a.machine.icount();
        self.go(tick)?;
        if self.a.machine.icount() == icount {
            return Ok(None);
        }
        let cpu = who_ran(&before, &self.a.machine.cpus);
        Ok(cpu.map(|cpu| Instruction { cpu, rip: before[cpu].regs.rip(), text: texts[cpu].clone() }))
    }

    fn first(&mut self, instruction: Option<Instruction>) -> Result<First> {
        let tick = self.a.position();
        let inputs = [self.a.inputs_at(tick)?, self.b.inputs_at(tick)?];
        let (a, b) = (&self.a.machine, &self.b.machine);
        Ok(First { tick, icount: a.icount(), instruction, inputs, parts: differences::differences(a, b) })
    }
}

/// The vCPU that executed the one instruction between two states: it is not as it was. One that jumped to itself looks
/// as before; then it is the only one that could run.
fn who_ran(before: &[CpuState], after: &[CpuState]) -> Option<usize> {
    let changed = before.iter().zip(after).position(|(before, after)| before != after);
    changed.or((before.len() == 1).then_some(0))
}
