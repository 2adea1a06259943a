use super::*;
use crate::format::Event;
use crate::tests::{DISK, Host, LENGTH, machine, record};
use crate::{Audience, Outcome, Replayer};
use reprise_core::machine::End;
use reprise_core::output::Output;
use std::fs;
use std::path::Path;

/// Ticks between checkpoints: some are where digests are, some where the machine sleeps.
const EVERY: Tick = 17_500_000;

struct Nobody;

impl Audience for Nobody {
    fn output(&mut self, _: Tick, _: Output) {}
    fn pass(&mut self, _: Tick) -> bool {
        true
    }
    fn idle(&mut self, _: Tick, _: Tick) {}
}

/// Replays what is recorded in `from`, and stores checkpoints of it in `to`; their fingerprints.
fn store(from: &Path, to: &Path) -> Vec<(Tick, Fingerprint)> {
    let (mut log, mut contents) = (Recording::open(from).unwrap(), Recording::open(from).unwrap());
    let mut writer = Writer::copy(to, &contents).unwrap();
    let mut machine = machine();
    let mut storing = Storing::new(&mut machine);
    let mut replayer = Replayer::new(log.events(0), &mut contents, &[DISK], Nobody);
    let mut fingerprints = Vec::new();
    for stop in (EVERY..LENGTH).step_by(EVERY as usize) {
        assert_eq!(machine.run(&mut replayer, stop), End::Until);
        storing.store(&mut machine, &mut writer).unwrap();
        fingerprints.push((stop, machine.fingerprint()));
    }
    writer.finish().unwrap();
    fingerprints
}

/// A recording with checkpoints.
pub(crate) struct Sample {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) fingerprints: Vec<(Tick, Fingerprint)>,
    pub(crate) end: Fingerprint,
}

impl Sample {
    pub(crate) fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (plain, stored) = (folder.path().join("plain"), folder.path().join("stored"));
        let (_, end, error) = record(&plain, Host::new(seed));
        assert!(error.is_none(), "{error:?}");
        let fingerprints = store(&plain, &stored);
        Self { folder, fingerprints, end }
    }

    pub(crate) fn open(&self, name: &str) -> Recording {
        Recording::open(&self.folder.path().join(name)).unwrap()
    }

    /// The recording with these bytes.
    pub(crate) fn damaged(&self, bytes: &[u8]) -> Recording {
        let path = self.folder.path().join("damaged");
        let _ = fs::remove_file(&path);
        fs::write(&path, bytes).unwrap();
        Recording::open(&path).unwrap()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        fs::read(self.folder.path().join("stored")).unwrap()
    }
}

fn events(recording: &mut Recording) -> Vec<(Tick, Event)> {
    recording.events(0).map(|event| event.unwrap()).collect()
}

/// Goes on from a checkpoint, to the end.
fn finish(machine: &mut Machine, sample: &Sample) -> Outcome {
    let (mut log, mut contents) = (sample.open("stored"), sample.open("stored"));
    let mut replayer = Replayer::new(log.events(machine.now() + 1), &mut contents, &[DISK], Nobody);
    let end = machine.run(&mut replayer, LENGTH);
    replayer.finish(machine, end).1
}

#[test]
fn a_checkpoint_is_the_state_that_a_replay_comes_to() {
    for seed in 0..6 {
        let sample = Sample::new(seed);
        let recording = sample.open("stored");
        assert!(recording.checkpoints().eq(sample.fingerprints.iter().map(|(tick, _)| *tick)));
        assert_eq!((recording.damage(), recording.check().unwrap()), (None, None));
        let mut machine = machine();
        let origin = machine.fingerprint();
        // In no order of time: one after the other in the same machine.
        for at in [5, 2, 9, 0, 10, 9] {
            let (tick, fingerprint) = sample.fingerprints[at];
            restore(&recording, tick, &mut machine, origin).unwrap();
            assert_eq!((machine.now(), machine.fingerprint()), (tick, fingerprint), "seed {seed}, tick {tick}");
        }
        let Outcome::Ended(ended) = finish(&mut machine, &sample) else { panic!("seed {seed}") };
        assert_eq!((ended.fingerprint, machine.fingerprint()), (sample.end, sample.end), "seed {seed}");
    }
}

#[test]
fn checkpoints_change_nothing_else_in_a_recording() {
    let sample = Sample::new(1);
    let (mut plain, mut stored) = (sample.open("plain"), sample.open("stored"));
    assert_eq!(events(&mut plain), events(&mut stored));
    assert_eq!(plain.header(), stored.header());
    assert!(plain.clusters().eq(stored.clusters()));
    let (before, after) = (plain.sizes(), stored.sizes());
    assert_eq!((before.checkpoints, after.inputs, after.clusters), (0, before.inputs, before.clusters));
    let named = after.header + after.files + after.clusters + after.inputs + after.digests + after.checkpoints;
    assert_eq!(named + after.index, after.total);
    assert!(after.checkpoints > 0);
}

/// Without an index the frames are read one by one.
#[test]
fn checkpoints_are_found_without_an_index() {
    let sample = Sample::new(2);
    let mut bytes = sample.bytes();
    let length = bytes.len();
    bytes.truncate(length - 1);
    let (recording, mut machine) = (sample.damaged(&bytes), machine());
    let origin = machine.fingerprint();
    assert!(recording.checkpoints().eq(sample.fingerprints.iter().map(|(tick, _)| *tick)));
    assert_eq!(recording.sizes().checkpoints, sample.open("stored").sizes().checkpoints);
    let (tick, fingerprint) = sample.fingerprints[7];
    restore(&recording, tick, &mut machine, origin).unwrap();
    assert_eq!(machine.fingerprint(), fingerprint);
}

