//! Recordings: what is recorded is replayed, whatever happened to the files, and whatever cannot be replayed is told.

use crate::kernels::{self, DEBUG_EXIT, ECHO, FAST_ECHO, HALT, PANIC, RESET, TRIPLE_FAULT};
use crate::{reprise, stderr_of};
use reprise_core::clock::Tick;
use reprise_core::door::HostInput;
use reprise_replay::{Event, Header, Recording, Writer};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A folder with a kernel in it, and where its recording goes.
struct Place {
    folder: TempDir,
    kernel: PathBuf,
    file: PathBuf,
}

impl Place {
    fn new(code: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let kernel = kernels::file(folder.path(), "kernel", &kernels::multiboot(code));
        let file = folder.path().join("run.rpr");
        Self { folder, kernel, file }
    }

    /// The arguments that record the kernel.
    fn record<'a>(&'a self, options: &[&'a str]) -> Vec<&'a str> {
        let kernel = self.kernel.to_str().unwrap();
        [&["record", "-o", self.file.to_str().unwrap(), "-kernel", kernel][..], options].concat()
    }

    fn replay(&self, options: &[&str]) -> Output {
        reprise(&[&["replay", self.file.to_str().unwrap()][..], options].concat()).output().unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Checks exit status and that `parts` are on standard error.
#[track_caller]
fn told(output: &Output, status: i32, parts: &[&str]) {
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{stderr}");
    parts.iter().for_each(|part| assert!(stderr.contains(part), "no '{part}' in: {stderr}"));
}

#[test]
fn a_replay_needs_the_recording_and_nothing_else() {
    let place = Place::new(FAST_ECHO);
    let typed = "what is typed at one time or another\r".repeat(5);
    let recorded = reprise(&place.record(&["-until", "60ms"])).write_stdin(typed.clone()).output().unwrap();
    told(&recorded, 0, &["reached -until", "recorded 60ms of guest time", " inputs in '", " bytes"]);
    assert_eq!(text(&recorded.stdout), typed);
    let elsewhere = tempfile::tempdir().unwrap();
    let moved = elsewhere.path().join("moved");
    std::fs::rename(&place.file, &moved).unwrap();
    drop(place);
    for _ in 0..2 {
        let mut replay = Command::new(assert_cmd::cargo::cargo_bin("reprise"));
        replay.args(["replay", "moved", "-verify"]).current_dir(&elsewhere).env_clear().stdin(Stdio::null());
        let replayed = replay.output().unwrap();
        told(&replayed, 0, &[" fingerprints agree"]);
        assert_eq!(text(&replayed.stdout), typed);
    }
    assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 1, "a replay makes no files");
}

#[test]
fn the_embedded_guest_is_recorded_with_few_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.rpr");
    let name = file.to_str().unwrap();
    let recorded = reprise(&["record", "-o", name, "-fingerprint"]).output().unwrap();
    told(&recorded, 0, &["fingerprint "]);
    let sizes = Recording::open(&file).unwrap().sizes();
    assert!(sizes.total - sizes.files < 2048, "{sizes:?}");
    let again = folder.path().join("again.rpr");
    told(&reprise(&["record", "-o", again.to_str().unwrap()]).output().unwrap(), 0, &[]);
    assert!(std::fs::read(&file).unwrap() == std::fs::read(&again).unwrap(), "without input, a run has one recording");
    let replayed = reprise(&["replay", name, "-fingerprint"]).output().unwrap();
    told(&replayed, 0, &[]);
    assert_eq!(text(&replayed.stdout), text(&recorded.stdout));
    assert!(text(&recorded.stderr).contains(&text(&replayed.stderr)), "the same fingerprint");
    let plain = reprise(&["run", "-fingerprint"]).output().unwrap();
    assert_eq!(
        (text(&plain.stdout), plain.stderr),
        (text(&replayed.stdout), replayed.stderr),
        "recording changes nothing"
    );
    let verified = reprise(&["verify", name]).output().unwrap();
    told(&verified, 0, &["fingerprints agree"]);
    assert!(verified.stdout.is_empty());
}

#[test]
fn a_replay_ends_as_the_run_did() {
    let cases: [(&[u8], &[&str], i32); 6] = [
        (DEBUG_EXIT, &["-device", "isa-debug-exit,iobase=0xf4,iosize=4"], 7),
        (RESET, &["-no-reboot"], 6),
        (ECHO, &["-until", "30ms"], 0),
        (TRIPLE_FAULT, &["-no-reboot"], 10),
        (PANIC, &["-device", "pvpanic"], 8),
        (HALT, &["-serial", "none"], 12),
    ];
    for (code, options, status) in cases {
        let place = Place::new(code);
        stderr_of(&place.record(options), status);
        told(&place.replay(&["-verify"]), status, &["fingerprints agree"]);
        told(&reprise(&["verify", place.file.to_str().unwrap()]).output().unwrap(), 0, &["fingerprints agree"]);
    }
}

/// The recording names the model; nothing needs to be said again, and no processor of the host is asked.
#[test]
fn a_recording_brings_its_cpu_model() {
    // mov ecx, 1; mov edx, 0x11; andn eax, ecx, edx; out 0xf4, eax
    const ANDN: &[u8] = &[0xb9, 1, 0, 0, 0, 0xba, 0x11, 0, 0, 0, 0xc4, 0xe2, 0x70, 0xf2, 0xc2, 0xe7, 0xf4];
    let exit = ["-no-reboot", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"];
    for (model, status) in [("x86-64-v3", 0x10 << 1 | 1), ("x86-64-v2", 10)] {
        let place = Place::new(ANDN);
        stderr_of(&place.record(&[&["-cpu", model][..], &exit].concat()), status);
        told(&place.replay(&["-verify"]), status, &["fingerprints agree"]);
    }
}

#[test]
fn a_replay_can_end_before() {
    let place = Place::new(ECHO);
    stderr_of(&place.record(&["-until", "30ms"]), 0);
    told(
        &place.replay(&["-until", "25ms", "-fingerprint", "-verify"]),
        0,
        &["\ntick 25000000\n", "2 fingerprints agree"],
    );
}

#[test]
fn a_file_is_not_replaced_and_a_refusal_leaves_none() {
    let place = Place::new(HALT);
    stderr_of(&place.record(&["-kernel", "no/such/kernel"]), 2);
    stderr_of(&place.record(&["-device", "pvpanic,ioport=big"]), 2);
    assert!(!place.file.exists());
    std::fs::write(&place.file, "precious").unwrap();
    let stderr = stderr_of(&place.record(&[]), 2);
    assert!(stderr.contains("already") && stderr.contains("-force"), "{stderr}");
    assert_eq!(std::fs::read(&place.file).unwrap(), b"precious");
    stderr_of(&place.record(&["-force"]), 12);
    told(&place.replay(&[]), 12, &[]);
}

#[test]
fn a_recording_replaces_nothing_that_the_run_uses() {
    let place = Place::new(HALT);
    let path = |name: &str| place.folder.path().join(name).to_str().unwrap().to_owned();
    ["disk", "module", "typed", "log"].iter().for_each(|name| std::fs::write(path(name), [7; 4096]).unwrap());
    std::fs::hard_link(path("disk"), path("hard")).unwrap();
    std::os::unix::fs::symlink(path("hard"), path("soft")).unwrap();
    let create = ["create", "-q", "-f", "qcow2", "-F", "raw", "-b", &path("disk"), &path("top")];
    assert!(Command::new("qemu-img").args(create).status().expect("qemu-img is there").success());
    let disk = format!("-drive file={},format=raw", path("disk"));
    let cases = [
        ("disk", disk.clone()),
        ("hard", disk.clone()),
        ("soft", format!("{disk} -commit")),
        ("soft", format!("{disk},snapshot=off")),
        ("disk", format!("-drive file={},format=qcow2", path("top"))),
        ("kernel", String::new()),
        ("module", format!("-initrd {}", path("module"))),
        ("typed", format!("-chardev file,id=c,path=/dev/null,input-path={} -serial chardev:c", path("typed"))),
        ("log", format!("-chardev file,id=c,append=on,path={} -serial chardev:c", path("log"))),
    ];
    for (target, options) in cases {
        let before = std::fs::read(path(target)).unwrap();
        let kernel = place.kernel.to_str().unwrap();
        let (name, options) = (path(target), options.split_whitespace().collect::<Vec<_>>());
        let stderr = stderr_of(&[&["record", "-force", "-o", &name, "-kernel", kernel][..], &options].concat(), 2);
        assert!(stderr.contains(&format!("recording '{name}' would replace '")), "{options:?}: {stderr}");
        assert!(std::fs::read(&name).unwrap() == before, "{target} was changed: {options:?}");
    }
}

/// Starts recording the guest that sends back what it gets, and types without end; what it sent back is read by `during`.
fn recorded_until(place: &Place, during: impl FnOnce(&mut std::process::Child)) -> Vec<u8> {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("reprise"));
    command.args(place.record(&["-pace", "fast"])).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let (mut keys, mut console) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let reader = std::thread::spawn(move || {
        let mut seen = Vec::new();
        console.read_to_end(&mut seen).unwrap();
        seen
    });
    let typist = std::thread::spawn(move || {
        for number in 0.. {
            if keys.write_all(format!("{number} ").as_bytes()).is_err() {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    during(&mut child);
    child.wait().unwrap();
    typist.join().unwrap();
    reader.join().unwrap()
}

/// When recorders are killed, in ms after the file is there; `REPRISE_KILLS=N` adds N moments in between.
fn moments() -> Vec<u64> {
    let more = std::env::var("REPRISE_KILLS").map_or(0, |count| count.parse().expect("REPRISE_KILLS is a number"));
    // The fractions of multiples of the golden ratio fill the interval evenly, however many there are.
    let between = (1..=more).map(|number: u64| (number * 618_034 % 1_000_000) * 2500 / 1_000_000);
    [0, 40, 2500].into_iter().chain(between).collect()
}

#[test]
fn a_killed_recorder_leaves_what_it_had() {
    for moment in moments() {
        let place = Place::new(FAST_ECHO);
        let console = recorded_until(&place, |child| {
            let start = Instant::now();
            while !place.file.metadata().is_ok_and(|file| file.len() > 0) {
                assert!(start.elapsed() < crate::PATIENCE, "there is no recording");
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(Duration::from_millis(moment));
            child.kill().unwrap();
        });
        let replayed = place.replay(&[]);
        let stderr = text(&replayed.stderr);
        // Killed before the kernel was stored, there is no machine to replay.
        let stored = Recording::open(&place.file).is_ok_and(|recording| !recording.file_names().is_empty());
        let expected = if stored { (18, "has no end") } else { (2, place.file.to_str().unwrap()) };
        let status = replayed.status.code();
        assert_eq!(status, Some(expected.0), "after {moment} ms: {stderr}");
        assert!(stderr.contains(expected.1), "after {moment} ms: {stderr}");
        assert!(console.starts_with(&replayed.stdout), "{} is no start of {}", text(&replayed.stdout), text(&console));
        assert!(moment < 2000 || !replayed.stdout.is_empty(), "nothing is left of {}", text(&console));
    }
}

#[test]
fn a_signal_ends_a_recording_well() {
    let place = Place::new(ECHO);
    let console = recorded_until(&place, |child| {
        std::thread::sleep(Duration::from_millis(1500));
        let pid = rustix::process::Pid::from_child(child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    });
    let replayed = place.replay(&["-verify"]);
    told(&replayed, 4, &["fingerprints agree"]);
    assert_eq!(text(&replayed.stdout), text(&console));
}

#[test]
fn a_full_disk_ends_the_run_and_keeps_what_fitted() {
    let place = Place::new(FAST_ECHO);
    let stderr = stderr_of(&["record", "-force", "-o", "/dev/full"], 2);
    assert!(stderr.contains("cannot write recording '/dev/full'") && stderr.contains("No space left"), "{stderr}");
    // The limit is met as an error only by a process that ignores its signal.
    let script = "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\"";
    let mut command = Command::new("bash");
    command.args(["-c", script]).arg(assert_cmd::cargo::cargo_bin("reprise")).args(place.record(&["-pace", "fast"]));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut keys = child.stdin.take().unwrap();
    let typist = std::thread::spawn(move || {
        let mut state = 1u32;
        let mut key = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            b'a' + (state >> 24) as u8 % 26
        };
        while keys.write_all(&std::array::from_fn::<u8, 64, _>(|_| key())).is_ok() {}
    });
    let output = child.wait_with_output().unwrap();
    typist.join().unwrap();
    told(&output, 4, &["cannot write recording", "File too large"]);
    let replayed = place.replay(&[]);
    told(&replayed, 18, &["has no end"]);
    assert!(output.stdout.starts_with(&replayed.stdout), "{}", text(&replayed.stdout));
}

/// A copy of a recording with another configuration, or other events.
fn forge(from: &Path, to: &Path, config: impl Fn(String) -> String, event: impl Fn(Tick, Event) -> Option<Event>) {
    let mut original = Recording::open(from).unwrap();
    let header = Header { build: "forger".into(), config: config(original.header().config.clone()) };
    let mut writer = Writer::create(to, &header).unwrap();
    for name in original.file_names() {
        writer.file(&name, &original.file(&name).unwrap()).unwrap();
    }
    for item in original.events(0) {
        let (tick, item) = item.unwrap();
        if let Some(item) = event(tick, item) {
            writer.event(tick, &item).unwrap();
        }
    }
    writer.finish().unwrap();
}

/// Checks that `args` are refused with all of `parts`, within a tenth of a second unless the host is busy every time.
#[track_caller]
fn refused_at_once(args: &[&str], parts: &[&str]) {
    let mut times = (0..20).map(|_| {
        let start = Instant::now();
        let stderr = stderr_of(args, 2);
        parts.iter().for_each(|part| assert!(stderr.contains(part), "no '{part}' in: {stderr}"));
        start.elapsed()
    });
    let limit = Duration::from_millis(100);
    assert!(times.any(|time| time < limit), "{args:?} takes longer than {limit:?}");
}

#[test]
fn what_cannot_be_replayed_or_recorded_is_told_at_once() {
    let place = Place::new(HALT);
    let path = |name: &str| place.folder.path().join(name).to_str().unwrap().to_owned();
    let (module, forged) = (path("module"), path("forged.rpr"));
    std::fs::write(&module, (0..4 << 20).map(|at: u32| (at.wrapping_mul(0x9e37_79b1) >> 24) as u8).collect::<Vec<_>>())
        .unwrap();
    stderr_of(&place.record(&["-initrd", &module]), 12);
    let whole = std::fs::read(&place.file).unwrap();
    let replay = ["replay", &forged];
    let changed = |at: usize, parts: &[&str]| {
        let mut bytes = whole.clone();
        bytes[at] ^= 8;
        std::fs::write(&forged, bytes).unwrap();
        refused_at_once(&replay, parts);
    };
    changed(8, &["expected format version 1 to 2, found 10", "the build that made it (reprise "]);
    changed(40, &["forged.rpr' is damaged at offset 0xc: expected checksum ", " of the header frame, found "]);
    changed(whole.len() / 2, &[&module, "is damaged at offset 0x", " of the contents frame, found "]);
    let more_cpus = |text: String| text.replace("\"cpus\":1", "\"cpus\":300");
    forge(&place.file, Path::new(&forged), more_cpus, |_, event| Some(event));
    refused_at_once(&replay, &["configuration: cpus: expected 1 to 255, found 300"]);
    let another = |text: String| text.replace(&module, "another");
    forge(&place.file, Path::new(&forged), another, |_, event| Some(event));
    refused_at_once(&replay, &["does not hold file 'another': expected it among its files, found '", &module]);
    refused_at_once(&["replay", &path("none")], &["none': No such file"]);
    let drive = format!("file={module},format=raw,share-rw=on");
    refused_at_once(&["record", "-drive", &drive], &["disk 0 cannot be recorded: share-rw=on lets others change"]);
}

#[test]
fn a_configuration_that_cannot_be_is_refused_at_once() {
    let place = Place::new(HALT);
    stderr_of(&place.record(&["-device", "pvpanic"]), 12);
    let (forged, same) = (place.folder.path().join("forged"), |_, event| Some(event));
    let cases = [
        ("\"ram\":134217728", "\"ram\":9007199254740992", "ram: expected whole pages"),
        ("\"ram\":134217728", "\"ram\":134217729", "ram: expected whole pages"),
        ("\"ram\":134217728", "\"ram\":\"lots\"", "ram: expected a value of that field, found invalid type: string"),
        ("\"ram\":134217728,", "", "missing field `ram`"),
        ("\"ram\":", "\"rom\":1,\"ram\":", "rom: expected a field that this build knows"),
        ("\"cpus\":1", "\"cpus\":0", "cpus: expected 1 to 255, found 0"),
        (
            "\"cpu\":\"x86-64-v2\"",
            "\"cpu\":\"x86-64-v9\"",
            "cpu: expected a CPU model that this build has: x86-64-v1, x86-64-v2, x86-64-v3, found x86-64-v9",
        ),
        ("\"pvpanic\"", "\"flux-capacitor\"", "devices[0].name: expected one of "),
        ("\"disks\":[]", "\"disks\":[{\"size\":513,\"read_only\":false}]", "disks[0].size: expected whole sectors"),
        (
            "\"disks\":[]",
            "\"disks\":[{\"size\":18446744073709551104,\"read_only\":false}]",
            "disks[0].size: expected whole sectors, at most 9223372036854775807 bytes, found 18446744073709551104",
        ),
        ("{", "(", "expected JSON"),
    ];
    for (from, to, message) in cases {
        let config = |text: String| {
            assert!(text.contains(from), "no {from} in {text}");
            text.replacen(from, to, 1)
        };
        forge(&place.file, &forged, config, same);
        let start = Instant::now();
        let stderr = stderr_of(&["replay", forged.to_str().unwrap()], 2);
        assert!(stderr.contains(message), "no '{message}' in: {stderr}");
        assert!(start.elapsed() < Duration::from_secs(5), "{to}: {:?}", start.elapsed());
    }
}

#[test]
fn a_file_that_is_not_in_the_recording_is_named() {
    let place = Place::new(HALT);
    stderr_of(&place.record(&[]), 12);
    let (forged, kernel) = (place.folder.path().join("forged"), place.kernel.to_str().unwrap());
    let other = |text: String| text.replace(kernel, "another/kernel");
    forge(&place.file, &forged, other, |_, event| Some(event));
    let stderr = stderr_of(&["replay", forged.to_str().unwrap()], 2);
    let parts = ["cannot read kernel 'another/kernel'", "does not hold file 'another/kernel'", kernel];
    parts.iter().for_each(|part| assert!(stderr.contains(part), "no '{part}' in: {stderr}"));
}

#[test]
fn another_run_is_a_divergence() {
    let place = Place::new(ECHO);
    let recorded = reprise(&place.record(&["-until", "25ms"])).write_stdin("abc").output().unwrap();
    told(&recorded, 0, &[]);
    let forged = place.folder.path().join("forged");
    let name = forged.to_str().unwrap();
    let diverges = |what: &str, parts: &[&str]| {
        let output = reprise(&["replay", name]).output().unwrap();
        told(&output, 16, &["the replay differs from its recording between tick ", "reprise replay "]);
        told(&output, 16, parts);
        told(&reprise(&["verify", name]).output().unwrap(), 16, &[]);
        assert!(!what.is_empty());
    };
    let same_config = |text| text;
    let wrong_digest = |_: Tick, event| match event {
        Event::Digest(mut digest) => {
            digest.sum ^= 1;
            Some(Event::Digest(digest))
        }
        other => Some(other),
    };
    forge(&place.file, &forged, same_config, wrong_digest);
    diverges("a digest", &["and tick 10000000: "]);
    let without_input = |_: Tick, event| match event {
        Event::Input(HostInput::Chardev { .. }) => None,
        other => Some(other),
    };
    forge(&place.file, &forged, same_config, without_input);
    diverges("an input that is not there", &[]);
    let too_much = |_: Tick, event| match event {
        Event::Input(HostInput::Chardev { chardev, .. }) => {
            Some(Event::Input(HostInput::Chardev { chardev, bytes: vec![b'x'; 1000] }))
        }
        other => Some(other),
    };
    forge(&place.file, &forged, same_config, too_much);
    diverges("more than there is room for", &["expected 1000 bytes of character device 0", "found room for "]);
    let other_end = |_: Tick, event| match event {
        Event::End(mut ended) => {
            ended.reason = "off".into();
            Some(Event::End(ended))
        }
        other => Some(other),
    };
    forge(&place.file, &forged, same_config, other_end);
    diverges("another end", &["the run goes on"]);
    forge(&place.file, &forged, |text| text.replacen("\"rtc_base\":1", "\"rtc_base\":2", 1), |_, event| Some(event));
    diverges("another machine", &["mc146818"]);
}

#[test]
fn damage_is_told() {
    let place = Place::new(ECHO);
    let recorded = reprise(&place.record(&[])).write_stdin("a few words\x01x").output().unwrap();
    told(&recorded, 0, &[]);
    let bytes = std::fs::read(&place.file).unwrap();
    for at in (0..bytes.len()).step_by(bytes.len() / 40 + 1) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        std::fs::write(&place.file, &damaged).unwrap();
        for command in ["replay", "verify"] {
            let output = reprise(&[command, place.file.to_str().unwrap()]).output().unwrap();
            let status = output.status.code();
            let harmless = status == Some(0) && command == "replay" && output.stdout == recorded.stdout;
            assert!(
                harmless || matches!(status, Some(2 | 18)),
                "{command}, byte {at}: {status:?} {}",
                text(&output.stderr)
            );
            assert!(recorded.stdout.starts_with(&output.stdout), "{command}, byte {at}");
        }
        std::fs::write(&place.file, &bytes[..at]).unwrap();
        let replayed = place.replay(&[]);
        let (status, stderr) = (replayed.status.code(), text(&replayed.stderr));
        assert!(matches!(status, Some(2 | 18)), "cut at {at}: {status:?}");
        assert!(stderr.contains("at offset 0x") || (at == 0 && stderr.contains("is no recording")), "{at}: {stderr}");
    }
}

#[test]
fn what_is_no_recording_is_refused() {
    let place = Place::new(HALT);
    let kernel = place.kernel.to_str().unwrap();
    for command in ["replay", "verify"] {
        let stderr = stderr_of(&[command, kernel], 2);
        assert!(stderr.contains("is no recording"), "{stderr}");
        stderr_of(&[command, "no/such/file"], 2);
        let stderr = stderr_of(&[command], 2);
        assert!(stderr.contains("<FILE>"), "{stderr}");
    }
    let stderr = stderr_of(&["replay", kernel, "-pace", "slow"], 2);
    assert!(stderr.contains("unknown pace 'slow'"), "{stderr}");
}

#[test]
fn a_recording_replays_on_every_engine_and_in_lockstep() {
    let place = Place::new(FAST_ECHO);
    let recorded = reprise(&place.record(&["-until", "20ms", "-engine", "lockstep,slice=30us", "-fingerprint"]));
    let recorded = { recorded }.write_stdin("typed\r").output().unwrap();
    told(&recorded, 0, &["reached -until"]);
    let identity =
        |output: &Output| text(&output.stderr).lines().find(|line| line.starts_with("fingerprint ")).map(String::from);
    for engine in [&["-engine", "interp"][..], &["-accel", "tcg"], &["-engine", "lockstep"]] {
        let replayed = place.replay(&[engine, &["-verify", "-fingerprint"]].concat());
        told(&replayed, 0, &[" fingerprints agree"]);
        assert_eq!((&replayed.stdout, identity(&replayed)), (&recorded.stdout, identity(&recorded)), "{engine:?}");
    }
}
