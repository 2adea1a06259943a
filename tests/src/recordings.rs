//! A Debian guest with every kind of input, recorded and then replayed where nothing of its surroundings is left.

use crate::debian::{self, Suite};
use anyhow::{Context, Result, ensure};
use reprise::engine::EngineKind;
use reprise_silicon::generate::Random;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// Bytes that the guest downloads.
const DOWNLOAD: usize = 1 << 20;
/// Lines that are typed.
const LINES: usize = 8;
/// From this line on the guest's console takes what is typed.
const LISTENING: &str = "disk: init";

/// What is recorded.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Which kernel.
    pub suite: Suite,
    /// How many vCPUs.
    pub cpus: u32,
    /// What is typed and downloaded, and when; with an even one the devices have packed rings, and the vCPUs are of the
    /// model x86-64-v3.
    pub seed: u64,
    /// The engines that record and replay.
    pub engines: [EngineKind; 2],
}

/// What a recording that replayed without a difference was like.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// Bytes of the file.
    pub bytes: u64,
    /// Bytes of console output.
    pub console: usize,
}

/// Records `scenario` with `program`, which is `reprise`, and replays it elsewhere: no file of the recorded machine is
/// there any more, no network, no terminal. An error says what differs.
pub fn record_and_replay(program: &Path, scenario: Scenario) -> Result<Report> {
    let (here, there) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let download = bytes_of(scenario.seed);
    let recorded = record(program, scenario, here.path(), &download)?;
    check_guest(&recorded, &download)?;
    let recording = there.path().join("run.rpr");
    fs::copy(here.path().join("run.rpr"), &recording)?;
    drop(here);
    let replayed = without_network(program)
        .arg("replay")
        .arg(&recording)
        .args(["-fingerprint", "-engine", scenario.engines[1].name()])
        .output()?;
    compare(&recorded, &replayed)?;
    Ok(Report { bytes: fs::metadata(&recording)?.len(), console: recorded.stdout.len() })
}

fn record(program: &Path, scenario: Scenario, folder: &Path, download: &[u8]) -> Result<Output> {
    let server = Server::start(download.to_vec())?;
    let mut command = Command::new(program);
    command.current_dir(folder).args(["record", "-o", "run.rpr", "-fingerprint", "-rtc", "base=utc"]);
    command.args(["-engine", scenario.engines[0].name()]);
    command.args(["-nographic", "-no-reboot", "-m", "512", "-smp", &scenario.cpus.to_string()]);
    for (option, file) in files(scenario.suite) {
        let name = file.file_name().context("no file")?;
        fs::copy(&file, folder.join(name)).with_context(|| format!("{}", file.display()))?;
        command.arg(option).arg(name);
    }
    let words = format!("reprise.http={} reprise.lines={LINES}", server.port);
    command.args(["-append", &format!("console=ttyS0 quiet panic=-1 reprise.root {words}")]);
    fs::copy(debian::root_disk(), folder.join("root.ext4"))?;
    command.args(["-drive", "file=root.ext4,if=none,id=disk,format=raw"]);
    command.args(["-netdev", "user,id=net", "-object", "rng-random,id=rng"]);
    let even = scenario.seed.is_multiple_of(2);
    command.args(["-cpu", if even { "x86-64-v3" } else { "x86-64-v2" }]);
    let packed = if even { "on" } else { "off" };
    for device in ["virtio-blk-pci,drive=disk", "virtio-net-pci,netdev=net", "virtio-rng-pci,rng=rng"] {
        command.args(["-device", &format!("{device},packed={packed}")]);
    }
    type_and_wait(command, &mut Random::new(scenario.seed))
}

fn files(suite: Suite) -> [(&'static str, PathBuf); 2] {
    [("-kernel", debian::kernel(suite)), ("-initrd", debian::initramfs_with_modules(suite))]
}

/// Runs `command` to its end and types as it goes; its whole output.
fn type_and_wait(mut command: Command, random: &mut Random) -> Result<Output> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
    let keyboard = child.stdin.take().context("no standard input")?;
    let (lines, console) = console_of(&mut child)?;
    if lines.iter().any(|line| line.starts_with(LISTENING)) {
        type_lines(keyboard, random)?;
    }
    let output = child.wait_with_output()?;
    let stdout = console.join().ok().context("the reader of the console failed")??;
    Ok(Output { stdout, ..output })
}

/// A thread that ends with all that it read.
type Reader = thread::JoinHandle<std::io::Result<Vec<u8>>>;

