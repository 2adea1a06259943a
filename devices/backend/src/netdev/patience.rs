//! How long an answer may take.

use std::time::{Duration, Instant};

/// What a peer on a network has for its answer: far more than a local one needs, and little enough that a guest which
/// talks to nobody is not slowed down for long.
const ANSWER_TIME: Duration = Duration::from_millis(200);

/// Runs from each frame that is sent.
#[derive(Debug, Default)]
pub(super) struct Patience {
    until: Option<Instant>,
}

impl Patience {
    /// A frame was sent: from now on an answer may come.
    pub(super) fn begin(&mut self) {
        self.until = Some(Instant::now() + ANSWER_TIME);
    }

    /// Nobody is there to answer.
    pub(super) fn end(&mut self) {
        self.until = None;
    }

    /// What is left of it, if any.
    pub(super) fn left(&self) -> Option<Duration> {
        self.until?.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }

    /// Whether any is left.
    pub(super) fn lasts(&self) -> bool {
        self.left().is_some()
    }
}
