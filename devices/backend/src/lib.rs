//! The host side: what serves a front end, and who stands at the machine's door in a live run.
//!
//! Only this crate and `tools` touch the host. Nothing here can change what a guest sees but the inputs that
//! [`LiveDoor`] hands to the machine.

pub mod blockdev;
pub mod chardev;
mod connecting;
mod live_door;
pub mod netdev;
pub mod rng;
mod signals;
pub mod socket_file;
mod terminal;

pub use live_door::{Backends, Ending, LiveDoor, Pace, SharedDoor, Woken};
pub use signals::{Signals, die_of};
pub use terminal::{RawTerminal, SignalKeys};
