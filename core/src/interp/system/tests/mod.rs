//! Tests of the system side, a few instructions at a time.

mod delivery;
mod registers;
mod segments;
