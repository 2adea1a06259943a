//! The one door through which facts from the host enter the machine.
//!
//! Live, recorded, replayed and scripted runs differ only in who stands at the door.

use crate::backend::{ChardevId, DiskId, NetdevId, RngId};
use crate::clock::Tick;
use crate::device::{KeyEvent, PointerEvent};
use crate::disk::CLUSTER_SIZE;
use crate::edit::{Edit, EditError};
use crate::machine::{Digest, Machine};
use crate::output::Output;
use crate::request::Question;
use serde::{Deserialize, Serialize};

/// A fact from the host. Closed: a new kind is a compile error wherever it must be known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostInput {
    /// Bytes that came in on a character device.
    ///
    /// Determinism: the entropy is what a person or peer sent and when; both are this value and its tick. The front end
    /// takes the bytes at that tick, and never learns how they were split on the host.
    Chardev {
        /// Which character device.
        chardev: ChardevId,
        /// The bytes, no more than the front end had room for.
        bytes: Vec<u8>,
    },
    /// Somebody came to, or left, the other end of a character device.
    ///
    /// Determinism: the entropy is when a peer connects; it is this value and its tick.
    Connected {
        /// Which character device.
        chardev: ChardevId,
        /// Whether there is somebody now.
        connected: bool,
    },
    /// An Ethernet frame, without its check sequence, came in from a network.
    ///
    /// Determinism: the entropy is what the network sent and when; both are this value and its tick. Everything that lies
    /// between the host's network and the frame (address translation, name lookups, timeouts) is on the host's side.
    Frame {
        /// From which network.
        netdev: NetdevId,
        /// The frame.
        frame: Vec<u8>,
    },
    /// A key of the keyboard.
    ///
    /// Determinism: as for [`Chardev`](Self::Chardev); key repeat is made by the front end, in ticks.
    Key(KeyEvent),
    /// The pointer.
    ///
    /// Determinism: as for [`Key`](Self::Key): counts and buttons are all there is.
    Pointer(PointerEvent),
    /// The operator pressed the power button.
    ///
    /// Determinism: the only entropy is the tick.
    PowerButton,
    /// The operator reset the machine.
    ///
    /// Determinism: the only entropy is the tick.
    Reset,
    /// The operator ended the run.
    ///
    /// Determinism: the only entropy is the tick; the guest sees nothing.
    Quit,
    /// A debugger changed registers or memory.
    ///
    /// Determinism: the entropy is what the debugger wrote and when; both are this value and its tick. The change is made
    /// after all else that happens at that tick, a reset of the machine included, and before the digest of that tick: that
    /// is where a debugger finds the machine stopped, so it does not matter whether a live debugger makes the change there
    /// or the run loop takes it from the door.
    Edit(Edit),
    /// What a cluster of a disk's image holds: an answer.
    ///
    /// Determinism: an image does not change during a run, so a cluster is always the same bytes, and a recording holds
    /// each once, as it was first read. The tick is the model's, however slow the host.
    Cluster {
        /// Which disk.
        disk: DiskId,
        /// Which cluster.
        cluster: u64,
        /// Its bytes: [`CLUSTER_SIZE`](crate::disk::CLUSTER_SIZE), or what is left of the disk.
        data: Vec<u8>,
    },
    /// The host could not read a cluster: an answer.
    ///
    /// Determinism: whether and when the host fails is the entropy; each failure is recorded with its tick, and the guest
    /// sees an I/O error and nothing of its cause.
    ClusterFailed {
        /// Which disk.
        disk: DiskId,
        /// Which cluster.
        cluster: u64,
    },
    /// Random bytes: an answer.
    ///
    /// Determinism: the bytes are the entropy, and are recorded; the tick is the model's.
    Random {
        /// From which source.
        rng: RngId,
        /// As many as were asked for.
        bytes: Vec<u8>,
    },
}

/// What the front ends have room for.
pub trait Room {
    /// How many bytes of a character device its front end can take now.
    fn chardev(&self, chardev: ChardevId) -> usize;

    /// Whether the front end of a network can take a frame now.
    fn netdev(&self, netdev: NetdevId) -> bool;

    /// Whether the machine can make a change.
    fn edit(&self, edit: &Edit) -> Result<(), EditError>;
}

/// Who stands at the door.
pub trait Door {
    /// The next arrival that is due at `now`, if any; asked until there is none. It must fit into `room`.
    fn poll(&mut self, now: Tick, room: &dyn Room) -> Option<HostInput>;

    /// The answer to `question`, which the model wants at `now`; the host may take its time.
    fn answer(&mut self, now: Tick, question: &Question) -> HostInput;

    /// The tick of the next input that is known beforehand; live input is not.
    fn next_due(&self) -> Option<Tick>;

    /// How many ticks may pass between two polls; shapes only how soon live input is seen.
    fn poll_interval(&self) -> Tick;

