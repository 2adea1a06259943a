//! x87 and vector register state.

use crate::softfloat::F80;
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
