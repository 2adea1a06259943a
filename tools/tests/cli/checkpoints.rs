//! `reprise checkpoint`: a recording with checkpoints is the same recording, and whatever goes wrong leaves it as it was.

use crate::kernels::{self, FAST_ECHO};
use crate::{reprise, stderr_of};
use reprise_replay::{Event, Header, Recording, Writer};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A recording that is alone in its folder.
struct Place {
    folder: TempDir,
    file: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("run.rpr");
        let elsewhere = tempfile::tempdir().unwrap();
        let kernel = kernels::file(elsewhere.path(), "kernel", &kernels::multiboot(FAST_ECHO));
        let arguments = ["record", "-o", file.to_str().unwrap(), "-kernel", kernel.to_str().unwrap(), "-until", "60ms"];
        reprise(&arguments).write_stdin("what is typed").assert().success();
        Self { folder, file }
    }

    fn file(&self) -> &str {
        self.file.to_str().unwrap()
    }

    /// Checks that there is nothing but the recording, with these bytes.
    #[track_caller]
    fn is_as_it_was(&self, bytes: &[u8]) {
        assert_eq!(fs::read_dir(&self.folder).unwrap().count(), 1, "something is left");
        assert!(fs::read(&self.file).unwrap() == bytes, "the recording was changed");
    }
}

fn events(file: &Path) -> Vec<(u64, Event)> {
    Recording::open(file).unwrap().events(0).map(|event| event.unwrap()).collect()
}

#[test]
fn a_recording_with_checkpoints_is_the_same_recording() {
    let place = Place::new();
    let (before, bytes) = (events(&place.file), fs::read(&place.file).unwrap());
    let stderr = stderr_of(&["checkpoint", place.file(), "-every", "25ms"], 0);
    assert!(stderr.contains("stored 3 checkpoints in '"), "{stderr}");
    assert!(events(&place.file) == before);
    let recording = Recording::open(&place.file).unwrap();
    assert_eq!(recording.checkpoints().collect::<Vec<_>>(), [25_000_000, 50_000_000, 59_999_999]);
    assert!(fs::metadata(&place.file).unwrap().len() > bytes.len() as u64);
    assert!(stderr_of(&["verify", place.file()], 0).contains("fingerprints agree"));
    let info = reprise(&["info", place.file()]).output().unwrap();
    let info = String::from_utf8(info.stdout).unwrap();
    assert!(info.contains("checkpoints   3, from 0.025000000 s to 0.059999999 s\n"), "{info}");
    // Again, with others: the ones that there are stay.
    stderr_of(&["checkpoint", place.file(), "-every", "20ms", "-engine", "interp"], 0);
    assert_eq!(Recording::open(&place.file).unwrap().checkpoints().count(), 5);
    assert_eq!(fs::read_dir(&place.folder).unwrap().count(), 1);
}

#[test]
fn what_is_not_whole_gets_no_checkpoints() {
    let place = Place::new();
    let mut bytes = fs::read(&place.file).unwrap();
    bytes.truncate(bytes.len() - 1);
    fs::write(&place.file, &bytes).unwrap();
    let stderr = stderr_of(&["checkpoint", place.file()], 2);
    assert!(stderr.contains("is damaged at offset 0x") && stderr.contains("in a whole one only"), "{stderr}");
    place.is_as_it_was(&bytes);
    let stderr = stderr_of(&["checkpoint", "none.rpr"], 2);
    assert!(stderr.contains("none.rpr"), "{stderr}");
}

#[test]
fn what_does_not_replay_gets_no_checkpoints() {
    let place = Place::new();
    let forged = place.folder.path().join("forged");
    let mut original = Recording::open(&place.file).unwrap();
    let header: Header = original.header().clone();
    let mut writer = Writer::create(&forged, &header).unwrap();
    original.file_names().iter().for_each(|name| writer.file(name, &original.file(name).unwrap()).unwrap());
    for (tick, event) in events(&place.file) {
        let event = match event {
            Event::Digest(mut digest) if tick == 30_000_000 => {
                digest.sum ^= 1;
                Event::Digest(digest)
            }
            other => other,
        };
        writer.event(tick, &event).unwrap();
    }
    writer.finish().unwrap();
    fs::rename(&forged, &place.file).unwrap();
    let bytes = fs::read(&place.file).unwrap();
    let stderr = stderr_of(&["checkpoint", place.file(), "-every", "5ms"], 16);
    assert!(stderr.contains("the replay differs from its recording"), "{stderr}");
    place.is_as_it_was(&bytes);
}

/// It is replaced when all is written, and never before; a signal leaves no half of a file beside it.
#[test]
fn a_signal_leaves_the_recording_as_it_was() {
    let place = Place::new();
    let bytes = fs::read(&place.file).unwrap();
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("reprise"));
    command.args(["checkpoint", place.file(), "-every", "10us"]).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let start = Instant::now();
    while fs::read_dir(&place.folder).unwrap().count() < 2 && start.elapsed() < crate::PATIENCE {
        std::thread::sleep(Duration::from_millis(1));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(!child.wait().unwrap().success());
    place.is_as_it_was(&bytes);
}
