//! Registers by name, for people and debuggers.

use super::{CpuState, Flags};
use crate::softfloat::F80;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A register that a debugger can write.
///
/// Control registers, segments and MSRs are not among them: a state that software cannot reach could come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Register {
    /// A general-purpose register by number: RAX RCX RDX RBX RSP RBP RSI RDI R8 to R15. 64 bits.
    General(u8),
    /// RIP. 64 bits, of which code that is no 64-bit code has 32.
    Rip,
    /// RFLAGS, of which bits that are reserved, or switch modes (VM), are not written. 64 bits.
    Flags,
    /// MXCSR, of which reserved bits are not written. 32 bits.
    Mxcsr,
    /// The low half of a vector register: XMM0 to XMM15. 128 bits.
    Xmm(u8),
    /// The high half of a vector register. 128 bits.
    YmmHigh(u8),
    /// ST(0) to ST(7). 80 bits. Whether it is empty, the tag word says.
    St(u8),
    /// The x87 control word. 16 bits.
    FpControl,
    /// The x87 status word, of which ES and B follow from the others. 16 bits.
    FpStatus,
    /// The x87 tag word as FSAVE stores it, of which only the tags "empty" are written. 16 bits.
    FpTag,
}

/// The general-purpose registers by number.
const GENERAL: [&str; 16] =
    ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];

/// Flags that a debugger writes: those that POPF and IRET at the highest privilege do, without virtual-8086 mode.
const WRITABLE_FLAGS: u64 =
    Flags::STATUS | Flags::TF | Flags::IF | Flags::DF | Flags::IOPL | Flags::NT | Flags::RF | Flags::AC | Flags::ID;

/// Bits of MXCSR that exist.
const MXCSR_MASK: u32 = 0xffff;

impl Register {
    /// Its width in bits.
    pub fn bits(self) -> u32 {
        match self {
            Self::General(_) | Self::Rip | Self::Flags => 64,
            Self::Mxcsr => 32,
            Self::Xmm(_) | Self::YmmHigh(_) => 128,
            Self::St(_) => 80,
            Self::FpControl | Self::FpStatus | Self::FpTag => 16,
        }
    }

    /// Whether there is such a register: whether its number is one.
    pub fn exists(self) -> bool {
        match self {
            Self::General(number) | Self::Xmm(number) | Self::YmmHigh(number) => number < 16,
            Self::St(number) => number < 8,
            Self::Rip | Self::Flags | Self::Mxcsr | Self::FpControl | Self::FpStatus | Self::FpTag => true,
        }
    }

    /// Every register.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..16)
            .map(Self::General)
            .chain([Self::Rip, Self::Flags])
            .chain((0..8).map(Self::St))
            .chain([Self::FpControl, Self::FpStatus, Self::FpTag])
            .chain((0..16).map(Self::Xmm))
            .chain([Self::Mxcsr])
            .chain((0..16).map(Self::YmmHigh))
    }

    /// The register that [shows](fmt::Display) as `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|register| register.to_string() == name)
    }

    /// Its value; zero if there is no such register.
    pub fn get(self, cpu: &CpuState) -> u128 {
        if !self.exists() {
            return 0;
        }
        match self {
            Self::General(number) => cpu.regs.get(number).into(),
            Self::Rip => cpu.regs.rip().into(),
            Self::Flags => cpu.flags.get().into(),
            Self::Mxcsr => cpu.mxcsr.into(),
            Self::Xmm(number) => cpu.vectors[usize::from(number)].low,
            Self::YmmHigh(number) => cpu.vectors[usize::from(number)].high,
            Self::St(number) => {
                let F80 { sign_exp, sig } = cpu.x87.regs[cpu.x87.physical(number)];
                u128::from(sign_exp) << 64 | u128::from(sig)
            }
            Self::FpControl => cpu.x87.control.into(),
            Self::FpStatus => cpu.x87.status.into(),
            Self::FpTag => cpu.x87.tags().into(),
        }
    }

    /// Sets its value, but for bits that it does not have; does nothing if there is no such register.
    pub fn set(self, cpu: &mut CpuState, value: u128) {
        if !self.exists() {
            return;
        }
        match self {
            Self::General(number) => cpu.regs.set(number, value as u64),
            Self::Rip if cpu.is_64bit() => cpu.regs.set_rip(value as u64),
            Self::Rip => cpu.regs.set_rip(u64::from(value as u32)),
            Self::Flags => cpu.flags.update(WRITABLE_FLAGS, value as u64),
            Self::Mxcsr => cpu.mxcsr = value as u32 & MXCSR_MASK,
            Self::Xmm(number) => cpu.vectors[usize::from(number)].low = value,
            Self::YmmHigh(number) => cpu.vectors[usize::from(number)].high = value,
            Self::St(number) => {
                let register = cpu.x87.physical(number);
                cpu.x87.regs[register] = F80 { sign_exp: (value >> 64) as u16, sig: value as u64 };
            }
            Self::FpControl => cpu.x87.set_control(value as u16),
            Self::FpStatus => {
                cpu.x87.status = value as u16;
                cpu.x87.update_summary();
            }
            Self::FpTag => cpu.x87.set_tags(value as u16),
        }
    }
}

