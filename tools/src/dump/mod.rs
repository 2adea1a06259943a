//! `reprise dump`: the events of a recording, one line each.

mod frame;
mod json;
mod kind;
mod text;

pub use kind::Kind;

pub(crate) use json::line as json_line;
pub(crate) use kind::payload;
pub(crate) use text::{hex, line as text_line, of_end};

use crate::cli::DumpPlan;
use crate::progress::Progress;
use crate::usage::UsageError;
use crate::{exit_status, say};
use reprise_core::clock::Tick;
use reprise_replay::{Damage, Event, Recording};
use std::fmt::Write as _;
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};
use std::path::Path;

/// What `reprise dump -help` says after the options.
pub(crate) fn help() -> String {
    let kinds = Kind::ALL.iter().fold(String::new(), |mut text, kind| {
        let _ = writeln!(text, "  {:<14} {}", kind.name(), kind.description());
        text
    });
    format!(
        "\
Kinds of events, with the fields of their JSON objects:
{kinds}  Every object has tick and kind, too. Bytes (data) are in hex, numbers of back ends count from 0 in the order of
  the command line.

{}
Examples:
  reprise dump run.rpr | head
      the first events
  reprise dump run.rpr -kind frame,chardev -from 2s -to 2500ms
      what came from networks and character devices in half a second of guest time
  reprise dump run.rpr -kind inputs -json | jq 'select(.chardev == 0)'
      what came in on the first character device
",
        exit_status::OF_READERS
    )
}

/// Shows the events that `plan` asks for; the exit status.
pub(crate) fn run(plan: &DumpPlan) -> Result<u8, UsageError> {
    let mut recording = Recording::open(&plan.file).map_err(|error| UsageError::new(error.to_string()))?;
    let mut out = BufWriter::new(io::stdout().lock());
    let result = show(plan, &mut recording, &mut out).and_then(|whole| out.flush().map(|()| whole));
    let Some(whole) = unless_reader_left(result)? else { return Ok(exit_status::OK) };
    Ok(if whole && !tell_damage(&recording, &plan.file) { exit_status::OK } else { exit_status::INCOMPLETE })
}

/// Writes `text` to standard output.
pub(crate) fn write_out(text: &str) -> Result<(), UsageError> {
    unless_reader_left(io::stdout().write_all(text.as_bytes())).map(drop)
}

/// What came of writing to standard output; `None` if who read there has seen enough and left.
fn unless_reader_left<T>(result: io::Result<T>) -> Result<Option<T>, UsageError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(None),
        Err(error) => Err(UsageError::new(format!("cannot write to standard output: {error}"))),
    }
}

/// Shows events until there are no more; whether all could be read.
fn show(plan: &DumpPlan, recording: &mut Recording, out: &mut dyn Write) -> io::Result<bool> {
    let last = recording.last_tick().min(*plan.ticks.end());
    let mut progress = if io::stdout().is_terminal() { Progress::hidden() } else { Progress::new("reading", last) };
    for event in recording.events(*plan.ticks.start()) {
        let (tick, event) = match event {
            Ok(event) => event,
            Err(error) => {
                out.flush()?;
                say(&error);
                return Ok(false);
            }
        };
        if tick > *plan.ticks.end() {
            break;
        }
        progress.at(tick);
        if tick >= *plan.ticks.start() && plan.kinds.contains(&Kind::of(&event)) {
            show_event(plan.json, tick, &event, out)?;
        }
    }
    Ok(true)
}

fn show_event(json: bool, tick: Tick, event: &Event, out: &mut dyn Write) -> io::Result<()> {
    if json {
        serde_json::to_writer(&mut *out, &json::line(tick, event))?;
        writeln!(out)
    } else {
        writeln!(out, "{tick:>14}  {}", text::line(event))
    }
}

/// Says where the recording at `path` is damaged.
pub(crate) fn say_damage(path: &Path, damage: &Damage) {
    say(&format_args!("recording '{}' is damaged {damage}", path.display()));
}

/// Says where a recording is damaged; whether it is.
pub(crate) fn tell_damage(recording: &Recording, path: &Path) -> bool {
    if let Some(damage) = recording.damage() {
        say_damage(path, damage);
    }
    recording.damage().is_some()
}
