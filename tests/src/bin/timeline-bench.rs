//! How quickly one walks in a recording of ten billion instructions, beside QEMU: `timeline-bench -help` explains. Exit
//! code 1 if a goal is missed, 2 if nothing could be measured.

use anyhow::{Result, bail};
use clap::Parser;
use reprise_tests::bench::column::qemu_version;
use reprise_tests::timeline_bench::{self, Plan};
use std::path::PathBuf;
use std::process::ExitCode;

/// Records a Debian guest at work, at least ten billion instructions, and measures what a debugger waits for: steps
/// back, seeks, the last writer of an address, conditions of breakpoints; beside what it may take, and beside QEMU's
/// replay, where that can do it.
///
/// What checkpoints cost is measured by checkpoint-bench.
#[derive(Debug, Parser)]
#[command(name = "timeline-bench", max_term_width = 100)]
struct Options {
    /// Leave QEMU out
    #[arg(long)]
    no_qemu: bool,
    /// Walk in this recording of the guest instead of making one
    #[arg(long, value_name = "FILE")]
    recording: Option<PathBuf>,
    /// Make the recording there, to keep it, and measure nothing
    #[arg(long, value_name = "FILE", conflicts_with = "recording")]
    record: Option<PathBuf>,
    /// How many random places are gone to
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..))]
    places: u16,
    /// How many steps back are made at each of ten places
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u16).range(1..))]
    steps: u16,
    /// Which random places
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

fn run(options: &Options) -> Result<bool> {
    if cfg!(debug_assertions) {
        bail!("this is no release build: run it with `cargo run --release -p reprise-tests --bin timeline-bench`");
    }
    if let Some(file) = &options.record {
        timeline_bench::recording::record(&std::env::current_exe()?, file)?;
        return Ok(true);
    }
    if !options.no_qemu {
        println!("{}", qemu_version()?);
    }
    let plan = Plan {
        recording: options.recording.clone(),
        qemu: !options.no_qemu,
        places: options.places.into(),
        steps: options.steps.into(),
        seed: options.seed,
    };
    Ok(timeline_bench::run(&plan)?.print())
}

fn main() -> ExitCode {
    // It measures itself doing what `reprise` does.
    if matches!(std::env::args().nth(1).as_deref(), Some("record" | "replay")) {
        return reprise::main();
    }
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("timeline-bench: {error:#}");
            ExitCode::from(2)
        }
    }
}