/// The lines of the console as they come, and a thread that has all of it in the end.
fn console_of(child: &mut Child) -> Result<(Receiver<String>, Reader)> {
    let mut stdout = BufReader::new(child.stdout.take().context("no standard output")?);
    let (sender, receiver) = channel();
    let reader = thread::spawn(move || {
        let mut all = Vec::new();
        loop {
            let before = all.len();
            if stdout.read_until(b'\n', &mut all)? == 0 {
                return Ok(all);
            }
            // Nobody listens any more once the typing is done.
            let _ = sender.send(String::from_utf8_lossy(&all[before..]).into_owned());
        }
    });
    Ok((receiver, reader))
}

/// Types a few characters at a time, at random moments.
fn type_lines(mut keyboard: ChildStdin, random: &mut Random) -> Result<()> {
    for line in 0..LINES {
        let text = format!("line {line} {:x}\n", random.next());
        for part in text.as_bytes().chunks(1 + random.below(9) as usize) {
            thread::sleep(Duration::from_micros(random.below(80_000)));
            keyboard.write_all(part).context("the guest ended before everything was typed")?;
        }
    }
    Ok(())
}

/// Whether the guest did all that it was there for.
fn check_guest(recorded: &Output, download: &[u8]) -> Result<()> {
    let console = String::from_utf8_lossy(&recorded.stdout);
    let last = || {
        let lines: Vec<_> = console.lines().rev().take(15).collect();
        format!("{}\n{}", lines.into_iter().rev().collect::<Vec<_>>().join("\n"), stderr(recorded))
    };
    ensure!(recorded.status.success(), "the recorded run ended with {}: {}", recorded.status, last());
    // Others may write to the console without ending their line.
    let typed = console.matches("console: <line ").count();
    ensure!(typed == LINES, "the guest read {typed} of {LINES} lines: {}", last());
    let downloaded = format!("network: {}", sha256(download)?);
    ensure!(console.contains(&downloaded), "no '{downloaded}': {}", last());
    ensure!(console.contains("guest: work done"), "the guest did not finish: {}", last());
    Ok(())
}

fn compare(recorded: &Output, replayed: &Output) -> Result<()> {
    ensure!(
        replayed.status == recorded.status,
        "the replay ended with {}, the run with {}: {}",
        replayed.status,
        recorded.status,
        stderr(replayed)
    );
    let same = recorded.stdout.iter().zip(&replayed.stdout).take_while(|(a, b)| a == b).count();
    ensure!(recorded.stdout == replayed.stdout, "the console differs from byte {same} on: {}", stderr(replayed));
    let (ran, again) = (identity(recorded), identity(replayed));
    ensure!(!ran.is_empty() && ran == again, "the final states differ: {ran:?} and {again:?}");
    Ok(())
}

/// Fingerprint, icount and tick, as they were printed.
fn identity(output: &Output) -> Vec<String> {
    let names = ["fingerprint ", "icount ", "tick "];
    let lines = stderr(output);
    lines.lines().filter(|line| names.iter().any(|name| line.starts_with(name))).map(str::to_owned).collect()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The program in a network namespace of its own, where the host lets us have one.
fn without_network(program: &Path) -> Command {
    let can = Command::new("unshare").args(["--net", "true"]).stderr(Stdio::null()).status();
    let mut command = if can.is_ok_and(|status| status.success()) {
        let mut command = Command::new("unshare");
        command.arg("--net").arg(program);
        command
    } else {
        Command::new(program)
    };
    command.stdin(Stdio::null());
    command
}

fn bytes_of(seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed ^ 0x646f_776e_6c6f_6164);
    (0..DOWNLOAD / 8).flat_map(|_| random.next().to_le_bytes()).collect()
}

fn sha256(bytes: &[u8]) -> Result<String> {
    let mut child = Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    child.stdin.take().context("no standard input")?.write_all(bytes)?;
    let output = String::from_utf8(child.wait_with_output()?.stdout)?;
    Ok(output.split_whitespace().next().context("sha256sum said nothing")?.to_owned())
}

/// An HTTP server on loopback that answers every request with the same bytes.
struct Server {
    port: u16,
}

impl Server {
    /// Its thread ends with the process: it holds nothing but a port.
    fn start(body: Vec<u8>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A guest that hangs up is the guest's affair: its output tells.
                let _ = answer(stream, &body);
            }
        });
        Ok(Self { port })
    }
}

fn answer(mut stream: TcpStream, body: &[u8]) -> std::io::Result<()> {
    let mut request = BufReader::new(stream.try_clone()?).take(1 << 16);
    let mut line = String::new();
    while request.read_line(&mut line)? > 2 {
        line.clear();
    }
    write!(stream, "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", body.len())?;
    stream.write_all(body)
}
