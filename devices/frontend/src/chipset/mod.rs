//! Interrupt controllers and timers of the chipset.

pub mod hpet;
pub mod i82093_ioapic;
pub mod i8254_pit;
pub mod i8259_pic;

#[cfg(test)]
mod testing;

use reprise_core::board::{Board, DeviceId, Region};
use reprise_core::property::AttachError;

/// Maps a region of the part `device` of the board.
fn map(board: &mut Board, device: &'static str, id: DeviceId, region: Region) -> Result<(), AttachError> {
    board.map(id, region).map_err(|source| AttachError::Map { device, source })
}
