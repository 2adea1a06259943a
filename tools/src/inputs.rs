//! A door at which inputs stand that are known: those of a recording, or those that another machine got a moment ago.
//!
//! Unlike the replay that checks a recording, this goes on whatever the machine does: what it asks for and nobody knows is
//! answered with nothing, and noted.

use crate::dump::text_line;
use reprise_core::backend::DiskId;
use reprise_core::clock::Tick;
use reprise_core::door::{Door, HostInput, Room};
use reprise_core::machine::{Digest, Machine};
use reprise_core::output::Output;
use reprise_core::request::Question;
use reprise_replay::{Event, Recording, refusal};
use std::collections::VecDeque;

/// What images hold, beside the answers that are known.
pub(crate) trait Clusters {
    /// A cluster; `None` if it is not known.
    fn cluster(&mut self, disk: DiskId, cluster: u64) -> Result<Option<Vec<u8>>, String>;
}

impl Clusters for Recording {
    fn cluster(&mut self, disk: DiskId, cluster: u64) -> Result<Option<Vec<u8>>, String> {
        Recording::cluster(self, disk, cluster).map_err(|error| error.to_string())
    }
}

/// No images: every answer is among those that are known.
pub(crate) struct NoImages;

impl Clusters for NoImages {
    fn cluster(&mut self, _disk: DiskId, _cluster: u64) -> Result<Option<Vec<u8>>, String> {
        Ok(None)
    }
}

/// Known inputs, and what left the machine.
pub(crate) struct Inputs<C> {
    images: C,
    arrivals: VecDeque<(Tick, HostInput)>,
    answers: VecDeque<(Tick, HostInput)>,
    /// The first thing that the machine asked for and nobody knows.
    note: Option<String>,
    /// What left the machine, if anybody wants it.
    outputs: Option<Vec<(Tick, Output)>>,
}

impl<C: Clusters> Inputs<C> {
    /// No inputs so far, but what `images` hold.
    pub(crate) fn new(images: C) -> Self {
        Self { images, arrivals: VecDeque::new(), answers: VecDeque::new(), note: None, outputs: None }
    }

    /// Keeps what leaves the machine from now on.
    pub(crate) fn keep_outputs(&mut self) {
        self.outputs.get_or_insert_default();
    }

    /// What left the machine since the last call.
    pub(crate) fn take_outputs(&mut self) -> Vec<(Tick, Output)> {
        self.outputs.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Adds an input, no earlier than those before it.
    pub(crate) fn push(&mut self, tick: Tick, input: HostInput) {
        match input {
            HostInput::Random { .. } | HostInput::Cluster { .. } | HostInput::ClusterFailed { .. } => {
                self.answers.push_back((tick, input));
            }
            HostInput::Chardev { .. }
            | HostInput::Connected { .. }
            | HostInput::Frame { .. }
            | HostInput::Key(_)
            | HostInput::Pointer(_)
            | HostInput::PowerButton
            | HostInput::Reset
            | HostInput::Quit
            | HostInput::Edit(_) => self.arrivals.push_back((tick, input)),
        }
    }

    /// Forgets all inputs that were not delivered.
    pub(crate) fn clear(&mut self) {
        self.arrivals.clear();
        self.answers.clear();
    }

    /// What images hold.
    pub(crate) fn images(&mut self) -> &mut C {
        &mut self.images
    }

    /// The first thing that the machine asked for and nobody knows.
    pub(crate) fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    fn cluster(&mut self, now: Tick, disk: DiskId, cluster: u64) -> HostInput {
        let wanted = (disk, cluster);
        let fits = |(tick, answer): &mut (Tick, HostInput)| match answer {
            HostInput::Cluster { disk, cluster, .. } | HostInput::ClusterFailed { disk, cluster } => {
                *tick == now && (*disk, *cluster) == wanted
            }
            _ => false,
        };
        if let Some((_, answer)) = self.answers.pop_front_if(fits) {
            return answer;
        }
        match self.images.cluster(disk, cluster) {
            Ok(Some(data)) => return HostInput::Cluster { disk, cluster, data },
            Ok(None) => self.note_missing(now, &format!("cluster {cluster} of disk {}", disk.0)),
            Err(error) => drop(self.note.get_or_insert(error)),
        }
        HostInput::ClusterFailed { disk, cluster }
    }

    fn note_missing(&mut self, now: Tick, what: &str) {
        self.note.get_or_insert_with(|| format!("at tick {now} the machine asks for {what}, which was not recorded"));
    }
}

impl<C: Clusters> Door for Inputs<C> {
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
            Question::Cluster { disk, cluster } => self.cluster(now, disk, cluster),
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

    fn output(&mut self, now: Tick, output: Output) {
        if let Some(outputs) = &mut self.outputs {
            outputs.push((now, output));
        }
    }

    /// Nobody compares digests here.
    fn next_digest(&self) -> Option<Tick> {
        None
    }

    fn digest(&mut self, _tick: Tick, _digest: Digest, _machine: &Machine) {}
}
