//! Delivers what was recorded, strictly: every input at exactly its tick, in its order; every answer the recorded one.
//!
//! Whatever does not fit ends the delivery as a [`Divergence`]: an answer that was not asked for, one that was asked for
//! and is not there, an input that the machine has no room for, another digest, another end. Nothing is papered over, and
//! nothing panics, whatever the recording holds.
//!
//! A replay from start to end and a walk in both directions deliver alike; they differ in their [`Tape`].

use crate::format::{Ended, Event, ReadError};
use crate::recorder::reason;
use crate::replayer::{Divergence, HOST_ERROR, Outcome, in_words, refusal};
use reprise_core::backend::DiskId;
use reprise_core::clock::Tick;
use reprise_core::disk::CLUSTER_SIZE;
use reprise_core::door::{HostInput, Room};
use reprise_core::machine::{Digest, End, Machine};
use reprise_core::request::Question;

/// Where recorded things are taken from.
pub(crate) trait Tape {
    /// The next event; after an error, or without a next one, there are no more.
    fn next_event(&mut self) -> Option<Result<(Tick, Event), ReadError>>;

    /// What the image of a disk held, if it was read.
    fn cluster(&mut self, disk: DiskId, cluster: u64) -> Result<Option<Vec<u8>>, ReadError>;

    /// Bytes of a disk.
    fn disk_size(&self, disk: DiskId) -> u64;
}

/// What is recorded, on its way to the machine.
pub(crate) struct Delivery<T> {
    pub(crate) tape: T,
    /// The next event; `None` after the last one.
    front: Option<(Tick, Event)>,
    /// Why there is no next event.
    drained: Option<Outcome>,
    /// Something was wanted that a tape without a next event cannot say.
    starved: bool,
    /// Why nothing more is delivered.
    over: Option<Outcome>,
    /// Digests that agreed.
    agreed: u64,
    /// The tick of the last one.
    same: Tick,
    /// Digests up to there are passed over: they were compared before.
    compared: Option<Tick>,
    /// But for those after the one tick and up to the other.
    skipped: Vec<(Tick, Tick)>,
}

impl<T: Tape> Delivery<T> {
    /// Delivers what `tape` has, from where it is.
    pub(crate) fn new(tape: T) -> Self {
        let (front, drained, over) = (None, None, None);
        let mut delivery = Self {
            tape,
            front,
            drained,
            starved: false,
            over,
            agreed: 0,
            same: 0,
            compared: None,
            skipped: Vec::new(),
        };
        delivery.advance();
        delivery
    }

    /// Goes on from where the tape is now, which was wound; digests that were compared are not compared again.
    pub(crate) fn rewound(&mut self) {
        (self.drained, self.starved, self.over) = (None, false, None);
        self.advance();
    }

    /// How many digests agreed so far.
    pub(crate) fn agreed(&self) -> u64 {
        self.agreed
    }

    /// The next event.
    pub(crate) fn front(&self) -> Option<&(Tick, Event)> {
        self.front.as_ref()
    }

    /// Why there is no next event.
    pub(crate) fn drained(&self) -> Option<&Outcome> {
        self.drained.as_ref()
    }

    /// Whether there is no next event.
    pub(crate) fn is_drained(&self) -> bool {
        self.drained.is_some()
    }

    /// Whether something was wanted that a tape without a next event cannot say.
    pub(crate) fn is_starved(&self) -> bool {
        self.starved
    }

    /// Whether nothing more is delivered.
    pub(crate) fn is_over(&self) -> bool {
        self.over.is_some()
    }

    /// Delivers nothing more, because of `outcome`; the first reason counts.
    pub(crate) fn end(&mut self, outcome: Outcome) {
        self.over.get_or_insert(outcome);
    }

    /// Why nothing more is delivered, if so.
    pub(crate) fn take_outcome(&mut self) -> Option<Outcome> {
        self.over.take().or_else(|| self.drained.take())
    }

