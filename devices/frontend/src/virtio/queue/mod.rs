//! Virtqueues: the rings through which a driver hands over buffers and gets them back.
//!
//! Document: VIRTIO 1.2, 2.6 Virtqueues, 2.7 Split Virtqueues, 2.8 Packed Virtqueues.
//!
//! Rings lie in guest memory and are a hostile driver's to shape. What a ring claims is checked where it is read, and one
//! that breaks a rule is [`Broken`] for good: the device then needs a reset. A queue never has more buffers out than it
//! has room for, a chain never more descriptors than [`MOST_SEGMENTS`] beyond those of the ring, nor more than 4 GiB to
//! read or to write.
//!
//! The device is never too busy to hear of buffers, so it always asks to be notified of the next one (2.7.10, 2.8.10).

mod packed;
mod split;
mod walk;

use super::chain::Chain;
use reprise_core::device::Context;
use serde::{Deserialize, Serialize};

/// Most entries of an indirect table that the device follows, as on QEMU.
const MOST_SEGMENTS: u32 = 1024;

/// The ring breaks the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken(pub(super) &'static str);

/// What driver and device agreed on that shapes a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Format {
    /// VIRTIO_F_RING_PACKED.
    pub(super) packed: bool,
    /// VIRTIO_F_EVENT_IDX.
    pub(super) event_idx: bool,
    /// VIRTIO_F_INDIRECT_DESC.
    pub(super) indirect: bool,
}

/// How far the device is in one direction. Of a split ring `index` counts freely and `wrap` stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Cursor {
    index: u16,
    wrap: bool,
}

/// A virtqueue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Queue {
    /// Queue Size.
    pub(super) size: u16,
    /// The MSI-X vector of its interrupt.
    pub(super) vector: u16,
    /// The driver set it up.
    pub(super) enabled: bool,
    /// Descriptor Area.
    pub(super) descriptors: u64,
    /// Driver Area.
    pub(super) driver: u64,
    /// Device Area.
    pub(super) device: u64,
    available: Cursor,
    used: Cursor,
    /// Slots of the ring whose buffers the device has.
    in_use: u16,
}

impl Queue {
    /// A queue after reset, of which the driver may take `size` descriptors.
    pub(super) fn new(size: u16) -> Self {
        let start = Cursor { index: 0, wrap: true };
        Self {
            size,
            vector: super::NO_VECTOR,
            enabled: false,
            descriptors: 0,
            driver: 0,
            device: 0,
            available: start,
            used: start,
            in_use: 0,
        }
    }

    /// Whether the ring can be worked with: the driver's choice, or saved state.
    pub(super) fn fits(&self, format: Format, most: u16) -> bool {
        let size = (1..=most).contains(&self.size) && (format.packed || self.size.is_power_of_two());
        let inside = |cursor: Cursor| !format.packed || cursor.index < self.size;
        size && inside(self.available) && inside(self.used) && self.in_use <= self.size
    }

    /// Whether the driver made a buffer available.
    pub(super) fn has_available(&self, format: Format, ctx: &mut Context<'_>) -> Result<bool, Broken> {
        if format.packed { Ok(self.packed_has_available(ctx)) } else { Ok(self.split_waiting(ctx)? != 0) }
    }

    /// Takes the next buffer that the driver made available.
    pub(super) fn pop(&mut self, number: u16, format: Format, ctx: &mut Context<'_>) -> Result<Option<Chain>, Broken> {
        let chain = if format.packed { self.packed_pop(format, ctx)? } else { self.split_pop(format, ctx)? };
        Ok(chain.map(|chain| Chain { queue: number, ..chain }))
    }

    /// Gives a buffer back, into which `written` bytes were written; whether the driver wants an interrupt.
    pub(super) fn push(&mut self, chain: &Chain, written: u32, format: Format, ctx: &mut Context<'_>) -> bool {
        self.in_use = self.in_use.saturating_sub(chain.slots);
        if format.packed {
            self.packed_push(chain, written, format, ctx)
        } else {
            self.split_push(chain.id, written, format, ctx)
        }
    }

    /// Notes that a buffer which takes up `slots` is out.
    fn take(&mut self, slots: u16) -> Result<(), Broken> {
        let in_use = self.in_use.checked_add(slots).filter(|&in_use| in_use <= self.size);
        self.in_use = in_use.ok_or(Broken("more buffers than the queue has room for"))?;
        Ok(())
    }
}

/// A field of two bytes in guest memory.
fn read_u16(address: u64, ctx: &mut Context<'_>) -> u16 {
    let mut bytes = [0; 2];
    ctx.dma_read(address, &mut bytes);
    u16::from_le_bytes(bytes)
}
