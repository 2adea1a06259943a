//! `reprise diff`: where two recordings differ first.
//!
//! Configurations, stored files and inputs are compared as they are. Digests say between which two of their ticks states
//! came to differ. If nothing before that differs, both recordings are replayed side by side, and the interval is halved
//! until it is one tick long: [`narrow`]. What the instruction there left different is in the report.

mod json;
mod log;
mod narrow;
mod playback;
mod report;

use crate::cli::DiffPlan;
use crate::engine::MakeEngine;
use crate::usage::UsageError;
use crate::{dump, exit_status};
use anyhow::{Context, Result};
use json::Difference;
use log::{Digests, InputDifference};
use narrow::Replayed;
use reprise_core::backend::DiskId;
use reprise_core::clock::Tick;
use reprise_replay::{Damage, Ended, Recording};
use serde_json::{Map, Value, json};
use std::path::Path;

/// How a recording ended, and at which tick.
type End = (Tick, Option<Ended>);

/// All that was found.
struct Findings {
    /// The builds that made the recordings.
    builds: [String; 2],
    configuration: Vec<Difference>,
    files: Vec<Difference>,
    /// The first cluster of a disk's image that both read, and that differs.
    cluster: Option<(DiskId, u64)>,
    /// How many inputs are the same, or the first that is not.
    inputs: Result<u64, InputDifference>,
    digests: Digests,
    ends: [End; 2],
    /// What replaying both showed.
    state: Option<Replayed>,
    /// Whether only what is whole was compared.
    damaged: bool,
}

/// Compares the recordings of `plan`; the exit status.
pub(crate) fn run(plan: &DiffPlan) -> Result<u8, UsageError> {
    let engine = plan.engine()?.make();
    let findings = compare(plan, engine).map_err(|error| UsageError::of(&error))?;
    let text = if plan.json { findings.json() } else { findings.text(plan) };
    dump::write_out(&text)?;
    Ok(match findings.are_the_same() {
        _ if findings.damaged => exit_status::USAGE,
        true => exit_status::OK,
        false => exit_status::DIFFERENT,
    })
}

fn compare(plan: &DiffPlan, engine: MakeEngine) -> Result<Findings> {
    let ((mut a, damage_a), (mut b, damage_b)) = (open(&plan.a)?, open(&plan.b)?);
    let builds = [&a, &b].map(|recording| recording.header().build.clone());
    let [config_a, config_b] = [configuration(&a, &plan.a)?, configuration(&b, &plan.b)?];
    let mut findings = Findings {
        builds,
        configuration: json::differences(&config_a, &config_b),
        files: json::differences(&files(&a)?, &files(&b)?),
        cluster: first_cluster(&mut a, &mut b)?,
        inputs: log::first_input(&mut a, &mut b)?,
        digests: log::first_digest(&mut a, &mut b)?,
        ends: [&a, &b].map(|recording| (recording.last_tick(), recording.end().cloned())),
        state: None,
        damaged: damage_a.is_some() || damage_b.is_some(),
    };
    for (path, damage) in [(&plan.a, damage_a), (&plan.b, damage_b)] {
        damage.iter().for_each(|damage| dump::say_damage(path, damage));
    }
    if let Some((from, to)) = findings.interval(plan.narrow) {
        findings.state = Some(narrow::narrow(plan, engine, from, to)?);
    }
    Ok(findings)
}

/// Opens a recording, and says whether all of it is whole: what is not could be what differs.
fn open(path: &Path) -> Result<(Recording, Option<Damage>)> {
    let recording = Recording::open(path)?;
    let damage = match recording.damage() {
        Some(damage) => Some(damage.clone()),
        None => recording.check()?,
    };
    Ok((recording, damage))
}

fn configuration(recording: &Recording, path: &Path) -> Result<Value> {
    let text = &recording.header().config;
    serde_json::from_str(text).with_context(|| format!("recording '{}': its configuration is no JSON", path.display()))
}

/// Size and hash of each stored file, by name.
fn files(recording: &Recording) -> Result<Value> {
    let mut files = Map::new();
    for name in recording.file_names() {
        let (size, hash) = recording.describe(&name)?;
        files.insert(name, json!({ "size": size, "hash": format!("{hash:032x}") }));
    }
    Ok(Value::Object(files))
}

/// The first cluster that both have, with other contents.
fn first_cluster(a: &mut Recording, b: &mut Recording) -> Result<Option<(DiskId, u64)>> {
    let clusters: Vec<_> = a.clusters().collect();
    for (disk, cluster) in clusters {
        let (of_a, of_b) = (a.cluster(disk, cluster)?, b.cluster(disk, cluster)?);
        if of_b.is_some() && of_a != of_b {
            return Ok(Some((disk, cluster)));
        }
    }
    Ok(None)
}

impl Findings {
    /// Whether both began with the same machine, files and disks.
    fn images_are_the_same(&self) -> bool {
        self.configuration.is_empty() && self.files.is_empty() && self.cluster.is_none()
    }

    /// Whether nothing differs.
    fn are_the_same(&self) -> bool {
        let digests = matches!(self.digests, Digests::Same(_));
        let log = self.images_are_the_same() && self.inputs.is_ok() && digests;
        log && self.ends[0] == self.ends[1]
    }

    /// The ticks between which state came to differ, if that is to be found out by replaying: `forced`, or nothing else
    /// explains it.
    fn interval(&self, forced: bool) -> Option<(Tick, Tick)> {
        let last = self.ends[0].0.min(self.ends[1].0);
        let (from, to) = match self.digests {
            Digests::Different(difference) => (difference.same_until, difference.at),
            Digests::Same(until) if self.ends_differ() || forced => (until, last),
            Digests::Same(_) => return None,
        };
        let same_so_far = self.inputs.as_ref().err().is_none_or(|difference| difference.tick() > to);
        let unexplained = self.images_are_the_same() && same_so_far;
        (forced || unexplained).then_some((from, to))
    }

    /// Whether the runs ended differently, and both by themselves.
    fn ends_differ(&self) -> bool {
        let by_itself = |(_, end): &End| end.as_ref().is_some_and(|end| !FROM_OUTSIDE.contains(&end.reason.as_str()));
        self.ends[0] != self.ends[1] && self.ends.iter().all(by_itself)
    }
}

/// Reasons to end that are not in the machine's state.
const FROM_OUTSIDE: [&str; 3] = ["quit", "until", "host-error"];
