//! Test kernels: small systems of our own that check what user-mode sequences cannot reach.
//!
//! Each prints a line per check on the serial port, `<kernel>: <check>: ok`, `skip` or `FAIL`,
//! and leaves by `isa-debug-exit` at port 501h: with 0 when all passed, with 1 when not.

/// Real mode, 16-bit and 32-bit protected mode, segmentation, rings and 32-bit paging.
pub static PROTECTED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/protected.elf"));
