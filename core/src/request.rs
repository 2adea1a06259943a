//! What a front end asks of the host, and what is asked at the door for it.
//!
//! An answer arrives at the tick that the front end's model fixed when it asked, however long the host takes: the guest
//! never learns how slow the host was.

use crate::backend::{DiskId, RngId};
use crate::board::DeviceId;
use crate::clock::Tick;
use serde::{Deserialize, Serialize};

/// Most bytes that one request can ask for.
pub const REQUEST_LIMIT: u32 = 32 << 20;

/// What a front end asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Bytes of a disk: what the guest wrote there, else what the image has.
    Disk {
        /// Which disk.
        disk: DiskId,
        /// First byte; a multiple of the sector size.
        offset: u64,
        /// How many bytes, at most [`REQUEST_LIMIT`]; a multiple of the sector size.
        length: u32,
    },
    /// Random bytes.
    Random {
        /// From which source.
        rng: RngId,
        /// How many, at most [`REQUEST_LIMIT`].
        length: u32,
    },
}

/// What is asked at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// What does this cluster of the image hold? The answer is [`HostInput::Cluster`] or [`HostInput::ClusterFailed`].
    ///
    /// [`HostInput::Cluster`]: crate::door::HostInput::Cluster
    /// [`HostInput::ClusterFailed`]: crate::door::HostInput::ClusterFailed
    Cluster {
        /// Which disk.
        disk: DiskId,
        /// Which cluster: the byte offset divided by [`CLUSTER_SIZE`](crate::disk::CLUSTER_SIZE).
        cluster: u64,
    },
    /// Random bytes, please. The answer is [`HostInput::Random`].
    ///
    /// [`HostInput::Random`]: crate::door::HostInput::Random
    Random {
        /// From which source.
        rng: RngId,
        /// How many.
        length: u32,
    },
}

/// A request that waits for its tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// When the answer arrives.
    pub due: Tick,
    /// Orders requests that are due at one tick: those made earlier come first.
    pub serial: u64,
    /// Who asked.
    pub device: DeviceId,
    /// What the device calls its request.
    pub tag: u64,
    /// What it asked for.
    pub request: Request,
}

/// All requests that wait, in the order in which they are answered. State, like the timers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests {
    /// Sorted by due tick and serial number.
    waiting: Vec<Pending>,
    next_serial: u64,
}

impl Requests {
    /// Adds a request of `device`.
    pub(crate) fn add(&mut self, due: Tick, device: DeviceId, tag: u64, request: Request) {
        let serial = self.next_serial;
        self.next_serial += 1;
        let at = self.waiting.partition_point(|other| (other.due, other.serial) < (due, serial));
        self.waiting.insert(at, Pending { due, serial, device, tag, request });
    }

    /// Forgets all requests of `device`.
    pub(crate) fn cancel(&mut self, device: DeviceId) {
        self.waiting.retain(|pending| pending.device != device);
        if self.waiting.is_empty() {
            // After a reset of all devices, nothing of the time before is left.
            self.next_serial = 0;
        }
    }

    /// The tick at which the first one is due.
    pub fn next_due(&self) -> Option<Tick> {
        self.waiting.first().map(|pending| pending.due)
    }

    /// Takes the first one that is due at `now`.
    pub(crate) fn take_due(&mut self, now: Tick) -> Option<Pending> {
        (self.next_due()? <= now).then(|| self.waiting.remove(0))
    }

    /// All that wait, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Pending> {
        self.waiting.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_answered_by_tick_then_age() {
        let mut requests = Requests::default();
        let request = Request::Random { rng: RngId(0), length: 1 };
        for (tag, due, device) in [(1, 9, 0), (2, 5, 0), (3, 5, 1), (4, 5, 0)] {
            requests.add(due, DeviceId(device), tag, request);
        }
        assert_eq!(requests.next_due(), Some(5));
        assert_eq!(requests.take_due(4), None);
        requests.cancel(DeviceId(1));
        let tags: Vec<_> = std::iter::from_fn(|| requests.take_due(9)).map(|pending| pending.tag).collect();
        assert_eq!(tags, [2, 4, 1]);
    }
}
