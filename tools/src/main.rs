//! The `reprise` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    reprise::main()
}
