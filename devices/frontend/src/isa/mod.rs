//! Devices at fixed I/O ports, as the ISA bus left them in every PC.

pub mod debugcon;
pub mod i8042;
pub mod isa_debug_exit;
pub mod mc146818_rtc;
pub mod ns16550_uart;
pub mod port92;
pub mod ps2_keyboard;
pub mod ps2_mouse;
mod ps2_scan_codes;
pub mod pvpanic;

use reprise_core::backend::{BackendKind, ChardevId};
use reprise_core::board::{Board, DeviceId, Region};
use reprise_core::property::{self, AttachError, Properties, PropertyKind, PropertySpec};
use std::ops::Range;

/// QEMU's name for the bus of all devices here.
pub const BUS: &str = "ISA";

/// The property that connects a device to a character device.
const CHARDEV: PropertySpec = PropertySpec {
    name: "chardev",
    kind: PropertyKind::Backend(BackendKind::Chardev),
    default: "",
    description: "Character device that serves it",
};

/// The value of a number whose default is empty, if it was given.
fn given(properties: &Properties, name: &str) -> Option<u64> {
    property::number(properties.text(name))
}

/// The character device of the property [`CHARDEV`].
fn chardev(properties: &Properties) -> Option<ChardevId> {
    properties.backend(CHARDEV.name).map(ChardevId)
}

/// Checks that `count` ports from `base` on exist: there are 65536.
fn port_range(name: &'static str, base: u64, count: u64) -> Result<Range<u64>, AttachError> {
    match base.checked_add(count) {
        Some(end) if end <= 0x1_0000 => Ok(base..end),
        _ => Err(AttachError::Invalid { device: name, reason: format!("no {count} ports from {base:#06x} on") }),
    }
}

/// Maps a region of `device` on the board.
fn map(board: &mut Board, name: &'static str, device: DeviceId, region: Region) -> Result<(), AttachError> {
    board.map(device, region).map_err(|source| AttachError::Map { device: name, source })
}
