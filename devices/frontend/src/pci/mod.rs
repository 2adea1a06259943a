//! PCI Express: configuration space, the root complex, and the bridges that are fixed on the board.
//!
//! Documents: PCI Local Bus Specification 3.0; PCI Express Base Specification 3.0; Intel 3 Series Express Chipset Family
//! datasheet (316966); Intel I/O Controller Hub 9 (ICH9) Family datasheet (316972).

mod config_space;
pub mod ich9_lpc;
mod layout;
pub mod mch;
pub mod msix;
pub mod placement;
pub mod root;

pub use config_space::ConfigSpace;
pub use layout::{Bar, BarKind, CAP_ID_EXPRESS, CAP_ID_MSI, CAP_ID_MSIX, CAP_ID_POWER_MANAGEMENT, Identity, Layout};

/// QEMU's name for the kind of bus that functions plug into.
pub const BUS: &str = "PCIE";
/// QEMU's name for the root bus.
pub const BUS_NAME: &str = "pcie.0";

/// First memory address of the extended configuration access mechanism.
pub const ECAM_BASE: u64 = 0xb000_0000;
/// Bytes of the extended configuration access mechanism: 256 buses.
pub const ECAM_SIZE: u64 = 256 << 20;

/// Subsystem vendor and subsystem that functions report whose datasheet leaves them to the board: QEMU's.
pub const SUBSYSTEM: (u16, u16) = (0x1af4, 0x1100);

/// The global system interrupt that pin `pin` (0 is INTA#) of the device in `slot` of bus 0 drives.
///
/// Slots 25 to 31 but 30 start at PIRQA#, as the DxxIR registers have it after reset; all others take PIRQE# to PIRQH#
/// in turn (ICH9 datasheet, 10.1.44 to 10.1.50 Device Interrupt Route Registers).
pub const fn interrupt_gsi(slot: u8, pin: u8) -> u8 {
    match slot {
        25..=29 | 31 => 16 + (pin & 3),
        24 | 30 => 20 + (pin & 3),
        _ => 20 + (slot.wrapping_add(pin) & 3),
    }
}

#[cfg(test)]
mod tests {
    use super::interrupt_gsi;

    #[test]
    fn interrupts_swizzle_like_the_chipset() {
        assert_eq!((0..4).map(|pin| interrupt_gsi(2, pin)).collect::<Vec<_>>(), [22, 23, 20, 21]);
        assert_eq!((0..4).map(|pin| interrupt_gsi(31, pin)).collect::<Vec<_>>(), [16, 17, 18, 19]);
        assert!((0..=255).all(|slot| (0..=255).all(|pin| (16..24).contains(&interrupt_gsi(slot, pin)))));
    }
}
