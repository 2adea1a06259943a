//! Probes on random programs: what is met is what a machine shows that was looked at after every tick, on either engine, and
//! nothing else is different.
//!
//! The first machine has no probes, and is looked at after each tick. What it executed, and where it wrote, says which probes
//! are worth having. The others, one for each engine, run the same ticks with them.

use super::program::Program;
use super::trial::machine;
use super::{compared, cramped, reference};
use reprise_core::clock::Tick;
use reprise_core::cpu::model::MODELS;
use reprise_core::cpu::{Activity, CpuState, seg};
use reprise_core::door::Script;
use reprise_core::machine::{End, Fingerprint, Machine};
use reprise_core::probe::{Accessor, Addressing, Breakpoint, Cause, Condition, Hit, Probes, Step, Watch, Watchpoint};
use reprise_silicon::generate::Random;
use std::rc::Rc;

/// Programs of a trial.
const PROGRAMS: u64 = 3;
/// Rounds of a program.
const ROUNDS: u64 = 12;

/// What was met without a difference.
#[derive(Clone, Copy, Debug, Default)]
pub struct Met {
    /// Breakpoints.
    pub breakpoints: u64,
    /// Watchpoints.
    pub watchpoints: u64,
    /// Steps.
    pub steps: u64,
    /// States that were compared where a run ended.
    pub states: u64,
}

/// What the first machine was like at a tick.
struct Moment {
    fingerprint: Fingerprint,
    /// Linear addresses of the instruction pointers.
    code: Vec<u64>,
    /// Who ran to the next tick.
    ran: Option<u32>,
    /// A vCPU may take a signal before its next instruction.
    signal: bool,
    watched: Vec<Vec<u8>>,
}

/// A condition that any register may meet.
#[derive(Debug)]
struct Odd(u8);

impl Condition for Odd {
    fn holds(&self, cpu: &CpuState, _board: &reprise_core::board::Board) -> bool {
        cpu.regs.get(self.0) & 1 != 0
    }
}

struct Trial {
    random: Random,
    /// Without probes; the interpreter; the other engine.
    machines: [Machine; 3],
    seed: u64,
    met: Met,
}

/// Runs the trial of a seed.
///
/// # Panics
///
/// If anything is not as it should be.
#[must_use]
pub fn run(seed: u64) -> Met {
    let mut random = Random::new(seed);
    let model = &MODELS[random.below(MODELS.len() as u64) as usize];
    let cpus = if random.percent(70) { 1 } else { 2 + random.below(2) as u32 };
    let other = if random.percent(20) { cramped() } else { compared() };
    let mut machines = [reference(), reference(), other].map(|engine| machine(engine, model, cpus));
    if random.percent(60) {
        machines[2].perturb_caches(random.next());
    }
    let mut trial = Trial { random, machines, seed, met: Met::default() };
    for _ in 0..PROGRAMS {
        let program = Program::any(&mut trial.random, model, cpus);
        for (address, bytes) in &program.memory {
            trial.machines.iter_mut().for_each(|machine| machine.board.dma_write(*address, bytes));
        }
        trial.each_cpu(&program, |_| true);
        for round in 0..ROUNDS {
            trial.round(&program, round);
        }
    }
    trial.met
}

fn linear(cpu: &CpuState) -> u64 {
    let rip = cpu.regs.rip();
    if cpu.is_64bit() { rip } else { cpu.segs[seg::CS].base.wrapping_add(rip) & 0xffff_ffff }
}

impl Trial {
    /// Lets those vCPUs begin anew of which this is true, in all machines alike.
    fn each_cpu(&mut self, program: &Program, concerned: impl Fn(&CpuState) -> bool) {
        for index in 0..self.machines[0].cpus.len() {
            let mut cpu = self.machines[0].cpus[index].clone();
            if concerned(&cpu) {
                program.restart(&mut self.random, &mut cpu);
                self.machines.iter_mut().for_each(|machine| machine.cpus[index].clone_from(&cpu));
            }
        }
    }

    fn disturb(&mut self, program: &Program) {
        let Self { random, machines, .. } = self;
        let cpu = random.below(machines[0].cpus.len() as u64) as usize;
        if random.percent(15) {
            machines.iter_mut().for_each(|machine| machine.board.apics[cpu].state.nmi = true);
        }
        if random.percent(30) {
            let (count, vector) = (1 + random.below(60) as u32, 0x20 + random.below(0xe0) as u32);
            for (offset, value) in [(0xb0, 0), (0xf0, 0x1ff), (0x3e0, 0xb), (0x320, vector), (0x380, count)] {
                machines.iter_mut().for_each(|machine| machine.board.apic_write(cpu, offset, value));
            }
        }
        self.each_cpu(program, |cpu| cpu.activity != Activity::Running);
        if self.random.percent(20) {
            self.machines[2].drop_caches();
        }
    }

