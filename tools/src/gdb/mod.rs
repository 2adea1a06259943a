//! The gdb server.

mod agent;
mod debuggee;
mod features;
