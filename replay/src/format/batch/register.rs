//! Registers as numbers.

use reprise_core::cpu::Register;

/// Where each kind of register begins.
mod first {
    pub(super) const GENERAL: u8 = 0;
    pub(super) const RIP: u8 = 16;
    pub(super) const FLAGS: u8 = 17;
    pub(super) const MXCSR: u8 = 18;
    pub(super) const FP_CONTROL: u8 = 19;
    pub(super) const FP_STATUS: u8 = 20;
    pub(super) const FP_TAG: u8 = 21;
    pub(super) const ST: u8 = 24;
    pub(super) const XMM: u8 = 32;
    pub(super) const YMM_HIGH: u8 = 48;
    pub(super) const END: u8 = 64;
}

/// The number of a register, which there is.
pub(super) fn register_number(register: Register) -> u8 {
    let one_of = |first: u8, number: u8, count: u8| {
        assert!(number < count, "there is no register {register}");
        first + number
    };
    match register {
        Register::General(number) => one_of(first::GENERAL, number, 16),
        Register::Rip => first::RIP,
        Register::Flags => first::FLAGS,
        Register::Mxcsr => first::MXCSR,
        Register::FpControl => first::FP_CONTROL,
        Register::FpStatus => first::FP_STATUS,
        Register::FpTag => first::FP_TAG,
        Register::St(number) => one_of(first::ST, number, 8),
        Register::Xmm(number) => one_of(first::XMM, number, 16),
        Register::YmmHigh(number) => one_of(first::YMM_HIGH, number, 16),
    }
}

/// The register of that number, if there is one.
pub(super) fn register(number: u8) -> Option<Register> {
    Some(match number {
        first::GENERAL..first::RIP => Register::General(number - first::GENERAL),
        first::RIP => Register::Rip,
        first::FLAGS => Register::Flags,
        first::MXCSR => Register::Mxcsr,
        first::FP_CONTROL => Register::FpControl,
        first::FP_STATUS => Register::FpStatus,
        first::FP_TAG => Register::FpTag,
        first::ST..first::XMM => Register::St(number - first::ST),
        first::XMM..first::YMM_HIGH => Register::Xmm(number - first::XMM),
        first::YMM_HIGH..first::END => Register::YmmHigh(number - first::YMM_HIGH),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_come_back_by_their_numbers() {
        let known: Vec<_> = (0..=u8::MAX).filter_map(|number| Some((number, register(number)?))).collect();
        assert_eq!(known.len(), 16 + 6 + 8 + 16 + 16);
        for (number, register) in known {
            assert_eq!(register_number(register), number, "{register:?}");
        }
    }
}
