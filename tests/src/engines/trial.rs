//! A trial: a few programs, one after the other, on two machines that differ in their engine.
//!
//! The first machine runs each step in one piece on the interpreter. The second one runs on the other engine, in the same piece
//! or in odd ones; its caches are dropped and shrunk at random moments. Between steps both are disturbed alike: new registers,
//! returns from handlers, NMIs, writes to code, page tables and data. All registers are compared after each step, all of RAM
//! now and then. The machines are not made anew for the next program, so what an engine remembers of the last one is tested, too.

use super::program::Program;
use super::{compared, cramped, reference};
use reprise::differences::{PartDifference, differences};
use reprise::disassembly::{next_instruction, translated};
use reprise::engine::MakeEngine;
use reprise::lockstep::{Narrowed, narrow};
use reprise_core::board::Board;
use reprise_core::clock::Tick;
use reprise_core::cpu::model::MODELS;
use reprise_core::cpu::{Activity, CpuState, Model};
use reprise_core::door::Script;
use reprise_core::machine::{BootImage, End, Machine};
use reprise_silicon::generate::{Generator, Random};
use std::fmt;

/// Programs of a trial.
const PROGRAMS: u64 = 5;
/// Steps of a program.
const STEPS: u64 = 80;
/// Steps between two comparisons of RAM.
const RAM_INTERVAL: u64 = 24;
/// RAM of the machines.
const RAM: u64 = 4 << 20;
/// Instructions before a difference that are shown.
const SHOWN: usize = 32;

/// Makes trials.
pub struct Trials {
    generator: Generator,
    /// What is compared with the interpreter: one or the other.
    others: [MakeEngine; 2],
    start: Tick,
}

/// Where a trial ends early, if it does: a step, and how many ticks of it.
pub type Stop = Option<(u64, Tick)>;

/// What became of a trial.
pub struct Outcome {
    /// Instructions that were executed, on either machine.
    pub instructions: u64,
    /// What differed.
    pub difference: Option<Box<Difference>>,
}

/// A difference between two engines.
pub struct Difference {
    /// The trial's seed.
    pub seed: u64,
    /// The program, for people.
    pub program: String,
    /// The step in which the machines came to differ.
    pub step: u64,
    /// Ticks of that step after which they did.
    pub ticks: Tick,
    /// Whether it comes in machines that did nothing before this step, too.
    pub alone: bool,
    /// The fewest instructions of which it comes; or the last ones, latest last.
    pub code: Vec<String>,
    /// What differs.
    pub parts: Vec<PartDifference>,
    /// What the second engine made of the code where the step began.
    pub translated: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, program, step, ticks, alone, code, parts, translated } = self;
        writeln!(f, "the engines differ: seed {seed}, {program}, after {ticks} ticks of step {step}")?;
        let why = if *alone { "it is enough to execute" } else { "it depends on what came before; executed last" };
        writeln!(f, "{why}:")?;
        code.iter().try_for_each(|line| writeln!(f, "  {line}"))?;
        for PartDifference { part, what, a, b } in parts {
            writeln!(f, "{part}, {what}\n  interpreter: {a}\n  other:       {b}")?;
        }
        if let Some(translated) = translated {
            writeln!(f, "the other engine's code where the step began:\n{translated}")?;
        }
        write!(f, "to reproduce: cargo run --release -p reprise-tests --bin engine-soak 1 {seed}")
    }
}

impl Default for Trials {
    fn default() -> Self {
        Self { others: [compared(), cramped()], ..Self::new(compared()) }
    }
}

impl Trials {
    /// Of the interpreter and another engine.
    #[must_use]
    pub fn new(other: MakeEngine) -> Self {
        Self { generator: Generator::new(), others: [other; 2], start: 0 }
    }

    /// The same, but the clocks of the machines begin at this tick.
    #[must_use]
    pub fn from_tick(self, start: Tick) -> Self {
        Self { start, ..self }
    }