#[test]
fn a_checkpoint_of_another_machine_or_build_is_not_used() {
    let sample = Sample::new(3);
    let recording = sample.open("stored");
    let mut machine = machine();
    let origin = machine.fingerprint();
    let tick = sample.fingerprints[3].0;
    let other = Fingerprint { parts: origin.parts ^ 1, ..origin };
    assert!(matches!(restore(&recording, tick, &mut machine, other), Err(StoredError::Origin { .. })));
    assert!(matches!(restore(&recording, tick + 1, &mut machine, origin), Err(StoredError::None(_))));
    assert_eq!(machine.fingerprint(), origin, "it was not touched");
    let mut stored = recording.stored_checkpoint(tick).unwrap().unwrap();
    stored.build.push('x');
    assert!(matches!(check(&stored, origin), Err(StoredError::Build { .. })));
}

/// Wrong bits are found by checksums; and the checkpoints that they are not in are as good as before.
#[test]
fn damage_is_told_and_the_next_one_is_used() {
    let sample = Sample::new(4);
    let good = sample.bytes();
    let (mut machine, stored) = (machine(), sample.open("stored").sizes().checkpoints as usize);
    let origin = machine.fingerprint();
    let end = good.len() - sample.open("stored").sizes().index as usize;
    let mut spoilt = 0;
    for at in (end - stored..end).step_by(stored / 40) {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        let recording = sample.damaged(&bytes);
        let mut whole = 0;
        for &(tick, fingerprint) in &sample.fingerprints {
            match restore(&recording, tick, &mut machine, origin) {
                Ok(()) => assert_eq!(machine.fingerprint(), fingerprint),
                Err(error) => {
                    assert!(matches!(error, StoredError::Read(_)), "{error}");
                    spoilt += 1;
                    continue;
                }
            }
            whole += 1;
        }
        assert!(whole < sample.fingerprints.len(), "nothing is wrong with a bit at {at:#x}");
        assert!(recording.check().unwrap().is_some());
    }
    assert!(spoilt > 40);
}

/// What is well formed, and wrong: another state, another page, another tick.
#[test]
fn what_is_not_the_state_that_it_says_is_not_used() {
    let sample = Sample::new(5);
    let recording = sample.open("stored");
    let (mut machine, tick) = (machine(), sample.fingerprints[6].0);
    let origin = machine.fingerprint();
    let good = recording.stored_checkpoint(tick).unwrap().unwrap();
    let damages: [fn(&mut Stored); 6] = [
        |stored| stored.fingerprint.memory ^= 1,
        |stored| stored.runs[0].place += 1,
        |stored| stored.runs.clear(),
        |stored| stored.disks[0].blocks[0].written ^= 2,
        |stored| stored.disks.clear(),
        |stored| stored.runs.last_mut().unwrap().first = 1 << 20,
    ];
    for (case, damage) in damages.into_iter().enumerate() {
        let mut stored = good.clone();
        damage(&mut stored);
        let path = sample.folder.path().join("wrong");
        let mut writer = Writer::copy(&path, &recording).unwrap();
        writer.stored(&stored).unwrap();
        writer.finish().unwrap();
        let wrong = Recording::open(&path).unwrap();
        let Err(error) = restore(&wrong, tick, &mut machine, origin) else { panic!("case {case}: it was used") };
        let is_told = !matches!(error, StoredError::None(_) | StoredError::Build { .. } | StoredError::Origin { .. });
        assert!(is_told, "case {case}: {error}");
        restore(&wrong, sample.fingerprints[2].0, &mut machine, origin).unwrap();
        assert_eq!(machine.fingerprint(), sample.fingerprints[2].1, "case {case}");
    }
}

/// Any bytes in place of a machine's state are refused or are some state; and none of it lasts.
#[test]
fn hostile_states_do_no_harm() {
    let sample = Sample::new(6);
    let recording = sample.open("stored");
    let mut machine = machine();
    let origin = machine.fingerprint();
    let good = recording.stored_checkpoint(sample.fingerprints[6].0).unwrap().unwrap();
    let mut taken = 0;
    for seed in 0..2000u64 {
        let mut parts = good.parts.clone();
        for change in 0..1 + seed % 4 {
            let random = crate::tests::mix(seed << 8 | change);
            let at = (random >> 16) as usize % parts.len();
            parts[at] = if random & 1 == 0 { random as u8 } else { 0xff };
        }
        let before = machine.encode_parts();
        match machine.load_parts(&parts, &machine.board.disks().map(|(_, disk)| disk.save()).collect::<Vec<_>>()) {
            Ok(()) => {
                assert_eq!(machine.encode_parts(), parts, "seed {seed}");
                taken += 1;
            }
            Err(_) => assert_eq!(machine.encode_parts(), before, "seed {seed}"),
        }
    }
    assert!(taken > 100, "{taken}");
    let (tick, fingerprint) = sample.fingerprints[1];
    restore(&recording, tick, &mut machine, origin).unwrap();
    assert_eq!(machine.fingerprint(), fingerprint);
    assert!(matches!(finish(&mut machine, &sample), Outcome::Ended(_)));
}
