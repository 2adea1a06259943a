//! `reprise` from outside: what it refuses, how it ends, what it does to a terminal.

mod chardevs;
mod checkpoints;
mod demo;
mod disks;
mod ends;
mod gdb;
mod gdb_hostile;
mod kernels;
mod networks;
mod readers;
mod recordings;
mod refusals;
mod terminal;

use assert_cmd::Command;
use std::time::Duration;

/// How long anything may take on a busy host.
const PATIENCE: Duration = Duration::from_secs(120);

/// The program with these arguments, and no terminal.
fn reprise(args: &[&str]) -> Command {
    let mut command = Command::cargo_bin("reprise").expect("the program is built with its tests");
    command.args(args).write_stdin("").timeout(PATIENCE);
    command
}

/// Standard error of a run that must end with `status`.
#[track_caller]
fn stderr_of(args: &[&str], status: i32) -> String {
    let output = reprise(args).output().expect("it starts");
    let stderr = String::from_utf8(output.stderr).expect("messages are text");
    assert_eq!(output.status.code(), Some(status), "reprise {}: {stderr}", args.join(" "));
    stderr
}
