//! The options of the gdb server.

use super::values::{DEFAULT_GDB, checkpoint_memory, default_gdb, gdb_address};
use crate::engine::EngineChoice;
use crate::usage::UsageError;
use clap::Args;
use reprise_backend::chardev::Address;
use reprise_replay::timeline::DEFAULT_CHECKPOINT_MEMORY;

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

/// Whether and where there is a gdb server that walks in a recording.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct ReplayGdbOptions {
    /// Walk in the recording with gdb, forward and backwards; the server listens at tcp:[HOST]:PORT (by default
    /// tcp:127.0.0.1:1234), unix:PATH, or none
    #[arg(long, value_name = "WHERE", num_args = 0..=1, require_equals = true, default_missing_value = DEFAULT_GDB, help_heading = "Debugging")]
    gdb: Option<String>,
    /// The same as -gdb tcp::1234
    #[arg(short = 's', help_heading = "Debugging")]
    short: bool,
    /// Start stopped, as gdb always finds a recording
    #[arg(short = 'S', help_heading = "Debugging")]
    stopped: bool,
    /// How much memory checkpoints may take, in MiB unless one of B, K, M, G, T follows: the more, the sooner it is
    /// anywhere (by default 2G)
    #[arg(long, value_name = "SIZE", help_heading = "Debugging")]
    checkpoint_memory: Option<String>,
}

/// A gdb server that walks in a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayGdbPlan {
    /// Where it listens.
    pub address: Address,
    /// Most bytes of checkpoints.
    pub memory: u64,
}

impl ReplayGdbOptions {
    /// The server, if there is to be one.
    pub(super) fn plan(&self) -> Result<Option<ReplayGdbPlan>, UsageError> {
        let address = match &self.gdb {
            Some(text) => gdb_address(text)?,
            None => self.short.then(default_gdb),
        };
        let memory = self.checkpoint_memory.as_deref().map_or(Ok(DEFAULT_CHECKPOINT_MEMORY), checkpoint_memory)?;
        if address.is_none() && (self.stopped || self.checkpoint_memory.is_some()) {
            let option = if self.stopped { "-S" } else { "-checkpoint-memory" };
            return Err(UsageError::new(format!("{option} is for a debugger: add -gdb")));
        }
        Ok(address.map(|address| ReplayGdbPlan { address, memory }))
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
