//! Numbers as people type them at a monitor: addresses with registers in them, lengths, counts.

use reprise_core::cpu::{CpuState, reg, seg};
use reprise_core::property::number;

const GENERAL: [(&str, u8); 18] = [
    ("rax", reg::RAX),
    ("rcx", reg::RCX),
    ("rdx", reg::RDX),
    ("rbx", reg::RBX),
    ("rsp", reg::RSP),
    ("rbp", reg::RBP),
    ("rsi", reg::RSI),
    ("rdi", reg::RDI),
    ("r8", reg::R8),
    ("r9", reg::R9),
    ("r10", reg::R10),
    ("r11", reg::R11),
    ("r12", reg::R12),
    ("r13", reg::R13),
    ("r14", reg::R14),
    ("r15", reg::R15),
    ("sp", reg::RSP),
    ("fp", reg::RBP),
];

/// The value of `text`: numbers and registers of `cpu` (`$rsp`), joined by `+` and `-`. It wraps at 64 bits, as addresses
/// do.
pub(super) fn value(text: &str, cpu: &CpuState) -> Result<u64, String> {
    let mut value = 0_u64;
    let mut rest = text;
    let mut minus = false;
    loop {
        let end = rest.find(['+', '-']).unwrap_or(rest.len());
        let term = term(&rest[..end], cpu).ok_or_else(|| no_value(text))?;
        value = if minus { value.wrapping_sub(term) } else { value.wrapping_add(term) };
        let Some(sign) = rest[end..].chars().next() else { return Ok(value) };
        minus = sign == '-';
        rest = &rest[end + 1..];
    }
}

fn term(text: &str, cpu: &CpuState) -> Option<u64> {
    match text.strip_prefix('$') {
        Some(name) => register(name, cpu),
        None => number(text),
    }
}

fn register(name: &str, cpu: &CpuState) -> Option<u64> {
    match name {
        "rip" | "pc" => Some(cpu.regs.rip()),
        "eflags" | "rflags" => Some(cpu.flags.get()),
        "cr0" => Some(cpu.cr0),
        "cr2" => Some(cpu.cr2),
        "cr3" => Some(cpu.cr3),
        "cr4" => Some(cpu.cr4),
        "fs_base" => Some(cpu.segs[seg::FS].base),
        "gs_base" => Some(cpu.segs[seg::GS].base),
        "k_gs_base" => Some(cpu.msrs.kernel_gs_base),
        _ => GENERAL.iter().find(|(known, _)| *known == name).map(|(_, number)| cpu.regs.get(*number)),
    }
}

fn no_value(text: &str) -> String {
    format!(
        "'{}' is no address: expected numbers (0x1000) and registers ($rsp), joined by + or -; gdb's own expressions \
         are not known here",
        text.escape_debug()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use reprise_core::cpu::Model;

    #[test]
    fn sums_of_numbers_and_registers() {
        let mut cpu = CpuState::new(0, Model::find(Model::DEFAULT).unwrap());
        cpu.regs.set(reg::RSP, 0x1000);
        for (text, expected) in [
            ("16", 16),
            ("0x10", 16),
            ("$rsp+8", 0x1008),
            ("$sp-0x10+1", 0xff1),
            ("0-1", u64::MAX),
            ("0xffffffffffffffff+2", 1),
            ("$pc", 0xfff0),
        ] {
            assert_eq!(value(text, &cpu), Ok(expected), "{text}");
        }
        for text in ["", "+1", "1+", "$rfoo", "x", "1 2", "0x", "&jiffies", "-\u{e4}", "18446744073709551616"] {
            assert!(value(text, &cpu).is_err(), "{text}");
        }
    }
}
