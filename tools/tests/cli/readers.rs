//! `info`, `dump` and `diff` of recordings written by hand.

use crate::{reprise, stderr_of};
use reprise::cli::{self, Request};
use reprise::embedded_guest::KERNEL;
use reprise_core::backend::{ChardevId, DiskId, NetdevId, RngId};
use reprise_core::door::HostInput;
use reprise_core::machine::{Digest, Fingerprint};
use reprise_replay::{Ended, Event, Header, Writer};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Ticks between digests.
const INTERVAL: u64 = 10_000_000;

/// A recording in the making: what `reprise run` with `options` would be.
struct Sketch {
    options: &'static str,
    file: &'static [u8],
    events: Vec<(u64, Event)>,
}

impl Sketch {
    /// A short session, whose run ended by itself.
    fn session() -> Self {
        let typed = HostInput::Chardev { chardev: ChardevId(0), bytes: b"ls\r".to_vec() };
        let mut frame = vec![0xff; 6];
        frame.extend([0x52, 0x54, 0, 0x12, 0x34, 0x56, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
        frame.extend([0x52, 0x54, 0, 0x12, 0x34, 0x56, 10, 0, 2, 2, 0, 0, 0, 0, 0, 0, 10, 0, 2, 15]);
        let end = Ended {
            reason: "off".into(),
            status: 0,
            icount: 24_000_000,
            fingerprint: Fingerprint { parts: 0x17, memory: 0x18 },
        };
        let events = vec![
            (1_000_000, Event::Input(typed)),
            (INTERVAL, Event::Digest(Digest { sum: 1, weighted: 2 })),
            (12_000_000, Event::Input(HostInput::Frame { netdev: NetdevId(0), frame })),
            (12_000_001, Event::Input(HostInput::Random { rng: RngId(0), bytes: vec![0xfe, 0xdc] })),
            (2 * INTERVAL, Event::Digest(Digest { sum: 3, weighted: 4 })),
            (25_000_000, Event::End(end)),
        ];
        Self { options: "-smp 2 -device isa-debug-exit,id=e", file: b"a kernel", events }
    }

    fn write(&self, folder: &Path, name: &str) -> PathBuf {
        let words = ["reprise", "run"].into_iter().chain(self.options.split_whitespace());
        let Ok(Request::Run(plan)) = cli::parse(words.map(Into::into)) else { panic!("{}", self.options) };
        let config = serde_json::to_string(&plan.config).unwrap();
        let path = folder.join(name);
        let mut writer = Writer::create(&path, &Header { build: "reprise 0.0.7".into(), config }).unwrap();
        writer.file("the embedded guest", KERNEL).unwrap();
        writer.file("vmlinuz", self.file).unwrap();
        writer.cluster(DiskId(0), 3, &[7; 65536]).unwrap();
        self.events.iter().for_each(|(tick, event)| writer.event(*tick, event).unwrap());
        writer.finish().unwrap();
        path
    }
}

/// Standard output of a command that must end with `status`.
#[track_caller]
fn stdout_of(args: &[&str], status: i32) -> String {
    let output = reprise(args).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "reprise {}: {stderr}", args.join(" "));
    String::from_utf8(output.stdout).unwrap()
}

/// Standard output of `diff` of two sketches.
#[track_caller]
fn diff(a: &Sketch, b: &Sketch, options: &[&str], status: i32) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (a.write(folder.path(), "a.rpr"), b.write(folder.path(), "b.rpr"));
    stdout_of(&[&["diff", a.to_str().unwrap(), b.to_str().unwrap()], options].concat(), status)
}

