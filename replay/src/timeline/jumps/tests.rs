use super::*;
use crate::format::{Event, Writer};
use crate::stored::tests::Sample;
use crate::tests::{DISK, LENGTH, header, machine, mix};
use crate::timeline::{Direction, Stop, Watcher};
use reprise_core::backend::DiskId;
use reprise_core::edit::Edit;
use reprise_core::output::Output;
use reprise_core::probe::{Addressing, Hit, Probes, Watch, Watchpoint};
use std::path::Path;

struct Nobody;

impl Watcher for Nobody {
    fn pass(&mut self, _: Tick) -> bool {
        true
    }
    fn output(&mut self, _: Tick, _: Output) {}
}

/// A timeline that keeps few checkpoints of its own, or many.
fn timeline(recording: Recording, memory: u64) -> Timeline {
    Timeline::new(machine(), recording, vec![DISK], memory).unwrap()
}

/// The last stored checkpoint up to a tick.
fn stored(sample: &Sample, tick: Tick) -> Tick {
    sample.fingerprints.iter().map(|(at, _)| *at).rfind(|at| *at <= tick).unwrap()
}

#[test]
fn what_lies_before_a_stored_checkpoint_is_not_run() {
    let sample = Sample::new(20);
    let mut timeline = timeline(sample.open("stored"), 1 << 20);
    assert_eq!(timeline.seek(LENGTH - 5, &mut Nobody), Stop::Reached);
    let near = stored(&sample, LENGTH - 5);
    let kept: Vec<_> = timeline.checkpoints.ticks().take(2).collect();
    assert_eq!(kept, [0, near]);
    assert_eq!(timeline.take_notes(), Vec::<String>::new());
}

#[test]
fn every_position_has_the_state_that_it_has_without_stored_checkpoints() {
    for seed in 0..4 {
        let sample = Sample::new(seed);
        let mut plain = timeline(sample.open("plain"), 8 << 20);
        let mut jumping = timeline(sample.open("stored"), [8 << 20, 300 << 10][seed as usize % 2]);
        for step in 0..60 {
            let tick = mix(seed << 32 ^ step) % LENGTH;
            assert_eq!(plain.seek(tick, &mut Nobody), Stop::Reached);
            assert_eq!(jumping.seek(tick, &mut Nobody), Stop::Reached);
            let (expected, found) = (plain.machine_mut().fingerprint(), jumping.machine_mut().fingerprint());
            assert_eq!(found, expected, "seed {seed}, step {step}, tick {tick}");
        }
        assert_eq!(jumping.seek(Tick::MAX, &mut Nobody), Stop::End("the run was told to end there".into()));
        assert_eq!(jumping.machine_mut().fingerprint(), sample.end, "seed {seed}");
    }
}

fn watch(range: std::ops::Range<u64>) -> Probes {
    let watchpoint = Watchpoint { watch: Watch::Write, addressing: Addressing::Physical, range };
    Probes { watchpoints: vec![watchpoint], ..Probes::default() }
}

/// Everything that a run backwards over all of history meets, from its end.
fn hits_backwards(timeline: &mut Timeline, probes: &Probes) -> Vec<Hit> {
    timeline.seek(LENGTH - 1, &mut Nobody);
    let mut all = Vec::new();
    while let Stop::Hits(hits) = timeline.run(probes, Direction::Backward, &mut Nobody) {
        all.extend(hits);
    }
    assert_eq!(timeline.now(), 0);
    all
}

/// What was written between two stored checkpoints, and is as it was before, was written nevertheless.
#[test]
fn what_was_written_on_the_way_of_a_jump_is_found() {
    for seed in 0..3 {
        let sample = Sample::new(seed);
        let (mut plain, mut jumping) =
            (timeline(sample.open("plain"), 8 << 20), timeline(sample.open("stored"), 1 << 20));
        let probes = watch(0x3000..0x6000);
        let expected = hits_backwards(&mut plain, &probes);
        assert!(expected.len() > 3, "seed {seed}: {}", expected.len());
        assert_eq!(hits_backwards(&mut jumping, &probes), expected, "seed {seed}");
        for step in 0..6 {
            let here = mix(seed << 20 ^ step) % LENGTH;
            let address = 0x2000 + mix(step) % 0x8000;
            let last = |timeline: &mut Timeline| {
                timeline.seek(here, &mut Nobody);
                timeline.last_write(address..address + 1, &mut Nobody)
            };
            // Anew each time: nothing between is known.
            let mut jumping = timeline(sample.open("stored"), 1 << 20);
            assert_eq!(last(&mut jumping), last(&mut plain), "seed {seed}, {address:#x} before {here}");
        }
    }
}

