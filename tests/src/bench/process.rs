//! One process: what it printed when, and what it had cost by then.

use anyhow::Context;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What the kernel counts processor time in, in `/proc`: USER_HZ.
const TICKS_PER_SECOND: f64 = 100.0;
/// How long a process may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(10);

/// A moment of a run, and what the run had cost by then, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Since its start.
    pub wall: f64,
    /// Of processors, by the process and those it has waited for.
    pub processor: f64,
}

/// A run that has ended.
#[derive(Debug)]
pub struct Run {
    /// The lines of its standard output that mark something, and when they came.
    pub marks: Vec<(Moment, String)>,
    /// The last lines of its output, for people.
    pub last_lines: Vec<String>,
    /// All of its standard error.
    pub errors: String,
    /// When it ended.
    pub end: Moment,
    /// How it ended.
    pub status: ExitStatus,
    /// Whether it was ended because nothing was marked for so long.
    pub impatient: bool,
}

/// Runs a command to its end, or until it marks nothing for longer than `patience`.
pub fn run(command: Command, patience: Duration, is_mark: impl Fn(&str) -> bool) -> anyhow::Result<Run> {
    let mut command = mortal(&command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let started = Instant::now();
    let mut child = command.spawn().with_context(|| format!("cannot start {:?}", command.get_program()))?;
    let errors = errors(&mut child)?;
    let lines = lines(&mut child)?;
    let (mut marks, mut last_lines) = (Vec::new(), Vec::new());
    let mut deadline = started + patience;
    let impatient = loop {
        let line = match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => line,
            Err(RecvTimeoutError::Disconnected) => break false,
            Err(RecvTimeoutError::Timeout) => break true,
        };
        if is_mark(&line.text) {
            deadline = line.at + patience;
            marks.push((moment(&child, started, line.at)?, line.text));
        } else {
            last_lines.push(line.text);
            last_lines.drain(..last_lines.len().saturating_sub(5));
        }
    };
    if impatient {
        end(&mut child)?;
    }
    let pid = Pid::from_child(&child);
    waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).context("cannot wait for a process")?;
    let end = moment(&child, started, Instant::now())?;
    let status = child.wait().context("cannot wait for a process")?;
    let errors = errors.join().ok().context("the reader of standard error failed")??;
    Ok(Run { marks, last_lines, errors, end, status, impatient })
}

/// The same command, but the process dies with this one: no emulator runs on when the bench is killed.
fn mortal(command: &Command) -> Command {
    let mut mortal = Command::new("setpriv");
    mortal.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
    mortal
}

struct Line {
    at: Instant,
    text: String,
}

/// The lines of standard output, with the time at which they came.
fn lines(child: &mut Child) -> anyhow::Result<Receiver<Line>> {
    let stdout = child.stdout.take().context("no standard output")?;
    let (sender, receiver): (Sender<Line>, _) = channel();
    thread::spawn(move || {
        for bytes in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
            let line = Line { at: Instant::now(), text: String::from_utf8_lossy(&bytes).trim_end().to_owned() };
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    Ok(receiver)
}

fn errors(child: &mut Child) -> anyhow::Result<JoinHandle<std::io::Result<String>>> {
    let mut stderr = child.stderr.take().context("no standard error")?;
    Ok(thread::spawn(move || {
        let mut bytes = Vec::new();
        stderr.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }))
}

/// Asks a process to end, so that it may finish its recording, and ends it if it does not.
fn end(child: &mut Child) -> anyhow::Result<()> {
    let ended = |child: &mut Child| {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        waitid(WaitId::Pid(Pid::from_child(child)), options).is_ok_and(|status| status.is_some())
    };
    kill_process(Pid::from_child(child), Signal::TERM).context("cannot end a process")?;
    let asked = Instant::now();
    while !ended(child) && asked.elapsed() < GRACE {
        thread::sleep(Duration::from_millis(50));
    }
    if !ended(child) {
        child.kill().context("cannot kill a process")?;
    }
    Ok(())
}

fn moment(child: &Child, started: Instant, at: Instant) -> anyhow::Result<Moment> {
    Ok(Moment { wall: at.duration_since(started).as_secs_f64(), processor: processor_seconds(child)? })
}

/// What the process has taken of the processors. It is there until it is waited for.
fn processor_seconds(child: &Child) -> anyhow::Result<f64> {
    let path = format!("/proc/{}/stat", child.id());
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    // proc(5): the second field, a name in parentheses, may hold anything; from the 14th on there are utime, stime,
    // cutime and cstime.
    let after_name = text.rsplit_once(')').map(|(_, rest)| rest);
    let fields = after_name.map(|rest| rest.split_whitespace().skip(11).take(4).map(str::parse::<f64>));
    let ticks = fields.and_then(|fields| fields.sum::<Result<f64, _>>().ok());
    Ok(ticks.with_context(|| format!("{path} is not as proc(5) says: {text}"))? / TICKS_PER_SECOND)
}

/// Tells the bench that started this process how much of the host's memory it had at most: `peak`, in bytes.
pub fn tell_peak() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
    eprintln!("peak {}", peak.unwrap_or(0u64) << 10);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, patience: Duration) -> Run {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        run(command, patience, |line| line.starts_with('@')).unwrap()
    }

    #[test]
    fn marks_come_with_their_times() {
        let run = shell("echo @a; sleep 0.2; echo b; echo @c; echo d >&2; exit 3", Duration::from_secs(60));
        let names: Vec<_> = run.marks.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!((names, run.last_lines, run.errors.as_str()), (vec!["@a", "@c"], vec!["b".into()], "d\n"));
        assert!(run.marks[1].0.wall - run.marks[0].0.wall >= 0.2);
        assert_eq!((run.status.code(), run.impatient), (Some(3), false));
    }

    #[test]
    fn work_of_children_counts() {
        let run = shell(r#"echo @a; sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done'; echo @b"#, GRACE);
        assert!(run.marks[1].0.processor - run.marks[0].0.processor > 0.01, "{run:?}");
    }

    #[test]
    fn a_process_that_marks_nothing_is_ended() {
        let run = shell("echo @a; exec sleep 60", Duration::from_millis(200));
        assert!(run.impatient && !run.status.success() && run.end.wall < 30.0);
        assert_eq!(run.marks.len(), 1);
    }
}
