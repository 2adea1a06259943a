//! Replays a recording: a door at which nobody stands but the recording.
//!
//! Every input enters at exactly its tick, in its order; every answer is the recorded one. Whatever does not fit ends the
//! replay as a [`Divergence`]: an answer that was not asked for, one that was asked for and is not there, an input that the
//! machine has no room for, another digest, another end. Nothing is papered over, and nothing panics, whatever the
//! recording holds.

use crate::format::{Ended, Event, Events, ReadError, Recording};
use crate::recorder::reason;
use reprise_core::backend::DiskId;
use reprise_core::clock::Tick;
use reprise_core::disk::{CLUSTER_SIZE, DiskGeometry};
use reprise_core::door::{Door, HostInput, Room};
use reprise_core::machine::{Digest, End, Machine};
use reprise_core::output::Output;
use reprise_core::request::Question;
use std::fmt;

/// Ticks between two calls of [`Audience::pass`].
const PASS_INTERVAL: Tick = 1_000_000;

/// Who watches a replay. Nothing that it does can be seen by the guest.
pub trait Audience {
    /// Takes what left the machine.
    fn output(&mut self, now: Tick, output: Output);

    /// The replay has come to `now`; false ends it there.
    fn pass(&mut self, now: Tick) -> bool;

    /// Every vCPU is idle from `now` to `until`; may sleep.
    fn idle(&mut self, now: Tick, until: Tick);
}

/// The first difference between a replay and its recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// The last tick at which the two are known to be the same.
    pub same: Tick,
    /// The tick at which they were found to differ.
    pub differs: Tick,
    /// What differs.
    pub what: String,
    /// What the recording has.
    pub expected: String,
    /// What the replay has.
    pub found: String,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { same, differs, what, expected, found } = self;
        write!(f, "the replay differs from its recording between tick {same} and tick {differs}: {what}: ")?;
        write!(f, "expected {expected}, found {found}")
    }
}

impl std::error::Error for Divergence {}

/// How a replay ended.
#[derive(Debug)]
pub enum Outcome {
    /// As the recorded run did.
    Ended(Ended),
    /// The recording has no end, because its recorder was killed or still writes; all that it has was replayed.
    NoEnd,
    /// Where it was told to, or by its audience.
    Left,
    /// Where the recording stops being readable.
    Damaged(ReadError),
    /// The replay differs from its recording.
    Diverged(Box<Divergence>),
}

/// The door of a replay.
pub struct Replayer<'a, A> {
    audience: A,
    events: Events<'a>,
    contents: &'a mut Recording,
    disks: &'a [DiskGeometry],
    /// The next event; `None` after the last one.
    front: Option<(Tick, Event)>,
    /// Why the replay must end now.
    over: Option<Outcome>,
    /// Digests that agreed.
    agreed: u64,
    /// The tick of the last one.
    same: Tick,
}

impl<'a, A: Audience> Replayer<'a, A> {
    /// Replays `events` of a recording from its start, with what `contents`, the same recording, has of `disks`.
    pub fn new(events: Events<'a>, contents: &'a mut Recording, disks: &'a [DiskGeometry], audience: A) -> Self {
        let mut replayer = Self { audience, events, contents, disks, front: None, over: None, agreed: 0, same: 0 };
        replayer.advance();
        replayer
    }

    /// How many digests agreed so far.
    pub fn agreed(&self) -> u64 {
        self.agreed
    }

    fn advance(&mut self) {
        self.front = match self.events.next() {
            Some(Ok(event)) => Some(event),
            Some(Err(error)) => {
                self.over.get_or_insert(Outcome::Damaged(error));
                None
            }
            None => {
                self.over.get_or_insert(Outcome::NoEnd);
                None
            }
        };
    }

    /// Takes the next event if it is an input that `wanted` accepts, and is of the tick `now`.
    fn take_input(&mut self, now: Tick, wanted: impl Fn(&HostInput) -> bool) -> Option<HostInput> {
        let next = self.front.take_if(|(tick, event)| match event {
            Event::Input(input) => *tick == now && wanted(input),
            Event::Digest(_) | Event::End(_) => false,
        });
        let (_, Event::Input(input)) = next? else { return None };
        self.advance();
        Some(input)
    }

