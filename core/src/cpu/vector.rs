//! x87 and vector register state.

use crate::softfloat::{Class, F80};
use serde::{Deserialize, Serialize};

/// A vector register: 256 bits, of which SSE sees the low half; in memory as the processor stores them.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VectorRegister {
    /// Bits 0 to 127: XMM.
    pub low: u128,
    /// Bits 128 to 255: the rest of YMM.
    pub high: u128,
}

/// The x87 unit (SDM vol. 1, 8.1 x87 FPU Execution Environment).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct X87 {
    /// Physical registers R0 to R7; ST(i) is R((TOP + i) mod 8). MMX register i is the significand of Ri.
    pub regs: [F80; 8],
    /// Control word.
    pub control: u16,
    /// Status word, TOP included.
    pub status: u16,
    /// Bit i set: Ri is empty. The other tags follow from the contents.
    pub empty: u8,
    /// Last instruction: opcode, 11 bits.
    pub fop: u16,
    /// Last instruction: address.
    pub fip: u64,
    /// Last instruction: selector.
    pub fcs: u16,
    /// Last operand: address.
    pub fdp: u64,
    /// Last operand: selector.
    pub fds: u16,
}

impl Default for X87 {
    /// The state after power-on (SDM vol. 3, table 10-1).
    fn default() -> Self {
        Self { regs: [F80::default(); 8], control: 0x40, status: 0, empty: 0, fop: 0, fip: 0, fcs: 0, fdp: 0, fds: 0 }
    }
}

/// Exceptions in the status word, and their masks in the control word.
const EXCEPTIONS: u16 = 0x3f;
/// ES and B of the status word.
const SUMMARY: u16 = 1 << 7 | 1 << 15;

impl X87 {
    /// Number of the physical register that is ST(index).
    pub(crate) fn physical(&self, index: u8) -> usize {
        usize::from((self.status >> 11) as u8).wrapping_add(usize::from(index)) & 7
    }

    /// Sets the control word, of which bit 6 is always set and the reserved bits are clear.
    pub(crate) fn set_control(&mut self, value: u16) {
        self.control = value & 0x1f3f | 0x40;
        self.update_summary();
    }

    /// ES and B follow from the exceptions and their masks.
    pub(crate) fn update_summary(&mut self) {
        let waiting = self.status & !self.control & EXCEPTIONS != 0;
        self.status = if waiting { self.status | SUMMARY } else { self.status & !SUMMARY };
    }

    /// The full tag word (SDM vol. 1, 8.1.7 x87 FPU Tag Word).
    pub fn tags(&self) -> u16 {
        (0..8).fold(0, |tags, register| {
            let tag = match self.regs[register].class() {
                _ if self.empty >> register & 1 != 0 => 3,
                Class::Zero => 1,
                Class::Normal => 0,
                Class::Denormal | Class::Infinity | Class::Quiet | Class::Signalling | Class::Unsupported => 2,
            };
            tags | tag << (2 * register)
        })
    }

    /// Sets which registers are empty from a full tag word; the other tags follow from the contents.
    pub(crate) fn set_tags(&mut self, tags: u16) {
        self.empty =
            (0..8).fold(0, |empty, register| empty | if tags >> (2 * register) & 3 == 3 { 1 << register } else { 0 });
    }
}
