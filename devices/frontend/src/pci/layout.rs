//! What is fixed about a function's configuration space: registers, masks, base addresses and capabilities.

use super::ConfigSpace;
use reprise_core::board::{OutputPin, Region, Space};

/// Capability ID: PCI power management.
pub const CAP_ID_POWER_MANAGEMENT: u8 = 0x01;
/// Capability ID: message-signalled interrupts.
pub const CAP_ID_MSI: u8 = 0x05;
/// Capability ID: PCI Express.
pub const CAP_ID_EXPRESS: u8 = 0x10;
/// Capability ID: extended message-signalled interrupts.
pub const CAP_ID_MSIX: u8 = 0x11;

/// Offsets of the registers that all headers have (PCI 3.0, 6.1 Configuration Space Organization).
pub(super) mod reg {
    pub(crate) const VENDOR_ID: u16 = 0x00;
    pub(crate) const DEVICE_ID: u16 = 0x02;
    pub(crate) const COMMAND: u16 = 0x04;
    pub(crate) const STATUS: u16 = 0x06;
    pub(crate) const REVISION: u16 = 0x08;
    pub(crate) const CACHE_LINE: u16 = 0x0c;
    pub(crate) const HEADER_TYPE: u16 = 0x0e;
    pub(crate) const BARS: u16 = 0x10;
    pub(crate) const BRIDGE_BUSES: u16 = 0x18;
    pub(crate) const BRIDGE_IO: u16 = 0x1c;
    pub(crate) const BRIDGE_MEMORY: u16 = 0x20;
    pub(crate) const SUBSYSTEM: u16 = 0x2c;
    pub(crate) const CAPABILITIES: u16 = 0x34;
    pub(crate) const INTERRUPT_LINE: u16 = 0x3c;
    pub(crate) const INTERRUPT_PIN: u16 = 0x3d;
    pub(crate) const BRIDGE_CONTROL: u16 = 0x3e;
    pub(crate) const FIRST_FREE: u16 = 0x40;
}

/// Bits of the command register (PCI 3.0, 6.2.2 Device Control).
pub(super) mod command {
    pub(crate) const IO: u16 = 1 << 0;
    pub(crate) const MEMORY: u16 = 1 << 1;
    pub(crate) const MASTER: u16 = 1 << 2;
    pub(crate) const PARITY: u16 = 1 << 6;
    pub(crate) const SERR: u16 = 1 << 8;
    pub(crate) const INTX_DISABLE: u16 = 1 << 10;
    pub(crate) const WRITABLE: u16 = IO | MEMORY | MASTER | PARITY | SERR | INTX_DISABLE;
}

/// Bits of the status register (PCI 3.0, 6.2.3 Device Status).
pub(super) mod status {
    pub(crate) const INTERRUPT: u16 = 1 << 3;
    pub(crate) const CAPABILITIES: u16 = 1 << 4;
    /// Errors, cleared by writing ones.
    pub(crate) const ERRORS: u16 = 0xf900;
}

/// Who a function says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Vendor ID.
    pub vendor: u16,
    /// Device ID.
    pub device: u16,
    /// Revision ID.
    pub revision: u8,
    /// Class code: base class, sub-class, programming interface.
    pub class: u32,
    /// Subsystem vendor ID and subsystem ID; zeros if there are none.
    pub subsystem: (u16, u16),
}

/// What a base address register decodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarKind {
    /// I/O ports.
    Io,
    /// Memory below 4 GiB.
    Memory32,
    /// Memory anywhere; takes two registers.
    Memory64,
    /// Memory anywhere without side effects of reading; takes two registers.
    Prefetchable64,
}

/// A base address register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// What it decodes.
    pub kind: BarKind,
    /// How many addresses: a power of two, at least 4 ports or 16 bytes.
    pub size: u64,
    /// The device's number for the region.
    pub region: u32,
    /// Narrowest access that reaches the device, as in [`Region`].
    pub narrowest: u8,
    /// Widest access that reaches the device.
    pub widest: u8,
}

