//! Registers of the transport, and where they are.
//!
//! Document: VIRTIO 1.2, 4.1.4 Virtio Structure PCI Capabilities. Each structure has a page of one base address register,
//! as on QEMU.

/// Base address register of the MSI-X table.
pub(in crate::virtio) const MSIX_BAR: u8 = 1;
/// Base address register of the structures.
pub(in crate::virtio) const BAR: u8 = 4;
/// Its size.
pub(in crate::virtio) const BAR_SIZE: u64 = 0x4000;
/// Bytes of each structure.
pub(in crate::virtio) const STRUCTURE: u64 = 0x1000;
/// notify_off_multiplier: bytes between the addresses that notify two queues.
pub(in crate::virtio) const NOTIFY_MULTIPLIER: u64 = 4;

/// What an offset of the base address register leads to, by its page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::virtio) enum Structure {
    Common,
    Isr,
    Device,
    Notify,
}

impl Structure {
    pub(in crate::virtio) const ALL: [Self; 4] = [Self::Common, Self::Isr, Self::Device, Self::Notify];

    /// The structure at `offset`, which is inside the base address register, and the offset in it.
    pub(in crate::virtio) fn at(offset: u64) -> (Self, u64) {
        (Self::ALL[(offset / STRUCTURE) as usize & 3], offset % STRUCTURE)
    }

    /// Where it begins.
    pub(in crate::virtio) fn offset(self) -> u64 {
        STRUCTURE * self as u64
    }

    /// cfg_type.
    pub(in crate::virtio) const fn capability_type(self) -> u8 {
        match self {
            Self::Common => 1,
            Self::Notify => 2,
            Self::Isr => 3,
            Self::Device => 4,
        }
    }
}

/// cfg_type of the window through configuration space.
pub(in crate::virtio) const PCI_CFG: u8 = 5;

/// The common configuration structure (4.1.4.3 Common configuration structure layout).
pub(crate) mod common {
    pub(crate) const SIZE: usize = 0x40;
    pub(crate) const DEVICE_FEATURE_SELECT: u64 = 0x00;
    pub(crate) const DEVICE_FEATURE: u64 = 0x04;
    pub(crate) const DRIVER_FEATURE_SELECT: u64 = 0x08;
    pub(crate) const DRIVER_FEATURE: u64 = 0x0c;
    pub(crate) const CONFIG_MSIX_VECTOR: u64 = 0x10;
    pub(crate) const NUM_QUEUES: u64 = 0x12;
    pub(crate) const DEVICE_STATUS: u64 = 0x14;
    pub(crate) const CONFIG_GENERATION: u64 = 0x15;
    pub(crate) const QUEUE_SELECT: u64 = 0x16;
    pub(crate) const QUEUE_SIZE: u64 = 0x18;
    pub(crate) const QUEUE_MSIX_VECTOR: u64 = 0x1a;
    pub(crate) const QUEUE_ENABLE: u64 = 0x1c;
    pub(crate) const QUEUE_NOTIFY_OFF: u64 = 0x1e;
    pub(crate) const QUEUE_DESC: u64 = 0x20;
    pub(crate) const QUEUE_DRIVER: u64 = 0x28;
    pub(crate) const QUEUE_DEVICE: u64 = 0x30;
}

/// device_status (2.1 Device Status Field).
pub(crate) mod status {
    pub(crate) const ACKNOWLEDGE: u8 = 1;
    pub(crate) const DRIVER: u8 = 2;
    pub(crate) const DRIVER_OK: u8 = 4;
    pub(crate) const FEATURES_OK: u8 = 8;
    pub(crate) const NEEDS_RESET: u8 = 64;
    pub(crate) const FAILED: u8 = 128;
    /// What a driver can set.
    pub(crate) const WRITABLE: u8 = ACKNOWLEDGE | DRIVER | DRIVER_OK | FEATURES_OK | FAILED;
}

/// ISR status (4.1.4.5 ISR status capability).
pub(crate) mod isr {
    pub(crate) const QUEUE: u8 = 1;
    pub(crate) const CONFIG: u8 = 2;
}

/// Feature bits (6 Reserved Feature Bits).
pub(crate) mod feature {
    pub(crate) const INDIRECT_DESC: u64 = 1 << 28;
    pub(crate) const EVENT_IDX: u64 = 1 << 29;
    pub(crate) const VERSION_1: u64 = 1 << 32;
    pub(crate) const RING_PACKED: u64 = 1 << 34;
    /// Bits 24 to 49 are not the device's to offer.
    pub(crate) const RESERVED: u64 = (1 << 50) - (1 << 24);
}
