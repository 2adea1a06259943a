//! `reprise demo`: the first command of the README.

use crate::PATIENCE;
use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Starts the demonstration, with its folder in `folder`.
fn demo(folder: &Path) -> Child {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("reprise"));
    command.arg("demo").env("TMPDIR", folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn it_records_and_replays_twice_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let output = demo(folder.path()).wait_with_output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!((output.status.code(), &output.stderr[..]), (Some(0), &b""[..]), "{shown}");
    let commands: Vec<_> = shown.lines().filter_map(|line| line.strip_prefix("$ reprise ")).collect();
    assert!(commands[0].starts_with("record -o demo.rpr -drive "), "{shown}");
    assert_eq!(commands[1..], ["replay demo.rpr -fingerprint", "verify demo.rpr"], "{shown}");
    for part in ["guest: disk: ok", "the console is equal byte for byte", "    fingerprint ", " fingerprints agree\n"] {
        assert!(shown.contains(part), "no '{part}' in: {shown}");
    }
    assert!(shown.ends_with("\nBoth replays are the recorded run, bit for bit.\n"), "{shown}");
    assert!(is_empty(folder.path()));
}

#[test]
fn without_a_place_for_its_files_nothing_is_started() {
    let output = demo(Path::new("/nowhere")).wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(2), &b""[..]), "{stderr}");
    assert!(stderr.starts_with("reprise: demo: No such file") && stderr.contains("TMPDIR"), "{stderr}");
}

#[test]
fn a_signal_ends_it_and_nothing_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = demo(folder.path());
    let start = Instant::now();
    while is_empty(folder.path()) {
        assert!(start.elapsed() < PATIENCE, "it never starts");
        std::thread::sleep(Duration::from_millis(1));
    }
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(Signal::TERM.as_raw()));
    assert!(is_empty(folder.path()));
}

#[test]
fn a_reader_that_leaves_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = demo(folder.path());
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(4), "{stderr}");
    assert_eq!(stderr, "reprise: demo: cannot write to standard output: Broken pipe (os error 32)\n");
    assert!(is_empty(folder.path()));
}
