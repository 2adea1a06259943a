//! Bytes that have come in on a file descriptor of the host.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::os::fd::BorrowedFd;

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
