//! A recording that is replayed in pieces: forward, and again from a saved state.
//!
//! Unlike the replay that checks a recording, this one goes on whatever the machine does: what it asks for and the
//! recording does not have is answered with nothing, and noted.

use crate::dump::text_line;
use crate::engine::EngineKind;
use crate::recorded;
use anyhow::{Context, Result};
use reprise_core::clock::Tick;
use reprise_core::door::{Door, HostInput, Room};
use reprise_core::machine::{Digest, End, Machine, MachineState};
use reprise_core::output::Output;
use reprise_core::request::Question;
use reprise_replay::{Event, ReadError, Recording, refusal};
use std::collections::VecDeque;
use std::path::Path;

/// A machine with its recording at the door.
pub(super) struct Playback {
    /// The machine.
    pub machine: Machine,
    door: RecordedDoor,
    /// To where it ran; it may have ended before.
    position: Tick,
    ended: bool,
    saved: Option<Saved>,
}

/// Where to go back to.
struct Saved {
    state: MachineState,
    position: Tick,
    ended: bool,
}

impl Playback {
    /// The machine of the recording at `path`, at power-on.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let mut recording = Recording::open(path)?;
        let machine = recorded::machine(&mut recording, EngineKind::Interp.make());
        let (machine, _) = machine.with_context(|| format!("'{}' cannot be replayed", path.display()))?;
        Ok(Self { machine, door: RecordedDoor::new(recording), position: 0, ended: false, saved: None })
    }

    /// Runs to `tick`, or to the machine's end.
    pub(super) fn go(&mut self, tick: Tick) -> Result<()> {
        self.door.load(tick)?;
        if !self.ended {
            self.ended = self.machine.run(&mut self.door, tick) != End::Until;
        }
        self.position = tick;
        Ok(())
    }

    /// To where it ran.
    pub(super) fn position(&self) -> Tick {
        self.position
    }

    /// Remembers where it is.
    pub(super) fn save(&mut self) {
        let Self { machine, position, ended, .. } = self;
        self.saved = Some(Saved { state: machine.save(), position: *position, ended: *ended });
    }

    /// Goes back to where it was remembered.
    pub(super) fn restore(&mut self) -> Result<()> {
        let Some(saved) = &self.saved else { return Ok(()) };
        self.machine.load(&saved.state)?;
        (self.position, self.ended) = (saved.position, saved.ended);
        self.door.rewind(saved.position);
        Ok(())
    }

    /// What is recorded as input at `tick`, in words.
    pub(super) fn inputs_at(&mut self, tick: Tick) -> Result<Vec<String>> {
        let mut inputs = Vec::new();
        for event in self.door.recording.events(tick) {
            match event? {
                (at, event @ Event::Input(_)) if at == tick => inputs.push(text_line(&event)),
                (at, _) if at > tick => break,
                (_, Event::Input(_) | Event::Digest(_) | Event::End(_)) => {}
            }
        }
        Ok(inputs)
    }

    /// The first thing that the machine asked for and the recording does not have.
    pub(super) fn note(&self) -> Option<&str> {
        self.door.note.as_deref()
    }
}

/// What stands at the door: inputs of a stretch of the recording.
struct RecordedDoor {
    recording: Recording,
    arrivals: VecDeque<(Tick, HostInput)>,
    answers: VecDeque<(Tick, HostInput)>,
    /// To which tick, inclusive, inputs were taken from the recording.
    loaded: Option<Tick>,
    note: Option<String>,
}

impl RecordedDoor {
    fn new(recording: Recording) -> Self {
        Self { recording, arrivals: VecDeque::new(), answers: VecDeque::new(), loaded: None, note: None }
    }

    /// Takes inputs up to tick `to`.
    fn load(&mut self, to: Tick) -> Result<(), ReadError> {
        let from = self.loaded.map_or(0, |tick| tick.saturating_add(1));
        for event in self.recording.events(from) {
            let (tick, event) = event?;
            if tick > to {
                break;
            }
            match event {
                Event::Input(answer @ (HostInput::Random { .. } | HostInput::ClusterFailed { .. })) => {
                    self.answers.push_back((tick, answer));
                }
                Event::Input(arrival) => self.arrivals.push_back((tick, arrival)),
                Event::Digest(_) | Event::End(_) => {}
            }
        }
        self.loaded = self.loaded.max(Some(to));
        Ok(())
    }

    /// Goes back to where everything up to tick `to` was delivered.
    fn rewind(&mut self, to: Tick) {
        self.arrivals.clear();
        self.answers.clear();
        self.loaded = Some(to);
    }

    fn cluster(&mut self, now: Tick, failed: HostInput) -> HostInput {
        let HostInput::ClusterFailed { disk, cluster } = failed else { return failed };
        if self.answers.front().is_some_and(|(tick, answer)| *tick == now && *answer == failed) {
            self.answers.pop_front();
            return failed;
        }
        match self.recording.cluster(disk, cluster) {
            Ok(Some(data)) => HostInput::Cluster { disk, cluster, data },
            Ok(None) => {
                self.note_missing(now, &format!("cluster {cluster} of disk {}", disk.0));
                failed
            }
            Err(error) => {
                self.note.get_or_insert(error.to_string());
                failed
            }
        }
    }

    fn note_missing(&mut self, now: Tick, what: &str) {
        self.note.get_or_insert_with(|| format!("at tick {now} the machine asks for {what}, which was not recorded"));
    }
}

impl Door for RecordedDoor {
    fn poll(&mut self, now: Tick, room: &dyn Room) -> Option<HostInput> {
        while let Some((_, input)) = self.arrivals.pop_front_if(|(tick, _)| *tick <= now) {
            let Some(found) = refusal(&input, room) else { return Some(input) };
            let what = text_line(&Event::Input(input));
            self.note.get_or_insert_with(|| {
                format!("at tick {now} the machine cannot take what was recorded, {what}: {found}")
            });
        }
        None
    }

    fn answer(&mut self, now: Tick, question: &Question) -> HostInput {
        // What was not asked for when it was recorded does not stand in the way of what is asked now.
        while self.answers.pop_front_if(|(tick, _)| *tick < now).is_some() {}
        match *question {
            Question::Cluster { disk, cluster } => self.cluster(now, HostInput::ClusterFailed { disk, cluster }),
            Question::Random { rng, length } => {
                let fits = |(tick, answer): &mut (Tick, HostInput)| {
                    let HostInput::Random { rng: from, bytes } = answer else { return false };
                    *tick == now && *from == rng && bytes.len() == length as usize
                };
                if let Some((_, answer)) = self.answers.pop_front_if(fits) {
                    return answer;
                }
                self.note_missing(now, &format!("{length} random bytes"));
                HostInput::Random { rng, bytes: vec![0; length as usize] }
            }
        }
    }

    fn next_due(&self) -> Option<Tick> {
        self.arrivals.front().map(|(tick, _)| *tick)
    }

    fn poll_interval(&self) -> Tick {
        Tick::MAX
    }

    fn idle(&mut self, _now: Tick, deadline: Option<Tick>) -> Option<Tick> {
        deadline.into_iter().chain(self.next_due()).min()
    }

    fn output(&mut self, _now: Tick, _output: Output) {}

    /// Nobody compares digests here.
    fn next_digest(&self) -> Option<Tick> {
        None
    }

    fn digest(&mut self, _tick: Tick, _digest: Digest, _machine: &Machine) {}
}
