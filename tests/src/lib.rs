//! What the integration tests and benchmarks share.

pub mod debian;
pub mod differential;
pub mod guests;
pub mod hostile;
pub mod virtual_processor;
