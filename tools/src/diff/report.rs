//! What `reprise diff` says: as text, and as one JSON object.

use super::json::{Difference, shown};
use super::log::{Digests, InputDifference};
use super::narrow::{First, Narrowed, Replayed};
use super::{End, Findings};
use crate::cli::DiffPlan;
use crate::dump;
use reprise_core::clock::Tick;
use reprise_core::door::HostInput;
use reprise_replay::Event;
use serde_json::json;
use std::fmt::Write;

/// Most differences of one kind that are listed.
const LISTED: usize = 8;
/// Bytes that are shown before and after the first different one.
const AROUND: usize = 8;

type Input = Option<(Tick, HostInput)>;

impl Findings {
    /// For people.
    pub(super) fn text(&self, plan: &DiffPlan) -> String {
        let mut out = format!("A: {}\nB: {}\n", plan.a.display(), plan.b.display());
        if self.builds[0] != self.builds[1] {
            let _ = writeln!(out, "made by other builds: {} and {}", self.builds[0], self.builds[1]);
        }
        out += &values("configuration", &self.configuration);
        out += &values("stored files", &self.files);
        if let Some((disk, cluster)) = self.cluster {
            let _ = writeln!(out, "images: different in cluster {cluster} of disk {}", disk.0);
        }
        out += &match &self.inputs {
            Ok(count) => format!("inputs: the same, {count}\n"),
            Err(difference) => inputs(difference),
        };
        out += &digests(&self.digests);
        out += &ends(&self.ends);
        let Some(Replayed { outcome, notes }) = &self.state else { return out };
        match outcome {
            Narrowed::Different(first) => out += &state(first),
            Narrowed::Same(tick, digest) => {
                let _ = writeln!(out, "state: replayed, both are the same at tick {tick}: digest {digest}");
                out += self.verdict_on_the_same();
            }
        }
        notes.iter().for_each(|note| out += &format!("  {note}\n"));
        out
    }

    /// What it means that replays agree: nothing, unless the recordings say otherwise.
    fn verdict_on_the_same(&self) -> &'static str {
        match self.digests {
            Digests::Same(_) => "",
            Digests::Different(_) => {
                "  so what differed came from no input: at least one run does not replay as it was recorded\n"
            }
        }
    }

    /// For programs.
    pub(super) fn json(&self) -> String {
        let input =
            |input: &Input| input.as_ref().map(|(tick, input)| dump::json_line(*tick, &Event::Input(input.clone())));
        let inputs = match &self.inputs {
            Ok(count) => json!({ "same": count }),
            Err(difference) => json!({
                "same": difference.same,
                "tick": difference.tick(),
                "byte": difference.first_byte(),
                "a": input(&difference.a),
                "b": input(&difference.b),
            }),
        };
        let digests = match self.digests {
            Digests::Same(until) => json!({ "same_until": until }),
            Digests::Different(difference) => json!({
                "same_until": difference.same_until,
                "tick": difference.at,
                "a": difference.a.to_string(),
                "b": difference.b.to_string(),
            }),
        };
        let end = |(tick, ended): &End| ended.as_ref().map(|ended| dump::json_line(*tick, &Event::End(ended.clone())));
        let state = self.state.as_ref().map(|replayed| match &replayed.outcome {
            Narrowed::Same(tick, digest) => json!({ "same_until": tick, "digest": digest.to_string() }),
            Narrowed::Different(first) => json!(first),
        });
        let report = json!({
            "same": self.are_the_same(),
            "builds": self.builds,
            "configuration": self.configuration,
            "files": self.files,
            "cluster": self.cluster.map(|(disk, cluster)| json!({ "disk": disk.0, "cluster": cluster })),
            "inputs": inputs,
            "digests": digests,
            "ends": self.ends.each_ref().map(end),
            "state": state,
            "notes": self.state.as_ref().map(|replayed| &replayed.notes),
        });
        format!("{report}\n")
    }
}

/// Differences between values, a line each.
fn values(what: &str, differences: &[Difference]) -> String {
    if differences.is_empty() {
        return format!("{what}: the same\n");
    }
    let mut out = format!("{what}: different\n");
    for Difference { path, a, b } in differences.iter().take(LISTED) {
        let _ = writeln!(out, "  {path}: {} in A, {} in B", shown(a.as_ref()), shown(b.as_ref()));
    }
    if differences.len() > LISTED {
        let _ = writeln!(out, "  and {} more", differences.len() - LISTED);
    }
    out
}

fn inputs(difference: &InputDifference) -> String {
    let byte = difference.first_byte();
    let first = byte.map(|byte| format!(", byte {byte}")).unwrap_or_default();
    let mut out =
        format!("inputs: different from tick {}{first} on, after {} equal ones\n", difference.tick(), difference.same);
    for (side, input) in [("A", &difference.a), ("B", &difference.b)] {
        let Some((tick, input)) = input else {
            let _ = writeln!(out, "  {side}: no more inputs");
            continue;
        };
        let _ = writeln!(out, "  {side}: tick {tick}: {}", dump::text_line(&Event::Input(input.clone())));
        if let Some(byte) = byte.filter(|&byte| byte >= AROUND) {
            let bytes = dump::payload(input);
            let part = &bytes[(byte - AROUND).min(bytes.len())..bytes.len().min(byte + AROUND)];
            let _ = writeln!(out, "     around byte {byte}: {}", dump::hex(part));
        }
    }
    out
}

fn digests(digests: &Digests) -> String {
    match digests {
        Digests::Same(until) => format!("digests: the same, to tick {until}\n"),
        Digests::Different(difference) => format!(
            "digests: different at tick {}: {} in A, {} in B; the same to tick {}\n",
            difference.at, difference.a, difference.b, difference.same_until
        ),
    }
}

fn ends(ends: &[End; 2]) -> String {
    if ends[0] == ends[1] {
        return "ends: the same\n".into();
    }
    let line = |side: &str, (tick, ended): &End| match ended {
        Some(ended) => format!("  {side}: tick {tick}: {}\n", dump::of_end(ended)),
        None => format!("  {side}: the recorder was killed; recorded to tick {tick}\n"),
    };
    format!("ends: different\n{}{}", line("A", &ends[0]), line("B", &ends[1]))
}

fn state(first: &First) -> String {
    let First { tick, icount, instruction, inputs, parts } = first;
    let mut out = format!("state: replayed, different from tick {tick} on, icount {icount}\n");
    match instruction {
        Some(it) => {
            let _ = writeln!(out, "  after a step of vCPU {} at rip {:#018x}:  {}", it.cpu, it.rip, it.text);
        }
        None => out += "  after no step of a vCPU\n",
    }
    for (side, inputs) in ["A", "B"].into_iter().zip(inputs) {
        inputs.iter().for_each(|input| out += &format!("  input of {side} at that tick: {input}\n"));
    }
    for part in parts {
        let _ = writeln!(out, "  {}, {}\n    A: {}\n    B: {}", part.part, part.what, part.a, part.b);
    }
    out
}
