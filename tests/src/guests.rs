//! Test kernels: small systems of our own that check what user-mode sequences cannot reach.
//!
//! Each prints a line per check on the serial port, `<kernel>: <check>: ok`, `skip` or `FAIL`,
//! and leaves by `isa-debug-exit` at port 501h: with 0 when all passed, with 1 when not. Words
//! `without=<check>` on the command line leave checks out.

/// Real mode, 16-bit and 32-bit protected mode, segmentation, rings and 32-bit paging: a file.
pub const PROTECTED: &str = concat!(env!("OUT_DIR"), "/protected.elf");

/// Long mode: protection features, delivery of exceptions, debugging, transfers, page tables.
pub const LONG: &str = concat!(env!("OUT_DIR"), "/long.elf");

/// Leaves in the way that the last word of its command line says, as `guests/resets/start.c`
/// lists them: resets, a triple fault, a panic, an exit code.
pub const RESETS: &str = concat!(env!("OUT_DIR"), "/resets.elf");

/// Reads the port of a device that leaks the host's clock once, and goes on without what it read.
pub const LEAK: &str = concat!(env!("OUT_DIR"), "/leak.elf");

/// The embedded guest, built once more with debug information: what is booted.
pub const DEBUGGEE: &str = concat!(env!("OUT_DIR"), "/debuggee.elf");

/// The same for a debugger: its 64-bit code in a 64-bit file.
pub const DEBUGGEE_SYMBOLS: &str = concat!(env!("OUT_DIR"), "/debuggee/kernel.elf64");
