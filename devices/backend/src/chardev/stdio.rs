//! Standard input and output, with or without the operator's keys.

use super::keys::{Key, Keys};
use super::sink::Sink;
use super::{Chardev, ChardevError, Received};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Bytes read at once.
const CHUNK: usize = 1024;

/// A pair of file descriptors as a character device.
pub struct Stdio {
    /// `None` once it has ended.
    input: Option<OwnedFd>,
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
        Self { input: Some(input), output: Sink::new("standard output".into(), output), keys: keys.then(Keys::default) }
    }

    fn sort(&mut self, bytes: &[u8]) -> Received {
        let Some(keys) = &mut self.keys else {
            return Received { bytes: bytes.to_vec(), ..Received::default() };
        };
        let mut received = Received::default();
        for &byte in bytes {
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
        let Some(input) = &self.input else { return Received { end: true, ..Received::default() } };
        let mut buffer = [0; CHUNK];
        match read_now(input.as_fd(), &mut buffer) {
            Ok(Some(0)) | Err(_) => {
                // An error (a hang-up, say) is the end just the same: the guest gets no more input.
                self.input = None;
                Received { end: true, ..Received::default() }
            }
            Ok(Some(count)) => self.sort(&buffer[..count]),
            Ok(None) => Received::default(),
        }
    }

    fn source(&self) -> Option<BorrowedFd<'_>> {
        self.input.as_ref().map(|input| input.as_fd())
    }
}

/// Reads what has come; `None` if nothing has, 0 at the end.
fn read_now(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    use rustix::io::Errno;
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    match poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
        Ok(0) | Err(Errno::INTR) => return Ok(None),
        Ok(_) => {}
        Err(error) => return Err(error.into()),
    }
    match rustix::io::read(fd, buffer) {
        Ok(count) => Ok(Some(count)),
        Err(Errno::INTR | Errno::AGAIN) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
