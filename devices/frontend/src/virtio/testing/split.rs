//! A split ring as a driver has it (VIRTIO 1.2, 2.7.13 Supplying Buffers to The Device, 2.7.14 Receiving Used Buffers
//! From The Device).

use super::{Part, Ring};
use reprise_core::board::Board;

pub(super) struct SplitRing {
    table: u64,
    available: u64,
    used: u64,
    size: u16,
    event_idx: bool,
    free: Vec<u16>,
    /// Descriptors of the buffer with each head.
    chains: Vec<Vec<u16>>,
    added: u16,
    kicked: u16,
    taken: u16,
}

fn word(board: &Board, address: u64) -> u16 {
    let mut bytes = [0; 2];
    board.dma_read(address, &mut bytes);
    u16::from_le_bytes(bytes)
}

/// The bytes of a descriptor.
fn descriptor((address, length, write): Part, next: Option<u16>, flags: u16) -> Vec<u8> {
    let flags = flags | u16::from(next.is_some()) | u16::from(write) << 1;
    let ends = [flags.to_le_bytes(), next.unwrap_or(0).to_le_bytes()].concat();
    [&address.to_le_bytes()[..], &length.to_le_bytes(), &ends].concat()
}

impl SplitRing {
    pub(super) fn new(table: u64, available: u64, used: u64, size: u16, event_idx: bool) -> Self {
        let chains = vec![Vec::new(); usize::from(size)];
        let free = (0..size).collect();
        Self { table, available, used, size, event_idx, free, chains, added: 0, kicked: 0, taken: 0 }
    }

    fn put(&self, board: &mut Board, index: u16, bytes: &[u8]) {
        board.dma_write(self.table + 16 * u64::from(index), bytes);
    }
}

impl Ring for SplitRing {
    fn add(&mut self, board: &mut Board, parts: &[Part], table: Option<u64>) -> u16 {
        let count = if table.is_some() { 1 } else { parts.len() };
        let chain: Vec<u16> = self.free.drain(..count).collect();
        let links = |at: usize, of: &[u16]| of.get(at + 1).copied();
        match table {
            Some(table) => {
                let inner: Vec<u16> = (0..parts.len() as u16).collect();
                for (at, &part) in parts.iter().enumerate() {
                    board.dma_write(table + 16 * at as u64, &descriptor(part, links(at, &inner), 0));
                }
                self.put(board, chain[0], &descriptor((table, 16 * parts.len() as u32, false), None, 4));
            }
            None => {
                for (at, &part) in parts.iter().enumerate() {
                    self.put(board, chain[at], &descriptor(part, links(at, &chain), 0));
                }
            }
        }
        let head = chain[0];
        self.chains[usize::from(head)] = chain;
        let slot = u64::from(self.added % self.size);
        board.dma_write(self.available + 4 + 2 * slot, &head.to_le_bytes());
        self.added = self.added.wrapping_add(1);
        board.dma_write(self.available + 2, &self.added.to_le_bytes());
        head
    }

    fn wants_kick(&mut self, board: &Board) -> bool {
        let (old, new) = (self.kicked, self.added);
        self.kicked = new;
        if !self.event_idx {
            return word(board, self.used) & 1 == 0 && old != new;
        }
        let event = word(board, self.used + 4 + 8 * u64::from(self.size));
        new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
    }

    fn take_used(&mut self, board: &mut Board) -> Option<(u16, u32)> {
        if word(board, self.used + 2) == self.taken {
            return None;
        }
        let mut element = [0; 8];
        board.dma_read(self.used + 4 + 8 * u64::from(self.taken % self.size), &mut element);
        let element = u64::from_le_bytes(element);
        let head = element as u16;
        let chain = std::mem::take(&mut self.chains[usize::from(head)]);
        assert!(!chain.is_empty(), "buffer {head} came back and was not out");
        self.free.extend(chain);
        self.taken = self.taken.wrapping_add(1);
        if self.event_idx {
            board.dma_write(self.available + 4 + 2 * u64::from(self.size), &self.taken.to_le_bytes());
        }
        Some((head, (element >> 32) as u32))
    }

    fn want_interrupts(&mut self, board: &mut Board, wanted: bool) {
        board.dma_write(self.available, &u16::from(!wanted).to_le_bytes());
        let event = if wanted { self.taken } else { self.taken.wrapping_sub(1) };
        board.dma_write(self.available + 4 + 2 * u64::from(self.size), &event.to_le_bytes());
    }

    fn room(&self) -> u16 {
        self.free.len() as u16
    }
}
