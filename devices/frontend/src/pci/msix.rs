//! Extended message-signalled interrupts, for any PCI function.
//!
//! Document: PCI Local Bus Specification 3.0, 6.8.2 MSI-X Capability and Table Structures, and 6.8.3 MSI and MSI-X
//! Operation.
//!
//! The table and the pending bits share a base address register, as on QEMU: the table from its start, the pending bits
//! from its middle. A message is a memory write of the function: without leave to master the bus it is lost.
//!
//! Not modelled: sharing that base address register with registers of the device.

use super::ConfigSpace;
use super::layout::{Bar, BarKind, CAP_ID_MSIX, Layout};
use reprise_core::device::{Context, Width};
use reprise_core::state::StateError;
use serde::{Deserialize, Serialize};

/// Most vectors of a function (6.8.2.3 Message Control for MSI-X).
pub const MOST_VECTORS: u16 = 2048;

/// Message Control, after the capability's ID and link.
const MESSAGE_CONTROL: u16 = 2;
/// Message Control: MSI-X Enable.
const ENABLE: u16 = 1 << 15;
/// Message Control: Function Mask.
const FUNCTION_MASK: u16 = 1 << 14;
/// Vector Control: Mask Bit.
const MASKED: u32 = 1 << 0;
/// Bytes of an entry of the table.
const ENTRY: u64 = 16;
/// The smallest region: a page of its own (6.8.2 recommends it).
const LEAST_SIZE: u64 = 4096;

/// What is fixed about a function's MSI-X.
#[derive(Clone, Copy, Debug)]
pub struct Msix {
    capability: u16,
    vectors: u16,
    /// Offset of the pending bits, which is half the region.
    pending: u64,
}

/// An entry of the table (6.8.2.6 to 6.8.2.9 Message Address, Upper Address, Data, Vector Control).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    /// Message Address and Message Upper Address, Message Data, Vector Control.
    registers: [u32; 4],
    /// Its bit of the pending bit array.
    pending: bool,
}

/// Everything that the guest can observe of a function's MSI-X beside its configuration space.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MsixState {
    entries: Vec<Entry>,
}

impl Entry {
    /// After power-on all vectors are masked.
    const POWER_ON: Self = Self { registers: [0, 0, 0, MASKED], pending: false };

    fn is_masked(&self) -> bool {
        self.registers[3] & MASKED != 0
    }

    fn send(&self, ctx: &mut Context<'_>) {
        let [low, high, data, _] = self.registers;
        ctx.dma_write(u64::from(high) << 32 | u64::from(low), &data.to_le_bytes());
    }
}

impl MsixState {
    /// Forgets the messages that wait for a mask to be lifted: what they would tell of is gone.
    pub fn forget_pending(&mut self) {
        self.entries.iter_mut().for_each(|entry| entry.pending = false);
    }
}

impl Msix {
    /// Gives a function `vectors` vectors (1 to [`MOST_VECTORS`]) behind base address register `bar`, whose region the
    /// device knows as `region`.
    pub fn new(layout: Layout, vectors: u16, bar: u8, region: u32) -> (Layout, Self) {
        assert!((1..=MOST_VECTORS).contains(&vectors), "{vectors} MSI-X vectors cannot be");
        let size = (2 * ENTRY * u64::from(vectors)).next_power_of_two().max(LEAST_SIZE);
        let mut layout = layout.bar(bar, Bar { kind: BarKind::Memory32, size, region, narrowest: 4, widest: 4 });
        let pending = size / 2;
        let control = (vectors - 1).to_le_bytes();
        let table = u32::from(bar).to_le_bytes();
        let array = (pending as u32 | u32::from(bar)).to_le_bytes();
        let initial = [&control[..], &table, &array].concat();
        let writable = [0, ((ENABLE | FUNCTION_MASK) >> 8) as u8, 0, 0, 0, 0, 0, 0, 0, 0];
        let capability = layout.capability(CAP_ID_MSIX, &initial, &writable);
        (layout, Self { capability, vectors, pending })
    }

    /// The state after power-on.
    pub fn power_on(&self) -> MsixState {
        MsixState { entries: vec![Entry::POWER_ON; usize::from(self.vectors)] }
    }

    /// How many vectors there are.
    pub fn vectors(&self) -> u16 {
        self.vectors
    }

    /// Whether the driver chose MSI-X; else the function uses its interrupt pin.
    pub fn is_enabled(&self, config: &ConfigSpace) -> bool {
        config.word(self.capability + MESSAGE_CONTROL) & ENABLE != 0
    }

    /// Reads the region.
    pub fn read(&self, state: &MsixState, offset: u64, width: Width) -> u64 {
        let register = match offset.checked_sub(self.pending) {
            None => state.entries.get((offset / ENTRY) as usize).map_or(0, |e| e.registers[(offset / 4 % 4) as usize]),
            Some(at) => pending_bits(state, at / 4),
        };
        u64::from(register) >> (8 * (offset & 3)) & width.mask()
    }

    /// Writes the region; the pending bits are read-only.
    pub fn write(&self, state: &mut MsixState, config: &ConfigSpace, offset: u64, value: u32, ctx: &mut Context<'_>) {
        if offset >= self.pending {
            return;
        }
        let Some(entry) = state.entries.get_mut((offset / ENTRY) as usize) else { return };
        let register = (offset / 4 % 4) as usize;
        let writable = [!3, u32::MAX, u32::MAX, MASKED][register];
        entry.registers[register] = value & writable;
        self.send_pending(state, config, ctx);
    }

    /// Sends the message of `vector`, or notes it as pending if it is masked. Without MSI-X, or such a vector, nothing
    /// happens.
    pub fn notify(&self, state: &mut MsixState, config: &ConfigSpace, vector: u16, ctx: &mut Context<'_>) {
        let Some(entry) = state.entries.get_mut(usize::from(vector)).filter(|_| self.is_enabled(config)) else {
            return;
        };
        if self.is_function_masked(config) || entry.is_masked() {
            entry.pending = true;
        } else {
            entry.send(ctx);
        }
    }

    /// Sends what waits for a mask that was lifted. To be called after each write to configuration space.
    pub fn send_pending(&self, state: &mut MsixState, config: &ConfigSpace, ctx: &mut Context<'_>) {
        if !self.is_enabled(config) || self.is_function_masked(config) {
            return;
        }
        for entry in state.entries.iter_mut().filter(|entry| entry.pending && !entry.is_masked()) {
            entry.pending = false;
            entry.send(ctx);
        }
    }

    /// Refuses saved state with another number of vectors.
    pub fn check(&self, part: &str, state: &MsixState) -> Result<(), StateError> {
        let (expected, found) = (usize::from(self.vectors), state.entries.len());
        if expected == found {
            return Ok(());
        }
        let vectors = |count: usize| format!("{count} MSI-X vectors");
        Err(StateError::Mismatch { part: part.into(), expected: vectors(expected), found: vectors(found) })
    }

    fn is_function_masked(&self, config: &ConfigSpace) -> bool {
        config.word(self.capability + MESSAGE_CONTROL) & FUNCTION_MASK != 0
    }
}

/// 32 bits of the pending bit array.
fn pending_bits(state: &MsixState, index: u64) -> u32 {
    let from = state.entries.get(32 * index as usize..).unwrap_or_default();
    from.iter().take(32).rev().fold(0, |bits, entry| bits << 1 | u32::from(entry.pending))
}
