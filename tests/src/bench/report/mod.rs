//! What is printed: times, ratios, memory, failures, and whether the goals are met.

use super::Plan;
use super::column::{Column, Qemu, Reprise, TRANSLATOR};
use super::table::Table;
use super::work::Work;

mod goals;
mod json;

pub use json::write as write_json;

const RUN: Column = Column::Reprise(Reprise::Run);
const RECORD: Column = Column::Reprise(Reprise::Record);
const REPLAY: Column = Column::Reprise(Reprise::Replay);
const TCG: Column = Column::Qemu(Qemu::Tcg);
const ICOUNT: Column = Column::Qemu(Qemu::Icount);
const RR_RECORD: Column = Column::Qemu(Qemu::Record);
const RR_REPLAY: Column = Column::Qemu(Qemu::Replay);

/// How many times as fast Reprise is, and what recording costs: names, and the columns of the ratios.
const COMPARISONS: [(&str, Column, Column); 7] = [
    ("tcg/rec", TCG, RECORD),
    ("icount/run", ICOUNT, RUN),
    ("icount/rec", ICOUNT, RECORD),
    ("rr=rec/rec", RR_RECORD, RECORD),
    ("rr=rep/rep", RR_REPLAY, REPLAY),
    ("rec/run", RECORD, RUN),
    ("rep/rec", REPLAY, RECORD),
];

/// Prints all that was measured; whether nothing failed and all goals are met.
pub fn print(plan: &Plan, table: &Table) -> bool {
    let columns = table.columns();
    print_seconds(table, &columns);
    print_times_native(table, &columns);
    print_comparisons(table, &columns);
    print_memory(table);
    if plan.setup.engine == TRANSLATOR {
        print_translation(table);
    }
    let failed = print_failures(table);
    goals::print(plan, table) && !failed
}

/// A table with a line for each work: its heading, the names of its columns, and their values.
fn print_table(table: &Table, heading: &str, names: &[&str], value: impl Fn(Work, usize) -> String) {
    print!("\n{heading:18}");
    names.iter().for_each(|name| print!(" {name:>10}"));
    println!();
    for work in table.works() {
        print!("{:18}", work.name());
        (0..names.len()).for_each(|column| print!(" {:>10}", value(work, column)));
        println!();
    }
}

/// The line below it.
fn print_last(heading: &str, values: impl Iterator<Item = Option<f64>>) {
    print!("{heading:18}");
    values.for_each(|value| print!(" {:>10}", number(value, 2)));
    println!();
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

fn print_seconds(table: &Table, columns: &[Column]) {
    let names: Vec<_> = columns.iter().map(|column| column.name()).chain(["MIPS"]).collect();
    print_table(table, "seconds", &names, |work, index| match columns.get(index) {
        None => number(mips(table, work), 0),
        Some(&column) if table.of(work, column).any(|sample| sample.result.is_err()) => "failed".to_owned(),
        Some(&column) => number(table.wall(work, column), 3),
    });
    println!("MIPS: instructions that Reprise counted, by seconds of its processor time.");
}

/// An instruction lasts a nanosecond of guest time.
fn mips(table: &Table, work: Work) -> Option<f64> {
    // The host counts in hundredths of a second.
    Some(table.clock(work, RUN)? as f64 / table.processor(work, RUN)?.max(0.01) / 1e6)
}

fn print_times_native(table: &Table, columns: &[Column]) {
    let others: Vec<_> = columns.iter().copied().filter(|column| *column != Column::Native).collect();
    if others.len() == columns.len() {
        return;
    }
    let names: Vec<_> = others.iter().map(|column| column.name()).collect();
    let ratio = |work, index: usize| number(table.ratio(work, others[index], Column::Native), 2);
    print_table(table, "times native", &names, ratio);
    let means = others.iter().map(|&column| Some(table.mean_ratio(column, Column::Native)?.0));
    print_last("geometric mean", means);
}

fn print_comparisons(table: &Table, columns: &[Column]) {
    let there = |(_, of, to): &&(&str, Column, Column)| columns.contains(of) && columns.contains(to);
    let comparisons: Vec<_> = COMPARISONS.iter().filter(there).collect();
    if comparisons.is_empty() {
        return;
    }
    let names: Vec<_> = comparisons.iter().map(|(name, _, _)| *name).collect();
    let ratio = |work, index: usize| number(table.ratio(work, comparisons[index].1, comparisons[index].2), 3);
    print_table(table, "time by time", &names, ratio);
    let means = comparisons.iter().map(|(_, of, to)| Some(table.mean_ratio(*of, *to)?.0));
    print_last("geometric mean", means);
}

fn print_memory(table: &Table) {
    println!("\n{:24} {:>10} {:>10} {:>10}", "memory, MiB", "touched", "peak", "beyond");
    for column in [RUN, RECORD, REPLAY] {
        let told = table.ended.iter().filter(|ended| ended.column == column).filter_map(|ended| ended.told);
        let Some(most) = told.max_by_key(|told| told.peak.saturating_sub(told.touched)) else { continue };
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let (touched, peak) = (mib(most.touched), mib(most.peak));
        println!("{:24} {touched:10.1} {peak:10.1} {:10.1}", column.description(), peak - touched);
    }
}

fn print_translation(table: &Table) {
    println!(
        "\n{:24} {:>13} {:>10} {:>10} {:>10}",
        "translation", "instructions", "hot/guest", "cold/guest", "ns each"
    );
    for ended in table.ended.iter().filter(|ended| ended.column == RUN) {
        let Some(translation) = ended.told.and_then(|told| told.translation) else { continue };
        let what = ended.boot.map_or_else(|| "programs".to_owned(), |suite| Work::Boot(suite).name());
        let by_guest = |bytes: u64| bytes as f64 / translation.guest_bytes.max(1) as f64;
        println!(
            "{what:24} {:13} {:10.2} {:10.2} {:10}",
            translation.instructions,
            by_guest(translation.hot_bytes),
            by_guest(translation.cold_bytes),
            translation.nanoseconds
        );
    }
}

/// Whether any work failed.
fn print_failures(table: &Table) -> bool {
    println!();
    for (sample, why) in table.failures() {
        println!("failed: {} in {}, round {}: {why}", sample.work.name(), sample.column.name(), sample.round);
    }
    table.failures().next().is_some()
}
