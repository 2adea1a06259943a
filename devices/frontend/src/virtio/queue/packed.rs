//! The packed ring.
//!
//! Document: VIRTIO 1.2, 2.8 Packed Virtqueues: one ring of descriptors (Descriptor Area), and two structures by which
//! driver and device tell each other which events they want (Driver Area and Device Area).

use super::walk::{DESCRIPTOR, Descriptor, Walk, flag};
use super::{Broken, Chain, Cursor, Format, Queue};
use reprise_core::device::Context;

/// An event suppression structure: flags (2.8.14 Event Suppression Structure Format).
const EVENTS_DISABLED: u16 = 1;
const EVENTS_AT_DESCRIPTOR: u16 = 2;
/// Its descriptor's wrap counter.
const EVENT_WRAP: u16 = 1 << 15;

impl Cursor {
    /// Goes on by `slots`, at most once around.
    fn advance(&mut self, slots: u16, size: u16) {
        let index = u32::from(self.index) + u32::from(slots);
        let around = index >= u32::from(size);
        self.index = if around { index - u32::from(size) } else { index } as u16;
        self.wrap ^= around;
    }
}

impl Queue {
    /// Whether the next descriptor is available (2.8.1 Driver and Device Ring Wrap Counters).
    pub(super) fn packed_has_available(&self, ctx: &mut Context<'_>) -> bool {
        self.is_available(&Descriptor::read(self.descriptors, self.available.index, true, ctx))
    }

    fn is_available(&self, descriptor: &Descriptor) -> bool {
        let wrap = self.available.wrap;
        descriptor.has(flag::AVAIL) == wrap && descriptor.has(flag::USED) != wrap
    }

    pub(super) fn packed_pop(&mut self, format: Format, ctx: &mut Context<'_>) -> Result<Option<Chain>, Broken> {
        let first = Descriptor::read(self.descriptors, self.available.index, true, ctx);
        if !self.is_available(&first) {
            return Ok(None);
        }
        let chain = self.packed_chain(first, format, ctx)?;
        self.take(chain.slots)?;
        self.available.advance(chain.slots, self.size);
        if format.event_idx {
            self.want_notification(ctx);
        }
        Ok(Some(chain))
    }

    /// Follows the list of descriptors that begins with `first`; the last one has its ID.
    fn packed_chain(&self, first: Descriptor, format: Format, ctx: &mut Context<'_>) -> Result<Chain, Broken> {
        let mut walk = Walk::new(true);
        let (mut at, mut descriptor) = (self.available, first);
        for slots in 1..=self.size {
            walk.add(&descriptor, format.indirect, ctx)?;
            if !descriptor.has(flag::NEXT) {
                return walk.finish(descriptor.id, slots);
            }
            at.advance(1, self.size);
            descriptor = Descriptor::read(self.descriptors, at.index, true, ctx);
        }
        Err(Broken("a loop of descriptors"))
    }

    /// Asks for a notification once the descriptor that is next becomes available (2.8.10 Event Suppression).
    fn want_notification(&self, ctx: &mut Context<'_>) {
        let wrap = if self.available.wrap { EVENT_WRAP } else { 0 };
        let event = u32::from(EVENTS_AT_DESCRIPTOR) << 16 | u32::from(self.available.index | wrap);
        ctx.dma_write(self.device, &event.to_le_bytes());
    }

    /// Marks the buffer's descriptors as used (2.8.6 Next Flag: Descriptor Chaining); whether an interrupt is wanted.
    pub(super) fn packed_push(&mut self, chain: &Chain, written: u32, format: Format, ctx: &mut Context<'_>) -> bool {
        let before = self.used;
        let mut flags = if before.wrap { flag::AVAIL | flag::USED } else { 0 };
        if written != 0 {
            flags |= flag::WRITE;
        }
        let tail = u64::from(flags) << 48 | u64::from(chain.id) << 32 | u64::from(written);
        let slot = self.descriptors.wrapping_add(DESCRIPTOR * u64::from(before.index));
        ctx.dma_write(slot.wrapping_add(8), &tail.to_le_bytes());
        let slots = chain.slots.min(self.size);
        self.used.advance(slots, self.size);
        self.packed_wants_interrupt(before, slots, format, ctx)
    }

    /// Whether the driver wants to hear that `slots` from `before` on were used.
    fn packed_wants_interrupt(&self, before: Cursor, slots: u16, format: Format, ctx: &mut Context<'_>) -> bool {
        let mut bytes = [0; 4];
        ctx.dma_read(self.driver, &mut bytes);
        let [low, high, flags_low, flags_high] = bytes;
        let (event, flags) = (u16::from_le_bytes([low, high]), u16::from_le_bytes([flags_low, flags_high]) & 3);
        if flags != EVENTS_AT_DESCRIPTOR || !format.event_idx {
            return flags != EVENTS_DISABLED;
        }
        let lap = if (event & EVENT_WRAP != 0) == before.wrap { 0 } else { u32::from(self.size) };
        let index = u32::from(event & !EVENT_WRAP) + lap;
        (u32::from(before.index)..u32::from(before.index) + u32::from(slots)).contains(&index)
    }
}
