//! The connection of one client.

use super::frames::Frames;
use super::listen::is_readable;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// How long a client may take nothing of what it asked for.
const PATIENCE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

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
        while !self.gone && !self.frames.is_full() && is_readable(self.socket.as_fd()) {
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
        let mut rest = out.as_slice();
        while !rest.is_empty() && !self.gone {
            match rustix::io::write(&self.socket, rest) {
                Ok(count) => rest = &rest[count..],
                Err(Errno::AGAIN) => self.gone = !self.takes_more(),
                Err(Errno::INTR) => {}
                Err(_) => self.gone = true,
            }
        }
    }

    fn takes_more(&self) -> bool {
        let mut fds = [PollFd::new(&self.socket, PollFlags::OUT)];
        matches!(poll(&mut fds, Some(&PATIENCE)), Ok(1..) | Err(Errno::INTR))
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
