//! The `reprise` program.
fn main() {}
