//! Character devices at the door.

use crate::chardev::{Chardev, ChardevError, Command};
use reprise_core::backend::ChardevId;
use reprise_core::door::{HostInput, Room};
use rustix::event::{PollFd, PollFlags};
use std::collections::VecDeque;
use std::time::Duration;

/// Bytes from the host that wait for a guest that does not read; more stay on the host.
const INPUT_LIMIT: usize = 64 << 10;

/// Reads at one look: a peer that never pauses does not keep the machine from running.
const READS: usize = 16;

/// What the guest has not heard yet.
enum Arrival {
    /// Somebody came to the other end, or left it.
    Connected(bool),
    /// Somebody there sent these.
    Bytes(VecDeque<u8>),
}

/// A character device, and what it has that the guest has not taken, in the order in which it came.
pub(super) struct Line {
    pub(super) chardev: Box<dyn Chardev>,
    waiting: VecDeque<Arrival>,
    /// Bytes that wait; somebody who came or left counts as one.
    weight: usize,
}

impl Line {
    pub(super) fn new(chardev: Box<dyn Chardev>) -> Self {
        Self { chardev, waiting: VecDeque::new(), weight: 0 }
    }

    /// Whether it can ever bring something, should the guest take nothing of what waits.
    pub(super) fn can_receive(&self) -> bool {
        !self.is_full() && (self.chardev.source().is_some() || self.chardev.timeout().is_some())
    }

    fn is_full(&self) -> bool {
        self.weight >= INPUT_LIMIT
    }

    /// Takes in what has come; whether anything has, and what the operator asks for.
    pub(super) fn receive(&mut self) -> (bool, Vec<Command>) {
        let (mut news, mut commands) = (false, Vec::new());
        for _ in 0..READS {
            if !self.can_receive() {
                break;
            }
            let received = self.chardev.read();
            self.weight += received.bytes.len() + usize::from(received.connected.is_some());
            if received.connected.is_none() && received.bytes.is_empty() && received.commands.is_empty() {
                news |= received.end;
                break;
            }
            news = true;
            self.waiting.extend(received.connected.map(Arrival::Connected));
            self.add(received.bytes);
            commands.extend(received.commands);
        }
        (news, commands)
    }

    fn add(&mut self, bytes: Vec<u8>) {
        match self.waiting.back_mut() {
            _ if bytes.is_empty() => {}
            Some(Arrival::Bytes(others)) => others.extend(bytes),
            Some(Arrival::Connected(_)) | None => self.waiting.push_back(Arrival::Bytes(bytes.into())),
        }
    }

    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// What the guest takes next, if it has room for it.
    fn next(&mut self, chardev: ChardevId, room: &dyn Room) -> Option<HostInput> {
        let input = match self.waiting.front_mut()? {
            &mut Arrival::Connected(connected) => {
                self.weight -= 1;
                self.waiting.pop_front();
                return Some(HostInput::Connected { chardev, connected });
            }
            Arrival::Bytes(bytes) => {
                let count = room.chardev(chardev).min(bytes.len());
                bytes.drain(..count).collect::<Vec<u8>>()
            }
        };
        self.weight -= input.len();
        self.waiting.pop_front_if(|front| matches!(front, Arrival::Bytes(bytes) if bytes.is_empty()));
        (!input.is_empty()).then_some(HostInput::Chardev { chardev, bytes: input })
    }

    /// What to wait for.
    pub(super) fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        let source = self.chardev.source().filter(|_| !self.is_full());
        let outlet = self.chardev.outlet().filter(|_| self.chardev.backlog() > 0);
        source.into_iter().chain(outlet.map(|outlet| PollFd::from_borrowed_fd(outlet, PollFlags::OUT)))
    }

    /// For how long at most.
    pub(super) fn timeout(&self) -> Option<Duration> {
        self.chardev.timeout().filter(|_| !self.is_full())
    }
}

/// The next thing that the guest takes from any of `lines`.
pub(super) fn next_input(lines: &mut [Line], room: &dyn Room) -> Option<HostInput> {
    (0..).map(ChardevId).zip(lines).find_map(|(chardev, line)| line.next(chardev, room))
}

/// Hands the host what it takes; the first failure.
pub(super) fn flush(lines: &mut [Line]) -> Result<(), ChardevError> {
    lines.iter_mut().map(|line| line.chardev.flush()).fold(Ok(()), Result::and)
}
