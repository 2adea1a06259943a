//! Recordings: one file that holds a whole run, and what makes and plays it.
#![forbid(unsafe_code)]

mod delivery;
pub mod format;
mod recorder;
mod replayer;
pub mod stored;
pub mod timeline;

#[cfg(test)]
mod tests;

pub use format::{
    Damage, Ended, Event, Events, FORMAT_VERSION, Header, ReadError, Recording, Sizes, WriteError, Writer,
};
pub use recorder::{Finished, Recorded, Recorder, RefusedEdit, reason};
pub use replayer::{Audience, Divergence, HOST_ERROR, Outcome, Replayer, refusal};
