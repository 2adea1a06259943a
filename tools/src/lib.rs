//! The library of the `reprise` program: command line, wiring of a machine, boot.

mod backends;
pub mod boot;
mod checkpoint;
pub mod cli;
mod demo;
mod diff;
pub mod differences;
pub mod disassembly;
mod drives;
pub mod dump;
pub mod embedded_guest;
pub mod engine;
pub mod exit_status;
mod gdb;
mod in_use;
mod info;
mod inputs;
pub mod instruments;
pub mod lockstep;
mod log_file;
pub mod machine;
mod progress;
mod record;
pub mod recordable;
pub mod recorded;
mod replay;
mod run;
mod standard_streams;
pub mod usage;

use reprise_core::property::DeviceSpec;
use std::fmt::Display;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

/// The program: its arguments are the process's.
pub fn main() -> ExitCode {
    main_with(&[])
}

/// The program with kinds of devices that are not part of it: tests bring them.
pub fn main_with(extra: &'static [&'static DeviceSpec]) -> ExitCode {
    machine::add_kinds(extra);
    let ended = catch_unwind(AssertUnwindSafe(|| match cli::parse(std::env::args_os()) {
        Ok(cli::Request::Demo) => demo::run(),
        Ok(cli::Request::Run(mut plan)) => run::run(&mut plan, None),
        Ok(cli::Request::Record(mut plan)) => run::run(&mut plan.run, Some(&plan.target)),
        Ok(cli::Request::Replay(plan)) => replay::replay(&plan),
        Ok(cli::Request::Verify(plan)) => replay::verify(&plan),
        Ok(cli::Request::Checkpoint(plan)) => checkpoint::run(&plan),
        Ok(cli::Request::Info(plan)) => info::run(&plan),
        Ok(cli::Request::Dump(plan)) => dump::run(&plan),
        Ok(cli::Request::Diff(plan)) => diff::run(&plan),
        Ok(cli::Request::Show(text)) => {
            show(&text);
            Ok(exit_status::OK)
        }
        Err(error) => Err(error),
    }));
    log::logger().flush();
    ExitCode::from(match ended {
        Ok(Ok(status)) => status,
        Ok(Err(error)) => {
            say(&error);
            exit_status::USAGE
        }
        Err(_panic) => exit_status::BUG,
    })
}

/// A line about the run on standard error. If nobody listens there, nobody is told.
fn say(text: &dyn Display) {
    let _ = writeln!(std::io::stderr(), "reprise: {text}");
}

/// What was asked for, on standard output. A reader may leave once it has seen enough.
fn show(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