    fn diverge(&mut self, now: Tick, what: impl Into<String>, expected: impl Into<String>, found: impl Into<String>) {
        let (what, expected, found) = (what.into(), expected.into(), found.into());
        let divergence = Divergence { same: self.same.min(now), differs: now, what, expected, found };
        // The first difference counts, and where the recording has nothing more, nothing can differ from it.
        self.over.get_or_insert(Outcome::Diverged(Box::new(divergence)));
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

    /// The arrival that is due.
    fn arrival(&mut self, now: Tick, room: &dyn Room) -> Option<HostInput> {
        let Some((tick, event)) = &self.front else { return None };
        let tick = *tick;
        let refusal = match event {
            _ if tick > now => return None,
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

    fn recorded_cluster(&mut self, now: Tick, disk: DiskId, cluster: u64) -> Option<Vec<u8>> {
        let what = format!("cluster {cluster} of disk {}", disk.0);
        match self.contents.cluster(disk, cluster) {
            Ok(Some(data)) => {
                let size = self.disks.get(usize::from(disk.0)).map_or(0, |disk| disk.size);
                let wanted = size.saturating_sub(cluster.saturating_mul(CLUSTER_SIZE)).min(CLUSTER_SIZE);
                if data.len() as u64 == wanted {
                    return Some(data);
                }
                self.diverge(now, what, format!("{} bytes", data.len()), format!("a disk that has {wanted} there"));
            }
            Ok(None) => self.diverge(now, what, "that nobody reads it", "that the guest reads it"),
            Err(error) => {
                self.over.get_or_insert(Outcome::Damaged(error));
            }
        }
        None
    }

    fn recorded_random(&mut self, now: Tick, wanted: (u16, u32)) -> Option<Vec<u8>> {
        let is_wanted = |input: &HostInput| matches!(input, HostInput::Random { rng, bytes } if (rng.0, bytes.len()) == (wanted.0, wanted.1 as usize));
        if let Some(HostInput::Random { bytes, .. }) = self.take_input(now, is_wanted) {
            return Some(bytes);
        }
        let found = format!("a question for {} random bytes of source {}", wanted.1, wanted.0);
        let expected = self.next_in_words();
        self.diverge(now, "an answer", expected, found);
        None
    }

    /// How the replay ended, after the machine came back with `end`.
    pub fn finish(mut self, machine: &mut Machine, end: End) -> (A, Outcome) {
        let outcome = match self.over.take() {
            Some(outcome) => outcome,
            None => self.compare_ends(machine, end),
        };
        (self.audience, outcome)
    }

    fn compare_ends(&mut self, machine: &mut Machine, end: End) -> Outcome {
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
                return self.over.take().expect("it was set a moment ago");
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

/// Why the machine cannot take `input`, which was recorded as an arrival, now, if so.
pub fn refusal(input: &HostInput, room: &dyn Room) -> Option<String> {
    match input {
        HostInput::Chardev { chardev, bytes } => {
            let free = room.chardev(*chardev);
            (bytes.len() > free).then(|| format!("room for {free} bytes"))
        }
        HostInput::Frame { netdev, .. } => (!room.netdev(*netdev)).then(|| "no room for a frame".into()),
        HostInput::Edit(edit) => room.edit(edit).err().map(|error| error.to_string()),
        HostInput::Connected { .. }
        | HostInput::Key(_)
        | HostInput::Pointer(_)
        | HostInput::PowerButton
        | HostInput::Reset
        | HostInput::Quit => None,
        HostInput::Cluster { .. } | HostInput::ClusterFailed { .. } | HostInput::Random { .. } => {
            Some("that nobody asked".into())
        }
    }
}

/// What an input is, without its contents.
fn in_words(input: &HostInput) -> String {
    match input {
        HostInput::Chardev { chardev, bytes } => format!("{} bytes of character device {}", bytes.len(), chardev.0),
        HostInput::Connected { chardev, .. } => format!("news of the peer of character device {}", chardev.0),
        HostInput::Frame { netdev, frame } => format!("a frame of {} bytes from network {}", frame.len(), netdev.0),
        HostInput::Key(key) => format!("key {}", key.code),
        HostInput::Pointer(_) => "a movement of the pointer".into(),
        HostInput::PowerButton => "the power button".into(),
        HostInput::Reset => "the operator's reset".into(),
        HostInput::Quit => "the operator's end of the run".into(),
        HostInput::Edit(_) => "a debugger's change".into(),
        HostInput::Cluster { disk, cluster, .. } => format!("cluster {cluster} of disk {}", disk.0),
        HostInput::ClusterFailed { disk, cluster } => format!("a failure to read cluster {cluster} of disk {}", disk.0),
        HostInput::Random { rng, bytes } => format!("{} random bytes of source {}", bytes.len(), rng.0),
    }
}

/// Whether a run that came back with `end` ended for the recorded reason.
fn is_reason(recorded: &str, end: End) -> bool {
    recorded == reason(end) || (end == End::Quit && recorded == HOST_ERROR)
}

/// The word for a run that its host ended.
pub const HOST_ERROR: &str = "host-error";

/// The status that the end tells; where it tells none, the recorded one.
fn status_of(end: End, recorded: &Ended) -> u8 {
    match end {
        End::DebugExit(status) => status,
        End::Off | End::Reset | End::TripleFault | End::Panicked | End::Quit | End::Dead | End::Until | End::Probe => {
            recorded.status
        }
    }
}

impl<A: Audience> Door for Replayer<'_, A> {
    fn poll(&mut self, now: Tick, room: &dyn Room) -> Option<HostInput> {
        if self.over.is_none()
            && let Some(input) = self.arrival(now, room)
        {
            return Some(input);
        }
        if self.over.is_none() && !self.audience.pass(now) {
            self.over = Some(Outcome::Left);
        }
        self.over.is_some().then_some(HostInput::Quit)
    }

    fn answer(&mut self, now: Tick, question: &Question) -> HostInput {
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

    fn next_due(&self) -> Option<Tick> {
        match (&self.over, &self.front) {
            (Some(_), _) => Some(0),
            (None, Some((tick, Event::Input(_)))) => Some(*tick),
            // Past its end, a run is another one. A dead machine is one for which nothing is due.
            (None, Some((tick, Event::End(ended)))) if ended.reason != reason(End::Dead) => {
                Some(tick.saturating_add(1))
            }
            (None, Some((_, Event::Digest(_) | Event::End(_))) | None) => None,
        }
    }

    fn poll_interval(&self) -> Tick {
        PASS_INTERVAL
    }

    fn idle(&mut self, now: Tick, deadline: Option<Tick>) -> Option<Tick> {
        let known = match &self.front {
            // What is told to end later is dead here all the same: how the two states compare, its end says.
            Some((tick, Event::End(ended))) if *tick <= now && ended.reason == reason(End::Dead) => return None,
            Some((tick, Event::End(_))) if *tick <= now => None,
            Some((tick, _)) => Some(*tick),
            None => Some(now),
        };
        let woken = [deadline, known].into_iter().flatten().min()?;
        self.audience.idle(now, woken);
        Some(woken)
    }

    fn output(&mut self, now: Tick, output: Output) {
        self.audience.output(now, output);
    }

    fn next_digest(&self) -> Option<Tick> {
        match (&self.over, &self.front) {
            (None, Some((tick, Event::Digest(_)))) => Some(*tick),
            (None, _) | (Some(_), _) => None,
        }
    }

    fn digest(&mut self, tick: Tick, digest: Digest, machine: &Machine) {
        match self.front {
            Some((due, Event::Digest(recorded))) if due == tick => {
                if recorded == digest {
                    (self.agreed, self.same) = (self.agreed + 1, tick);
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
}
