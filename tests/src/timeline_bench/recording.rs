//! The recording: Debian boots and works, with programs that compile, query, interpret, pack, fork and fault.

use crate::debian::{self, Suite};
use anyhow::{Context, Result, ensure};
use reprise_core::clock::Tick;
use reprise_replay::Recording;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Instructions that it has at least.
pub const LENGTH: u64 = 10_000_000_000;
/// What works, and how much of its normal amount, in percent.
const WORK: &str = "bench.amount=70 bench.cpu=x86-64-v2 bench.workloads=gcc,sqlite3,python3,gzip,pipe,fork,fault,gcc";

/// A recording of that length.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Where it is.
    pub file: PathBuf,
    /// Instructions in it.
    pub icount: u64,
    /// Where it ends.
    pub end: Tick,
}

impl fmt::Display for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "recording: {:.2} billion instructions, Debian booting and at work", self.icount as f64 / 1e9)
    }
}

/// The board, RAM, kernel, RAM disk and command line, for both emulators.
pub fn add_machine(command: &mut Command) {
    command.args(["-M", "q35", "-m", "1024", "-no-reboot", "-display", "none"]);
    command.arg("-kernel").arg(debian::kernel(Suite::Backports));
    command.arg("-initrd").arg(debian::workloads("initramfs.cpio"));
    // The kernel is where its symbols say.
    command.arg("-append").arg(format!("console=ttyS0 quiet panic=-1 nokaslr {WORK}"));
}

/// Makes it with `program`, which is `reprise`.
pub fn record(program: &Path, file: &Path) -> Result<()> {
    let begun = Instant::now();
    let mut command = Command::new(program);
    command.args(["record", "-pace", "fast", "-force", "-serial", "stdio", "-o"]).arg(file);
    add_machine(&mut command);
    let output = command.stdin(Stdio::null()).output().context("cannot start reprise")?;
    let console = String::from_utf8_lossy(&output.stdout);
    let done = output.status.success() && console.contains("guest: work done") && !console.contains("@@failed");
    ensure!(done, "the guest has not done its work: {console}{}", String::from_utf8_lossy(&output.stderr));
    println!("recorded in {:.1} s", begun.elapsed().as_secs_f64());
    Ok(())
}

/// What there is in a recording.
pub fn describe(file: &Path) -> Result<Recorded> {
    let recording = Recording::open(file).with_context(|| file.display().to_string())?;
    let ended = recording.end().context("the recording has no end")?;
    ensure!(ended.icount >= LENGTH, "the recording has {} instructions: {LENGTH} are wanted", ended.icount);
    Ok(Recorded { file: file.to_owned(), icount: ended.icount, end: recording.last_tick() })
}