    /// Takes the next event.
    pub(crate) fn advance(&mut self) -> Option<(Tick, Event)> {
        let (next, drained) = match self.tape.next_event() {
            Some(Ok(event)) => (Some(event), None),
            Some(Err(error)) => (None, Some(Outcome::Damaged(error))),
            None => (None, Some(Outcome::NoEnd)),
        };
        if self.drained.is_none() {
            self.drained = drained;
        }
        std::mem::replace(&mut self.front, next)
    }

    /// Takes the next event if it is an input that `wanted` accepts, and is of the tick `now`.
    pub(crate) fn take_input(&mut self, now: Tick, wanted: impl Fn(&HostInput) -> bool) -> Option<HostInput> {
        let is_next = self.front.as_ref().is_some_and(|(tick, event)| match event {
            Event::Input(input) => *tick == now && wanted(input),
            Event::Digest(_) | Event::End(_) => false,
        });
        match is_next.then(|| self.advance()).flatten()? {
            (_, Event::Input(input)) => Some(input),
            (_, Event::Digest(_) | Event::End(_)) => None,
        }
    }

    fn diverge(&mut self, now: Tick, what: impl Into<String>, expected: impl Into<String>, found: impl Into<String>) {
        // Where the recording has nothing more, nothing can differ from it.
        if self.drained.is_some() {
            self.starved = true;
            return;
        }
        let (what, expected, found) = (what.into(), expected.into(), found.into());
        let divergence = Divergence { same: self.same.min(now), differs: now, what, expected, found };
        self.end(Outcome::Diverged(Box::new(divergence)));
    }

    /// What the recording has next, in words.
    fn next_in_words(&self) -> String {
        match &self.front {
            Some((tick, Event::Input(input))) => format!("{} at tick {tick}", in_words(input)),
            Some((tick, Event::Digest(_))) => format!("a digest at tick {tick}"),
            Some((tick, Event::End(ended))) => format!("the end ({}) at tick {tick}", ended.reason),
            None => "nothing".into(),
        }
    }

    /// What comes after `from` and up to `to` was passed over, and may be gone through later.
    pub(crate) fn skipped(&mut self, from: Tick, to: Tick) {
        let start = self.compared.map_or(from, |compared| compared.max(from));
        if start < to {
            self.skipped.push((start, to));
            self.compared = Some(to);
        } else if let Some((_, end)) = self.skipped.iter_mut().find(|(begin, end)| *begin < to && to < *end) {
            // What is gone through from here on is the second part only.
            let rest = (to, std::mem::replace(end, to));
            self.skipped.push(rest);
        }
    }

    fn was_compared(&self, tick: Tick) -> bool {
        let is_skipped = self.skipped.iter().any(|&(from, to)| from < tick && tick <= to);
        !is_skipped && self.compared.is_some_and(|compared| tick <= compared)
    }

    /// The digest of `tick` agreed. One comes to a tick of what was skipped only from where that begins.
    fn note_agreed(&mut self, tick: Tick) {
        (self.agreed, self.same) = (self.agreed + 1, tick);
        self.compared = self.compared.max(Some(tick));
        if let Some((from, _)) = self.skipped.iter_mut().find(|(from, to)| *from < tick && tick <= *to) {
            *from = tick;
        }
    }

    /// The arrival that is due.
    pub(crate) fn arrival(&mut self, now: Tick, room: &dyn Room) -> Option<HostInput> {
        let (tick, event) = self.front.as_ref()?;
        let tick = *tick;
        let refusal = match event {
            _ if tick > now => return None,
            // It was compared where it is, after all that happens at its tick.
            Event::Digest(_) if tick == now && self.was_compared(tick) => {
                self.advance();
                return None;
            }
            Event::Digest(_) if tick == now => return None,
            Event::End(_) if tick == now => return None,
            Event::Input(input) if tick == now => refusal(input, room),
            Event::Input(_) | Event::Digest(_) => Some("the replay is past that tick".to_owned()),
            Event::End(_) => Some("the run goes on".to_owned()),
        };
        match refusal {
            None => self.take_input(now, |_| true),
            Some(found) => {
                let expected = self.next_in_words();
                self.diverge(now, "an event of the recording does not fit", expected, found);
                None
            }
        }
    }

