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
use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::path::Path;
use std::rc::Rc;

/// How often it is executed.
pub const CROSSINGS: usize = 1_000_000;
/// Places at which candidates are taken: in the second half.
const SAMPLES: Tick = 100;
/// Ticks after which candidates that are executed too often are left out for the first time; then after twice as many.
const TRIAL: Tick = 1_000_000;
/// And then after so many.
const LONGEST_TRIAL: Tick = 64_000_000;
/// How many times as often as wanted is too often.
const TOO_OFTEN: u64 = 4;

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

/// Never holds, and remembers the last ticks at which it was asked.
#[derive(Debug, Default)]
struct Counter {
    ticks: RefCell<VecDeque<Tick>>,
    count: Cell<u64>,
}

impl Condition for Counter {
    fn holds(&self, _cpu: &CpuState, board: &Board) -> bool {
        let mut ticks = self.ticks.borrow_mut();
        if ticks.len() == CROSSINGS {
            ticks.pop_front();
        }
        ticks.push_back(board.now);
        self.count.set(self.count.get() + 1);
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

/// Replays the recording, twice, to find it.
pub fn find(file: &Path) -> Result<Crossed> {
    let mut candidates = BTreeSet::new();
    replay(file, |machine, run, last| {
        for sample in 0..SAMPLES {
            run(machine, last / 2 + last / 2 * sample / SAMPLES);
            candidates.insert(machine.cpus[0].regs.rip());
        }
        Ok(())
    })?;
    let mut counters: Vec<_> = candidates.into_iter().map(|rip| (rip, Rc::new(Counter::default()))).collect();
    let mut end = 0;
    replay(file, |machine, run, last| {
        end = last;
        run(machine, last / 2);
        let mut trial = TRIAL;
        while machine.now() < last {
            machine.set_probes(watching(&counters), None);
            let ended = run(machine, last.min(machine.now() + trial));
            ensure!(matches!(ended, End::Until | End::Off), "the replay ends by {ended:?}");
            counters.retain(|(_, counter)| counter.count.get() < CROSSINGS as u64 * TOO_OFTEN);
            trial = (trial * 2).min(LONGEST_TRIAL);
        }
        Ok(())
    })?;
    let enough = counters.iter().filter(|(_, counter)| counter.ticks.borrow().len() == CROSSINGS);
    let (address, counter) = enough.min_by_key(|(_, counter)| counter.count.get()).context("nothing is as frequent")?;
    let from = *counter.ticks.borrow().front().context("nothing is executed")?;
    Ok(Crossed { address: *address, from, length: end - from })
}

/// Runs the machine to a tick.
type Run<'a> = dyn FnMut(&mut Machine, Tick) -> End + 'a;

/// Replays as `act` wants it, who also learns where the recording ends.
fn replay(file: &Path, act: impl FnOnce(&mut Machine, &mut Run<'_>, Tick) -> Result<()>) -> Result<()> {
    let (mut contents, mut log) = (Recording::open(file)?, Recording::open(file)?);
    let (mut machine, config) = recorded::machine(&mut contents, EngineKind::DEFAULT.make())?;
    let last = log.last_tick();
    let mut replayer = Replayer::new(log.events(0), &mut contents, &config.machine.disks, Nobody);
    act(&mut machine, &mut |machine, until| machine.run(&mut replayer, until), last)
}

fn watching(counters: &[(u64, Rc<Counter>)]) -> Probes {
    let breakpoint = |(address, counter): &(u64, Rc<Counter>)| Breakpoint {
        address: *address,
        condition: Some(counter.clone() as Rc<dyn Condition>),
    };
    Probes { breakpoints: counters.iter().map(breakpoint).collect(), ..Probes::default() }
}
