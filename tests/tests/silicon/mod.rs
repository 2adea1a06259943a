//! The parts of the comparison.

mod operands;
mod processor;
mod sse;
mod tally;
mod transcendental;
mod x87;