    /// A cluster that the recording has, of the size that the disk has there.
    pub(crate) fn recorded_cluster(&mut self, now: Tick, disk: DiskId, cluster: u64) -> Option<Vec<u8>> {
        let what = format!("cluster {cluster} of disk {}", disk.0);
        match self.tape.cluster(disk, cluster) {
            Ok(Some(data)) => {
                let size = self.tape.disk_size(disk);
                let wanted = size.saturating_sub(cluster.saturating_mul(CLUSTER_SIZE)).min(CLUSTER_SIZE);
                if data.len() as u64 == wanted {
                    return Some(data);
                }
                self.diverge(now, what, format!("{} bytes", data.len()), format!("a disk that has {wanted} there"));
            }
            Ok(None) => self.diverge(now, what, "that nobody reads it", "that the guest reads it"),
            Err(error) => self.end(Outcome::Damaged(error)),
        }
        None
    }

    fn recorded_random(&mut self, now: Tick, wanted: (u16, u32)) -> Option<Vec<u8>> {
        if let Some(HostInput::Random { bytes, .. }) = self.take_input(now, is_random(wanted)) {
            return Some(bytes);
        }
        let found = format!("a question for {} random bytes of source {}", wanted.1, wanted.0);
        let expected = self.next_in_words();
        self.diverge(now, "an answer", expected, found);
        None
    }

    /// The answer to a question of the machine.
    pub(crate) fn answer(&mut self, now: Tick, question: &Question) -> HostInput {
        match *question {
            Question::Cluster { disk, cluster } => {
                let failure = HostInput::ClusterFailed { disk, cluster };
                if let Some(failed) = self.take_input(now, |input| *input == failure) {
                    return failed;
                }
                match self.recorded_cluster(now, disk, cluster) {
                    Some(data) => HostInput::Cluster { disk, cluster, data },
                    None => failure,
                }
            }
            Question::Random { rng, length } => {
                let bytes = self.recorded_random(now, (rng.0, length));
                HostInput::Random { rng, bytes: bytes.unwrap_or_else(|| vec![0; length as usize]) }
            }
        }
    }

    /// The tick of the next event at which there is something to take.
    pub(crate) fn next_due(&self) -> Option<Tick> {
        match self.front.as_ref()? {
            (tick, Event::Input(_)) => Some(*tick),
            (tick, Event::Digest(_)) => self.was_compared(*tick).then_some(*tick),
            // A dead machine is one for which nothing is due.
            (_, Event::End(ended)) if ended.reason == reason(End::Dead) => None,
            // Past its end, a run is another one.
            (tick, Event::End(_)) => Some(tick.saturating_add(1)),
        }
    }

    /// To which tick an idle machine sleeps; `None` if for ever.
    pub(crate) fn wake(&self, now: Tick, deadline: Option<Tick>) -> Option<Tick> {
        let known = match &self.front {
            // What is told to end later is dead here all the same: how the two states compare, its end says.
            Some((tick, Event::End(ended))) if *tick <= now && ended.reason == reason(End::Dead) => return None,
            Some((tick, Event::End(_))) if *tick <= now => None,
            Some((tick, _)) => Some(*tick),
            None => Some(now),
        };
        [deadline, known].into_iter().flatten().min()
    }

    /// The tick at which a digest is compared next.
    pub(crate) fn next_digest(&self) -> Option<Tick> {
        match self.front.as_ref()? {
            (tick, Event::Digest(_)) => (!self.was_compared(*tick)).then_some(*tick),
            (_, Event::Input(_) | Event::End(_)) => None,
        }
    }

