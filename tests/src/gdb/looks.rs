//! Looking around: memory, threads, and conditions that the server evaluates.

use super::Session;
use super::client::Why;
use super::subject::Subject;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;

/// Each vCPU is a thread, with registers of its own.
pub fn threads(session: &mut Session, subject: &Subject) -> Result<()> {
    // At the start those that nobody has started yet are alike.
    session.seek("end")?;
    let list = session.tell("info threads")?;
    let count = list.lines().filter(|line| line.contains("Thread 1.")).count();
    ensure!(count == subject.cpus as usize, "{count} threads: {list}");
    let mut registers = BTreeSet::new();
    for thread in 1..=subject.cpus {
        session.tell(&format!("thread {thread}"))?;
        registers.insert((session.number("$pc")?, session.number("$sp")?, session.number("$gs_base")?));
    }
    session.tell("thread 1")?;
    ensure!(registers.len() == subject.cpus as usize, "threads have the same registers: {registers:x?}");
    Ok(())
}

/// gdb's `find` finds a text where it is; a place that is not there is an error and no more.
pub fn memory(session: &mut Session, start: u64, length: u64, text: &str) -> Result<()> {
    let said = session.tell(&format!("find /1 {start:#x}, +{length:#x}, \"{text}\""))?;
    let found =
        said.lines().find_map(|line| u64::from_str_radix(line.split_whitespace().next()?.strip_prefix("0x")?, 16).ok());
    let found = found.with_context(|| format!("'{text}' is not found: {said}"))?;
    let there = session.tell(&format!("x/s {found:#x}"))?;
    ensure!(there.contains(text), "what is found is no '{text}': {there}");
    let nothing = session.try_to_tell("output *(long *)0x7fffffffffff0000")?;
    ensure!(nothing.is_err(), "there is memory where nothing is mapped: {nothing:?}");
    Ok(())
}

/// Conditions give the same stops wherever they are evaluated, in both directions.
pub fn conditions(session: &mut Session, place: &str, condition: &str) -> Result<()> {
    let mut walks = Vec::new();
    for evaluated in ["host", "target"] {
        session.tell(&format!("set breakpoint condition-evaluation {evaluated}"))?;
        session.seek("start")?;
        session.tell(&format!("break {place} if {condition}"))?;
        let mut walk = Vec::new();
        for command in ["continue", "continue", "continue", "reverse-continue", "reverse-continue"] {
            let stop = session.resume(command)?;
            ensure!(stop.why == Why::Breakpoint, "{evaluated}: '{command}' stops by {stop:?}");
            ensure!(session.number(condition)? != 0, "{evaluated}: it stops though it is not so that {condition}");
            walk.push(session.position()?);
        }
        let list = session.tell("info breakpoints")?;
        let by_target = list.contains("(target evals)");
        ensure!(by_target == (evaluated == "target"), "{evaluated}: {list}");
        session.tell("delete")?;
        ensure!(walk[0] == walk[4] && walk[1] == walk[3], "{evaluated}: {walk:?}");
        walks.push(walk);
    }
    ensure!(walks[0] == walks[1], "by gdb and by the server: {walks:#?}");
    session.tell("set breakpoint condition-evaluation auto").map(drop)
}
