//! What can be wrong with a recording, or with making one.

use super::{FORMAT_VERSION, MAGIC, OLDEST_VERSION};
use reprise_core::backend::DiskId;
use reprise_core::disk::CLUSTER_SIZE;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// The first place at which a recording is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where in the file: the first byte of the frame.
    pub offset: u64,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at offset {:#x}: expected {}, found {}", self.offset, self.expected, self.found)
    }
}

/// Why a recording cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The host does not give the file.
    #[error("cannot read recording '{}': {source}", path.display())]
    Host {
        /// Which file.
        path: PathBuf,
        /// What the host said.
        source: io::Error,
    },
    /// It is no regular file.
    #[error("'{}' is no recording: expected a file, found {found}: name a file that `reprise record` made", path.display())]
    NotAFile {
        /// Which one.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// It does not begin like a recording.
    #[error(
        "'{}' is no recording: expected the magic bytes {} at its start, found {found}: name a file that `reprise record` made",
        path.display(),
        Hex(&MAGIC)
    )]
    NotARecording {
        /// Which file.
        path: PathBuf,
        /// What its first bytes are.
        found: String,
    },
    /// It is of another version of the format.
    #[error(
        "'{}' cannot be read by this build: expected format version {OLDEST_VERSION} to {FORMAT_VERSION}, found {found}: use {}",
        path.display(),
        build.as_deref().map_or_else(|| Self::other_build(*found), |build| format!("the build that made it ({build})"))
    )]
    Version {
        /// Which file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The build that made it, if it can be told.
        build: Option<String>,
    },
    /// It is damaged.
    #[error("recording '{}' is damaged {damage}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where and how.
        damage: Damage,
    },
    /// It has no file of that name.
    #[error("recording '{}' does not hold file '{name}': expected it among its files, found {found}", path.display())]
    NoFile {
        /// Which recording.
        path: PathBuf,
        /// The file looked for.
        name: String,
        /// The files that it has.
        found: String,
    },
}

impl ReadError {
    fn other_build(found: u32) -> String {
        let age = if found > FORMAT_VERSION { "a newer" } else { "an older" };
        format!("{age} build, or record again")
    }
}

/// Why a recording cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The host does not take it.
    #[error("cannot write recording '{}' at offset {offset:#x}: {source}: what is before that can be replayed", path.display())]
    Host {
        /// Which file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What the host said.
        source: io::Error,
    },
    /// The host does not let the file be made.
    #[error("cannot create recording '{}': {source}", path.display())]
    Create {
        /// Which file.
        path: PathBuf,
        /// What the host said.
        source: io::Error,
    },
    /// Nothing can follow an earlier failure.
    #[error("recording '{}' ended at offset {offset:#x} when it could not be written", path.display())]
    Ended {
        /// Which file.
        path: PathBuf,
        /// Where.
        offset: u64,
    },
    /// What is to be copied cannot be read.
    #[error(transparent)]
    Copy {
        /// What is wrong with it.
        source: Box<ReadError>,
    },
    /// An image changed while it was in use.
    #[error(
        "the image of disk {} changed during the run: at offset {:#x}, expected what was read there first, found other \
         contents: let nothing else write to it",
        disk.0, cluster.saturating_mul(CLUSTER_SIZE)
    )]
    ImageChanged {
        /// Which disk.
        disk: DiskId,
        /// Which cluster.
        cluster: u64,
    },
    /// A file changed while it was in use.
    #[error("file '{name}' changed: expected what was read first, found other contents: let nothing else write to it")]
    FileChanged {
        /// Which file.
        name: String,
    },
    /// Something is larger than a recording can hold.
    #[error("{what} is more than a recording can hold: expected at most {limit}, found {found}")]
    TooLarge {
        /// What it is.
        what: String,
        /// Its size.
        found: u64,
        /// The largest possible.
        limit: u64,
    },
}

/// Bytes as people read them.
pub(super) struct Hex<'a>(pub(super) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            write!(f, "{}{byte:02x}", if index == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}