    /// Every vCPU is idle until `deadline` (`None`: for ever). The host may sleep. Returns the tick to which the clock
    /// jumps: `deadline`, or earlier because input came; `None` if there is no deadline and no input can ever come.
    fn idle(&mut self, now: Tick, deadline: Option<Tick>) -> Option<Tick>;

    /// Takes what left the machine.
    fn output(&mut self, now: Tick, output: Output);

    /// The tick at which [`digest`](Self::digest) is wanted next; `None`, as for most doors, if it never is.
    fn next_digest(&self) -> Option<Tick>;

    /// Takes the digest of the machine's state at `tick`, as it is after all that happens at the door at that tick.
    fn digest(&mut self, tick: Tick, digest: Digest, machine: &Machine);
}

impl<D: Door + ?Sized> Door for &mut D {
    fn poll(&mut self, now: Tick, room: &dyn Room) -> Option<HostInput> {
        (**self).poll(now, room)
    }

    fn answer(&mut self, now: Tick, question: &Question) -> HostInput {
        (**self).answer(now, question)
    }

    fn next_due(&self) -> Option<Tick> {
        (**self).next_due()
    }

    fn poll_interval(&self) -> Tick {
        (**self).poll_interval()
    }

    fn idle(&mut self, now: Tick, deadline: Option<Tick>) -> Option<Tick> {
        (**self).idle(now, deadline)
    }

    fn output(&mut self, now: Tick, output: Output) {
        (**self).output(now, output);
    }

    fn next_digest(&self) -> Option<Tick> {
        (**self).next_digest()
    }

    fn digest(&mut self, tick: Tick, digest: Digest, machine: &Machine) {
        (**self).digest(tick, digest, machine);
    }
}

/// The door of a run whose inputs are all known beforehand, and whose output is kept: tests and replays by hand.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// Inputs yet to come, latest first.
    inputs: Vec<(Tick, HostInput)>,
    /// What each disk's image holds; reading past the end of one fails.
    pub images: Vec<Vec<u8>>,
    /// State of the generator of random bytes.
    random: u64,
    /// Bytes of each character device so far.
    pub bytes: Vec<Vec<u8>>,
    /// Frames that left so far.
    pub frames: Vec<(NetdevId, Vec<u8>)>,
}

impl Script {
    /// A script of `inputs`, in any order; inputs of one tick arrive in the order given.
    pub fn new(mut inputs: Vec<(Tick, HostInput)>) -> Self {
        inputs.sort_by_key(|(tick, _)| *tick);
        inputs.reverse();
        Self { inputs, ..Self::default() }
    }

    fn cluster(&self, disk: DiskId, cluster: u64) -> Option<&[u8]> {
        self.images.get(usize::from(disk.0))?.chunks(CLUSTER_SIZE as usize).nth(cluster as usize)
    }

    /// The next byte of a fixed sequence.
    fn random_byte(&mut self) -> u8 {
        self.random = self.random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (self.random >> 56) as u8
    }

    /// What left on a character device so far.
    pub fn output_of(&self, chardev: ChardevId) -> &[u8] {
        self.bytes.get(usize::from(chardev.0)).map_or(&[], Vec::as_slice)
    }
}

impl Door for Script {
    fn poll(&mut self, now: Tick, _room: &dyn Room) -> Option<HostInput> {
        self.inputs.pop_if(|(tick, _)| *tick <= now).map(|(_, input)| input)
    }

    fn answer(&mut self, _now: Tick, question: &Question) -> HostInput {
        match *question {
            Question::Cluster { disk, cluster } => match self.cluster(disk, cluster) {
                Some(data) => HostInput::Cluster { disk, cluster, data: data.to_vec() },
                None => HostInput::ClusterFailed { disk, cluster },
            },
            Question::Random { rng, length } => {
                HostInput::Random { rng, bytes: (0..length).map(|_| self.random_byte()).collect() }
            }
        }
    }

    fn next_due(&self) -> Option<Tick> {
        self.inputs.last().map(|(tick, _)| *tick)
    }

    fn poll_interval(&self) -> Tick {
        Tick::MAX
    }

    fn idle(&mut self, _now: Tick, deadline: Option<Tick>) -> Option<Tick> {
        match (deadline, self.next_due()) {
            (Some(deadline), Some(due)) => Some(deadline.min(due)),
            (deadline, due) => deadline.or(due),
        }
    }

    fn output(&mut self, _now: Tick, output: Output) {
        match output {
            Output::Bytes { chardev, bytes } => {
                let index = usize::from(chardev.0);
                if self.bytes.len() <= index {
                    self.bytes.resize_with(index + 1, Vec::new);
                }
                self.bytes[index].extend(bytes);
            }
            Output::Frame { netdev, frame } => self.frames.push((netdev, frame)),
        }
    }

    /// Nobody compares digests here.
    fn next_digest(&self) -> Option<Tick> {
        None
    }

    fn digest(&mut self, _tick: Tick, _digest: Digest, _machine: &Machine) {}
}
