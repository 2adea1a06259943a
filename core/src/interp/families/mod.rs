//! Instructions by family: each file lowers and executes its own.

mod arith;
mod avx;
mod bcd;
mod bit;
mod bmi;
mod control;
mod data;
mod flag;
mod fma;
mod half;
mod io;
mod muldiv;
mod operand;
mod shift;
mod sse;
mod string;
mod x87;

use super::op::{Lowering, Op};

/// The families, the most frequent first.
const FAMILIES: &[fn(&Lowering<'_>) -> Option<Op>] = &[
    data::lower,
    arith::lower,
    control::lower,
    shift::lower,
    bit::lower,
    bmi::lower,
    muldiv::lower,
    string::lower,
    sse::lower,
    avx::lower,
    fma::lower,
    half::lower,
    x87::lower,
    super::system::lower,
    flag::lower,
    io::lower,
    bcd::lower,
];

/// The op for an instruction; `None` if no family knows it.
pub(super) fn lower(lowering: &Lowering<'_>) -> Option<Op> {
    FAMILIES.iter().find_map(|family| family(lowering))
}
