//! The JIT: translates guest x86-64 code to host x86-64 code, beside the interpreter, with the same results to the last bit
//! while every instruction is counted.
//!
//! Nothing here can reach the host's clock, files, threads, environment or randomness, and nothing that the guest can see
//! depends on where translated code lies. `unsafe` is denied but for the two modules that need it: [`code_memory`], which maps
//! memory, and [`enter`], which calls into it.
#![allow(clippy::useless_conversion, reason = "dynasm converts every register number that is not known before")]
#![cfg(all(target_arch = "x86_64", unix))]

pub mod code_memory;
pub mod emitter;
pub mod enter;
pub mod registers;
