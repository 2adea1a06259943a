//! The library of the `reprise` program.

pub mod embedded_guest;
