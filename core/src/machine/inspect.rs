//! Looking at a machine without changing anything.
//!
//! Nothing here sets an accessed bit, remembers a translation or disturbs a device, so whoever looks leaves no trace in
//! the guest.

use super::Machine;
use crate::board::{Board, Space};
use crate::cpu::CpuState;
use crate::interp;
use crate::memory::PAGE_SIZE;

/// Memory as one vCPU sees it.
#[derive(Clone, Copy)]
pub struct View<'a> {
    cpu: &'a CpuState,
    board: &'a Board,
}

impl<'a> View<'a> {
    /// What `cpu`, which is one of the machine with `board`, sees.
    pub fn new(cpu: &'a CpuState, board: &'a Board) -> Self {
        Self { cpu, board }
    }

    /// The physical address that is mapped at a linear one, whatever the permissions; `None` if nothing is.
    pub fn translate(&self, linear: u64) -> Option<u64> {
        interp::translate(self.cpu, self.board, linear)
    }

    /// Reads what is mapped at `linear` and the addresses after it; how many bytes there are.
    pub fn read_linear(&self, linear: u64, bytes: &mut [u8]) -> usize {
        let mut done = 0;
        while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let Some(at) = linear.checked_add(done as u64) else { break };
            let Some(physical) = self.translate(at) else { break };
            let len = rest.len().min(left_in_page(at));
            self.read_page(physical, &mut rest[..len]);
            done += len;
        }
        done
    }

    /// Reads physical memory: RAM, this vCPU's local APIC, or what a device would answer, with ones where nobody does.
    pub fn read_physical(&self, address: u64, bytes: &mut [u8]) {
        for (at, part) in page_parts(address, bytes) {
            self.read_page(at, part);
        }
    }

    /// Reads bytes of one page.
    fn read_page(&self, physical: u64, bytes: &mut [u8]) {
        let apic = self.board.apics.get(self.cpu.index as usize).and_then(|apic| apic.page());
        if apic == Some(physical & !(PAGE_SIZE - 1)) {
            self.read_apic(physical % PAGE_SIZE, bytes);
        } else {
            read_shared(self.board, physical, bytes);
        }
    }

    fn read_apic(&self, offset: u64, bytes: &mut [u8]) {
        for (at, byte) in (offset..).zip(bytes) {
            let word = self.board.apic_peek(self.cpu.index as usize, at & !3);
            *byte = word.to_le_bytes()[(at & 3) as usize];
        }
    }
}

/// Reads bytes of one page of what is there for everyone: RAM and devices.
fn read_shared(board: &Board, physical: u64, bytes: &mut [u8]) {
    let ram = board.ram_offset(physical).and_then(|offset| board.ram.slice(offset, bytes.len()));
    if let Some(found) = ram {
        bytes.copy_from_slice(found);
        return;
    }
    // Registers are read whole where the bytes asked for allow it.
    let first = bytes.len().min((8 - physical % 8) as usize);
    let (head, tail) = bytes.split_at_mut(first);
    let mut at = physical;
    for part in std::iter::once(head).chain(tail.chunks_mut(8)) {
        let value = board.peek(Space::Memory, at, part.len());
        part.copy_from_slice(&value.to_le_bytes()[..part.len()]);
        at = at.wrapping_add(part.len() as u64);
    }
}

fn left_in_page(address: u64) -> usize {
    (PAGE_SIZE - address % PAGE_SIZE) as usize
}

/// The parts of `bytes` that lie in one page each, with their addresses.
fn page_parts(address: u64, bytes: &mut [u8]) -> impl Iterator<Item = (u64, &mut [u8])> {
    let first = bytes.len().min(left_in_page(address));
    let (head, tail) = bytes.split_at_mut(first);
    let mut at = address;
    std::iter::once(head).chain(tail.chunks_mut(PAGE_SIZE as usize)).map(move |part| {
        let start = at;
        at = at.wrapping_add(part.len() as u64);
        (start, part)
    })
}

