//! The library of the `reprise` program.
