//! Who stands at the door of a timeline: the recording, strictly, until somebody changes the machine; from then on, what
//! of the recording still fits.
//!
//! In a diversion nothing is compared, and nothing is refused: recorded arrivals come where the front ends have room for
//! them, clusters are those that the recording has, and random bytes that it does not have are a function of the tick
//! and the source. So a diversion is a function of the recording and its changes, and can be walked like the recording.
//! The operator's end of the recorded run is not an end of the diversion.

use super::window::{Mark, Window};
use crate::delivery::{Delivery, Tape, is_random};
use crate::format::{Event, Recording};
use crate::replayer::{Outcome, refusal};
use reprise_core::backend::DiskId;
use reprise_core::clock::Tick;
use reprise_core::disk::CLUSTER_SIZE;
use reprise_core::door::{Door, HostInput, Room};
use reprise_core::edit::Edit;
use reprise_core::machine::{Digest, Machine};
use reprise_core::output::Output;
use reprise_core::request::Question;
use xxhash_rust::xxh3::xxh3_128;

/// Where a door is: what a checkpoint keeps of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct DoorMark {
    recorded: Mark,
    /// How many changes were made before.
    made: usize,
}

/// The door.
pub(super) struct TimelineDoor {
    delivery: Delivery<Window>,
    /// The changes that a debugger made, in the order of their ticks, and the machine got at them.
    edits: Vec<(Tick, Edit)>,
    /// How many of them are made at the position.
    made: usize,
    /// What left the machine and was not handed on.
    pub(super) outputs: Vec<(Tick, Output)>,
    /// Up to which output of which tick all were handed on.
    shown: (Tick, u64),
    /// The same on the recording, in a diversion.
    shown_on_recording: (Tick, u64),
    /// Which one left last: of a tick, the how manieth.
    last_output: (Tick, u64),
}

impl TimelineDoor {
    /// The door of what `window` has, at its start.
    pub(super) fn new(window: Window) -> Self {
        Self {
            delivery: Delivery::new(window),
            edits: Vec::new(),
            made: 0,
            outputs: Vec::new(),
            shown: (0, 0),
            shown_on_recording: (0, 0),
            last_output: (0, 0),
        }
    }

    /// What is delivered.
    pub(super) fn delivery(&mut self) -> &mut Delivery<Window> {
        &mut self.delivery
    }

    /// What is recorded.
    pub(super) fn recording(&mut self) -> &mut Recording {
        self.delivery.tape.recording()
    }

    /// Where it is.
    pub(super) fn mark(&self) -> DoorMark {
        DoorMark { recorded: self.delivery.tape.mark(), made: self.made }
    }

    /// Goes back, or on, to where it was at the position `now`.
    pub(super) fn wind(&mut self, mark: DoorMark, now: Tick) {
        self.delivery.tape.wind(mark.recorded);
        self.delivery.rewound();
        self.made = mark.made;
        self.last_output = (now, u64::MAX);
    }

    /// Goes on to where it is after all of the tick `to`, from a checkpoint at `from`, without what lies between.
    pub(super) fn jump(&mut self, from: Tick, to: Tick) -> DoorMark {
        self.wind(DoorMark { recorded: Mark::at_end_of(to), made: 0 }, to);
        self.delivery.skipped(from, to);
        self.mark()
    }

    /// The first change.
    pub(super) fn diverted_at(&self) -> Option<Tick> {
        self.edits.first().map(|(tick, _)| *tick)
    }

    /// The changes, in order.
    pub(super) fn edits(&self) -> &[(Tick, Edit)] {
        &self.edits
    }

    /// Whether changes were made up to the position.
    pub(super) fn is_diverted(&self) -> bool {
        self.made > 0
    }

    /// Notes a change that was made at the position `now`; those that were made later are no more.
    pub(super) fn divert(&mut self, now: Tick, edit: Edit) {
        if self.edits.is_empty() {
            self.shown_on_recording = self.shown;
        }
        self.shown = self.shown.min((now, u64::MAX));
        self.edits.truncate(self.made);
        self.edits.push((now, edit));
        self.made = self.edits.len();
    }

    /// Drops all changes: the machine goes to the first one's tick, or before, next.
    pub(super) fn rejoin(&mut self) {
        self.edits.clear();
        self.made = 0;
        self.shown = self.shown_on_recording;
        self.outputs.clear();
    }

    /// Drops the changes that were made after `tick`: history does not get there.
    pub(super) fn forget_edits_after(&mut self, tick: Tick) {
        self.edits.retain(|(made, _)| *made <= tick);
        self.made = self.made.min(self.edits.len());
    }

    /// Whether a change is to be made at `now`.
    pub(super) fn has_edit(&self, now: Tick) -> bool {
        self.edits.get(self.made).is_some_and(|(tick, _)| *tick <= now)
    }

    fn take_edit(&mut self, now: Tick) -> Option<HostInput> {
        let (_, edit) = self.edits.get(self.made).filter(|(tick, _)| *tick <= now)?;
        self.made += 1;
        Some(HostInput::Edit(edit.clone()))
    }

