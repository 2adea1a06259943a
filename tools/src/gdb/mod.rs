//! The gdb server.

mod debuggee;
mod features;
mod monitor;
