//! `checkpoint` and `info checkpoints`.

use super::{Answer, Command, Monitor, usage};
use crate::info::{bytes, seconds};
use std::fmt::Write as _;

/// Most that are listed.
const LISTED: usize = 200;

pub(super) const CHECKPOINT: Command = Command {
    name: "checkpoint",
    arguments: "[list]",
    summary: "keep this position close at hand, or list what is",
    details: "\
Checkpoints come and go by themselves, so that every position is reached soon. The one that this makes stays until the
server ends: what begins here is then always near.",
    run: checkpoint,
};

fn checkpoint(monitor: &mut Monitor<'_>, arguments: &[&str]) -> Answer {
    match arguments {
        [] => {
            let timeline = monitor.timeline()?;
            timeline.pin();
            Ok(format!("a checkpoint at tick {}, which stays", timeline.now()))
        }
        ["list"] => list(monitor),
        _ => Err(usage(&CHECKPOINT)),
    }
}

/// The positions of all checkpoints.
pub(super) fn list(monitor: &mut Monitor<'_>) -> Answer {
    let timeline = monitor.timeline()?;
    let ticks = timeline.checkpoints();
    let mut text = format!("{} checkpoints, {}\n", ticks.len(), bytes(timeline.checkpoint_memory()));
    // The newest are the closest to what is looked at.
    let hidden = ticks.len().saturating_sub(LISTED);
    if hidden > 0 {
        let _ = writeln!(text, "{hidden} earlier ones, then:");
    }
    for tick in &ticks[hidden..] {
        let _ = writeln!(text, "{tick:>14}  {}", seconds(*tick));
    }
    Ok(text)
}