    /// Compares the digest of the machine's state at `tick` with the recorded one.
    pub(crate) fn digest(&mut self, tick: Tick, digest: Digest, machine: &Machine) {
        match self.front {
            Some((due, Event::Digest(recorded))) if due == tick => {
                if recorded == digest {
                    self.note_agreed(tick);
                } else {
                    let part = machine.blame(recorded, digest);
                    let what = part.unwrap_or_else(|| "several parts of the machine's state".into());
                    self.diverge(tick, what, format!("the digest {recorded}"), digest.to_string());
                }
                self.advance();
            }
            _ => {
                let expected = self.next_in_words();
                self.diverge(tick, "a digest", expected, "a digest that is not due");
            }
        }
    }

    /// How the end of a run, which came back with `end`, compares with the recorded one.
    pub(crate) fn compare_ends(&mut self, machine: &mut Machine, end: End) -> Outcome {
        let now = machine.now();
        let recorded = match &self.front {
            Some((tick, Event::End(recorded))) if *tick == now => Some(recorded.clone()),
            Some(_) | None => None,
        };
        // A machine is found dead only after it was told to end there.
        let may_go_on = recorded.as_ref().is_none_or(|recorded| recorded.reason == reason(End::Dead));
        let recorded = match recorded {
            Some(recorded) if is_reason(&recorded.reason, end) => recorded,
            // Told to end here, and the recorded run went on.
            Some(_) | None if end == End::Until && may_go_on => return Outcome::Left,
            Some(_) | None => {
                let expected = self.next_in_words();
                self.diverge(now, "the end of the run", expected, format!("the end ({})", reason(end)));
                return self.take_outcome().expect("it was set a moment ago");
            }
        };
        let facts = [
            ("the exit status", status_of(end, &recorded).to_string(), recorded.status.to_string()),
            ("instructions retired", machine.icount().to_string(), recorded.icount.to_string()),
            ("the fingerprint at the end", machine.fingerprint().to_string(), recorded.fingerprint.to_string()),
        ];
        for (what, found, expected) in facts {
            if found != expected {
                self.diverge(now, what, expected, found);
            }
        }
        self.over.take().unwrap_or(Outcome::Ended(recorded))
    }
}

/// Whether an input is so many random bytes of that source.
pub(crate) fn is_random((source, length): (u16, u32)) -> impl Fn(&HostInput) -> bool {
    move |input| {
        let HostInput::Random { rng, bytes } = input else { return false };
        (rng.0, bytes.len()) == (source, length as usize)
    }
}

/// Whether a run that came back with `end` ended for the recorded reason.
fn is_reason(recorded: &str, end: End) -> bool {
    recorded == reason(end) || (end == End::Quit && recorded == HOST_ERROR)
}

/// The status that the end tells; where it tells none, the recorded one.
fn status_of(end: End, recorded: &Ended) -> u8 {
    match end {
        End::DebugExit(status) => status,
        End::Off | End::Reset | End::TripleFault | End::Panicked | End::Quit | End::Dead | End::Until | End::Probe => {
            recorded.status
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Blank;

    impl Tape for Blank {
        fn next_event(&mut self) -> Option<Result<(Tick, Event), ReadError>> {
            None
        }

        fn cluster(&mut self, _disk: DiskId, _cluster: u64) -> Result<Option<Vec<u8>>, ReadError> {
            Ok(None)
        }

        fn disk_size(&self, _disk: DiskId) -> u64 {
            0
        }
    }

    #[test]
    fn what_was_skipped_counts_as_compared_only_where_it_was() {
        let mut delivery = Delivery::new(Blank);
        delivery.note_agreed(10);
        delivery.skipped(10, 50);
        // Back to 10, and from there into the middle of what was skipped.
        delivery.skipped(10, 30);
        delivery.note_agreed(35);
        let compared = [5, 10, 20, 30, 35, 40, 50, 60].map(|tick| delivery.was_compared(tick));
        assert_eq!(compared, [true, true, false, false, true, false, false, false]);
        delivery.note_agreed(20);
        assert!(delivery.was_compared(20) && !delivery.was_compared(25));
    }
}
