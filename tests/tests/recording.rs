//! A recorded run, replayed, is the same run: whatever comes by the door, at whatever tick, whatever the guest does, and
//! whichever engines record and replay it.
//!
//! `REPRISE_SEEDS=N` tries N times as many seeds.

use reprise_core::clock::Tick;
use reprise_core::cpu::Register;
use reprise_core::edit::Edit;
use reprise_core::machine::{End, Fingerprint, Machine};
use reprise_core::output::Output;
use reprise_replay::format::DIGEST_INTERVAL;
use reprise_replay::{Audience, Ended, Header, Outcome, Recorded, Recorder, Recording, Replayer, Writer, reason};
use reprise_silicon::generate::Random;
use reprise_tests::busy::BusyHost;
use reprise_tests::fickle::Fickle;
use reprise_tests::hostile::Hostile;
use reprise_tests::machines::{CONSOLE, embedded, power_on};
use reprise_tests::seeded::{Temporary, engines, seeds};
use std::path::Path;

/// What one sees of a run.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    end: End,
    tick: Tick,
    icount: u64,
    fingerprint: Fingerprint,
    console: Vec<u8>,
}

fn seen(machine: &mut Machine, end: End, console: Vec<u8>) -> Seen {
    let (tick, icount, fingerprint) = (machine.now(), machine.icount(), machine.fingerprint());
    Seen { end, tick, icount, fingerprint, console }
}

/// Records what the machine does with what comes by `door`.
fn record(machine: &mut Machine, mut door: Fickle, until: Tick, file: &Path) -> Seen {
    let header = Header { build: "test".into(), config: "{}".into() };
    let mut recorder = Recorder::new(&mut door, Writer::create(file, &header).unwrap());
    let end = machine.run(&mut recorder, until);
    let (_, recorded) = recorder.into_parts();
    finish(machine, end, recorded, std::mem::take(&mut door.console))
}

fn finish(machine: &mut Machine, end: End, recorded: Recorded, console: Vec<u8>) -> Seen {
    let seen = seen(machine, end, console);
    let status = if let End::DebugExit(status) = end { status } else { 0 };
    let ended = Ended { reason: reason(end).into(), status, icount: seen.icount, fingerprint: seen.fingerprint };
    recorded.finish(seen.tick, ended).unwrap();
    seen
}

/// As [`record`], with a debugger that stops the machine at ticks drawn from `seed`, at those of digests among them, and
/// changes it there.
fn record_debugged(machine: &mut Machine, mut door: Fickle, until: Tick, file: &Path, seed: u64) -> (Seen, u64) {
    let header = Header { build: "test".into(), config: "{}".into() };
    let mut recorder = Recorder::new(&mut door, Writer::create(file, &header).unwrap());
    let (mut random, mut edits) = (Random::new(seed ^ 0x6564_6974), 0);
    let end = loop {
        edits += u64::from(recorder.edit(machine, &harmless(&mut random)).is_ok());
        let stop = machine.now() + 1 + random.below(until / 16);
        let stop = if random.percent(30) { stop.next_multiple_of(DIGEST_INTERVAL) } else { stop };
        let end = machine.run(&mut recorder, stop.min(until));
        if end != End::Until || machine.now() >= until {
            break end;
        }
    };
    let (_, recorded) = recorder.into_parts();
    (finish(machine, end, recorded, std::mem::take(&mut door.console)), edits)
}

/// A change after which a guest may go on: far beyond its kernel, or of a vector register.
fn harmless(random: &mut Random) -> Edit {
    let value = random.next();
    if value & 1 == 0 {
        return Edit::Register { cpu: value as u32 >> 1 & 3, register: Register::Xmm(15), value: value.into() };
    }
    Edit::Memory {
        address: 0x300_0000 + value % 0x10_0000,
        bytes: value.to_le_bytes()[..1 + value as usize % 8].to_vec(),
    }
}

/// Keeps the console; may leave.
#[derive(Default)]
struct Watcher {
    console: Vec<u8>,
}

impl Audience for Watcher {
    fn output(&mut self, _now: Tick, output: Output) {
        if let Output::Bytes { chardev: CONSOLE, bytes } = output {
            self.console.extend(bytes);
        }
    }

