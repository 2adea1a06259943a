//! What a guest sees of every device: pure, deterministic front ends, and the board that carries them.
#![forbid(unsafe_code)]

pub mod acpi;
pub mod chipset;
pub mod fw_cfg;
pub mod isa;
pub mod pci;
