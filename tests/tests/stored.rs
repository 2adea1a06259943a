//! Checkpoints that are stored in recordings: another engine goes on from them, and whatever is in one does no harm.
//!
//! `REPRISE_SEEDS=N` tries N times as many seeds.

use reprise::engine::EngineKind;
use reprise_core::board::BoardState;
use reprise_core::clock::Tick;
use reprise_core::cpu::CpuState;
use reprise_core::machine::{End, Fingerprint, Machine};
use reprise_core::output::Output;
use reprise_core::state;
use reprise_replay::stored::{Storing, restore};
use reprise_replay::timeline::{Stop, Timeline, Watcher};
use reprise_replay::{Audience, Ended, Header, Outcome, Recorder, Recording, Replayer, Writer, reason};
use reprise_silicon::generate::Random;
use reprise_tests::fickle::Fickle;
use reprise_tests::hostile::Hostile;
use reprise_tests::machines::{embedded, power_on};
use std::path::Path;

/// So many, or as many times more as the environment asks for.
fn seeds(count: u64) -> u64 {
    count * std::env::var("REPRISE_SEEDS").map_or(1, |times| times.parse().expect("REPRISE_SEEDS is a number"))
}

fn engine(number: u64) -> EngineKind {
    EngineKind::ALL[number as usize % EngineKind::ALL.len()].1
}

struct Nobody;

impl Audience for Nobody {
    fn output(&mut self, _now: Tick, _output: Output) {}
    fn pass(&mut self, _now: Tick) -> bool {
        true
    }
    fn idle(&mut self, _now: Tick, _until: Tick) {}
}

impl Watcher for Nobody {
    fn pass(&mut self, _now: Tick) -> bool {
        true
    }
    fn output(&mut self, _now: Tick, _output: Output) {}
}

/// Records the embedded guest; the last fingerprint.
fn record(cpus: u32, seed: u64, until: Tick, file: &Path) -> Fingerprint {
    let mut machine = power_on(&embedded(cpus), engine(seed));
    let writer = Writer::create(file, &Header { build: "test".into(), config: "{}".into() }).unwrap();
    let mut recorder = Recorder::new(Fickle::new(seed, 100_000), writer);
    let end = machine.run(&mut recorder, until);
    let fingerprint = machine.fingerprint();
    let ended = Ended { reason: reason(end).into(), status: 0, icount: machine.icount(), fingerprint };
    recorder.into_parts().1.finish(machine.now(), ended).unwrap();
    fingerprint
}

/// Stores checkpoints of the recording `from` in `to`, and those of the machine there.
fn store(cpus: u32, from: &Path, to: &Path, every: Tick) -> Vec<(Tick, Fingerprint)> {
    let (mut log, mut contents) = (Recording::open(from).unwrap(), Recording::open(from).unwrap());
    let (mut writer, last) = (Writer::copy(to, &contents).unwrap(), log.last_tick());
    let mut machine = power_on(&embedded(cpus), EngineKind::Jit);
    let mut storing = Storing::new(&mut machine);
    let mut replayer = Replayer::new(log.events(0), &mut contents, &[], Nobody);
    let mut stored = Vec::new();
    for stop in (every..last).step_by(every as usize) {
        assert_eq!(machine.run(&mut replayer, stop), End::Until);
        storing.store(&mut machine, &mut writer).unwrap();
        stored.push((stop, machine.fingerprint()));
    }
    writer.finish().unwrap();
    stored
}

