//! An address space: which device decodes which addresses.

use std::ops::Range;

/// Non-overlapping ranges of addresses, each with what decodes it.
#[derive(Clone, Debug)]
pub struct AddressMap<T> {
    /// Sorted by start.
    ranges: Vec<(Range<u64>, T)>,
}

/// A range could not be mapped.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// The range shares addresses with one that is mapped already.
    #[error("addresses {:#x}..{:#x} overlap {:#x}..{:#x}, which are taken", .wanted.start, .wanted.end, .taken.start, .taken.end)]
    Overlap {
        /// The range that was to be mapped.
        wanted: Range<u64>,
        /// The range that is in its way.
        taken: Range<u64>,
    },
    /// The range has no addresses.
    #[error("a range of no addresses at {0:#x} cannot be mapped")]
    Empty(u64),
}

impl<T> Default for AddressMap<T> {
    fn default() -> Self {
        Self { ranges: Vec::new() }
    }
}

impl<T: Copy> AddressMap<T> {
    /// Maps `range` to `target`.
    pub fn insert(&mut self, range: Range<u64>, target: T) -> Result<(), MapError> {
        if range.is_empty() {
            return Err(MapError::Empty(range.start));
        }
        let at = self.ranges.partition_point(|(r, _)| r.end <= range.start);
        match self.ranges.get(at) {
            Some((taken, _)) if taken.start < range.end => {
                Err(MapError::Overlap { wanted: range, taken: taken.clone() })
            }
            _ => {
                self.ranges.insert(at, (range, target));
                Ok(())
            }
        }
    }

    /// Unmaps every range whose target is refused by `keep`.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.ranges.retain(|(_, target)| keep(target));
    }

    /// What decodes `address`, and the offset into its range.
    pub fn find(&self, address: u64) -> Option<(T, u64)> {
        let at = self.ranges.partition_point(|(r, _)| r.end <= address);
        let (range, target) = self.ranges.get(at)?;
        range.contains(&address).then(|| (*target, address - range.start))
    }

    /// All ranges in address order.
    pub fn iter(&self) -> impl Iterator<Item = &(Range<u64>, T)> {
        self.ranges.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_range_and_the_offset() {
        let mut map = AddressMap::default();
        map.insert(0x60..0x61, 'a').unwrap();
        map.insert(0x64..0x65, 'b').unwrap();
        map.insert(0x3f8..0x400, 'c').unwrap();
        assert_eq!(map.find(0x64), Some(('b', 0)));
        assert_eq!(map.find(0x3ff), Some(('c', 7)));
        assert_eq!(map.find(0x62), None);
        assert_eq!(map.find(0x400), None);
    }

    #[test]
    fn refuses_overlap_and_emptiness() {
        let mut map = AddressMap::default();
        map.insert(0x10..0x20, ()).unwrap();
        assert_eq!(map.insert(0x1f..0x30, ()), Err(MapError::Overlap { wanted: 0x1f..0x30, taken: 0x10..0x20 }));
        assert_eq!(map.insert(0x5..0x5, ()), Err(MapError::Empty(5)));
        map.insert(0x20..0x21, ()).unwrap();
    }
}
