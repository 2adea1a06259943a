//! The split ring.
//!
//! Document: VIRTIO 1.2, 2.7 Split Virtqueues: descriptor table, available ring (Driver Area) and used ring (Device Area).

use super::walk::{Descriptor, Walk, flag};
use super::{Broken, Chain, Format, Queue, read_u16};
use reprise_core::device::Context;

/// Both rings: flags, then the index that its writer is at, then the ring.
const IDX: u64 = 2;
const RING: u64 = 4;
/// The available ring's flags: no interrupts, please.
const NO_INTERRUPT: u16 = 1 << 0;
/// Bytes of an element of the used ring.
const USED_ELEMENT: u64 = 8;

impl Queue {
    /// How many buffers wait (2.7.6 The Virtqueue Available Ring).
    pub(super) fn split_waiting(&self, ctx: &mut Context<'_>) -> Result<u16, Broken> {
        let waiting = read_u16(self.driver.wrapping_add(IDX), ctx).wrapping_sub(self.available.index);
        if waiting > self.size { Err(Broken("the available index is too far ahead")) } else { Ok(waiting) }
    }

    pub(super) fn split_pop(&mut self, format: Format, ctx: &mut Context<'_>) -> Result<Option<Chain>, Broken> {
        if self.split_waiting(ctx)? == 0 {
            return Ok(None);
        }
        let slot = u64::from(self.available.index % self.size);
        let head = read_u16(self.driver.wrapping_add(RING + 2 * slot), ctx);
        let chain = self.split_chain(head, format, ctx)?;
        self.take(1)?;
        self.available.index = self.available.index.wrapping_add(1);
        if format.event_idx {
            ctx.dma_write(self.avail_event(), &self.available.index.to_le_bytes());
        }
        Ok(Some(chain))
    }

    /// Follows the chain that begins with descriptor `head`.
    fn split_chain(&self, head: u16, format: Format, ctx: &mut Context<'_>) -> Result<Chain, Broken> {
        let mut walk = Walk::new(false);
        let mut index = head;
        for _ in 0..self.size {
            if index >= self.size {
                return Err(Broken("a descriptor that the table does not have"));
            }
            let descriptor = Descriptor::read(self.descriptors, index, false, ctx);
            walk.add(&descriptor, format.indirect, ctx)?;
            if !descriptor.has(flag::NEXT) {
                return walk.finish(head, 1);
            }
            index = descriptor.next;
        }
        Err(Broken("a loop of descriptors"))
    }

    /// Adds to the used ring (2.7.8 The Virtqueue Used Ring); whether an interrupt is wanted (2.7.7 Used Buffer
    /// Notification Suppression).
    pub(super) fn split_push(&mut self, head: u16, written: u32, format: Format, ctx: &mut Context<'_>) -> bool {
        let slot = u64::from(self.used.index % self.size);
        let element = u64::from(written) << 32 | u64::from(head);
        ctx.dma_write(self.device.wrapping_add(RING + USED_ELEMENT * slot), &element.to_le_bytes());
        let before = self.used.index;
        self.used.index = before.wrapping_add(1);
        ctx.dma_write(self.device.wrapping_add(IDX), &self.used.index.to_le_bytes());
        if format.event_idx {
            read_u16(self.used_event(), ctx) == before
        } else {
            read_u16(self.driver, ctx) & NO_INTERRUPT == 0
        }
    }

    /// Where the driver says after which used element it wants an interrupt.
    fn used_event(&self) -> u64 {
        self.driver.wrapping_add(RING + 2 * u64::from(self.size))
    }

    /// Where the device says after which available element it wants a notification.
    fn avail_event(&self) -> u64 {
        self.device.wrapping_add(RING + USED_ELEMENT * u64::from(self.size))
    }
}
