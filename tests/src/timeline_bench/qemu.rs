//! What QEMU can do of it: the same guest, recorded and replayed by QEMU, with gdb.
//!
//! It steps back by going to the nearest earlier snapshot of its own, which is the start unless the user has taken
//! another, and running forward.

use super::recording::add_machine;
use super::report::Report;
use crate::gdb::client::Gdb;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const QEMU: &str = "qemu-system-x86_64";
/// Where steps are made.
const PLACE: u64 = 500_000_000;
/// Seconds of recording that lead beyond it.
const RECORDING: Duration = Duration::from_secs(20);
/// What takes longer counts as never coming back.
const PATIENCE: Duration = Duration::from_secs(60);
const HANGS: &str = "hangs";
const PAUSE: Duration = Duration::from_millis(10);

/// A QEMU, which is ended when this is dropped.
struct Qemu(Child);

impl Drop for Qemu {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Measures it in `folder`.
pub fn measure(folder: &Path, report: &mut Report) -> Result<()> {
    let mut images = Command::new("qemu-img");
    images.current_dir(folder).args(["create", "-q", "-f", "qcow2", "snapshots.qcow2", "8G"]);
    let status = images.status().context("cannot start qemu-img, of the package qemu-utils")?;
    ensure!(status.success(), "qemu-img cannot make the image that QEMU keeps snapshots in");
    let mut recorder = start(folder, "record", &[])?;
    thread::sleep(RECORDING);
    // It finishes its recording if it is asked to end.
    let process = rustix::process::Pid::from_child(&recorder.0);
    rustix::process::kill_process(process, rustix::process::Signal::TERM)?;
    recorder.0.wait()?;
    step_back(folder, report, "reverse-stepi at 0.5 billion instructions", &[])?;
    step_back(folder, report, "the next reverse-stepi", &["reverse-stepi"])?;
    step_back(
        folder,
        report,
        "reverse-stepi with a snapshot taken in the replay",
        &["monitor savevm here", "stepi 100"],
    )
}

fn start(folder: &Path, mode: &str, arguments: &[&str]) -> Result<Qemu> {
    let mut command = Command::new("setpriv");
    command.current_dir(folder).args(["--pdeathsig", "KILL", "--", QEMU, "-accel", "tcg", "-cpu", "Westmere"]);
    command.args(["-nic", "none", "-vga", "none", "-serial", "null"]);
    command.arg("-icount").arg(format!("shift=auto,rr={mode},rrfile=qemu.rr,rrsnapshot=init"));
    command.args(["-drive", "file=snapshots.qcow2,if=none,id=snapshots"]).args(arguments);
    add_machine(&mut command);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(Qemu(command.spawn().with_context(|| format!("cannot start {QEMU}"))?))
}

/// Replays to the place, does what is to be done before, and measures one step back.
fn step_back(folder: &Path, report: &mut Report, what: &'static str, before: &[&str]) -> Result<()> {
    let socket = folder.join("qemu.gdb");
    // That of the one before.
    let _ = std::fs::remove_file(&socket);
    let _replay = start(folder, "replay", &["-S", "-gdb", "unix:path=qemu.gdb,server=on"])?;
    let asked = Instant::now();
    while !socket.exists() {
        ensure!(asked.elapsed() < PATIENCE, "{QEMU} does not listen for gdb");
        thread::sleep(PAUSE);
    }
    let mut gdb = Gdb::start(None)?;
    gdb.set_patience(PATIENCE);
    gdb.tell(&format!("target remote {}", socket.display()))?;
    gdb.tell(&format!("monitor replay_break {PLACE}"))?;
    let begun = Instant::now();
    gdb.resume("continue").context("QEMU does not come to the place")?;
    println!("QEMU: replayed to {PLACE} in {:.1} s", begun.elapsed().as_secs_f64());
    for command in before {
        let done =
            if command.starts_with("monitor") { gdb.tell(command).map(drop) } else { gdb.resume(command).map(drop) };
        if done.is_err() {
            report.qemu(what, format!("{HANGS} before"));
            return Ok(());
        }
    }
    let begun = Instant::now();
    let found = match gdb.resume("reverse-stepi") {
        Ok(_) => format!("{:.1} s", begun.elapsed().as_secs_f64()),
        Err(_) if begun.elapsed() >= PATIENCE => HANGS.to_owned(),
        Err(error) => return Err(error),
    };
    report.qemu(what, found);
    Ok(())
}
