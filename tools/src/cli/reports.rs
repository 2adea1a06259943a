//! The options of `reprise info`, `dump` and `diff`.

use super::Request;
use super::engine::EngineOptions;
use super::values::ticks;
use crate::dump::{self, Kind};
use crate::engine::{EngineChoice, EngineKind};
use crate::exit_status;
use crate::usage::UsageError;
use clap::Args;
use reprise_core::clock::Tick;
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// Shows what a recording is of, what is in it, and how it ended.
#[derive(Clone, Debug, Args)]
#[command(after_help = exit_status::OF_READERS)]
pub struct InfoPlan {
    /// The recording
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// As one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Shows the events of a recording, one line each.
#[derive(Debug, Args)]
#[command(after_help = dump::help())]
pub struct DumpOptions {
    /// The recording
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only events of these kinds, separated by commas: those below, or inputs for all but digest and end
    #[arg(long, value_name = "KIND,...")]
    kind: Option<String>,
    /// Only events from this tick on, in ns of guest time; or with a unit: 250ms, 10s
    #[arg(long, value_name = "TICK")]
    from: Option<String>,
    /// Only events up to this tick
    #[arg(long, value_name = "TICK")]
    to: Option<String>,
    /// As JSON lines: one object for each event, with all its bytes
    #[arg(long)]
    json: bool,
}

/// What `reprise dump` is to do.
#[derive(Clone, Debug)]
pub struct DumpPlan {
    /// The recording.
    pub file: PathBuf,
    /// Which events.
    pub kinds: Vec<Kind>,
    /// At which ticks.
    pub ticks: RangeInclusive<Tick>,
    /// Whether to show JSON lines.
    pub json: bool,
}

/// Shows where two recordings differ first: in configuration, stored files, inputs, and state. If only their states differ,
/// both are replayed, to find the first instruction after which they do.
#[derive(Clone, Debug, Args)]
#[command(after_help = exit_status::OF_DIFF)]
pub struct DiffPlan {
    /// The one recording
    #[arg(value_name = "A")]
    pub a: PathBuf,
    /// The other
    #[arg(value_name = "B")]
    pub b: PathBuf,
    /// As one JSON object
    #[arg(long)]
    pub json: bool,
    /// Replay both even if more than their states differs
    #[arg(long)]
    pub narrow: bool,
    #[command(flatten)]
    engine: EngineOptions,
}

impl DiffPlan {
    /// What runs both when they are replayed.
    pub fn engine(&self) -> Result<EngineKind, UsageError> {
        match self.engine.choice()? {
            EngineChoice::One(kind) => Ok(kind),
            EngineChoice::Lockstep { .. } => {
                Err(UsageError::new("-engine lockstep is for one recording: reprise replay FILE -engine lockstep"))
            }
        }
    }
}

impl DumpOptions {
    /// Checks all values.
    pub(super) fn plan(self) -> Result<Request, UsageError> {
        let tick = |option, text: Option<String>, default| text.map_or(Ok(default), |text| ticks(option, &text));
        let (from, to) = (tick("-from", self.from, 0)?, tick("-to", self.to, Tick::MAX)?);
        if from > to {
            return Err(UsageError::new(format!("-from {from} is after -to {to}: there are no such events")));
        }
        Ok(Request::Dump(DumpPlan {
            file: self.file,
            kinds: self.kind.as_deref().map_or(Ok(Kind::ALL.to_vec()), kinds)?,
            ticks: from..=to,
            json: self.json,
        }))
    }
}

/// The kinds that `text` names.
fn kinds(text: &str) -> Result<Vec<Kind>, UsageError> {
    let mut wanted = Vec::new();
    for name in text.split(',') {
        match Kind::ALL.into_iter().find(|kind| kind.name() == name) {
            Some(kind) => wanted.push(kind),
            None if name == "inputs" => wanted.extend(Kind::ALL.into_iter().filter(|kind| kind.is_input())),
            None => {
                let names: Vec<_> = Kind::ALL.iter().map(|kind| kind.name()).chain(["inputs"]).collect();
                return Err(UsageError::unknown("kind of event", name, &names));
            }
        }
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;

    fn parse(line: &str) -> Result<Request, UsageError> {
        cli::parse(["reprise"].into_iter().chain(line.split_whitespace()).map(Into::into))
    }

    fn dump(line: &str) -> DumpPlan {
        match parse(line) {
            Ok(Request::Dump(plan)) => plan,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn events_are_chosen_by_kind_and_tick() {
        let plan = dump("dump run.rpr -kind frame,digest -from 3us --to=1s -json");
        assert_eq!((plan.kinds, plan.ticks, plan.json), (vec![Kind::Frame, Kind::Digest], 3000..=1_000_000_000, true));
        let plan = dump("dump -kind inputs run.rpr");
        assert!(plan.kinds.contains(&Kind::Random) && !plan.kinds.contains(&Kind::End), "{:?}", plan.kinds);
        assert_eq!(plan.file.to_str(), Some("run.rpr"));
    }

    #[test]
    fn two_recordings_are_compared() {
        let Ok(Request::Diff(plan)) = parse("diff a.rpr -narrow b.rpr") else { panic!("refused") };
        assert_eq!(
            (plan.a.to_str(), plan.b.to_str(), plan.narrow, plan.json),
            (Some("a.rpr"), Some("b.rpr"), true, false)
        );
    }

    #[test]
    fn refusals_name_the_thing_and_the_choices() {
        for (line, start) in [
            ("dump a -kind fram", "unknown kind of event 'fram'; did you mean 'frame'?\nvalid choices: chardev, "),
            ("dump a -from 2 -to 1", "-from 2 is after -to 1"),
            ("dump a -from x", "-from 'x' is no tick"),
            ("dump a b", "unexpected argument 'b'"),
            ("diff a", "the following required arguments were not provided:\n  <B>"),
            ("info -jsn a", "unknown option '-jsn'; did you mean '-json'?"),
        ] {
            let error = parse(line).expect_err(line).to_string();
            assert!(error.starts_with(start), "{line}: {error}");
        }
    }
}
