//! Records Debian guests with every kind of input while the host is busy now and then, and replays each elsewhere.
//!
//! Usage: cargo run --release -p reprise-tests --bin recording-soak [-- RECORDINGS [SEED]]
//!
//! RECORDINGS is 50 unless it is said, and SEED, that of the first one, is 1. Exit status 1 if one diverged.

use reprise::engine::EngineKind;
use reprise_silicon::generate::Random;
use reprise_tests::busy::BusyHost;
use reprise_tests::debian::Suite;
use reprise_tests::recordings::{Scenario, record_and_replay};
use std::num::ParseIntError;
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    // Recordings are made by this program itself doing what `reprise` does.
    if matches!(std::env::args().nth(1).as_deref(), Some("record" | "replay")) {
        return reprise::main();
    }
    let (count, first) = match (number(1, 50), number(2, 1)) {
        (Ok(count), Ok(first)) => (count, first),
        (Err(error), _) | (_, Err(error)) => {
            eprintln!("recording-soak: the number of recordings, or the first seed: {error}");
            return ExitCode::from(2);
        }
    };
    let bad = (first..first + count).filter(|&seed| !is_good(seed)).count();
    println!("{} of {count} recordings replayed without a difference", count - bad as u64);
    ExitCode::from(u8::from(bad > 0))
}

/// The argument at `place`, or what it is without.
fn number(place: usize, otherwise: u64) -> Result<u64, ParseIntError> {
    std::env::args().nth(place).map_or(Ok(otherwise), |text| text.parse())
}

fn is_good(seed: u64) -> bool {
    let mut random = Random::new(seed);
    let suite = Suite::ALL[random.below(2) as usize];
    let scenario = Scenario {
        suite,
        cpus: [1, 4][random.below(2) as usize],
        seed,
        engines: [0; 2].map(|_: u8| random.pick(&EngineKind::ALL).1),
    };
    let busy: Vec<_> = (0..random.below(4)).map(|_| BusyHost::new()).collect();
    let start = Instant::now();
    let program = std::env::current_exe().expect("this program knows where it is");
    let result = record_and_replay(&program, scenario);
    let about = format!("{}, {} vCPUs, seed {seed}, {} busy threads", suite.name(), scenario.cpus, busy.len());
    match &result {
        Ok(report) => println!("{about}: the same; {} KiB, {} s", report.bytes >> 10, start.elapsed().as_secs()),
        Err(error) => println!("{about}: DIFFERENT\n{error:#}"),
    }
    result.is_ok()
}
