//! Recordings: one file that holds a whole run, and what makes and plays it.
#![forbid(unsafe_code)]

pub mod format;

pub use format::{
    Damage, Ended, Event, Events, FORMAT_VERSION, Header, ReadError, Recording, Sizes, WriteError, Writer,
};
