//! The gdb server.

mod debuggee;
mod features;
