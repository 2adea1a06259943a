//! `reprise info`: what a recording is of, what is in it, and how it ended.

mod machine;

use crate::cli::InfoPlan;
use crate::dump::{self, Kind, payload};
use crate::exit_status;
use crate::progress::Progress;
use crate::usage::UsageError;
use reprise_core::clock::Tick;
use reprise_replay::{Ended, Event, ReadError, Recording, Sizes};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// How many events there are of a kind, and how many bytes they carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    events: u64,
    bytes: u64,
}

/// All that is to say about a recording.
struct Summary {
    version: u32,
    build: String,
    config: Value,
    last_tick: Tick,
    end: Option<Ended>,
    damage: Option<String>,
    counts: BTreeMap<Kind, Count>,
    files: Vec<(String, u64)>,
    clusters: u64,
    /// Ticks of stored checkpoints.
    checkpoints: Vec<Tick>,
    sizes: Sizes,
}

/// Shows the recording of `plan`; the exit status.
pub(crate) fn run(plan: &InfoPlan) -> Result<u8, UsageError> {
    let refused = |error: ReadError| UsageError::new(error.to_string());
    let mut recording = Recording::open(&plan.file).map_err(refused)?;
    let summary = Summary::of(&mut recording)?;
    let text = if plan.json { format!("{}\n", summary.json()) } else { summary.text(&plan.file) };
    dump::write_out(&text)?;
    let damaged = dump::tell_damage(&recording, &plan.file);
    Ok(if damaged { exit_status::INCOMPLETE } else { exit_status::OK })
}

impl Summary {
    fn of(recording: &mut Recording) -> Result<Self, UsageError> {
        let header = recording.header().clone();
        let size = |name: String| recording.describe(&name).map(|(size, _)| (name, size));
        let files = recording.file_names().into_iter().map(size).collect::<Result<_, _>>();
        let config = serde_json::from_str(&header.config);
        Ok(Self {
            version: recording.version(),
            build: header.build,
            config: config.map_err(|error| UsageError::new(format!("the configuration is no JSON: {error}")))?,
            counts: count(recording),
            last_tick: recording.last_tick(),
            end: recording.end().cloned(),
            damage: recording.damage().map(ToString::to_string),
            files: files.map_err(|error| UsageError::new(error.to_string()))?,
            clusters: recording.clusters().count() as u64,
            checkpoints: recording.checkpoints().collect(),
            sizes: recording.sizes(),
        })
    }

    /// For people.
    fn text(&self, path: &Path) -> String {
        let mut out = String::new();
        let mut row = |name: &str, value: &str| {
            let _ = writeln!(out, "{name:<14}{value}");
        };
        row("recording", &path.display().to_string());
        row("format", &format!("version {}, {} in all", self.version, bytes(self.sizes.total)));
        row("made by", &self.build);
        machine::rows(&self.config).iter().for_each(|(name, value)| row(name, value));
        let icount = self.end.as_ref().map(|end| format!(", icount {}", end.icount)).unwrap_or_default();
        row("length", &format!("{} of guest time, {} ticks{icount}", seconds(self.last_tick), self.last_tick));
        row("ended", &self.ending());
        lines("inputs", self.input_lines(), &mut row);
        lines("stored files", self.files.iter().map(|(name, size)| format!("{name}: {}", bytes(*size))), &mut row);
        row("disk clusters", &self.clusters.to_string());
        row("checkpoints", &self.checkpointed());
        lines("in the file", parts(&self.sizes).map(|(name, size)| format!("{name}: {}", bytes(size))), &mut row);
        out
    }

    fn ending(&self) -> String {
        match (&self.end, &self.damage) {
            (Some(end), _) => format!("{}, status {}, fingerprint {}", end.reason, end.status, end.fingerprint),
            (None, Some(damage)) => format!("damaged {damage}; whole up to tick {}", self.last_tick),
            (None, None) => {
                format!("the recorder was killed, or is still at work; whole up to tick {}", self.last_tick)
            }
        }
    }

