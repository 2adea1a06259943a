//! The connection of one client.

use super::frames::Frames;
use super::listen::is_readable;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long a client may take for what it asked for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most reads between two looks at anything else, whatever a client sends.
const READS: usize = 8;

/// A client, and what it says.
pub(super) struct Client {
    socket: OwnedFd,
    /// Its packets.
    pub(super) frames: Frames,
    gone: bool,
}

impl Client {
    /// The one that called by `socket`.
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self { socket, frames: Frames::default(), gone: false }
    }

    /// Whether it has gone.
    pub(super) fn is_gone(&self) -> bool {
        self.gone
    }

    /// Takes what it sent so far.
    pub(super) fn receive(&mut self) {
        let mut buffer = [0; 16 << 10];
        for _ in 0..READS {
            if self.gone || self.frames.is_full() || !is_readable(self.socket.as_fd()) {
                return;
            }
            match rustix::io::read(&self.socket, &mut buffer) {
                Ok(0) => self.gone = true,
                Ok(count) => self.frames.receive(&buffer[..count]),
                Err(Errno::AGAIN | Errno::INTR) => return,
                Err(_) => self.gone = true,
            }
        }
    }

    /// Sends what there is for it.
    pub(super) fn flush(&mut self) {
        let out = self.frames.take_out();
        let (mut rest, start) = (out.as_slice(), Instant::now());
        while !rest.is_empty() && !self.gone {
            match rustix::io::write(&self.socket, rest) {
                Ok(count) => rest = &rest[count..],
                Err(Errno::AGAIN) => self.gone = !self.takes_more(start),
                Err(Errno::INTR) => {}
                Err(_) => self.gone = true,
            }
        }
    }

    /// Whether there is room for more within what is left of the patience.
    fn takes_more(&self, start: Instant) -> bool {
        let left = PATIENCE.saturating_sub(start.elapsed());
        let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        let mut fds = [PollFd::new(&self.socket, PollFlags::OUT)];
        matches!(poll(&mut fds, Some(&timeout)), Ok(1..) | Err(Errno::INTR)) && !left.is_zero()
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
