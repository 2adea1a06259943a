//! The interpreter against the host's processor for as long as one likes: `silicon-soak [CASES [FIRST-SEED [FAMILY]]]`,
//! ten million cases of all families without arguments. Exit code 1 if any case differs.

use reprise_silicon::generate::Family;
use reprise_tests::differential::{Differential, Report};
use std::process::ExitCode;
use std::time::Instant;

struct Arguments {
    cases: u64,
    first: u64,
    family: Option<Family>,
}

impl Arguments {
    fn parse(mut texts: impl Iterator<Item = String>) -> Option<Self> {
        let mut number = |default: u64| texts.next().map_or(Some(default), |text| text.parse().ok());
        let (cases, first) = (number(10_000_000)?, number(0)?);
        let named =
            |text: String| Family::ALL.into_iter().find(|family| format!("{family:?}").eq_ignore_ascii_case(&text));
        let family = match texts.next() {
            Some(text) => Some(named(text)?),
            None => None,
        };
        Some(Self { cases, first, family })
    }
}

fn main() -> ExitCode {
    let Some(Arguments { cases, first, family: only }) = Arguments::parse(std::env::args().skip(1)) else {
        eprintln!("usage: silicon-soak [CASES [FIRST-SEED [FAMILY]]], families: {:?}", Family::ALL);
        return ExitCode::from(2);
    };
    let mut differential = Differential::new().expect("the sandbox can be set up");
    let mut report = Report::default();
    let started = Instant::now();
    for seed in first..first.saturating_add(cases) {
        let families = Family::on_host();
        let family = only.unwrap_or(families[(seed % families.len() as u64) as usize]);
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
