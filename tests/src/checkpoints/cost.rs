//! What checkpoints of a guest cost: taking one, restoring one that is far, restoring one that is near.

use super::Guest;
use crate::machines::power_on;
use reprise::engine::EngineKind;
use reprise_core::clock::Tick;
use reprise_core::machine::{End, Fingerprint, Machine};
use reprise_replay::timeline::checkpoints::Checkpoints;
use reprise_silicon::generate::Random;
use rustix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Instructions that are run between two restores of one place, as in a session of steps back.
const STEP: Tick = 1000;

/// What is measured of a guest.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Ticks between two checkpoints.
    pub every: Tick,
    /// Ticks after which the guest is left alone.
    pub until: Tick,
    /// Bytes that checkpoints may take.
    pub memory: u64,
    /// Far restores, and places for near ones.
    pub restores: usize,
}

/// One operation.
#[derive(Clone, Copy, Debug)]
struct Sample {
    time: Duration,
    pages: usize,
}

/// What something cost, and what it may cost.
#[derive(Debug)]
struct Series {
    samples: Vec<Sample>,
    /// Time that one operation may take, and each page of it.
    fixed: Duration,
    page: Duration,
}

/// What checkpoints of a guest cost.
#[derive(Debug)]
pub struct Cost {
    takes: Series,
    far: Series,
    near: Series,
    /// Time for going back and running a few instructions again, over and over.
    steps: Duration,
    checkpoints: usize,
    memory: u64,
    ticks: Tick,
    /// States that were not as they had been.
    wrong: usize,
}

/// The processor's time that this thread took: others on the host do not count.
fn processor_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().expect("it is not negative")
}

impl Series {
    fn new(fixed: Duration) -> Self {
        Self { samples: Vec::new(), fixed, page: Duration::from_micros(1) }
    }

    /// What `operation` returns, and how long it took, with the number of pages that `pages` says.
    fn measure<T>(&mut self, operation: impl FnOnce() -> (T, usize)) -> T {
        let start = processor_time();
        let (result, pages) = operation();
        self.samples.push(Sample { time: processor_time() - start, pages });
        result
    }

    /// How much of the time that it may take it took.
    fn share(&self, sample: &Sample) -> f64 {
        sample.time.as_secs_f64() / (self.fixed + self.page * sample.pages as u32).as_secs_f64()
    }

    fn median(&self) -> Option<Sample> {
        let mut sorted = self.samples.clone();
        sorted.sort_by_key(|sample| sample.time);
        sorted.get(sorted.len() / 2).copied()
    }

    fn worst(&self) -> Option<Sample> {
        let one = self.samples.iter().max_by(|one, other| self.share(one).total_cmp(&self.share(other)));
        one.copied()
    }

    fn total(&self) -> Duration {
        self.samples.iter().map(|sample| sample.time).sum()
    }

    /// Of a hundred, how many kept to what they may take.
    fn kept(&self) -> f64 {
        let kept = self.samples.iter().filter(|sample| self.share(sample) <= 1.0).count();
        100.0 * kept as f64 / self.samples.len().max(1) as f64
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(median), Some(worst)) = (self.median(), self.worst()) else { return write!(f, "nothing") };
        let micros = |sample: Sample| sample.time.as_secs_f64() * 1e6;
        write!(
            f,
            "median {:8.1} us for {:6} pages, worst {:8.1} us for {:6} pages ({:.2} of what it may take; {:.1} % keep to it)",
            micros(median),
            median.pages,
            micros(worst),
            worst.pages,
            self.share(&worst),
            self.kept()
        )
    }
}

impl Cost {
    /// Restores of a near place in a second.
    #[must_use]
    pub fn restores_per_second(&self) -> f64 {
        self.near.samples.len() as f64 / self.near.total().as_secs_f64()
    }