impl BarKind {
    /// The bits of the register that are no address.
    const fn flags(self) -> u32 {
        match self {
            Self::Io => 1,
            Self::Memory32 => 0,
            Self::Memory64 => 4,
            Self::Prefetchable64 => 0xc,
        }
    }

    pub(super) const fn is_64bit(self) -> bool {
        matches!(self, Self::Memory64 | Self::Prefetchable64)
    }

    pub(super) const fn space(self) -> Space {
        match self {
            Self::Io => Space::Port,
            Self::Memory32 | Self::Memory64 | Self::Prefetchable64 => Space::Memory,
        }
    }
}

impl Bar {
    /// The region that the register decodes at `base`.
    pub(super) fn at(&self, base: u64) -> Region {
        let Self { region, narrowest, widest, .. } = *self;
        Region { space: self.kind.space(), range: base..base + self.size, number: region, narrowest, widest }
    }
}

/// What is fixed about a function's configuration space.
///
/// Registers are read-only zeros until [`register`](Self::register) or one of its relatives says otherwise. Faults of a
/// layout (capabilities that do not fit, a size that is no power of two) are faults of the device model, and assertions.
#[derive(Clone, Debug)]
pub struct Layout {
    initial: Vec<u8>,
    writable: Vec<u8>,
    cleared_by_ones: Vec<u8>,
    bars: Vec<(u16, Bar)>,
    intx: Option<OutputPin>,
    /// Where the offset of the next capability goes, and where that capability goes.
    capability_link: u16,
    free: u16,
}

impl Layout {
    /// A function with a type 0 header.
    pub fn endpoint(identity: Identity) -> Self {
        let mut layout = Self::with_header(identity, 0);
        let (vendor, subsystem) = identity.subsystem;
        layout.register(reg::SUBSYSTEM, 4, u32::from(subsystem) << 16 | u32::from(vendor), 0);
        layout
    }

    /// A bridge to another bus, with a type 1 header (PCI-to-PCI Bridge Architecture 1.2, 3.2 PCI-to-PCI Bridge
    /// Configuration Space Header Format).
    pub fn bridge(identity: Identity) -> Self {
        let mut layout = Self::with_header(identity, 1);
        layout.register(reg::BRIDGE_BUSES, 4, 0, 0xffff_ffff);
        layout.register(reg::BRIDGE_IO, 2, 0, 0xf0f0);
        layout.cleared_by_ones(reg::BRIDGE_IO + 2, 2, u32::from(status::ERRORS));
        layout.register(reg::BRIDGE_MEMORY, 4, 0, 0xfff0_fff0);
        layout.register(reg::BRIDGE_MEMORY + 4, 4, 0x0001_0001, 0xfff0_fff0);
        layout.register(reg::BRIDGE_MEMORY + 8, 4, 0, 0xffff_ffff);
        layout.register(reg::BRIDGE_MEMORY + 12, 4, 0, 0xffff_ffff);
        layout.register(reg::BRIDGE_CONTROL, 2, 0, 0x005f);
        layout
    }

    fn with_header(identity: Identity, header_type: u8) -> Self {
        let mut layout = Self {
            initial: vec![0; 4096],
            writable: vec![0; 4096],
            cleared_by_ones: vec![0; 4096],
            bars: Vec::new(),
            intx: None,
            capability_link: reg::CAPABILITIES,
            free: reg::FIRST_FREE,
        };
        layout.register(reg::VENDOR_ID, 2, u32::from(identity.vendor), 0);
        layout.register(reg::DEVICE_ID, 2, u32::from(identity.device), 0);
        layout.register(reg::COMMAND, 2, 0, u32::from(command::WRITABLE));
        layout.cleared_by_ones(reg::STATUS, 2, u32::from(status::ERRORS));
        layout.register(reg::REVISION, 4, identity.class << 8 | u32::from(identity.revision), 0);
        layout.register(reg::CACHE_LINE, 1, 0, 0xff);
        layout.register(reg::HEADER_TYPE, 1, u32::from(header_type), 0);
        layout.register(reg::INTERRUPT_LINE, 1, 0, 0xff);
        layout
    }

