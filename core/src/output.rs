//! What leaves the machine. Nothing that a sink does with it can be seen by the guest.

use crate::backend::{ChardevId, NetdevId};
use serde::{Deserialize, Serialize};

/// One thing that left the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Bytes for a character device.
    Bytes {
        /// Which.
        chardev: ChardevId,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// An Ethernet frame, without its check sequence.
    Frame {
        /// For which network.
        netdev: NetdevId,
        /// The frame.
        frame: Vec<u8>,
    },
}

/// A change of the machine's power state that a device or a CPU asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PowerEvent {
    /// The guest switched the machine off.
    Off,
    /// The guest, or the operator, reset the machine.
    Reset,
    /// A CPU shut down because a double fault faulted; the chipset answers with a reset.
    TripleFault,
    /// The guest's kernel reported its own panic.
    Panicked,
    /// The guest ended the run with this exit status.
    DebugExit(u8),
}
