//! What the writer promises: the same run is the same bytes, contents are stored once, and whatever ends the recorder
//! costs at most the frame that it was filling.

use crate::frames::{self, CONTENTS};
use crate::samples::{Place, Random, Run, all, digest};
use reprise_core::backend::{ChardevId, DiskId};
use reprise_core::door::HostInput;
use reprise_replay::format::DIGEST_INTERVAL;
use reprise_replay::{Event, ReadError, Recording, WriteError};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

#[test]
fn the_same_run_is_the_same_bytes() {
    let place = Place::new();
    for seed in 0..10 {
        let run = Run::random(seed, 500, 900);
        let bytes = run.bytes(&place.path("one"));
        // What was there before is nothing that is kept.
        fs::write(place.path("other"), vec![1; 9_000_000]).unwrap();
        assert!(bytes == run.bytes(&place.path("other")), "seed {seed}");
    }
}

#[test]
fn contents_are_stored_once() {
    let place = Place::new();
    let run = Run::default();
    let mut writer = run.writer(&place.path("run"));
    let piece = Random(1).bytes(1 << 20);
    let large = [piece.as_slice(), &piece, &[0; 1 << 16], &piece].concat();
    writer.file("one", &large).unwrap();
    writer.file("two", &large).unwrap();
    writer.file("two", &large).unwrap();
    for cluster in [7, 3, 7, u64::MAX] {
        writer.cluster(DiskId(0), cluster, &[0; 1 << 16]).unwrap();
        writer.cluster(DiskId(1), cluster, &piece[..1 << 16]).unwrap();
    }
    writer.finish().unwrap();
    let bytes = fs::read(place.path("run")).unwrap();
    // The file's pieces are at whole MiB: two of its four are the same, the clusters are two more.
    let contents = frames::of(&bytes).iter().filter(|frame| frame.kind == CONTENTS).count();
    assert_eq!(contents, 5);
    let mut recording = Recording::open(&place.path("run")).unwrap();
    assert!(recording.file("one").unwrap() == large && recording.file("two").unwrap() == large);
    assert_eq!(recording.cluster(DiskId(0), u64::MAX).unwrap().unwrap(), [0; 1 << 16]);
    assert_eq!(recording.cluster(DiskId(1), 3).unwrap().unwrap(), &piece[..1 << 16]);
}

#[test]
fn what_changes_under_the_recorder_is_told() {
    let place = Place::new();
    let mut writer = Run::default().writer(&place.path("run"));
    writer.cluster(DiskId(1), 2, &[1; 512]).unwrap();
    let error = writer.cluster(DiskId(1), 2, &[2; 512]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the image of disk 1 changed during the run: at offset 0x20000, expected what was read there first, found other \
         contents: let nothing else write to it"
    );
    writer.file("kernel", b"one").unwrap();
    assert!(matches!(writer.file("kernel", b"two"), Err(WriteError::FileChanged { name }) if name == "kernel"));
    let large = vec![0; (64 << 10) + 1];
    assert!(matches!(writer.cluster(DiskId(1), 3, &large), Err(WriteError::TooLarge { found: 65537, .. })));
    let clusters = HostInput::Cluster { disk: DiskId(1), cluster: 9, data: vec![3; 512] };
    writer.event(5, &Event::Input(clusters)).unwrap();
    writer.finish().unwrap();
    let mut recording = Recording::open(&place.path("run")).unwrap();
    assert_eq!(recording.cluster(DiskId(1), 9).unwrap(), Some(vec![3; 512]));
    assert_eq!(recording.cluster(DiskId(1), 2).unwrap(), Some(vec![1; 512]));
    assert_eq!(recording.events(0).count(), 0);
}

/// Where a run writes until it is stopped, in another process: the test that is named starts itself with this.
const STOPPED: &str = "STOPPED_RECORDING";

fn endless(path: &Path) -> WriteError {
    let mut writer = Run::default().writer(path);
    let mut random = Random(1);
    for number in 1.. {
        let tick = number * DIGEST_INTERVAL;
        let bytes = HostInput::Chardev { chardev: ChardevId(0), bytes: random.bytes(40) };
        let digest = Event::Digest(digest(&mut random));
        let written = writer
            .event(tick, &digest)
            .and_then(|()| writer.event(tick, &Event::Input(bytes)))
            .and_then(|()| writer.cluster(DiskId(0), number, &random.bytes(512)));
        if let Err(error) = written {
            let again = writer.flush().unwrap_err();
            assert!(matches!(again, WriteError::Ended { .. }), "{again}");
            assert!(matches!(writer.finish(), Err(WriteError::Ended { .. })));
            return error;
        }
    }
    unreachable!("the loop has no end")
}

