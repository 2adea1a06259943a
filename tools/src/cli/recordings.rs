//! The options of `reprise record`, `replay` and `verify`.

use super::engine::{self, EngineOptions};
use super::gdb::{ReplayGdbOptions, ReplayGdbPlan, check_engine};
use super::instruments::InstrumentOptions;
use super::options::named;
use super::values::{DumpOption, replayed_dump, ticks};
use super::{Request, RunOptions, RunPlan};
use crate::engine::EngineChoice;
use crate::exit_status;
use crate::instruments::InstrumentChoice;
use crate::usage::UsageError;
use clap::{ArgAction, Args};
use reprise_backend::Pace;
use reprise_core::clock::Tick;
use std::path::PathBuf;

/// Where a run is recorded unless the user says otherwise.
const DEFAULT_RECORDING: &str = "reprise.rpr";

/// Runs a machine as `reprise run` does, and records the run into one file, from which it can be replayed.
#[derive(Debug, Args)]
#[command(args_override_self = true, disable_help_flag = true, after_help = after_record())]
pub(super) struct RecordOptions {
    /// The recording
    #[arg(short = 'o', long, value_name = "FILE", default_value = DEFAULT_RECORDING, help_heading = "Recording")]
    output: PathBuf,
    /// Replace a file of that name
    #[arg(long, help_heading = "Recording")]
    force: bool,
    #[command(flatten)]
    run: RunOptions,
}

/// Shows a recorded run again: the console as it was, on standard output. No file but the recording is needed.
#[derive(Debug, Args)]
#[command(args_override_self = true, disable_help_flag = true, after_help = after_replay())]
pub(super) struct ReplayOptions {
    /// The recording
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Idle time passes as on a clock (real), or is skipped (fast)
    #[arg(long, value_name = "real|fast", default_value = "fast")]
    pace: String,
    /// End the replay at this tick, in ns of guest time; or with a unit: 250ms, 10s
    #[arg(long, value_name = "TICK")]
    until: Option<String>,
    /// Check the whole file first, and tell at the end how many fingerprints agreed
    #[arg(long)]
    verify: bool,
    /// Print fingerprint, icount, tick and bytes of RAM touched at the end, on standard error
    #[arg(long)]
    fingerprint: bool,
    /// Write the frames of a network to a file, filter-dump,netdev=NUMBER,file=FILE[,maxlen=N]: the first network is 0
    #[arg(long, value_name = "KIND")]
    object: Vec<String>,
    #[command(flatten)]
    engine: EngineOptions,
    #[command(flatten)]
    instruments: InstrumentOptions,
    #[command(flatten)]
    gdb: ReplayGdbOptions,
    /// Show this text
    #[arg(short = 'h', long, action = ArgAction::HelpShort)]
    help: Option<bool>,
}

/// Checks a recording: the whole file, and that replaying it gives the recorded states.
#[derive(Debug, Args)]
#[command(args_override_self = true, disable_help_flag = true, after_help = after_replay())]
pub(super) struct VerifyOptions {
    /// The recording
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    engine: EngineOptions,
    /// Show this text
    #[arg(short = 'h', long, action = ArgAction::HelpShort)]
    help: Option<bool>,
}

/// What `reprise record` is to do.
#[derive(Clone, Debug)]
pub struct RecordPlan {
    /// The run.
    pub run: RunPlan,
    /// Where to.
    pub target: RecordTarget,
}

/// Where a run is recorded to.
#[derive(Clone, Debug)]
pub struct RecordTarget {
    /// The recording.
    pub file: PathBuf,
    /// Whether it may replace another file.
    pub force: bool,
}

/// What `reprise replay` is to do.
#[derive(Clone, Debug)]
pub struct ReplayPlan {
    /// The recording.
    pub file: PathBuf,
    /// How idle time passes.
    pub pace: Pace,
    /// Where to end.
    pub until: Tick,
    /// Whether to check the whole file.
    pub verify: bool,
    /// Whether to print what identifies the final state.
    pub fingerprint: bool,
    /// Files for frames.
    pub dumps: Vec<DumpOption>,
    /// Runs the vCPUs.
    pub engine: EngineChoice,
    /// Looks at it at work.
    pub instruments: InstrumentChoice,
    /// Lets gdb walk in it.
    pub gdb: Option<ReplayGdbPlan>,
}

