//! What Reprise must show: each goal on a line of its own, if what it is about was measured.

use super::{RECORD, REPLAY, RR_RECORD, RR_REPLAY, RUN, TCG, mips};
use crate::bench::Plan;
use crate::bench::column::{Column, TRANSLATOR};
use crate::bench::table::{Table, geometric_mean};
use crate::bench::work::{Kind, Work};

const MIB: u64 = 1 << 20;

/// Bytes that a boot without input logs at most, apart from stored files.
const LOG: u64 = 4 << 10;

/// A goal that is met or not, in words.
type Goal = (bool, String);

/// Prints whether they are met; whether all are.
pub(super) fn print(plan: &Plan, table: &Table) -> bool {
    let mut goals = recording(table);
    if plan.setup.engine == TRANSLATOR {
        goals.extend(translator(table));
        aims(table);
    } else {
        goals.extend(interpreter(table));
    }
    for (met, text) in &goals {
        println!("goal {}: {text}", if *met { "met" } else { "MISSED" });
    }
    goals.iter().all(|(met, _)| *met)
}

/// Of either engine: what recording costs.
fn recording(table: &Table) -> Vec<Goal> {
    [
        mean_at_most(table, "recording takes, by running,", RECORD, RUN, 1.02),
        mean_at_most(table, "replaying takes, by recording,", REPLAY, RECORD, 1.0),
        logged(table),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn interpreter(table: &Table) -> Vec<Goal> {
    [slowest_program(table, 60.0), slowest_boot(table, 60.0), memory(table, 100 * MIB)].into_iter().flatten().collect()
}

fn translator(table: &Table) -> Vec<Goal> {
    let each = |kind: fn(Work) -> bool, of, least| each_at_least(table, kind, of, least);
    [
        mean_at_least(table, "recording", TCG, RECORD, 2.5),
        mean_at_least(table, "recording", RR_RECORD, RECORD, 3.0),
        mean_at_least(table, "recording", RR_REPLAY, RECORD, 4.0),
        mean_at_least(table, "replaying", RR_REPLAY, REPLAY, 4.0),
        each(|_| true, TCG, 1.0),
        each(|work| work.kind() == Some(Kind::Loop), TCG, 10.0),
        each(|work| matches!(work, Work::Boot(_)), RR_RECORD, 3.0),
        memory(table, 300 * MIB),
    ]
    .into_iter()
    .flatten()
    .chain(translation(table))
    .collect()
}

/// Not what must be shown, but where it goes: how near native time code is.
fn aims(table: &Table) {
    print_aim(table, "integer code", &[Kind::Integer], 2.0);
    print_aim(table, "vector code", &[Kind::Cryptography, Kind::Loop], 1.3);
}

fn print_aim(table: &Table, name: &str, kinds: &[Kind], aim: f64) {
    let works = table.works().into_iter().filter(|work| work.kind().is_some_and(|kind| kinds.contains(&kind)));
    let ratios: Vec<_> = works.filter_map(|work| table.ratio(work, RUN, Column::Native)).collect();
    if let Some(mean) = geometric_mean(&ratios) {
        println!("aim: {name} at {aim} times native, in the geometric mean; {mean:.2}");
    }
}

fn mean_at_most(table: &Table, what: &str, of: Column, to: Column, most: f64) -> Option<Goal> {
    let (mean, works) = table.mean_ratio(of, to)?;
    Some((mean <= most, format!("{what} at most {most:.2} in the geometric mean; {mean:.3} over {works} works")))
}

fn mean_at_least(table: &Table, what: &str, of: Column, to: Column, least: f64) -> Option<Goal> {
    let (mean, works) = table.mean_ratio(of, to)?;
    let name = of.description();
    Some((
        mean >= least,
        format!("{what} at {least} times the speed of {name} in the geometric mean; {mean:.2} over {works} works"),
    ))
}

/// Every work of a kind at least so many times as fast, recorded, as in another column.
fn each_at_least(table: &Table, is_meant: fn(Work) -> bool, of: Column, least: f64) -> Option<Goal> {
    let works = table.works().into_iter().filter(|work| is_meant(*work));
    let ratios: Vec<_> = works.filter_map(|work| Some((work.name(), table.ratio(work, of, RECORD)?))).collect();
    let (slowest, ratio) = ratios.iter().min_by(|a, b| a.1.total_cmp(&b.1))?;
    let names: Vec<_> = ratios.iter().map(|(name, _)| name.as_str()).collect();
    let which = if names.len() > 5 { "all works".to_owned() } else { names.join(", ") };
    let name = of.description();
    Some((
        *ratio >= least,
        format!("{which}, recording, at {least} times the speed of {name}; {slowest} has {ratio:.2}"),
    ))
}

fn slowest_program(table: &Table, least: f64) -> Option<Goal> {
    let all = table.works().into_iter().filter_map(|work| Some((mips(table, work)?, work.name())));
    let (mips, name) = all.min_by(|a, b| a.0.total_cmp(&b.0))?;
    Some((mips >= least, format!("at least {least} million instructions a second; {name} has {mips:.0}")))
}

fn slowest_boot(table: &Table, most: f64) -> Option<Goal> {
    let boots = table.works().into_iter().filter(|work| matches!(work, Work::Boot(_)));
    let seconds = boots.filter_map(|work| table.wall(work, RUN)).max_by(f64::total_cmp)?;
    Some((seconds < most, format!("Debian's first process within {most} s; {seconds:.1} s")))
}

fn memory(table: &Table, most: u64) -> Option<Goal> {
    let told = table.ended.iter().filter_map(|ended| ended.told);
    let beyond = told.map(|told| told.peak.saturating_sub(told.touched)).max()?;
    let text = format!("at most {} MiB beyond what the guest touched; {} MiB", most / MIB, beyond / MIB);
    Some((beyond <= most, text))
}

fn logged(table: &Table) -> Option<Goal> {
    let boots = table.ended.iter().filter(|ended| ended.column == RECORD && ended.boot.is_some());
    let most = boots.filter_map(|ended| ended.logged).max()?;
    Some((most <= LOG, format!("at most {LOG} bytes logged by a boot without input; {most} bytes")))
}

/// Nanoseconds for an instruction, and bytes by the guest's: each at its worst.
fn translation(table: &Table) -> Vec<Goal> {
    let all = || table.ended.iter().filter_map(|ended| ended.told?.translation);
    let (Some(nanoseconds), Some(growth)) = (
        all().map(|translation| translation.nanoseconds).max(),
        all()
            .map(|told| (told.hot_bytes + told.cold_bytes) as f64 / told.guest_bytes.max(1) as f64)
            .max_by(f64::total_cmp),
    ) else {
        return Vec::new();
    };
    vec![
        (nanoseconds <= 500, format!("an instruction translated in 500 ns at most; {nanoseconds} ns")),
        (growth <= 8.0, format!("emitted code at most 8 times the guest's; {growth:.1} times")),
    ]
}
