//! `info inputs`: what came in around the position.

use super::{Answer, Monitor};
use crate::dump::text_line;
use reprise_core::clock::Tick;
use reprise_core::door::HostInput;
use reprise_core::property::number;
use reprise_replay::Event;
use reprise_replay::timeline::Direction;
use std::fmt::Write as _;

/// Most inputs that are shown of each side.
const MOST: u64 = 1000;

/// The recorded inputs around the position, as `reprise dump` shows them.
pub(super) fn show(monitor: &mut Monitor<'_>, count: Option<&str>) -> Answer {
    let count = match count.map(number) {
        None => 10,
        Some(Some(count)) => count.min(MOST) as usize,
        Some(None) => return Err(format!("info inputs takes a number, at most {MOST}")),
    };
    let now = monitor.machine().now();
    let timeline = monitor.timeline()?;
    let mut near =
        |from, direction| timeline.nearest_inputs(from, direction, count, &|_| true).map_err(|error| error.to_string());
    // What came at the position itself is before it: the machine has taken it.
    let before = near(now.saturating_add(1), Direction::Backward)?;
    let after = near(now, Direction::Forward)?;
    let mut text = lines(before.iter().rev());
    let _ = writeln!(text, "{now:>14}  <- here");
    text += &lines(after.iter());
    if before.is_empty() && after.is_empty() {
        text += "the recording has no inputs\n";
    }
    Ok(text)
}

fn lines<'a>(inputs: impl Iterator<Item = &'a (Tick, HostInput)>) -> String {
    inputs.fold(String::new(), |mut text, (tick, input)| {
        let _ = writeln!(text, "{tick:>14}  {}", text_line(&Event::Input(input.clone())));
        text
    })
}
