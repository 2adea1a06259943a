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

    fn backlog(&self) -> usize {
        self.chardev.backlog()
    }

    fn flush(&mut self) -> Result<(), ChardevError> {
        self.log.flush().and(self.chardev.flush())
    }

    fn outlet(&self) -> Option<BorrowedFd<'_>> {
        self.chardev.outlet()
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

    fn tell(&mut self, text: &str) {
        self.chardev.tell(text);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Null;
    use super::*;

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
}
