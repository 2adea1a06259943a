//! What is written is read again, and the file is as small as it has to be.

use crate::samples::{Place, Random, Run, all, config, digest, ended};
use reprise_core::backend::DiskId;
use reprise_core::door::HostInput;
use reprise_core::edit::Edit;
use reprise_replay::format::DIGEST_INTERVAL;
use reprise_replay::{Event, Recording};
use std::fs;

#[test]
fn random_runs_come_back() {
    let place = Place::new();
    for seed in 0..60 {
        let run = Run::random(seed, 200, [4, 80, 5000][seed as usize % 3]);
        let path = place.path("run");
        let bytes = run.write(&path);
        let mut recording = Recording::open(&path).unwrap();
        assert_eq!(recording.damage(), None);
        assert_eq!(bytes, std::fs::metadata(&path).unwrap().len());
        assert_eq!(recording.file_names(), run.files.keys().cloned().collect::<Vec<_>>());
        run.files.iter().for_each(|(name, bytes)| assert_eq!(&recording.file(name).unwrap(), bytes));
        for (&(disk, cluster), bytes) in &run.clusters {
            assert_eq!(recording.cluster(disk, cluster).unwrap().as_ref(), Some(bytes));
        }
        assert_eq!(recording.cluster(DiskId(9), 0).unwrap(), None);
        assert_eq!(all(recording.events(0)), run.events, "seed {seed}");
        assert_eq!(recording.last_tick(), run.events.last().unwrap().0);
        assert_eq!(recording.end().map(|end| Event::End(end.clone())), run.events.last().map(|(_, end)| end.clone()));
    }
}

#[test]
fn a_boot_without_input_takes_4_kib() {
    let place = Place::new();
    let mut random = Random(1);
    let run = Run { config: config(), ..Run::default() };
    let mut writer = run.writer(&place.path("boot"));
    for number in 1..=550 {
        writer.event(number * DIGEST_INTERVAL, &Event::Digest(digest(&mut random))).unwrap();
    }
    writer.event(550 * DIGEST_INTERVAL + 1234, &Event::End(ended(&mut random))).unwrap();
    let bytes = writer.finish().unwrap();
    println!(
        "{} bytes of configuration; {bytes} bytes: {:?}",
        run.config.len(),
        Recording::open(&place.path("boot")).unwrap().sizes()
    );
    assert!(bytes <= 4096, "{bytes} bytes");
}

#[test]
fn any_tick_can_be_sought() {
    let place = Place::new();
    let run = Run::random(8, 3000, 1500);
    run.write(&place.path("run"));
    let mut recording = Recording::open(&place.path("run")).unwrap();
    let mut random = Random(8);
    let last = recording.last_tick();
    let somewhere = (0..60).map(|_| random.below(last)).collect::<Vec<_>>();
    let exact = run.events.iter().step_by(150).map(|(tick, _)| *tick);
    for from in somewhere.into_iter().chain(exact).chain([last, last + 1]) {
        let first = run.events.partition_point(|(tick, _)| *tick < from);
        assert_eq!(all(recording.events(from)), run.events[first..], "from {from}");
    }
}

#[test]
fn an_input_costs_its_payload_and_16_bytes() {
    let place = Place::new();
    let run = Run::random(5, 2000, 300);
    run.write(&place.path("run"));
    let payload = |event: &Event| match event {
        Event::Input(HostInput::Chardev { bytes, .. } | HostInput::Random { bytes, .. }) => bytes.len() + 16,
        Event::Input(HostInput::Frame { frame, .. }) => frame.len() + 16,
        // An address is payload, and so is a value.
        Event::Input(HostInput::Edit(Edit::Memory { address: _, bytes })) => 8 + bytes.len() + 16,
        Event::Input(HostInput::Edit(Edit::Register { .. })) => 16 + 16,
        Event::Input(_) | Event::End(_) => 16,
        Event::Digest(_) => 0,
    };
    let allowed: usize = run.events.iter().map(|(_, event)| payload(event)).sum();
    let sizes = Recording::open(&place.path("run")).unwrap().sizes();
    assert!(sizes.inputs <= allowed as u64, "{} bytes for {allowed}", sizes.inputs);
    let digests = run.events.iter().filter(|(_, event)| matches!(event, Event::Digest(_))).count() as u64;
    assert!(sizes.digests <= 5 * digests, "{} bytes for {digests} digests", sizes.digests);
    let counted =
        sizes.header + sizes.files + sizes.clusters + sizes.inputs + sizes.digests + sizes.checkpoints + sizes.index;
    assert_eq!(counted, sizes.total);
}

/// What the first version of the format has means the same in the second.
#[test]
fn recordings_of_the_first_version_are_read() {
    let place = Place::new();
    let mut run = Run::random(6, 300, 300);
    run.events.retain(|(_, event)| !matches!(event, Event::Input(HostInput::Edit(_))));
    let mut bytes = run.bytes(&place.path("run"));
    assert_eq!(Recording::open(&place.path("run")).unwrap().version(), 2);
    bytes[8] = 1;
    fs::write(place.path("old"), &bytes).unwrap();
    let mut recording = Recording::open(&place.path("old")).unwrap();
    assert_eq!((recording.version(), recording.damage()), (1, None));
    assert_eq!(all(recording.events(0)), run.events);
}
