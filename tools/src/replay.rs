//! `reprise replay` and `reprise verify`: a recorded run again, and whether it is the same.

use crate::boot::files::RecordedFiles;
use crate::cli::values::network_of;
use crate::cli::{ReplayPlan, VerifyPlan};
use crate::instruments::InstrumentChoice;
use crate::lockstep::Runner;
use crate::progress::Progress;
use crate::recorded::{self, RecordedConfig, RecordedError};
use crate::run::print_identity;
use crate::usage::UsageError;
use crate::{backends, exit_status, gdb, in_use, say};
use reprise_backend::netdev::{Dump, DumpDoor};
use reprise_backend::{Pace, Signals, die_of};
use reprise_core::backend::ChardevId;
use reprise_core::clock::Tick;
use reprise_core::door::Door;
use reprise_core::machine::{End, Fingerprint, Machine};
use reprise_core::output::Output;
use reprise_replay::stored::fingerprints;
use reprise_replay::{Audience, Damage, Outcome, Recording, Replayer};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// The longest sleep between two looks at the signals.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

/// Replays a recording with its console on standard output; the recorded run's exit status.
pub(crate) fn replay(plan: &ReplayPlan) -> Result<u8, UsageError> {
    match &plan.gdb {
        Some(server) => gdb::replay(plan, server),
        None => play(plan, true),
    }
}

/// Replays a recording, and tells whether all of it agrees.
pub(crate) fn verify(plan: &VerifyPlan) -> Result<u8, UsageError> {
    let VerifyPlan { file, engine } = plan.clone();
    let (dumps, instruments) = (Vec::new(), InstrumentChoice::default());
    let (pace, until) = (Pace::Fast, Tick::MAX);
    let gdb = None;
    let plan = ReplayPlan { file, pace, until, verify: true, fingerprint: false, dumps, engine, instruments, gdb };
    play(&plan, false).map(|status| if is_verdict(status) { status } else { exit_status::OK })
}

/// Whether a status is about the recording, and not about the recorded run.
fn is_verdict(status: u8) -> bool {
    matches!(status, exit_status::DIVERGED | exit_status::INCOMPLETE)
}

fn play(plan: &ReplayPlan, shown: bool) -> Result<u8, UsageError> {
    let file = &plan.file;
    let refused = |error: RecordedError| UsageError::new(error.to_string());
    let open = || Recording::open(file).map_err(|error| refused(error.into()));
    let (mut contents, mut log) = (open()?, open()?);
    let machine = recorded::machine(&mut contents, plan.instruments.make(plan.engine.first())?);
    let (mut machine, config) = machine.map_err(|error| without_machine(&error, log.damage()))?;
    let runner = Runner::new(plan.engine, &mut machine, &config.machine, &mut RecordedFiles(&mut contents), None);
    let mut runner = runner.map_err(|error| UsageError::of(&error))?;
    let dumps = open_dumps(plan, &config)?;
    let ended_at = log.end().filter(|ended| ended.reason == UNTIL).map_or(Tick::MAX, |_| log.last_tick());
    let mut damage = if plan.verify { check_all(&mut contents)? } else { log.damage().map(ToString::to_string) };
    // What is wrong with one that cannot be read was found a moment ago.
    let stored = if plan.verify { fingerprints(&contents).unwrap_or_default() } else { Vec::new() };
    let viewer = Viewer {
        console: config.console.filter(|_| shown),
        pace: plan.pace,
        signals: Signals::catch().map_err(|error| UsageError::new(error.to_string()))?,
        progress: progress(shown, log.last_tick().min(plan.until)),
        failed: None,
    };
    let mut replayer = Replayer::new(log.events(0), &mut contents, &config.machine.disks, viewer);
    let (end, wrong) = {
        let mut run = |machine: &mut Machine, door: &mut dyn Door, until| runner.run(machine, door, until);
        let mut door = DumpDoor::new(&mut replayer, dumps);
        run_past(&stored, &mut machine, &mut door, plan.until.min(ended_at), &mut run)
    };
    damage = damage.or(wrong);
    let agreed = replayer.agreed();
    let (mut viewer, outcome) = replayer.finish(&mut machine, end);
    viewer.flush();
    let (failed, signal) = (viewer.failed.take(), viewer.signals.ending());
    drop(viewer);
    let (engine, until) = (plan.engine.spelling(), machine.now());
    if runner.is_different()
        && let Some(status) =
            runner.tell(&mut machine, &format!("reprise replay {} -engine {engine} -until {until}", file.display()))
    {
        return Ok(status);
    }
    let told = Told { file, agreed, counts: plan.verify, damage, tick: machine.now() };
    let mut status = told.tell(&outcome);
    if plan.fingerprint {
        print_identity(&mut machine);
    }
    plan.instruments.report(&machine);
    if let Some(error) = failed {
        say(&format_args!("cannot write to standard output: {error}"));
        status = exit_status::HOST;
    }
    if let Some(signal) = signal {
        die_of(signal).map_err(|error| UsageError::new(error.to_string()))?;
    }
    Ok(status)
}

