//! What the guests of the benchmark do.

use crate::debian::{self, Suite};
use crate::guests;
use std::path::PathBuf;

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

impl Work {
    /// The kernel.
    pub fn kernel(self) -> PathBuf {
        self.suite().map_or_else(|| PathBuf::from(guests::COMPUTE), debian::kernel)
    }

    /// The initial RAM disk, if it has one.
    pub fn initrd(self) -> Option<PathBuf> {
        self.suite().map(|_| debian::initramfs())
    }
}
