//! The gdb server.

mod debuggee;
