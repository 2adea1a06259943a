//! One run of an emulator, and what it cost.

use super::emulator::Logged;
use super::work::Work;
use anyhow::{Context, ensure};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// No guest of the benchmark runs for so long.
const PATIENCE: Duration = Duration::from_secs(600);
/// What the kernel counts processor time in, in `/proc`: USER_HZ.
const TICKS_PER_SECOND: f64 = 100.0;

/// What a run cost.
#[derive(Clone, Debug)]
pub struct Cost {
    /// Seconds until the guest was ready.
    pub ready: f64,
    /// Seconds until it ended.
    pub wall: f64,
    /// Seconds of processor time that the emulator itself took.
    pub user: f64,
    /// What only Reprise tells.
    pub told: Option<Told>,
    /// How large the recording is, if one was made.
    pub logged: Option<Logged>,
}

/// What Reprise says at the end of a run.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// Instructions retired.
    pub icount: u64,
    /// Bytes of the guest's RAM in pages that were ever written.
    pub touched: u64,
    /// The most that its process had in the host's memory, in bytes.
    pub peak: u64,
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} s, ready after {:.2} s, processor {:.2} s", self.wall, self.ready, self.user)
    }
}

/// Runs `command` to its end, and checks that the guest did `work`.
pub fn measure(mut command: Command, work: Work) -> anyhow::Result<Cost> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let started = Instant::now();
    let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
    let mut errors = child.stderr.take().context("no standard error")?;
    let errors = thread::spawn(move || {
        let mut text = String::new();
        errors.read_to_string(&mut text).map(|_| text)
    });
    let lines = lines(&mut child)?;
    let mut console = Vec::new();
    while let Ok(line) = lines.recv_timeout(PATIENCE.saturating_sub(started.elapsed())) {
        console.push(line);
    }
    if started.elapsed() >= PATIENCE {
        child.kill().context("cannot end a run that takes too long")?;
    }
    let user = user_seconds(&child)?;
    let status = child.wait().context("cannot wait for the emulator")?;
    let wall = started.elapsed().as_secs_f64();
    let errors = errors.join().ok().context("the reader of standard error failed")??;
    let find = |start: &str| console.iter().find(|(_, line)| line.starts_with(start));
    let ready = find(work.ready_line());
    let done = status.code() == Some(work.status()) && find(&work.done_line()).is_some();
    ensure!(done, "{command:?}\nended with {status}, and did not do its work. Its last lines were\n{}\n{errors}", {
        let last = console.iter().rev().take(10).rev().map(|(_, line)| line.as_str());
        last.collect::<Vec<_>>().join("\n")
    });
    let ready = ready.map_or(wall, |(at, _)| at.duration_since(started).as_secs_f64());
    Ok(Cost { ready, wall, user, told: told(&errors), logged: None })
}

/// The lines of the guest's console, and when they came.
fn lines(child: &mut Child) -> anyhow::Result<Receiver<(Instant, String)>> {
    let stdout = child.stdout.take().context("no standard output")?;
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if sender.send((Instant::now(), line)).is_err() {
                break;
            }
        }
    });
    Ok(receiver)
}

/// Waits until the process has ended, and reads what it took while the system still knows.
fn user_seconds(child: &Child) -> anyhow::Result<f64> {
    let pid = Pid::from_child(child);
    waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).context("cannot wait for the emulator")?;
    let path = format!("/proc/{}/stat", child.id());
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    // proc(5): the second field, a name in parentheses, may hold anything; utime is the 14th.
    let after_name = text.rsplit_once(')').map(|(_, rest)| rest);
    let ticks = after_name.and_then(|rest| rest.split_whitespace().nth(11)?.parse::<f64>().ok());
    Ok(ticks.with_context(|| format!("{path} is not as proc(5) says: {text}"))? / TICKS_PER_SECOND)
}

fn told(errors: &str) -> Option<Told> {
    let number = |name: &str| {
        let rest = errors.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        rest.split_whitespace().next()?.parse().ok()
    };
    Some(Told { icount: number("icount")?, touched: number("touched")?, peak: number("peak")? })
}

/// Tells the bench that started this process how much of the host's memory it had at most: `peak`, in bytes.
pub fn tell_peak() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
    eprintln!("peak {}", peak.unwrap_or(0u64) << 10);
}
