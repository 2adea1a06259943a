//! The fingerprint: a hash of all guest-visible state at a tick.
//!
//! RAM is hashed a page at a time. The sum of the page hashes, each over the page's number and contents, does not depend
//! on the order of the pages, so only pages written since the last fingerprint are hashed again. A page of zeros adds
//! nothing: RAM that was never touched costs nothing.

use super::Machine;
use crate::memory::{DirtyLog, PAGE_SHIFT, PAGE_SIZE, Ram};
use crate::state;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use xxhash_rust::xxh3::{xxh3_128, xxh3_128_with_seed};

/// A hash of all guest-visible state at a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// CPUs, devices, timers and lines.
    pub parts: u128,
    /// Contents of RAM, and what was written to disks.
    pub memory: u128,
}

/// A short hash of all guest-visible state at a tick, cheap enough to be recorded often.
///
/// The state is in numbered parts, each with a 24-bit hash. If exactly one part differs between two runs, the two
/// differences name it: its number plus one is the quotient of the difference of `weighted` and that of `sum`, modulo
/// 16777213.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// Sum of the parts' hashes, modulo 16777213.
    pub sum: u32,
    /// Sum of the parts' hashes, each multiplied by its number plus one, modulo 16777213.
    pub weighted: u32,
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}-{:032x}", self.parts, self.memory)
    }
}

/// Hashes of the pages that are not all zero, and their sum.
#[derive(Default)]
pub(super) struct RamHash {
    pages: BTreeMap<u32, u128>,
    sum: u128,
}

impl RamHash {
    fn update(&mut self, ram: &mut Ram) -> u128 {
        for page in ram.take_dirty(DirtyLog::Fingerprint) {
            let offset = u64::from(page) << PAGE_SHIFT;
            let bytes = ram.slice(offset, PAGE_SIZE as usize).expect("dirty pages are pages of RAM");
            let hash = if bytes.iter().all(|&byte| byte == 0) { 0 } else { xxh3_128_with_seed(bytes, u64::from(page)) };
            let old = if hash == 0 { self.pages.remove(&page) } else { self.pages.insert(page, hash) };
            self.sum = self.sum.wrapping_sub(old.unwrap_or(0)).wrapping_add(hash);
        }
        self.sum
    }
}

impl Machine {
    /// The fingerprint of the current state; costs time by the pages written since the last one.
    pub fn fingerprint(&mut self) -> Fingerprint {
        let ram = self.ram_hash.update(&mut self.board.ram);
        let disks = self.board.disks_mut().fold(0, |hash: u128, disk| hash.rotate_left(1) ^ disk.hash());
        Fingerprint { parts: xxh3_128(&state::encode(&self.save_parts())), memory: ram.wrapping_add(disks) }
    }
}