/// As gdb names it.
impl fmt::Display for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::General(number) => match GENERAL.get(usize::from(*number)) {
                Some(name) => f.write_str(name),
                None => write!(f, "r{number}"),
            },
            Self::Rip => f.write_str("rip"),
            Self::Flags => f.write_str("eflags"),
            Self::Mxcsr => f.write_str("mxcsr"),
            Self::Xmm(number) => write!(f, "xmm{number}"),
            Self::YmmHigh(number) => write!(f, "ymm{number}h"),
            Self::St(number) => write!(f, "st{number}"),
            Self::FpControl => f.write_str("fctrl"),
            Self::FpStatus => f.write_str("fstat"),
            Self::FpTag => f.write_str("ftag"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::Board;
    use crate::cpu::{Model, Segment, cr0, cr4, efer, seg};
    use crate::door::Script;
    use crate::interp::Interpreter;
    use crate::machine::{BootImage, Machine};

    fn cpu() -> CpuState {
        CpuState::new(0, Model::find(Model::DEFAULT).unwrap())
    }

    /// Whether its bits follow from each other or from those of other registers.
    fn is_derived(register: Register) -> bool {
        matches!(register, Register::Flags | Register::FpControl | Register::FpStatus | Register::FpTag)
    }

    #[test]
    fn what_is_written_is_read_again_and_changes_nothing_else() {
        let pattern = 0x8877_6655_4433_2211_fedc_ba98_7654_3210u128;
        for register in Register::all().filter(|register| !is_derived(*register)) {
            let mut cpu = cpu();
            // The top of the x87 stack is not where it begins.
            cpu.x87.status = 5 << 11;
            let before: Vec<_> = Register::all().map(|register| register.get(&cpu)).collect();
            register.set(&mut cpu, pattern);
            let expected = match register {
                // No 64-bit code runs.
                Register::Rip => 0x7654_3210,
                Register::Mxcsr => 0x3210,
                _ => pattern & u128::MAX >> (128 - register.bits()),
            };
            assert_eq!(register.get(&cpu), expected, "{register}");
            for (other, value) in Register::all().zip(before).filter(|(other, _)| *other != register) {
                // Tags follow from the contents.
                if other != Register::FpTag {
                    assert_eq!(other.get(&cpu), value, "{other} after {register}");
                }
            }
        }
    }

    #[test]
    fn bits_that_a_register_does_not_have_are_not_written() {
        let mut cpu = cpu();
        Register::Flags.set(&mut cpu, u128::MAX);
        assert_eq!(Register::Flags.get(&cpu), 0x25_7fd7, "neither VM nor VIF nor VIP");
        Register::Mxcsr.set(&mut cpu, u128::MAX);
        assert_eq!(cpu.mxcsr, 0xffff);
        Register::FpControl.set(&mut cpu, 0xffff);
        assert_eq!(cpu.x87.control, 0x1f7f);
        Register::FpStatus.set(&mut cpu, 0x8080);
        assert_eq!(cpu.x87.status, 0, "ES and B follow from the others");
        Register::FpStatus.set(&mut cpu, 1);
        assert_eq!(cpu.x87.status, 1, "masked");
        Register::FpControl.set(&mut cpu, 0);
        assert_eq!(cpu.x87.status, 0x8081);
        Register::FpTag.set(&mut cpu, 0b11_00_11);
        assert_eq!(cpu.x87.empty, 0b101);
    }

    #[test]
    fn names_are_gdbs_and_lead_back() {
        for register in Register::all() {
            assert!(register.exists());
            assert_eq!(Register::named(&register.to_string()), Some(register));
        }
        assert_eq!(Register::named("rdi"), Some(Register::General(7)));
        assert_eq!(Register::named("ymm15h"), Some(Register::YmmHigh(15)));
        assert_eq!((Register::named("rzx"), Register::named("")), (None, None));
    }

    #[test]
    fn numbers_that_are_none_do_nothing() {
        for register in
            [Register::General(16), Register::General(255), Register::Xmm(16), Register::YmmHigh(99), Register::St(8)]
        {
            let mut cpu = cpu();
            assert!(!register.exists() && Register::named(&register.to_string()).is_none());
            register.set(&mut cpu, u128::MAX);
            assert_eq!((&cpu, register.get(&cpu)), (&self::cpu(), 0));
        }
    }

    /// A machine in 64-bit mode, or in real mode, that runs NOPs.
    fn machine(long: bool) -> Machine {
        let model = Model::find(Model::DEFAULT).unwrap();
        let mut machine = Machine::new(Board::new(1 << 20, 1).unwrap(), model, Box::new(Interpreter::new(model)));
        let mut cpu = CpuState::new(0, model);
        if long {
            (cpu.cr0, cpu.cr3, cpu.cr4, cpu.efer) = (cr0::PE | cr0::PG, 0x1000, cr4::PAE, efer::LME | efer::LMA);
            cpu.segs[seg::CS] = Segment { attributes: 0x209b, ..Segment::real_mode_code(8) };
            cpu.segs[seg::CS].base = 0;
        }
        let table = |entry: u64| entry.to_le_bytes().to_vec();
        let memory =
            vec![(0x1000, table(0x2003)), (0x2000, table(0x3003)), (0x3000, table(0x83)), (0x5000, vec![0x90; 4096])];
        machine.set_boot(BootImage { memory, cpu });
        machine.set_no_reboot(true);
        machine
    }

    #[test]
    fn the_machine_runs_on_whatever_is_written() {
        let values =
            [0, 1, 0xffff, 0x5000, u128::MAX, 1 << 63, 0x8000_0000_0000, 0xffff_8000_0000_0000, u128::MAX << 64];
        for long in [false, true] {
            for register in Register::all() {
                for value in values {
                    let mut machine = machine(long);
                    Register::Rip.set(&mut machine.cpus[0], 0x5000);
                    register.set(&mut machine.cpus[0], value);
                    machine.run(&mut Script::default(), 50);
                    assert!(machine.now() > 0, "{register} = {value:#x}");
                }
            }
        }
    }
}
