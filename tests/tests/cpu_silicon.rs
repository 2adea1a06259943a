//! The interpreter against the processor that runs the tests: random user-mode sequences of every family.
//!
//! `REPRISE_SILICON_SEED=N` and `REPRISE_SILICON_FAMILY=NAME` run one case again. The soak of ten million sequences is
//! `cargo run --release -p reprise-tests --bin silicon-soak`.

use reprise_silicon::generate::Family;
use reprise_silicon::has_v3;
use reprise_tests::differential::{Differential, Report};

/// Sequences of each family.
const CASES: u64 = 12_000;

#[test]
fn interpreter_and_silicon_agree() {
    let mut differential = Differential::new().expect("the sandbox can be set up");
    let mut report = Report::default();
    let families = Family::on_host();
    if !has_v3() {
        println!("skipped: the host's processor has not all of x86-64-v3, so {:?} are left out", Family::newer());
    }
    for &family in families {
        for seed in 0..CASES {
            differential.check(seed, Some(family), &mut report);
        }
    }
    assert!(report.differences.is_empty(), "{report}");
    assert!(report.compared > CASES * families.len() as u64 * 9 / 10, "too many cases did not end");
}
