//! The recording file: append-only, checksummed frame by frame, readable as far as it is whole. `FORMAT.md` beside this
//! crate's `Cargo.toml` gives it byte by byte.
//!
//! [`Writer`] makes one, [`Recording`] reads one. Everything in a recording is untrusted: each size is held against what is
//! left of the file and against the limit of its kind before memory is taken for it, and names are text, never paths.

mod batch;
mod bytes;
mod checkpoint;
mod error;
mod events;
mod frame;
mod index;
mod pages;
mod reader;
mod scan;
mod source;
mod stored;
mod storing;
mod writer;

pub use checkpoint::STORED_PAGE;
pub(crate) use checkpoint::{FRAME_PAGES, Stored};
pub use error::{Damage, ReadError, WriteError};
pub use events::Events;
pub use index::Sizes;
pub use pages::PageId;
pub use reader::Recording;
pub use storing::{NewCheckpoint, NewDisk};
pub use writer::Writer;

use reprise_core::clock::Tick;
use reprise_core::door::HostInput;
use reprise_core::machine::{Digest, Fingerprint};

/// The version of the format that this build writes.
pub const FORMAT_VERSION: u32 = 2;

/// The oldest version that this build reads: what it has means the same in the later ones.
pub const OLDEST_VERSION: u32 = 1;

/// Ticks between two digests: the k-th is taken at the k-th multiple.
pub const DIGEST_INTERVAL: Tick = 10_000_000;

/// The first bytes of every recording. The first one is no ASCII and the line ends differ, so that a transfer that
/// changes either is seen.
pub const MAGIC: [u8; 8] = *b"\x89RPR\r\n\x1a\n";

/// What is known before the run begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The build that made the recording, for people.
    pub build: String,
    /// The machine's configuration, as JSON.
    pub config: String,
}

/// What happened at a tick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A fact from the host: an arrival, or an answer that is not a cluster of an image.
    Input(HostInput),
    /// A digest of the machine's state.
    Digest(Digest),
    /// The run ended; nothing follows.
    End(Ended),
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Why, in a word for programs: `off`, `reset`, `quit`, ...
    pub reason: String,
    /// The status that the guest gave.
    pub status: u8,
    /// Instructions retired.
    pub icount: u64,
    /// Of the last state.
    pub fingerprint: Fingerprint,
}
