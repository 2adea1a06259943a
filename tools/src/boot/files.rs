//! Where the files come from that a machine boots: from the host, or from a recording.

use reprise_replay::Recording;
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// A source of files.
pub trait Files {
    /// The first bytes of a file, `limit` at most.
    fn read(&mut self, path: &Path, limit: u64) -> io::Result<Cow<'static, [u8]>>;

    /// A file that is part of the program, and its bytes in this build.
    fn built_in(&mut self, name: &str, bytes: &'static [u8]) -> io::Result<Cow<'static, [u8]>>;
}

/// The host's files.
pub struct HostFiles;

impl Files for HostFiles {
    fn read(&mut self, path: &Path, limit: u64) -> io::Result<Cow<'static, [u8]>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(limit).read_to_end(&mut bytes)?;
        Ok(Cow::Owned(bytes))
    }

    fn built_in(&mut self, _name: &str, bytes: &'static [u8]) -> io::Result<Cow<'static, [u8]>> {
        Ok(Cow::Borrowed(bytes))
    }
}

/// The host's files, with a note of each that was read: for a recording.
#[derive(Default)]
pub struct NotedFiles {
    /// Names and contents.
    pub notes: Vec<(String, Cow<'static, [u8]>)>,
}

impl Files for NotedFiles {
    fn read(&mut self, path: &Path, limit: u64) -> io::Result<Cow<'static, [u8]>> {
        let bytes = HostFiles.read(path, limit)?;
        self.notes.push((name_of(path), bytes.clone()));
        Ok(bytes)
    }

    fn built_in(&mut self, name: &str, bytes: &'static [u8]) -> io::Result<Cow<'static, [u8]>> {
        self.notes.push((name.to_owned(), Cow::Borrowed(bytes)));
        Ok(Cow::Borrowed(bytes))
    }
}

/// Files that were read before: another machine boots the same.
pub(crate) struct SameFiles<'a>(pub(crate) &'a NotedFiles);

impl SameFiles<'_> {
    fn find(&self, name: &str) -> io::Result<Cow<'static, [u8]>> {
        let found = self.0.notes.iter().find(|(noted, _)| noted == name);
        found.map(|(_, bytes)| bytes.clone()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Files for SameFiles<'_> {
    fn read(&mut self, path: &Path, _limit: u64) -> io::Result<Cow<'static, [u8]>> {
        self.find(&name_of(path))
    }

    fn built_in(&mut self, name: &str, _bytes: &'static [u8]) -> io::Result<Cow<'static, [u8]>> {
        self.find(name)
    }
}

/// The files of a recording. Nothing on the host is opened, and nothing of this build is used.
pub struct RecordedFiles<'a>(pub &'a mut Recording);

impl Files for RecordedFiles<'_> {
    fn read(&mut self, path: &Path, _limit: u64) -> io::Result<Cow<'static, [u8]>> {
        self.0.file(&name_of(path)).map(Cow::Owned).map_err(io::Error::other)
    }

    fn built_in(&mut self, name: &str, _bytes: &'static [u8]) -> io::Result<Cow<'static, [u8]>> {
        self.0.file(name).map(Cow::Owned).map_err(io::Error::other)
    }
}

/// What a recording calls the file at `path`.
fn name_of(path: &Path) -> String {
    path.display().to_string()
}
