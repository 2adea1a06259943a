//! The file under a reader: frames at offsets, each checked when it is read.

use super::bytes::{Bytes, Malformed};
use super::error::Hex;
use super::frame::{HEAD_LIMIT, Head, Kind, Unpacker};
use super::{Damage, FORMAT_VERSION, MAGIC, OLDEST_VERSION, ReadError};
use std::cell::RefCell;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes before the first frame: the magic bytes and the version.
pub(super) const PREAMBLE: u64 = MAGIC.len() as u64 + 4;

/// A recording's file. What is appended to it later is not seen.
pub(super) struct Source {
    file: File,
    path: PathBuf,
    length: u64,
    version: u32,
    unpacker: RefCell<Unpacker>,
}

/// A head and where it is.
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) head: Head,
    /// The bytes of the head.
    bytes: [u8; HEAD_LIMIT],
}

impl Place {
    /// Where the next frame begins.
    pub(super) fn end(&self) -> u64 {
        self.offset + self.head.frame_size()
    }
}

impl Source {
    /// Opens a file that begins like a recording of a version that this build reads.
    pub(super) fn open(path: &Path) -> Result<Self, ReadError> {
        let host = |source| ReadError::Host { path: path.to_owned(), source };
        // Before it is opened: opening a pipe would wait for its writer.
        let kind = fs::metadata(path).map_err(host)?.file_type();
        if !kind.is_file() {
            let found = if kind.is_dir() { "a directory" } else { "a device, pipe or socket" };
            return Err(ReadError::NotAFile { path: path.to_owned(), found });
        }
        let file = File::open(path).map_err(host)?;
        let length = file.metadata().map_err(host)?.len();
        let unpacker = RefCell::new(Unpacker::new().map_err(host)?);
        let mut source = Self { file, path: path.to_owned(), length, version: FORMAT_VERSION, unpacker };
        source.version = source.check_preamble()?;
        Ok(source)
    }

    /// The version of the format, which this build can read.
    fn check_preamble(&self) -> Result<u32, ReadError> {
        let mut bytes = [0; PREAMBLE as usize];
        let preamble = &mut bytes[..self.length.min(PREAMBLE) as usize];
        self.read(0, preamble)?;
        let magic = &preamble[..preamble.len().min(MAGIC.len())];
        if magic.is_empty() || !MAGIC.starts_with(magic) {
            return Err(ReadError::NotARecording { path: self.path.clone(), found: describe(magic) });
        }
        let Some(version) = preamble.get(MAGIC.len()..).and_then(|version| version.try_into().ok()) else {
            let found = format!("{} bytes to the end of the file", self.length);
            return Err(self.damaged(0, Malformed::new(format!("{PREAMBLE} bytes of magic and version"), found)));
        };
        match u32::from_le_bytes(version) {
            known @ OLDEST_VERSION..=FORMAT_VERSION => Ok(known),
            found => Err(ReadError::Version { path: self.path.clone(), found, build: self.build() }),
        }
    }

    /// The version of the format.
    pub(super) fn version(&self) -> u32 {
        self.version
    }

    /// The build that made the recording. Every version of the format has it at the same place.
    fn build(&self) -> Option<String> {
        let (_, payload) = self.frame(PREAMBLE, Kind::Header).ok()?;
        Bytes::new(&payload).text("build").ok()
    }

    /// Bytes of the file when it was opened.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The error that the frame at `offset` is not what the format says.
    pub(super) fn damaged(&self, offset: u64, Malformed { expected, found }: Malformed) -> ReadError {
        ReadError::Damaged { path: self.path.clone(), damage: Damage { offset, expected, found } }
    }

    pub(super) fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), ReadError> {
        match self.file.read_exact_at(out, offset) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                let expected = format!("{} bytes, as when it was opened", out.len());
                Err(self.damaged(offset, Malformed::new(expected, "a file that became shorter")))
            }
            Err(source) => Err(ReadError::Host { path: self.path.clone(), source }),
        }
    }

    /// The head of the frame at `offset`, whose payload is in the file.
    pub(super) fn place(&self, offset: u64) -> Result<Place, ReadError> {
        let left = self.length.saturating_sub(offset);
        let mut bytes = [0; HEAD_LIMIT];
        let there = &mut bytes[..left.min(HEAD_LIMIT as u64) as usize];
        if there.is_empty() {
            return Err(self.damaged(offset, Malformed::new("a frame", "the end of the file")));
        }
        self.read(offset, there)?;
        let head = Head::decode(there).map_err(|malformed| self.damaged(offset, malformed))?;
        if head.frame_size() > left {
            let expected = format!("{} bytes of the {} frame", head.frame_size(), head.kind.name());
            return Err(self.damaged(offset, Malformed::new(expected, format!("{left} to the end of the file"))));
        }
        Ok(Place { offset, head, bytes })
    }

    /// The payload as it is stored, which the checksum confirms.
    fn stored(&self, place: &Place) -> Result<Vec<u8>, ReadError> {
        let mut stored = vec![0; place.head.stored];
        self.read(place.offset + place.head.size as u64, &mut stored)?;
        place.head.check(&place.bytes, &stored).map_err(|malformed| self.damaged(place.offset, malformed))?;
        Ok(stored)
    }

    /// Whether the checksum confirms the payload.
    pub(super) fn check(&self, place: &Place) -> Result<(), ReadError> {
        self.stored(place).map(|_| ())
    }

    /// The payload of a frame.
    pub(super) fn payload(&self, place: &Place) -> Result<Vec<u8>, ReadError> {
        let stored = self.stored(place)?;
        let payload = self.unpacker.borrow_mut().unpack(&place.head, stored);
        payload.map_err(|malformed| self.damaged(place.offset, malformed))
    }

    /// The payload of the frame at `offset`, which must be of `kind`.
    pub(super) fn frame(&self, offset: u64, kind: Kind) -> Result<(Place, Vec<u8>), ReadError> {
        let place = self.place(offset)?;
        if place.head.kind != kind {
            let (expected, found) = (kind.name(), place.head.kind.name());
            let malformed = Malformed::new(format!("a frame of kind '{expected}'"), format!("one of kind '{found}'"));
            return Err(self.damaged(offset, malformed));
        }
        let payload = self.payload(&place)?;
        Ok((place, payload))
    }
}

/// What a file is that begins with `bytes`.
fn describe(bytes: &[u8]) -> String {
    let known: [(&[u8], &str); 6] = [
        (b"\x1f\x8b", "a gzip file"),
        (b"\x28\xb5\x2f\xfd", "a zstd file"),
        (b"\xfd7zXZ", "an xz file"),
        (b"\x7fELF", "an ELF file"),
        (b"QFI\xfb", "a qcow2 image"),
        (b"PK\x03\x04", "a zip file"),
    ];
    if bytes.is_empty() {
        return "an empty file".to_owned();
    }
    match known.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        Some((_, name)) => format!("{name} ({})", Hex(bytes)),
        None if bytes.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) => {
            format!("text ({:?})", String::from_utf8_lossy(bytes))
        }
        None => Hex(bytes).to_string(),
    }
}