    fn round(&mut self, program: &Program, round: u64) {
        self.disturb(program);
        let what = format!("seed {}, round {round} of {}", self.seed, program.what);
        let length = self.random.pick(&[5, 20, 60, 60, 200, 600]);
        let start = self.machines[0].save();
        let first = self.machines[0].now();
        let (moments, end) = self.trace(length, &[]);
        let probes = self.probes(&moments);
        // Again, with a look at what is watched.
        self.machines[0].load(&start).expect("it is the same machine");
        let ranges: Vec<_> = probes.watchpoints.iter().map(|w| (w.addressing, w.range.clone())).collect();
        let (moments, _) = self.trace(length, &ranges);
        let until = self.machines[0].now();
        let mut lists = Vec::new();
        for which in [1, 2] {
            lists.push(self.run_probed(which, &probes, first, until, end, &moments, &what));
        }
        assert_eq!(lists[0], lists[1], "{what}: {probes:#x?}");
        self.check(&lists[0], &probes, first, &moments, &what);
        for hit in &lists[0] {
            match hit.cause {
                Cause::Breakpoint { .. } => self.met.breakpoints += 1,
                Cause::Watchpoint { .. } => self.met.watchpoints += 1,
                Cause::Step { .. } => self.met.steps += 1,
            }
        }
    }

    /// Runs the first machine for so many ticks, and looks after each one.
    fn trace(&mut self, length: Tick, ranges: &[(Addressing, std::ops::Range<u64>)]) -> (Vec<Moment>, End) {
        let machine = &mut self.machines[0];
        machine.keep_turns(true);
        let mut moments = vec![moment(machine, ranges)];
        for _ in 0..length {
            let until = machine.now() + 1;
            let end = machine.run(&mut Script::default(), until);
            if end != End::Until {
                return (moments, end);
            }
            moments.last_mut().expect("there is one").ran = machine.take_turns().first().map(|turn| turn.cpu);
            moments.push(moment(machine, ranges));
        }
        (moments, End::Until)
    }

    fn probes(&mut self, moments: &[Moment]) -> Probes {
        let random = &mut self.random;
        let any_code = |random: &mut Random| {
            let moment = &moments[random.below(moments.len() as u64) as usize];
            random.pick(&moment.code)
        };
        let breakpoints = (0..random.pick(&[0, 1, 1, 2, 6])).map(|_| {
            let address = any_code(random).wrapping_add(random.pick(&[0, 0, 0, 0, 1]));
            let condition: Option<Rc<dyn Condition>> =
                if random.percent(50) { Some(Rc::new(Odd(random.below(16) as u8))) } else { None };
            Breakpoint { address, condition }
        });
        let breakpoints = breakpoints.collect();
        let watchpoints = (0..random.pick(&[0, 1, 1, 2, 4])).map(|_| watchpoint(random, &self.machines[0]));
        let watchpoints = watchpoints.collect();
        let cpu = random.below(self.machines[0].cpus.len() as u64) as u32;
        let within = any_code(random)..any_code(random).wrapping_add(8);
        let within = if random.percent(50) { 0..0 } else { within };
        let step = if random.percent(15) { Some(Step { cpu, within }) } else { None };
        Probes { breakpoints, watchpoints, step }
    }

    /// Runs a machine with probes to the tick `until`, and compares its state wherever it ends.
    #[allow(clippy::too_many_arguments)]
    fn run_probed(
        &mut self,
        which: usize,
        probes: &Probes,
        first: Tick,
        until: Tick,
        end: End,
        moments: &[Moment],
        what: &str,
    ) -> Vec<Hit> {
        let mut cuts = Random::new(self.random.next());
        let machine = &mut self.machines[which];
        let most = cuts.pick(&[Tick::MAX, Tick::MAX, 50, 7]);
        let mut all = Vec::new();
        machine.set_probes(probes.clone(), None);
        loop {
            let piece = machine.now().saturating_add(if most == Tick::MAX { most } else { 1 + cuts.below(most) });
            let bound = if end == End::Until { until } else { Tick::MAX };
            match machine.run(&mut Script::default(), piece.min(bound)) {
                End::Probe => {
                    let hits = machine.take_hits();
                    let now = machine.now();
                    assert!(!hits.is_empty() && hits.iter().all(|hit| hit.after == now), "{what}: {hits:#x?}");
                    if machine.is_settled() {
                        let expected = moments[(now - first) as usize].fingerprint;
                        assert_eq!(machine.fingerprint(), expected, "{what}, machine {which}, tick {now}: {hits:#x?}");
                        self.met.states += 1;
                    }
                    // One that was not reached yet counts.
                    let skip = hits.iter().any(|hit| matches!(hit.cause, Cause::Breakpoint { .. })).then_some(now);
                    all.extend(hits);
                    if cuts.percent(10) {
                        machine.set_probes(Probes::default(), None);
                    }
                    machine.set_probes(probes.clone(), skip);
                }
                End::Until if machine.now() < bound => machine.set_probes(probes.clone(), None),
                ended => {
                    assert_eq!(ended, end, "{what}, machine {which}");
                    break;
                }
            }
        }
        machine.set_probes(Probes::default(), None);
        let last = (machine.now(), machine.fingerprint());
        assert_eq!(last, (until, self.machines[0].fingerprint()), "{what}, machine {which}");
        all
    }