    /// Whether all states were as they had been, and the goals are met by the medians.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let kept = [&self.takes, &self.far, &self.near].into_iter().all(|series| series.kept() >= 50.0);
        kept && self.wrong == 0 && self.restores_per_second() >= 1000.0
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "  {} checkpoints in {} M ticks, {} MiB",
            self.checkpoints,
            self.ticks / 1_000_000,
            self.memory >> 20
        )?;
        writeln!(f, "  take          {}", self.takes)?;
        writeln!(f, "  restore far   {}", self.far)?;
        writeln!(f, "  restore near  {}", self.near)?;
        let steps = self.near.samples.len() as f64 / self.steps.as_secs_f64();
        writeln!(
            f,
            "  {:.0} near restores a second; {steps:.0} with {STEP} instructions each",
            self.restores_per_second()
        )?;
        write!(f, "  {} states were not as they had been", self.wrong)
    }
}

/// A guest on its way, with its checkpoints.
struct Walk {
    guest: Guest,
    machine: Machine,
    checkpoints: Checkpoints<()>,
    cost: Cost,
    fingerprints: BTreeMap<Tick, Fingerprint>,
}

impl Walk {
    fn run(&mut self, until: Tick) -> End {
        self.machine.run(&mut self.guest.door, until)
    }

    fn take(&mut self) {
        self.cost.takes.measure(|| {
            self.checkpoints.take(&mut self.machine, ());
            ((), self.checkpoints.looked_at())
        });
        if self.cost.takes.samples.len() % 8 == 1 {
            self.fingerprints.insert(self.machine.now(), self.machine.fingerprint());
        }
    }

    fn restore(&mut self, tick: Tick, far: bool) {
        let series = if far { &mut self.cost.far } else { &mut self.cost.near };
        series.measure(|| {
            self.checkpoints.restore(&mut self.machine, tick);
            ((), self.checkpoints.looked_at())
        });
    }

    /// Goes back to random checkpoints, and compares what is known of them.
    fn go_far(&mut self, random: &mut Random, times: usize) {
        let ticks: Vec<_> = self.checkpoints.ticks().collect();
        for _ in 0..times {
            let tick = random.pick(&ticks);
            self.restore(tick, true);
            if let Some(&before) = self.fingerprints.get(&tick) {
                self.cost.wrong += usize::from(self.machine.fingerprint() != before);
            }
        }
    }

    /// Runs a little and goes back to where it was, again and again, at some places.
    fn go_near(&mut self, random: &mut Random, places: usize) {
        const TIMES: u32 = 200;
        let ticks: Vec<_> = self.checkpoints.ticks().collect();
        let mut left = places;
        // A guest that sleeps has nothing to go back from.
        for _ in 0..100 * places {
            let tick = random.pick(&ticks);
            self.checkpoints.restore(&mut self.machine, tick);
            let icount = self.machine.icount();
            self.run(tick + STEP);
            if self.machine.icount() - icount < STEP / 2 || left == 0 {
                continue;
            }
            left -= 1;
            self.checkpoints.restore(&mut self.machine, tick);
            let start = processor_time();
            for _ in 0..TIMES {
                self.run(tick + STEP);
                self.restore(tick, false);
            }
            self.cost.steps += processor_time() - start;
        }
    }
}

/// Measures a guest.
#[must_use]
pub fn measure(guest: Guest, engine: EngineKind, plan: Plan) -> Cost {
    let machine = power_on(&guest.config, engine);
    let (checkpoints, micros) = (Checkpoints::new(plan.memory), Duration::from_micros);
    let cost = Cost {
        takes: Series::new(micros(1000)),
        far: Series::new(micros(100)),
        near: Series::new(micros(100)),
        steps: Duration::ZERO,
        checkpoints: 0,
        memory: 0,
        ticks: 0,
        wrong: 0,
    };
    let mut walk = Walk { guest, machine, checkpoints, cost, fingerprints: BTreeMap::new() };
    loop {
        walk.take();
        let until = walk.machine.now() + plan.every;
        if walk.run(until.min(plan.until)) != End::Until || walk.machine.now() >= plan.until {
            break;
        }
    }
    walk.cost.ticks = walk.machine.now();
    (walk.cost.checkpoints, walk.cost.memory) = (walk.checkpoints.ticks().count(), walk.checkpoints.memory());
    let mut random = Random::new(1);
    walk.go_far(&mut random, plan.restores);
    walk.go_near(&mut random, plan.restores / 10);
    walk.cost
}
