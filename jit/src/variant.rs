//! What code is translated under: everything that is not in the bytes but changes what they do.

use reprise_core::cpu::{CpuState, cr0, cr4, seg};
use reprise_core::interp::Exec;

/// The conditions of a translation. Code for one is of no use under another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Variant(u8);

const BITS_16: u8 = 0;
const BITS_32: u8 = 1;
const BITS_64: u8 = 2;
const BITS: u8 = 3;
/// SSE instructions neither raise #UD nor #NM, and floating point raises no exception.
const SSE: u8 = 4;
/// All exceptions of SSE floating point are masked (SDM vol. 1, 10.2.3 MXCSR Control and Status Register).
const MXCSR_MASKS: u32 = 0x1f80;

impl Variant {
    /// 64-bit code with SSE.
    pub(crate) const USUAL: Self = Self(BITS_64 | SSE);

    /// Under what the instruction at RIP runs.
    pub(crate) fn of(x: &Exec<'_>) -> Self {
        Self::with(x.bitness(), x.cpu)
    }

    /// Under what the next instruction of `cpu` runs.
    pub(crate) fn of_state(cpu: &CpuState) -> Self {
        let bitness = match (cpu.is_64bit(), cpu.segs[seg::CS].is_big()) {
            (true, _) => 64,
            (false, true) => 32,
            (false, false) => 16,
        };
        Self::with(bitness, cpu)
    }

    fn with(bitness: u32, cpu: &CpuState) -> Self {
        let bits = match bitness {
            64 => BITS_64,
            32 => BITS_32,
            _ => BITS_16,
        };
        Self(bits | if sse_runs(cpu) { SSE } else { 0 })
    }

    /// 16, 32 or 64: how instructions are decoded.
    pub(crate) fn bitness(self) -> u32 {
        16 << (self.0 & BITS)
    }

    /// Whether SSE instructions run without more ado.
    pub(crate) fn has_sse(self) -> bool {
        self.0 & SSE != 0
    }

    /// Whether it is the one that the jump cache is for: 64-bit code with SSE. Others always look for their next block.
    pub(crate) fn is_usual(self) -> bool {
        self == Self::USUAL
    }

    /// As a small number.
    pub(crate) fn number(self) -> u8 {
        self.0
    }
}

fn sse_runs(cpu: &CpuState) -> bool {
    cpu.cr0 & (cr0::EM | cr0::TS) == 0 && cpu.cr4 & cr4::OSFXSR != 0 && cpu.mxcsr & MXCSR_MASKS == MXCSR_MASKS
}
