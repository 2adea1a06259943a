//! Why a machine cannot boot what the user named.

use reprise_core::property::PropertyError;
use std::io;

/// Why a machine cannot boot what the user named.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// A file cannot be read.
    #[error("cannot read {what} '{file}': {source}")]
    Read {
        /// What it is for.
        what: &'static str,
        /// Its name.
        file: String,
        /// What the host said.
        source: io::Error,
    },
    /// A file is larger than the machine's RAM.
    #[error("{what} '{file}' does not fit into the machine's {} of RAM: use a larger -m", Bytes(*.ram))]
    LargerThanRam {
        /// What it is for.
        what: &'static str,
        /// Its name.
        file: String,
        /// Bytes of RAM.
        ram: u64,
    },
    /// The file is of no format that can be booted.
    #[error(
        "'{file}' is not a kernel: it is no multiboot image, no ELF image with a PVH entry point, and no Linux bzImage"
    )]
    NotAKernel {
        /// Its name.
        file: String,
    },
    /// An ELF file cannot be booted.
    #[error(
        "'{file}' is an ELF image without a PVH entry point (for Linux: build it with CONFIG_PVH, or use the bzImage)"
    )]
    NoPvhEntry {
        /// Its name.
        file: String,
    },
    /// A file ends before what its headers promise.
    #[error("'{file}' is truncated: {part} needs {needed:#x} bytes, the file has {found:#x}")]
    Truncated {
        /// Its name.
        file: String,
        /// What is missing.
        part: &'static str,
        /// Bytes of the whole file, at least.
        needed: u64,
        /// Bytes of the file.
        found: u64,
    },
    /// A file's headers make no sense, or ask for what there is not.
    #[error("'{file}' cannot be booted: {reason}")]
    Malformed {
        /// Its name.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// Part of an image has its place where there is no RAM.
    #[error("{what} does not fit: it wants {start:#x} to {end:#x}, and the machine has {} of RAM", Bytes(*.ram))]
    NoRam {
        /// What it is.
        what: String,
        /// First address.
        start: u64,
        /// End address.
        end: u64,
        /// Bytes of RAM.
        ram: u64,
    },
    /// Two things want the same memory.
    #[error("{what} at {start:#x} overlaps {other}")]
    Overlap {
        /// The later one.
        what: String,
        /// Its first address.
        start: u64,
        /// The earlier one.
        other: String,
    },
    /// The initial RAM disk does not fit.
    #[error(
        "initial RAM disk '{file}' of {} does not fit: after the kernel there is room for {}, use a larger -m",
        Bytes(*.needed), Bytes(*.room)
    )]
    InitrdTooLarge {
        /// Its name.
        file: String,
        /// Its bytes.
        needed: u64,
        /// Bytes that there is room for.
        room: u64,
    },
    /// The kernel does not fit.
    #[error("kernel '{file}' needs {} of RAM to start, and the machine has {}: use a larger -m", Bytes(*.needed), Bytes(*.ram))]
    KernelTooLarge {
        /// Its name.
        file: String,
        /// Bytes of RAM that it needs.
        needed: u64,
        /// Bytes of RAM below 4 GiB.
        ram: u64,
    },
    /// The command line is too long.
    #[error("the command line of {length} bytes is too long: the kernel takes {limit}")]
    CommandLineTooLong {
        /// Its bytes.
        length: usize,
        /// How many the kernel takes.
        limit: usize,
    },
    /// There is hardly any RAM.
    #[error("{} of RAM are too little: a machine needs at least {}", Bytes(*.ram), Bytes(*.least))]
    RamTooSmall {
        /// Bytes of RAM.
        ram: u64,
        /// Bytes that are needed.
        least: u64,
    },
    /// Nothing says where execution starts.
    #[error("there is nothing to run: name a kernel with -kernel, or add cpu-num=0 to a -device loader")]
    NothingToRun,
    /// A loader's property was refused.
    #[error(transparent)]
    Property(#[from] PropertyError),
    /// A loader's properties do not go together.
    #[error("device 'loader': {0}")]
    Loader(String),
}

/// A size for people.
struct Bytes(u64);

impl std::fmt::Display for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            bytes if bytes < 1 << 10 => write!(f, "{bytes} bytes"),
            bytes if bytes < 1 << 20 => write!(f, "{} KiB", bytes.div_ceil(1 << 10)),
            bytes => write!(f, "{} MiB", bytes.div_ceil(1 << 20)),
        }
    }
}
