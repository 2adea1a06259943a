//! Character devices: where the bytes of a serial port come from and go to.

mod file;
mod keys;
mod null;
mod sink;
mod stdio;

pub use file::File;
pub use keys::{Command, HELP};
pub use null::Null;
pub use stdio::Stdio;

use std::io;
use std::os::fd::BorrowedFd;

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
    /// The host did not take what the guest sent.
    #[error("cannot write to {name}: {source}")]
    Write {
        /// What it is called.
        name: String,
        /// What the host said.
        source: io::Error,
    },
}

/// What came in from the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Bytes for the guest.
    pub bytes: Vec<u8>,
    /// What the operator asked for.
    pub commands: Vec<Command>,
    /// Somebody came to the other end, or left it; happened before the bytes came.
    pub connected: Option<bool>,
    /// Nothing will ever come again.
    pub end: bool,
}

/// A character device. No call waits for the host.
pub trait Chardev {
    /// Takes bytes that the guest sent; [`flush`](Self::flush) hands them to the host.
    fn write(&mut self, bytes: &[u8]);

    /// Bytes that the host has not taken yet.
    fn backlog(&self) -> usize;

    /// Hands the host as much of the backlog as it takes now.
    fn flush(&mut self) -> Result<(), ChardevError>;

    /// What becomes writable when the host takes more of the backlog.
    fn outlet(&self) -> Option<BorrowedFd<'_>>;

    /// Reads what has come from the host.
    fn read(&mut self) -> Received;

    /// What becomes readable when something has come; `None` if nothing will ever come.
    fn source(&self) -> Option<BorrowedFd<'_>>;

    /// Shows the operator a text that is not the guest's.
    fn tell(&mut self, text: &str) {
        self.write(text.as_bytes());
    }
}
