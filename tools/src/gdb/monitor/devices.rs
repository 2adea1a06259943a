//! `info devices`, which is `info qtree` too: the devices of the board, and where they answer.

use reprise_core::board::{Board, Region, Space};
use std::fmt::Write as _;

/// Every device and bus.
pub(super) fn show(board: &Board) -> String {
    let regions = board.regions();
    let mut text = String::new();
    for (number, name) in board.device_names().enumerate() {
        let _ = writeln!(text, "dev: {name}{}", place(board, name));
        for (_, region) in regions.iter().filter(|(device, _)| device.0 as usize == number) {
            let _ = writeln!(text, "  {}", line(region));
        }
        for bus in board.buses().iter().filter(|bus| bus.owner.0 as usize == number) {
            let _ = writeln!(text, "  bus: {}\n    type {}", bus.name, bus.kind);
            for (slot, device) in bus.slots() {
                let _ = writeln!(text, "    dev: {device}, slot {slot:#x}");
            }
        }
    }
    text
}

/// Where a device is plugged in.
fn place(board: &Board, name: &str) -> String {
    let taken = |bus: &reprise_core::board::Bus| {
        let slot = bus.slots().find(|(_, device)| *device == name)?.0;
        Some(format!(", {} slot {slot:#x}", bus.name))
    };
    board.buses().iter().find_map(taken).unwrap_or_default()
}

/// First address and size, as QEMU's `info qtree` has them.
fn line(region: &Region) -> String {
    let (start, size) = (region.range.start, region.range.end - region.range.start);
    match region.space {
        Space::Memory => format!("mmio {start:016x}/{size:016x}"),
        Space::Port => format!("ports {start:04x}/{size:04x}"),
        Space::PciConfig => {
            let (device, function) = (start >> 15 & 31, start >> 12 & 7);
            format!("config {:02x}:{device:02x}.{function}", start >> 20)
        }
    }
}
