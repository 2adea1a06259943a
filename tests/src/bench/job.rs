//! What one process is asked to do: a boot, or as many programs as it can.

use super::column::Setup;
use super::work::Program;
use crate::debian::{self, Suite};
use std::path::PathBuf;

/// One run of an emulator, or one native process.
#[derive(Clone, Debug)]
pub enum Job {
    /// Debian boots to its first process, and powers off.
    Boot(Suite),
    /// Programs one after the other, in one guest.
    Programs(Vec<&'static Program>),
}

impl Job {
    /// The names of the programs.
    pub fn programs(&self) -> Vec<&'static str> {
        match self {
            Self::Boot(_) => Vec::new(),
            Self::Programs(programs) => programs.iter().map(|program| program.name).collect(),
        }
    }

    pub(super) fn kernel(&self) -> PathBuf {
        match self {
            Self::Boot(suite) => debian::kernel(*suite),
            Self::Programs(_) => debian::kernel(Suite::Stable),
        }
    }

    pub(super) fn initrd(&self) -> PathBuf {
        match self {
            Self::Boot(_) => debian::initramfs(),
            Self::Programs(_) => debian::workloads("initramfs.cpio"),
        }
    }

    pub(super) fn command_line(&self, setup: &Setup) -> String {
        match self {
            Self::Boot(_) => "console=ttyS0 panic=-1 reprise.nowork".to_owned(),
            Self::Programs(_) => format!(
                "console=ttyS0 quiet panic=-1 bench.amount={} bench.cpu={} bench.workloads={}",
                setup.amount,
                setup.cpu,
                self.programs().join(",")
            ),
        }
    }
}
