//! What code is translated under: everything that is not in the bytes but changes what they do, or what they become.

use crate::HostFeatures;
use reprise_core::cpu::{CpuState, Model, cr0, cr4, seg, xcr0};
use reprise_core::interp::Exec;
use std::collections::BTreeMap;

/// The conditions of a translation. Code for one is of no use under another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Variant {
    modes: u8,
    /// Which breakpoints are in the page: the number of that set, or 0 for none.
    breaks: u16,
}

/// Bits of [`Variant::number`].
pub(crate) const VARIANT_BITS: u32 = 20;
/// Sets of breakpoints that have numbers at once.
const BREAK_SETS: usize = 1 << (VARIANT_BITS - 8);

/// The numbers of sets of breakpoints.
#[derive(Debug, Default)]
pub(crate) struct BreakSets {
    /// By the offsets in the page.
    numbers: BTreeMap<Vec<u16>, u16>,
}

impl BreakSets {
    /// The number of the set of breakpoints at these offsets; `None` if there are no more numbers.
    pub(crate) fn number(&mut self, offsets: &[u16]) -> Option<u16> {
        if offsets.is_empty() {
            return Some(0);
        }
        if let Some(&number) = self.numbers.get(offsets) {
            return Some(number);
        }
        let number = self.numbers.len() + 1;
        if number == BREAK_SETS {
            return None;
        }
        self.numbers.insert(offsets.to_vec(), number as u16);
        Some(number as u16)
    }
}

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
/// The same as with SSE for AVX instructions, and the host has them.
const AVX: u8 = 32;
/// The host has what x86-64-v3 has for general registers.
const BITS_MANIPULATED: u8 = 64;
/// All exceptions of SSE floating point are masked (SDM vol. 1, 10.2.3 MXCSR Control and Status Register).
const MXCSR_MASKS: u32 = 0x1f80;

impl Variant {
    /// Under what the instruction at RIP runs.
    pub(crate) fn of(x: &Exec<'_>, host: HostFeatures) -> Self {
        Self::with(x.bitness(), x.cpu, host)
    }

    /// Under what the next instruction of `cpu` runs.
    pub(crate) fn of_state(cpu: &CpuState, host: HostFeatures) -> Self {
        let bitness = match (cpu.is_64bit(), cpu.segs[seg::CS].is_big()) {
            (true, _) => 64,
            (false, true) => 32,
            (false, false) => 16,
        };
        Self::with(bitness, cpu, host)
    }

    fn with(bitness: u32, cpu: &CpuState, host: HostFeatures) -> Self {
        let bits = match bitness {
            64 => BITS_64,
            32 => BITS_32,
            _ => BITS_16,
        };
        let level = match cpu.cpl() {
            0 => KERNEL,
            3 => 0,
            _ => BETWEEN,
        };
        let sse = if sse_runs(cpu) { SSE } else { 0 };
        let avx = if host.v3 && avx_runs(cpu) { AVX } else { 0 };
        let manipulated = if host.v3 { BITS_MANIPULATED } else { 0 };
        Self { modes: bits | level | sse | avx | manipulated, breaks: 0 }
    }

    /// 64-bit user code of an operating system that uses all that a model has, on a host that has it, too.
    pub(crate) fn usual(model: &Model) -> Self {
        Self { modes: BITS_64 | SSE | if model.level >= 3 { AVX | BITS_MANIPULATED } else { 0 }, breaks: 0 }
    }

    /// 16, 32 or 64: how instructions are decoded.
    pub(crate) fn bitness(self) -> u32 {
        16 << (self.modes & BITS)
    }

    /// Whether SSE instructions run without more ado.
    pub(crate) fn has_sse(self) -> bool {
        self.modes & SSE != 0
    }

    /// Whether it runs at privilege level 0.
    pub(crate) fn is_kernel(self) -> bool {
        self.modes & KERNEL != 0
    }

    /// Whether AVX instructions do, and those that came with them.
    pub(crate) fn has_avx(self) -> bool {
        self.modes & AVX != 0
    }

    /// Whether the host has BMI1, BMI2, LZCNT and MOVBE.
    pub(crate) fn has_bits(self) -> bool {
        self.modes & BITS_MANIPULATED != 0
    }

    /// The same in a page with the set of breakpoints of that number.
    pub(crate) fn with_breaks(self, breaks: u16) -> Self {
        Self { breaks, ..self }
    }

    /// All but the breakpoints, which are another matter in each page, as a small number.
    pub(crate) fn modes(self) -> u8 {
        self.modes
    }

    /// As a number of [`VARIANT_BITS`] bits.
    pub(crate) fn number(self) -> u32 {
        u32::from(self.breaks) << 8 | u32::from(self.modes)
    }
}

fn sse_runs(cpu: &CpuState) -> bool {
    cpu.cr0 & (cr0::EM | cr0::TS) == 0 && cpu.cr4 & cr4::OSFXSR != 0 && masks_all(cpu)
}

/// CR0.EM and CR4.OSFXSR do not matter (SDM vol. 2, 2.4 AVX and SSE Instruction Exception Classification).
fn avx_runs(cpu: &CpuState) -> bool {
    let enabled = xcr0::SSE | xcr0::AVX;
    cpu.cr0 & cr0::TS == 0 && cpu.cr4 & cr4::OSXSAVE != 0 && cpu.xcr0 & enabled == enabled && masks_all(cpu)
}

fn masks_all(cpu: &CpuState) -> bool {
    cpu.mxcsr & MXCSR_MASKS == MXCSR_MASKS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_breakpoints_keeps_its_number() {
        let mut sets = BreakSets::default();
        assert_eq!(
            [&[][..], &[5], &[5, 9], &[5]].map(|offsets| sets.number(offsets)),
            [Some(0), Some(1), Some(2), Some(1)]
        );
        let numbers = (10..).map_while(|offset| sets.number(&[offset]));
        assert_eq!(numbers.last(), Some(BREAK_SETS as u16 - 1));
        assert_eq!(sets.number(&[5]), Some(1));
    }

    #[test]
    fn variants_with_other_breakpoints_have_other_numbers() {
        let variant = Variant { modes: 0xff, breaks: 0 };
        let last = variant.with_breaks(BREAK_SETS as u16 - 1);
        assert_eq!((variant.number(), last.number()), (0xff, (1 << VARIANT_BITS) - 1));
        assert_eq!(last.modes(), variant.modes());
    }
}
