//! Tests of transport and rings against a driver that is written from the document alone.

mod echo;
mod hostile;
mod rings;
mod transport;

use super::testing::{Bench, Wishes};

const INDIRECT: u64 = 1 << 28;
const EVENT_IDX: u64 = 1 << 29;
const PACKED: u64 = 1 << 34;
const EVERYTHING: Wishes = Wishes { features: u64::MAX, msix: true };

/// A small generator of random numbers (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// A device that echoes, with packed rings or without on offer.
fn bench(packed: bool) -> Bench {
    Bench::new(&echo::SPEC, &[("packed", if packed { "on" } else { "off" })], |_| {})
}

/// The same with its driver at work.
fn started(packed: bool, wishes: Wishes) -> Bench {
    let mut bench = bench(packed);
    bench.start(wishes);
    bench
}

/// Every shape of ring: with packed rings or without, and the features that the driver wants.
fn shapes() -> impl Iterator<Item = (bool, u64)> {
    (0..8).map(|bits: u64| {
        let features = [(1, PACKED), (2, EVENT_IDX), (4, INDIRECT)];
        let chosen = features.into_iter().filter(|(bit, _)| bits & bit != 0);
        (bits & 1 != 0, chosen.fold(0, |all, (_, feature)| all | feature))
    })
}