    /// A register of `bytes` bytes that is `initial` after power-on, and of which the guest can write the bits of
    /// `writable`.
    pub fn register(&mut self, offset: u16, bytes: u16, initial: u32, writable: u32) {
        self.put(offset, bytes, initial, |layout| &mut layout.initial);
        self.put(offset, bytes, writable, |layout| &mut layout.writable);
    }

    /// The bits of a register that a one clears when it is written.
    pub fn cleared_by_ones(&mut self, offset: u16, bytes: u16, bits: u32) {
        self.put(offset, bytes, bits, |layout| &mut layout.cleared_by_ones);
    }

    fn put(&mut self, offset: u16, bytes: u16, value: u32, into: fn(&mut Self) -> &mut Vec<u8>) {
        let at = usize::from(offset);
        let bytes = usize::from(bytes);
        into(self)[at..at + bytes].copy_from_slice(&value.to_le_bytes()[..bytes]);
    }

    /// The device has several functions.
    #[must_use]
    pub fn multi_function(mut self) -> Self {
        self.initial[usize::from(reg::HEADER_TYPE)] |= 0x80;
        self
    }

    /// Base address register `index`.
    #[must_use]
    pub fn bar(mut self, index: u8, bar: Bar) -> Self {
        let least = if bar.kind == BarKind::Io { 4 } else { 16 };
        assert!(bar.size.is_power_of_two() && bar.size >= least, "a BAR of {:#x} cannot be", bar.size);
        assert!(bar.kind.is_64bit() || bar.size < 1 << 32, "a BAR of {:#x} needs 64 bits", bar.size);
        let offset = reg::BARS + 4 * u16::from(index);
        let mask = !(bar.size - 1);
        self.register(offset, 4, bar.kind.flags(), mask as u32);
        if bar.kind.is_64bit() {
            self.register(offset + 4, 4, 0, (mask >> 32) as u32);
        }
        self.bars.push((offset, bar));
        self
    }

    /// The function drives interrupt pin `pin` (1 is INTA#), which is connected to `output`.
    #[must_use]
    pub fn interrupt_pin(mut self, pin: u8, output: OutputPin) -> Self {
        self.initial[usize::from(reg::INTERRUPT_PIN)] = pin;
        self.intx = Some(output);
        self
    }

    /// Appends a capability of ID `id` to the list; `initial` and `writable` are what follows ID and link. Returns the
    /// capability's offset.
    pub fn capability(&mut self, id: u8, initial: &[u8], writable: &[u8]) -> u16 {
        assert_eq!(initial.len(), writable.len(), "a mask for each byte");
        let offset = self.free;
        let end = usize::from(offset) + 2 + initial.len();
        assert!(end <= 256, "no room for capability {id:#x}");
        self.initial[usize::from(reg::STATUS)] |= status::CAPABILITIES as u8;
        self.initial[usize::from(self.capability_link)] = offset as u8;
        self.initial[usize::from(offset)] = id;
        self.initial[usize::from(offset) + 2..end].copy_from_slice(initial);
        self.writable[usize::from(offset) + 2..end].copy_from_slice(writable);
        self.capability_link = offset + 1;
        self.free = (end as u16).next_multiple_of(4);
        offset
    }

    /// Leaves the registers below `offset` to the device: capabilities go from there on.
    pub fn capabilities_from(&mut self, offset: u16) {
        assert!(offset >= self.free && offset.is_multiple_of(4), "offset {offset:#x} cannot be");
        self.free = offset;
    }

    /// The configuration space after power-on.
    pub fn power_on(&self) -> ConfigSpace {
        ConfigSpace::new(self.initial.clone())
    }

    /// The value of byte `at` after `value` was written over `old`.
    pub(super) fn written(&self, at: usize, old: u8, value: u8) -> u8 {
        let writable = self.writable[at];
        (old & !writable | value & writable) & !(value & self.cleared_by_ones[at])
    }

    pub(super) fn bars(&self) -> &[(u16, Bar)] {
        &self.bars
    }

    pub(super) fn intx(&self) -> Option<OutputPin> {
        self.intx
    }
}
