//! Whole guests go back to checkpoints and on again: every state that is met again is as it was, and so is the end, on each
//! engine, whatever its caches hold. And what an engine knows survives where it is still true.
//!
//! `REPRISE_SEEDS=N` tries N times as many seeds.

use reprise::engine::EngineKind;
use reprise_core::clock::Tick;
use reprise_core::device::KeyEvent;
use reprise_core::door::{HostInput, Script};
use reprise_core::machine::{End, Fingerprint, Machine};
use reprise_replay::timeline::checkpoints::Checkpoints;
use reprise_silicon::generate::Random;
use reprise_tests::checkpoints::{Guest, Steady};
use reprise_tests::hostile::Hostile;
use reprise_tests::machines::{CONSOLE, Ending, power_on};
use std::collections::BTreeMap;

/// So many, or as many times more as the environment asks for.
fn seeds(count: u64) -> u64 {
    count * std::env::var("REPRISE_SEEDS").map_or(1, |times| times.parse().expect("REPRISE_SEEDS is a number"))
}

/// A machine on its way, its checkpoints, and what it was like before.
struct Walk {
    machine: Machine,
    door: Script,
    checkpoints: Checkpoints<Script>,
    fingerprints: BTreeMap<Tick, Fingerprint>,
    /// Times that it may still go back.
    returns: u32,
}

impl Walk {
    fn new(machine: Machine, door: Script, memory: u64, returns: u32) -> Self {
        let (checkpoints, fingerprints) = (Checkpoints::new(memory), BTreeMap::new());
        let mut walk = Self { machine, door, checkpoints, fingerprints, returns };
        walk.take();
        walk
    }

    fn take(&mut self) {
        self.checkpoints.take(&mut self.machine, self.door.clone());
    }

    /// Compares the state with what it was at this tick, if anybody looked then.
    fn look(&mut self) {
        let fingerprint = self.machine.fingerprint();
        let before = *self.fingerprints.entry(self.machine.now()).or_insert(fingerprint);
        assert_eq!(fingerprint, before, "at tick {}", self.machine.now());
    }

    /// Goes to a checkpoint, most often to one of the latest.
    fn go_back(&mut self, random: &mut Random) {
        let ticks: Vec<_> = self.checkpoints.ticks().collect();
        let recent = if random.percent(90) { 4 } else { 40 };
        let tick = random.pick(&ticks[ticks.len().saturating_sub(recent)..]);
        self.door = self.checkpoints.restore(&mut self.machine, tick);
        assert_eq!(self.machine.now(), tick);
        self.returns -= 1;
    }

    /// One of the things that must leave no trace.
    fn disturb(&mut self, random: &mut Random) {
        match random.below(100) {
            0..=15 => {
                self.take();
                self.look();
            }
            16..=25 => self.take(),
            26..=45 if self.returns > 0 => {
                self.go_back(random);
                if random.percent(50) {
                    self.look();
                }
            }
            46 => self.look(),
            47 => self.machine.drop_caches(),
            _ => {}
        }
    }

    /// Runs until the machine ends, or to the tick `until`, in slices of less than `longest` ticks; in some of them
    /// something disturbs it.
    fn run(&mut self, random: &mut Random, longest: Tick, often: u64, until: Tick) -> End {
        loop {
            let slice = (self.machine.now() + 1 + random.below(longest)).min(until);
            let end = self.machine.run(&mut self.door, slice);
            if end != End::Until || self.machine.now() >= until {
                // From the end, too, there is a way back.
                if self.returns == 0 {
                    return end;
                }
                self.go_back(random);
            }
            if random.below(1000) < often {
                self.disturb(random);
            }
        }
    }
}

/// Keys and serial bytes, most of them early, when the guest checks faults and user mode.
fn inputs() -> Vec<(Tick, HostInput)> {
    let mut random = Random::new(3);
    let tick = |random: &mut Random| random.pick(&[5_000_000, 50_000_000, 400_000_000]);
    (0..400)
        .map(|_| {
            let input = match random.below(2) {
                0 => HostInput::Key(KeyEvent { code: 1 + random.below(100) as u16, down: random.percent(50) }),
                _ => HostInput::Chardev { chardev: CONSOLE, bytes: vec![random.next() as u8; 3] },
            };
            let latest = tick(&mut random);
            (1_000_000 + random.below(latest), input)
        })
        .collect()
}

