//! Steps that bring virtio functions to life: sequences of plain accesses that a driver would make, with rings in which
//! most of what is there almost makes sense.

use super::{RAM, Random, Step};
use reprise_core::board::{Board, DeviceId, Region, Space};

/// Where functions get their base addresses, 1 MiB each.
const BASES: u64 = 0xc000_0000;
/// Their rings, for [`QUEUES`] queues.
const RINGS: u64 = 0x4_0000;
const RING_STRIDE: u64 = 0x800;
const DRIVER: u64 = 0x200;
const DEVICE: u64 = 0x300;
const TABLE: u64 = 0x400;
/// Descriptors of each queue.
const SIZE: u64 = 8;
/// Queues that are set up.
const QUEUES: u64 = 4;
/// Where buffers lie, mostly.
const BUFFERS: u64 = 0x6_0000;

/// Registers of the common configuration structure, its place, and where queues are notified.
const DEVICE_FEATURE_SELECT: u64 = 0x00;
const DEVICE_FEATURE: u64 = 0x04;
const DRIVER_FEATURE_SELECT: u64 = 0x08;
const DRIVER_FEATURE: u64 = 0x0c;
const STATUS: u64 = 0x14;
const NUM_QUEUES: u64 = 0x12;
const QUEUE_SELECT: u64 = 0x16;
const NOTIFY: u64 = 0x3000;
const STRUCTURES: u64 = 0x8_0000;

/// A virtio function on the board.
struct Function {
    /// Where its configuration space begins.
    config: u64,
    /// Where the driver puts its base address registers.
    base: u64,
    /// Its rings lie here.
    rings: u64,
}

/// The modern virtio functions among `regions`.
fn functions(board: &Board, regions: &[(DeviceId, Region)]) -> Vec<Function> {
    let is_virtio = |config: u64| {
        let id = board.peek(Space::PciConfig, config, 4);
        id & 0xffff == 0x1af4 && (0x1040..0x1080).contains(&(id >> 16))
    };
    let configs = regions.iter().filter(|(_, region)| region.space == Space::PciConfig).map(|(_, r)| r.range.start);
    let place = |config: u64| {
        let slot = config >> 15;
        Function { config, base: BASES + (slot << 20), rings: RINGS + (slot % 16) * QUEUES * RING_STRIDE }
    };
    configs.filter(|&config| is_virtio(config)).map(place).collect()
}

/// Something that a driver of one of the virtio functions does, if there are any.
pub(super) fn choose(board: &Board, regions: &[(DeviceId, Region)], random: &mut Random) -> Option<Step> {
    let functions = functions(board, regions);
    let function = functions.get(random.below(functions.len().max(1) as u64) as usize)?;
    let awake = board.peek(Space::PciConfig, function.config + 4, 2) & 6 == 6;
    let status = board.peek(Space::Memory, function.base + STRUCTURES + STATUS, 1);
    Some(Step::Sequence(match (awake, status & 0x4c) {
        (false, _) => function.enable(random),
        (true, 0x0c) if random.below(40) != 0 => function.use_queue(board, random),
        (true, _) => function.start(board, random),
    }))
}

fn memory(address: u64, value: u64, bytes: usize) -> Step {
    Step::Memory { address, bytes: value.to_le_bytes()[..bytes].to_vec() }
}

impl Function {
    fn config(&self, offset: u64, size: usize, value: u64) -> Step {
        Step::Write { space: Space::PciConfig, address: self.config + offset, size, value }
    }

    fn structure(&self, offset: u64, size: usize, value: u64) -> Step {
        Step::Write { space: Space::Memory, address: self.base + STRUCTURES + offset, size, value }
    }

    fn enable(&self, random: &mut Random) -> Vec<Step> {
        let mut steps = vec![
            self.config(0x14, 4, self.base),
            self.config(0x20, 4, self.base + STRUCTURES),
            self.config(0x24, 4, 0),
            self.config(4, 2, 6),
        ];
        for vector in 0..random.below(4) {
            for (offset, value) in [(0, 0xfee0_0000), (8, 0x40 + vector), (12, 0)] {
                let address = self.base + 16 * vector + offset;
                steps.push(Step::Write { space: Space::Memory, address, size: 4, value });
            }
            steps.push(self.config(0x42, 2, 0x8000));
        }
        steps
    }