#[test]
fn info_says_what_a_recording_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = Sketch::session().write(folder.path(), "a.rpr");
    let text = stdout_of(&["info", path.to_str().unwrap()], 0);
    for row in [
        "made by       reprise 0.0.7\n",
        "machine       q35, 2 vCPUs of x86-64-v2, 128.0 MiB of RAM\n",
        "kernel        the embedded guest\n",
        "serial port   COM1 on chardev 0\n",
        "device        isa-debug-exit,id=e\n",
        "length        0.025000000 s of guest time, 25000000 ticks, icount 24000000\n",
        "ended         off, status 0, fingerprint 00000000000000000000000000000017-00000000000000000000000000000018\n",
        "inputs        chardev: 1, 3 bytes\n              frame: 1, 42 bytes\n              random: 1, 2 bytes\n",
        "stored files  the embedded guest: ",
        "\n              vmlinuz: 8 bytes\n",
        "disk clusters 1\n",
        "checkpoints   none\n",
    ] {
        assert!(text.contains(row), "no {row:?} in\n{text}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&stdout_of(&["info", "-json", path.to_str().unwrap()], 0)).unwrap();
    assert_eq!((&json["config"]["cpus"], &json["events"]["digest"]["count"]), (&2.into(), &2.into()));
    assert_eq!((&json["end"]["reason"], &json["files"][0]["size"]), (&"off".into(), &KERNEL.len().into()));
    assert_eq!(json["sizes"]["total"], std::fs::metadata(&path).unwrap().len());
}

#[test]
fn dump_shows_events_by_kind_and_tick() {
    let folder = tempfile::tempdir().unwrap();
    let path = Sketch::session().write(folder.path(), "a.rpr");
    let dump = |options: &[&str]| stdout_of(&[&["dump", path.to_str().unwrap()], options].concat(), 0);
    let all = r#"       1000000  chardev        0: 3 bytes "ls\r"
      10000000  digest         0001-000002
      12000000  frame          0: 42 bytes, 52:54:00:12:34:56 > broadcast ARP who has 10.0.2.15? tell 10.0.2.2
      12000001  random         0: 2 bytes fedc
      20000000  digest         0003-000004
      25000000  end            off, status 0, icount 24000000, fingerprint 00000000000000000000000000000017-00000000000000000000000000000018
"#;
    assert_eq!(dump(&[]), all);
    let lines: Vec<_> = all.split_inclusive('\n').collect();
    assert_eq!(dump(&["-kind", "digest,random"]), [lines[1], lines[3], lines[4]].concat());
    assert_eq!(dump(&["-from", "10ms", "-to", "12000000"]), [lines[1], lines[2]].concat());
    assert_eq!(
        dump(&["-json", "-kind", "inputs", "-from", "12000001"]),
        "{\"tick\":12000001,\"kind\":\"random\",\"data\":\"fedc\",\"rng\":0}\n"
    );
}

#[test]
fn a_reader_that_leaves_ends_dump_quietly() {
    let folder = tempfile::tempdir().unwrap();
    let mut sketch = Sketch::session();
    let digests = (1..20_000).map(|n| (n * INTERVAL, Event::Digest(Digest::default())));
    sketch.events = digests.collect();
    let path = sketch.write(folder.path(), "a.rpr");
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("reprise"));
    command.arg("dump").arg(path).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), &output.stderr[..]), (Some(0), &b""[..]));
}

#[test]
fn of_a_damaged_recording_the_whole_part_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let mut sketch = Sketch::session();
    sketch.events.truncate(2);
    let path = sketch.write(folder.path(), "a.rpr");
    let whole = std::fs::read(&path).unwrap();
    // The index, a summary and no more, is cut off, and some of it is left.
    std::fs::write(&path, &whole[..whole.len() - 20]).unwrap();
    let path = path.to_str().unwrap();
    let output = reprise(&["dump", path]).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!((output.status.code(), shown.lines().count()), (Some(18), 2), "{shown}");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.starts_with(&format!("reprise: recording '{path}' is damaged at offset 0x")), "{stderr}");
    let info = stdout_of(&["info", path], 18);
    assert!(info.contains("; whole up to tick 10000000\n"), "{info}");
    let stderr = stderr_of(&["diff", path, path], 2);
    assert_eq!(stderr.matches("is damaged at offset 0x").count(), 2, "{stderr}");
}

#[test]
fn what_is_no_recording_is_refused() {
    for command in ["info", "dump"] {
        let stderr = stderr_of(&[command, "/dev/null"], 2);
        assert!(stderr.starts_with("reprise: '/dev/null' is no recording"), "{stderr}");
    }
    let stderr = stderr_of(&["diff", "/nonexistent", "/dev/null"], 2);
    let cause = "No such file or directory (os error 2)";
    assert_eq!(stderr, format!("reprise: cannot read recording '/nonexistent': {cause}\n"));
}

#[test]
fn equal_recordings_are_the_same() {
    let text = diff(&Sketch::session(), &Sketch::session(), &[], 0);
    let rest = text.lines().skip(2).collect::<Vec<_>>().join("\n");
    let expected = "\
configuration: the same
stored files: the same
inputs: the same, 3
digests: the same, to tick 20000000
ends: the same";
    assert_eq!(rest, expected);
}

