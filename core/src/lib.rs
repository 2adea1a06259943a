//! The deterministic machine of Reprise.
#![forbid(unsafe_code)]
