//! The oracle that no document can replace: a real x86-64 processor.
//!
//! [`Silicon`] runs a short sequence of user-mode instructions natively, with every register, flag
//! and byte of memory given, and returns what became of them or the fault that stopped it. [`generate`]
//! makes such sequences from a seed, of every instruction family that Reprise's processor models have.
//! [`compare`] says what two runs of one sequence disagree on, leaving out what the manuals leave undefined.
//!
//! Linux on x86-64 only.

pub mod compare;
mod crossing;
pub mod generate;
mod level;
mod memory;
mod sandbox;
mod signals;
mod state;

pub use level::has_v3;
pub use memory::{CODE_BASE, CODE_PAGE_LEN, DATA_BASE, DATA_LEN, EXIT_PAGE, MAX_CODE_LEN, code_page};
pub use sandbox::{Silicon, SiliconError};
pub use state::{Fault, Outcome, STATUS_FLAGS, UserState};
