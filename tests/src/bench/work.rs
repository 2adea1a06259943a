//! What the guests of the benchmark do.

use crate::debian::{self, Suite};
use crate::guests;
use anyhow::Context;
use std::io::Write;
use std::path::PathBuf;
use tempfile::NamedTempFile;

/// One thing that a guest does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Debian boots to its first process, and powers off.
    Boot(Suite),
    /// The release's Debian boots, does the work of the boot tests (hashing, packing, processes, arithmetic), and powers
    /// off.
    Programs,
    /// The guest of our own computes; the name is a word of its command line.
    Compute(&'static str),
}

impl Work {
    /// All there is, in the order in which it is done.
    pub const ALL: [Self; 7] = [
        Self::Boot(Suite::Stable),
        Self::Boot(Suite::Backports),
        Self::Programs,
        Self::Compute("hash"),
        Self::Compute("sort"),
        Self::Compute("calls"),
        Self::Compute("float"),
    ];

    /// What the report and the command line call it.
    pub fn name(self) -> String {
        match self {
            Self::Boot(suite) => format!("boot-{}", suite.name()),
            Self::Programs => "programs".to_owned(),
            Self::Compute(name) => name.to_owned(),
        }
    }

    /// The work called `name`.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|work| work.name() == name)
    }

    /// Debian's kernel, for those works that boot it.
    pub const fn suite(self) -> Option<Suite> {
        match self {
            Self::Boot(suite) => Some(suite),
            Self::Programs => Some(Suite::Stable),
            Self::Compute(_) => None,
        }
    }

    /// The kernel's command line.
    pub fn command_line(self) -> &'static str {
        match self {
            Self::Boot(_) => "console=ttyS0 reprise.nowork",
            Self::Programs => "console=ttyS0",
            Self::Compute(name) => name,
        }
    }

    /// The exit status after success: power-off, or `isa-debug-exit` with 0.
    pub const fn status(self) -> i32 {
        match self {
            Self::Boot(_) | Self::Programs => 0,
            Self::Compute(_) => 1,
        }
    }

    /// The line that says that the guest is ready: Debian's kernel has started its first process.
    pub const fn ready_line(self) -> &'static str {
        match self {
            Self::Boot(_) | Self::Programs => "guest: init",
            Self::Compute(_) => "compute: ",
        }
    }

    /// What the last line says after success.
    pub fn done_line(self) -> String {
        match self {
            Self::Boot(_) | Self::Programs => "guest: work done".to_owned(),
            Self::Compute(name) => format!("compute: {name}: "),
        }
    }
}

/// Files that guests are started from.
pub struct Guests {
    compute: NamedTempFile,
}

impl Guests {
    /// Unpacks the guest of our own; Debian's are fetched when they are asked for.
    pub fn gather() -> anyhow::Result<Self> {
        let mut compute = NamedTempFile::new().context("cannot create a file for the guest that computes")?;
        compute.write_all(guests::COMPUTE).context("cannot write the guest that computes")?;
        Ok(Self { compute })
    }

    /// The kernel of `work`.
    pub fn kernel(&self, work: Work) -> PathBuf {
        work.suite().map_or_else(|| self.compute.path().to_owned(), debian::kernel)
    }

    /// The initial RAM disk of `work`, if it has one.
    pub fn initrd(&self, work: Work) -> Option<PathBuf> {
        work.suite().map(|_| debian::initramfs())
    }
}
