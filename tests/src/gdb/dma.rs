//! A disk that writes to memory is found as the writer.

use super::Session;
use super::client::{Why, number_after};
use anyhow::{Context, Result, ensure};
use reprise_core::clock::Tick;
use std::fs;
use std::path::Path;

/// Where an ext4 file system has its UUID, which nothing else has: Linux, "ext4 Data Structures and Algorithms", 4.1
/// Super Block.
const UUID: std::ops::Range<usize> = 0x468..0x478;
/// The RAM that is searched.
const RAM: std::ops::Range<u64> = 0x10_0000..512 << 20;

/// Finds what the guest has read from the beginning of `disk` in its memory, and when the disk wrote it there.
pub fn check(session: &mut Session, disk: &Path) -> Result<()> {
    let image = fs::read(disk).with_context(|| disk.display().to_string())?;
    let uuid = image.get(UUID).context("the disk has no file system")?;
    session.seek("end")?;
    session.tell("maintenance packet Qqemu.PhyMemMode:1")?;
    let bytes: Vec<_> = uuid.iter().map(|byte| format!("(char){byte}")).collect();
    let said = session.tell(&format!("find {:#x}, +{:#x}, {}", RAM.start, RAM.end - RAM.start, bytes.join(", ")))?;
    let mut written = Vec::new();
    for address in said.lines().filter_map(|line| u64::from_str_radix(line.strip_prefix("0x")?, 16).ok()) {
        written.extend(by_device(session, address)?.map(|after| (address, after)));
    }
    let (address, after) = *written.first().with_context(|| format!("no device wrote any of {said}"))?;
    session.tell(&format!("watch *(long *){address:#x}"))?;
    let stop = session.resume("reverse-continue")?;
    let at = session.position()?.tick;
    ensure!(
        stop.why == Why::Watchpoint && at < after,
        "the disk writes before {after}, and it stops at {at}: {stop:?}"
    );
    ensure!(by_device(session, address)?.is_none_or(|earlier| earlier <= at), "the write is not undone at {at}");
    let again = session.resume("continue")?;
    ensure!(again.why == Why::Watchpoint && session.position()?.tick == after, "forward it stops elsewhere: {again:?}");
    session.tell("delete")?;
    session.tell("maintenance packet Qqemu.PhyMemMode:0").map(drop)
}

/// The position after the last write there, if it was a device's.
fn by_device(session: &mut Session, address: u64) -> Result<Option<Tick>> {
    let said = session.tell(&format!("monitor last-write -p {address:#x},8"))?;
    if !said.contains("by the device") {
        return Ok(None);
    }
    let after = said.split_once("after it").and_then(|(_, rest)| number_after(rest, "tick"));
    after.map(Some).with_context(|| format!("no position is told: {said}"))
}
