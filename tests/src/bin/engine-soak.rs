//! Two engines side by side, on random programs for as long as one likes, or on Debian's boots.
//!
//! Usage: cargo run --release -p reprise-tests --bin engine-soak [-- INSTRUCTIONS [SEED] | boots [SLICE] | survey [TRIALS [SEED]]]
//!
//! INSTRUCTIONS is a hundred million unless it is said, and SEED, that of the first trial, is 0. `boots` boots both of Debian's
//! kernels on one and on four vCPUs, compared every SLICE ticks (100000). Both stop at the first difference, with exit status 1.
//! `survey` goes on, for TRIALS (1000) trials, and lists the instructions at which engines differ or die, with seeds.

use reprise::engine::EngineChoice;
use reprise_tests::debian::{self, Suite};
use reprise_tests::engines::soak::{Progress, WORKER, soak, survey, work};
use reprise_tests::engines::{compared, side_by_side};
use std::num::ParseIntError;
use std::process::ExitCode;
use std::time::Instant;

/// Trials between two lines about the progress.
const INTERVAL: u64 = 1000;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("boots") => return boots(),
        Some("survey") => return surveyed(),
        Some(WORKER) => return worker(),
        _ => {}
    }
    let (wanted, first) = match (number(1, 100_000_000), number(2, 0)) {
        (Ok(wanted), Ok(first)) => (wanted, first),
        (Err(error), _) | (_, Err(error)) => {
            eprintln!("engine-soak: the number of instructions, or the first seed: {error}");
            return ExitCode::from(2);
        }
    };
    let start = Instant::now();
    let say = |progress: Progress, last: bool| {
        let Progress { trials, instructions } = progress;
        if last || (trials > 0 && trials.is_multiple_of(INTERVAL)) {
            let rate = instructions as f64 / start.elapsed().as_secs_f64() / 1e6;
            println!("{trials} trials, {} million instructions, {rate:.1} million a second", instructions / 1_000_000);
        }
    };
    match soak(first, wanted, &mut |progress| say(progress, false)) {
        Ok(progress) => {
            say(progress, true);
            println!("no difference");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Lists what differs in many trials.
fn surveyed() -> ExitCode {
    let (Ok(trials), Ok(first)) = (number(2, 1000), number(3, 0)) else {
        eprintln!("engine-soak: the number of trials, or the first seed, is no number");
        return ExitCode::from(2);
    };
    match survey(first, trials, &mut |seed, name| println!("seed {seed}: {name}")) {
        Ok(found) => {
            println!("{} of {trials} trials differ", found.values().map(Vec::len).sum::<usize>());
            for (name, seeds) in &found {
                println!("{:6} {name}: seeds {:?}", seeds.len(), &seeds[..seeds.len().min(8)]);
            }
            if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("engine-soak: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Does what another process of this program asks for.
fn worker() -> ExitCode {
    match work(&std::env::args().skip(2).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Boots every combination of kernel and vCPUs in lockstep.
fn boots() -> ExitCode {
    let Ok(slice) = number(2, EngineChoice::SLICE) else {
        eprintln!("engine-soak: the ticks between two comparisons are no number");
        return ExitCode::from(2);
    };
    for (suite, cpus) in Suite::ALL.into_iter().flat_map(|suite| [1, 4].map(|cpus| (suite, cpus))) {
        let (config, start) = (debian::machine(suite, cpus), Instant::now());
        let complaints = match side_by_side(&config, compared(), slice) {
            Ok(ending) => debian::complaints(&ending, cpus),
            Err(difference) => vec![difference.to_string()],
        };
        println!("{}, {cpus} vCPUs: {} s", suite.name(), start.elapsed().as_secs());
        complaints.iter().for_each(|complaint| println!("  {complaint}"));
        if !complaints.is_empty() {
            return ExitCode::FAILURE;
        }
    }
    println!("no difference");
    ExitCode::SUCCESS
}

/// The argument at `place`, or what it is without.
fn number(place: usize, otherwise: u64) -> Result<u64, ParseIntError> {
    std::env::args().nth(place).map_or(Ok(otherwise), |text| text.parse())
}