    /// How many queues are set up.
    fn queues(&self, board: &Board) -> u64 {
        board.peek(Space::Memory, self.base + STRUCTURES + NUM_QUEUES, 2).clamp(1, QUEUES)
    }

    /// From reset to DRIVER_OK.
    fn start(&self, board: &Board, random: &mut Random) -> Vec<Step> {
        let at = self.base + STRUCTURES;
        if board.peek(Space::Memory, at + DEVICE_FEATURE_SELECT, 4) != 0 {
            return vec![self.structure(DEVICE_FEATURE_SELECT, 4, 0)];
        }
        let mut steps = vec![self.structure(STATUS, 1, 0), self.structure(STATUS, 1, 3)];
        let offered = board.peek(Space::Memory, at + DEVICE_FEATURE, 4);
        let packed = 4 * random.below(2);
        for (half, choice) in [(0, offered & random.next()), (1, 1 | packed)] {
            steps.push(self.structure(DRIVER_FEATURE_SELECT, 4, half));
            steps.push(self.structure(DRIVER_FEATURE, 4, choice));
        }
        steps.push(self.structure(STATUS, 1, 11));
        for queue in 0..self.queues(board) {
            let ring = self.rings + queue * RING_STRIDE;
            steps.push(Step::Memory { address: ring, bytes: vec![0; RING_STRIDE as usize] });
            steps.push(self.structure(QUEUE_SELECT, 2, queue));
            for (offset, value) in [(0x18, SIZE), (0x1a, queue + 1), (0x20, ring), (0x28, ring + DRIVER)] {
                steps.push(self.structure(offset, if offset < 0x20 { 2 } else { 4 }, value));
            }
            steps.extend([self.structure(0x30, 4, ring + DEVICE), self.structure(0x1c, 2, 1)]);
        }
        steps.push(self.structure(STATUS, 1, 15));
        steps
    }

    /// Makes some buffers available, and notifies.
    fn use_queue(&self, board: &Board, random: &mut Random) -> Vec<Step> {
        let queue = random.below(self.queues(board));
        let ring = self.rings + queue * RING_STRIDE;
        // The high half is what a start leaves selected.
        let packed = board.peek(Space::Memory, self.base + STRUCTURES + DRIVER_FEATURE, 4) & 4 != 0;
        let mut steps: Vec<_> = (0..random.below(6)).flat_map(|_| descriptor(ring, packed, random)).collect();
        let head = [random.value(), random.below(8), random.below(8)];
        steps.extend((0..3).map(|at| memory(BUFFERS + 8 * at, head[at as usize], 8)));
        let mut index = [0; 2];
        board.dma_read(ring + DRIVER + 2, &mut index);
        let mut index = u16::from_le_bytes(index);
        for _ in 0..random.below(4) {
            let slot = u64::from(index) % SIZE;
            steps.push(memory(ring + DRIVER + 4 + 2 * slot, random.below(SIZE), 2));
            index = index.wrapping_add(1);
        }
        if random.below(50) == 0 {
            index = random.value() as u16;
        }
        steps.push(memory(ring + DRIVER + 2, u64::from(index), 2));
        steps.push(self.structure(NOTIFY + 4 * queue, 2, queue));
        steps
    }
}

/// Writes a descriptor of the ring or of its indirect table, now and then of the other format.
fn descriptor(ring: u64, packed: bool, random: &mut Random) -> Vec<Step> {
    let table = if random.below(5) == 0 { TABLE } else { 0 };
    let index = random.below(SIZE);
    let at = ring + table + 16 * index;
    let address = match random.below(16) {
        0 => random.value(),
        1 => ring + random.below(RING_STRIDE),
        2 => ring + TABLE,
        3 => RAM - random.below(64),
        _ => BUFFERS + 8 * random.below(64),
    };
    let length = [1, 8, 16, 32, 512, 0, random.value() as u32][random.below(7) as usize];
    let write = 2 * random.below(2);
    let flags = if random.below(16) == 0 { random.below(8) } else { write };
    let lap = if random.below(2) == 0 { 1 << 7 } else { 1 << 15 };
    let of_packed = packed != (random.below(16) == 0);
    let packed_tail = random.below(SIZE) | (flags | lap) << 16;
    let next = (index + 1) % SIZE;
    let split_tail = flags | next << 16;
    let tail = if of_packed { packed_tail } else { split_tail };
    vec![memory(at, address, 8), memory(at + 8, u64::from(length), 4), memory(at + 12, tail, 4)]
}