    /// Whether the machine came to where the recording does not know what happens.
    fn is_lost(&self, now: Tick) -> bool {
        let delivery = &self.delivery;
        let is_past = delivery.is_drained() && now > delivery.tape.last_tick();
        !self.is_diverted() && (delivery.is_over() || delivery.is_starved() || is_past)
    }

    /// The next recorded arrival for which there is room.
    fn arrival_that_fits(&mut self, now: Tick, room: &dyn Room) -> Option<HostInput> {
        while self.delivery.front().is_some_and(|(tick, _)| *tick <= now) {
            if let Some((_, Event::Input(input))) = self.delivery.advance()
                && input != HostInput::Quit
                && refusal(&input, room).is_none()
            {
                return Some(input);
            }
        }
        None
    }

    fn likely_answer(&mut self, now: Tick, question: &Question) -> HostInput {
        // What is not asked for any more does not stand in the way.
        while self.delivery.front().is_some_and(|(tick, _)| *tick < now) {
            self.delivery.advance();
        }
        match *question {
            Question::Cluster { disk, cluster } => {
                let failure = HostInput::ClusterFailed { disk, cluster };
                if let Some(failed) = self.delivery.take_input(now, |input| *input == failure) {
                    return failed;
                }
                match self.recorded_cluster(disk, cluster) {
                    Some(data) => HostInput::Cluster { disk, cluster, data },
                    None => failure,
                }
            }
            Question::Random { rng, length } => {
                let recorded = self.delivery.take_input(now, is_random((rng.0, length)));
                recorded.unwrap_or_else(|| HostInput::Random { rng, bytes: invented(now, rng.0, length) })
            }
        }
    }

    fn recorded_cluster(&mut self, disk: DiskId, cluster: u64) -> Option<Vec<u8>> {
        let tape = &mut self.delivery.tape;
        let start = cluster.saturating_mul(CLUSTER_SIZE);
        let wanted = tape.disk_size(disk).saturating_sub(start).min(CLUSTER_SIZE);
        tape.cluster(disk, cluster).ok().flatten().filter(|data| data.len() as u64 == wanted)
    }
}

/// Random bytes that no recording has.
fn invented(now: Tick, source: u16, length: u32) -> Vec<u8> {
    let block = |number: u64| {
        let mut seed = [0; 18];
        seed[..8].copy_from_slice(&now.to_le_bytes());
        seed[8..16].copy_from_slice(&number.to_le_bytes());
        seed[16..].copy_from_slice(&source.to_le_bytes());
        xxh3_128(&seed).to_le_bytes()
    };
    (0..).flat_map(block).take(length as usize).collect()
}

impl Door for TimelineDoor {
    fn poll(&mut self, now: Tick, room: &dyn Room) -> Option<HostInput> {
        if self.is_diverted() {
            let arrival = self.arrival_that_fits(now, room);
            return arrival.or_else(|| self.take_edit(now));
        }
        if !self.is_lost(now)
            && let Some(input) = self.delivery.arrival(now, room)
        {
            return Some(input);
        }
        if self.is_lost(now) { Some(HostInput::Quit) } else { self.take_edit(now) }
    }

    fn answer(&mut self, now: Tick, question: &Question) -> HostInput {
        if self.is_diverted() { self.likely_answer(now, question) } else { self.delivery.answer(now, question) }
    }

    fn next_due(&self) -> Option<Tick> {
        let delivery = &self.delivery;
        let recorded = if self.is_diverted() {
            delivery.front().map(|(tick, _)| *tick)
        } else if delivery.is_over() || delivery.is_starved() {
            Some(0)
        } else if delivery.is_drained() {
            Some(delivery.tape.last_tick().saturating_add(1))
        } else {
            delivery.next_due()
        };
        let edit = self.edits.get(self.made).map(|(tick, _)| *tick);
        [recorded, edit].into_iter().flatten().min()
    }

    fn poll_interval(&self) -> Tick {
        Tick::MAX
    }

    /// Nobody sleeps here.
    fn idle(&mut self, now: Tick, deadline: Option<Tick>) -> Option<Tick> {
        // What is due is among the deadlines.
        if self.is_diverted() { deadline } else { self.delivery.wake(now, deadline) }
    }

    fn output(&mut self, now: Tick, output: Output) {
        let (tick, number) = self.last_output;
        self.last_output = (now, if tick == now { number.saturating_add(1) } else { 1 });
        if self.last_output > self.shown {
            self.shown = self.last_output;
            self.outputs.push((now, output));
        }
    }

    fn next_digest(&self) -> Option<Tick> {
        if self.is_diverted() || self.delivery.is_over() { None } else { self.delivery.next_digest() }
    }

    fn digest(&mut self, tick: Tick, digest: Digest, machine: &Machine) {
        self.delivery.digest(tick, digest, machine);
    }
}

/// How history ends where the recording stops without saying how the run ended.
pub(super) fn stops(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Damaged(error) => error.to_string(),
        Outcome::NoEnd | Outcome::Ended(_) | Outcome::Left => {
            "the recording has no end: its recorder was killed, or still writes".into()
        }
        Outcome::Diverged(divergence) => divergence.to_string(),
    }
}
