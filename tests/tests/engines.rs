//! The engines agree: on random programs in every mode, on whole boots in lockstep; and if they did not, it would be found.
//!
//! The soak of a hundred million random instructions is `cargo run --release -p reprise-tests --bin engine-soak`.

use reprise::engine::EngineChoice;
use reprise_core::machine::End;
use reprise_tests::debian::{self, Suite};
use reprise_tests::engines::planted::{BLOCK, Planted, TICK};
use reprise_tests::engines::trial::Trials;
use reprise_tests::engines::{compared, side_by_side};
use reprise_tests::machines::embedded;
use std::process::Command;

/// Instructions of random programs.
const INSTRUCTIONS: u64 = 15_000_000;

/// In another process, which an engine that is wrong may end.
#[test]
fn random_programs_do_the_same_on_both_engines() {
    let output = Command::new(env!("CARGO_BIN_EXE_engine-soak")).arg(INSTRUCTIONS.to_string()).output();
    let output = output.expect("the soak is built with its tests");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.ends_with("no difference\n"), "{text}");
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
    assert!(difference.to_string().contains("xor rbx, 0x10"), "{difference}");
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
