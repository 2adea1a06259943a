//! Two machines in lockstep: one configuration, the same inputs, two engines.
//!
//! The host sees the first machine only. Around its door stands [`Watched`], which keeps what entered and left. Every slice
//! of ticks the second machine runs to the same tick, with the inputs of the first one, and both are compared: all
//! registers, the digest of everything, what left them. Where they differ, the run ends, and [`narrow`] finds the instructions
//! after which they do.

mod door;
mod narrow;
mod runner;

use crate::differences::{PartDifference, differences};
use crate::engine::EngineKind;
use crate::inputs::{Inputs, NoImages};
use door::Watched;
pub use narrow::{Narrowed, narrow};
use reprise_core::clock::Tick;
use reprise_core::door::{Door, HostInput};
use reprise_core::machine::{Digest, End, Machine, MachineState};
use reprise_core::output::Output;
use reprise_core::state::StateError;
pub(crate) use runner::Runner;
use std::fmt;

/// Instructions between two states that are kept to begin again from.
const SAVE_INTERVAL: u64 = 300_000_000;

/// The machine that runs beside another one.
pub struct Lockstep {
    second: Machine,
    slice: Tick,
    /// What entered the first machine, for the second one.
    inputs: Inputs<NoImages>,
    /// All of that since the kept state.
    tape: Vec<(Tick, HostInput)>,
    /// A state in which both machines were, and its tick.
    kept: (MachineState, Tick),
    kept_icount: u64,
    /// What left the first machine since the last comparison.
    outputs: Vec<(Tick, Output)>,
    /// When they are compared next.
    next: Tick,
    /// Where they were the same.
    same: Tick,
    found: Option<Found>,
}

/// Where two machines were found to differ.
struct Found {
    differs: Tick,
    parts: Vec<PartDifference>,
}

/// How two engines differ.
#[derive(Debug)]
pub struct Difference {
    /// The last tick at which the machines are the same.
    pub same: Tick,
    /// A tick at which they differ.
    pub differs: Tick,
    /// The instructions in between, if the difference comes again from a saved state.
    pub instructions: Option<Vec<String>>,
    /// What differs.
    pub parts: Vec<PartDifference>,
    /// What the second engine made of the code in between.
    pub translated: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { same, differs, instructions, parts, translated } = self;
        writeln!(f, "the engines differ: the same at tick {same}, and not at tick {differs}")?;
        match instructions {
            Some(instructions) => instructions.iter().try_for_each(|line| writeln!(f, "  {line}"))?,
            None => writeln!(f, "  not so from a saved state: it depends on what the engine remembered")?,
        }
        for PartDifference { part, what, a, b } in parts {
            writeln!(f, "  {part}, {what}\n    first:  {a}\n    second: {b}")?;
        }
        match translated {
            Some(translated) => write!(f, "what the second engine executes there:\n{translated}"),
            None => write!(f, "the second engine has no code of its own there"),
        }
    }
}

impl Lockstep {
    /// Lets `second`, which is at power-on, run beside a machine like it, compared every `slice` ticks.
    ///
    /// If both run on the same engine, the caches of one should be perturbed.
    pub fn new(second: Machine, slice: Tick) -> Self {
        let mut inputs = Inputs::new(NoImages);
        inputs.keep_outputs();
        Self {
            kept: (second.save(), second.now()),
            kept_icount: second.icount(),
            next: second.now().saturating_add(slice),
            same: second.now(),
            second,
            slice,
            inputs,
            tape: Vec::new(),
            outputs: Vec::new(),
            found: None,
        }
    }

    /// Perturbs the caches of the second engine, if a seed is given, or if there is nothing else to compare.
    pub(crate) fn perturb(&mut self, seed: Option<u64>) {
        let alike = (EngineKind::COMPARED == EngineKind::Interp).then_some(1);
        if let Some(seed) = seed.or(alike) {
            self.second.perturb_caches(!seed);
        }
    }

    /// Runs `first`, and this machine beside it, until the first one ends, `until` is reached, or they differ. Then the end is
    /// [`End::Quit`], and [`is_different`](Self::is_different).
    pub fn run(&mut self, first: &mut Machine, door: &mut dyn Door, until: Tick) -> End {
        let end = first.run(&mut Watched { door, lockstep: self }, until);
        if self.found.is_none() {
            self.compare_ends(first, end);
        }
        end
    }

    /// Whether the two machines came to differ.
    pub fn is_different(&self) -> bool {
        self.found.is_some()
    }

    /// Finds out what makes them differ; both machines are somewhere else afterwards. `None` if nothing does.
    pub fn explain(&mut self, first: &mut Machine) -> Option<Result<Difference, StateError>> {
        let Found { differs, parts } = self.found.take()?;
        let interval = (self.same, differs);
        let narrowed = narrow::narrow(first, &mut self.second, &self.tape, &self.kept, interval);
        Some(narrowed.map(|narrowed| match narrowed {
            Some(Narrowed { from, to, instructions, parts, translated }) => {
                Difference { same: from, differs: to, instructions: Some(instructions), parts, translated }
            }
            None => Difference { same: interval.0, differs, instructions: None, parts, translated: None },
        }))
    }

    /// Something entered the first machine.
    fn note(&mut self, now: Tick, input: &HostInput) {
        self.tape.push((now, input.clone()));
        self.inputs.push(now, input.clone());
    }

    /// Lets the second machine come to where the first one is, and compares.
    fn compare(&mut self, first: &Machine, digest: Digest) {
        let now = first.now();
        let end = self.second.run(&mut self.inputs, now);
        let same = end == End::Until && self.second.digest() == digest;
        self.judge(first, same);
        self.next = now.saturating_add(self.slice);
        if self.found.is_none() && self.second.icount() - self.kept_icount >= SAVE_INTERVAL {
            self.keep();
        }
    }

    fn compare_ends(&mut self, first: &mut Machine, end: End) {
        let found = self.second.run(&mut self.inputs, first.now());
        // A machine that is told to end is found dead no more.
        let expected = if end == End::Dead { End::Until } else { end };
        let same = found == expected && self.second.fingerprint() == first.fingerprint();
        self.judge(first, same);
    }

    fn judge(&mut self, first: &Machine, same: bool) {
        let now = first.now();
        let outputs = self.inputs.take_outputs() == std::mem::take(&mut self.outputs);
        if same && outputs && self.second.now() == now && self.second.cpus == first.cpus {
            self.same = now;
            return;
        }
        let mut parts = differences(first, &self.second);
        if let Some(note) = self.inputs.note() {
            let (part, what) = ("inputs".into(), "the second machine".into());
            parts.push(PartDifference { part, what, a: String::new(), b: note.into() });
        }
        self.found = Some(Found { differs: now, parts });
    }

    /// Keeps the state in which both are.
    fn keep(&mut self) {
        self.kept = (self.second.save(), self.second.now());
        self.kept_icount = self.second.icount();
        self.tape.clear();
    }
}
