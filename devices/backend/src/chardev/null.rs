//! Takes everything, gives nothing.

use super::{Chardev, ChardevError, Received};
use rustix::event::PollFd;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// The character device that is not there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Null;

impl Chardev for Null {
    fn write(&mut self, _bytes: &[u8]) {}

    fn backlog(&self) -> usize {
        0
    }

    fn flush(&mut self) -> Result<(), ChardevError> {
        Ok(())
    }

    fn outlet(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn read(&mut self) -> Received {
        Received::of_end()
    }

    fn source(&self) -> Option<PollFd<'_>> {
        None
    }

    fn timeout(&self) -> Option<Duration> {
        None
    }
}
