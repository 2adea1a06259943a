//! Floating point against the processor that runs the test: results, exception flags and C1.
//!
//! Operands are seeded, so a failure names one that fails again. Where Intel and AMD answer
//! differently ours is Intel's answer, and on another processor that comparison is left out.
#![cfg(target_arch = "x86_64")]
#![allow(unsafe_code, reason = "the oracle is the processor itself, reached by inline assembly")]

mod silicon;
