//! Ranges of an overlay that the guest made zeros of: a few numbers each, however long they are.

use imbl::OrdMap;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// Sets the hashes of ranges apart from those of blocks.
const SEED: u64 = u64::MAX;

/// Blocks that are all zeros, as ranges of block numbers that neither touch nor overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Zeroes {
    /// First block, and the one after the last.
    pub(super) ranges: OrdMap<u64, u64>,
    /// Sum of the hashes of all ranges.
    sum: u128,
}

/// The ranges as they are saved: first block, and the one after the last, in order.
pub(super) type Saved = Vec<Range>;

/// Blocks from `first` to before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Range {
    pub(super) first: u64,
    pub(super) end: u64,
}

impl Zeroes {
    /// The range that `block` is in.
    pub(super) fn find(&self, block: u64) -> Option<Range> {
        let (&first, &end) = self.ranges.range(..=block).next_back()?;
        (block < end).then_some(Range { first, end })
    }

    /// All ranges, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Range> {
        self.ranges.iter().map(|(&first, &end)| Range { first, end })
    }

    /// A hash of all of them.
    pub(super) fn hash(&self) -> u128 {
        self.sum
    }

    /// Adds blocks.
    pub(super) fn insert(&mut self, Range { mut first, mut end }: Range) {
        while let Some((&start, &stop)) = self.ranges.range(..=end).next_back().filter(|(_, stop)| **stop >= first) {
            self.take(start);
            (first, end) = (first.min(start), end.max(stop));
        }
        self.put(Range { first, end });
    }

    /// Takes one block out; whether it was there.
    pub(super) fn remove(&mut self, block: u64) -> bool {
        let Some(Range { first, end }) = self.find(block) else { return false };
        self.take(first);
        self.put(Range { first, end: block });
        self.put(Range { first: block + 1, end });
        true
    }

    fn take(&mut self, first: u64) {
        if let Some(end) = self.ranges.remove(&first) {
            self.sum = self.sum.wrapping_sub(hash_of(Range { first, end }));
        }
    }

    fn put(&mut self, range: Range) {
        if range.first < range.end {
            self.ranges.insert(range.first, range.end);
            self.sum = self.sum.wrapping_add(hash_of(range));
        }
    }
}

fn hash_of(range: Range) -> u128 {
    let bytes = [range.first.to_le_bytes(), range.end.to_le_bytes()].concat();
    xxh3_128_with_seed(&bytes, SEED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ranges: &[(u64, u64)]) -> Zeroes {
        let mut zeroes = Zeroes::default();
        ranges.iter().for_each(|&(first, end)| zeroes.insert(Range { first, end }));
        zeroes
    }

    #[test]
    fn ranges_that_touch_are_one() {
        assert_eq!(of(&[(4, 6), (8, 9), (6, 8)]), of(&[(4, 9)]));
        assert_eq!(of(&[(4, 6), (0, 2), (1, 10)]), of(&[(0, 10)]));
        assert_eq!(of(&[(4, 6), (0, 2)]).iter().map(|range| range.first).collect::<Vec<_>>(), [0, 4]);
        assert_eq!(of(&[(0, 10), (2, 3)]), of(&[(0, 10)]));
    }

    #[test]
    fn a_block_taken_out_leaves_the_rest() {
        let mut zeroes = of(&[(0, 10)]);
        assert!(zeroes.remove(4) && zeroes.remove(0) && zeroes.remove(9) && !zeroes.remove(4) && !zeroes.remove(10));
        assert_eq!(zeroes, of(&[(1, 4), (5, 9)]));
        assert_eq!((zeroes.find(4), zeroes.find(8)), (None, Some(Range { first: 5, end: 9 })));
        assert_eq!((0..10).filter(|&block| zeroes.remove(block)).count(), 7);
        assert_eq!((zeroes.hash(), zeroes), (0, Zeroes::default()));
    }
}
