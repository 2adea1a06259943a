//! Networks, with a peer outside and files of frames.

use crate::kernels::{self, ECHO};
use crate::{PATIENCE, stderr_of};
use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const FRAMES: u8 = 20;

/// Bytes in front of all frames in a file, and of each.
const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;

#[test]
fn a_replay_writes_the_frames_of_the_recorded_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let kernel = kernels::file(folder.path(), "kernel", &kernels::multiboot(ECHO));
    let (recording, live, again) = (path("net.rpr"), path("live.pcap"), path("again.pcap"));
    let peer = UnixListener::bind(path("peer")).unwrap();

    let mut record = Command::new(assert_cmd::cargo::cargo_bin("reprise"));
    record.args(["record", "-o", &recording, "-until", "60ms", "-kernel"]).arg(kernel);
    // The run waits for its console, so that the frames are there when it starts.
    record.args(["-serial", &format!("unix:{},server=on", path("console"))]);
    record.args(["-nic", &format!("stream,id=n,addr.type=unix,addr.path={}", path("peer"))]);
    record.args(["-object", &format!("filter-dump,id=d,netdev=n,file={live}")]);
    let record = record.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut stream, _) = peer.accept().unwrap();
    for number in 0..FRAMES {
        stream.write_all(&[&[0, 0, 0, 60], &[number; 60][..]].concat()).unwrap();
    }
    let start = Instant::now();
    let _console = loop {
        match UnixStream::connect(path("console")) {
            Ok(console) => break console,
            Err(error) => assert!(start.elapsed() < PATIENCE, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let output = record.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));

    stderr_of(&["replay", &recording, "-object", &format!("filter-dump,netdev=0,file={again}")], 0);
    let [live, again] = [live, again].map(|file| std::fs::read(file).unwrap());
    assert_eq!(live.len(), FILE_HEADER + usize::from(FRAMES) * (RECORD_HEADER + 60));
    for (number, record) in (0..FRAMES).zip(live[FILE_HEADER..].chunks(RECORD_HEADER + 60)) {
        assert_eq!(record[RECORD_HEADER..], [number; 60]);
    }
    assert!(live == again, "a replay's file differs");

    let whole = std::fs::read(&recording).unwrap();
    let refused = stderr_of(&["replay", &recording, "-object", &format!("filter-dump,netdev=0,file={recording}")], 2);
    assert!(refused.contains("would replace '") && std::fs::read(&recording).unwrap() == whole, "{refused}");

    let object = format!("filter-dump,netdev=1,file={}", path("no.pcap"));
    let refused = stderr_of(&["replay", &recording, "-object", &object], 2);
    assert_eq!(refused, "reprise: -object filter-dump: the recorded machine has no network 1\n");
}
