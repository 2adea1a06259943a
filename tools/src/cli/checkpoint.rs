//! The options of `reprise checkpoint`.

use super::Request;
use super::engine::EngineOptions;
use super::values::ticks;
use crate::engine::{EngineChoice, EngineKind};
use crate::exit_status;
use crate::usage::UsageError;
use clap::Args;
use reprise_core::clock::Tick;
use std::path::PathBuf;

/// Ticks between checkpoints unless the user says otherwise: ten seconds of guest time.
const DEFAULT_INTERVAL: &str = "10s";

/// Stores checkpoints in a recording, so that going to its end, or anywhere, does not take running to there. It is replayed
/// for that, once, and is the same recording afterwards, only larger.
#[derive(Debug, Args)]
#[command(after_help = after_checkpoint())]
pub(super) struct CheckpointOptions {
    /// The recording
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Guest time between checkpoints, in ns; or with a unit: 250ms, 10s. The last one is just before the end
    #[arg(long, value_name = "TICKS", default_value = DEFAULT_INTERVAL)]
    every: String,
    #[command(flatten)]
    engine: EngineOptions,
}

/// What `reprise checkpoint` is to do.
#[derive(Clone, Debug)]
pub struct CheckpointPlan {
    /// The recording.
    pub file: PathBuf,
    /// Ticks between checkpoints; not 0.
    pub every: Tick,
    /// Runs the vCPUs.
    pub engine: EngineChoice,
}

impl CheckpointPlan {
    /// What replays it.
    pub fn engine(&self) -> Result<EngineKind, UsageError> {
        match self.engine {
            EngineChoice::One(kind) => Ok(kind),
            EngineChoice::Lockstep { .. } => Err(UsageError::new(
                "-engine lockstep stores no checkpoints: compare with reprise replay FILE -engine lockstep",
            )),
        }
    }
}

impl CheckpointOptions {
    /// Checks all values, and shows a list where one is asked for.
    pub(super) fn plan(self) -> Result<Request, UsageError> {
        if self.engine.asks_for_help() {
            return Ok(Request::Show(super::engine::engines()));
        }
        let every = ticks("-every", &self.every)?;
        if every == 0 {
            return Err(UsageError::new("-every 0 has no end: expected 1 at least, or a time such as 10s"));
        }
        Ok(Request::Checkpoint(CheckpointPlan { file: self.file, every, engine: self.engine.choice()? }))
    }
}

fn after_checkpoint() -> String {
    format!(
        "\
A checkpoint takes the room of the guest's memory that changed since the one before it, compressed. The recording is replaced
when all are stored, and never before.

Exit status:
  0    they are stored
{}  {}    the file could not be written: the recording is as it was

Examples:
  reprise checkpoint linux.rpr
  reprise checkpoint linux.rpr -every 500ms
",
        exit_status::OF_REPLAYS,
        exit_status::HOST
    )
}

#[cfg(test)]
mod tests {
    use crate::cli::{Request, parse};

    fn every(options: &str) -> Result<u64, String> {
        let words = ["reprise", "checkpoint", "x.rpr"].into_iter().chain(options.split_whitespace());
        match parse(words.map(Into::into)) {
            Ok(Request::Checkpoint(plan)) => plan.engine().map(|_| plan.every).map_err(|error| error.to_string()),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn intervals_are_times_and_not_nothing() {
        assert_eq!((every(""), every("-every 250ms")), (Ok(10_000_000_000), Ok(250_000_000)));
        assert!(every("-every 0").unwrap_err().contains("-every 0 has no end"));
        assert!(every("-engine lockstep").unwrap_err().contains("stores no checkpoints"));
    }
}
