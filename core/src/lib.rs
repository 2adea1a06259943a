//! The deterministic machine of Reprise.
#![forbid(unsafe_code)]

pub mod softfloat;
