//! The engines agree: on random programs in every mode, on whole boots in lockstep; and if they did not, it would be found.
//!
//! `REPRISE_ENGINE_SEED=S` runs one trial, `REPRISE_ENGINE_SEEDS=N` that many, from S or 0 on. The soak of a hundred million
//! instructions is `cargo run --release -p reprise-tests --bin engine-soak`.

use reprise::engine::EngineChoice;
use reprise_core::machine::End;
use reprise_tests::debian::{self, Suite};
use reprise_tests::engines::planted::{BLOCK, Planted, TICK};
use reprise_tests::engines::trial::Trials;
use reprise_tests::engines::{compared, side_by_side};
use reprise_tests::machines::embedded;

/// Trials that are run when nobody says how many.
const SEEDS: u64 = 250;

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is a number, not '{value}'")))
}

#[test]
fn random_programs_do_the_same_on_both_engines() {
    let (first, count) = (number("REPRISE_ENGINE_SEED"), number("REPRISE_ENGINE_SEEDS"));
    let count = count.unwrap_or(if first.is_some() { 1 } else { SEEDS });
    let (first, trials) = (first.unwrap_or(0), Trials::default());
    let mut instructions = 0;
    for seed in first..first.saturating_add(count) {
        let outcome = trials.run(seed);
        assert!(outcome.difference.is_none(), "{}", outcome.difference.expect("there is one"));
        instructions += outcome.instructions;
    }
    assert!(instructions > count * 1000, "only {instructions} instructions in {count} trials");
}

#[test]
fn the_embedded_guest_keeps_in_step() {
    for (cpus, slice) in [(1, EngineChoice::SLICE), (4, 7_777)] {
        let ending = side_by_side(&embedded(cpus), compared(), slice);
        let ending = ending.unwrap_or_else(|difference| panic!("{cpus} vCPUs: {difference}"));
        assert_eq!(ending.end, End::Off, "{cpus} vCPUs");
    }
}

#[test]
fn debians_newer_kernel_on_four_vcpus_keeps_in_step() {
    let ending = side_by_side(&debian::machine(Suite::Backports, 4), compared(), 1_000_000);
    let ending = ending.unwrap_or_else(|difference| panic!("{difference}"));
    let complaints = debian::complaints(&ending, 4);
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn a_planted_difference_is_narrowed_to_its_instruction() {
    let ending = side_by_side(&embedded(1), Planted::make, EngineChoice::SLICE);
    let difference = ending.expect_err("there is a fault");
    assert_eq!((difference.same, difference.differs), (TICK - BLOCK, TICK + 1), "{difference}");
    let instructions = difference.instructions.as_ref().expect("it comes again from a saved state");
    assert_eq!(instructions.len() as u64, BLOCK + 1, "{difference}");
    assert!(difference.parts.iter().any(|part| part.what == "rbx"), "{difference}");
    assert!(difference.to_string().contains("xor rbx, 10h"), "{difference}");
}

#[test]
fn a_planted_difference_is_found_in_a_random_program() {
    let trials = Trials::new(Planted::make).from_tick(TICK - 2000);
    let found = (0..40).find_map(|seed| trials.run(seed).difference);
    let difference = found.expect("some trial meets the fault");
    assert!(difference.alone && difference.code.len() as u64 == BLOCK + 1, "{difference}");
    assert!(difference.translated.is_some(), "{difference}");
    assert!(difference.to_string().contains("engine-soak 1 "), "{difference}");
}
