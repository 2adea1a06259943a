//! What a guest sees of every device: pure, deterministic front ends, and the board that carries them.
#![forbid(unsafe_code)]

pub mod acpi;
pub mod chipset;
pub mod fw_cfg;
pub mod isa;
pub mod pc;
pub mod pci;
pub mod virtio;

use reprise_core::property::DeviceSpec;

/// Every device there is: first the parts of the board in the order in which [`pc::build`] puts them there, then those that
/// a user can add.
pub static DEVICES: &[&DeviceSpec] = &[
    &pci::root::SPEC,
    &pci::mch::SPEC,
    &pci::ich9_lpc::SPEC,
    &chipset::i8259_pic::SPEC,
    &chipset::i82093_ioapic::SPEC,
    &chipset::hpet::SPEC,
    &isa::mc146818_rtc::SPEC,
    &chipset::i8254_pit::SPEC,
    &isa::i8042::SPEC,
    &isa::port92::SPEC,
    &isa::ns16550_uart::SPEC,
    &fw_cfg::SPEC,
    &isa::debugcon::SPEC,
    &isa::isa_debug_exit::SPEC,
    &isa::pvpanic::SPEC,
    &virtio::blk::SPEC,
    &virtio::rng::SPEC,
    &virtio::net::SPEC,
    &virtio::serial::SPEC,
    &virtio::serial::port::CONSOLE,
    &virtio::serial::port::SERIAL,
];
