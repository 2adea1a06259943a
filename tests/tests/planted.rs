//! A planted fault is caught: a device that leaks the host's clock into the guest, which no recording can hold.

use reprise_tests::guests::LEAK;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Digests are this many ticks apart.
const INTERVAL: u64 = 10_000_000;
/// `LEAK` leaves by isa-debug-exit with 0.
const PASSED: i32 = 1;
/// The digests between which `LEAK` looks at the port.
const BEFORE: u64 = 2 * INTERVAL;
const AFTER: u64 = 3 * INTERVAL;

fn leaky(args: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_leaky")).args(args).output();
    output.unwrap_or_else(|error| panic!("leaky {}: {error}", args.join(" ")))
}

/// Records `LEAK`, with the device or without.
fn record(folder: &Path, name: &str, device: bool) -> PathBuf {
    let path = folder.join(name);
    let mut args = vec!["record", "-o", path.to_str().unwrap(), "-kernel", LEAK, "-serial", "null"];
    args.extend(["-device", "isa-debug-exit"]);
    if device {
        args.extend(["-device", "leaky-clock"]);
    }
    let output = leaky(&args);
    assert_eq!(output.status.code(), Some(PASSED), "{}", text(&output.stderr));
    path
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn replay_names_the_interval_and_the_device() {
    let folder = tempfile::tempdir().unwrap();
    let path = record(folder.path(), "a.rpr", true);
    let output = leaky(&["replay", path.to_str().unwrap()]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(16), "{stderr}");
    assert!(stderr.contains(&format!("between tick {BEFORE} and tick {AFTER}")), "{stderr}");
    assert!(stderr.contains("device leaky-clock"), "{stderr}");
}

#[test]
fn diff_names_the_tick_the_instruction_and_the_device() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (record(folder.path(), "a.rpr", true), record(folder.path(), "b.rpr", true));
    let output = leaky(&["diff", a.to_str().unwrap(), b.to_str().unwrap()]);
    let report = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{report}{}", text(&output.stderr));
    assert!(report.contains("inputs: the same, 0\n"), "{report}");
    assert!(report.contains(&format!("digests: different at tick {AFTER}: ")), "{report}");
    let found = report.split_once("state: replayed, different from tick ").unwrap_or_else(|| panic!("{report}")).1;
    let tick: u64 = found.split_once(' ').unwrap().0.parse().unwrap();
    assert!((BEFORE..AFTER).contains(&tick), "{report}");
    assert!(found.contains(":  in eax, dx\n  vCPU 0, rax\n"), "{report}");
    assert!(found.contains("\n  device leaky-clock, byte "), "{report}");
    let again = text(&leaky(&["diff", a.to_str().unwrap(), b.to_str().unwrap(), "-json"]).stdout);
    assert!(again.contains(&format!("\"tick\":{tick}}}")), "tick {tick} before, and now {again}");
}

/// Each of the two machines looks at the host's clock by itself.
#[test]
fn lockstep_names_the_instruction_and_how_to_see_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.rpr");
    let name = path.to_str().unwrap();
    let run = ["-kernel", LEAK, "-serial", "null", "-device", "isa-debug-exit", "-device", "leaky-clock"];
    let lockstep = ["-engine", "lockstep,slice=1000000"];
    let output = leaky(&[&["record", "-o", name][..], &run, &lockstep].concat());
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(16), "{stderr}");
    assert!(stderr.contains(": in eax, dx\n  vCPU 0, rax\n"), "{stderr}");
    assert!(stderr.contains(&format!("to reproduce: reprise replay {name} -engine lockstep,slice=1000000 -until ")));
    let again = leaky(&[&["replay", name][..], &lockstep].concat());
    assert_eq!(again.status.code(), Some(16), "{}", text(&again.stderr));
    let stderr = text(&leaky(&[&["run"][..], &run, &lockstep].concat()).stderr);
    assert!(stderr.contains("record it and replay that with -engine lockstep,slice=1000000"), "{stderr}");
}

#[test]
fn without_the_device_nothing_differs() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (record(folder.path(), "a.rpr", false), record(folder.path(), "b.rpr", false));
    let replayed = leaky(&["replay", a.to_str().unwrap()]);
    assert_eq!(replayed.status.code(), Some(PASSED), "{}", text(&replayed.stderr));
    let output = leaky(&["diff", a.to_str().unwrap(), b.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
}
