//! How quickly one walks in a long recording, beside what QEMU can do of it.
//!
//! | module | what |
//! | --- | --- |
//! | [`recording`] | the recording: a Debian guest at work |
//! | [`packets`] | a debugger that takes no time of its own |
//! | [`walk`] | what is measured with it, and with gdb |
//! | [`crossings`] | the instruction that is about to be executed so often |
//! | [`qemu`] | what QEMU can do of it |
//! | [`report`] | figures, goals, and whether they are met |

pub mod crossings;
pub mod packets;
pub mod qemu;
pub mod recording;
pub mod report;
pub mod walk;

use anyhow::{Context, Result};
use report::Report;
use std::fs;
use std::path::PathBuf;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// A recording that is there already; one is made otherwise.
    pub recording: Option<PathBuf>,
    /// Whether to measure QEMU.
    pub qemu: bool,
    /// How many random places are gone to.
    pub places: usize,
    /// How many steps back are made at each of some of them.
    pub steps: usize,
    /// Where the random places come from.
    pub seed: u64,
}

/// Measures everything.
pub fn run(plan: &Plan) -> Result<Report> {
    let folder = tempfile::tempdir()?;
    let program = std::env::current_exe().context("cannot find this program itself")?;
    let file = match &plan.recording {
        Some(file) => fs::canonicalize(file).with_context(|| file.display().to_string())?,
        None => {
            let file = folder.path().join("work.rpr");
            recording::record(&program, &file)?;
            file
        }
    };
    let recorded = recording::describe(&file)?;
    println!("{recorded}");
    let mut report = Report::default();
    walk::measure(&program, &recorded, plan, &mut report)?;
    if plan.qemu {
        qemu::measure(folder.path(), &mut report)?;
    }
    let crossed = crossings::find(&file)?;
    println!("{crossed}");
    walk::false_hits(&program, &recorded, &crossed, &mut report)?;
    Ok(report)
}
