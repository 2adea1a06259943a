//! Recordings: one file that holds a whole run, and what makes and plays it.
#![forbid(unsafe_code)]
