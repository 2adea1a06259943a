//! The Debian guests: the release's kernel, the newer one from its backports, and an initramfs whose
//! work has one right answer.
//!
//! `tests/debian/fetch` brings them into `.cache/debian`. A test that needs them and cannot have them
//! fails: a boot that was not tried must not look like one that worked.

use crate::machines::{self, Ending, Run};
use reprise::engine::EngineKind;
use reprise::machine::{BootConfig, MachineConfig};
use reprise_core::clock::Tick;
use reprise_core::machine::End;
use reprise_silicon::generate::Random;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Ticks that no boot takes.
const PATIENCE: Tick = 120_000_000_000;
/// The kernel's level of warnings; lower ones are worse.
const WARNING: u8 = 4;

/// Warnings that a correct machine gets, by a part of their text, and why: none so far.
pub const EXPLAINED: &[(&str, &str)] = &[];

/// Which of Debian's two kernels for this release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// The release's own `linux-image-amd64`.
    Stable,
    /// `linux-image-amd64` from the release's backports.
    Backports,
}

impl Suite {
    /// Both kernels, for tests that boot each.
    pub const ALL: [Self; 2] = [Self::Stable, Self::Backports];

    /// The suite's name: also its folder in the cache.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Backports => "backports",
        }
    }
}

/// The bzImage of that suite's kernel, fetched if it is not there yet.
///
/// # Panics
///
/// If it cannot be fetched.
#[must_use]
pub fn kernel(suite: Suite) -> PathBuf {
    fetched(&format!("{}/vmlinuz", suite.name()))
}

/// The initramfs, fetched and built if it is not there or older than its scripts.
///
/// # Panics
///
/// If it cannot be built.
#[must_use]
pub fn initramfs() -> PathBuf {
    fetched("initramfs.cpio.gz")
}

/// The initramfs with that kernel's drivers for virtio and ext4.
///
/// # Panics
///
/// If it cannot be built.
#[must_use]
pub fn initramfs_with_modules(suite: Suite) -> PathBuf {
    fetched(&format!("{}/initramfs.cpio.gz", suite.name()))
}

/// An ext4 root disk whose first process brings every kind of input into the machine.
///
/// # Panics
///
/// If it cannot be made.
#[must_use]
pub fn root_disk() -> PathBuf {
    fetched("root.ext4")
}

/// A piece of the guest whose programs the benchmark measures, fetched and built if it is not there or older than its
/// sources.
///
/// # Panics
///
/// If it cannot be built.
#[must_use]
pub fn workloads(piece: &str) -> PathBuf {
    made("fetch-workloads", &format!("workloads/{piece}"))
}

/// The initramfs with the driver that uses freed memory, fetched and built if it is not there.
///
/// # Panics
///
/// If it cannot be built.
#[must_use]
pub fn parcels() -> PathBuf {
    made("fetch-debugging", "../debugging/parcels.cpio.gz")
}

/// What the work script prints on a machine with that many processors, a line each without line ends.
#[must_use]
pub fn work_output(processors: usize) -> Vec<String> {
    let fixed = include_str!("../debian/work.expected");
    let mut lines = vec![format!("work: {processors} processors")];
    lines.extend(fixed.lines().map(str::to_owned));
    lines
}

/// The lines of the work script in a guest's console output.
#[must_use]
pub fn work_lines(console: &str) -> Vec<&str> {
    let lines = console.lines().map(str::trim_end);
    lines.filter(|line| line.starts_with("work: ")).collect()
}

/// A machine of 512 MiB that boots that kernel, does the work, prints the kernel's log, and switches itself off.
#[must_use]
pub fn machine(suite: Suite, cpus: u32) -> MachineConfig {
    let initrd = initramfs().into_os_string().into_string().expect("the path is text");
    let boot = BootConfig {
        kernel: Some(kernel(suite)),
        initrd: Some(initrd),
        command_line: "console=ttyS0 panic=-1 reprise.dmesg".into(),
    };
    MachineConfig { ram: 512 << 20, boot, ..machines::embedded(cpus) }
}

/// The same with a shell on the console instead of work.
#[must_use]
pub fn machine_with_shell(suite: Suite, cpus: u32) -> MachineConfig {
    let mut config = machine(suite, cpus);
    config.boot.command_line = "console=ttyS0 quiet panic=-1 reprise.nowork reprise.shell".into();
    config
}

