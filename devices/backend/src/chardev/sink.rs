//! Bytes on their way to a file descriptor of the host, which may be slower than the guest.

use super::ChardevError;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Bytes in one write: a pipe that is writable at all takes this many without waiting (pipe(7), PIPE_BUF).
const CHUNK: usize = 1024;

/// A file descriptor and what it has not taken yet.
pub(super) struct Sink {
    name: String,
    fd: OwnedFd,
    backlog: Vec<u8>,
}

impl Sink {
    pub(super) fn new(name: String, fd: OwnedFd) -> Self {
        Self { name, fd, backlog: Vec::new() }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.backlog.extend_from_slice(bytes);
    }

    pub(super) fn backlog(&self) -> usize {
        self.backlog.len()
    }

    /// Forgets what was not taken yet: nobody is there to take it.
    pub(super) fn clear(&mut self) {
        self.backlog.clear();
    }

    pub(super) fn outlet(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    pub(super) fn flush(&mut self) -> Result<(), ChardevError> {
        let mut gone = 0;
        let mut result = Ok(());
        while gone < self.backlog.len() && result.is_ok() {
            let end = self.backlog.len().min(gone + CHUNK);
            match write_now(self.fd.as_fd(), &self.backlog[gone..end]) {
                Ok(0) => break,
                Ok(written) => gone += written,
                Err(source) => result = Err(ChardevError::Write { name: self.name.clone(), source }),
            }
        }
        self.backlog.drain(..gone);
        if result.is_err() {
            // What could not be written would only fail again.
            self.backlog.clear();
        }
        result
    }
}

/// Writes what `fd` takes without waiting; 0 if it takes nothing now.
fn write_now(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
    match poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
        Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(0),
        Ok(_) => {}
        Err(error) => return Err(error.into()),
    }
    match rustix::io::write(fd, bytes) {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        Ok(written) => Ok(written),
        Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => Ok(0),
        Err(error) => Err(error.into()),
    }
}
