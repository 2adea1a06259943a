//! AVX and AVX2: what they have beside the VEX forms of older instructions (SDM vol. 1, 14.2 Functional Overview, 14.7
//! Intel AVX2).
//!
//! | file | what |
//! | --- | --- |
//! | [`permute`] | broadcasts, parts of 128 bits, permutations |
//! | [`integer`] | shifts by as many counts as there are lanes, blends, tests, clearing of upper halves |
//! | [`masked`] | moves and gathers of the elements that a mask enables |
//!
//! The VEX forms of SSE to SSE4.2, AES and PCLMULQDQ are where the instructions themselves are, in [`sse`](super::sse).

mod integer;
mod masked;
mod permute;
#[cfg(test)]
mod tests;

use crate::interp::op::{Lowering, Op};

/// The parts, the most frequent first.
const PARTS: &[fn(&Lowering<'_>) -> Option<Op>] = &[permute::lower, integer::lower, masked::lower];

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    PARTS.iter().find_map(|part| part(l))
}