fn script(guest: &Guest) -> Script {
    let mut door = Script::new(inputs());
    door.images.clone_from(&guest.door.images);
    door
}

fn ending(machine: &mut Machine, door: &Script, end: End) -> Ending {
    Ending {
        end,
        icount: machine.icount(),
        tick: machine.now(),
        fingerprint: machine.fingerprint(),
        console: String::from_utf8_lossy(door.output_of(CONSOLE)).into_owned(),
    }
}

/// The guest writes to its disk, changes its page tables, and has several processes.
#[test]
fn the_embedded_guest_comes_to_the_same_end() {
    for cpus in [1, 4] {
        let guest = Guest::embedded(cpus);
        let (mut machine, mut door) = (power_on(&guest.config, EngineKind::Interp), script(&guest));
        let end = machine.run(&mut door, Tick::MAX);
        let expected = ending(&mut machine, &door, end);
        assert!(end == End::Off && expected.console.contains("disk: ok"), "{end:?}: {}", expected.console);
        for ((name, engine), perturbed) in EngineKind::ALL.into_iter().flat_map(|e| [(e, false), (e, true)]) {
            for seed in 0..seeds(1) {
                let mut walk = Walk::new(power_on(&guest.config, engine), script(&guest), 24 << 20, 60);
                if perturbed {
                    walk.machine.perturb_caches(seed);
                }
                let end = walk.run(&mut Random::new(seed), 200_000, 300, Tick::MAX);
                let found = ending(&mut walk.machine, &walk.door, end);
                assert_eq!(found, expected, "{cpus} vCPUs on {name}, perturbed: {perturbed}, seed {seed}");
            }
        }
    }
}

/// Random code in every mode: it modifies itself, its tables and its mode.
#[test]
fn hostile_guests_come_to_the_same_end() {
    for seed in 0..seeds(60) {
        let guest = Hostile::new(seed);
        let (mut machine, mut door) = (guest.machine(EngineKind::Interp.make()), guest.door(0));
        let end = machine.run(&mut door, guest.ticks);
        let expected = ending(&mut machine, &door, end);
        for (name, engine) in EngineKind::ALL {
            let mut random = Random::new(seed);
            let mut walk = Walk::new(guest.machine(engine.make()), guest.door(0), 64 << 20, 25);
            if random.percent(70) {
                walk.machine.perturb_caches(random.next());
            }
            let longest = random.pick(&[3, 100, 3000]);
            let end = walk.run(&mut random, longest, 600 * longest / guest.ticks.min(longest * 60), guest.ticks);
            let found = ending(&mut walk.machine, &walk.door, end);
            assert_eq!(found, expected, "seed {seed} on {name}: {}", guest.describe());
        }
    }
}

/// The counts of blocks and of instructions that were ever translated.
fn translated(machine: &Machine) -> Vec<String> {
    let statistics = machine.engine_statistics().expect("the translator counts");
    let counts = statistics.lines().filter(|line| line.starts_with("blocks") || line.starts_with("code flushes"));
    counts.map(str::to_owned).collect()
}

/// Runs the same few instructions again and again from a checkpoint: once all is hot, nothing is translated anew.
#[test]
fn what_was_translated_survives_going_back() {
    const LENGTH: Tick = 50_000;
    let guest = Guest::embedded(1);
    let mut machine = power_on(&guest.config, EngineKind::Jit);
    let mut door = Steady { images: guest.door.images.clone(), ..Steady::default() };
    if machine.engine_statistics().is_none() {
        // A host that cannot run translated code.
        return;
    }
    let (mut checkpoints, mut places) = (Checkpoints::new(1 << 30), 0);
    while machine.run(&mut door, machine.now() + 5_000_000) == End::Until && places < 20 {
        let (tick, icount) = (machine.now(), machine.icount());
        checkpoints.take(&mut machine, ());
        let mut again = |machine: &mut Machine, times| {
            for _ in 0..times {
                machine.run(&mut door, tick + LENGTH);
                assert!(machine.board.ram.nonzero_pages().next().is_some());
                checkpoints.restore(machine, tick);
            }
        };
        again(&mut machine, 40);
        let before = translated(&machine);
        again(&mut machine, 10);
        assert_eq!(translated(&machine), before, "from tick {tick}, {icount} instructions");
        places += 1;
    }
    assert_eq!(places, 20);
}
