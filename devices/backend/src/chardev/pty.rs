//! A pseudo-terminal: whoever opens its user side is at the other end.

use super::inlet::{Inflow, read_now};
use super::sink::Sink;
use super::{Chardev, ChardevError, FAREWELL, Received};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use std::fs::{read_link, remove_file};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often to look whether somebody opened the user side: nothing becomes ready then.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// A pseudo-terminal as a character device.
pub struct Pty {
    /// The controlling side, which is also the sink's.
    fd: OwnedFd,
    sink: Sink,
    /// Path of the user side.
    user: String,
    /// A symbolic link to it.
    link: Option<PathBuf>,
    is_open: bool,
    /// What was reported of that last.
    told: bool,
}

impl Pty {
    /// A new pseudo-terminal, in raw mode; with `link`, that is made a symbolic link to its user side.
    pub fn open(link: Option<&Path>) -> Result<Self, ChardevError> {
        let failed = |source| ChardevError::Open { name: "a pseudo-terminal".into(), source };
        let (fd, user) = open_pair().map_err(|error| failed(error.into()))?;
        let sink = fd.try_clone().map_err(failed)?;
        let mut pty = Self { fd, sink: Sink::new(user.clone(), sink), user, link: None, is_open: false, told: true };
        if let Some(link) = link {
            let name = format!("'{}'", link.display());
            symlink(&pty.user, link).map_err(|source| ChardevError::Open { name, source })?;
            pty.link = Some(link.into());
        }
        Ok(pty)
    }

    /// The path of its user side.
    pub fn user_side(&self) -> &str {
        &self.user
    }

    /// Looks whether somebody has the user side open.
    fn look(&mut self) {
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        let _ = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
        // With something to read, somebody was there, who may have left already: reading will show it.
        let found = fds[0].revents();
        self.is_open = found.contains(PollFlags::IN) || !found.contains(PollFlags::HUP);
    }

    fn read_bytes(&mut self) -> Vec<u8> {
        match read_now(self.fd.as_fd()) {
            Inflow::Nothing => Vec::new(),
            Inflow::Bytes(bytes) => bytes,
            Inflow::End => {
                self.is_open = false;
                Vec::new()
            }
        }
    }
}

/// The controlling side, and the path of the user side, which is in raw mode and was closed again.
fn open_pair() -> rustix::io::Result<(OwnedFd, String)> {
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&controller)?;
    unlockpt(&controller)?;
    let name = ptsname(&controller, Vec::new())?;
    let user = rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
    let mut settings = tcgetattr(&user)?;
    settings.make_raw();
    tcsetattr(&user, OptionalActions::Now, &settings)?;
    Ok((controller, name.to_string_lossy().into_owned()))
}

impl Chardev for Pty {
    fn write(&mut self, bytes: &[u8]) {
        if self.is_open {
            self.sink.push(bytes);
        }
    }

    fn backlog(&self) -> usize {
        self.sink.backlog()
    }

    fn flush(&mut self) -> Result<(), ChardevError> {
        if self.sink.backlog() > 0 {
            self.look();
        }
        if !self.is_open || self.sink.flush().is_err() {
            self.sink.clear();
        }
        Ok(())
    }

    fn outlet(&self) -> Option<BorrowedFd<'_>> {
        Some(self.sink.outlet())
    }

    fn read(&mut self) -> Received {
        if !self.is_open {
            self.look();
        }
        let bytes = if self.is_open && self.told { self.read_bytes() } else { Vec::new() };
        let was_told = std::mem::replace(&mut self.told, self.is_open);
        let connected = (was_told != self.is_open).then_some(self.is_open);
        Received { bytes, connected, ..Received::default() }
    }

    fn source(&self) -> Option<PollFd<'_>> {
        self.is_open.then(|| PollFd::new(&self.fd, PollFlags::IN))
    }

    fn timeout(&self) -> Option<Duration> {
        (!self.is_open).then_some(LOOK_INTERVAL)
    }

    fn farewell(&self) -> Option<Duration> {
        Some(FAREWELL)
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        if let Some(link) = &self.link
            && read_link(link).is_ok_and(|target| target == Path::new(&self.user))
        {
            // There is nobody to tell if it cannot be removed.
            let _: io::Result<()> = remove_file(link);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{File, OpenOptions};
    use std::io::{Read, Write};

    fn user_of(pty: &Pty) -> File {
        OpenOptions::new().read(true).write(true).open(pty.user_side()).unwrap()
    }

    fn send(pty: &mut Pty, bytes: &[u8]) {
        pty.write(bytes);
        pty.flush().unwrap();
    }

    #[test]
    fn users_come_and_go() {
        let mut pty = Pty::open(None).unwrap();
        assert_eq!(pty.read(), Received::of_connected(false));
        for round in 0..3 {
            assert!(pty.source().is_none() && pty.timeout().is_some());
            assert_eq!(pty.read(), Received::default());
            send(&mut pty, b"into the void");
            let mut user = user_of(&pty);
            assert_eq!(pty.read(), Received::of_connected(true), "round {round}");
            assert!(pty.source().is_some() && pty.timeout().is_none());
            send(&mut pty, b"\r\n\x03");
            let mut bytes = [0; 9];
            assert_eq!(user.read(&mut bytes).unwrap(), 3);
            assert_eq!(&bytes[..3], b"\r\n\x03");
            user.write_all(b"\r\x03\x11").unwrap();
            assert_eq!(pty.read(), Received::of_bytes(b"\r\x03\x11".to_vec()));
            drop(user);
            assert_eq!(pty.read(), Received::of_connected(false));
        }
    }

    #[test]
    fn what_a_user_wrote_who_left_at_once_is_not_lost() {
        let mut pty = Pty::open(None).unwrap();
        pty.read();
        user_of(&pty).write_all(b"note").unwrap();
        assert_eq!(pty.read(), Received::of_connected(true));
        assert_eq!(pty.read(), Received::of_bytes(b"note".to_vec()));
        assert_eq!(pty.read(), Received::of_connected(false));
    }

    #[test]
    fn a_user_who_leaves_unread_output_behind_stalls_nobody() {
        let mut pty = Pty::open(None).unwrap();
        let user = user_of(&pty);
        pty.read();
        send(&mut pty, &[b'x'; 100_000]);
        assert!(pty.backlog() > 0);
        drop(user);
        // A process that another test is about to start has the user's side, too, until it executes its program.
        let left = (0..1000).any(|_| {
            std::thread::sleep(Duration::from_millis(1));
            pty.flush().unwrap();
            pty.backlog() == 0
        });
        assert!(left, "{} bytes are still to be sent", pty.backlog());
    }

    #[test]
    fn a_link_leads_to_the_user_side_as_long_as_the_terminal_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("console");
        let pty = Pty::open(Some(&link)).unwrap();
        assert_eq!(read_link(&link).unwrap().to_str(), Some(pty.user_side()));
        let error = Pty::open(Some(&link)).err().unwrap().to_string();
        assert!(error.starts_with("cannot open '") && error.contains("console': File exists"), "{error}");
        drop(pty);
        assert!(!link.is_symlink());
    }
}