    fn checkpointed(&self) -> String {
        match self.checkpoints[..] {
            [] => "none".into(),
            [tick] => format!("1, at {}", seconds(tick)),
            [first, .., last] => {
                format!("{}, from {} to {}", self.checkpoints.len(), seconds(first), seconds(last))
            }
        }
    }

    /// Kinds of inputs that there are; digests last.
    fn input_lines(&self) -> impl Iterator<Item = String> {
        let line = |(kind, count): (&Kind, &Count)| {
            let carried = if count.bytes > 0 { format!(", {}", bytes(count.bytes)) } else { String::new() };
            format!("{}: {}{carried}", kind.name(), count.events)
        };
        self.counts.iter().filter(|(kind, _)| kind.is_input()).map(line)
    }

    /// For programs.
    fn json(&self) -> Value {
        let count = |(kind, count): (&Kind, &Count)| {
            (kind.name().to_owned(), json!({ "count": count.events, "bytes": count.bytes }))
        };
        let file = |(name, size): &(String, u64)| json!({ "name": name, "size": size });
        let end = self.end.as_ref().map(|end| {
            json!({
                "reason": end.reason,
                "status": end.status,
                "icount": end.icount,
                "fingerprint": end.fingerprint.to_string(),
            })
        });
        json!({
            "format": self.version,
            "build": self.build,
            "config": self.config,
            "last_tick": self.last_tick,
            "end": end,
            "damage": self.damage,
            "events": self.counts.iter().map(count).collect::<serde_json::Map<_, _>>(),
            "clusters": self.clusters,
            "checkpoints": self.checkpoints,
            "files": self.files.iter().map(file).collect::<Vec<_>>(),
            "sizes": parts(&self.sizes).map(|(name, size)| (name.to_owned(), size.into())).collect::<serde_json::Map<_, _>>(),
        })
    }
}

/// Counts all events that can be read.
fn count(recording: &mut Recording) -> BTreeMap<Kind, Count> {
    let mut counts: BTreeMap<Kind, Count> = BTreeMap::new();
    let mut progress = Progress::new("reading", recording.last_tick());
    for (tick, event) in recording.events(0).map_while(Result::ok) {
        let count = counts.entry(Kind::of(&event)).or_default();
        count.events += 1;
        if let Event::Input(input) = &event {
            count.bytes += payload(input).len() as u64;
        }
        progress.at(tick);
    }
    counts
}

/// Adds a row with the first line, and the others below it.
fn lines(name: &str, lines: impl Iterator<Item = String>, row: &mut dyn FnMut(&str, &str)) {
    let mut name = name;
    for line in lines {
        row(name, &line);
        name = "";
    }
    if !name.is_empty() {
        row(name, "none");
    }
}

/// What takes up how much of the file.
fn parts(sizes: &Sizes) -> impl Iterator<Item = (&'static str, u64)> {
    let Sizes { header, files, clusters, inputs, digests, checkpoints, index, total } = *sizes;
    let parts = [("header", header), ("files", files), ("clusters", clusters), ("inputs", inputs)];
    parts.into_iter().chain([("digests", digests), ("checkpoints", checkpoints), ("index", index), ("total", total)])
}

/// A number of bytes, with a unit if it is large.
pub(crate) fn bytes(count: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = None;
    for name in units {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = Some(name);
    }
    match unit {
        Some(unit) => format!("{value:.1} {unit}"),
        None if count == 1 => "1 byte".into(),
        None => format!("{count} bytes"),
    }
}

/// Guest time.
pub(crate) fn seconds(tick: Tick) -> String {
    format!("{}.{:09} s", tick / 1_000_000_000, tick % 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_readable() {
        let sizes = [(0, "0 bytes"), (1, "1 byte"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (3 << 30, "3.0 GiB")];
        sizes.iter().for_each(|&(count, text)| assert_eq!(bytes(count), text));
        assert_eq!(bytes(u64::MAX), "16777216.0 TiB");
        assert_eq!((seconds(0), seconds(5_012_345_678)), ("0.000000000 s".into(), "5.012345678 s".into()));
    }
}
