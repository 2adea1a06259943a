//! `reprise checkpoint`: stores checkpoints in a recording, so that opening it anywhere takes no longer than running from
//! one of them to the next.
//!
//! The recording is replayed, and checked as in any replay. What it holds is copied beside it, the checkpoints follow, and
//! at the end the new file takes the place of the old one: whatever goes wrong before, the recording is as it was.

use crate::cli::CheckpointPlan;
use crate::progress::Progress;
use crate::usage::UsageError;
use crate::{exit_status, recorded, say};
use reprise_backend::{Signals, die_of};
use reprise_core::clock::Tick;
use reprise_core::door::Door;
use reprise_core::machine::{End, Machine};
use reprise_core::output::Output;
use reprise_replay::stored::Storing;
use reprise_replay::{Audience, Outcome, Recording, Replayer, WriteError, Writer, reason};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Stores the checkpoints of `plan`; the exit status.
pub(crate) fn run(plan: &CheckpointPlan) -> Result<u8, UsageError> {
    let refused = |error: &dyn std::error::Error| UsageError::new(error.to_string());
    let open = || Recording::open(&plan.file).map_err(|error| refused(&error));
    let (mut log, mut contents) = (open()?, open()?);
    check_whole(&plan.file, &contents)?;
    let (mut machine, config) =
        recorded::machine(&mut contents, plan.engine()?.make()).map_err(|error| refused(&error))?;
    let beside = Beside::new(&plan.file).map_err(|error| refused(&error))?;
    let writer = Writer::copy(&beside.path, &contents).map_err(|error| refused(&error))?;
    let stops = Stops::new(plan.every, &log);
    let signals = Signals::catch().map_err(|error| refused(&error))?;
    let watcher = Watcher { signals, progress: Progress::new("replaying", log.last_tick()) };
    let mut replayer = Replayer::new(log.events(0), &mut contents, &config.machine.disks, watcher);
    let mut maker = Maker { storing: Storing::new(&mut machine), writer, stored: None, count: 0 };
    let (end, written) = maker.make(&mut machine, &mut replayer, stops);
    let (watcher, outcome) = replayer.finish(&mut machine, end);
    let signal = watcher.signals.ending();
    drop(watcher);
    if let Some(signal) = signal {
        drop(beside);
        return die_of(signal).map(|_| exit_status::HOST).map_err(|error| refused(&error));
    }
    let Maker { writer, count, .. } = maker;
    let written = written.and_then(|()| writer.finish());
    Ok(match (written, refusal(&plan.file, &outcome)) {
        (Err(error), _) => tell(&error, exit_status::HOST),
        (Ok(_), Some((text, status))) => tell(&text, status),
        (Ok(bytes), None) => match beside.replace() {
            Ok(()) => tell(&told(&plan.file, count, bytes), exit_status::OK),
            Err(error) => tell(&format!("cannot replace '{}': {error}", plan.file.display()), exit_status::HOST),
        },
    })
}

fn tell(text: &dyn std::fmt::Display, status: u8) -> u8 {
    say(text);
    status
}

fn told(file: &Path, count: u64, bytes: u64) -> String {
    let checkpoints = if count == 1 { "1 checkpoint".into() } else { format!("{count} checkpoints") };
    format!("stored {checkpoints} in '{}', which has {bytes} bytes now", file.display())
}

/// What follows damage could not be told from what follows the end.
fn check_whole(file: &Path, recording: &Recording) -> Result<(), UsageError> {
    match recording.damage() {
        None => Ok(()),
        Some(damage) => Err(UsageError::new(format!(
            "recording '{}' is damaged {damage}: checkpoints can be stored in a whole one only",
            file.display()
        ))),
    }
}

