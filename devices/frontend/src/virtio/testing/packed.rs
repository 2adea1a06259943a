//! A packed ring as a driver has it (VIRTIO 1.2, 2.8.19 Supplying Buffers to The Device, 2.8.20 Receiving Used Buffers
//! From The Device, and 2.8.10 Event Suppression).

use super::{Part, Ring};
use reprise_core::board::Board;
use std::collections::BTreeMap;

pub(super) struct PackedRing {
    ring: u64,
    driver: u64,
    device: u64,
    size: u16,
    event_idx: bool,
    /// Slots of the buffer with each ID.
    out: BTreeMap<u16, u16>,
    next_id: u16,
    /// Slots that were ever filled, read and kicked: the ring's position and lap follow from them.
    filled: u64,
    read: u64,
    kicked: u64,
    in_use: u16,
}

impl PackedRing {
    pub(super) fn new(ring: u64, driver: u64, device: u64, size: u16, event_idx: bool) -> Self {
        let out = BTreeMap::new();
        Self { ring, driver, device, size, event_idx, out, next_id: 0, filled: 0, read: 0, kicked: 0, in_use: 0 }
    }

    fn slot(&self, position: u64) -> u64 {
        self.ring + 16 * (position % u64::from(self.size))
    }

    /// The wrap counter at a position: 1 on the first lap.
    fn wrap(&self, position: u64) -> bool {
        (position / u64::from(self.size)).is_multiple_of(2)
    }

    /// A position as an event: descriptor and wrap counter.
    fn event(&self, position: u64) -> u16 {
        (position % u64::from(self.size)) as u16 | u16::from(self.wrap(position)) << 15
    }
}

fn descriptor((address, length, _): Part, id: u16, flags: u16) -> Vec<u8> {
    let ends = [id.to_le_bytes(), flags.to_le_bytes()].concat();
    [&address.to_le_bytes()[..], &length.to_le_bytes(), &ends].concat()
}

impl Ring for PackedRing {
    fn add(&mut self, board: &mut Board, parts: &[Part], table: Option<u64>) -> u16 {
        let id =
            (0..self.size).map(|at| (self.next_id + at) % self.size).find(|id| !self.out.contains_key(id)).unwrap();
        self.next_id = id + 1;
        let row = match table {
            Some(table) => {
                for (at, &part) in parts.iter().enumerate() {
                    board.dma_write(table + 16 * at as u64, &descriptor(part, 0, u16::from(part.2) << 1));
                }
                vec![((table, 16 * parts.len() as u32, false), 4)]
            }
            None => parts.iter().map(|&part| (part, u16::from(part.2) << 1)).collect(),
        };
        // The first descriptor last: from then on the device sees the buffer.
        for (at, &(part, flags)) in row.iter().enumerate().rev() {
            let position = self.filled + at as u64;
            let next = u16::from(at + 1 < row.len());
            let lap = if self.wrap(position) { 1 << 7 } else { 1 << 15 };
            board.dma_write(self.slot(position), &descriptor(part, id, flags | next | lap));
        }
        self.filled += row.len() as u64;
        self.in_use += row.len() as u16;
        self.out.insert(id, row.len() as u16);
        id
    }

    fn wants_kick(&mut self, board: &Board) -> bool {
        let (old, new) = (self.kicked, self.filled);
        self.kicked = new;
        let mut bytes = [0; 4];
        board.dma_read(self.device, &mut bytes);
        let (event, flags) = (u16::from_le_bytes([bytes[0], bytes[1]]), u16::from_le_bytes([bytes[2], bytes[3]]));
        match flags {
            0 => old != new,
            1 => false,
            _ => (old..new).any(|position| self.event(position) == event),
        }
    }

    fn take_used(&mut self, board: &mut Board) -> Option<(u16, u32)> {
        let mut bytes = [0; 16];
        board.dma_read(self.slot(self.read), &mut bytes);
        let value = u128::from_le_bytes(bytes);
        let (flags, wrap) = ((value >> 112) as u16, self.wrap(self.read));
        if (flags >> 15 & 1 != 0) != wrap || (flags >> 7 & 1 != 0) != wrap {
            return None;
        }
        let id = (value >> 96) as u16;
        let slots = self.out.remove(&id).unwrap_or_else(|| panic!("buffer {id} came back and was not out"));
        self.read += u64::from(slots);
        self.in_use -= slots;
        if self.event_idx {
            self.want_interrupts(board, true);
        }
        Some((id, (value >> 64) as u32))
    }

    fn want_interrupts(&mut self, board: &mut Board, wanted: bool) {
        let flags: u16 = match (wanted, self.event_idx) {
            (false, _) => 1,
            (true, true) => 2,
            (true, false) => 0,
        };
        let event = [self.event(self.read).to_le_bytes(), flags.to_le_bytes()].concat();
        board.dma_write(self.driver, &event);
    }

    fn room(&self) -> u16 {
        self.size - self.in_use
    }
}
