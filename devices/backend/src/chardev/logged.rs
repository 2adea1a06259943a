//! A character device whose output is in a file, too.

use super::sink::Sink;
use super::{Chardev, ChardevError, Received};
use rustix::event::PollFd;
use std::fs::OpenOptions;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

/// A character device with a log of what the guest sends, whether anybody listens or not.
pub struct Logged {
    chardev: Box<dyn Chardev>,
    log: Sink,
}

impl Logged {
    /// Logs what the guest sends to `chardev` in `path`; a file that is there is emptied unless `append` says otherwise.
    pub fn open(chardev: Box<dyn Chardev>, path: &Path, append: bool) -> Result<Self, ChardevError> {
        let name = format!("'{}'", path.display());
        let mut options = OpenOptions::new();
        let options = if append { options.append(true) } else { options.write(true).truncate(true) };
        match options.create(true).open(path) {
            Ok(file) => Ok(Self { chardev, log: Sink::new(name, file.into()) }),
            Err(source) => Err(ChardevError::Open { name, source }),
        }
    }
}

impl Chardev for Logged {
    fn write(&mut self, bytes: &[u8]) {
        self.log.push(bytes);
        self.chardev.write(bytes);
    }

    /// The guest waits for whoever is slower: a log can be a pipe.
    fn backlog(&self) -> usize {
        self.chardev.backlog().max(self.log.backlog())
    }

    fn flush(&mut self) -> Result<(), ChardevError> {
        self.log.flush().and(self.chardev.flush())
    }

    fn outlet(&self) -> Option<BorrowedFd<'_>> {
        if self.log.backlog() > self.chardev.backlog() { Some(self.log.outlet()) } else { self.chardev.outlet() }
    }

    fn read(&mut self) -> Received {
        self.chardev.read()
    }

    fn source(&self) -> Option<PollFd<'_>> {
        self.chardev.source()
    }

    fn timeout(&self) -> Option<Duration> {
        self.chardev.timeout()
    }

    fn farewell(&self) -> Option<Duration> {
        if self.log.backlog() > 0 { None } else { self.chardev.farewell() }
    }

    fn tell(&mut self, text: &str) {
        self.chardev.tell(text);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Null;
    use super::*;
    use rustix::event::{PollFlags, Timespec, poll};
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use std::io::Read;

    #[test]
    fn a_log_has_what_the_guest_sends_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        for (append, expected) in [(false, "guest"), (true, "guestguest"), (false, "guest")] {
            let mut logged = Logged::open(Box::new(Null), &path, append).unwrap();
            logged.write(b"guest");
            logged.tell("operator");
            logged.flush().unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
        }
        assert!(Logged::open(Box::new(Null), Path::new("/nowhere/log"), false).is_err());
    }

    #[test]
    fn a_log_that_nobody_reads_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        let mut reader = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let mut logged = Logged::open(Box::new(Null), &path, true).unwrap();
        let mut sent = 0;
        while logged.backlog() == 0 {
            logged.write(&[b'x'; 4096]);
            logged.flush().unwrap();
            sent += 4096;
            assert!(sent < 1 << 30, "a pipe takes everything");
        }
        let mut fds = [PollFd::from_borrowed_fd(logged.outlet().unwrap(), PollFlags::OUT)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        assert_eq!(poll(&mut fds, Some(&now)), Ok(0), "the pipe is full");
        let mut read = 0;
        while read < sent {
            read += reader.read(&mut [0; 4096]).unwrap();
            logged.flush().unwrap();
        }
        assert_eq!((read, logged.backlog()), (sent, 0));
    }
}
