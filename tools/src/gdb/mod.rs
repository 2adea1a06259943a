//! The gdb server.

mod debuggee;
mod monitor;
