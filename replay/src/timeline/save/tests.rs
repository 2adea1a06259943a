use super::*;
use crate::tests::{DISK, Host, LENGTH, machine, mix, record};
use crate::timeline::{Direction, Stop};
use crate::{Audience, Outcome, Replayer};
use reprise_core::edit::Edit;
use reprise_core::machine::Fingerprint;
use reprise_core::probe::{Addressing, Probes, Watch, Watchpoint};

struct Nobody;

impl Watcher for Nobody {
    fn pass(&mut self, _: Tick) -> bool {
        true
    }
    fn output(&mut self, _: Tick, _: Output) {}
}

impl Audience for Nobody {
    fn output(&mut self, _: Tick, _: Output) {}
    fn pass(&mut self, _: Tick) -> bool {
        true
    }
    fn idle(&mut self, _: Tick, _: Tick) {}
}

/// Replays a recording to its end; its last tick and fingerprint.
fn replayed(path: &Path) -> (Tick, Fingerprint, Outcome) {
    let (mut log, mut contents) = (Recording::open(path).unwrap(), Recording::open(path).unwrap());
    let (mut machine, last) = (machine(), log.last_tick());
    let mut replayer = Replayer::new(log.events(0), &mut contents, &[DISK], Nobody);
    let end = machine.run(&mut replayer, last);
    let (_, outcome) = replayer.finish(&mut machine, end);
    (machine.now(), machine.fingerprint(), outcome)
}

fn write(address: u64, byte: u8) -> Edit {
    Edit::Memory { address, bytes: vec![byte; 5] }
}

/// A timeline of a recording in a folder of its own.
fn timeline(seed: u64) -> (tempfile::TempDir, Timeline) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recorded");
    let (_, _, error) = record(&path, Host::new(seed));
    assert!(error.is_none(), "{error:?}");
    let timeline = Timeline::new(machine(), Recording::open(&path).unwrap(), vec![DISK], 8 << 20).unwrap();
    (folder, timeline)
}

#[test]
fn a_diversion_that_is_saved_is_a_recording_of_it() {
    for seed in 0..8 {
        let (folder, mut timeline) = timeline(seed);
        // At the start, at a digest, and anywhere.
        let first = [0, 30_000_000, mix(seed) % 100_000_000][seed as usize % 3];
        timeline.seek(first, &mut Nobody);
        // What the device answers depends on what it hears: memory alone would change little.
        timeline.edit(write(0x40000, 7)).unwrap();
        timeline.seek(first + 20_000_000, &mut Nobody);
        timeline.edit(write(0x50000, 8)).unwrap();
        timeline.edit(write(0x50002, 9)).unwrap();
        for here in [first + 20_000_000, 150_000_000 + mix(seed) % 1000, LENGTH - 1] {
            assert_eq!(timeline.seek(here, &mut Nobody), Stop::Reached);
            let path = folder.path().join(here.to_string());
            let fingerprint = timeline.machine_mut().fingerprint();
            let bytes = timeline.save(&path, &mut Nobody).unwrap();
            assert_eq!(bytes, fs::metadata(&path).unwrap().len());
            assert_eq!((timeline.now(), timeline.machine_mut().fingerprint()), (here, fingerprint));
            let (tick, found, outcome) = replayed(&path);
            assert!(matches!(outcome, Outcome::Ended(_)), "seed {seed}, {here}: {outcome:?}");
            assert_eq!((tick, found), (here, fingerprint), "seed {seed}");
        }
    }
}

/// Nor does it end where a probe was hit on the way to the position.
#[test]
fn what_was_waited_for_does_not_end_what_is_saved() {
    let (folder, mut timeline) = timeline(5);
    timeline.seek(10_000_000, &mut Nobody);
    timeline.edit(write(0x40000, 1)).unwrap();
    let watchpoint = Watchpoint { watch: Watch::Write, addressing: Addressing::Physical, range: 0x2000..0xb000 };
    let probes = Probes { watchpoints: vec![watchpoint], ..Probes::default() };
    for _ in 0..3 {
        assert!(matches!(timeline.run(&probes, Direction::Forward, &mut Nobody), Stop::Hits(_)));
    }
    let (here, fingerprint) = (timeline.now(), timeline.machine_mut().fingerprint());
    let path = folder.path().join("saved");
    timeline.save(&path, &mut Nobody).unwrap();
    let (tick, found, _) = replayed(&path);
    assert_eq!((tick, found), (here, fingerprint));
}

#[test]
fn what_is_no_diversion_is_not_saved_and_no_file_is_replaced() {
    let (folder, mut timeline) = timeline(3);
    let path = folder.path().join("saved");
    let error = timeline.save(&path, &mut Nobody).unwrap_err();
    assert!(error.to_string().contains("nothing was changed") && !path.exists(), "{error}");
    timeline.seek(50_000_000, &mut Nobody);
    timeline.edit(write(0x40000, 1)).unwrap();
    fs::write(&path, "mine").unwrap();
    let error = timeline.save(&path, &mut Nobody).unwrap_err();
    assert!(error.to_string().contains("already"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"mine");
    let error = timeline.save(&folder.path().join("no/folder"), &mut Nobody).unwrap_err();
    assert!(error.to_string().starts_with("cannot create recording"), "{error}");
}

#[test]
fn an_interrupted_save_leaves_nothing() {
    struct Impatient;
    impl Watcher for Impatient {
        fn pass(&mut self, _: Tick) -> bool {
            false
        }
        fn output(&mut self, _: Tick, _: Output) {}
    }
    let (folder, mut timeline) = timeline(4);
    timeline.seek(10_000_000, &mut Nobody);
    timeline.edit(write(0x40000, 1)).unwrap();
    timeline.seek(150_000_000, &mut Nobody);
    let path = folder.path().join("saved");
    let error = timeline.save(&path, &mut Impatient).unwrap_err();
    assert!(error.to_string().contains("interrupted") && !path.exists(), "{error}");
    assert_eq!(timeline.now(), 150_000_000);
}