#[test]
fn the_embedded_guest_goes_on_from_stored_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let (plain, path) = (folder.path().join("plain"), folder.path().join("stored"));
    for (seed, cpus) in [(1, 1), (2, 4)] {
        let end = record(cpus, seed, 400_000_000, &plain);
        let stored = store(cpus, &plain, &path, 45_000_000);
        for (number, engine) in EngineKind::ALL {
            let (mut log, mut contents) = (Recording::open(&path).unwrap(), Recording::open(&path).unwrap());
            let last = log.last_tick();
            let mut machine = power_on(&embedded(cpus), engine);
            let origin = machine.fingerprint();
            for &(tick, fingerprint) in stored.iter().rev() {
                restore(&contents, tick, &mut machine, origin).unwrap();
                assert_eq!(machine.fingerprint(), fingerprint, "{number}, seed {seed}, tick {tick}");
            }
            let mut replayer = Replayer::new(log.events(machine.now() + 1), &mut contents, &[], Nobody);
            let ended = machine.run(&mut replayer, last);
            let (_, outcome) = replayer.finish(&mut machine, ended);
            assert!(matches!(outcome, Outcome::Ended(_) | Outcome::Left), "{number}, seed {seed}: {outcome:?}");
            assert_eq!((machine.now(), machine.fingerprint()), (last, end), "{number}, seed {seed}");
        }
        let machine = power_on(&embedded(cpus), EngineKind::Jit);
        let recording = Recording::open(&path).unwrap();
        let last = recording.last_tick();
        let mut timeline = Timeline::new(machine, recording, Vec::new(), 64 << 20).unwrap();
        for &(tick, fingerprint) in stored.iter().rev().step_by(3) {
            assert_eq!(timeline.seek(tick, &mut Nobody), Stop::Reached);
            assert_eq!(timeline.machine_mut().fingerprint(), fingerprint, "seed {seed}, tick {tick}");
        }
        timeline.seek(last, &mut Nobody);
        assert_eq!(timeline.machine_mut().fingerprint(), end, "seed {seed}");
        assert_eq!(timeline.take_notes(), Vec::<String>::new());
    }
}

/// Changes a few bytes.
fn damage(bytes: &mut [u8], random: &mut Random) {
    for _ in 0..1 + random.below(4) {
        if bytes.is_empty() {
            return;
        }
        let at = random.below(bytes.len() as u64) as usize;
        match random.below(4) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => bytes[at] = random.pick(&[0, 1, 250, 255, 127, 128]),
            _ => {
                let until = (at + 8).min(bytes.len());
                bytes[at..until].fill(random.pick(&[0, 0x7f, 0xff]));
            }
        }
    }
}

/// What is made of the bytes of `part` after some of them were changed, if anything.
fn damaged<T: serde::Serialize + serde::de::DeserializeOwned>(part: &T, random: &mut Random) -> Option<T> {
    let mut bytes = state::encode(part);
    damage(&mut bytes, random);
    state::decode("a part", &bytes).ok()
}

/// Puts a state into the machine that somebody made by hand, if it takes it.
fn spoil(machine: &mut Machine, random: &mut Random) -> bool {
    let mut board: BoardState = machine.board.save();
    let spoilt = match random.below(20) {
        0..=12 => {
            let device = random.below(board.devices.len() as u64) as usize;
            damage(&mut board.devices[device].1, random);
            Some(())
        }
        13..=15 => {
            let index = random.below(machine.cpus.len() as u64) as usize;
            damaged(&machine.cpus[index], random)
                .map(|cpu: CpuState| machine.cpus[index] = CpuState { index: index as u32, ..cpu })
        }
        16 => damaged(&board.apics, random).map(|apics| board.apics = apics),
        17 => damaged(&board.timers, random).map(|timers| board.timers = timers),
        18 => damaged(&board.regions, random).map(|regions| board.regions = regions),
        _ => damaged(&board.requests, random).map(|requests| board.requests = requests),
    };
    spoilt.is_some() && machine.board.load(&board).is_ok()
}

/// A checkpoint in a file may be whatever somebody made of it, with a fingerprint to match. It is refused, or it is a state
/// of the machine in which something happens; but nothing panics, and nothing lasts for ever.
#[test]
fn states_that_no_machine_comes_to_do_no_harm() {
    let mut taken = 0;
    let count = seeds(120);
    for seed in 0..count {
        let mut random = Random::new(seed);
        let (mut machine, pace) = match seed % 4 {
            0 => (power_on(&embedded(1 + seed as u32 / 4 % 2), engine(seed / 4)), 1_000_000),
            _ => (Hostile::new(seed).machine(engine(seed).make()), 10_000),
        };
        let mut door = Fickle::new(seed, 3000);
        machine.run(&mut door, random.below(2 * pace));
        if spoil(&mut machine, &mut random) {
            taken += 1;
            let until = machine.now().saturating_add(3 * pace);
            machine.run(&mut door, until);
            let fingerprint = machine.fingerprint();
            // Checkpoints of it can be gone back to.
            let saved = machine.save();
            machine.load(&saved).expect("what was saved a moment ago loads");
            assert_eq!(machine.fingerprint(), fingerprint, "seed {seed}");
        }
    }
    assert!(taken > count / 3, "only {taken} of {count} were taken");
}
