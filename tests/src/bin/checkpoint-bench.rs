//! What checkpoints cost: taking one, restoring one, and restores a second, of the embedded guest and of Debian with a root
//! disk, with one vCPU and with four. Exit code 1 if a goal is missed or a state was not as it had been.
//!
//! Usage: cargo run --release -p reprise-tests --bin checkpoint-bench

use clap::Parser;
use reprise::engine::EngineKind;
use reprise_tests::checkpoints::Guest;
use reprise_tests::checkpoints::cost::{Plan, measure};
use std::process::ExitCode;

/// Measures what checkpoints cost beside what they may cost: 1 ms and 1 us a page to take one, 0.1 ms and 1 us a page to
/// restore one, and 1000 near restores a second.
#[derive(Debug, Parser)]
#[command(name = "checkpoint-bench", max_term_width = 100)]
struct Options {
    /// Only guests whose name has this in it
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Millions of ticks between two checkpoints
    #[arg(long, value_name = "MILLIONS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    every: u64,
    /// Millions of ticks after which a guest is left alone
    #[arg(long, value_name = "MILLIONS", default_value_t = 8000)]
    until: u64,
    /// MiB that checkpoints may take
    #[arg(long, value_name = "MIB", default_value_t = 2048)]
    memory: u64,
    /// How many far restores
    #[arg(long, value_name = "N", default_value_t = 200)]
    restores: usize,
    /// Interpret instead of translating
    #[arg(long)]
    interpret: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let plan = Plan {
        every: options.every * 1_000_000,
        until: options.until * 1_000_000,
        memory: options.memory << 20,
        restores: options.restores,
    };
    let engine = if options.interpret { EngineKind::Interp } else { EngineKind::DEFAULT };
    let makers: [fn(u32) -> Guest; 2] = [Guest::embedded, Guest::debian];
    let guests = makers.into_iter().flat_map(|make| [1, 4].map(make));
    let mut good = true;
    for guest in guests.filter(|guest| guest.name.contains(&options.only)) {
        println!("{}:", guest.name);
        let cost = measure(guest, engine, plan);
        println!("{cost}");
        good &= cost.is_good();
    }
    ExitCode::from(u8::from(!good))
}
