//! `when` and `seek`: where the machine is in its run, and going elsewhere.

use super::{Answer, Command, Monitor, events, usage};
use crate::cli::values::ticks;
use crate::info::seconds;
use reprise_core::clock::Tick;
use reprise_core::property::number;
use reprise_replay::timeline::{Direction, Stop};
use std::fmt::Write as _;

pub(super) const WHEN: Command = Command {
    name: "when",
    arguments: "",
    summary: "say where the machine is in its run",
    details: "\
A tick is a nanosecond of guest time, and the position of everything that happens. The instruction count stands still
while every vCPU is idle.",
    run: |monitor, arguments| if arguments.is_empty() { Ok(when(monitor)) } else { Err(usage(&WHEN)) },
};

pub(super) const SEEK: Command = Command {
    name: "seek",
    arguments: "TICK|+TICKS|-TICKS|N%|icount N|start|end|next EVENT|last EVENT",
    summary: "go to a position",
    details: "\
TICK         a number of ticks since power-on, or a time: 2s, 1500ms, 20us
+TICKS       so much later, -TICKS so much earlier
N%           that part of the recording's length
icount N     where N instructions are retired
start, end   the ends of the recording
next EVENT   the first one after the position: interrupt, input, packet, key, reset, or another kind that
             'reprise dump' knows
last EVENT   the last one before the position (also: previous EVENT)
An input is found where the machine has taken it. An interrupt is found where a vCPU is about to execute the first
instruction of the handler, which is an address that a vCPU's IDT has for a vector from 32 on at the position where the
search begins: a guest that changes its IDT in between, or jumps to a handler by itself, is not seen through.
gdb does not know that the machine has moved. 'help gdb-script' says how it learns of that.",
    run: seek,
};

/// Where the machine is.
fn when(monitor: &mut Monitor<'_>) -> String {
    let mut text = position(monitor);
    let machine = monitor.machine();
    let (turn, left) = machine.turn();
    let (icount, cpu) = (machine.icount(), monitor.cpu);
    let rip = machine.cpus[cpu].regs.rip();
    let _ = write!(text, "\nicount {icount}\nvCPU {cpu} at {rip:#x}");
    if machine.cpus.len() > 1 {
        let _ = write!(text, "; it is the turn of vCPU {turn}, for {left} ticks");
    }
    text
}

/// The position in a line.
pub(super) fn position(monitor: &mut Monitor<'_>) -> String {
    let now = monitor.machine().now();
    let mut text = format!("tick {now} ({})", seconds(now));
    let Some(timeline) = monitor.debuggee.timeline() else {
        return text + ", running";
    };
    let history = timeline.history();
    let length = history.end.saturating_sub(history.start).max(1);
    let percent = (now.saturating_sub(history.start)) as f64 * 100.0 / length as f64;
    let _ = write!(text, ", {percent:.2} % of {} to {}", history.start, history.end);
    text += &match timeline.diverted_at() {
        Some(tick) => format!("; in a diversion, which left the recording at tick {tick}"),
        None => "; on the recording".to_owned(),
    };
    text
}

fn seek(monitor: &mut Monitor<'_>, arguments: &[&str]) -> Answer {
    monitor.timeline()?;
    match *arguments {
        ["start"] => go(monitor, |now| now.start),
        ["end"] => go(monitor, |now| now.end),
        ["icount", count] => {
            let icount = number(count).ok_or_else(|| format!("'{}' is no number", count.escape_debug()))?;
            let (timeline, watcher) = monitor.moving()?;
            let stop = timeline.seek_icount(icount, watcher);
            arrived(monitor, &stop)
        }
        ["next", event] => events::seek(monitor, event, Direction::Forward),
        ["last" | "previous", event] => events::seek(monitor, event, Direction::Backward),
        [place] => {
            let now = monitor.machine().now();
            let history = monitor.timeline()?.history();
            let tick = place_of(place, now, history.start, history.end)?;
            go(monitor, |_| tick)
        }
        _ => Err(usage(&SEEK)),
    }
}

/// The tick that `place` says.
fn place_of(place: &str, now: Tick, start: Tick, end: Tick) -> Result<Tick, String> {
    let amount = |text: &str| ticks("seek", text).map_err(|error| format!("{error}\n{}", usage(&SEEK)));
    if let Some(percent) = place.strip_suffix('%') {
        let percent: f64 = percent.parse().map_err(|_| usage(&SEEK))?;
        let part = (percent.clamp(0.0, 100.0) / 100.0) * end.saturating_sub(start) as f64;
        return Ok(start.saturating_add(part as Tick));
    }
    match place.split_at_checked(1) {
        Some(("+", later)) => Ok(now.saturating_add(amount(later)?)),
        Some(("-", earlier)) => Ok(now.saturating_sub(amount(earlier)?)),
        Some(_) | None => amount(place),
    }
}

/// Goes to a tick of the history.
pub(super) fn go(monitor: &mut Monitor<'_>, tick: impl FnOnce(std::ops::Range<Tick>) -> Tick) -> Answer {
    let (timeline, watcher) = monitor.moving()?;
    let tick = tick(timeline.history());
    let stop = timeline.seek(tick, watcher);
    arrived(monitor, &stop)
}

/// What there is to say of a movement that came back with `stop`.
pub(super) fn arrived(monitor: &mut Monitor<'_>, stop: &Stop) -> Answer {
    let position = position(monitor);
    match stop {
        Stop::Hits(_) | Stop::Reached => Ok(position),
        Stop::Start => Ok(format!("the start of history\n{position}")),
        Stop::End(reason) => Ok(format!("the end of history: {reason}\n{position}")),
        Stop::Interrupted => Err(format!("interrupted\n{position}")),
        Stop::Broken(why) => Err(format!("{why}\n{position}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_ticks_times_parts_and_distances() {
        for (place, expected) in [
            ("17", 17),
            ("2us", 2000),
            ("+5", 105),
            ("-1", 99),
            ("-1s", 0),
            ("+18446744073709551615", Tick::MAX),
            ("50%", 5000),
            ("0%", 0),
            ("100%", 10_000),
            ("1e99%", 10_000),
            ("-3%", 0),
            ("NaN%", 0),
        ] {
            assert_eq!(place_of(place, 100, 0, 10_000), Ok(expected), "{place}");
        }
        for place in ["", "x", "+", "-x", "%", "1h", "\u{e4}"] {
            assert!(place_of(place, 100, 0, 10_000).is_err(), "{place}");
        }
    }
}
