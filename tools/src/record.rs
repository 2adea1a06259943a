//! `reprise record`: a run whose inputs are written down.

use crate::boot::files::NotedFiles;
use crate::cli::values::{BackendOptions, ChardevBackend};
use crate::cli::{RecordTarget, RunPlan};
use crate::gdb::Around;
use crate::recordable::unrecordable;
use crate::recorded::RecordedConfig;
use crate::usage::UsageError;
use crate::{in_use, say};
use reprise_core::backend::ChardevId;
use reprise_core::door::Door;
use reprise_core::machine::{End, Machine};
use reprise_replay::{Ended, Finished, HOST_ERROR, Header, Recorded, Recorder, WriteError, Writer, reason};
use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The build, as recordings have it.
const BUILD: &str = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));

/// Refuses what can be told to go wrong, before anything is started: a back end whose input cannot be written down, and a
/// recording that there is already.
pub(crate) fn check(record: &RecordTarget, backends: &BackendOptions) -> Result<(), UsageError> {
    if let Some((what, why)) = unrecordable(backends) {
        return Err(UsageError::new(format!("{what} cannot be recorded: {why}")));
    }
    if record.file.exists() && !record.force { Err(taken(&record.file)) } else { Ok(()) }
}

/// Refuses a recording that would take the place of a file that the run uses: the image of a disk, what an image lies on, a
/// kernel, a log.
pub(crate) fn check_unused(record: &RecordTarget, files: &NotedFiles) -> Result<(), UsageError> {
    let booted =
        || files.notes.iter().map(|(name, _)| PathBuf::from(name)).find(|it| in_use::are_one_file(it, &record.file));
    let Some(used) = in_use::open_as(&record.file).or_else(booted) else { return Ok(()) };
    let (name, used) = (record.file.display(), used.display());
    Err(UsageError::new(format!(
        "recording '{name}' would replace '{used}', which this run uses: name another one with -o"
    )))
}

fn taken(file: &Path) -> UsageError {
    let name = file.display();
    UsageError::new(format!("there is a file '{name}' already: name another one with -o, or replace it with -force"))
}

/// A recording before the run.
pub(crate) struct Ready {
    file: PathBuf,
    writer: Writer,
}

/// A recording of a run that is over.
pub(crate) struct Made {
    file: PathBuf,
    recorded: Recorded,
}

impl Ready {
    /// Makes the file, and writes down what is known before the run.
    pub(crate) fn new(record: &RecordTarget, plan: &RunPlan, files: &NotedFiles) -> Result<Self, UsageError> {
        check_unused(record, files)?;
        let file = record.file.clone();
        if !record.force {
            claim(&file)?;
        }
        let writer = write_start(&file, plan, files).map_err(|error| {
            if !record.force {
                // It was made a moment ago. If it stays, it is no recording, and says so.
                let _ = std::fs::remove_file(&file);
            }
            UsageError::new(error.to_string())
        });
        Ok(Self { file, writer: writer? })
    }

    /// Records what enters by `door` while the machine runs.
    pub(crate) fn run(self, door: &mut dyn Door, run: impl FnOnce(&mut dyn Around) -> End) -> (End, Made) {
        let mut recorder = Recorder::new(door, self.writer);
        let end = run(&mut recorder);
        let (_, recorded) = recorder.into_parts();
        (end, Made { file: self.file, recorded })
    }
}

impl Made {
    /// Writes down how the run ended, and says what was recorded.
    pub(crate) fn finish(self, machine: &mut Machine, end: End, by_host: bool, status: u8) -> Result<(), WriteError> {
        let reason = if by_host && end == End::Quit { HOST_ERROR } else { reason(end) };
        let ended =
            Ended { reason: reason.into(), status, icount: machine.icount(), fingerprint: machine.fingerprint() };
        let Finished { bytes, inputs } = self.recorded.finish(machine.now(), ended)?;
        let length = Duration::from_nanos(machine.now());
        say(&format_args!(
            "recorded {length:?} of guest time, {} instructions and {inputs} inputs in '{}', {bytes} bytes",
            machine.icount(),
            self.file.display()
        ));
        Ok(())
    }
}

fn write_start(file: &Path, plan: &RunPlan, files: &NotedFiles) -> Result<Writer, WriteError> {
    let console = console(plan.backends.chardevs());
    let config = RecordedConfig { machine: plan.config.clone(), console }.to_json();
    let mut writer = Writer::create(file, &Header { build: BUILD.into(), config })?;
    files.notes.iter().try_for_each(|(name, bytes)| writer.file(name, bytes))?;
    Ok(writer)
}

/// Makes an empty file, unless there is one.
fn claim(file: &Path) -> Result<(), UsageError> {
    match OpenOptions::new().write(true).create_new(true).open(file) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(taken(file)),
        Err(error) => Err(UsageError::new(format!("cannot create recording '{}': {error}", file.display()))),
    }
}

/// The character device that is on the terminal.
fn console(chardevs: &[ChardevBackend]) -> Option<ChardevId> {
    let stdio = chardevs.iter().position(|backend| matches!(backend, ChardevBackend::Stdio { .. }))?;
    Some(ChardevId(stdio as u16))
}