/// Runs the machine until a tick, and compares its state with the checkpoints that are stored for the ticks on the way;
/// what is wrong with the first that differs.
fn run_past(
    stored: &[(Tick, Fingerprint)],
    machine: &mut Machine,
    door: &mut dyn Door,
    until: Tick,
    run: &mut dyn FnMut(&mut Machine, &mut dyn Door, Tick) -> End,
) -> (End, Option<String>) {
    let mut wrong = None;
    for &(tick, expected) in stored.iter().filter(|(tick, _)| *tick < until) {
        let end = run(machine, door, tick);
        if end != End::Until {
            return (end, wrong);
        }
        let found = machine.fingerprint();
        if found != expected {
            wrong.get_or_insert_with(|| {
                format!(
                    "in the checkpoint at tick {tick}: expected the state with fingerprint {found}, found {expected}"
                )
            });
        }
    }
    (run(machine, door, until), wrong)
}

/// Why there is nothing to replay; what is missing may be in what is damaged.
pub(crate) fn without_machine(error: &RecordedError, damage: Option<&Damage>) -> UsageError {
    let damage = damage.map(|damage| format!("; it is damaged {damage}")).unwrap_or_default();
    UsageError::new(format!("{error}{damage}"))
}

/// Makes the files for frames of networks that the recorded machine has.
fn open_dumps(plan: &ReplayPlan, config: &RecordedConfig) -> Result<Vec<Dump>, UsageError> {
    let networks: Vec<_> = config.machine.devices.iter().filter_map(network_of).collect();
    if let Some(dump) = plan.dumps.iter().find(|dump| !networks.contains(&dump.netdev)) {
        let text = format!("-object filter-dump: the recorded machine has no network {}", dump.netdev.0);
        return Err(UsageError::new(text));
    }
    if let Some((dump, used)) = plan.dumps.iter().find_map(|dump| Some((dump, in_use::open_as(&dump.path)?))) {
        let (name, used) = (dump.path.display(), used.display());
        let text = format!("-object filter-dump: '{name}' would replace '{used}', which the replay uses: name another");
        return Err(UsageError::new(text));
    }
    backends::open_dumps(&plan.dumps, config.machine.rtc_base).map_err(|error| UsageError::of(&error))
}

/// The recorded reason of a run that ended where it was told to.
const UNTIL: &str = "until";

fn progress(shown: bool, total: Tick) -> Progress {
    // The console has the terminal.
    if shown && io::stdout().is_terminal() { Progress::hidden() } else { Progress::new("replaying", total) }
}

/// Reads everything that the file has; what is wrong with it.
pub(crate) fn check_all(recording: &mut Recording) -> Result<Option<String>, UsageError> {
    let found = recording.check().map_err(|error| UsageError::new(error.to_string()))?;
    Ok(found.map(|damage| damage.to_string()))
}

