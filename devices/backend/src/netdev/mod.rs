//! Networks: where a network adapter's Ethernet frames go to and come from.

mod dgram;
mod dump;
mod endpoint;
mod error;
mod patience;
mod stream;
mod tap;
pub mod user;

pub use dgram::{Dgram, DgramOptions};
pub use dump::{Dump, DumpDoor};
pub use endpoint::Endpoint;
pub use error::NetdevError;
pub use stream::{Stream, StreamOptions};
pub use tap::{Tap, TapOptions};

use rustix::event::PollFd;
use std::time::Duration;

/// Largest frame, without its check sequence: the largest IP packet behind an Ethernet header with a VLAN tag.
pub const FRAME_LIMIT: usize = 65_535 + 14 + 4;

/// A network. No call waits for the host.
pub trait Netdev {
    /// Takes a frame that the guest sent. One that the host cannot take is lost, as on a wire.
    fn send(&mut self, frame: &[u8]);

    /// The next frame for the guest, if one has come.
    fn receive(&mut self) -> Option<Vec<u8>>;

    /// What becomes ready when there is something to do.
    fn sources(&self) -> Vec<PollFd<'_>>;

    /// How long the network can do without being looked at, though nothing becomes ready.
    fn timeout(&self) -> Option<Duration>;

    /// Whether somebody out there is about to answer. Meanwhile idle time passes as on a clock: a guest that skipped it
    /// would give up waiting before the host had a chance to answer.
    fn expects_answer(&self) -> bool;
}
