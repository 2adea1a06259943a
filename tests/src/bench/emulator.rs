//! The command lines of both emulators: the same board, RAM, kernel, RAM disk and command line.

use super::work::Work;
use anyhow::{Context, bail};
use reprise_replay::Recording;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const QEMU: &str = "qemu-system-x86_64";
const HOW_TO_GET_QEMU: &str = "\
install QEMU 10: it is the package qemu-system-x86 in bookworm-backports, which apt's sources must name
  apt-get update && apt-get install -t bookworm-backports qemu-system-x86
or measure Reprise alone with --no-qemu";

/// What is done with the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It runs.
    Run,
    /// It runs, and the run is recorded.
    Record,
    /// The last recording is replayed.
    Replay,
}

/// Who runs the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emulator {
    /// Ours: this program itself, called with the command as its first argument.
    Reprise(Mode),
    /// QEMU's translator, counting instructions: one to two nanoseconds of its clock each, or as it chooses while it
    /// records, because its firmware hangs otherwise.
    Qemu(Mode),
}

impl Emulator {
    /// Both, with counted instructions and nothing recorded.
    pub const RUNNING: [Self; 2] = [Self::Reprise(Mode::Run), Self::Qemu(Mode::Run)];

    /// Both recording and replaying, and Reprise neither: what recording costs. A replay follows its recording.
    pub const RECORDING: [Self; 5] = [
        Self::Reprise(Mode::Run),
        Self::Reprise(Mode::Record),
        Self::Reprise(Mode::Replay),
        Self::Qemu(Mode::Record),
        Self::Qemu(Mode::Replay),
    ];

    /// What the report calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reprise(Mode::Run) => "reprise",
            Self::Reprise(Mode::Record) => "reprise record",
            Self::Reprise(Mode::Replay) => "reprise replay",
            Self::Qemu(Mode::Run) => "qemu",
            Self::Qemu(Mode::Record) => "qemu record",
            Self::Qemu(Mode::Replay) => "qemu replay",
        }
    }

    /// Whether it is QEMU.
    pub const fn is_qemu(self) -> bool {
        matches!(self, Self::Qemu(_))
    }

    /// Where its recording of `work` lies in the folder `scratch`.
    pub fn recording(self, work: Work, scratch: &Path) -> PathBuf {
        let kind = if self.is_qemu() { "qemu" } else { "reprise" };
        scratch.join(format!("{}.{kind}", work.name()))
    }

    /// The command that does `work`; recordings are in `scratch`.
    pub fn command(self, work: Work, scratch: &Path) -> anyhow::Result<Command> {
        let recording = self.recording(work, scratch);
        let mut command = match self {
            Self::Reprise(mode) => reprise(mode, &recording)?,
            Self::Qemu(mode) => qemu(mode, &recording),
        };
        command.stdin(Stdio::null());
        if self == Self::Reprise(Mode::Replay) {
            return Ok(command);
        }
        command.args(["-M", "q35", "-m", "512", "-no-reboot", "-display", "none", "-serial", "stdio"]);
        command.args(["-device", "isa-debug-exit,iobase=0x501,iosize=2"]);
        command.arg("-kernel").arg(work.kernel());
        command.args(["-append", work.command_line()]);
        if let Some(initrd) = work.initrd() {
            command.arg("-initrd").arg(initrd);
        }
        Ok(command)
    }

    /// The bytes that a recording of `work` took: the whole file, and what of it is no host file stored in it.
    pub fn logged(self, work: Work, scratch: &Path) -> anyhow::Result<Option<Logged>> {
        let path = self.recording(work, scratch);
        let total = || Ok::<_, anyhow::Error>(fs::metadata(&path)?.len());
        Ok(match self {
            Self::Reprise(Mode::Record) => {
                let files = Recording::open(&path)?.sizes().files;
                let total = total()?;
                Some(Logged { total, log: total - files })
            }
            Self::Qemu(Mode::Record) => Some(Logged { total: total()?, log: total()? }),
            Self::Reprise(Mode::Run | Mode::Replay) | Self::Qemu(Mode::Run | Mode::Replay) => None,
        })
    }
}

/// Bytes of a recording.
#[derive(Clone, Copy, Debug)]
pub struct Logged {
    /// The whole file.
    pub total: u64,
    /// What is no stored host file: QEMU stores none, so its recordings need the kernel and disks beside them.
    pub log: u64,
}

fn reprise(mode: Mode, recording: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("cannot find this program itself")?);
    match mode {
        Mode::Run => command.args(["run", "-pace", "fast"]),
        Mode::Record => command.args(["record", "-pace", "fast", "-force", "-o"]).arg(recording),
        Mode::Replay => command.arg("replay").arg(recording),
    };
    command.arg("-fingerprint");
    Ok(command)
}

/// The CPU is the one of QEMU's that lies nearest to our default, so that programs take the same paths.
fn qemu(mode: Mode, recording: &Path) -> Command {
    let icount = match mode {
        Mode::Run => "shift=1,sleep=off".into(),
        Mode::Record => format!("shift=auto,rr=record,rrfile={}", recording.display()),
        Mode::Replay => format!("shift=auto,rr=replay,rrfile={}", recording.display()),
    };
    let mut command = Command::new(QEMU);
    command.args(["-accel", "tcg", "-icount", &icount, "-cpu", "Nehalem", "-nic", "none", "-vga", "none"]);
    command
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