    /// Runs the trial of a seed.
    #[must_use]
    pub fn run(&self, seed: u64) -> Outcome {
        let mut trial = Trial::new(self, seed);
        let instructions = |trial: &Trial<'_>| trial.first.icount();
        match trial.run(None, &mut |_, _| {}) {
            None => Outcome { instructions: instructions(&trial), difference: None },
            Some(at) => {
                let difference = Some(Box::new(self.explain(seed, at)));
                Outcome { instructions: instructions(&trial), difference }
            }
        }
    }

    /// Runs the trial of a seed, or the part of it before `stop`, and tells of each step and its length before it begins. For
    /// an engine that may take the process with it.
    pub fn run_aloud(&self, seed: u64, stop: Stop, tell: &mut dyn FnMut(u64, Tick)) {
        Trial::new(self, seed).run(stop, tell);
    }

    /// The program of a step, and the last instructions of so many of its ticks. The second engine is not asked.
    #[must_use]
    pub fn code_of(seed: u64, (step, ticks): (u64, Tick)) -> (String, Vec<String>) {
        let trials = Self::new(reference());
        let mut before = Trial::new(&trials, seed);
        before.run(Some((step, 0)), &mut |_, _| {});
        (before.what.clone(), before.listing(ticks))
    }

    /// Finds how much of the step `at` it takes, and describes what differs then.
    fn explain(&self, seed: u64, at: (u64, Tick)) -> Difference {
        let (step, length) = self.first_step(seed, at);
        let differs = |ticks| Trial::new(self, seed).run(Some((step, ticks)), &mut |_, _| {}).is_some();
        let (mut same, mut differing) = (0, length);
        while differing - same > 1 {
            let middle = same + (differing - same) / 2;
            if differs(middle) { differing = middle } else { same = middle }
        }
        let mut trial = Trial::new(self, seed);
        trial.run(Some((step, differing)), &mut |_, _| {});
        let mut before = Trial::new(self, seed);
        before.run(Some((step, 0)), &mut |_, _| {});
        let (program, ticks) = (trial.what.clone(), differing);
        if let Some(Narrowed { instructions, parts, translated, .. }) = self.alone(&before, differing) {
            return Difference { seed, program, step, ticks, alone: true, code: instructions, parts, translated };
        }
        let parts = differences(&trial.first, &trial.second);
        let translated = trial.before.iter().find_map(|cpu| translated(&trial.second, cpu));
        Difference { seed, program, step, ticks, alone: false, code: before.listing(ticks), parts, translated }
    }

    /// The first step in which the machines come to differ in anything: memory is not compared after each.
    fn first_step(&self, seed: u64, (step, length): (u64, Tick)) -> (u64, Tick) {
        let starts_differently = |step| Trial::new(self, seed).run(Some((step, 0)), &mut |_, _| {}).is_some();
        if !starts_differently(step) {
            return (step, length);
        }
        let (mut same, mut different) = (0, step);
        while different - same > 1 {
            let middle = same + (different - same) / 2;
            if starts_differently(middle) { different = middle } else { same = middle }
        }
        let mut lengths = Vec::new();
        Trial::new(self, seed).run(Some((different, 0)), &mut |_, length| lengths.push(length));
        (same, lengths[same as usize])
    }

    /// The shortest part of the step of which the difference comes, if it comes in machines that did nothing before.
    fn alone(&self, before: &Trial<'_>, ticks: Tick) -> Option<Narrowed> {
        let cpus = before.first.cpus.len() as u32;
        let [mut first, mut second] = [reference(), before.other].map(|engine| machine(engine, before.model, cpus));
        let (state, now) = (before.first.save(), before.first.now());
        let narrowed = narrow(&mut first, &mut second, &[], &(state, now), (now, now + ticks));
        narrowed.expect("the machines are alike")
    }
}

