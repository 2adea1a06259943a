//! The command line: QEMU's names, with one dash or two.

mod checkpoint;
mod engine;
mod gdb;
mod help;
mod instruments;
mod options;
mod recordings;
mod reports;
mod spelling;
pub mod values;

pub use checkpoint::CheckpointPlan;
pub use gdb::ReplayGdbPlan;
pub use options::{RunOptions, RunPlan};
pub use recordings::{RecordPlan, RecordTarget, ReplayPlan, VerifyPlan};
pub use reports::{DiffPlan, DumpOptions, DumpPlan, InfoPlan};

use crate::usage::UsageError;
use checkpoint::CheckpointOptions;
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use recordings::{RecordOptions, ReplayOptions, VerifyOptions};
use std::ffi::OsString;

/// A deterministic x86-64 PC.
///
/// A machine is a function of its configuration, its inputs and a position in time: the same run, every time.
#[derive(Debug, Parser)]
#[command(name = "reprise", version, max_term_width = 100, subcommand_required = true, arg_required_else_help = true)]
struct Reprise {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what Reprise is for, on the embedded guest: record it, replay it twice, compare
    Demo,
    Run(Box<RunOptions>),
    Record(Box<RecordOptions>),
    Replay(ReplayOptions),
    Verify(VerifyOptions),
    Checkpoint(CheckpointOptions),
    Info(InfoPlan),
    Dump(DumpOptions),
    Diff(DiffPlan),
}

/// What the user asks for.
#[derive(Debug)]
pub enum Request {
    /// Show what Reprise is for.
    Demo,
    /// Run a machine.
    Run(Box<RunPlan>),
    /// Run a machine and record the run.
    Record(Box<RecordPlan>),
    /// Replay a recording.
    Replay(ReplayPlan),
    /// Check a recording.
    Verify(VerifyPlan),
    /// Store checkpoints in a recording.
    Checkpoint(CheckpointPlan),
    /// Show what a recording is.
    Info(InfoPlan),
    /// Show the events of a recording.
    Dump(DumpPlan),
    /// Compare two recordings.
    Diff(DiffPlan),
    /// Show a text.
    Show(String),
}

/// Makes sense of the arguments, the program's name first. Nothing on the host is touched.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Request, UsageError> {
    let args: Result<Vec<_>, _> = args.into_iter().map(OsString::into_string).collect();
    let args = args.map_err(|bad| UsageError::new(format!("argument {bad:?} is not UTF-8")))?;
    let mut command = Reprise::command();
    command.build();
    let args = spelling::canonical(&command, args)?;
    let matches = match command.try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) if error.use_stderr() => return Err(refusal(&error)),
        Err(shown) => return Ok(Request::Show(shown.render().to_string())),
    };
    let reprise = Reprise::from_arg_matches(&matches).map_err(|error| refusal(&error))?;
    match reprise.command {
        Command::Demo => Ok(Request::Demo),
        Command::Run(options) => options.plan(),
        Command::Record(options) => options.plan(),
        Command::Replay(options) => options.plan(),
        Command::Verify(options) => options.plan(),
        Command::Checkpoint(options) => options.plan(),
        Command::Info(plan) => Ok(Request::Info(plan)),
        Command::Dump(options) => options.plan(),
        Command::Diff(plan) => Ok(Request::Diff(plan)),
    }
}

/// Clap's message without its own heading.
fn refusal(error: &clap::Error) -> UsageError {
    let text = error.render().to_string();
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return UsageError::new(format!("no command is given\n\n{}", text.trim_end()));
    }
    UsageError::new(text.strip_prefix("error: ").unwrap_or(&text).trim_end())
}