impl Machine {
    /// Memory as a vCPU sees it.
    pub fn view(&self, cpu: usize) -> View<'_> {
        View::new(&self.cpus[cpu], &self.board)
    }

    /// The physical address that a vCPU has mapped at a linear one, whatever the permissions; `None` if nothing is.
    pub fn translate(&self, cpu: usize, linear: u64) -> Option<u64> {
        self.view(cpu).translate(linear)
    }

    /// Reads what a vCPU has mapped at `linear` and the addresses after it; how many bytes there are.
    pub fn read_linear(&self, cpu: usize, linear: u64, bytes: &mut [u8]) -> usize {
        self.view(cpu).read_linear(linear, bytes)
    }

    /// Reads physical memory that all vCPUs share: RAM, or what a device would answer, with ones where nobody does.
    /// Local APICs are not in it: each vCPU has its own, which [`View::read_physical`] shows.
    pub fn read_physical(&self, address: u64, bytes: &mut [u8]) {
        for (at, part) in page_parts(address, bytes) {
            read_shared(&self.board, at, part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::{Model, cr0, cr4, efer};
    use crate::interp::Interpreter;

    /// A machine of 1 MiB with two vCPUs that never ran; `memory` are words and where they are.
    fn machine(memory: &[(u64, u64)]) -> Machine {
        let model = Model::find(Model::DEFAULT).unwrap();
        let mut machine = Machine::new(Board::new(1 << 20, 2).unwrap(), model, Box::new(Interpreter::new(model)));
        for (address, word) in memory {
            machine.board.dma_write(*address, &word.to_le_bytes());
        }
        machine
    }

    fn with_modes(memory: &[(u64, u64)], cr4: u64, efer: u64) -> Machine {
        let mut machine = machine(memory);
        let cpu = &mut machine.cpus[0];
        (cpu.cr0, cpu.cr3, cpu.cr4, cpu.efer) = (cr0::PE | cr0::PG, 0x1000, cr4, efer);
        machine
    }

    fn long_mode(memory: &[(u64, u64)]) -> Machine {
        with_modes(memory, cr4::PAE, efer::LME | efer::LMA)
    }

    #[test]
    fn without_paging_linear_addresses_are_physical_and_have_32_bits() {
        let machine = machine(&[]);
        assert_eq!(machine.translate(0, 0x1_0000_5678), Some(0x5678));
    }

    #[test]
    fn four_levels_with_pages_of_each_size() {
        let machine = long_mode(&[
            (0x1000 + 8 * 511, 0x2001),
            (0x2000, 0x3001),
            // Bit 12 is PAT, no address.
            (0x2008, 0x4000_1081),
            (0x3000, 0x4001),
            (0x3008, 0x0020_0081),
            (0x4000, 0x5001),
            // Present with a reserved bit.
            (0x4008, 0x6001 | 1 << 45),
        ]);
        let top = 0xffff_ff80_0000_0000;
        assert_eq!(machine.translate(0, top + 0x123), Some(0x5123));
        assert_eq!(machine.translate(0, top + 0x20_4567), Some(0x20_4567));
        assert_eq!(machine.translate(0, top + 0x4abc_d123), Some(0x4abc_d123));
        assert_eq!(machine.translate(0, top + 0x1000), None, "reserved");
        assert_eq!(machine.translate(0, top + 0x2000), None, "absent");
        assert_eq!(machine.translate(0, 0), None, "absent at the top");
        assert_eq!(machine.translate(0, 0x8000_0000_0000), None, "not canonical");
        assert_eq!(machine.translate(1, top + 0x123), Some(0x123), "vCPU 1 has no paging");
    }

    #[test]
    fn pae_pointers_come_from_registers() {
        let mut machine = with_modes(&[(0x2008, 0x3001), (0x3000, 0x7001), (0x2010, 0x81)], cr4::PAE, 0);
        machine.cpus[0].pdptes[3] = 0x2001;
        assert_eq!(machine.translate(0, 0xc020_0fff), Some(0x7fff));
        assert_eq!(machine.translate(0, 0xffff_ffff_c040_0001), Some(1), "addresses have 32 bits");
        assert_eq!(machine.translate(0, 0x8020_0000), None);
    }

    #[test]
    fn two_levels_of_32_bits_with_and_without_large_pages() {
        // Entries 2 and 3 of the directory in one word: a table, and 4 MiB at 0x1_0040_0000.
        let memory = [(0x1008, 0x3001 | 0x0040_2081 << 32), (0x3004, 0x6001)];
        let machine = with_modes(&memory, cr4::PSE, 0);
        assert_eq!(machine.translate(0, 0x80_1004), Some(0x6004));
        assert_eq!(machine.translate(0, 0xc0_1004), Some(0x1_0040_1004));
        let machine = with_modes(&memory, 0, 0);
        assert_eq!(machine.translate(0, 0xc0_0001), Some(0xffff_f001), "the table lies in no RAM and reads as ones");
    }

    #[test]
    fn reads_end_where_nothing_is_mapped_and_leave_no_trace() {
        let mut machine = long_mode(&[
            (0x1000, 0x2001),
            (0x2000, 0x3001),
            (0x3000, 0x4001),
            (0x4000, 0x8001),
            (0x4008, 0x7001),
            (0x7ff8, 0x1111),
            (0x8ff8, 0x2222),
            (0x7000, 0x3333),
        ]);
        let before = (machine.digest(), machine.fingerprint());
        let mut bytes = [0xee; 0x1020];
        assert_eq!(machine.read_linear(0, 0xff8, &mut bytes), 0x1008);
        assert_eq!((bytes[..2].as_ref(), bytes[8..10].as_ref()), ([0x22; 2].as_ref(), [0x33; 2].as_ref()));
        assert_eq!((bytes[0x1000], bytes[0x1008]), (0x11, 0xee));
        assert_eq!(machine.read_linear(0, 0x5000, &mut bytes), 0);
        assert_eq!(machine.read_linear(0, u64::MAX, &mut bytes), 0);
        assert_eq!((machine.digest(), machine.fingerprint()), before);
    }

    #[test]
    fn a_read_ends_at_the_end_of_the_address_space() {
        let machine = long_mode(&[
            (0x1000 + 8 * 511, 0x2001),
            (0x2000 + 8 * 511, 0x3001),
            (0x3000 + 8 * 511, 0x4001),
            (0x4000 + 8 * 511, 0x5001),
        ]);
        assert_eq!(machine.read_linear(0, u64::MAX - 3, &mut [0; 64]), 4);
    }

    #[test]
    fn each_vcpu_sees_its_own_local_apic_and_nobody_else_does() {
        let machine = machine(&[]);
        let id = |cpu: usize| {
            let mut bytes = [0; 6];
            machine.view(cpu).read_physical(0xfee0_001e, &mut bytes);
            bytes
        };
        assert_eq!((id(0), id(1)), ([0; 6], [0, 0, 0, 0, 0, 1]), "the highest byte of the ID is the last");
        let mut high = [0; 2];
        assert_eq!(machine.read_linear(1, 0xfee0_0022, &mut high), 2);
        assert_eq!(high, [0, 1]);
        let mut version = [0; 2];
        machine.view(0).read_physical(0xfee0_0030, &mut version);
        assert_eq!(version, [0x14, 0]);
        machine.read_physical(0xfee0_0030, &mut version);
        assert_eq!(version, [0xff; 2]);
    }

    #[test]
    fn physical_memory_is_ram_and_ones_beyond_it() {
        let machine = machine(&[(0xf_fff8, 0x7766_5544_3322_1100)]);
        let mut bytes = [0; 6];
        machine.read_physical(0xf_fffd, &mut bytes);
        assert_eq!(bytes, [0x55, 0x66, 0x77, 0xff, 0xff, 0xff]);
        machine.read_physical(u64::MAX - 1, &mut bytes);
        assert_eq!(bytes, [0xff, 0xff, 0, 0, 0, 0]);
    }
}
