//! Records a run: a door around the door that serves it.
//!
//! The recorder writes down what enters by the door, at its tick and in its order, and digests of the machine's state. It
//! changes nothing that the machine can see. When the recording cannot go on (the disk is full, an image changed), it
//! ends the run at that tick: what is in the file until then is whole.

use crate::format::{DIGEST_INTERVAL, Ended, Event, WriteError, Writer};
use reprise_core::backend::DiskId;
use reprise_core::clock::Tick;
use reprise_core::door::{Door, HostInput, Room};
use reprise_core::edit::{Edit, EditError};
use reprise_core::machine::{Digest, End, Machine};
use reprise_core::output::Output;
use reprise_core::request::Question;
use std::time::{Duration, Instant};

/// How long arrivals may wait to be written.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// What goes into the recording.
struct Tape {
    writer: Writer,
    /// Why it is not written any more.
    failed: Option<WriteError>,
    /// Arrivals and random bytes so far.
    inputs: u64,
    /// The last digest, which is not written yet: a debugger may still change what it is of.
    held: Option<(Tick, Digest)>,
    /// Arrivals since then may not be in the file.
    flushed: Instant,
    unflushed: bool,
}

impl Tape {
    fn note(&mut self, result: Result<(), WriteError>) {
        if let Err(error) = result {
            self.failed.get_or_insert(error);
        }
    }

    fn event(&mut self, tick: Tick, event: &Event) {
        if let Some((tick, digest)) = self.held.take() {
            self.write(tick, &Event::Digest(digest));
        }
        self.write(tick, event);
    }

    fn write(&mut self, tick: Tick, event: &Event) {
        if self.failed.is_none() {
            let result = self.writer.event(tick, event);
            self.note(result);
        }
    }

    fn digest(&mut self, tick: Tick, digest: Digest) {
        if let Some((tick, before)) = self.held.replace((tick, digest)) {
            self.write(tick, &Event::Digest(before));
        }
    }

    /// Writes an input and gives it back.
    fn input(&mut self, tick: Tick, input: HostInput) -> HostInput {
        let event = Event::Input(input);
        self.event(tick, &event);
        self.inputs += 1;
        let Event::Input(input) = event else { unreachable!("it was made a moment ago") };
        input
    }

    fn flush_old(&mut self) {
        if self.unflushed && self.failed.is_none() && self.flushed.elapsed() >= FLUSH_INTERVAL {
            let result = self.writer.flush();
            self.note(result);
            (self.unflushed, self.flushed) = (false, Instant::now());
        }
    }
}

/// A door that records what enters by another one.
pub struct Recorder<D> {
    door: D,
    tape: Tape,
    /// When the next digest is taken: a multiple of the interval.
    next_digest: Tick,
    /// The tick of the last answer, and the clusters that were read at that tick.
    answered: (Tick, Vec<(DiskId, u64)>),
}

/// A run that is over, and its recording, which waits for how it ended.
pub struct Recorded {
    tape: Tape,
}

/// Why a debugger's change was not made in a run that is being recorded.
#[derive(Debug, thiserror::Error)]
pub enum RefusedEdit {
    /// The machine cannot make it.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// Something has happened here that a replay does after the change.
    #[error("what happens at this tick is not all done, and a recording cannot say so: step once, then write")]
    Unsettled,
    /// The recording has ended: what could not be written down must not happen.
    #[error("the recording could not be written any more, so nothing can be changed in what it is of")]
    Over,
}

/// What a finished recording has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Bytes of the file.
    pub bytes: u64,
    /// Inputs, all but the clusters of disks.
    pub inputs: u64,
}

impl<D: Door> Recorder<D> {
    /// Records into `writer`, from power-on, what enters by `door`.
    pub fn new(door: D, writer: Writer) -> Self {
        let tape = Tape { writer, failed: None, inputs: 0, flushed: Instant::now(), unflushed: false, held: None };
        Self { door, tape, next_digest: DIGEST_INTERVAL, answered: (0, Vec::new()) }
    }

    /// The door, and the recording.
    pub fn into_parts(self) -> (D, Recorded) {
        (self.door, Recorded { tape: self.tape })
    }

