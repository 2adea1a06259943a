//! Which back ends can be recorded: those of which every byte that reaches the guest comes by the door. A back end that is
//! not declared here does not compile; one that cannot be recorded is refused by `reprise record` before anything starts.

use crate::cli::values::{BackendOptions, ChardevBackend, DriveBackend, NetdevBackend, RngBackend};

/// A back end whose input is written down, or the reason why it cannot be.
pub trait Recordable {
    /// `Err` with the reason.
    fn recordable(&self) -> Result<(), &'static str>;
}

impl Recordable for ChardevBackend {
    fn recordable(&self) -> Result<(), &'static str> {
        match self {
            // Bytes and their ticks.
            Self::Stdio { keys: _, signals: _ } | Self::File { path: _, append: _, input: Some(_) } | Self::Pipe(_) => {
                Ok(())
            }
            // The same, and who comes and goes.
            Self::Pty { link: _ } | Self::Socket(_) => Ok(()),
            // Nothing comes in.
            Self::Null | Self::File { path: _, append: _, input: None } => Ok(()),
        }
    }
}

impl Recordable for DriveBackend {
    fn recordable(&self) -> Result<(), &'static str> {
        // Each cluster, as it was first read.
        let Self { image: _, read_only: _, keep: _ } = self;
        if self.share_rw() {
            return Err("share-rw=on lets others change the image under the recording: leave it out");
        }
        Ok(())
    }
}

impl Recordable for NetdevBackend {
    fn recordable(&self) -> Result<(), &'static str> {
        match self {
            // Frames and their ticks.
            Self::User(_) | Self::Tap(_) | Self::Stream(_) | Self::Dgram(_) => Ok(()),
        }
    }
}

impl Recordable for RngBackend {
    fn recordable(&self) -> Result<(), &'static str> {
        // The bytes.
        let Self { path: _ } = self;
        Ok(())
    }
}

/// The first back end that cannot be recorded, and why.
pub fn unrecordable(backends: &BackendOptions) -> Option<(String, &'static str)> {
    // Nothing comes in from a file of frames.
    let BackendOptions { chardevs, drives, netdevs, rngs, dumps: _ } = backends;
    let chardevs = refused("character device", chardevs.backends());
    let rest = || {
        let drives = refused("disk", drives.backends());
        drives
            .or_else(|| refused("network", netdevs.backends()))
            .or_else(|| refused("source of random numbers", rngs.backends()))
    };
    chardevs.or_else(rest)
}

fn refused<T: Recordable>(kind: &str, backends: &[T]) -> Option<(String, &'static str)> {
    let mut all = backends.iter().enumerate();
    all.find_map(|(number, backend)| Some((format!("{kind} {number}"), backend.recordable().err()?)))
}
