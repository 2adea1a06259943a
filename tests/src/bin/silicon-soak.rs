//! The interpreter against the host's processor for as long as one likes: `silicon-soak [CASES [FIRST-SEED]]`, ten
//! million cases without arguments. Exit code 1 if any case differs.

use reprise_silicon::generate::Family;
use reprise_tests::differential::{Differential, Report};
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let (Ok(cases), Ok(first)) = (arguments.next().unwrap_or(Ok(10_000_000)), arguments.next().unwrap_or(Ok(0))) else {
        eprintln!("silicon-soak: expected numbers: silicon-soak [CASES [FIRST-SEED]]");
        return ExitCode::from(2);
    };
    let mut differential = Differential::new().expect("the sandbox can be set up");
    let mut report = Report::default();
    let started = Instant::now();
    for seed in first..first.saturating_add(cases) {
        let family = Family::ALL[(seed % Family::ALL.len() as u64) as usize];
        differential.check(seed, Some(family), &mut report);
        if (seed - first + 1).is_multiple_of(500_000) {
            eprintln!(
                "{} cases, {:.0} a second",
                seed - first + 1,
                (seed - first) as f64 / started.elapsed().as_secs_f64()
            );
        }
    }
    print!("{report}");
    for (instructions, count) in &report.by_instruction {
        println!("{count:8} {instructions}");
    }
    if report.by_instruction.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