    /// Makes a debugger's change in `machine`, the one at this door, which has come back from a run; and records it. On an
    /// error nothing is changed.
    ///
    /// A replay makes it after all else that happens at this tick, which is where the machine stands.
    pub fn edit(&mut self, machine: &mut Machine, edit: &Edit) -> Result<(), RefusedEdit> {
        if self.tape.failed.is_some() {
            return Err(RefusedEdit::Over);
        }
        if !machine.is_settled() {
            return Err(RefusedEdit::Unsettled);
        }
        machine.edit(edit)?;
        let now = machine.now();
        let held = self.tape.held.take_if(|(tick, _)| *tick == now);
        self.tape.input(now, HostInput::Edit(edit.clone()));
        self.tape.unflushed = true;
        if held.is_some() {
            // The one that was taken here was of the machine before the change.
            self.tape.digest(now, machine.digest());
        }
        Ok(())
    }

    fn cluster(&mut self, now: Tick, disk: DiskId, cluster: u64, data: &[u8]) {
        if self.answered.0 != now {
            self.answered = (now, Vec::new());
        }
        self.answered.1.push((disk, cluster));
        if self.tape.failed.is_none() {
            let result = self.tape.writer.cluster(disk, cluster, data);
            self.tape.note(result);
        }
    }

    /// A failure is told from the contents by its tick; both at one tick could not be told apart.
    pub(crate) fn cluster_failed(&mut self, now: Tick, disk: DiskId, cluster: u64) -> HostInput {
        if self.answered.0 == now && self.answered.1.contains(&(disk, cluster)) {
            self.tape.failed.get_or_insert(WriteError::ImageChanged { disk, cluster });
        }
        self.tape.input(now, HostInput::ClusterFailed { disk, cluster })
    }
}

impl Recorded {
    /// Why the recording ended before the run did, if so.
    pub fn failure(&self) -> Option<&WriteError> {
        self.tape.failed.as_ref()
    }

    /// Writes how the run ended at `tick`; the recording is complete then.
    pub fn finish(mut self, tick: Tick, ended: Ended) -> Result<Finished, WriteError> {
        self.tape.event(tick, &Event::End(ended));
        match self.tape.failed {
            Some(error) => Err(error),
            None => Ok(Finished { bytes: self.tape.writer.finish()?, inputs: self.tape.inputs }),
        }
    }
}

impl<D: Door> Door for Recorder<D> {
    fn poll(&mut self, now: Tick, room: &dyn Room) -> Option<HostInput> {
        let input = match self.tape.failed {
            None => self.door.poll(now, room),
            Some(_) => Some(HostInput::Quit),
        };
        let Some(input) = input else {
            self.tape.flush_old();
            return None;
        };
        let input = self.tape.input(now, input);
        self.tape.unflushed = true;
        // What could not be written must not happen.
        Some(if self.tape.failed.is_some() { HostInput::Quit } else { input })
    }

    fn answer(&mut self, now: Tick, question: &Question) -> HostInput {
        match self.door.answer(now, question) {
            HostInput::Cluster { disk, cluster, data } => {
                self.cluster(now, disk, cluster, &data);
                HostInput::Cluster { disk, cluster, data }
            }
            HostInput::ClusterFailed { disk, cluster } => self.cluster_failed(now, disk, cluster),
            answer => self.tape.input(now, answer),
        }
    }

    fn next_due(&self) -> Option<Tick> {
        if self.tape.failed.is_some() { Some(0) } else { self.door.next_due() }
    }

    fn poll_interval(&self) -> Tick {
        self.door.poll_interval()
    }

    fn idle(&mut self, now: Tick, deadline: Option<Tick>) -> Option<Tick> {
        self.tape.flush_old();
        let woken = self.door.idle(now, deadline)?;
        // Of a long sleep, in which nothing changes, one digest is enough.
        self.next_digest = self.next_digest.max(woken / DIGEST_INTERVAL * DIGEST_INTERVAL);
        Some(woken)
    }

    fn output(&mut self, now: Tick, output: Output) {
        self.door.output(now, output);
    }

    fn next_digest(&self) -> Option<Tick> {
        self.tape.failed.is_none().then_some(self.next_digest)
    }

    fn digest(&mut self, tick: Tick, digest: Digest, _machine: &Machine) {
        self.tape.digest(tick, digest);
        self.next_digest = tick.saturating_add(DIGEST_INTERVAL);
    }
}

/// The word for why a run came back, in a recording.
pub fn reason(end: End) -> &'static str {
    match end {
        End::Off => "off",
        End::Reset => "reset",
        End::TripleFault => "triple-fault",
        End::Panicked => "panicked",
        End::DebugExit(_) => "debug-exit",
        End::Quit => "quit",
        End::Dead => "dead",
        End::Until => "until",
        End::Probe => "probe",
    }
}
