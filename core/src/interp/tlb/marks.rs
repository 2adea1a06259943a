//! A set of small numbers, a bit for each.

use zerocopy::FromZeros;

/// A set of numbers below 64 times `WORDS`.
#[derive(Clone, FromZeros)]
#[repr(transparent)]
pub(super) struct Marks<const WORDS: usize>([u64; WORDS]);

impl<const WORDS: usize> Marks<WORDS> {
    pub(super) const NONE: Self = Self([0; WORDS]);

    #[inline(always)]
    pub(super) fn get(&self, at: usize) -> bool {
        self.0[at >> 6] & 1 << (at & 63) != 0
    }

    #[inline(always)]
    pub(super) fn set(&mut self, at: usize) {
        self.0[at >> 6] |= 1 << (at & 63);
    }

    #[inline(always)]
    pub(super) fn clear(&mut self, at: usize) {
        self.0[at >> 6] &= !(1 << (at & 63));
    }

    pub(super) fn clear_all(&mut self) {
        self.0 = [0; WORDS];
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0 == [0; WORDS]
    }

    /// The first number in the set from `from` on, and below `end`.
    #[inline]
    pub(super) fn next(&self, from: usize, end: usize) -> Option<usize> {
        let mut word = from >> 6;
        let mut bits = self.0.get(word)? & u64::MAX << (from & 63);
        while bits == 0 {
            word += 1;
            if word << 6 >= end {
                return None;
            }
            bits = *self.0.get(word)?;
        }
        Some(word << 6 | bits.trailing_zeros() as usize).filter(|&at| at < end)
    }
}