    fn pass(&mut self, _now: Tick) -> bool {
        true
    }

    fn idle(&mut self, now: Tick, until: Tick) {
        assert!(until >= now, "the clock goes forward");
    }
}

/// Replays it, in slices if `cuts` has a seed.
fn replay(machine: &mut Machine, file: &Path, cuts: Option<u64>) -> (Seen, Outcome, u64) {
    let (mut log, mut contents) = (Recording::open(file).unwrap(), Recording::open(file).unwrap());
    let ended = log.end().expect("it was finished").clone();
    let until = if ended.reason == "until" { log.last_tick() } else { Tick::MAX };
    let mut replayer = Replayer::new(log.events(0), &mut contents, &[], Watcher::default());
    let mut random = cuts.map(Random::new);
    let end = loop {
        let slice = match &mut random {
            Some(random) => machine.now().saturating_add(1 + random.below(3_000_000)).min(until),
            None => until,
        };
        let end = machine.run(&mut replayer, slice);
        if end != End::Until || machine.now() >= until {
            break end;
        }
    };
    let agreed = replayer.agreed();
    let (watcher, outcome) = replayer.finish(machine, end);
    (seen(machine, end, watcher.console), outcome, agreed)
}

/// Checks that a replay is the recorded run.
fn check(replayed: (Seen, Outcome, u64), recorded: &Seen, what: &str) -> u64 {
    let (seen, outcome, agreed) = replayed;
    assert!(matches!(outcome, Outcome::Ended(_)), "{what}: {outcome:?}, recorded {recorded:?}");
    assert!(seen == *recorded, "{what}: {seen:?} instead of {recorded:?}");
    agreed
}

#[test]
fn hostile_guests_replay() {
    let file = Temporary::new("hostile");
    let mut ends = Vec::new();
    for seed in 0..seeds(120) {
        let guest = Hostile::new(seed);
        let pace = [40, 500, 5000][seed as usize % 3];
        let [first, second] = engines(seed);
        let recorded = record(&mut guest.machine(first.make()), Fickle::new(seed, pace), guest.ticks, &file.0);
        check(replay(&mut guest.machine(second.make()), &file.0, None), &recorded, &format!("seed {seed}"));
        ends.push(reason(recorded.end));
    }
    for end in ["until", "quit", "reset"] {
        assert!(ends.contains(&end), "no run ended by {end}: {ends:?}");
    }
}

#[test]
fn the_embedded_guest_replays_in_one_piece_in_slices_and_on_a_busy_host() {
    let file = Temporary::new("embedded");
    for (seed, cpus) in (0..seeds(2)).flat_map(|seed| [(2 * seed, 1), (2 * seed + 1, 4)]) {
        let [first, second] = engines(seed).map(|engine| move || power_on(&embedded(cpus), engine));
        let recorded = record(&mut first(), Fickle::new(seed, 100_000), 600_000_000, &file.0);
        let what = format!("seed {seed}, {cpus} vCPUs");
        let agreed = check(replay(&mut second(), &file.0, None), &recorded, &what);
        let busy = BusyHost::new();
        let again = check(replay(&mut first(), &file.0, Some(seed)), &recorded, &what);
        drop(busy);
        assert_eq!(agreed, again, "{what}: digests");
        assert!(agreed * 10_000_000 <= recorded.tick, "{what}: {agreed} digests");
    }
}

#[test]
fn what_a_debugger_changes_in_a_run_that_is_recorded_is_replayed() {
    let file = Temporary::new("debugged");
    for (seed, cpus) in (0..seeds(2)).flat_map(|seed| [(2 * seed, 1), (2 * seed + 1, 4)]) {
        let [first, second] = engines(seed).map(|engine| move || power_on(&embedded(cpus), engine));
        let door = Fickle::new(seed, 100_000);
        let (recorded, edits) = record_debugged(&mut first(), door, 300_000_000, &file.0, seed);
        let what = format!("seed {seed}, {cpus} vCPUs");
        assert!(edits > 0, "{what}: no change could be made");
        check(replay(&mut second(), &file.0, None), &recorded, &what);
        check(replay(&mut first(), &file.0, Some(seed)), &recorded, &what);
    }
}
