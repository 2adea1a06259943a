//! The command lines of both emulators: the same board, RAM, kernel, RAM disk and command line.

use super::work::Work;
use anyhow::{Context, bail};
use std::io::ErrorKind;
use std::process::{Command, Stdio};

const QEMU: &str = "qemu-system-x86_64";
const HOW_TO_GET_QEMU: &str = "\
install QEMU 10: it is the package qemu-system-x86 in bookworm-backports, which apt's sources must name
  apt-get update && apt-get install -t bookworm-backports qemu-system-x86
or measure Reprise alone with --no-qemu";

/// Who runs the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emulator {
    /// Ours: this program itself, called with `run` as its first argument.
    Reprise,
    /// QEMU's translator, counting instructions, one to two nanoseconds of its clock.
    Qemu,
}

impl Emulator {
    /// What the report calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reprise => "reprise",
            Self::Qemu => "qemu",
        }
    }

    /// The command that does `work`.
    pub fn command(self, work: Work) -> anyhow::Result<Command> {
        let mut command = match self {
            Self::Reprise => reprise()?,
            Self::Qemu => qemu(),
        };
        command.args(["-M", "q35", "-m", "512", "-no-reboot", "-display", "none", "-serial", "stdio"]);
        command.args(["-device", "isa-debug-exit,iobase=0x501,iosize=2"]);
        command.arg("-kernel").arg(work.kernel());
        command.args(["-append", work.command_line()]);
        if let Some(initrd) = work.initrd() {
            command.arg("-initrd").arg(initrd);
        }
        command.stdin(Stdio::null());
        Ok(command)
    }
}

fn reprise() -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("cannot find this program itself")?);
    command.args(["run", "-pace", "fast", "-fingerprint"]);
    Ok(command)
}

/// The CPU is the one of QEMU's that lies nearest to our default, so that programs take the same paths.
fn qemu() -> Command {
    let mut command = Command::new(QEMU);
    command.args(["-accel", "tcg", "-icount", "shift=1,sleep=off", "-cpu", "Nehalem", "-nic", "none", "-vga", "none"]);
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
