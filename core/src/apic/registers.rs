//! Registers of the local APIC: where they are in either mode, and which of their bits software can write.

/// Bits of IA32_APIC_BASE (SDM vol. 3, 11.4.4 Local APIC Status and Location).
pub(super) mod base {
    pub(in crate::apic) const BSP: u64 = 1 << 8;
    pub(in crate::apic) const EXTD: u64 = 1 << 10;
    pub(in crate::apic) const EN: u64 = 1 << 11;
    /// The page address, within the 40 bits of a physical address.
    pub(in crate::apic) const PAGE: u64 = 0x0000_00ff_ffff_f000;
}

/// Bits of the spurious-interrupt vector register (SDM vol. 3, 11.9 Spurious Interrupt).
pub(super) mod svr {
    pub(in crate::apic) const ENABLE: u32 = 1 << 8;
    pub(in crate::apic) const WRITABLE: u32 = 0x3ff;
}

/// The local vector table (SDM vol. 3, 11.5.1 Local Vector Table): entries in the order of their registers, and bits.
pub(super) mod lvt {
    pub(in crate::apic) const TIMER: usize = 0;
    pub(in crate::apic) const LINT0: usize = 3;
    pub(in crate::apic) const LINT1: usize = 4;
    pub(in crate::apic) const ERROR: usize = 5;
    pub(in crate::apic) const COUNT: usize = 6;

    pub(in crate::apic) const REMOTE_IRR: u32 = 1 << 14;
    pub(in crate::apic) const LEVEL: u32 = 1 << 15;
    pub(in crate::apic) const MASKED: u32 = 1 << 16;

    /// Bits that software can write, by entry: timer, thermal sensor, performance counters, LINT0, LINT1, error.
    pub(in crate::apic) const WRITABLE: [u32; COUNT] = [0x7_00ff, 0x1_07ff, 0x1_07ff, 0x1_a7ff, 0x1_a7ff, 0x1_00ff];
    /// Delivery status and remote IRR: they may be written back, without effect.
    pub(in crate::apic) const READ_ONLY: u32 = 1 << 12 | REMOTE_IRR;
}

/// Bits of the error status register (SDM vol. 3, 11.5.3 Error Handling).
pub(super) mod error {
    pub(in crate::apic) const SEND_ILLEGAL_VECTOR: u32 = 1 << 5;
    pub(in crate::apic) const RECEIVE_ILLEGAL_VECTOR: u32 = 1 << 6;
    pub(in crate::apic) const ILLEGAL_REGISTER: u32 = 1 << 7;
}

/// Bits of the interrupt command register (SDM vol. 3, 11.6.1 Interrupt Command Register).
pub(super) mod icr {
    pub(in crate::apic) const LOGICAL: u64 = 1 << 11;
    pub(in crate::apic) const ASSERT: u64 = 1 << 14;
    pub(in crate::apic) const LEVEL: u64 = 1 << 15;
    /// What software can write of the low half; the delivery status is always idle.
    pub(in crate::apic) const WRITABLE: u32 = 0x000c_cfff;
    /// Delivery status: may be written back, without effect.
    pub(in crate::apic) const READ_ONLY: u32 = 1 << 12;
}

/// The version register: integrated APIC, six entries in the local vector table, no suppression of EOI broadcasts.
pub(super) const VERSION: u32 = 0x14 | (lvt::COUNT as u32 - 1) << 16;

/// A register by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Register {
    Id,
    Version,
    TaskPriority,
    ArbitrationPriority,
    ProcessorPriority,
    EndOfInterrupt,
    RemoteRead,
    LogicalDestination,
    DestinationFormat,
    SpuriousVector,
    InService(usize),
    TriggerMode(usize),
    Request(usize),
    ErrorStatus,
    /// The whole register in x2APIC mode.
    CommandLow,
    CommandHigh,
    Lvt(usize),
    InitialCount,
    CurrentCount,
    DivideConfiguration,
    SelfIpi,
}

