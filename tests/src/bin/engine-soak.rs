//! Two engines on random programs for as long as one likes.
//!
//! Usage: cargo run --release -p reprise-tests --bin engine-soak [-- INSTRUCTIONS [SEED]]
//!
//! INSTRUCTIONS is a hundred million unless it is said, and SEED, that of the first trial, is 0. Stops at the first difference,
//! with exit status 1.

use reprise_tests::engines::trial::Trials;
use std::num::ParseIntError;
use std::process::ExitCode;
use std::time::Instant;

/// Trials between two lines about the progress.
const INTERVAL: u64 = 1000;

fn main() -> ExitCode {
    let (wanted, first) = match (number(1, 100_000_000), number(2, 0)) {
        (Ok(wanted), Ok(first)) => (wanted, first),
        (Err(error), _) | (_, Err(error)) => {
            eprintln!("engine-soak: the number of instructions, or the first seed: {error}");
            return ExitCode::from(2);
        }
    };
    let (trials, start, mut done) = (Trials::default(), Instant::now(), 0);
    for seed in first.. {
        let outcome = trials.run(seed);
        if let Some(difference) = outcome.difference {
            println!("{difference}");
            return ExitCode::FAILURE;
        }
        done += outcome.instructions;
        let last = done >= wanted;
        if last || (seed - first + 1).is_multiple_of(INTERVAL) {
            let rate = done as f64 / start.elapsed().as_secs_f64() / 1e6;
            println!("{} trials, {} million instructions, {rate:.1} a microsecond", seed - first + 1, done / 1_000_000);
        }
        if last {
            break;
        }
    }
    println!("no difference");
    ExitCode::SUCCESS
}

/// The argument at `place`, or what it is without.
fn number(place: usize, otherwise: u64) -> Result<u64, ParseIntError> {
    std::env::args().nth(place).map_or(Ok(otherwise), |text| text.parse())
}
