//! Character devices: where the bytes of a serial port come from and go to.

mod file;
mod inlet;
mod keys;
mod logged;
mod null;
mod pty;
mod sink;
mod socket;
mod stdio;

pub use file::File;
pub use keys::{Command, HELP};
pub use logged::Logged;
pub use null::Null;
pub use pty::Pty;
pub use socket::{Address, Role, Socket, SocketOptions};
pub use stdio::Stdio;

use rustix::event::PollFd;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// Why a character device cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ChardevError {
    /// It could not be opened.
    #[error("cannot open {name}: {source}")]
    Open {
        /// What it is called.
        name: String,
        /// What the host said.
        source: io::Error,
    },
    /// Nobody can call at its address.
    #[error("cannot listen on {name}: {source}")]
    Listen {
        /// The address.
        name: String,
        /// What the host said.
        source: io::Error,
    },
    /// Nobody is at the address that it calls.
    #[error("cannot connect to {name}: {source}")]
    Connect {
        /// The address.
        name: String,
        /// What the host said.
        source: io::Error,
    },
    /// The host did not take what the guest sent.
    #[error("cannot write to {name}: {source}")]
    Write {
        /// What it is called.
        name: String,
        /// What the host said.
        source: io::Error,
    },
}

/// How long the end of a run waits for a peer who takes nothing: one on a wire may have gone to sleep.
const FAREWELL: Duration = Duration::from_secs(5);

/// What came in from the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Bytes for the guest.
    pub bytes: Vec<u8>,
    /// What the operator asked for.
    pub commands: Vec<Command>,
    /// Somebody came to the other end, or left it; happened before the bytes came. Until told otherwise, front ends take it
    /// that somebody is there.
    pub connected: Option<bool>,
    /// Nothing will ever come again.
    pub end: bool,
}

impl Received {
    /// Bytes for the guest.
    fn of_bytes(bytes: Vec<u8>) -> Self {
        Self { bytes, ..Self::default() }
    }

    /// Somebody came, or left.
    fn of_connected(connected: bool) -> Self {
        Self { connected: Some(connected), ..Self::default() }
    }

    /// The end of all input.
    fn of_end() -> Self {
        Self { end: true, ..Self::default() }
    }
}

/// A character device. No call waits for the host.
pub trait Chardev {
    /// Takes bytes that the guest sent; [`flush`](Self::flush) hands them to the host. With nobody at the other end they
    /// are lost, as on a wire.
    fn write(&mut self, bytes: &[u8]);

    /// Bytes that the host has not taken yet.
    fn backlog(&self) -> usize;

    /// Hands the host as much of the backlog as it takes now.
    fn flush(&mut self) -> Result<(), ChardevError>;

    /// What becomes writable when the host takes more of the backlog.
    fn outlet(&self) -> Option<BorrowedFd<'_>>;

    /// Reads what has come from the host.
    fn read(&mut self) -> Received;

    /// What becomes ready when something has come.
    fn source(&self) -> Option<PollFd<'_>>;

    /// How long the device can do without being read though nothing becomes ready. Without a source and a timeout nothing
    /// will ever come.
    fn timeout(&self) -> Option<Duration>;

    /// How long the end of a run waits for somebody who takes nothing of the backlog; `None` is for ever, as any program
    /// waits for who reads its output.
    fn farewell(&self) -> Option<Duration> {
        None
    }

    /// Shows the operator a text that is not the guest's.
    fn tell(&mut self, text: &str) {
        self.write(text.as_bytes());
    }
}