#[test]
fn other_machines_and_files_are_told() {
    let other = Sketch { options: "-m 64M -device isa-debug-exit,id=f", file: b"a kernal", ..Sketch::session() };
    let text = diff(&Sketch::session(), &other, &[], 1);
    for part in [
        "configuration: different\n  cpus: 2 in A, 1 in B\n  devices[0].id: \"e\" in A, \"f\" in B\n  ram: 134217728 in A, 67108864 in B\n",
        "stored files: different\n  vmlinuz.hash: ",
        "inputs: the same, 3\n",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
}

#[test]
fn the_first_different_input_is_told() {
    let mut other = Sketch::session();
    let typed = HostInput::Chardev { chardev: ChardevId(0), bytes: b"lx\r".to_vec() };
    other.events[0] = (1_000_000, Event::Input(typed));
    other.events[1] = (INTERVAL, Event::Digest(Digest { sum: 9, weighted: 9 }));
    let text = diff(&Sketch::session(), &other, &[], 1);
    let expected = r#"inputs: different from tick 1000000, byte 1 on, after 0 equal ones
  A: tick 1000000: chardev        0: 3 bytes "ls\r"
  B: tick 1000000: chardev        0: 3 bytes "lx\r"
digests: different at tick 10000000: 0001-000002 in A, 0009-000009 in B; the same to tick 0
ends: the same
"#;
    assert!(text.ends_with(expected), "{text}");
    let json: serde_json::Value = serde_json::from_str(&diff(&Sketch::session(), &other, &["-json"], 1)).unwrap();
    assert_eq!((&json["inputs"]["byte"], &json["inputs"]["b"]["data"]), (&1.into(), &"6c780d".into()));
    assert_eq!((&json["digests"]["tick"], &json["state"]), (&INTERVAL.into(), &serde_json::Value::Null));
}

/// The embedded guest, to which `text` is typed at tick 12345678, with a digest of `sum` after that.
fn typing(text: &[u8], sum: u16) -> Sketch {
    let typed = HostInput::Chardev { chardev: ChardevId(0), bytes: text.to_vec() };
    let events = vec![
        (INTERVAL, Event::Digest(Digest { sum: 1, weighted: 2 })),
        (12_345_678, Event::Input(typed)),
        (2 * INTERVAL, Event::Digest(Digest { sum, weighted: 4 })),
    ];
    Sketch { options: "", events, ..Sketch::session() }
}

#[test]
fn replaying_finds_the_tick_at_which_states_differ() {
    let text = diff(&typing(b"ab", 3), &typing(b"ax", 4), &["-narrow"], 1);
    let found = text.split_once("state: replayed, ").unwrap_or_else(|| panic!("{text}")).1;
    assert!(found.starts_with("different from tick 12345678 on, icount "), "{text}");
    assert!(found.contains("\n  input of B at that tick: chardev        0: 2 bytes \"ax\"\n"), "{text}");
    assert!(found.contains("\n  device isa-serial, byte "), "{text}");
    let text = diff(&typing(b"ab", 3), &typing(b"ax", 4), &[], 1);
    assert!(text.contains("inputs: different from tick 12345678, byte 1 on") && !text.contains("state:"), "{text}");
}

#[test]
fn replays_that_agree_accuse_the_recordings() {
    let text = diff(&typing(b"ab", 3), &typing(b"ab", 4), &[], 1);
    assert!(text.contains("state: replayed, both are the same at tick 20000000: digest "), "{text}");
    assert!(text.contains("at least one run does not replay as it was recorded"), "{text}");
}

#[test]
fn a_real_recording_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.rpr");
    let path = path.to_str().unwrap();
    let recorded = reprise(&["record", "-o", path]).write_stdin("hello").output().unwrap();
    assert_eq!(recorded.status.code(), Some(0), "{}", String::from_utf8_lossy(&recorded.stderr));
    let info = stdout_of(&["info", path], 0);
    assert!(info.contains("serial port   COM1 on chardev 0, the console\n"), "{info}");
    assert!(info.contains("ended         off, status 0, fingerprint "), "{info}");
    assert!(info.contains("stored files  the embedded guest: "), "{info}");
    let typed = stdout_of(&["dump", path, "-kind", "chardev", "-json"], 0);
    let data =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["data"].as_str().unwrap().to_owned();
    assert_eq!(typed.lines().map(data).collect::<String>(), "68656c6c6f");
    let end = stdout_of(&["dump", path, "-kind", "end"], 0);
    assert!(end.contains("end            off, status 0, icount "), "{end}");
    let forced = stdout_of(&["diff", path, path, "-narrow"], 0);
    assert!(forced.contains("state: replayed, both are the same at tick "), "{forced}");
}

#[test]
fn damage_anywhere_is_told_and_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let good = typing(b"ab", 3).write(folder.path(), "good.rpr");
    let whole = std::fs::read(&good).unwrap();
    let bad = folder.path().join("bad.rpr");
    let (good, bad) = (good.to_str().unwrap(), bad.to_str().unwrap());
    for part in 0..12 {
        let at = part * whole.len() / 12;
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        for bytes in [&whole[..at], &flipped] {
            std::fs::write(bad, bytes).unwrap();
            for (args, allowed) in
                [(&["info", bad][..], &[0, 2, 18][..]), (&["dump", bad], &[0, 2, 18]), (&["diff", bad, good], &[2])]
            {
                let output = reprise(args).output().unwrap();
                let status = output.status.code().unwrap();
                let stderr = String::from_utf8_lossy(&output.stderr);
                assert!(allowed.contains(&status), "{args:?}, damaged at {at}: status {status}, {stderr}");
                assert!(status < 2 || stderr.contains("offset 0x") || stderr.contains("is no recording"), "{stderr}");
            }
        }
    }
}
