//! Who does the work: the columns of the table, and their command lines.

use super::job::Job;
use super::native;
use anyhow::{Context, bail};
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

/// The engine that translates.
pub const TRANSLATOR: &str = "jit";

const QEMU: &str = "qemu-system-x86_64";
const HOW_TO_GET_QEMU: &str = "\
install QEMU 10: it is the package qemu-system-x86 in bookworm-backports, which apt's sources must name
  apt-get update && apt-get install -t bookworm-backports qemu-system-x86
or measure without it: --no-qemu";

/// How Reprise does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reprise {
    /// It runs.
    Run,
    /// It runs, and the run is recorded.
    Record,
    /// That recording is replayed.
    Replay,
}

/// How QEMU's translator does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qemu {
    /// It runs, and instructions are not counted: no two runs are the same.
    Tcg,
    /// It runs, and instructions are counted.
    Icount,
    /// The same, and the run is recorded. (At a pace that QEMU chooses: its firmware hangs otherwise.)
    Record,
    /// That recording is replayed.
    Replay,
}

/// Who does the work, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// The host's own processor, one of them: the guest's root folder is made the root of the processes.
    Native,
    /// Ours: this program itself, called with the command as its first argument.
    Reprise(Reprise),
    /// QEMU.
    Qemu(Qemu),
}

/// What all columns have in common.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Reprise's engine.
    pub engine: String,
    /// Reprise's CPU model.
    pub cpu: String,
    /// How much of its normal work each program does, in percent.
    pub amount: u32,
}

impl Column {
    /// All, in the order in which they work: a replay follows its recording.
    pub const ALL: [Self; 8] = [
        Self::Native,
        Self::Reprise(Reprise::Run),
        Self::Reprise(Reprise::Record),
        Self::Reprise(Reprise::Replay),
        Self::Qemu(Qemu::Tcg),
        Self::Qemu(Qemu::Icount),
        Self::Qemu(Qemu::Record),
        Self::Qemu(Qemu::Replay),
    ];

    /// What the report and the command line call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Reprise(Reprise::Run) => "reprise",
            Self::Reprise(Reprise::Record) => "record",
            Self::Reprise(Reprise::Replay) => "replay",
            Self::Qemu(Qemu::Tcg) => "tcg",
            Self::Qemu(Qemu::Icount) => "icount",
            Self::Qemu(Qemu::Record) => "rr=record",
            Self::Qemu(Qemu::Replay) => "rr=replay",
        }
    }

    /// What it is, for people.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Native => "the same files on the host, on one processor",
            Self::Reprise(Reprise::Run) => "reprise run",
            Self::Reprise(Reprise::Record) => "reprise record",
            Self::Reprise(Reprise::Replay) => "reprise replay",
            Self::Qemu(Qemu::Tcg) => "QEMU -accel tcg",
            Self::Qemu(Qemu::Icount) => "QEMU -accel tcg -icount shift=1,sleep=off",
            Self::Qemu(Qemu::Record) => "QEMU -accel tcg -icount shift=auto,rr=record",
            Self::Qemu(Qemu::Replay) => "QEMU -accel tcg -icount shift=auto,rr=replay",
        }
    }

    /// The column called `name`.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.name() == name)
    }

    /// Whether it is QEMU.
    pub const fn is_qemu(self) -> bool {
        matches!(self, Self::Qemu(_))
    }

    /// Whether it leaves a recording.
    pub const fn records(self) -> bool {
        matches!(self, Self::Reprise(Reprise::Record) | Self::Qemu(Qemu::Record))
    }

    /// Whose recordings it replays.
    pub const fn replays(self) -> Option<Self> {
        match self {
            Self::Reprise(Reprise::Replay) => Some(Self::Reprise(Reprise::Record)),
            Self::Qemu(Qemu::Replay) => Some(Self::Qemu(Qemu::Record)),
            Self::Native | Self::Reprise(_) | Self::Qemu(_) => None,
        }
    }

    /// The command that does the job; the recording is made or read there.
    pub fn command(self, job: &Job, setup: &Setup, recording: &Path) -> anyhow::Result<Command> {
        match self {
            Self::Native => native::command(job, setup),
            Self::Reprise(mode) => reprise(mode, job, setup, recording),
            Self::Qemu(mode) => qemu(mode, job, setup, recording),
        }
    }
}

fn reprise(mode: Reprise, job: &Job, setup: &Setup, recording: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("cannot find this program itself")?);
    match mode {
        Reprise::Run => command.args(["run", "-pace", "fast"]),
        Reprise::Record => command.args(["record", "-pace", "fast", "-force", "-o"]).arg(recording),
        Reprise::Replay => command.arg("replay").arg(recording),
    };
    command.args(["-fingerprint", "-engine", &setup.engine]);
    if setup.engine == TRANSLATOR {
        command.arg("-jit-stats");
    }
    if mode != Reprise::Replay {
        command.args(["-cpu", &setup.cpu]);
        add_machine(&mut command, job, setup);
    }
    Ok(command)
}

fn qemu(mode: Qemu, job: &Job, setup: &Setup, recording: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new(QEMU);
    command.args(["-accel", "tcg", "-cpu", qemu_cpu(&setup.cpu)?, "-nic", "none", "-vga", "none"]);
    match mode {
        Qemu::Tcg => &mut command,
        Qemu::Icount => command.args(["-icount", "shift=1,sleep=off"]),
        Qemu::Record => command.arg("-icount").arg(format!("shift=auto,rr=record,rrfile={}", recording.display())),
        Qemu::Replay => command.arg("-icount").arg(format!("shift=auto,rr=replay,rrfile={}", recording.display())),
    };
    add_machine(&mut command, job, setup);
    Ok(command)
}

/// The same board, RAM, kernel, RAM disk and command line for both emulators.
fn add_machine(command: &mut Command, job: &Job, setup: &Setup) {
    command.args(["-M", "q35", "-m", "1024", "-no-reboot", "-display", "none", "-serial", "stdio"]);
    command.arg("-kernel").arg(job.kernel());
    command.arg("-initrd").arg(job.initrd());
    command.arg("-append").arg(job.command_line(setup));
}

/// The model of QEMU's with the instructions of ours, so that programs take the same paths.
fn qemu_cpu(model: &str) -> anyhow::Result<&'static str> {
    Ok(match model {
        "x86-64-v1" => "qemu64",
        "x86-64-v2" => "Westmere",
        "x86-64-v3" => "Haswell-noTSX",
        _ => bail!("no model of QEMU's is known for --cpu {model}: take x86-64-v1, -v2 or -v3, or leave QEMU out"),
    })
}

/// The first line of `qemu --version`; an error says how to get QEMU.
pub fn qemu_version() -> anyhow::Result<String> {
    let output = match Command::new(QEMU).arg("--version").output() {
        Ok(output) => output,
        Err(error) if error.kind() == ErrorKind::NotFound => bail!("{QEMU} not found: {HOW_TO_GET_QEMU}"),
        Err(error) => bail!("cannot start {QEMU} ({error}): {HOW_TO_GET_QEMU}"),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next().filter(|_| output.status.success());
    Ok(line.with_context(|| format!("{QEMU} --version failed: {HOW_TO_GET_QEMU}"))?.to_owned())
}
