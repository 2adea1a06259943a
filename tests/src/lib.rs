//! What the integration tests and benchmarks share.

pub mod bench;
pub mod debian;
pub mod differential;
pub mod guests;
pub mod virtual_processor;
