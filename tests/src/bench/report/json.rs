//! The results as a file for machines.

use crate::bench::Plan;
use crate::bench::column::Column;
use crate::bench::table::{Ended, Sample, Table};
use crate::bench::work::Work;
use anyhow::Context;
use serde_json::{Value, json};
use std::path::Path;

/// Writes medians and every sample: times in seconds, sizes in bytes.
pub fn write(path: &Path, plan: &Plan, qemu: Option<&str>, table: &Table) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(&all(plan, qemu, table))?;
    std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))
}

fn all(plan: &Plan, qemu: Option<&str>, table: &Table) -> Value {
    let cells =
        table.works().into_iter().flat_map(|work| table.columns().into_iter().map(move |column| (work, column)));
    json!({
        "engine": plan.setup.engine,
        "cpu": plan.setup.cpu,
        "amount": plan.setup.amount,
        "rounds": plan.rounds,
        "qemu": qemu,
        "host": host(),
        "medians": cells.map(|(work, column)| median(table, work, column)).collect::<Vec<_>>(),
        "samples": table.samples.iter().map(sample).collect::<Vec<_>>(),
        "processes": table.ended.iter().map(ended).collect::<Vec<_>>(),
    })
}

/// The name of the host's processor.
fn host() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn median(table: &Table, work: Work, column: Column) -> Value {
    json!({
        "work": work.name(),
        "column": column.name(),
        "wall": table.wall(work, column),
        "processor": table.processor(work, column),
        "times_native": table.ratio(work, column, Column::Native),
    })
}

fn sample(sample: &Sample) -> Value {
    let mut value = json!({ "work": sample.work.name(), "column": sample.column.name(), "round": sample.round });
    match &sample.result {
        Ok(cell) => {
            value["wall"] = cell.wall.into();
            value["processor"] = cell.processor.into();
            value["guest_nanoseconds"] = cell.clock.into();
            value["sum"] = cell.sum.clone().into();
        }
        Err(why) => value["failed"] = why.as_str().into(),
    }
    value
}

fn ended(ended: &Ended) -> Value {
    let mut value = json!({
        "column": ended.column.name(),
        "round": ended.round,
        "boot": ended.boot.map(|suite| suite.name()),
        "wall": ended.wall,
        "logged": ended.logged,
    });
    if let Some(told) = ended.told {
        value["instructions"] = told.icount.into();
        value["touched"] = told.touched.into();
        value["peak"] = told.peak.into();
        value["translation"] = told.translation.map_or(Value::Null, |translation| {
            json!({
                "instructions": translation.instructions,
                "guest_bytes": translation.guest_bytes,
                "hot_bytes": translation.hot_bytes,
                "cold_bytes": translation.cold_bytes,
                "nanoseconds_each": translation.nanoseconds,
            })
        });
    }
    value
}