struct Trial<'a> {
    trials: &'a Trials,
    random: Random,
    /// How the second machine is cut.
    cuts: Random,
    first: Machine,
    second: Machine,
    other: MakeEngine,
    model: &'static Model,
    /// How often in a hundred steps the second engine's caches are dropped.
    drops: u64,
    step: u64,
    /// The vCPUs before the current step.
    before: Vec<CpuState>,
    what: String,
}

impl<'a> Trial<'a> {
    fn new(trials: &'a Trials, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let model = &MODELS[random.below(MODELS.len() as u64) as usize];
        let cpus = if random.percent(80) { 1 } else { 2 + random.below(2) as u32 };
        let other = trials.others[usize::from(random.percent(30))];
        let [mut first, mut second] = [reference(), other].map(|engine| machine(engine, model, cpus));
        (first.board.now, second.board.now) = (trials.start, trials.start);
        if random.percent(50) {
            second.perturb_caches(random.next());
        }
        let drops = random.pick(&[0, 0, 2, 20]);
        let cuts = Random::new(random.next());
        let what = String::new();
        Self { trials, random, cuts, first, second, other, model, drops, step: 0, before: Vec::new(), what }
    }

    /// Runs the whole trial, or to `stop`; the step in which the machines came to differ, and its length.
    fn run(&mut self, stop: Stop, tell: &mut dyn FnMut(u64, Tick)) -> Option<(u64, Tick)> {
        for _ in 0..PROGRAMS {
            let program = self.program();
            self.what.clone_from(&program.what);
            for (address, bytes) in &program.memory {
                self.write(*address, bytes);
            }
            self.each_cpu(|random, cpu| program.restart(random, cpu));
            for _ in 0..STEPS {
                self.disturb(&program);
                let length = self.length(program.longest);
                self.before.clone_from(&self.first.cpus);
                tell(self.step, length);
                let stopped = stop.filter(|(step, _)| *step == self.step);
                let ended = self.advance(stopped.map_or(length, |(_, ticks)| ticks.min(length)));
                if !(ended && self.is_same(stopped.is_some())) {
                    return Some((self.step, length));
                }
                if stopped.is_some() {
                    return None;
                }
                self.step += 1;
            }
        }
        None
    }

    fn program(&mut self) -> Program {
        let cpus = self.first.cpus.len() as u32;
        if cpus == 1 && self.random.percent(35) {
            return Program::sequence(&self.trials.generator, &mut self.random, self.model);
        }
        Program::any(&mut self.random, self.model, cpus)
    }

    fn write(&mut self, address: u64, bytes: &[u8]) {
        self.first.board.dma_write(address, bytes);
        self.second.board.dma_write(address, bytes);
    }

    /// Changes each vCPU in both machines alike.
    fn each_cpu(&mut self, mut change: impl FnMut(&mut Random, &mut CpuState)) {
        for (first, second) in self.first.cpus.iter_mut().zip(&mut self.second.cpus) {
            change(&mut self.random, first);
            second.clone_from(first);
        }
    }

    /// What happens between two steps.
    fn disturb(&mut self, program: &Program) {
        for index in 0..self.first.cpus.len() {
            let stopped = self.first.cpus[index].activity != Activity::Running;
            if stopped && self.random.percent(40) {
                let mut cpu = self.first.cpus[index].clone();
                if let Some((address, bytes)) = program.resume(&mut self.random, &mut cpu) {
                    self.write(address, &bytes);
                    self.set_cpu(index, cpu);
                    continue;
                }
            }
            if stopped || self.random.percent(4) {
                let mut cpu = self.first.cpus[index].clone();
                program.restart(&mut self.random, &mut cpu);
                self.set_cpu(index, cpu);
            }
        }
        if self.random.percent(4) {
            let (from, to) = program.disturbed[self.random.below(program.disturbed.len() as u64) as usize];
            let bytes = self.random.next().to_le_bytes();
            let (address, length) = (from + self.random.below(to - from), 1 + self.random.below(8) as usize);
            self.write(address, &bytes[..length]);
        }
        let cpu = self.random.below(self.first.cpus.len() as u64) as usize;
        if self.random.percent(2) {
            self.first.board.apics[cpu].state.nmi = true;
            self.second.board.apics[cpu].state.nmi = true;
        }
        if self.random.percent(6) {
            self.interrupt(cpu);
        }
        if self.random.percent(self.drops) {
            self.second.drop_caches();
        }
    }

