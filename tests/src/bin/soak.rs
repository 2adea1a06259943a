//! Boots both Debian kernels on one and on four vCPUs, checks what they do, and that they do the same again while they
//! are cut, moved and their caches dropped.
//!
//! Usage: cargo run --release -p reprise-tests --bin soak [-- SEEDS]
//!
//! Each combination boots once undisturbed, and once disturbed for each of SEEDS (1) seeds.

use reprise_tests::debian::{self, Suite};
use std::process::ExitCode;
use std::time::Instant;

/// Moves to another machine in a disturbed boot.
const MOVES: u64 = 40;

fn main() -> ExitCode {
    let seeds = match std::env::args().nth(1).map(|text| text.parse::<u64>()) {
        None => 1,
        Some(Ok(seeds)) => seeds,
        Some(Err(error)) => {
            eprintln!("soak: the number of seeds: {error}");
            return ExitCode::from(2);
        }
    };
    let combinations = Suite::ALL.into_iter().flat_map(|suite| [1, 4].map(|cpus| (suite, cpus)));
    let bad = combinations.filter(|&(suite, cpus)| !is_good(suite, cpus, seeds)).count();
    ExitCode::from(u8::from(bad > 0))
}

fn is_good(suite: Suite, cpus: u32, seeds: u64) -> bool {
    let (config, start) = (debian::machine(suite, cpus), Instant::now());
    let expected = debian::boot(&config);
    let complaints = debian::complaints(&expected, cpus);
    println!("{}, {cpus} vCPUs: {} s, icount {}", suite.name(), start.elapsed().as_secs(), expected.icount);
    complaints.iter().for_each(|complaint| println!("  {complaint}"));
    let repeats = |&seed: &u64| {
        let start = Instant::now();
        let ending = debian::boot_disturbed(&config, seed, expected.tick, MOVES);
        let same = ending == expected;
        let verdict = if same { "the same" } else { "DIFFERENT" };
        println!("  disturbed by seed {seed}: {verdict}, {} s", start.elapsed().as_secs());
        if !same {
            println!("  {} instead of {}", ending.fingerprint, expected.fingerprint);
        }
        same
    };
    (1..=seeds).filter(repeats).count() as u64 == seeds && complaints.is_empty()
}
