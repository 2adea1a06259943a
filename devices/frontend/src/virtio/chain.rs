//! Buffers that a driver makes available: what a descriptor chain leads to, whichever ring it lies in.
//!
//! Document: VIRTIO 1.2, 2.6 Virtqueues.

use reprise_core::device::Context;
use serde::{Deserialize, Serialize};

/// One guest-physical part of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Where it begins.
    pub address: u64,
    /// How many bytes; never 0 in a [`Chain`].
    pub length: u32,
}

/// A descriptor chain that the driver made available. Plain state: a device may keep it across ticks, and must give it
/// back by [`VirtioIo::push`](super::VirtioIo::push) once.
///
/// Each part has at most 4 GiB in all. Addresses are the driver's: those without RAM read as ones and ignore writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// The queue that it came from.
    pub queue: u16,
    /// What the driver knows it by: its head (split ring) or its buffer ID (packed ring).
    pub id: u16,
    /// How many slots of the ring it takes up.
    pub slots: u16,
    /// What the device may read, in order.
    pub readable: Vec<Segment>,
    /// What the device may write, in order.
    pub writable: Vec<Segment>,
}

impl Chain {
    /// Bytes of the readable part.
    pub fn readable_len(&self) -> u64 {
        length(&self.readable)
    }

    /// Bytes of the writable part.
    pub fn writable_len(&self) -> u64 {
        length(&self.writable)
    }

    /// Reads up to `data.len()` bytes at `offset` of the readable part; how many there were.
    pub fn read(&self, offset: u64, data: &mut [u8], ctx: &mut Context<'_>) -> usize {
        let mut done = 0;
        for part in parts(&self.readable, offset, data.len()) {
            let length = part.length as usize;
            ctx.dma_read(part.address, &mut data[done..done + length]);
            done += length;
        }
        done
    }

    /// Writes `data` at `offset` of the writable part; how many bytes fit.
    pub fn write(&self, offset: u64, data: &[u8], ctx: &mut Context<'_>) -> usize {
        let mut done = 0;
        for part in parts(&self.writable, offset, data.len()) {
            let length = part.length as usize;
            ctx.dma_write(part.address, &data[done..done + length]);
            done += length;
        }
        done
    }
}

fn length(segments: &[Segment]) -> u64 {
    segments.iter().map(|segment| u64::from(segment.length)).sum()
}

/// What of `segments` lies in the `wanted` bytes from `offset` on.
fn parts(segments: &[Segment], offset: u64, wanted: usize) -> impl Iterator<Item = Segment> {
    let (mut skip, mut left) = (offset, wanted as u64);
    segments.iter().filter_map(move |segment| {
        let skipped = skip.min(u64::from(segment.length));
        let length = left.min(u64::from(segment.length) - skipped);
        skip -= skipped;
        left -= length;
        let address = segment.address.wrapping_add(skipped);
        (length > 0).then_some(Segment { address, length: length as u32 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_begin_at_the_offset_and_end_with_what_was_asked_for() {
        let segments = [(0x1000, 10), (0x2000, 1), (u64::MAX - 1, 5)];
        let segments = segments.map(|(address, length)| Segment { address, length });
        let of = |offset, wanted| {
            parts(&segments, offset, wanted).map(|part| (part.address, part.length)).collect::<Vec<_>>()
        };
        assert_eq!(of(0, 100), [(0x1000, 10), (0x2000, 1), (u64::MAX - 1, 5)]);
        assert_eq!(of(4, 6), [(0x1004, 6)]);
        assert_eq!(of(9, 3), [(0x1009, 1), (0x2000, 1), (u64::MAX - 1, 1)]);
        assert_eq!(of(14, 9), [(1, 2)]);
        assert_eq!(of(16, 1), []);
        assert_eq!(of(u64::MAX, 1), []);
        assert_eq!(of(0, 0), []);
    }
}
