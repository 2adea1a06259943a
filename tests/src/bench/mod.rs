//! The benchmark: the same guests in Reprise and in QEMU with counted instructions, in turn.
//!
//! | module | what |
//! | --- | --- |
//! | [`work`] | what the guests do |
//! | [`emulator`] | the command lines of both emulators |
//! | [`process`] | one run, and what it cost |
//! | [`report`] | medians, ratios, goals |

pub mod emulator;
pub mod process;
pub mod report;
pub mod work;

use emulator::Emulator;
use process::Cost;
use work::Work;

/// The runs of one work in one emulator.
pub struct Series {
    /// What the guest did.
    pub work: Work,
    /// In which emulator.
    pub emulator: Emulator,
    /// What each run cost.
    pub costs: Vec<Cost>,
}

/// Runs every work in every emulator, `rounds` times, in turn: whatever else the host does hits all alike.
pub fn run(works: &[Work], emulators: &[Emulator], rounds: u32) -> anyhow::Result<Vec<Series>> {
    let pairs = works.iter().flat_map(|&work| emulators.iter().map(move |&emulator| (work, emulator)));
    let mut all: Vec<_> = pairs.map(|(work, emulator)| Series { work, emulator, costs: Vec::new() }).collect();
    let scratch = tempfile::tempdir()?;
    for round in 1..=rounds {
        for series in &mut all {
            let mut cost = process::measure(series.emulator.command(series.work, scratch.path())?, series.work)?;
            cost.logged = series.emulator.logged(series.work, scratch.path())?;
            eprintln!("round {round} of {rounds}: {} in {}: {cost}", series.work.name(), series.emulator.name());
            series.costs.push(cost);
        }
    }
    Ok(all)
}