#[test]
fn a_checkpoint_that_cannot_be_used_is_told_once_and_done_without() {
    let sample = Sample::new(7);
    let mut bytes = sample.bytes();
    let index = sample.open("stored").sizes().index as usize;
    let at = bytes.len() - index - 20;
    bytes[at] ^= 1;
    let mut timeline = timeline(sample.damaged(&bytes), 1 << 20);
    assert_eq!(timeline.seek(LENGTH - 1, &mut Nobody), Stop::Reached);
    let notes = timeline.take_notes();
    assert!(
        matches!(&notes[..], [note] if note.contains("damaged at offset") && note.ends_with("it is not used")),
        "{notes:?}"
    );
    assert_eq!(timeline.seek(Tick::MAX, &mut Nobody), Stop::End("the run was told to end there".into()));
    assert_eq!(timeline.machine_mut().fingerprint(), sample.end);
    timeline.seek(3, &mut Nobody);
    timeline.seek(LENGTH - 1, &mut Nobody);
    assert_eq!(timeline.take_notes(), Vec::<String>::new());
}

/// A diversion has another future than the one that is stored.
#[test]
fn no_jump_leads_past_a_change() {
    let sample = Sample::new(8);
    let (mut plain, mut jumping) = (timeline(sample.open("plain"), 8 << 20), timeline(sample.open("stored"), 1 << 20));
    for timeline in [&mut plain, &mut jumping] {
        timeline.seek(60_000_000, &mut Nobody);
        timeline.edit(Edit::Memory { address: 0x20000, bytes: vec![1, 2, 3] }).unwrap();
    }
    for tick in [180_000_000, 55_000_000, 100_000_000] {
        let state = |timeline: &mut Timeline| {
            assert_eq!(timeline.seek(tick, &mut Nobody), Stop::Reached);
            timeline.machine_mut().fingerprint()
        };
        assert_eq!(state(&mut jumping), state(&mut plain), "tick {tick}");
    }
}

/// The recording with another digest at `tick`; its checkpoints are as they were.
fn with_other_digest(sample: &Sample, tick: Tick, to: &Path) {
    let (mut plain, stored) = (sample.open("plain"), sample.open("stored"));
    let events: Vec<_> = plain.events(0).map(|event| event.unwrap()).collect();
    let forged = sample.folder.path().join("forged");
    let mut writer = Writer::create(&forged, &header()).unwrap();
    for cluster in 0..10 {
        if let Some(bytes) = plain.cluster(DiskId(0), cluster).unwrap() {
            writer.cluster(DiskId(0), cluster, &bytes).unwrap();
        }
    }
    for (at, event) in events {
        let event = match event {
            Event::Digest(mut digest) if at == tick => {
                digest.sum ^= 1;
                Event::Digest(digest)
            }
            other => other,
        };
        writer.event(at, &event).unwrap();
    }
    writer.finish().unwrap();
    // The pages of all checkpoints, and where they are now.
    let mut writer = Writer::copy(to, &Recording::open(&forged).unwrap()).unwrap();
    for at in stored.checkpoints() {
        let mut checkpoint = stored.stored_checkpoint(at).unwrap().unwrap();
        for offset in &mut checkpoint.frames {
            let pages = stored.stored_pages(*offset).unwrap();
            *offset = writer.stored_pages(&pages).unwrap();
        }
        writer.stored(&checkpoint).unwrap();
    }
    writer.finish().unwrap();
}

#[test]
fn digests_that_were_jumped_over_are_compared_when_the_way_is_run() {
    let sample = Sample::new(9);
    let path = sample.folder.path().join("other");
    with_other_digest(&sample, 40_000_000, &path);
    let mut timeline = timeline(Recording::open(&path).unwrap(), 1 << 20);
    assert_eq!(timeline.seek(100_000_000, &mut Nobody), Stop::Reached);
    // From the checkpoint at 35,000,000 on.
    let stop = timeline.seek(45_000_000, &mut Nobody);
    assert!(matches!(&stop, Stop::Broken(why) if why.contains("40000000")), "{stop:?}");
}

/// The difference was jumped over, and something was changed behind it: history ends at the difference all the same.
#[test]
fn a_difference_before_a_change_ends_history() {
    let sample = Sample::new(9);
    let path = sample.folder.path().join("changed");
    with_other_digest(&sample, 40_000_000, &path);
    let mut timeline = timeline(Recording::open(&path).unwrap(), 1 << 20);
    assert_eq!(timeline.seek(100_000_000, &mut Nobody), Stop::Reached);
    timeline.edit(Edit::Memory { address: 0x20000, bytes: vec![1, 2, 3] }).unwrap();
    let stop = timeline.seek(45_000_000, &mut Nobody);
    assert!(matches!(&stop, Stop::Broken(why) if why.contains("40000000")), "{stop:?}");
    assert_eq!((timeline.now(), timeline.diverted_at()), (39_999_999, None));
    assert_eq!(timeline.seek(10_000_000, &mut Nobody), Stop::Reached);
}