    /// Whether what was met is what the first machine shows.
    fn check(&self, hits: &[Hit], probes: &Probes, first: Tick, moments: &[Moment], what: &str) {
        let is_code = |address| probes.breakpoints.iter().any(|b| b.address == address && b.condition.is_none());
        for (tick, pair) in (first..).zip(moments.windows(2)) {
            let [before, after] = pair else { unreachable!("they are pairs") };
            let Some(cpu) = before.ran else { continue };
            let code = before.code[cpu as usize];
            let reached = hits.iter().any(|hit| {
                hit.after == tick
                    && matches!(hit.cause, Cause::Breakpoint { cpu: c, address } if (c, address) == (cpu, code))
            });
            assert!(
                reached || before.signal || !is_code(code),
                "{what}: no stop at {code:#x}, tick {tick}: {hits:#x?} {probes:x?} {first}"
            );
            for (number, watchpoint) in probes.watchpoints.iter().enumerate() {
                let written = before.watched[number] != after.watched[number] && watchpoint.watch != Watch::Read;
                let noted = hits.iter().any(|hit| {
                    hit.after == tick + 1
                        && matches!(&hit.cause, Cause::Watchpoint { watchpoint: w, write: true, by: Accessor::Cpu(c), .. }
                            if w == watchpoint && *c == cpu)
                });
                assert!(!written || noted, "{what}: no stop after a write to {watchpoint:x?}, tick {tick}");
            }
        }
        for hit in hits {
            if let Cause::Breakpoint { cpu, address } = hit.cause {
                assert_eq!(moments[(hit.after - first) as usize].code[cpu as usize], address, "{what}: {hit:x?}");
            }
        }
    }
}

fn moment(machine: &mut Machine, ranges: &[(Addressing, std::ops::Range<u64>)]) -> Moment {
    let signal = machine.cpus.iter().zip(&machine.board.apics).any(|(cpu, apic)| {
        cpu.pending_debug != 0 || apic.state.nmi || apic.has_maskable() || cpu.activity != Activity::Running
    });
    let watched = ranges.iter().map(|(addressing, range)| match addressing {
        // Other bytes may come to be mapped there without a write.
        Addressing::Linear { .. } => Vec::new(),
        Addressing::Physical => {
            let mut bytes = vec![0; (range.end - range.start) as usize];
            machine.board.dma_read(range.start, &mut bytes);
            bytes
        }
    });
    let watched = watched.collect();
    let code = machine.cpus.iter().map(linear).collect();
    Moment { fingerprint: machine.fingerprint(), code, ran: None, signal, watched }
}

/// Something to watch: near what a register says, where tables or stacks are, or anywhere.
fn watchpoint(random: &mut Random, machine: &Machine) -> Watchpoint {
    use crate::hostile::start::place;
    let cpu = random.below(machine.cpus.len() as u64) as u32;
    let near = machine.cpus[cpu as usize].regs.get(random.pick(&[3, 4, 4, 5, 6, 7])).wrapping_sub(random.below(40));
    let start = match random.below(10) {
        0..=5 => near & 0x3f_ffff,
        6 => place::TABLES + random.below(0xc000),
        7 => place::IDT + random.below(0x4000),
        8 => place::STACK - random.below(0x1000),
        _ => place::DATA + random.below(0x8000),
    };
    let len = random.pick(&[1, 1, 2, 4, 8, 8, 40, 4096, 9000]);
    let addressing = if random.percent(50) { Addressing::Physical } else { Addressing::Linear { cpu } };
    Watchpoint {
        watch: random.pick(&[Watch::Read, Watch::Write, Watch::Write, Watch::Access]),
        addressing,
        range: start..start + len,
    }
}
