//! From a slice in which two engines came to differ to the fewest instructions that make them.
//!
//! Engines are not functions of the state alone: they cut code into blocks from where they begin, and what is cut in the
//! middle may be executed in another way, and right. So an interval is searched for: from a state in which both are put, to a tick
//! at which they differ. Its end is moved down first, then its start up.

use crate::differences::{PartDifference, differences};
use crate::disassembly::{next_instruction, translated};
use crate::inputs::{Inputs, NoImages};
use reprise_core::clock::Tick;
use reprise_core::cpu::Activity;
use reprise_core::door::HostInput;
use reprise_core::machine::{Machine, MachineState};
use reprise_core::state::StateError;

/// Most instructions that are shown.
const SHOWN: Tick = 40;

/// The shortest interval that was found.
pub struct Narrowed {
    /// A tick at which both machines are the same.
    pub from: Tick,
    /// The first tick at which they differ then.
    pub to: Tick,
    /// The instructions in between.
    pub instructions: Vec<String>,
    /// What differs at the end.
    pub parts: Vec<PartDifference>,
    /// What the second engine made of the code at the start.
    pub translated: Option<String>,
}

/// Two machines, and what enters both.
struct Pair<'a> {
    first: &'a mut Machine,
    second: &'a mut Machine,
    tape: &'a [(Tick, HostInput)],
}

/// Where both are put.
struct From {
    state: MachineState,
    tick: Tick,
}

/// Narrows the ticks `same` to `differs` between which two machines with these inputs come to differ, if they begin at `same`
/// or in the state and at the tick of `kept`; `None` if they do not differ this time. Both are somewhere else afterwards.
pub fn narrow(
    first: &mut Machine,
    second: &mut Machine,
    tape: &[(Tick, HostInput)],
    kept: &(MachineState, Tick),
    (same, differs): (Tick, Tick),
) -> Result<Option<Narrowed>, StateError> {
    // What runs seldom would be interpreted otherwise.
    second.perturb_caches(differs);
    let mut pair = Pair { first, second, tape };
    let mut from = From { state: kept.0.clone(), tick: kept.1 };
    let later = pair.later(&from, same)?;
    if pair.differ(&later, differs)? {
        from = later;
    } else if !pair.differ(&from, differs)? {
        return Ok(None);
    }
    let to = pair.earliest_end(&from, differs)?;
    let from = pair.latest_start(from, to)?;
    pair.describe(&from, to).map(Some)
}

impl Pair<'_> {
    /// The first machine's state at `tick`.
    fn later(&mut self, from: &From, tick: Tick) -> Result<From, StateError> {
        run(self.first, self.tape, from, tick)?;
        Ok(From { state: self.first.save(), tick })
    }

    /// Whether the machines differ at `to` if both begin at `from`.
    fn differ(&mut self, from: &From, to: Tick) -> Result<bool, StateError> {
        run(self.first, self.tape, from, to)?;
        run(self.second, self.tape, from, to)?;
        Ok(self.first.now() != self.second.now() || self.first.fingerprint() != self.second.fingerprint())
    }

    fn earliest_end(&mut self, from: &From, mut differs: Tick) -> Result<Tick, StateError> {
        let mut same = from.tick;
        while differs - same > 1 {
            let middle = same + (differs - same) / 2;
            if self.differ(from, middle)? { differs = middle } else { same = middle }
        }
        Ok(differs)
    }

    fn latest_start(&mut self, mut from: From, to: Tick) -> Result<From, StateError> {
        let mut late = to;
        while late - from.tick > 1 {
            let middle = self.later(&from, from.tick + (late - from.tick) / 2)?;
            if self.differ(&middle, to)? { from = middle } else { late = middle.tick }
        }
        Ok(from)
    }

    fn describe(&mut self, from: &From, to: Tick) -> Result<Narrowed, StateError> {
        let instructions = self.listing(from, to)?;
        let before = self.first.cpus.clone();
        self.differ(from, to)?;
        let parts = differences(self.first, self.second);
        let translated = before.iter().find_map(|cpu| translated(self.second, cpu));
        Ok(Narrowed { from: from.tick, to, instructions, parts, translated })
    }

    /// The instructions between; the first machine is at the start again afterwards.
    fn listing(&mut self, from: &From, to: Tick) -> Result<Vec<String>, StateError> {
        let mut lines = Vec::new();
        for tick in from.tick..to.min(from.tick.saturating_add(SHOWN)) {
            let at = self.later(from, tick)?;
            let (cpu, _) = self.first.turn();
            let cpu = &self.first.cpus[cpu];
            let text = match cpu.activity {
                Activity::Running => next_instruction(&self.first.board, cpu),
                Activity::Halted | Activity::WaitForSipi | Activity::Shutdown => format!("({:?})", cpu.activity),
            };
            lines.push(format!("tick {}, vCPU {}, rip {:#x}: {text}", at.tick, cpu.index, cpu.regs.rip()));
        }
        self.first.load(&from.state)?;
        Ok(lines)
    }
}

/// Puts `machine` at `from`, and runs it to `to`, or to its end.
fn run(machine: &mut Machine, tape: &[(Tick, HostInput)], from: &From, to: Tick) -> Result<(), StateError> {
    machine.load(&from.state)?;
    let mut inputs = Inputs::new(NoImages);
    tape.iter().filter(|(tick, _)| *tick > from.tick).for_each(|(tick, input)| inputs.push(*tick, input.clone()));
    machine.run(&mut inputs, to);
    Ok(())
}
