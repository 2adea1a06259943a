//! The guest's x87 unit in the host's.
//!
//! Adding, multiplying, dividing, square roots, conversions and comparisons are specified to the last bit, so the host's
//! unit does them. It is the guest's only while native code runs: the first x87 instruction of a block looks at a word of the table,
//! and leaves if the unit is not loaded. From then on the entry thunk loads it (FRSTOR), and the leave thunk stores it and
//! initialises the host's (FNSAVE), until the interpreter's turn comes. So Rust always finds the host's unit as the calling
//! convention wants it, and nobody but the dispatcher ever sees a state that is not in [`X87`].
//!
//! Documents: Intel SDM vol. 1, 8.1.10 Saving the x87 FPU's State with FSTENV/FNSTENV and FSAVE/FNSAVE, figure 8-9.
//!
//! The words of the table: the image of 108 bytes; the guest's instruction pointer, since the host's is another; whether the unit is loaded,
//! and a control word on its way.

use reprise_core::cpu::{CpuState, X87, cr0};
use reprise_core::interp::table::{X87_OFFSET, X87_WORDS};
use reprise_core::softfloat::F80;

/// What FNSAVE stores and FRSTOR loads, from the anchor.
pub(crate) const IMAGE: i32 = X87_OFFSET as i32;
/// The guest's instruction pointer, from the anchor; of 8 bytes.
pub(crate) const POINTER: i32 = IMAGE + 8 * POINTER_WORD as i32;
/// Whether the unit is loaded, from the anchor; of 4 bytes.
pub(crate) const LOADED: i32 = IMAGE + 8 * LOADED_WORD as i32;
/// A control word that is looked at before it is loaded, from the anchor; of 4 bytes.
pub(crate) const CONTROL: i32 = LOADED + 4;

/// The masks of all exceptions, in the control word.
pub(crate) const MASKS: u16 = 0x3f;
/// Precision control, in the control word; and its reserved value.
pub(crate) const PRECISION: u16 = 3 << 8;
pub(crate) const PRECISION_RESERVED: u16 = 1 << 8;
/// Bits of the control word that can be set, and the one that always is.
pub(crate) const CONTROL_BITS: u16 = 0x1f3f;
pub(crate) const CONTROL_SET: u16 = 0x40;

const POINTER_WORD: usize = 14;
const LOADED_WORD: usize = 15;
/// ES and B.
const SUMMARY: u16 = 1 << 7 | 1 << 15;
/// Where ST(0) is in the image.
const REGISTERS: usize = 28;

const _: () = assert!(REGISTERS + 80 <= 8 * POINTER_WORD && LOADED_WORD < X87_WORDS);

type Words = [u64; X87_WORDS];

/// Whether the host's unit would do what the guest's does: it is there, and no exception can be raised.
pub(crate) fn can_load(cpu: &CpuState) -> bool {
    let X87 { control, status, .. } = cpu.x87;
    let usual = control & MASKS == MASKS
        && control & !(CONTROL_BITS) == CONTROL_SET
        && control & PRECISION != PRECISION_RESERVED;
    usual && status & SUMMARY == 0 && cpu.cr0 & (cr0::EM | cr0::TS) == 0
}

/// Puts the unit's state where the entry thunk loads it from, and has it do so.
pub(crate) fn load(unit: &X87, words: &mut Words) {
    let mut image = [0; 8 * POINTER_WORD];
    image[..2].copy_from_slice(&unit.control.to_le_bytes());
    image[4..6].copy_from_slice(&unit.status.to_le_bytes());
    let tags = (0..8).fold(0u16, |tags, register| tags | (u16::from(unit.empty >> register & 1) * 3) << (2 * register));
    image[8..10].copy_from_slice(&tags.to_le_bytes());
    for (i, bytes) in image[REGISTERS..].chunks_exact_mut(10).take(8).enumerate() {
        bytes.copy_from_slice(&unit.regs[register(unit.status, i)].to_le_bytes());
    }
    for (word, bytes) in words.iter_mut().zip(image.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    words[POINTER_WORD] = unit.fip;
    words[LOADED_WORD] = 1;
}

/// Takes the state that the leave thunk stored, if the unit is loaded; then the words are to be [forgotten](forget).
pub(crate) fn unload(words: &Words, unit: &mut X87) -> bool {
    if words[LOADED_WORD] as u32 == 0 {
        return false;
    }
    let mut image = [0; 8 * POINTER_WORD];
    for (bytes, word) in image.chunks_exact_mut(8).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    let half = |at: usize| u16::from_le_bytes([image[at], image[at + 1]]);
    let tags = half(8);
    unit.control = half(0) & CONTROL_BITS | CONTROL_SET;
    unit.status = half(4);
    unit.empty = (0..8).fold(0, |empty, register| empty | u8::from(tags >> (2 * register) & 3 == 3) << register);
    for (i, bytes) in image[REGISTERS..].as_chunks::<10>().0.iter().take(8).enumerate() {
        unit.regs[register(unit.status, i)] = F80::from_le_bytes(*bytes);
    }
    unit.fip = words[POINTER_WORD];
    true
}

/// The unit is not loaded any more.
pub(crate) fn forget(words: &mut Words) {
    words[LOADED_WORD] = 0;
}

/// Notes where the last x87 instruction lies.
pub(crate) fn note_pointer(words: &mut Words, address: u64) {
    words[POINTER_WORD] = address;
}

/// Number of the register that is ST(i).
fn register(status: u16, i: usize) -> usize {
    (usize::from(status >> 11) + i) & 7
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_was_loaded_comes_back_whole() {
        let regs = std::array::from_fn(|n| F80 { sign_exp: 0x3fff + n as u16, sig: 1 << 63 | n as u64 });
        let unit = X87 {
            regs,
            control: 0x0c7f,
            status: 5 << 11 | 0x4703,
            empty: 0b1010_0110,
            fop: 0x123,
            fip: 0xffff_8000_1234_5678,
            fcs: 3,
            fdp: 4,
            fds: 5,
        };
        let mut words = [0; X87_WORDS];
        let mut back = X87 { fop: 0x123, fcs: 3, fdp: 4, fds: 5, ..X87::default() };
        assert!(!unload(&words, &mut back));
        load(&unit, &mut words);
        assert!(unload(&words, &mut back));
        assert_eq!(back, unit);
        forget(&mut words);
        assert!(!unload(&words, &mut back));
    }
}
