//! MMX, SSE to SSE4.2, AES and PCLMULQDQ (SDM vol. 1, chapters 9 to 12), the same instructions with VEX prefixes (chapter
//! 14), and saving these units' state (chapter 13).
//!
//! | file | what |
//! | --- | --- |
//! | [`operand`] | registers, operands in memory, whether the unit may execute; handlers common to all |
//! | [`vex`], [`form`] | registers as VEX-encoded instructions see them; which handler an encoding asks for |
//! | [`lanes`] | vectors as arrays |
//! | [`moves`], [`shuffle`], [`integer`], [`shift`] | what only moves bits or counts with integers |
//! | [`float`], [`compare`], [`convert`], [`approximate`] | floating point, on [`softfloat`](crate::softfloat) |
//! | [`string_compare`], [`cipher`] | SSE4.2 string processing; AES and carry-less multiplication |
//! | [`state`], [`xsave`] | MXCSR, FXSAVE; XSAVE |
//!
//! CRC32 and POPCNT are with the bit instructions, MOVNTI and prefetches with the moves of general registers. What AVX
//! and AVX2 have beside the VEX forms of older instructions is in [`avx`](super::avx).

mod approximate;
mod cipher;
mod compare;
mod convert;
pub(super) mod float;
pub(super) mod form;
mod integer;
pub(super) mod lanes;
mod moves;
pub(super) mod operand;
mod shift;
pub(super) mod shuffle;
mod state;
mod string_compare;
#[cfg(test)]
mod tests;
pub(super) mod vex;
mod xsave;

use crate::interp::op::{Lowering, Op};

/// The parts, the most frequent first.
const PARTS: &[fn(&Lowering<'_>) -> Option<Op>] = &[
    moves::lower,
    shuffle::lower,
    integer::lower,
    shift::lower,
    float::lower,
    compare::lower,
    convert::lower,
    string_compare::lower,
    cipher::lower,
    approximate::lower,
    state::lower,
    xsave::lower,
];

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    PARTS.iter().find_map(|part| part(l))
}