/// What `reprise verify` is to do.
#[derive(Clone, Debug)]
pub struct VerifyPlan {
    /// The recording.
    pub file: PathBuf,
    /// Runs the vCPUs.
    pub engine: EngineChoice,
}

impl RecordOptions {
    /// Checks all values, and shows a list where one is asked for.
    pub(super) fn plan(self) -> Result<Request, UsageError> {
        let Self { output: file, force, run } = self;
        Ok(match run.plan()? {
            Request::Run(run) => {
                Request::Record(Box::new(RecordPlan { run: *run, target: RecordTarget { file, force } }))
            }
            other => other,
        })
    }
}

impl ReplayOptions {
    /// Checks all values.
    pub(super) fn plan(self) -> Result<Request, UsageError> {
        if self.engine.asks_for_help() {
            return Ok(Request::Show(engine::engines()));
        }
        let (engine, gdb) = (self.engine.choice()?, self.gdb.plan()?);
        check_engine(engine, gdb.is_some())?;
        if gdb.is_some() {
            self.check_walk()?;
        }
        Ok(Request::Replay(ReplayPlan {
            gdb,
            pace: named("pace", &self.pace, &[("real", Pace::Real), ("fast", Pace::Fast)])?,
            until: self.until.as_deref().map_or(Ok(Tick::MAX), |text| ticks("-until", text))?,
            engine,
            instruments: self.instruments.choice()?,
            file: self.file,
            verify: self.verify,
            fingerprint: self.fingerprint,
            dumps: self.object.iter().map(|text| replayed_dump(text)).collect::<Result<_, _>>()?,
        }))
    }
}

impl ReplayOptions {
    /// Refuses what is for a replay that goes from the start to the end once.
    fn check_walk(&self) -> Result<(), UsageError> {
        let refused =
            |what: &str, instead: &str| Err(UsageError::new(format!("{what} does not go with -gdb: {instead}")));
        match self {
            Self { until: Some(_), .. } => refused("-until", "gdb goes there with monitor seek TICK"),
            Self { pace, .. } if pace == "real" => refused("-pace real", "gdb decides how long anything takes"),
            Self { object, .. } if !object.is_empty() => {
                refused("-object filter-dump", "its frames would come again and again; dump them without gdb")
            }
            _ => Ok(()),
        }
    }
}

impl VerifyOptions {
    /// Checks all values.
    pub(super) fn plan(self) -> Result<Request, UsageError> {
        if self.engine.asks_for_help() {
            return Ok(Request::Show(engine::engines()));
        }
        Ok(Request::Verify(VerifyPlan { engine: self.engine.choice()?, file: self.file }))
    }
}

fn after_record() -> String {
    format!(
        "\
The recording holds the configuration, every input, every file that is booted, and what the guest read of its disks: nothing
else is needed to replay it, anywhere. Images are not changed. If reprise is killed, or the disk is full, what was recorded
until then can be replayed.

Exit status: as of `reprise run`, and
  {}    the recording could not be written to its end

Examples:
  reprise record -o boot.rpr
      records the embedded guest
  reprise record -o linux.rpr -m 512M -kernel vmlinuz -initrd initrd.img -append 'console=ttyS0'
  reprise replay linux.rpr
      shows the same console again
",
        exit_status::HOST
    )
}

fn after_replay() -> String {
    format!(
        "\
With -gdb, gdb finds the recording stopped at its start: continue and reverse-continue, stepi and reverse-stepi, breakpoints
and watchpoints work both ways; monitor help shows what else there is. What gdb writes makes a diversion: the file stays as
it is. The server takes one client after the other, and stays where it is between them; Ctrl-C, SIGTERM or gdb's kill ends it.

Exit status: of replay, that of the recorded run, and with -gdb 0; of verify, 0 if all agrees; and of both
{}
Examples:
  reprise replay linux.rpr
  reprise replay linux.rpr -pace real
      with pauses as they were
  reprise replay linux.rpr -until 2s -fingerprint
  reprise replay linux.rpr -object filter-dump,netdev=0,file=net.pcap
      with what was sent over its network, for tcpdump and Wireshark
  reprise replay linux.rpr -gdb
      waits for gdb -ex 'target remote :1234': reverse-continue, reverse-stepi and monitor help there; ends with Ctrl-C
  reprise verify linux.rpr
",
        exit_status::OF_REPLAYS
    )
}
