//! Boot: from the files that a user names to what the machine holds when it starts.
//!
//! | format | entry | document |
//! | --- | --- | --- |
//! | multiboot | 32-bit protected mode | Multiboot Specification 0.6.96 |
//! | ELF with a PVH note | 32-bit protected mode | Xen: docs/misc/pvh.pandoc |
//! | bzImage | 64-bit, else 32-bit | Linux: Documentation/arch/x86/boot.rst |
//! | flat binary, ELF | real mode at the address | QEMU: docs/system/generic-loader.rst |
//!
//! The formats are tried in this order. All of them find in memory what firmware would have left there.

mod error;
pub mod loader;

use reprise_core::board::Board;
use reprise_core::cpu::Model;
use reprise_core::machine::BootImage;
use reprise_frontend::pc::Pc;
use std::path::PathBuf;

pub use error::BootError;
pub use loader::Loader;

/// What the user asked to boot.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `-kernel`, or the kernel that is built in; `None` if a [`Loader`] brings what is run.
    pub kernel: Option<Source>,
    /// `-initrd`: one file; for a multiboot kernel a list `file arguments,file arguments`.
    pub initrd: Option<String>,
    /// `-append`.
    pub command_line: String,
    /// Each `-device loader`, in order.
    pub loaders: Vec<Loader>,
}

/// Where the bytes of a kernel come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file of the host.
    File(PathBuf),
    /// Part of this program.
    BuiltIn {
        /// What messages call it.
        name: &'static str,
        /// Its bytes.
        bytes: &'static [u8],
    },
}

/// Loads everything that `request` names, for a machine of `board` and `pc` (all devices attached) with CPUs of
/// `model`.
pub fn load(request: &Request, board: &Board, pc: &Pc, model: &'static Model) -> Result<BootImage, BootError>;

impl Loader {
    /// A `-device loader` from its properties as given; [`loader::SPEC`] declares them, for `-device loader,help`.
    pub fn new(given: &[(String, String)]) -> Result<Self, BootError>;
}
