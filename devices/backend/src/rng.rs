//! Sources of random bytes.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

/// Why a source of random bytes cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum RngError {
    /// It has no more bytes.
    #[error("the random bytes of '{}' are used up: it ended after {taken} bytes", path.display())]
    Ended {
        /// The file.
        path: PathBuf,
        /// How many it had.
        taken: u64,
    },
    /// The host did not give any.
    #[error("cannot read random bytes from '{}': {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the host said.
        source: io::Error,
    },
}

/// A source of random bytes.
pub trait Rng {
    /// Fills the beginning of `bytes`, which are not none, without waiting; how many were there, 0 for none yet.
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, RngError>;

    /// What becomes readable when there are more.
    fn source(&self) -> BorrowedFd<'_>;
}

/// A file that yields random bytes, such as `/dev/urandom`.
pub struct RngFile {
    path: PathBuf,
    file: std::fs::File,
    taken: u64,
}

impl RngFile {
    /// Opens `path`.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.into(), file: std::fs::File::open(path)?, taken: 0 })
    }

    fn read_now(&self, bytes: &mut [u8]) -> rustix::io::Result<usize> {
        let mut fds = [PollFd::new(&self.file, PollFlags::IN)];
        if poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))? == 0 {
            return Err(Errno::AGAIN);
        }
        rustix::io::read(&self.file, bytes)
    }
}

impl Rng for RngFile {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, RngError> {
        match self.read_now(bytes) {
            Ok(0) => Err(RngError::Ended { path: self.path.clone(), taken: self.taken }),
            Ok(count) => {
                self.taken += count as u64;
                Ok(count)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            Err(error) => Err(RngError::Read { path: self.path.clone(), source: error.into() }),
        }
    }

    fn source(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_ends_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("random");
        std::fs::write(&path, "abc").unwrap();
        let mut rng = RngFile::open(&path).unwrap();
        let mut bytes = [0; 8];
        assert_eq!((rng.read(&mut bytes).unwrap(), &bytes[..3]), (3, &b"abc"[..]));
        let error = rng.read(&mut bytes).unwrap_err().to_string();
        assert!(error.contains("random' are used up: it ended after 3 bytes"), "{error}");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let error = RngFile::open(Path::new("/")).unwrap().read(&mut [0]).unwrap_err().to_string();
        assert!(error.starts_with("cannot read random bytes from '/': Is a directory"), "{error}");
        assert!(RngFile::open(Path::new("/nowhere/random")).is_err());
    }
}
