//! Bytes that have come in on a file descriptor of the host.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Bytes read at once.
const CHUNK: usize = 4096;

/// What a look at a file descriptor found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Inflow {
    /// Nothing has come.
    Nothing,
    /// These bytes.
    Bytes(Vec<u8>),
    /// Nothing will ever come again. An error (a hang-up, say) is the end just the same.
    End,
}

/// A file descriptor that bytes come in on, until it ends.
pub(super) struct Inlet {
    /// `None` if there is none, or once it has ended.
    fd: Option<OwnedFd>,
}

impl Inlet {
    /// One that is `fd`, if there is one.
    pub(super) fn new(fd: Option<OwnedFd>) -> Self {
        Self { fd }
    }

    /// Takes what is there now. After an end there is only the end.
    pub(super) fn read(&mut self) -> Inflow {
        let inflow = self.fd.as_ref().map_or(Inflow::End, |fd| read_now(fd.as_fd()));
        if matches!(inflow, Inflow::End) {
            self.fd = None;
        }
        inflow
    }

    /// What becomes readable when something has come.
    pub(super) fn source(&self) -> Option<PollFd<'_>> {
        self.fd.as_ref().map(|fd| PollFd::new(fd, PollFlags::IN))
    }
}

/// Reads what has come, without waiting.
pub(super) fn read_now(fd: BorrowedFd<'_>) -> Inflow {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    match poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
        Ok(0) | Err(Errno::INTR) => return Inflow::Nothing,
        Ok(_) => {}
        Err(_) => return Inflow::End,
    }
    let mut bytes = vec![0; CHUNK];
    match rustix::io::read(fd, &mut bytes) {
        Ok(0) => Inflow::End,
        Ok(count) => {
            bytes.truncate(count);
            Inflow::Bytes(bytes)
        }
        Err(Errno::INTR | Errno::AGAIN) => Inflow::Nothing,
        Err(_) => Inflow::End,
    }
}
