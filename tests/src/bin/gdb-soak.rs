//! The real gdb in recordings of the embedded guest and of both Debian kernels, with one and with four vCPUs: what is met
//! forward is met backwards, steps there and back are no steps, history has two ends.
//!
//! Usage: cargo run --release -p reprise-tests --bin gdb-soak [-- PLACES [SEED]]
//!
//! PLACES is 20 unless it is said: from so many random places steps are made. Exit status 1 if something differs.

use anyhow::{Context, Result};
use reprise_tests::debian::{Suite, root_disk};
use reprise_tests::gdb::subject::Subject;
use reprise_tests::gdb::{Session, diversion, dma, history, live, looks, matrix, mirror, steps};
use std::num::ParseIntError;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

/// Steps in each direction.
const STEPS: u32 = 1000;

fn main() -> ExitCode {
    // It debugs itself doing what `reprise` does.
    if matches!(std::env::args().nth(1).as_deref(), Some("run" | "record" | "replay")) {
        return reprise::main();
    }
    let (places, seed) = match (number(1, 20), number(2, 1)) {
        (Ok(places), Ok(seed)) => (places as usize, seed),
        (Err(error), _) | (_, Err(error)) => {
            eprintln!("gdb-soak: the number of places, or the seed: {error}");
            return ExitCode::from(2);
        }
    };
    match soak(places, seed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The argument at `place`, or what it is without.
fn number(place: usize, otherwise: u64) -> Result<u64, ParseIntError> {
    std::env::args().nth(place).map_or(Ok(otherwise), |text| text.parse())
}

fn soak(places: usize, seed: u64) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let program = std::env::current_exe().context("cannot find this program itself")?;
    for cpus in [1, 4] {
        let subject = Subject::embedded(&program, folder.path(), cpus)?;
        let name = format!("embedded guest, {cpus} vCPUs");
        check(&program, &name, &subject, &matrix::embedded(cpus), (places, seed))?;
        let mut session = Session::replay(&program, &subject)?;
        looks::conditions(&mut session, "quicksort", "$rdx - $rsi < 3 && $rsi > 100")?;
        steps::by_line(&mut session, "check_disk", 6)?;
        diversion::check(&mut session, "check_disk")?;
        live::check(&program, cpus)?;
        for suite in Suite::ALL {
            let subject = Subject::debian(&program, folder.path(), suite, cpus)?;
            let name = format!("{}, {cpus} vCPUs", suite.name());
            check(&program, &name, &subject, &matrix::debian(&subject)?, (places, seed))?;
            dma::check(&mut Session::replay(&program, &subject)?, &root_disk()).context(name)?;
        }
    }
    Ok(())
}

fn check(
    program: &Path,
    name: &str,
    subject: &Subject,
    cases: &[mirror::Case],
    (places, seed): (usize, u64),
) -> Result<()> {
    let begun = Instant::now();
    let mut session = Session::replay(program, subject)?;
    history::ends(&mut session, subject).with_context(|| name.to_owned())?;
    let mut met = 0;
    for case in cases {
        met += mirror::check(&mut session, case).with_context(|| format!("{name}: {case:?}"))?;
    }
    for place in matrix::places(subject, seed, places) {
        steps::there_and_back(&mut session, place, STEPS).with_context(|| format!("{name}: {place:?}"))?;
    }
    history::interruptions(&mut session, subject).with_context(|| name.to_owned())?;
    println!("{name}: {met} stops mirrored, {places} places, {} s", begun.elapsed().as_secs());
    Ok(())
}
