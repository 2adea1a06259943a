//! Devices that interrupt hostile guests from the start, as often as they can.

use reprise_core::board::{Board, Space};
use reprise_silicon::generate::Random;

/// A write to a register of a device.
pub enum Write {
    /// To a port or to memory: where, how many bytes, and what.
    Bus(Space, u64, usize, u64),
    /// To the local APIC of a vCPU.
    LocalApic(usize, u64, u32),
}

impl Write {
    /// Performs the write.
    pub fn perform(&self, board: &mut Board) {
        match *self {
            Self::Bus(space, address, size, value) => board.write(space, address, size, value),
            Self::LocalApic(cpu, offset, value) => board.apic_write(cpu, offset, value),
        }
    }
}

/// What a machine with `cpus` vCPUs is set up with.
pub fn writes(random: &mut Random, cpus: u64) -> Vec<Write> {
    let mut writes = Vec::new();
    if random.percent(50) {
        interrupt_controllers(random, &mut writes);
    }
    if random.percent(40) {
        timers(random, &mut writes);
    }
    for cpu in 0..cpus as usize {
        if random.percent(50) {
            local_apic(random, cpu, &mut writes);
        }
    }
    writes
}

fn port(writes: &mut Vec<Write>, port: u64, value: u64) {
    writes.push(Write::Bus(Space::Port, port, 1, value));
}

fn memory(writes: &mut Vec<Write>, address: u64, value: u64) {
    writes.push(Write::Bus(Space::Memory, address, 4, value));
}

/// The 8259 pair, with the end of interrupts automatic or not, and the I/O APIC.
fn interrupt_controllers(random: &mut Random, writes: &mut Vec<Write>) {
    for (base, vector, wire) in [(0x20, 0x20, 4), (0xa0, 0x28, 2)] {
        port(writes, base, 0x11);
        port(writes, base + 1, vector);
        port(writes, base + 1, wire);
        port(writes, base + 1, random.pick(&[1, 3, 3, 0x11]));
        port(writes, base + 1, if random.percent(60) { 0 } else { random.below(256) });
    }
    if random.percent(30) {
        port(writes, 0x4d0, random.below(256));
        port(writes, 0x4d1, random.below(256));
    }
    for pin in 0..24 {
        let entry = random.pick(&[0x1_0000, 0, 0x8000, 0x400, 0x700, 0x100]) | (0x30 + pin);
        memory(writes, 0xfec0_0000, 0x10 + 2 * pin);
        memory(writes, 0xfec0_0010, entry);
    }
}

/// The 8254, the real-time clock and the HPET, with the shortest periods there are.
fn timers(random: &mut Random, writes: &mut Vec<Write>) {
    port(writes, 0x43, random.pick(&[0x34, 0x36, 0x30, 0x14]));
    port(writes, 0x40, random.pick(&[1, 2, 10, 200]));
    port(writes, 0x40, 0);
    for (index, value) in [(0x0a, 0x23), (0x0b, 0x72)] {
        port(writes, 0x70, index);
        port(writes, 0x71, value);
    }
    if random.percent(50) {
        memory(writes, 0xfed0_0100, random.pick(&[0x4c, 0x44, 0x4e, 0x24c]));
        memory(writes, 0xfed0_0108, random.pick(&[0, 1, 2, 100]));
        memory(writes, 0xfed0_0108, random.pick(&[0, 1, 2, 100]));
        memory(writes, 0xfed0_0010, random.pick(&[1, 3]));
    }
}

fn local_apic(random: &mut Random, cpu: usize, writes: &mut Vec<Write>) {
    let timer = random.pick(&[0x2_0000, 0x2_0000, 0, 0x4_0000]) | (0x20 + random.below(0xc0));
    let divide = random.pick(&[0xb, 0, 3]);
    let count = random.pick(&[1, 2, 30, 500]);
    for (offset, value) in [(0xf0, 0x1ff), (0x320, timer), (0x3e0, divide), (0x380, count)] {
        writes.push(Write::LocalApic(cpu, offset, value as u32));
    }
}
