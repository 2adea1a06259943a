//! Which flags have no defined value, instruction by instruction.

use iced_x86::{Code, Instruction, Mnemonic, OpKind, Register, RflagsBits};

use super::catalogue::decode;
use crate::memory::CODE_BASE;

/// The RFLAGS bits that are undefined when a sequence without jumps has run to its end.
///
/// A shift or rotate whose count may be zero defines nothing, and leaves undefined what was.
#[must_use]
pub fn undefined_flags(code: &[u8]) -> u64 {
    let mut undefined = 0;
    let mut at = 0;
    while at < code.len() {
        let instruction = decode(&code[at..], CODE_BASE + at as u64);
        if instruction.is_invalid() {
            break;
        }
        undefined = undefined_after(&instruction, undefined);
        at += instruction.len();
    }
    undefined
}

/// The undefined bits after an instruction, if these were undefined before it.
pub(super) fn undefined_after(instruction: &Instruction, before: u64) -> u64 {
    let made_undefined = rflags(instruction.rflags_undefined());
    if may_leave_flags_alone(instruction) {
        return before | made_undefined;
    }
    let defined = rflags(instruction.rflags_written() | instruction.rflags_cleared() | instruction.rflags_set());
    before & !defined | made_undefined
}

/// The RFLAGS bits that an instruction's result depends on.
pub(super) fn flags_read(instruction: &Instruction) -> u64 {
    rflags(instruction.rflags_read())
}

/// By CL, or repeated, an instruction may do nothing at all.
fn may_leave_flags_alone(instruction: &Instruction) -> bool {
    let last = instruction.op_count().wrapping_sub(1);
    let by_cl = is_shift(instruction.mnemonic())
        && instruction.op_kind(last) == OpKind::Register
        && instruction.op_register(last) == Register::CL;
    by_cl || instruction.has_rep_prefix() || instruction.has_repne_prefix()
}

fn is_shift(mnemonic: Mnemonic) -> bool {
    use Mnemonic::{Rcl, Rcr, Rol, Ror, Sal, Sar, Shl, Shld, Shr, Shrd};
    matches!(mnemonic, Rcl | Rcr | Rol | Ror | Sal | Sar | Shl | Shr | Shld | Shrd)
}

/// From iced's bits to the processor's.
fn rflags(bits: u32) -> u64 {
    const BITS: [(u32, u64); 7] = [
        (RflagsBits::CF, 1 << 0),
        (RflagsBits::PF, 1 << 2),
        (RflagsBits::AF, 1 << 4),
        (RflagsBits::ZF, 1 << 6),
        (RflagsBits::SF, 1 << 7),
        (RflagsBits::DF, 1 << 10),
        (RflagsBits::OF, 1 << 11),
    ];
    BITS.iter().filter(|(iced, _)| bits & iced != 0).map(|(_, ours)| ours).sum()
}

/// Whether the whole of RFLAGS goes to memory: then no flag may be undefined.
pub(super) fn stores_rflags(instruction: &Instruction) -> bool {
    matches!(instruction.code(), Code::Pushfw | Code::Pushfq)
}

#[cfg(test)]
mod tests {
    use super::undefined_flags;

    const AF: u64 = 1 << 4;
    const OF: u64 = 1 << 11;

    #[test]
    fn only_what_the_manual_leaves_open_is_undefined() {
        assert_eq!(undefined_flags(&[0x48, 0x01, 0xc8]), 0, "add rax, rcx");
        assert_eq!(undefined_flags(&[0x21, 0xc8]), AF, "and eax, ecx");
        assert_eq!(undefined_flags(&[0xc1, 0xe0, 0x00]), 0, "shl eax, 0");
        assert_eq!(undefined_flags(&[0xc1, 0xe0, 0x05]), OF | AF, "shl eax, 5");
        assert_eq!(undefined_flags(&[0xd1, 0xe0]), AF, "shl eax, 1");
    }

    #[test]
    fn a_later_instruction_defines_what_an_earlier_one_left_open() {
        assert_eq!(undefined_flags(&[0xc1, 0xe0, 0x05, 0x01, 0xc8]), 0);
        // shl eax, 5; shl ecx, cl: the second may do nothing.
        assert_eq!(undefined_flags(&[0xc1, 0xe0, 0x05, 0xd3, 0xe1]) & (OF | AF), OF | AF);
    }
}
