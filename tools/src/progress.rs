//! How far something is that takes long: a bar on a terminal, and nothing anywhere else.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use reprise_core::clock::Tick;
use std::fmt::Write;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// What takes less is over before anyone wonders.
const PATIENCE: Duration = Duration::from_secs(1);

/// A bar of ticks on standard error, if that is a terminal. It leaves the terminal as it was.
pub(crate) struct Progress {
    what: &'static str,
    /// Ticks in all; 0 if nobody knows.
    total: Tick,
    started: Instant,
    /// Whether there is anyone to see it.
    shown: bool,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Of doing `what` from tick 0 to tick `total`.
    pub(crate) fn new(what: &'static str, total: Tick) -> Self {
        Self { what, total, started: Instant::now(), shown: std::io::stderr().is_terminal(), bar: None }
    }

    /// Shows nothing: the terminal is used for something else.
    pub(crate) fn hidden() -> Self {
        Self { what: "", total: 0, started: Instant::now(), shown: false, bar: None }
    }

    /// Shows that `tick` is reached.
    pub(crate) fn at(&mut self, tick: Tick) {
        if !self.shown || (self.bar.is_none() && self.started.elapsed() < PATIENCE) {
            return;
        }
        let (total, started) = (self.total, self.started);
        let bar = self.bar.get_or_insert_with(|| bar(self.what, total, started));
        bar.set_position(tick);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.iter().for_each(ProgressBar::finish_and_clear);
    }
}

fn bar(what: &'static str, total: Tick, started: Instant) -> ProgressBar {
    let speed = move |state: &ProgressState, out: &mut dyn Write| {
        let ticks = state.pos() as f64 / started.elapsed().as_secs_f64() / 1e6;
        // A bar that cannot be written is not worth a word.
        let _ = write!(out, "{ticks:.0} M ticks/s");
    };
    // By the speed that is shown, which is known from the first look on.
    let left = move |state: &ProgressState, out: &mut dyn Write| {
        let done = state.pos() as f64 / started.elapsed().as_secs_f64();
        let _ = write!(out, "{:.0} s", total.saturating_sub(state.pos()) as f64 / done.max(1.0));
    };
    let length = (total > 0).then_some(total);
    let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr_with_hz(10));
    let template = match length {
        Some(_) => "{msg} {wide_bar} {percent}% of {human_len} ticks, {speed}, {left} left",
        None => "{msg} tick {human_pos}, {speed}",
    };
    let style = ProgressStyle::with_template(template).expect("the template is right");
    bar.set_style(style.with_key("speed", speed).with_key("left", left));
    bar.with_message(what).with_elapsed(started.elapsed())
}
