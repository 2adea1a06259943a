//! Where the logs of two recordings differ: inputs, then digests.

use crate::dump::payload;
use crate::progress::Progress;
use reprise_core::clock::Tick;
use reprise_core::door::HostInput;
use reprise_core::machine::Digest;
use reprise_replay::{Event, ReadError, Recording};

/// The first input that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InputDifference {
    /// Inputs before it, which are the same.
    pub same: u64,
    /// The input of the one recording; `None` if it has no more.
    pub a: Option<(Tick, HostInput)>,
    /// The input of the other.
    pub b: Option<(Tick, HostInput)>,
}

impl InputDifference {
    /// The earlier tick of the two inputs: up to there, all inputs are the same.
    pub(super) fn tick(&self) -> Tick {
        let ticks = self.a.iter().chain(&self.b).map(|(tick, _)| *tick);
        ticks.min().unwrap_or(Tick::MAX)
    }

    /// The first byte that differs, if both inputs have bytes, and came at one tick.
    pub(super) fn first_byte(&self) -> Option<usize> {
        let (Some((tick_a, a)), Some((tick_b, b))) = (&self.a, &self.b) else { return None };
        let same_kind = std::mem::discriminant(a) == std::mem::discriminant(b);
        let (a, b) = (payload(a), payload(b));
        let differ = a != b && tick_a == tick_b && same_kind;
        differ.then(|| a.iter().zip(b).position(|(a, b)| a != b).unwrap_or(a.len().min(b.len())))
    }
}

/// The first digest that differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DigestDifference {
    /// The tick of the last digest before it, which is the same; 0 if there is none.
    pub same_until: Tick,
    /// Its tick.
    pub at: Tick,
    /// In the one recording.
    pub a: Digest,
    /// In the other.
    pub b: Digest,
}

/// What comparing all digests that both recordings have found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Digests {
    /// All are the same, and the last is at this tick.
    Same(Tick),
    /// One differs.
    Different(DigestDifference),
}

/// Counts inputs that are the same until the first that is not, or is missing on one side.
pub(super) fn first_input(a: &mut Recording, b: &mut Recording) -> Result<Result<u64, InputDifference>, ReadError> {
    let input = |event: Result<(Tick, Event), ReadError>| match event {
        Ok((tick, Event::Input(input))) => Some(Ok((tick, input))),
        Ok((_, Event::Digest(_) | Event::End(_))) => None,
        Err(error) => Some(Err(error)),
    };
    let mut progress = Progress::new("comparing inputs", a.last_tick());
    let (mut of_a, mut of_b) = (a.events(0).filter_map(input), b.events(0).filter_map(input));
    let mut same = 0;
    loop {
        match (of_a.next().transpose()?, of_b.next().transpose()?) {
            (None, None) => return Ok(Ok(same)),
            (Some(a), Some(b)) if a == b => {
                progress.at(a.0);
                same += 1;
            }
            (a, b) => return Ok(Err(InputDifference { same, a, b })),
        }
    }
}

/// Compares digests until one differs, or one recording has no more.
pub(super) fn first_digest(a: &mut Recording, b: &mut Recording) -> Result<Digests, ReadError> {
    let digest = |event: Result<(Tick, Event), ReadError>| match event {
        Ok((tick, Event::Digest(digest))) => Some(Ok((tick, digest))),
        Ok((_, Event::Input(_) | Event::End(_))) => None,
        Err(error) => Some(Err(error)),
    };
    let mut progress = Progress::new("comparing digests", a.last_tick());
    let (mut of_a, mut of_b) = (a.events(0).filter_map(digest), b.events(0).filter_map(digest));
    let mut same_until = 0;
    loop {
        match (of_a.next().transpose()?, of_b.next().transpose()?) {
            (Some((at, a)), Some((tick, b))) if at == tick && a == b => {
                progress.at(at);
                same_until = at;
            }
            (Some((at, a)), Some((tick, b))) if at == tick => {
                return Ok(Digests::Different(DigestDifference { same_until, at, a, b }));
            }
            _ => return Ok(Digests::Same(same_until)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reprise_core::backend::ChardevId;

    fn typed(tick: Tick, bytes: &[u8]) -> Option<(Tick, HostInput)> {
        Some((tick, HostInput::Chardev { chardev: ChardevId(0), bytes: bytes.to_vec() }))
    }

    #[test]
    fn the_first_different_byte_is_named() {
        let check = |a, b, tick, byte| {
            let difference = InputDifference { same: 0, a, b };
            assert_eq!((difference.tick(), difference.first_byte()), (tick, byte), "{difference:?}");
        };
        check(typed(5, b"abc"), typed(5, b"abd"), 5, Some(2));
        check(typed(5, b"abc"), typed(5, b"abcd"), 5, Some(3));
        check(typed(5, b"abc"), typed(4, b"abd"), 4, None);
        check(typed(5, b"abc"), Some((5, HostInput::Quit)), 5, None);
        check(None, typed(9, b""), 9, None);
    }
}
