//! What is debugged: recordings of the embedded guest, whose sources gdb knows, and of a Debian guest, whose addresses
//! the guest itself tells.

use crate::debian::{self, Suite};
use crate::guests;
use anyhow::{Context, Result, ensure};
use reprise_core::clock::Tick;
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Bytes of the embedded guest's disk.
const DISK: usize = 1 << 20;
/// What the shell says when it listens.
const PROMPT: &str = "/root # ";
/// Symbols of the kernel whose addresses are wanted.
const SYMBOLS: &str = "begin_new_exec|do_exit|path_mount|jiffies|total_forks|page_offset_base|copy_page";
/// What the guest does once it has told them: processes, and a disk that is read.
const WORK: &str = "for i in 1 2 3 4 5 6 7 8; do /bin/true | /bin/seq 3 | /bin/sort -r; done; \
                    dd if=/dev/vda bs=64k count=16 2>/dev/null | md5sum; poweroff -f";

/// A recording, and what a debugger wants to know of it.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The file.
    pub recording: PathBuf,
    /// Its sources and symbols, if there are any.
    pub symbols: Option<&'static Path>,
    /// Addresses of its symbols otherwise.
    pub addresses: BTreeMap<String, u64>,
    /// How many vCPUs it has.
    pub cpus: u32,
    /// Where it ends.
    pub end: Tick,
}

impl Subject {
    /// The embedded guest with a disk, recorded into `folder` with `program`, which is `reprise`.
    pub fn embedded(program: &Path, folder: &Path, cpus: u32) -> Result<Self> {
        let (name, disk) = (format!("embedded-{cpus}.rpr"), format!("disk-{cpus}.img"));
        fs::write(folder.join(&disk), (0..DISK).map(|at| (at / 7) as u8).collect::<Vec<_>>())?;
        let mut command = record(program, folder, &name, cpus);
        command.args(["-kernel", guests::DEBUGGEE, "-drive", &format!("file={disk},format=raw,if=virtio")]);
        let output = command.stdin(Stdio::null()).output().context("cannot start reprise")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "the embedded guest ended with {}: {errors}", output.status);
        Ok(Self {
            recording: folder.join(name),
            symbols: Some(Path::new(guests::DEBUGGEE_SYMBOLS)),
            addresses: BTreeMap::new(),
            cpus,
            end: tick_of(&errors)?,
        })
    }

    /// A Debian guest in which somebody types, recorded into `folder`.
    pub fn debian(program: &Path, folder: &Path, suite: Suite, cpus: u32) -> Result<Self> {
        let name = format!("debian-{}-{cpus}.rpr", suite.name());
        let mut command = record(program, folder, &name, cpus);
        command.args(["-m", "512", "-kernel"]).arg(debian::kernel(suite));
        command.arg("-initrd").arg(debian::initramfs_with_modules(suite));
        command.args(["-append", "console=ttyS0 quiet panic=-1 nokaslr reprise.nowork reprise.shell"]);
        command.arg("-drive").arg(format!("file={},format=raw,if=virtio", debian::root_disk().display()));
        let (console, errors) = type_at_prompt(command)?;
        Ok(Self {
            recording: folder.join(name),
            symbols: None,
            addresses: addresses(&console),
            cpus,
            end: tick_of(&errors)?,
        })
    }

    /// The address of a symbol.
    pub fn address(&self, symbol: &str) -> Result<u64> {
        self.addresses.get(symbol).copied().with_context(|| format!("no address of {symbol}: {:x?}", self.addresses))
    }
}

fn record(program: &Path, folder: &Path, name: &str, cpus: u32) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).args(["record", "-force", "-o", name, "-smp", &cpus.to_string()]);
    command.args(["-fingerprint", "-no-reboot", "-nographic", "-pace", "fast"]);
    command
}

/// Runs a guest with a shell to its end, with commands typed there; its console, and what the program says.
fn type_at_prompt(mut command: Command) -> Result<(String, String)> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot start reprise")?;
    let mut keyboard = child.stdin.take().context("no standard input")?;
    let mut stdout = child.stdout.take().context("no standard output")?;
    let (mut console, mut buffer, mut typed) = (Vec::new(), [0; 4096], false);
    loop {
        let count = stdout.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        console.extend_from_slice(&buffer[..count]);
        if !typed && String::from_utf8_lossy(&console).contains(PROMPT) {
            typed = true;
            writeln!(keyboard, "grep -E ' ({SYMBOLS})$' /proc/kallsyms; {WORK}")?;
        }
    }
    let output = child.wait_with_output()?;
    let (console, errors) = (String::from_utf8_lossy(&console), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success() && typed, "the guest ended with {}: {console}{errors}", output.status);
    Ok((console.into_owned(), errors.into_owned()))
}

/// Lines such as `ffffffff81000000 T _text`.
fn addresses(console: &str) -> BTreeMap<String, u64> {
    let lines = console.lines().filter_map(|line| {
        let [address, _, name] = line.split_whitespace().collect::<Vec<_>>()[..] else { return None };
        Some((name.to_owned(), u64::from_str_radix(address, 16).ok()?))
    });
    lines.collect()
}

fn tick_of(errors: &str) -> Result<Tick> {
    let line = errors.lines().find_map(|line| line.strip_prefix("tick "));
    line.and_then(|tick| tick.parse().ok()).with_context(|| format!("no tick is printed: {errors}"))
}
