//! Looking at a machine without changing anything.

use super::Machine;

impl Machine {
    /// The physical address that a vCPU has mapped at a linear one, whatever the permissions; `None` if nothing is.
    pub fn translate(&self, cpu: usize, linear: u64) -> Option<u64> {
        let _ = (cpu, linear);
        todo!()
    }

    /// Reads what a vCPU has mapped at `linear` and the addresses after it; how many bytes there are.
    pub fn read_linear(&self, cpu: usize, linear: u64, bytes: &mut [u8]) -> usize {
        let _ = (cpu, linear, bytes);
        todo!()
    }

    /// Reads physical memory: RAM, or what a device would answer, with ones where nobody does.
    pub fn read_physical(&self, address: u64, bytes: &mut [u8]) {
        let _ = (address, bytes);
        todo!()
    }
}
