//! How fast Reprise is, beside QEMU with counted instructions, and how much memory it takes:
//! `bench [--rounds N] [--recording] [--no-qemu] [WORK...]`; with `--recording`, what recording and replaying cost, beside
//! QEMU's. Exit code 1 if a goal is missed, 2 if it could not be measured.

use anyhow::{Context, bail};
use reprise_tests::bench::emulator::{Emulator, qemu_version};
use reprise_tests::bench::work::Work;
use reprise_tests::bench::{self, process, report};
use std::process::ExitCode;

struct Arguments {
    rounds: u32,
    emulators: Vec<Emulator>,
    works: Vec<Work>,
}

fn usage() -> String {
    let names: Vec<_> = Work::ALL.iter().map(|work| work.name()).collect();
    format!(
        "usage: bench [--rounds N] [--recording] [--no-qemu] [WORK...]\n\
         works, all without arguments: {}; 3 rounds",
        names.join(", ")
    )
}

impl Arguments {
    fn parse(mut texts: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let mut arguments = Self { rounds: 3, emulators: Emulator::RUNNING.to_vec(), works: Work::ALL.to_vec() };
        let (mut named, mut qemu) = (Vec::new(), true);
        while let Some(text) = texts.next() {
            match text.as_str() {
                "--rounds" => arguments.rounds = rounds(texts.next())?,
                "--recording" => arguments.emulators = Emulator::RECORDING.to_vec(),
                "--no-qemu" => qemu = false,
                name => named.push(Work::find(name).with_context(|| format!("unknown: {name}\n{}", usage()))?),
            }
        }
        if !named.is_empty() {
            arguments.works = named;
        }
        if !qemu {
            arguments.emulators.retain(|emulator| !emulator.is_qemu());
        }
        Ok(arguments)
    }
}

fn rounds(text: Option<String>) -> anyhow::Result<u32> {
    let number = text.as_deref().and_then(|text| text.parse().ok()).filter(|&rounds| rounds > 0);
    number.with_context(|| format!("--rounds needs a number from 1 on\n{}", usage()))
}

fn run() -> anyhow::Result<bool> {
    let Arguments { rounds, emulators, works } = Arguments::parse(std::env::args().skip(1))?;
    if cfg!(debug_assertions) {
        bail!("this is no release build: run it with `cargo run --release -p reprise-tests --bin bench`");
    }
    if emulators.iter().any(|emulator| emulator.is_qemu()) {
        println!("{}, -accel tcg -icount", qemu_version()?);
    }
    let all = bench::run(&works, &emulators, rounds)?;
    Ok(report::print(&all))
}

fn main() -> ExitCode {
    // The bench measures itself doing what `reprise` does.
    if matches!(std::env::args().nth(1).as_deref(), Some("run" | "record" | "replay")) {
        let status = reprise::main();
        process::tell_peak();
        return status;
    }
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::from(2)
        }
    }
}