/// The mode of a local APIC (SDM vol. 3, 11.12.1 Detecting and Enabling x2APIC Mode).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Disabled,
    XApic,
    X2Apic,
}

impl Mode {
    /// The mode that IA32_APIC_BASE selects, if it can be.
    pub(super) fn of(value: u64) -> Option<Self> {
        match (value & base::EN != 0, value & base::EXTD != 0) {
            (false, false) => Some(Self::Disabled),
            (true, false) => Some(Self::XApic),
            (true, true) => Some(Self::X2Apic),
            (false, true) => None,
        }
    }

    /// Whether software may go from this mode to `next` (SDM vol. 3, 11.12.5 x2APIC State Transitions).
    pub(super) fn can_become(self, next: Self) -> bool {
        match (self, next) {
            (Self::X2Apic, Self::XApic) | (Self::Disabled, Self::X2Apic) => false,
            (Self::Disabled | Self::XApic | Self::X2Apic, _) => true,
        }
    }
}

impl Register {
    /// The register with this number: the offset in the page divided by 16, or the MSR less 0x800 (SDM vol. 3,
    /// table 11-1 Local APIC Register Address Map, and table 11-6 Local APIC Register Address Map Supported by x2APIC).
    pub(super) fn at(number: u64, mode: Mode) -> Option<Self> {
        let register = match number {
            0x02 => Self::Id,
            0x03 => Self::Version,
            0x08 => Self::TaskPriority,
            0x09 => Self::ArbitrationPriority,
            0x0a => Self::ProcessorPriority,
            0x0b => Self::EndOfInterrupt,
            0x0c => Self::RemoteRead,
            0x0d => Self::LogicalDestination,
            0x0e => Self::DestinationFormat,
            0x0f => Self::SpuriousVector,
            0x10..=0x17 => Self::InService(number as usize - 0x10),
            0x18..=0x1f => Self::TriggerMode(number as usize - 0x18),
            0x20..=0x27 => Self::Request(number as usize - 0x20),
            0x28 => Self::ErrorStatus,
            0x30 => Self::CommandLow,
            0x31 => Self::CommandHigh,
            0x32..=0x37 => Self::Lvt(number as usize - 0x32),
            0x38 => Self::InitialCount,
            0x39 => Self::CurrentCount,
            0x3e => Self::DivideConfiguration,
            0x3f => Self::SelfIpi,
            _ => return None,
        };
        register.exists_in(mode).then_some(register)
    }

    fn exists_in(self, mode: Mode) -> bool {
        match self {
            Self::ArbitrationPriority | Self::RemoteRead | Self::DestinationFormat | Self::CommandHigh => {
                mode == Mode::XApic
            }
            Self::SelfIpi => mode == Mode::X2Apic,
            _ => mode != Mode::Disabled,
        }
    }

    /// Whether RDMSR can read the register.
    pub(super) fn is_readable_msr(self) -> bool {
        !matches!(self, Self::EndOfInterrupt | Self::SelfIpi)
    }

    /// The bits that WRMSR may set without #GP; `None` if the register cannot be written.
    pub(super) fn writable_msr_bits(self) -> Option<u64> {
        match self {
            Self::TaskPriority | Self::SelfIpi => Some(0xff),
            Self::EndOfInterrupt | Self::ErrorStatus => Some(0),
            Self::SpuriousVector => Some(u64::from(svr::WRITABLE)),
            Self::CommandLow => Some(0xffff_ffff_0000_0000 | u64::from(icr::WRITABLE | icr::READ_ONLY)),
            Self::Lvt(entry) => Some(u64::from(lvt::WRITABLE[entry] | lvt::READ_ONLY)),
            Self::InitialCount => Some(0xffff_ffff),
            Self::DivideConfiguration => Some(0xb),
            _ => None,
        }
    }
}
