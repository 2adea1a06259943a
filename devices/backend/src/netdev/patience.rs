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

    /// Whether it runs, or has run out: tests on a busy host cannot tell which.
    #[cfg(test)]
    pub(super) fn has_begun(&self) -> bool {
        self.until.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_lasts_until_it_ends_or_runs_out() {
        let mut patience = Patience { until: Some(Instant::now() + Duration::from_secs(3600)) };
        assert!(patience.lasts() && patience.left() > Some(Duration::from_secs(1800)));
        patience.end();
        assert!(!patience.lasts());
        patience.begin();
        assert!(patience.left() <= Some(ANSWER_TIME));
        std::thread::sleep(ANSWER_TIME);
        assert_eq!((patience.lasts(), patience.has_begun()), (false, true));
    }
}
