//! A network of the guest's own, behind network address translation, for which the host needs no privilege.

mod options;

pub use options::{HostForward, UserOptions};

use super::{Netdev, NetdevError};
use rustix::event::PollFd;
use std::time::Duration;

/// A user network.
pub struct User {
    options: UserOptions,
}

impl User {
    /// Opens a user network.
    pub fn new(options: UserOptions) -> Result<Self, NetdevError> {
        options.check()?;
        Ok(Self { options })
    }
}

impl Netdev for User {
    fn send(&mut self, _frame: &[u8]) {}

    fn receive(&mut self) -> Option<Vec<u8>> {
        None
    }

    fn sources(&self) -> Vec<PollFd<'_>> {
        let _ = &self.options;
        Vec::new()
    }

    fn timeout(&self) -> Option<Duration> {
        None
    }

    fn expects_answer(&self) -> bool {
        false
    }
}
