//! Events as the bytes of a frame.
//!
//! A batch begins with its number, so that one that is missing is missed, and with the number of the next digest, from
//! which ticks count: it can be read without those before it.

mod put;
mod take;

pub(super) use put::Batch;
pub(super) use take::BatchReader;

use super::DIGEST_INTERVAL;
use reprise_core::clock::Tick;

/// Bytes of a digest.
const DIGEST_SIZE: usize = 6;
/// The first byte of each record.
mod tag {
    pub(super) const DIGESTS: u8 = 0;
    pub(super) const CHARDEV: u8 = 1;
    pub(super) const CONNECTED: u8 = 2;
    pub(super) const DISCONNECTED: u8 = 3;
    pub(super) const FRAME: u8 = 4;
    pub(super) const KEY_DOWN: u8 = 5;
    pub(super) const KEY_UP: u8 = 6;
    pub(super) const POINTER: u8 = 7;
    pub(super) const POWER_BUTTON: u8 = 8;
    pub(super) const RESET: u8 = 9;
    pub(super) const QUIT: u8 = 10;
    pub(super) const CLUSTER_FAILED: u8 = 11;
    pub(super) const RANDOM: u8 = 12;
    pub(super) const END: u8 = 13;
}

/// The tick of a digest.
fn digest_tick(number: u64) -> Option<Tick> {
    number.checked_mul(DIGEST_INTERVAL)
}

/// Where ticks of a batch count from.
fn base(next_digest: u64) -> Option<Tick> {
    digest_tick(next_digest.saturating_sub(1))
}
