//! What the integration tests and benchmarks share.

pub mod bench;
pub mod busy;
pub mod checkpoints;
pub mod debian;
pub mod differential;
pub mod engines;
pub mod fickle;
pub mod gdb;
pub mod guests;
pub mod hostile;
pub mod machines;
pub mod recordings;
pub mod seeded;
pub mod timeline_bench;
pub mod virtual_processor;
