//! Medians, ratios, and whether the goals are met.

use super::Series;
use super::emulator::{Emulator, Mode};
use super::process::{Cost, Told};
use super::work::Work;

mod recording;

/// Million instructions a second of processor time, at least, in every work.
const GOAL_MIPS: f64 = 60.0;
/// Seconds to Debian's first process, at most.
const GOAL_READY: f64 = 60.0;
/// What Reprise may have in the host's memory beside what the guest touched, at most.
const GOAL_OVERHEAD: u64 = 100 << 20;

/// Prints all that was measured; whether all goals are met.
pub fn print(all: &[Series]) -> bool {
    println!("{:16} {:14} {:>27} {:>27} {:>27}", "", "", "MIPS (min..max)", "seconds (min..max)", "ready (min..max)");
    for series in all {
        print_series(series, icount(all, series.work));
    }
    println!("\nMIPS: instructions that Reprise counted for the work, by seconds of the emulator's user time.");
    print_ratios(all);
    print_memory(all);
    let recording = recording::print(all);
    [goal_mips(all), goal_ready(all), goal_memory(all), recording].iter().all(|&met| met)
}

fn print_series(series: &Series, icount: Option<u64>) {
    let column = |value: &dyn Fn(&Cost) -> f64, digits: usize| {
        let [min, median, max] = spread(series.costs.iter().map(value));
        format!("{median:.digits$} ({min:.digits$}..{max:.digits$})")
    };
    let mips = icount.map_or("?".to_owned(), |icount| column(&|cost| mips(icount, cost), 0));
    let (wall, ready) = (column(&|cost| cost.wall, 2), column(&|cost| cost.ready, 2));
    println!("{:16} {:14} {mips:>27} {wall:>27} {ready:>27}", series.work.name(), series.emulator.name());
}

/// Smallest, median and largest.
fn spread(values: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut sorted: Vec<_> = values.collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    let last = sorted.len().saturating_sub(1);
    [at(0), (at(last / 2) + at(last.div_ceil(2))) / 2.0, at(last)]
}

fn mips(icount: u64, cost: &Cost) -> f64 {
    // The host counts in hundredths of a second.
    icount as f64 / cost.user.max(0.01) / 1e6
}

fn told(all: &[Series]) -> impl Iterator<Item = (Work, Told)> {
    all.iter().flat_map(|series| series.costs.iter().filter_map(|cost| Some((series.work, cost.told?))))
}

/// How many instructions a work takes: Reprise counts the same each time.
fn icount(all: &[Series], work: Work) -> Option<u64> {
    told(all).find(|(of, _)| *of == work).map(|(_, told)| told.icount)
}

fn of(all: &[Series], emulator: Emulator) -> impl Iterator<Item = &Series> {
    all.iter().filter(move |series| series.emulator == emulator)
}

fn print_ratios(all: &[Series]) {
    for qemu in of(all, Emulator::Qemu(Mode::Run)) {
        let Some(ours) = of(all, Emulator::Reprise(Mode::Run)).find(|ours| ours.work == qemu.work) else { continue };
        let ratio = |value: &dyn Fn(&Cost) -> f64| {
            spread(qemu.costs.iter().map(value))[1] / spread(ours.costs.iter().map(value))[1]
        };
        println!(
            "{:16} Reprise has {:.2} times QEMU's speed (by user time; {:.2} by wall time)",
            qemu.work.name(),
            ratio(&|cost| cost.user.max(0.01)),
            ratio(&|cost| cost.wall),
        );
    }
}

fn print_memory(all: &[Series]) {
    println!("\n{:16} {:>12} {:>12} {:>12}", "memory, MiB", "touched", "peak", "overhead");
    for series in of(all, Emulator::Reprise(Mode::Run)) {
        let Some(told) = series.costs.iter().filter_map(|cost| cost.told).max_by_key(|told| told.peak) else {
            continue;
        };
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let over = mib(told.peak) - mib(told.touched);
        println!("{:16} {:12.1} {:12.1} {over:12.1}", series.work.name(), mib(told.touched), mib(told.peak));
    }
}

fn goal(met: bool, text: &str) -> bool {
    println!("goal {}: {text}", if met { "met" } else { "MISSED" });
    met
}

fn goal_mips(all: &[Series]) -> bool {
    let slowest = of(all, Emulator::Reprise(Mode::Run))
        .map(|series| {
            let icount = icount(all, series.work).unwrap_or(0);
            (spread(series.costs.iter().map(|cost| mips(icount, cost)))[1], series.work.name())
        })
        .min_by(|a, b| a.0.total_cmp(&b.0));
    println!();
    slowest.is_none_or(|(mips, name)| {
        goal(mips >= GOAL_MIPS, &format!("at least {GOAL_MIPS} MIPS; the slowest work, {name}, has {mips:.0}"))
    })
}

fn goal_ready(all: &[Series]) -> bool {
    let boots = of(all, Emulator::Reprise(Mode::Run)).filter(|series| series.work.suite().is_some());
    let slowest = boots.map(|series| spread(series.costs.iter().map(|cost| cost.ready))[1]).max_by(f64::total_cmp);
    slowest.is_none_or(|seconds| {
        goal(seconds < GOAL_READY, &format!("Debian's first process within {GOAL_READY} s; it took {seconds:.1} s"))
    })
}

fn goal_memory(all: &[Series]) -> bool {
    let most = told(all).map(|(_, told)| told.peak.saturating_sub(told.touched)).max();
    most.is_none_or(|over| {
        let text = format!("at most {} MiB beside what the guest touched; {} MiB", GOAL_OVERHEAD >> 20, over >> 20);
        goal(over <= GOAL_OVERHEAD, &text)
    })
}
