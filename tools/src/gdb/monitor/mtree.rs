//! `info mtree`: who answers where, in QEMU's layout.

use reprise_core::board::{Board, DeviceId, HIGH_RAM_START, Region, Space, VGA_WINDOW};
use std::fmt::Write as _;
use std::ops::Range;

/// Who answers where in memory and at the ports.
pub(super) fn show(board: &Board) -> String {
    let names: Vec<_> = board.device_names().collect();
    let regions = board.regions();
    let of = |space: Space| {
        let own = regions.iter().filter(move |(_, region)| region.space == space);
        own.map(|(device, region)| (region.range.clone(), "i/o", name(&names, *device, region))).collect::<Vec<_>>()
    };
    let mut memory = of(Space::Memory);
    memory.extend(ram(board));
    let mut text = tree("memory", "system", u64::MAX, memory);
    text.push('\n');
    text += &tree("I/O", "io", 0xffff, of(Space::Port));
    text
}

fn name(names: &[&str], device: DeviceId, region: &Region) -> String {
    let name = names.get(device.0 as usize).copied().unwrap_or("?");
    format!("{name} region {}", region.number)
}

/// Where RAM answers.
fn ram(board: &Board) -> impl Iterator<Item = (Range<u64>, &'static str, String)> {
    let low = board.low_ram();
    let high = HIGH_RAM_START..HIGH_RAM_START + board.high_ram();
    let parts = [0..low.min(VGA_WINDOW.start), VGA_WINDOW.end..low, high];
    parts.into_iter().filter(|range| !range.is_empty()).map(move |range| {
        let offset = if range.start == HIGH_RAM_START { low } else { range.start };
        let at = if offset == 0 { String::new() } else { format!(" @{offset:016x}") };
        (range, "ram", format!("pc.ram{at}"))
    })
}

fn tree(space: &str, root: &str, last: u64, mut parts: Vec<(Range<u64>, &str, String)>) -> String {
    parts.sort_by_key(|(range, ..)| range.start);
    let mut text = format!("address-space: {space}\n  {:016x}-{last:016x} (prio 0, i/o): {root}\n", 0);
    for (range, kind, name) in parts {
        let _ = writeln!(text, "    {:016x}-{:016x} (prio 0, {kind}): {name}", range.start, range.end - 1);
    }
    text
}
