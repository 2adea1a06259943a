//! Names of what serves the machine from the host.
//!
//! A back end is known here only by its place in the configuration; what it is, only the host's side knows.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A character device: bytes in and out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChardevId(pub u16);

/// A disk image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DiskId(pub u16);

/// A network: Ethernet frames in and out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NetdevId(pub u16);

/// A source of random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RngId(pub u16);

/// A kind of back end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum BackendKind {
    /// [`ChardevId`].
    Chardev,
    /// [`DiskId`].
    Disk,
    /// [`NetdevId`].
    Netdev,
    /// [`RngId`].
    Rng,
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chardev => "character device",
            Self::Disk => "drive",
            Self::Netdev => "network back end",
            Self::Rng => "source of random numbers",
        })
    }
}
