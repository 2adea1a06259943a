//! The deterministic machine of Reprise: clock, scheduler, memory, buses, CPU state, interpreter, the `Device` and
//! `Engine` traits, and the door through which host facts enter.
//!
//! Nothing here can reach the host's clock, files, threads, environment or randomness: a run is a function of the
//! machine's configuration, its inputs and a tick.
#![forbid(unsafe_code)]

pub mod apic;
pub mod backend;
pub mod board;
pub mod clock;
pub mod cpu;
pub mod device;
pub mod disk;
pub mod door;
pub mod edit;
pub mod engine;
pub mod interp;
pub mod machine;
pub mod memory;
pub mod output;
pub mod probe;
pub mod property;
pub mod request;
pub mod scheduler;
pub mod softfloat;
pub mod state;