/// Boots it to the shell, types `commands` there, and runs on until the machine ends.
///
/// # Panics
///
/// If there is no shell.
#[must_use]
pub fn boot_and_type(config: &MachineConfig, commands: &str) -> Ending {
    const MILLISECOND: Tick = 1_000_000;
    let mut run = Run::new(config, &[]);
    while !run.console().contains("/root # ") {
        let end = run.go(run.machine.now() + 100 * MILLISECOND);
        assert!(end == End::Until && run.machine.now() < PATIENCE, "{end:?}: {}", run.console());
    }
    run.type_text(commands, MILLISECOND);
    run.finish(PATIENCE)
}

/// Boots it, undisturbed.
#[must_use]
pub fn boot(config: &MachineConfig) -> Ending {
    Run::new(config, &[]).finish(PATIENCE)
}

/// Boots it while everything happens that must leave no trace: cuts at odd ticks, dropped caches, and moves to other
/// machines, on any engine, at about `moves` ticks. `length` is how many ticks the undisturbed run takes.
#[must_use]
pub fn boot_disturbed(config: &MachineConfig, seed: u64, length: Tick, moves: u64) -> Ending {
    let mut random = Random::new(seed);
    let mut run = Run::on(EngineKind::DEFAULT, config, &[]);
    let mut ticks: Vec<_> = (0..moves).map(|_| random.below(length)).collect();
    ticks.sort_unstable_by(|a, b| b.cmp(a));
    run.machine.perturb_caches(seed);
    let end = run.go_in_slices(&mut random, 18, &mut |run, random| {
        if ticks.pop_if(|tick| *tick <= run.machine.now()).is_some() {
            run.move_to_another(random.pick(&EngineKind::ALL).1, config, |state| state);
            run.machine.perturb_caches(random.next());
        }
    });
    run.ending(end)
}

/// What is wrong with how a boot ended; nothing if all is well.
#[must_use]
pub fn complaints(ending: &Ending, cpus: u32) -> Vec<String> {
    let mut complaints = Vec::new();
    if ending.end != End::Off {
        let last: Vec<_> = ending.console.lines().rev().take(20).collect();
        complaints.push(format!("ended by {:?}; last lines, latest first: {last:#?}", ending.end));
    }
    let (done, expected) = (work_lines(&ending.console), work_output(cpus as usize));
    if done != expected {
        complaints.push(format!("work differs: {done:#?} instead of {expected:#?}"));
    }
    if kernel_log(&ending.console).len() < 100 {
        complaints.push("the kernel's log is not there".into());
    }
    complaints.extend(unexplained_warnings(&ending.console).iter().map(|line| format!("the kernel warns: {line}")));
    complaints
}

/// The kernel's log: level and text of each line, without the time.
#[must_use]
pub fn kernel_log(console: &str) -> Vec<(u8, &str)> {
    let lines = console.lines().map(str::trim_end);
    let from = lines.skip_while(|line| *line != "guest: dmesg begins").skip(1);
    from.take_while(|line| *line != "guest: dmesg ends").filter_map(raw_line).collect()
}

/// Level and text of a line as `dmesg -r` prints it: `<6>[    0.000000] text`.
fn raw_line(line: &str) -> Option<(u8, &str)> {
    let (level, rest) = line.strip_prefix('<')?.split_once('>')?;
    let (_, text) = rest.split_once("] ")?;
    // The bits above the level are the facility.
    Some((level.parse::<u16>().ok()? as u8 & 7, text))
}

/// Lines of the kernel's log that warn, or worse, and that [`EXPLAINED`] does not list.
#[must_use]
pub fn unexplained_warnings(console: &str) -> Vec<String> {
    let warnings = kernel_log(console).into_iter().filter(|(level, _)| *level <= WARNING);
    let unexplained = warnings.filter(|(_, text)| !EXPLAINED.iter().any(|(part, _)| text.contains(part)));
    unexplained.map(|(level, text)| format!("<{level}> {text}")).collect()
}

fn fetched(piece: &str) -> PathBuf {
    made("fetch", piece)
}

/// A piece of what that script makes.
fn made(script: &str, piece: &str) -> PathBuf {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a folder of the tree");
    let script = top.join("tests/debian").join(script);
    // Idempotent and quick when everything is there; concurrent calls wait for one another.
    let status = Command::new(&script).stdin(Stdio::null()).status();
    let status = status.unwrap_or_else(|error| panic!("cannot run {}: {error}", script.display()));
    assert!(status.success(), "{} failed ({status}): run it by hand to see why", script.display());
    let path = top.join(".cache/debian").join(piece);
    assert!(path.exists(), "{} made no {}", script.display(), path.display());
    path
}
