//! Following descriptors: what they say, and which of it is against the rules.
//!
//! Document: VIRTIO 1.2, 2.7.5 The Virtqueue Descriptor Table, 2.7.5.3 Indirect Descriptors, 2.8.5 Scatter-Gather
//! Support, 2.8.7 Indirect Flag: Scatter-Gather Support. Segments without bytes, of which the document says nothing, are
//! left out.

use super::{Broken, MOST_SEGMENTS};
use crate::virtio::chain::{Chain, Segment};
use reprise_core::device::Context;

/// Bytes of a descriptor of either ring.
pub(super) const DESCRIPTOR: u64 = 16;

/// Flags of descriptors of both rings.
pub(super) mod flag {
    pub(crate) const NEXT: u16 = 1 << 0;
    pub(crate) const WRITE: u16 = 1 << 1;
    pub(crate) const INDIRECT: u16 = 1 << 2;
    /// Packed ring only.
    pub(crate) const AVAIL: u16 = 1 << 7;
    /// Packed ring only.
    pub(crate) const USED: u16 = 1 << 15;
}

/// A descriptor; where the rings differ, both readings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Descriptor {
    pub(super) segment: Segment,
    pub(super) flags: u16,
    /// The next one of a split ring's chain.
    pub(super) next: u16,
    /// Buffer ID of a packed ring.
    pub(super) id: u16,
}

impl Descriptor {
    /// The descriptor at `index` of the table at `table`.
    pub(super) fn read(table: u64, index: u16, packed: bool, ctx: &mut Context<'_>) -> Self {
        let mut bytes = [0; DESCRIPTOR as usize];
        ctx.dma_read(table.wrapping_add(DESCRIPTOR * u64::from(index)), &mut bytes);
        let value = u128::from_le_bytes(bytes);
        let (low, high) = ((value >> 96) as u16, (value >> 112) as u16);
        let segment = Segment { address: value as u64, length: (value >> 64) as u32 };
        let (id, flags) = if packed { (low, high) } else { (0, low) };
        Self { segment, flags, next: high, id }
    }

    pub(super) fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}

/// A chain that is being put together.
#[derive(Debug)]
pub(super) struct Walk {
    readable: Vec<Segment>,
    writable: Vec<Segment>,
    packed: bool,
}

impl Walk {
    pub(super) fn new(packed: bool) -> Self {
        Self { readable: Vec::new(), writable: Vec::new(), packed }
    }

    /// Adds what a descriptor of the ring leads to.
    pub(super) fn add(&mut self, descriptor: &Descriptor, indirect: bool, ctx: &mut Context<'_>) -> Result<(), Broken> {
        if !descriptor.has(flag::INDIRECT) {
            return self.add_segment(descriptor);
        }
        if !indirect {
            return Err(Broken("an indirect descriptor that was not agreed on"));
        }
        if descriptor.has(flag::NEXT) {
            return Err(Broken("an indirect descriptor that is not the last"));
        }
        let Segment { address, length } = descriptor.segment;
        let count = length / DESCRIPTOR as u32;
        if !length.is_multiple_of(DESCRIPTOR as u32) || !(1..=MOST_SEGMENTS).contains(&count) {
            return Err(Broken("an indirect table of a size that cannot be"));
        }
        if self.packed { self.add_row(address, count as u16, ctx) } else { self.add_links(address, count as u16, ctx) }
    }

    /// An indirect table of a packed ring: all its descriptors, in order. Of their flags only [`flag::WRITE`] counts (2.8.7).
    fn add_row(&mut self, table: u64, count: u16, ctx: &mut Context<'_>) -> Result<(), Broken> {
        (0..count).try_for_each(|index| self.add_segment(&Descriptor::read(table, index, true, ctx)))
    }

    /// An indirect table of a split ring: descriptors that are linked.
    fn add_links(&mut self, table: u64, count: u16, ctx: &mut Context<'_>) -> Result<(), Broken> {
        let mut index = 0;
        for _ in 0..count {
            let descriptor = Descriptor::read(table, index, false, ctx);
            if descriptor.has(flag::INDIRECT) {
                return Err(Broken("an indirect table in an indirect table"));
            }
            self.add_segment(&descriptor)?;
            if !descriptor.has(flag::NEXT) {
                return Ok(());
            }
            index = descriptor.next;
            if index >= count {
                return Err(Broken("a link out of the indirect table"));
            }
        }
        Err(Broken("a loop of descriptors"))
    }

    fn add_segment(&mut self, descriptor: &Descriptor) -> Result<(), Broken> {
        if descriptor.has(flag::WRITE) {
            self.writable.push(descriptor.segment);
        } else if self.writable.is_empty() {
            self.readable.push(descriptor.segment);
        } else {
            return Err(Broken("a part to read after a part to write"));
        }
        Ok(())
    }

    /// The chain, which takes up `slots` and has the name `id`.
    pub(super) fn finish(mut self, id: u16, slots: u16) -> Result<Chain, Broken> {
        for part in [&mut self.readable, &mut self.writable] {
            part.retain(|segment| segment.length != 0);
            if part.iter().map(|segment| u64::from(segment.length)).sum::<u64>() > 1 << 32 {
                return Err(Broken("a buffer of more than 4 GiB"));
            }
        }
        Ok(Chain { queue: 0, id, slots, readable: self.readable, writable: self.writable })
    }
}
