//! Networks at the door.

use crate::netdev::Netdev;
use reprise_core::backend::NetdevId;
use reprise_core::door::{HostInput, Room};
use rustix::event::PollFd;
use std::collections::VecDeque;
use std::time::Duration;

/// Frames from the host that wait for a guest that does not take them; more stay on the host.
const FRAMES_LIMIT: usize = 256;

/// A network, and the frames that the guest has not taken.
pub(super) struct Net {
    pub(super) netdev: Box<dyn Netdev>,
    waiting: VecDeque<Vec<u8>>,
}

impl Net {
    pub(super) fn new(netdev: Box<dyn Netdev>) -> Self {
        Self { netdev, waiting: VecDeque::new() }
    }

    /// Whether it can ever bring something, should the guest take nothing of what waits.
    pub(super) fn can_receive(&self) -> bool {
        !self.is_full() && (!self.netdev.sources().is_empty() || self.netdev.timeout().is_some())
    }

    fn is_full(&self) -> bool {
        self.waiting.len() >= FRAMES_LIMIT
    }

    /// Takes in what has come; whether anything has.
    pub(super) fn receive(&mut self) -> bool {
        let before = self.waiting.len();
        while !self.is_full()
            && let Some(frame) = self.netdev.receive()
        {
            self.waiting.push_back(frame);
        }
        self.waiting.len() > before
    }

    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// What to wait for.
    pub(super) fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        let sources = if self.is_full() { Vec::new() } else { self.netdev.sources() };
        sources.into_iter()
    }

    /// For how long at most.
    pub(super) fn timeout(&self) -> Option<Duration> {
        self.netdev.timeout().filter(|_| !self.is_full())
    }
}

/// The next frame that the guest takes from any of `nets`.
pub(super) fn next_input(nets: &mut [Net], room: &dyn Room) -> Option<HostInput> {
    (0..).map(NetdevId).zip(nets).filter(|(_, net)| net.has_waiting()).find_map(|(netdev, net)| {
        let frame = room.netdev(netdev).then(|| net.waiting.pop_front()).flatten()?;
        Some(HostInput::Frame { netdev, frame })
    })
}
