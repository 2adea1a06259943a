//! Disk images: the bytes that a disk has before the guest writes to it.
//!
//! A run only reads its images. What the guest wrote is in the machine's overlay; [`Writer`] writes it back after the run, if
//! the user wants that.
//!
//! Formats are raw and qcow2 (versions 2 and 3, with backing chains, compressed and zero clusters). Not read: encrypted
//! images, zstd compression, subclusters, external data files.

mod commit;
mod header;
mod lock;
mod open;
mod refcounts;

pub use commit::{CommitError, Writer};
pub use open::open;

use std::path::PathBuf;

/// A disk image. The machine reads it and never writes to it while it runs.
pub trait Image {
    /// Bytes, a multiple of 512: what is left of an image's last sector reads as zeros.
    fn size(&self) -> u64;

    /// Fills `data` with what is at `offset`; past the end there are zeros.
    fn read(&mut self, offset: u64, data: &mut [u8]) -> Result<(), ImageError>;
}

/// How the bytes of a disk lie in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// As they are.
    Raw,
    /// QEMU's own.
    Qcow2,
}

impl Format {
    /// All formats, by QEMU's names.
    pub const ALL: [(&str, Self); 2] = [("raw", Self::Raw), ("qcow2", Self::Qcow2)];

    /// The format that QEMU calls `name`.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, format)| *format)
    }
}

/// Whether other programs are kept from changing an image, and told not to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locking {
    /// If the file's system can.
    Auto,
    /// Or else the image is refused.
    On,
    /// Not at all.
    Off,
}

/// What an image lies on where it has nothing itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backing {
    /// On what it says itself.
    Own,
    /// On zeros.
    Nothing,
    /// On this image.
    Other(Box<ImageSpec>),
}

/// What to open, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSpec {
    /// The file.
    pub path: PathBuf,
    /// Its format; by its contents if not said.
    pub format: Option<Format>,
    /// Whether something will be written back to it.
    pub writable: bool,
    /// Whether others may write to it meanwhile.
    pub share_writes: bool,
    /// Whether others are kept out.
    pub locking: Locking,
    /// What it lies on.
    pub backing: Backing,
}

/// An image that is open.
pub struct OpenImage {
    /// To read from.
    pub image: Box<dyn Image>,
    /// To write back to, if that was wanted.
    pub writer: Option<Writer>,
}

/// Why an image cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("disk image '{}': {reason}", path.display())]
pub struct ImageError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

#[cfg(test)]
mod tests;
