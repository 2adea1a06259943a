//! A Debian guest with every kind of input is recorded, and replays where nothing of its surroundings is left, on the
//! other engine.
//!
//! Here is one recording on one vCPU and one on four; `cargo run --release -p reprise-tests --bin recording-soak` makes fifty.

use reprise::engine::EngineKind;
use reprise_tests::busy::BusyHost;
use reprise_tests::debian::Suite;
use reprise_tests::recordings::{Scenario, record_and_replay};
use std::path::Path;

/// `reprise`, with a device that nobody here asks for.
const PROGRAM: &str = env!("CARGO_BIN_EXE_leaky");

#[track_caller]
fn check(scenario: Scenario) {
    if let Err(error) = record_and_replay(Path::new(PROGRAM), scenario) {
        panic!("{scenario:?}: {error:#}");
    }
}

#[test]
fn the_release_kernel_on_one_vcpu_replays() {
    check(Scenario { suite: Suite::Stable, cpus: 1, seed: 1, engines: [EngineKind::Interp, EngineKind::COMPARED] });
}

#[test]
fn the_newer_kernel_on_four_vcpus_replays_though_the_host_was_busy() {
    let _busy = BusyHost::new();
    check(Scenario { suite: Suite::Backports, cpus: 4, seed: 2, engines: [EngineKind::COMPARED, EngineKind::Interp] });
}
