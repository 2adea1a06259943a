//! The end of a socket that calls.

use super::address::{Address, begin, is_connected, prepare};
use crate::chardev::ChardevError;
use rustix::event::{PollFd, PollFlags};
use rustix::net::SocketAddrAny;

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Calls again and again, without waiting.
pub(super) struct Client {
    addresses: Vec<SocketAddrAny>,
    /// Which of them is called next.
    turn: usize,
    pause: Duration,
    /// A connection that was begun.
    attempt: Option<OwnedFd>,
    /// When to begin the next one.
    next: Instant,
}

impl Client {
    pub(super) fn new(address: &Address, pause: Duration) -> Result<Self, ChardevError> {
        Ok(Self { addresses: address.resolve()?, turn: 0, pause, attempt: None, next: Instant::now() })
    }

    /// The connection, if it is there by now.
    pub(super) fn call(&mut self, nodelay: bool) -> Option<OwnedFd> {
        if self.attempt.is_none() && Instant::now() >= self.next {
            self.next = Instant::now() + self.pause;
            let address = self.addresses.get(self.turn % self.addresses.len().max(1));
            self.attempt = address.and_then(|address| begin(address).ok());
            self.turn = self.turn.wrapping_add(1);
        }
        match is_connected(self.attempt.as_ref()?) {
            Ok(false) => None,
            Ok(true) => self.attempt.take().filter(|fd| prepare(fd, nodelay).is_ok()),
            Err(_) => {
                self.attempt = None;
                None
            }
        }
    }

    /// The connection has broken: the next call is after a pause.
    pub(super) fn hung_up(&mut self) {
        self.next = Instant::now() + self.pause;
    }

    pub(super) fn source(&self) -> Option<PollFd<'_>> {
        self.attempt.as_ref().map(|attempt| PollFd::new(attempt, PollFlags::OUT))
    }

    pub(super) fn timeout(&self) -> Option<Duration> {
        self.attempt.is_none().then(|| self.next.saturating_duration_since(Instant::now()))
    }
}
