//! Probes: breakpoints, watchpoints and steps are exact on both engines, and leave no trace.

use reprise_tests::engines::probed::{self, Met};

/// Trials of random programs.
const TRIALS: u64 = 150;

#[test]
fn probes_on_random_programs_are_met_where_a_look_at_each_tick_says() {
    let first = std::env::var("PROBED_SEED").ok().and_then(|seed| seed.parse().ok());
    let count = if first.is_some() { 1 } else { TRIALS };
    let first = first.unwrap_or(1);
    let mut all = Met::default();
    for seed in first..first + count {
        let met = probed::run(seed);
        all.breakpoints += met.breakpoints;
        all.watchpoints += met.watchpoints;
        all.steps += met.steps;
        all.states += met.states;
    }
    println!("{all:?}");
    assert!(
        count == 1 || all.breakpoints > 1000 && all.watchpoints > 1000 && all.steps > 100 && all.states > 2000,
        "{all:?}"
    );
}
