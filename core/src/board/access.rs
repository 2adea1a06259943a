//! Bus accesses: finding who decodes an address, and the width rules of real hardware.

use super::{Board, Space, Target, width};
use crate::memory::PAGE_SIZE;

/// One part of an access that reaches one device.
struct Part {
    target: Target,
    /// Offset into the device's region, aligned to the part's width.
    offset: u64,
    /// Bytes of the part as the device sees it.
    bytes: u64,
    /// Bytes at the start of the part that were not asked for.
    skip: u64,
    /// Bytes that were asked for.
    wanted: u64,
}

impl Board {
    /// Reads `size` bytes (1 to 8) at `address`; what nobody decodes reads as all ones.
    pub fn read(&mut self, space: Space, address: u64, size: usize) -> u64 {
        let mut value = 0;
        let mut done = 0;
        while done < size as u64 {
            let at = address.wrapping_add(done);
            let (bits, wanted) = match self.part(space, at, size as u64 - done) {
                Some(part) => (self.read_part(&part), part.wanted),
                None => (0xff, 1),
            };
            value |= (bits & mask(wanted)) << (8 * done);
            done += wanted;
        }
        value
    }

    /// Writes the low `size` bytes (1 to 8) of `value` at `address`; what nobody decodes is lost.
    pub fn write(&mut self, space: Space, address: u64, size: usize, value: u64) {
        let mut done = 0;
        while done < size as u64 {
            let at = address.wrapping_add(done);
            let wanted = match self.part(space, at, size as u64 - done) {
                Some(part) => {
                    let bits = (value >> (8 * done) & mask(part.wanted)) << (8 * part.skip);
                    self.with_device(part.target.device, |device, ctx| {
                        device.write(part.target.number, part.offset, width(part.bytes), bits, ctx);
                    });
                    part.wanted
                }
                None => 1,
            };
            done += wanted;
        }
    }

    /// What [`read`](Self::read) would return, without any effect.
    pub fn peek(&self, space: Space, address: u64, size: usize) -> u64 {
        let mut value = 0;
        let mut done = 0;
        while done < size as u64 {
            let (bits, wanted) = match self.part(space, address.wrapping_add(done), size as u64 - done) {
                Some(part) => (self.peek_part(&part), part.wanted),
                None => (0xff, 1),
            };
            value |= (bits & mask(wanted)) << (8 * done);
            done += wanted;
        }
        value
    }

    /// Cuts the next part of at most `left` bytes from an access at `address`.
    fn part(&self, space: Space, address: u64, left: u64) -> Option<Part> {
        let (target, offset) = self.spaces[space as usize].find(address)?;
        let aligned = 1 << offset.trailing_zeros().min(3);
        let widest = u64::from(target.widest).min(aligned);
        let fits = (0..4).map(|shift| 8 >> shift).find(|&bytes| bytes <= left && bytes <= widest)?;
        let bytes = fits.max(u64::from(target.narrowest));
        let skip = offset % bytes;
        Some(Part { target, offset: offset - skip, bytes, skip, wanted: fits })
    }

    fn read_part(&mut self, part: &Part) -> u64 {
        let read = self.with_device(part.target.device, |device, ctx| {
            device.read(part.target.number, part.offset, width(part.bytes), ctx)
        });
        read.map_or(u64::MAX, |bits| bits >> (8 * part.skip))
    }

    fn peek_part(&self, part: &Part) -> u64 {
        let device = self.devices[part.target.device.0 as usize].device.as_ref();
        let peek = device.map(|d| d.peek(part.target.number, part.offset, width(part.bytes), self.now));
        peek.map_or(u64::MAX, |bits| bits >> (8 * part.skip))
    }

    /// Reads guest memory as a bus master: RAM, and all ones elsewhere.
    pub fn dma_read(&self, address: u64, data: &mut [u8]) {
        let mut at = address;
        for part in page_parts_mut(address, data) {
            match self.ram_offset(at).and_then(|offset| self.ram.slice(offset, part.len())) {
                Some(bytes) => part.copy_from_slice(bytes),
                None => part.fill(0xff),
            }
            at = at.wrapping_add(part.len() as u64);
        }
    }

    /// Writes guest memory as a bus master: RAM, or an interrupt message.
    pub fn dma_write(&mut self, address: u64, data: &[u8]) {
        if address >> 20 == 0xfee {
            if let Ok(message) = data.try_into() {
                self.interrupt_message(address, u32::from_le_bytes(message));
            }
            return;
        }
        let first = data.len().min((PAGE_SIZE - address % PAGE_SIZE) as usize);
        let (head, tail) = data.split_at(first);
        let mut at = address;
        for part in std::iter::once(head).chain(tail.chunks(PAGE_SIZE as usize)) {
            if let Some(offset) = self.ram_offset(at) {
                self.ram.write(offset, part);
            }
            at = at.wrapping_add(part.len() as u64);
        }
        self.request_leave();
    }
}

/// A mask of the low `bytes` bytes, 1 to 8.
fn mask(bytes: u64) -> u64 {
    u64::MAX >> (64 - 8 * bytes)
}

fn page_parts_mut(address: u64, data: &mut [u8]) -> impl Iterator<Item = &mut [u8]> {
    let first = data.len().min((PAGE_SIZE - address % PAGE_SIZE) as usize);
    let (head, tail) = data.split_at_mut(first);
    std::iter::once(head).chain(tail.chunks_mut(PAGE_SIZE as usize))
}
