//! A file that receives what the guest sends, and perhaps another whose bytes the guest gets; or a pair of pipes.

use super::inlet::{Inflow, Inlet};
use super::sink::Sink;
use super::{Chardev, ChardevError, Received};
use rustix::event::PollFd;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Files as a character device.
pub struct File {
    input: Inlet,
    sink: Sink,
}

impl File {
    /// Opens `path` for writing; a file that is there is emptied unless `append` says otherwise.
    pub fn create(path: &Path, append: bool) -> Result<Self, ChardevError> {
        let mut options = OpenOptions::new();
        let options = if append { options.append(true) } else { options.write(true).truncate(true) };
        Ok(Self { input: Inlet::new(None), sink: Sink::new(quoted(path), open(path, options.create(true))?) })
    }

    /// The guest gets what is in `path`.
    pub fn with_input(self, path: &Path) -> Result<Self, ChardevError> {
        Ok(Self { input: Inlet::new(Some(open(path, OpenOptions::new().read(true))?)), ..self })
    }

    /// The pipes `path`.in and `path`.out, or else the one pipe `path`. None of them ends when its other end is closed.
    pub fn pipe(path: &Path) -> Result<Self, ChardevError> {
        let open = |path: &Path| open(path, OpenOptions::new().read(true).write(true));
        let (input_path, output_path) = (with_ending(path, ".in"), with_ending(path, ".out"));
        if input_path.exists() && output_path.exists() {
            let output = Sink::new(quoted(&output_path), open(&output_path)?);
            return Ok(Self { input: Inlet::new(Some(open(&input_path)?)), sink: output });
        }
        let both = open(path)?;
        let input = both.try_clone().map_err(|source| ChardevError::Open { name: quoted(path), source })?;
        Ok(Self { input: Inlet::new(Some(input)), sink: Sink::new(quoted(path), both) })
    }
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.display())
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn open(path: &Path, options: &OpenOptions) -> Result<OwnedFd, ChardevError> {
    let opened: io::Result<std::fs::File> = options.open(path);
    opened.map(Into::into).map_err(|source| ChardevError::Open { name: quoted(path), source })
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
        match self.input.read() {
            Inflow::Nothing => Received::default(),
            Inflow::Bytes(bytes) => Received::of_bytes(bytes),
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
        let mut file = File::create(&path, false).unwrap();
        let text = [b'x'; 5000];
        send(&mut file, &text).unwrap();
        assert_eq!((std::fs::read(&path).unwrap().as_slice(), file.backlog()), (&text[..], 0));
    }

    #[test]
    fn a_full_disk_is_an_error_that_names_the_file() {
        let mut file = File::create(Path::new("/dev/full"), false).unwrap();
        let error = send(&mut file, b"x").unwrap_err().to_string();
        assert!(error.starts_with("cannot write to '/dev/full': No space left on device"), "{error}");
    }

    #[test]
    fn a_file_that_cannot_be_made_is_named() {
        let error = File::create(Path::new("/nowhere/log"), false).err().unwrap().to_string();
        assert!(error.starts_with("cannot open '/nowhere/log': No such file"), "{error}");
    }

    #[test]
    fn a_log_may_grow_over_many_runs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("serial.log");
        for text in ["one ", "two "] {
            send(&mut File::create(&path, true).unwrap(), text.as_bytes()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one two ");
    }

    #[test]
    fn the_guest_gets_what_is_in_a_file_and_then_nothing_more() {
        let folder = tempfile::tempdir().unwrap();
        let (input, output) = (folder.path().join("input"), folder.path().join("output"));
        std::fs::write(&input, "typed").unwrap();
        let mut file = File::create(&output, false).unwrap().with_input(&input).unwrap();
        assert!(file.source().is_some());
        assert_eq!(file.read(), Received::of_bytes(b"typed".to_vec()));
        assert_eq!(file.read(), Received::of_end());
        assert!(file.source().is_none());
        let error = file.with_input(Path::new("/nowhere/input")).err().unwrap().to_string();
        assert!(error.starts_with("cannot open '/nowhere/input': No such file"), "{error}");
    }

    #[test]
    fn a_pipe_stays_though_its_other_end_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        assert!(File::pipe(&path).err().unwrap().to_string().contains("pipe': No such file"));
        for ending in [".in", ".out"] {
            let fifo = rustix::fs::FileType::Fifo;
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            rustix::fs::mknodat(rustix::fs::CWD, with_ending(&path, ending), fifo, mode, 0).unwrap();
        }
        let mut pipe = File::pipe(&path).unwrap();
        for text in ["a", "b"] {
            std::fs::write(with_ending(&path, ".in"), text).unwrap();
            assert_eq!(pipe.read(), Received::of_bytes(text.as_bytes().to_vec()));
            assert_eq!(pipe.read(), Received::default());
        }
        let mut far = OpenOptions::new().read(true).write(true).open(with_ending(&path, ".out")).unwrap();
        send(&mut pipe, b"out").unwrap();
        let mut bytes = [0; 3];
        io::Read::read_exact(&mut far, &mut bytes).unwrap();
        assert_eq!(&bytes, b"out");
    }
}
