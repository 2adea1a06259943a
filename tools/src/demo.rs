//! `reprise demo`: the main job, shown on the embedded guest. Each command that it carries out is printed first, so that
//! a reader can go on from there.

use crate::usage::UsageError;
use crate::{exit_status, say};
use anyhow::{Context, Result, bail, ensure};
use reprise_backend::{Signals, die_of};
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{ChildStdin, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

/// Bytes of the disk that the guest is given.
const DISK_SIZE: usize = 1 << 20;
/// What is typed while the guest runs, at moments that nobody knows beforehand.
const TYPED: &str = "these words come from the host, whenever they come";

/// Records the embedded guest, replays the recording twice without what it was made from, and compares; the exit status.
pub(crate) fn run() -> Result<u8, UsageError> {
    let refused = |error: &dyn Display| UsageError::new(format!("demo: {error}"));
    // The folder goes away whatever ends the demonstration.
    let signals = Signals::catch_ending().map_err(|error| refused(&error))?;
    let folder = tempfile::tempdir();
    let folder = folder.map_err(|error| refused(&format!("{error}: name a folder that can be written by TMPDIR")))?;
    let shown = demonstrate(folder.path(), &signals);
    drop(folder);
    if let Some(signal) = signals.ending() {
        die_of(signal).map_err(|error| refused(&error))?;
    }
    match shown {
        Ok(()) => Ok(exit_status::OK),
        Err(error) => {
            say(&format_args!("demo: {error:#}"));
            Ok(exit_status::HOST)
        }
    }
}

fn demonstrate(folder: &Path, signals: &Signals) -> Result<()> {
    let reprise = |arguments: &[&str], keyboard: fn(ChildStdin)| {
        let output = reprise(folder, arguments, keyboard)?;
        ensure!(signals.ending().is_none(), "ended by a signal");
        Ok(output)
    };
    fs::write(folder.join("disk.img"), random_disk()?).context("cannot write disk.img")?;
    print("A machine with a disk of random bytes, and somebody who types at random moments:\n")?;
    let recorded = reprise(&record_arguments(), type_slowly)?;
    print_indented(&recorded.stdout)?;
    ensure!(recorded.status.success(), "the guest failed: {}", last_words(&recorded));
    fs::remove_file(folder.join("disk.img")).context("cannot remove disk.img")?;
    print("\nThe disk is deleted, and nobody types. The recording has all that the guest ever saw:\n")?;
    let replayed = reprise(&["replay", "demo.rpr", "-fingerprint"], drop)?;
    ensure!(replayed.status.success(), "the replay failed: {}", last_words(&replayed));
    compare(&recorded, &replayed)?;
    let verified = reprise(&["verify", "demo.rpr"], drop)?;
    ensure!(verified.status.success(), "the second replay failed: {}", last_words(&verified));
    print_indented(&[verified.stdout, verified.stderr].concat())?;
    print("\nBoth replays are the recorded run, bit for bit.")
}

fn record_arguments() -> [&'static str; 7] {
    ["record", "-o", "demo.rpr", "-drive", "file=disk.img,format=raw,if=virtio", "-fingerprint", "-no-reboot"]
}

/// Carries a command of this program out in `folder`, with `keyboard` at its standard input.
fn reprise(folder: &Path, arguments: &[&str], keyboard: impl FnOnce(ChildStdin)) -> Result<Output> {
    print(format_args!("$ reprise {}", arguments.join(" ")))?;
    let program = std::env::current_exe().context("cannot find this program itself")?;
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot start this program again")?;
    keyboard(child.stdin.take().context("no standard input")?);
    child.wait_with_output().context("cannot wait for it")
}

/// A guest that has ended takes no more words; its output tells how it went.
fn type_slowly(mut keyboard: ChildStdin) {
    for part in TYPED.as_bytes().chunks(7) {
        thread::sleep(Duration::from_millis(u64::from(part[0]) / 4));
        if keyboard.write_all(part).is_err() {
            return;
        }
    }
}

fn random_disk() -> Result<Vec<u8>> {
    let mut disk = vec![0; DISK_SIZE];
    let mut source = File::open("/dev/urandom").context("cannot open /dev/urandom")?;
    source.read_exact(&mut disk).context("cannot read /dev/urandom")?;
    Ok(disk)
}

/// The console byte for byte, and what identifies the final state.
fn compare(recorded: &Output, replayed: &Output) -> Result<()> {
    let (ran, again) = (identity(recorded), identity(replayed));
    if ran.is_empty() || ran != again {
        bail!("the final states differ: {} and {}", ran.join(", "), again.join(", "));
    }
    ensure!(recorded.stdout == replayed.stdout, "the consoles differ");
    let size = replayed.stdout.len();
    print(format_args!("the console is equal byte for byte ({size} bytes), and so is the final state:"))?;
    print_indented(again.join("\n").as_bytes())
}

fn identity(output: &Output) -> Vec<String> {
    let names = ["fingerprint ", "icount ", "tick "];
    let text = String::from_utf8_lossy(&output.stderr);
    text.lines().filter(|line| names.iter().any(|name| line.starts_with(name))).map(str::to_owned).collect()
}

fn last_words(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().rev().take(5).collect();
    format!("{}: {}", output.status, lines.into_iter().rev().collect::<Vec<_>>().join(" / "))
}

/// A line on standard output, whose reader may leave.
fn print(line: impl Display) -> Result<()> {
    writeln!(io::stdout(), "{line}").context("cannot write to standard output")
}

fn print_indented(text: &[u8]) -> Result<()> {
    String::from_utf8_lossy(text).lines().try_for_each(|line| print(format_args!("    {}", line.trim_end())))
}
