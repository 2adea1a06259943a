//! `reprise demo`: the main job, shown on the embedded guest. Each command that it carries out is printed first, so that
//! a reader can go on from there.

use crate::usage::UsageError;
use crate::{exit_status, say};
use anyhow::{Context, Result, bail, ensure};
use std::fs::{self, File};
use std::io::{Read, Write};
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
    match demonstrate() {
        Ok(()) => Ok(exit_status::OK),
        Err(error) => {
            say(&format_args!("demo: {error:#}"));
            Ok(exit_status::HOST)
        }
    }
}

fn demonstrate() -> Result<()> {
    let folder = tempfile::tempdir().context("cannot make a folder for the recording")?;
    let folder = folder.path();
    fs::write(folder.join("disk.img"), random_disk()?).context("cannot write disk.img")?;
    println!("A machine with a disk of random bytes, and somebody who types at random moments:\n");
    let recorded = reprise(folder, &record_arguments(), type_slowly)?;
    print_indented(&recorded.stdout);
    ensure!(recorded.status.success(), "the guest failed: {}", last_words(&recorded));
    fs::remove_file(folder.join("disk.img")).context("cannot remove disk.img")?;
    println!("\nThe disk is deleted, and nobody types. The recording has all that the guest ever saw:\n");
    let replayed = reprise(folder, &["replay", "demo.rpr", "-fingerprint"], drop)?;
    ensure!(replayed.status.success(), "the replay failed: {}", last_words(&replayed));
    compare(&recorded, &replayed)?;
    let verified = reprise(folder, &["verify", "demo.rpr"], drop)?;
    ensure!(verified.status.success(), "the second replay failed: {}", last_words(&verified));
    print_indented(&[verified.stdout, verified.stderr].concat());
    println!("\nBoth replays are the recorded run, bit for bit.");
    Ok(())
}

fn record_arguments() -> [&'static str; 7] {
    ["record", "-o", "demo.rpr", "-drive", "file=disk.img,format=raw,if=virtio", "-fingerprint", "-no-reboot"]
}

/// Carries a command of this program out in `folder`, with `keyboard` at its standard input.
fn reprise(folder: &Path, arguments: &[&str], keyboard: impl FnOnce(ChildStdin)) -> Result<Output> {
    println!("$ reprise {}", arguments.join(" "));
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
    println!("the console is equal byte for byte ({} bytes), and so is the final state:", replayed.stdout.len());
    again.iter().for_each(|line| println!("    {line}"));
    Ok(())
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

fn print_indented(text: &[u8]) {
    String::from_utf8_lossy(text).lines().for_each(|line| println!("    {}", line.trim_end()));
}
