//! Takes everything, gives nothing.

use super::{Chardev, ChardevError, Received};
use std::os::fd::BorrowedFd;

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
        Received { end: true, ..Received::default() }
    }

    fn source(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}