/// What is said about a replay.
struct Told<'a> {
    file: &'a Path,
    agreed: u64,
    /// Whether to say how many fingerprints agreed.
    counts: bool,
    damage: Option<String>,
    tick: Tick,
}

impl Told<'_> {
    /// Says how it ended; the exit status.
    fn tell(&self, outcome: &Outcome) -> u8 {
        let Self { file, agreed, counts, damage, tick } = self;
        let name = file.display();
        match outcome {
            Outcome::Diverged(divergence) => {
                say(divergence);
                say(&format_args!(
                    "states agree up to tick {}; to look at the difference: reprise replay {name} -until {} -fingerprint, \
                     or record the run again and compare the two with reprise diff",
                    divergence.same, divergence.differs
                ));
                return exit_status::DIVERGED;
            }
            Outcome::Damaged(error) => {
                say(&format_args!("{error}; replayed up to tick {tick}, {agreed} fingerprints agree"))
            }
            Outcome::NoEnd => say(&format_args!(
                "'{name}' has no end{}: replayed up to tick {tick}, {agreed} fingerprints agree",
                damage.as_ref().map(|damage| format!(", it is damaged {damage}")).unwrap_or_default()
            )),
            Outcome::Ended(_) | Outcome::Left => {
                if *counts {
                    // The one at the end, too.
                    let is_whole = matches!(outcome, Outcome::Ended(_));
                    let place =
                        if is_whole { String::new() } else { format!(" up to tick {tick}, where the replay ended") };
                    say(&format_args!("{} fingerprints agree{place}", agreed + u64::from(is_whole)));
                }
                if let Some(damage) = damage {
                    say(&format_args!("'{name}' is damaged {damage}"));
                    return exit_status::INCOMPLETE;
                }
                return match outcome {
                    Outcome::Ended(ended) => ended.status,
                    _ => exit_status::OK,
                };
            }
        }
        exit_status::INCOMPLETE
    }
}

/// Who watches: standard output and the terminal.
struct Viewer {
    console: Option<ChardevId>,
    pace: Pace,
    signals: Signals,
    progress: Progress,
    failed: Option<io::Error>,
}

impl Viewer {
    fn note(&mut self, result: io::Result<()>) {
        if let Err(error) = result {
            self.failed.get_or_insert(error);
        }
    }

    fn flush(&mut self) {
        if self.console.is_some() && self.failed.is_none() {
            let result = io::stdout().flush();
            self.note(result);
        }
    }

    /// Obeys the signals; whether the replay has to end.
    fn has_to_end(&mut self) -> bool {
        self.signals.clear_wake();
        if self.signals.take_stop() {
            // It fails only for signals that do not exist.
            let _ = self.signals.stop_now();
        }
        self.failed.is_some() || self.signals.ending().is_some()
    }
}

impl Audience for Viewer {
    fn output(&mut self, _now: Tick, output: Output) {
        if let Output::Bytes { chardev, bytes } = output
            && Some(chardev) == self.console
            && self.failed.is_none()
        {
            let result = io::stdout().write_all(&bytes);
            self.note(result);
        }
    }

    fn pass(&mut self, now: Tick) -> bool {
        self.flush();
        self.progress.at(now);
        !self.has_to_end()
    }

    fn idle(&mut self, now: Tick, until: Tick) {
        if self.pace == Pace::Fast {
            return;
        }
        self.flush();
        let (start, wanted) = (Instant::now(), Duration::from_nanos(until.saturating_sub(now)));
        while let Some(left) = wanted.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) {
            if self.has_to_end() {
                return;
            }
            let left = left.min(LONGEST_SLEEP);
            let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
            let mut wake = [PollFd::from_borrowed_fd(self.signals.wake(), PollFlags::IN)];
            // An error is a signal, which is looked for anyhow.
            let _ = poll(&mut wake, Some(&timeout));
        }
    }
}