/// What is in a recording of [`endless`] are its first events; how many.
fn check_endless(recording: &mut Recording) -> u64 {
    let mut random = Random(1);
    let events = all(recording.events(0));
    for (index, (tick, event)) in events.iter().enumerate() {
        let number = index as u64 / 2 + 1;
        assert_eq!(*tick, number * DIGEST_INTERVAL);
        if index % 2 == 1 {
            let cluster = random.bytes(512);
            // Contents come before what follows them; the last ones may be those that the recorder was at.
            assert_eq!(recording_cluster(recording, number), Some(cluster), "cluster {number}");
            continue;
        }
        let bytes = random.bytes(40);
        assert_eq!(*event, Event::Digest(digest(&mut random)));
        let input = Event::Input(HostInput::Chardev { chardev: ChardevId(0), bytes });
        assert!(events.get(index + 1).is_none_or(|(_, event)| *event == input));
    }
    events.len() as u64
}

fn recording_cluster(recording: &mut Recording, number: u64) -> Option<Vec<u8>> {
    recording.cluster(DiskId(0), number).unwrap()
}

/// This test program, to run `test` in a shell that does `before` first.
fn start(test: &str, before: &str, path: &Path) -> Child {
    let program = std::env::current_exe().unwrap();
    let script = format!("{before}; exec \"$0\" --exact {test}");
    Command::new("sh").args(["-c", &script]).arg(program).env(STOPPED, path).stdout(Stdio::null()).spawn().unwrap()
}

/// The limit of a file's size stands for a full disk: the host takes a part of a write, then nothing.
#[test]
fn a_full_disk_costs_what_did_not_fit() {
    if let Some(path) = std::env::var_os(STOPPED) {
        let error = endless(path.as_ref());
        assert!(matches!(error, WriteError::Host { offset: 1.., .. }), "{error}");
        return;
    }
    let place = Place::new();
    let path = place.path("full");
    let test = "writing::a_full_disk_costs_what_did_not_fit";
    let status = start(test, "trap '' XFSZ; ulimit -f 77", &path).wait().unwrap();
    assert!(status.success());
    let mut recording = Recording::open(&path).unwrap();
    let length = fs::metadata(&path).unwrap().len();
    assert_eq!(recording.damage().map(|damage| damage.offset), Some(length), "half a frame is taken back");
    assert!(check_endless(&mut recording) > 20);
}

#[test]
fn a_killed_recorder_leaves_a_recording_and_so_does_one_that_still_writes() {
    if let Some(path) = std::env::var_os(STOPPED) {
        panic!("{}", endless(path.as_ref()));
    }
    let place = Place::new();
    let test = "writing::a_killed_recorder_leaves_a_recording_and_so_does_one_that_still_writes";
    for round in 0..8 {
        let path = place.path(&format!("killed-{round}"));
        let mut child = start(test, "ulimit -f 2000000", &path);
        let mut still_written = 0;
        while still_written < 32 * (round + 1) {
            assert_eq!(child.try_wait().unwrap(), None, "the recorder ended by itself");
            std::thread::sleep(Duration::from_micros(300 * round));
            still_written = match Recording::open(&path) {
                Ok(mut recording) => check_endless(&mut recording),
                Err(ReadError::Damaged { .. } | ReadError::Host { .. } | ReadError::NotARecording { .. }) => 0,
                Err(error) => panic!("{error}"),
            };
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let mut recording = Recording::open(&path).unwrap();
        assert!(recording.damage().is_some() && recording.end().is_none());
        assert!(check_endless(&mut recording) >= still_written);
    }
}

/// Also where digests are left out, no frame spans more than the ticks of 32.
#[test]
fn frames_end_where_the_events_say() {
    let place = Place::new();
    let path = place.path("run");
    let mut writer = Run::default().writer(&path);
    let mut in_file = Vec::new();
    for number in [1, 30, 31, 32, 33, 65, 127, 128, 200] {
        writer.event(number * DIGEST_INTERVAL, &Event::Digest(digest(&mut Random(number)))).unwrap();
        in_file.push(Recording::open(&path).unwrap().last_tick() / DIGEST_INTERVAL);
    }
    assert_eq!(in_file, [0, 0, 31, 31, 31, 65, 127, 127, 200]);
}

#[test]
fn a_writer_that_is_dropped_keeps_what_it_was_given() {
    let place = Place::new();
    let run = Run::random(4, 40, 40);
    let kept = &run.events[..30];
    let mut writer = run.writer(&place.path("dropped"));
    kept.iter().for_each(|(tick, event)| writer.event(*tick, event).unwrap());
    drop(writer);
    assert_eq!(all(Recording::open(&place.path("dropped")).unwrap().events(0)), kept);
}

#[test]
#[should_panic(expected = "tick 9 comes after tick 10")]
fn time_does_not_go_back() {
    let place = Place::new();
    let mut writer = Run::default().writer(&place.path("run"));
    writer.event(10, &Event::Input(HostInput::Quit)).unwrap();
    let _ = writer.event(9, &Event::Input(HostInput::Quit));
}
