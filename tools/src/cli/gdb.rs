//! The options of the gdb server.

use super::values::{default_gdb, gdb_address};
use crate::engine::EngineChoice;
use crate::usage::UsageError;
use clap::Args;
use reprise_backend::chardev::Address;

/// Whether and where there is a gdb server beside a live machine.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct GdbOptions {
    /// Let gdb debug the machine: -gdb tcp::1234
    #[arg(short = 's', help_heading = "Debugging")]
    short: bool,
    /// Where the gdb server listens: tcp:[HOST]:PORT (without a host, unlike QEMU's, for this host only), unix:PATH, none
    #[arg(long, value_name = "WHERE", help_heading = "Debugging")]
    gdb: Option<String>,
}

impl GdbOptions {
    /// The server's address, if there is to be one.
    pub(super) fn address(&self) -> Result<Option<Address>, UsageError> {
        match &self.gdb {
            Some(text) => gdb_address(text),
            None => Ok(self.short.then(default_gdb)),
        }
    }
}

/// Two machines in lockstep are not debugged.
pub(super) fn check_engine(engine: EngineChoice, has_gdb: bool) -> Result<(), UsageError> {
    match engine {
        EngineChoice::Lockstep { .. } if has_gdb => {
            Err(UsageError::new("-gdb debugs one machine, and -engine lockstep runs two: use -engine jit or interp"))
        }
        EngineChoice::Lockstep { .. } | EngineChoice::One(_) => Ok(()),
    }
}
