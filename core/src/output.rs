//! What leaves the machine. Nothing that a sink does with it can be seen by the guest.

use serde::{Deserialize, Serialize};

/// A character device of the machine, by its place in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChardevId(pub u16);

/// One thing that left the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// A byte for a character device.
    Byte {
        /// Which.
        chardev: ChardevId,
        /// The byte.
        byte: u8,
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
