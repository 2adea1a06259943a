//! What code is translated under: everything that is not in the bytes but changes what they do.

use reprise_core::cpu::{CpuState, cr0, cr4};
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
/// Privilege level 0.
const KERNEL: u8 = 8;
/// Privilege level 1 or 2. What is known of jumps is kept for supervisor and user.
const BETWEEN: u8 = 16;
/// All exceptions of SSE floating point are masked (SDM vol. 1, 10.2.3 MXCSR Control and Status Register).
const MXCSR_MASKS: u32 = 0x1f80;

impl Variant {
    /// 64-bit code with SSE at privilege level 3.
    pub(crate) const USUAL: Self = Self(BITS_64 | SSE);

    /// Under what the instruction at RIP runs.
    pub(crate) fn of(x: &Exec<'_>) -> Self {
        let bits = match x.bitness() {
            64 => BITS_64,
            32 => BITS_32,
            _ => BITS_16,
        };
        let level = match x.cpu.cpl() {
            0 => KERNEL,
            3 => 0,
            _ => BETWEEN,
        };
        Self(bits | level | if sse_runs(x.cpu) { SSE } else { 0 })
    }

    /// 16, 32 or 64: how instructions are decoded.
    pub(crate) fn bitness(self) -> u32 {
        16 << (self.0 & BITS)
    }

    /// Whether SSE instructions run without more ado.
    pub(crate) fn has_sse(self) -> bool {
        self.0 & SSE != 0
    }

    /// Whether it is one that jump caches are for: 64-bit code with SSE. Others always look for their next block. The
    /// cache of a context is for one privilege level.
    pub(crate) fn is_usual(self) -> bool {
        self.0 & !KERNEL == Self::USUAL.0
    }

    /// Whether it runs at privilege level 0.
    pub(crate) fn is_kernel(self) -> bool {
        self.0 & KERNEL != 0
    }

    /// As a small number.
    pub(crate) fn number(self) -> u8 {
        self.0
    }
}

fn sse_runs(cpu: &CpuState) -> bool {
    cpu.cr0 & (cr0::EM | cr0::TS) == 0 && cpu.cr4 & cr4::OSFXSR != 0 && cpu.mxcsr & MXCSR_MASKS == MXCSR_MASKS
}
