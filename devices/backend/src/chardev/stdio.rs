//! Standard input and output, with or without the operator's keys.

use super::inlet::{Inflow, Inlet};
use super::keys::{Key, Keys};
use super::sink::Sink;
use super::{Chardev, ChardevError, Received};
use rustix::event::PollFd;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// A pair of file descriptors as a character device.
pub struct Stdio {
    input: Inlet,
    output: Sink,
    keys: Option<Keys>,
}

impl Stdio {
    /// The process's standard input and output; with `keys`, Ctrl-A begins a command.
    pub fn open(keys: bool) -> Result<Self, ChardevError> {
        let failed = |name: &str, source| ChardevError::Open { name: name.into(), source };
        let input = io::stdin().as_fd().try_clone_to_owned().map_err(|error| failed("standard input", error))?;
        let output = io::stdout().as_fd().try_clone_to_owned().map_err(|error| failed("standard output", error))?;
        Ok(Self::new(input, output, keys))
    }

    /// A character device of `input` and `output`.
    pub fn new(input: OwnedFd, output: OwnedFd, keys: bool) -> Self {
        Self {
            input: Inlet::new(Some(input)),
            output: Sink::new("standard output".into(), output),
            keys: keys.then(Keys::default),
        }
    }

    fn sort(&mut self, bytes: Vec<u8>) -> Received {
        let Some(keys) = &mut self.keys else { return Received::of_bytes(bytes) };
        let mut received = Received::default();
        for byte in bytes {
            match keys.take(byte) {
                Key::Byte(byte) => received.bytes.push(byte),
                Key::Command(command) => received.commands.push(command),
                Key::Nothing => {}
            }
        }
        received
    }
}

impl Chardev for Stdio {
    fn write(&mut self, bytes: &[u8]) {
        self.output.push(bytes);
    }

    fn backlog(&self) -> usize {
        self.output.backlog()
    }

    fn flush(&mut self) -> Result<(), ChardevError> {
        self.output.flush()
    }

    fn outlet(&self) -> Option<BorrowedFd<'_>> {
        Some(self.output.outlet())
    }

    fn read(&mut self) -> Received {
        match self.input.read() {
            Inflow::Nothing => Received::default(),
            Inflow::Bytes(bytes) => self.sort(bytes),
            Inflow::End => Received::of_end(),
        }
    }

    fn source(&self) -> Option<PollFd<'_>> {
        self.input.source()
    }

    fn timeout(&self) -> Option<Duration> {
        None
    }
}
