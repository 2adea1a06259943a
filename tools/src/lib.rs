//! The library of the `reprise` program.

pub mod boot;
pub mod embedded_guest;
