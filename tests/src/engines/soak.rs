//! Trials in a process of their own: translated code that is wrong may end it, or never come back.
//!
//! The program that uses this calls [`work`] when it is told to be the worker. It writes a line before each trial; when the
//! lines stop, the last one says which trial it was, and more workers find out where in it.

use super::trial::{Stop, Trials};
use anyhow::{Context, Result, bail, ensure};
use reprise_core::clock::Tick;
use std::collections::BTreeMap;
use std::env::current_exe;
use std::io::{BufRead, BufReader, Write, stdout};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// The first argument of a worker.
pub const WORKER: &str = "worker";
/// How long a trial may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was done without a difference.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Trials.
    pub trials: u64,
    /// Instructions.
    pub instructions: u64,
}

/// The worker: its arguments are a seed and a number of instructions, or a seed and where to stop.
pub fn work(arguments: &[String]) -> Result<()> {
    let numbers = arguments.iter().map(|text| text.parse().context("a worker's argument"));
    let numbers: Vec<u64> = numbers.collect::<Result<_>>()?;
    let trials = Trials::default();
    match numbers[..] {
        [first, wanted] => run_trials(&trials, first, wanted),
        [seed, step, ticks] => run_aloud(&trials, seed, (step != u64::MAX).then_some((step, ticks))),
        _ => bail!("a worker has two or three numbers"),
    }
}

fn run_trials(trials: &Trials, first: u64, wanted: u64) -> Result<()> {
    let mut done = 0;
    for seed in first.. {
        println!("trial {seed} {done}");
        let outcome = trials.run(seed);
        if let Some(difference) = outcome.difference {
            bail!("{difference}");
        }
        done += outcome.instructions;
        if done >= wanted {
            println!("end {seed} {done}");
            break;
        }
    }
    Ok(())
}

fn run_aloud(trials: &Trials, seed: u64, stop: Stop) -> Result<()> {
    trials.run_aloud(seed, stop, &mut |step, length| {
        println!("step {step} {length}");
        // If nobody listens, the worker is not needed.
        let _ = stdout().flush();
    });
    println!("end 0 0");
    Ok(())
}

/// A worker, and what it says.
struct Worker {
    child: Child,
    lines: Receiver<String>,
}

/// How a worker ended.
enum Ended {
    /// By itself, with what it wrote on standard error.
    ByItself(ExitStatus, String),
    /// It said nothing for too long.
    Hung,
}

impl Worker {
    fn start(numbers: &[u64]) -> Result<Self> {
        let mut command = Command::new(current_exe()?);
        command.arg(WORKER).args(numbers.iter().map(u64::to_string));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let stdout = BufReader::new(child.stdout.take().context("no standard output")?);
        let (sender, lines) = channel();
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Ok(Self { child, lines })
    }

    /// Calls `each` with the name and the two numbers of each line, to the worker's end.
    fn follow(mut self, each: &mut dyn FnMut(&str, u64, u64)) -> Result<Ended> {
        loop {
            let line = match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => line,
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    self.child.kill()?;
                    self.child.wait()?;
                    return Ok(Ended::Hung);
                }
            };
            let mut words = line.split(' ');
            let name = words.next().unwrap_or_default();
            let mut number = || words.next().and_then(|word| word.parse().ok()).unwrap_or_default();
            each(name, number(), number());
        }
        let output = self.child.wait_with_output()?;
        Ok(Ended::ByItself(output.status, String::from_utf8_lossy(&output.stderr).into_owned()))
    }
}

/// Runs trials from the seed `first` on, of `wanted` instructions in all, and tells how far it is. The error is the first
/// difference, or where the worker died.
pub fn soak(first: u64, wanted: u64, tell: &mut dyn FnMut(Progress)) -> Result<Progress> {
    let (mut seed, mut progress, mut ended_well) = (first, Progress::default(), false);
    let ended = Worker::start(&[first, wanted])?.follow(&mut |name, current, instructions| {
        ended_well = name == "end";
        seed = current;
        progress = Progress { trials: current - first + u64::from(ended_well), instructions };
        tell(progress);
    })?;
    match ended {
        Ended::ByItself(status, _) if status.success() && ended_well => Ok(progress),
        // It said what differs.
        Ended::ByItself(status, text) if status.code() == Some(1) => bail!("{}", text.trim_end()),
        Ended::ByItself(status, text) => bail!("the worker ended with {status}: {text}\n{}", autopsy(seed)?),
        Ended::Hung => bail!("nothing came for {PATIENCE:?}\n{}", autopsy(seed)?),
    }
}

/// Runs the trials of so many seeds, each in a worker of its own, and goes on after differences: what was executed last or
/// first where they are, and the seeds.
pub fn survey(first: u64, trials: u64, tell: &mut dyn FnMut(u64, &str)) -> Result<BTreeMap<String, Vec<u64>>> {
    let mut found: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for seed in first..first.saturating_add(trials) {
        let Err(error) = soak(seed, 1, &mut |_| {}) else { continue };
        let text = error.to_string();
        // The code is what is indented, and an instruction comes after its address.
        let mut code = text.lines().filter_map(|line| line.strip_prefix("  ")?.split_once(": ")).map(|(_, text)| text);
        let died = !text.starts_with("the engines differ");
        let culprit = if died { code.next_back() } else { code.next() };
        let name = culprit.and_then(|text| text.split(' ').next()).unwrap_or("?");
        let name = if died { format!("{name} (died)") } else { name.to_owned() };
        tell(seed, &name);
        found.entry(name).or_default().push(seed);
    }
    Ok(found)
}

/// Where in the trial of that seed a worker dies.
fn autopsy(seed: u64) -> Result<String> {
    let (mut last, mut over) = ((0, 0), false);
    Worker::start(&[seed, u64::MAX, 0])?.follow(&mut |name, step, length| match name {
        "step" => last = (step, length),
        _ => over = true,
    })?;
    let again = format!("to reproduce: cargo run --release -p reprise-tests --bin engine-soak 1 {seed}");
    if over {
        return Ok(format!("seed {seed}, but not in this trial alone\n{again}"));
    }
    let (step, length) = last;
    let ticks = shortest(seed, step, length)?;
    let (program, code) = Trials::code_of(seed, (step, ticks));
    Ok(format!("seed {seed}, {program}, within {ticks} ticks of step {step}:\n  {}\n{again}", code.join("\n  ")))
}

/// How many ticks of a step it takes to die.
fn shortest(seed: u64, step: u64, length: Tick) -> Result<Tick> {
    let (mut lives, mut dies) = (0, length);
    while dies - lives > 1 {
        let middle = lives + (dies - lives) / 2;
        let mut over = false;
        Worker::start(&[seed, step, middle])?.follow(&mut |name, _, _| over |= name == "end")?;
        if over { lives = middle } else { dies = middle }
    }
    ensure!(dies > 0, "a step has no length");
    Ok(dies)
}