    /// Lets the local APIC of a vCPU interrupt it: at once, or after some ticks.
    fn interrupt(&mut self, cpu: usize) {
        let vector = 0x20 + self.random.below(0xe0) as u32;
        // The end of two earlier ones, and that the local APIC is enabled.
        let mut writes = vec![(0xb0, 0), (0xb0, 0), (0xf0, 0x1ff)];
        if self.random.percent(50) {
            writes.push((0x300, 0x4_0000 | vector));
        } else {
            let count = 1 + self.random.below(300) as u32;
            writes.extend([(0x3e0, 0xb), (0x320, vector), (0x380, count)]);
        }
        for (offset, value) in writes {
            self.first.board.apic_write(cpu, offset, value);
            self.second.board.apic_write(cpu, offset, value);
        }
    }

    fn set_cpu(&mut self, index: usize, cpu: CpuState) {
        self.first.cpus[index].clone_from(&cpu);
        self.second.cpus[index] = cpu;
    }

    fn length(&mut self, longest: Tick) -> Tick {
        let length = self.random.pick(&[1, 2, 3, 5, 7, 20, 20, 60, 60, 200, 200, 1000]);
        let length = if self.random.percent(2) { longest } else { length };
        length.min(longest) + self.random.below(length)
    }

    /// Runs both machines for so many ticks; false if they ended differently.
    fn advance(&mut self, length: Tick) -> bool {
        if length == 0 {
            return true;
        }
        let until = self.first.now() + length;
        let expected = self.first.run(&mut Script::default(), until);
        let most = match self.cuts.below(10) {
            0 => 1,
            1 => 3,
            2 => 7,
            3 => 40,
            _ => Tick::MAX,
        };
        loop {
            let piece = if most == Tick::MAX { until } else { self.second.now() + 1 + self.cuts.below(most) };
            let end = self.second.run(&mut Script::default(), piece.min(until));
            if end != End::Until || self.second.now() >= until {
                return end == expected;
            }
        }
    }

    fn is_same(&mut self, thoroughly: bool) -> bool {
        let now = |machine: &Machine| (machine.now(), machine.icount());
        self.first.cpus == self.second.cpus
            && now(&self.first) == now(&self.second)
            && (!(thoroughly || self.step % RAM_INTERVAL == RAM_INTERVAL - 1)
                || self.first.fingerprint() == self.second.fingerprint())
    }

    /// The last of the instructions that the first machine executes within so many ticks.
    fn listing(&mut self, ticks: Tick) -> Vec<String> {
        let mut lines = Vec::new();
        for _ in 0..ticks {
            let (cpu, _) = self.first.turn();
            let state = &self.first.cpus[cpu];
            let text = next_instruction(&self.first.board, state);
            lines.push(format!("vCPU {cpu} {:#x}: {text}", state.regs.rip()));
            let until = self.first.now() + 1;
            self.first.run(&mut Script::default(), until);
            if lines.len() > SHOWN {
                lines.remove(0);
            }
        }
        lines
    }
}

pub(super) fn machine(engine: MakeEngine, model: &'static Model, cpus: u32) -> Machine {
    let board = Board::new(RAM, cpus as usize).expect("the host has room for the RAM");
    let mut machine = Machine::new(board, model, engine(model));
    machine.set_no_reboot(true);
    machine.set_boot(BootImage { memory: Vec::new(), cpu: CpuState::new(0, model) });
    machine
}
