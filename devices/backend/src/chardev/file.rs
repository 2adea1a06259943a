//! A file that receives what the guest sends. Nothing comes in from it.

use super::sink::Sink;
use super::{Chardev, ChardevError, Received};
use std::os::fd::BorrowedFd;
use std::path::Path;

/// A file as a character device.
pub struct File {
    sink: Sink,
}

impl File {
    /// Opens `path` for writing: a file that is there is emptied.
    pub fn create(path: &Path) -> Result<Self, ChardevError> {
        let name = format!("'{}'", path.display());
        match std::fs::File::create(path) {
            Ok(file) => Ok(Self { sink: Sink::new(name, file.into()) }),
            Err(source) => Err(ChardevError::Open { name, source }),
        }
    }
}

impl Chardev for File {
    fn write(&mut self, bytes: &[u8]) {
        self.sink.push(bytes);
    }

    fn backlog(&self) -> usize {
        self.sink.backlog()
    }

    fn flush(&mut self) -> Result<(), ChardevError> {
        self.sink.flush()
    }

    fn outlet(&self) -> Option<BorrowedFd<'_>> {
        Some(self.sink.outlet())
    }

    fn read(&mut self) -> Received {
        Received { end: true, ..Received::default() }
    }

    fn source(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(file: &mut File, bytes: &[u8]) -> Result<(), ChardevError> {
        file.write(bytes);
        file.flush()
    }

    #[test]
    fn what_the_guest_sends_is_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("serial.log");
        std::fs::write(&path, "old").unwrap();
        let mut file = File::create(&path).unwrap();
        let text = [b'x'; 5000];
        send(&mut file, &text).unwrap();
        assert_eq!((std::fs::read(&path).unwrap().as_slice(), file.backlog()), (&text[..], 0));
    }

    #[test]
    fn a_full_disk_is_an_error_that_names_the_file() {
        let mut file = File::create(Path::new("/dev/full")).unwrap();
        let error = send(&mut file, b"x").unwrap_err().to_string();
        assert!(error.starts_with("cannot write to '/dev/full': No space left on device"), "{error}");
    }

    #[test]
    fn a_file_that_cannot_be_made_is_named() {
        let error = File::create(Path::new("/nowhere/log")).err().unwrap().to_string();
        assert!(error.starts_with("cannot open '/nowhere/log': No such file"), "{error}");
    }
}
