//! An instruction that a guest at work executes often, and the stretch in which it does so a million times.

use anyhow::{Context, Result, ensure};
use reprise::engine::EngineKind;
use reprise::recorded;
use reprise_core::board::Board;
use reprise_core::clock::Tick;
use reprise_core::cpu::CpuState;
use reprise_core::machine::{End, Machine};
use reprise_core::output::Output;
use reprise_core::probe::{Breakpoint, Condition, Probes};
use reprise_replay::{Audience, Recording, Replayer};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::rc::Rc;

/// How often it is executed.
pub const CROSSINGS: usize = 1_000_000;
/// Places at which candidates are taken, and ticks between them: no multiple of anything.
const SAMPLES: usize = 40;
const BETWEEN: Tick = 9_999_991;
/// Ticks in which candidates are compared.
const TRIAL: Tick = 200_000_000;

/// The stretch.
#[derive(Clone, Debug)]
pub struct Crossed {
    /// The instruction's address.
    pub address: u64,
    /// Where the stretch begins; it ends with the recording.
    pub from: Tick,
    /// How long it is.
    pub length: Tick,
}

impl fmt::Display for Crossed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, length, .. } = self;
        let length = *length as f64 / 1e9;
        write!(f, "stretch: {CROSSINGS} times at {address:#x} in the last {length:.2} billion ticks")
    }
}

/// Never holds, and remembers when it was asked.
#[derive(Debug, Default)]
struct Counter {
    ticks: RefCell<Vec<Tick>>,
}

impl Condition for Counter {
    fn holds(&self, _cpu: &CpuState, board: &Board) -> bool {
        self.ticks.borrow_mut().push(board.now);
        false
    }
}

struct Nobody;

impl Audience for Nobody {
    fn output(&mut self, _now: Tick, _output: Output) {}

    fn pass(&mut self, _now: Tick) -> bool {
        true
    }

    fn idle(&mut self, _now: Tick, _until: Tick) {}
}

/// Replays the recording to find them.
pub fn find(file: &Path) -> Result<Crossed> {
    let (mut contents, mut log) = (Recording::open(file)?, Recording::open(file)?);
    let (mut machine, config) = recorded::machine(&mut contents, EngineKind::DEFAULT.make())?;
    let last = log.last_tick();
    let mut replayer = Replayer::new(log.events(0), &mut contents, &config.machine.disks, Nobody);
    let mut run = |machine: &mut Machine, until| machine.run(&mut replayer, until);
    let (middle, mut candidates) = (last / 2, BTreeSet::new());
    for sample in 0..SAMPLES as Tick {
        run(&mut machine, middle + sample * BETWEEN);
        candidates.insert(machine.cpus[0].regs.rip());
    }
    let counters: Vec<_> = candidates.into_iter().map(|rip| (rip, Rc::new(Counter::default()))).collect();
    machine.set_probes(watching(&counters), None);
    let trial = machine.now()..machine.now() + TRIAL;
    run(&mut machine, trial.end);
    let left = last - trial.end;
    // The one that is executed least often of those that are executed often enough, with a quarter to spare.
    let expected = |counter: &Counter| counter.ticks.borrow().len() as u64 * left / TRIAL;
    let enough = counters.iter().filter(|(_, counter)| expected(counter) > CROSSINGS as u64 * 5 / 4);
    let chosen = enough.min_by_key(|(_, counter)| expected(counter)).context("nothing is executed often enough")?;
    let counter = (chosen.0, Rc::new(Counter::default()));
    machine.set_probes(watching(std::slice::from_ref(&counter)), None);
    let end = run(&mut machine, Tick::MAX);
    ensure!(end == End::Off, "the replay ends by {end:?}");
    let ticks = counter.1.ticks.borrow();
    let first = ticks.len().checked_sub(CROSSINGS).with_context(|| format!("only {} times", ticks.len()))?;
    Ok(Crossed { address: counter.0, from: ticks[first], length: last - ticks[first] })
}

fn watching(counters: &[(u64, Rc<Counter>)]) -> Probes {
    let breakpoint = |(address, counter): &(u64, Rc<Counter>)| Breakpoint {
        address: *address,
        condition: Some(counter.clone() as Rc<dyn Condition>),
    };
    Probes { breakpoints: counters.iter().map(breakpoint).collect(), ..Probes::default() }
}
