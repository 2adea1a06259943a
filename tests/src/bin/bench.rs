//! How fast Reprise is, running, recording and replaying, beside QEMU and beside the host's own processor, and how much
//! memory it takes: `bench -help` explains. Exit code 1 if something failed or a goal is missed, 2 if nothing could be
//! measured.

use anyhow::{Context, bail};
use clap::Parser;
use reprise_tests::bench::column::{Column, Setup, qemu_version};
use reprise_tests::bench::work::Work;
use reprise_tests::bench::{self, Plan, process, report};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Measures the same work natively, in Reprise (running, recording, replaying) and in QEMU (-accel tcg; -icount;
/// rr=record and rr=replay), in turn, and prints seconds, ratios, memory, and which goals are met.
///
/// Every work is a fixed amount, and what is measured is the host's time for it, between two lines that the guest
/// prints: a guest's own clock may count instructions. A work whose output is not the same everywhere has failed.
#[derive(Debug, Parser)]
#[command(name = "bench", max_term_width = 100, after_help = EXAMPLES)]
struct Options {
    /// How often everything is measured; the medians count
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Only this work: names from --list, separated by commas
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    only: Vec<String>,
    /// Only these columns: names from --list, separated by commas; a replay brings its recording along
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    columns: Vec<String>,
    /// Leave QEMU out
    #[arg(long)]
    no_qemu: bool,
    /// What runs the vCPUs in Reprise: as `reprise run -engine` has it
    #[arg(long, value_name = "NAME", default_value = "jit")]
    engine: String,
    /// CPU model of Reprise: x86-64-v1, -v2 or -v3; QEMU gets its model nearest to that, and natively libraries are told
    /// to use no more than it has
    #[arg(long, value_name = "MODEL", default_value = "x86-64-v2")]
    cpu: String,
    /// How much of its normal amount each program does: less for an engine that is slow, or for a quick look
    #[arg(long, value_name = "PERCENT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10000))]
    amount: u32,
    /// How long one work, or a boot, may take before it counts as failed
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    patience: u64,
    /// Write all results to this file, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// List works and columns, and measure nothing
    #[arg(long)]
    list: bool,
}

const EXAMPLES: &str = "\
Examples:
  bench                                                everything: some minutes a round
  bench --rounds 1 --only gzip,fork --columns native,reprise,tcg
  bench --engine interp --amount 5 --no-qemu           a look at the slow engine
  bench --only boot-stable,boot-backports --columns reprise,record,replay

The guest is fetched and built on first use: tests/debian/fetch and tests/debian/fetch-workloads.
Close everything else: a busy host measures itself.";

impl Options {
    fn works(&self) -> anyhow::Result<Vec<Work>> {
        if self.only.is_empty() {
            return Ok(Work::all());
        }
        let unknown = |name: &String| format!("--only: no work is called '{name}': see --list");
        self.only.iter().map(|name| Work::find(name).with_context(|| unknown(name))).collect()
    }

    fn columns(&self) -> anyhow::Result<Vec<Column>> {
        let unknown = |name: &String| format!("--columns: no column is called '{name}': see --list");
        let asked = self.columns.iter().map(|name| Column::find(name).with_context(|| unknown(name)));
        let mut asked: Vec<_> = asked.collect::<Result<_, _>>()?;
        if asked.is_empty() {
            asked = Column::ALL.to_vec();
        }
        asked.extend(asked.clone().into_iter().filter_map(Column::replays));
        let wanted = |column: &Column| asked.contains(column) && !(self.no_qemu && column.is_qemu());
        Ok(Column::ALL.into_iter().filter(wanted).collect())
    }

    fn plan(&self) -> anyhow::Result<Plan> {
        Ok(Plan {
            works: self.works()?,
            columns: self.columns()?,
            rounds: self.rounds,
            setup: Setup { engine: self.engine.clone(), cpu: self.cpu.clone(), amount: self.amount },
            patience: Duration::from_secs(self.patience),
        })
    }
}

fn list() {
    println!("works, for --only:");
    Work::all().into_iter().for_each(|work| println!("  {:18} {}", work.name(), work.description()));
    println!("columns, for --columns:");
    Column::ALL.into_iter().for_each(|column| println!("  {:18} {}", column.name(), column.description()));
}

fn run(options: &Options) -> anyhow::Result<bool> {
    if options.list {
        list();
        return Ok(true);
    }
    let plan = options.plan()?;
    if cfg!(debug_assertions) {
        bail!("this is no release build: run it with `cargo run --release -p reprise-tests --bin bench`");
    }
    let qemu = plan.columns.iter().any(|column| column.is_qemu()).then(qemu_version).transpose()?;
    let table = bench::run(&plan)?;
    if let Some(version) = &qemu {
        println!("{version}");
    }
    let good = report::print(&plan, &table);
    if let Some(path) = &options.json {
        report::write_json(path, &plan, qemu.as_deref(), &table)?;
    }
    Ok(good)
}

fn main() -> ExitCode {
    // The bench measures itself doing what `reprise` does.
    if matches!(std::env::args().nth(1).as_deref(), Some("run" | "record" | "replay")) {
        let status = reprise::main();
        process::tell_peak();
        return status;
    }
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::from(2)
        }
    }
}
