//! Replays a recording: a door at which nobody stands but the recording.
//!
//! What is delivered when, and what ends it: [`Delivery`].

use crate::delivery::{Delivery, Tape};
use crate::format::{Ended, Event, Events, ReadError, Recording};
use reprise_core::backend::DiskId;
use reprise_core::clock::Tick;
use reprise_core::disk::DiskGeometry;
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

/// The tape of a replay from start to end.
struct Reel<'a> {
    events: Events<'a>,
    contents: &'a mut Recording,
    disks: &'a [DiskGeometry],
}

impl Tape for Reel<'_> {
    fn next_event(&mut self) -> Option<Result<(Tick, Event), ReadError>> {
        self.events.next()
    }

    fn cluster(&mut self, disk: DiskId, cluster: u64) -> Result<Option<Vec<u8>>, ReadError> {
        self.contents.cluster(disk, cluster)
    }

    fn disk_size(&self, disk: DiskId) -> u64 {
        self.disks.get(usize::from(disk.0)).map_or(0, |disk| disk.size)
    }
}

/// The door of a replay.
pub struct Replayer<'a, A> {
    audience: A,
    delivery: Delivery<Reel<'a>>,
}

impl<'a, A: Audience> Replayer<'a, A> {
    /// Replays `events` of a recording from its start, with what `contents`, the same recording, has of `disks`.
    pub fn new(events: Events<'a>, contents: &'a mut Recording, disks: &'a [DiskGeometry], audience: A) -> Self {
        Self { audience, delivery: Delivery::new(Reel { events, contents, disks }) }
    }

    /// How many digests agreed so far.
    pub fn agreed(&self) -> u64 {
        self.delivery.agreed()
    }

    fn is_over(&self) -> bool {
        self.delivery.is_over() || self.delivery.is_drained()
    }

    /// How the replay ended, after the machine came back with `end`.
    pub fn finish(mut self, machine: &mut Machine, end: End) -> (A, Outcome) {
        let outcome = match self.delivery.take_outcome() {
            Some(outcome) => outcome,
            None => self.delivery.compare_ends(machine, end),
        };
        (self.audience, outcome)
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
pub(crate) fn in_words(input: &HostInput) -> String {
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

/// The word for a run that its host ended.
pub const HOST_ERROR: &str = "host-error";

impl<A: Audience> Door for Replayer<'_, A> {
    fn poll(&mut self, now: Tick, room: &dyn Room) -> Option<HostInput> {
        if !self.is_over()
            && let Some(input) = self.delivery.arrival(now, room)
        {
            return Some(input);
        }
        if !self.is_over() && !self.audience.pass(now) {
            self.delivery.end(Outcome::Left);
        }
        self.is_over().then_some(HostInput::Quit)
    }

    fn answer(&mut self, now: Tick, question: &Question) -> HostInput {
        self.delivery.answer(now, question)
    }

    fn next_due(&self) -> Option<Tick> {
        if self.is_over() { Some(0) } else { self.delivery.next_due() }
    }

    fn poll_interval(&self) -> Tick {
        PASS_INTERVAL
    }

    fn idle(&mut self, now: Tick, deadline: Option<Tick>) -> Option<Tick> {
        let woken = self.delivery.wake(now, deadline)?;
        self.audience.idle(now, woken);
        Some(woken)
    }

    fn output(&mut self, now: Tick, output: Output) {
        self.audience.output(now, output);
    }

    fn next_digest(&self) -> Option<Tick> {
        if self.is_over() { None } else { self.delivery.next_digest() }
    }

    fn digest(&mut self, tick: Tick, digest: Digest, machine: &Machine) {
        self.delivery.digest(tick, digest, machine);
    }
}