/// Why what was replayed gets no checkpoints, and the exit status.
fn refusal(file: &Path, outcome: &Outcome) -> Option<(String, u8)> {
    match outcome {
        Outcome::Ended(_) => None,
        Outcome::Diverged(divergence) => Some((divergence.to_string(), exit_status::DIVERGED)),
        Outcome::Damaged(error) => Some((error.to_string(), exit_status::INCOMPLETE)),
        Outcome::NoEnd | Outcome::Left => {
            Some((format!("'{}' has no end: nothing is stored in it", file.display()), exit_status::INCOMPLETE))
        }
    }
}

/// The ticks at which checkpoints are stored, and where the replay ends.
struct Stops {
    every: Tick,
    /// The last event.
    last: Tick,
    /// What the recorded run was told.
    until: Tick,
}

impl Stops {
    fn new(every: Tick, recording: &Recording) -> Self {
        let told = recording.end().is_some_and(|ended| ended.reason == reason(End::Until));
        let last = recording.last_tick();
        Self { every, last, until: if told { last } else { Tick::MAX } }
    }

    /// The one after `now`: a multiple of the interval, or just before the end, which is where people look first.
    fn after(&self, now: Tick) -> Option<Tick> {
        let next = (now / self.every + 1).checked_mul(self.every).unwrap_or(Tick::MAX);
        Some(next.min(self.last.saturating_sub(1))).filter(|&stop| stop > now)
    }
}

/// Stores checkpoints on the way.
struct Maker {
    storing: Storing,
    writer: Writer,
    /// Instructions up to the last checkpoint.
    stored: Option<u64>,
    count: u64,
}

impl Maker {
    /// Runs the machine to the end of the recording, or to where it cannot go on, or to where a checkpoint cannot be
    /// written.
    fn make(&mut self, machine: &mut Machine, door: &mut dyn Door, stops: Stops) -> (End, Result<(), WriteError>) {
        while let Some(stop) = stops.after(machine.now()) {
            let end = machine.run(door, stop);
            if end != End::Until {
                return (end, Ok(()));
            }
            // Where nothing ran, nobody waits.
            if self.stored != Some(machine.icount()) {
                if let Err(error) = self.storing.store(machine, &mut self.writer) {
                    return (end, Err(error));
                }
                (self.stored, self.count) = (Some(machine.icount()), self.count + 1);
            }
        }
        (machine.run(door, stops.until), Ok(()))
    }
}

/// The file that is made beside a recording; it goes away unless it takes the recording's place.
struct Beside {
    /// What it is to replace: no link to it.
    file: PathBuf,
    path: PathBuf,
}

impl Beside {
    fn new(file: &Path) -> io::Result<Self> {
        let file = fs::canonicalize(file)?;
        let mut path = file.clone().into_os_string();
        path.push(format!(".{}.part", std::process::id()));
        Ok(Self { file, path: path.into() })
    }

    fn replace(self) -> io::Result<()> {
        fs::set_permissions(&self.path, fs::metadata(&self.file)?.permissions())?;
        fs::rename(&self.path, &self.file)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // It is not there any more if it took the other's place.
        let _ = fs::remove_file(&self.path);
    }
}

/// Who watches: the terminal, and who ends it.
struct Watcher {
    signals: Signals,
    progress: Progress,
}

impl Audience for Watcher {
    fn output(&mut self, _now: Tick, _output: Output) {}

    fn pass(&mut self, now: Tick) -> bool {
        self.progress.at(now);
        self.signals.clear_wake();
        if self.signals.take_stop() {
            // It fails only for signals that do not exist.
            let _ = self.signals.stop_now();
        }
        self.signals.ending().is_none()
    }

    fn idle(&mut self, _now: Tick, _until: Tick) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_are_at_multiples_and_just_before_the_end() {
        let all = |every, last| {
            let stops = Stops { every, last, until: last };
            std::iter::successors(stops.after(0), |&now| stops.after(now)).collect::<Vec<_>>()
        };
        assert_eq!(all(10, 35), [10, 20, 30, 34]);
        assert_eq!(all(10, 31), [10, 20, 30]);
        assert_eq!(all(Tick::MAX, 100), [99]);
        assert_eq!((all(5, 0), all(5, 1)), (vec![], vec![]));
    }
}
