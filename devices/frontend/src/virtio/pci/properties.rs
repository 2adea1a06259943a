//! The properties that every virtio device on the PCI bus has.

use super::registers::feature;
use crate::pci::msix::MOST_VECTORS;
use crate::pci::placement::{ADDR_PROPERTY, BUS_PROPERTY};
use reprise_core::property::{Properties, PropertyKind, PropertySpec, number};

/// The bus.
pub const BUS: PropertySpec = BUS_PROPERTY;
/// The slot.
pub const ADDR: PropertySpec = ADDR_PROPERTY;

/// How many MSI-X vectors the function has.
pub const VECTORS: PropertySpec = PropertySpec {
    name: "vectors",
    kind: PropertyKind::Number(MOST_VECTORS as u64),
    default: "",
    description: "MSI-X vectors, 0 for none; one for each queue and one for configuration changes if it is not given",
};

/// Whether packed rings are offered.
pub const PACKED: PropertySpec = switch("packed", "off", "offer packed rings");
/// Whether event indices are offered.
pub const EVENT_IDX: PropertySpec = switch("event_idx", "on", "offer event indices");
/// Whether indirect descriptors are offered.
pub const INDIRECT_DESC: PropertySpec = switch("indirect_desc", "on", "offer indirect descriptors");

/// There is no legacy interface.
pub const DISABLE_LEGACY: PropertySpec = PropertySpec {
    name: "disable-legacy",
    kind: PropertyKind::Choice(&["on"]),
    default: "on",
    description: "no legacy interface: there is none",
};

/// There is only the modern interface.
pub const DISABLE_MODERN: PropertySpec = PropertySpec {
    name: "disable-modern",
    kind: PropertyKind::Choice(&["off"]),
    default: "off",
    description: "no modern interface: there is no other",
};

/// There is no IOMMU.
pub const IOMMU_PLATFORM: PropertySpec = PropertySpec {
    name: "iommu_platform",
    kind: PropertyKind::Choice(&["off"]),
    default: "off",
    description: "memory accesses pass an IOMMU: there is none",
};

const fn switch(name: &'static str, default: &'static str, description: &'static str) -> PropertySpec {
    PropertySpec { name, kind: PropertyKind::Bool, default, description }
}

/// The properties of a virtio device on the PCI bus: its own, then those that all have.
macro_rules! virtio_properties {
    ($($own:expr),* $(,)?) => {
        &[
            $($own,)*
            $crate::virtio::pci::BUS,
            $crate::virtio::pci::ADDR,
            $crate::virtio::pci::VECTORS,
            $crate::virtio::pci::PACKED,
            $crate::virtio::pci::EVENT_IDX,
            $crate::virtio::pci::INDIRECT_DESC,
            $crate::virtio::pci::DISABLE_LEGACY,
            $crate::virtio::pci::DISABLE_MODERN,
            $crate::virtio::pci::IOMMU_PLATFORM,
        ]
    };
}
pub(in crate::virtio) use virtio_properties;

/// How many MSI-X vectors a device with `queues` queues gets.
pub(super) fn vectors(properties: &Properties, queues: usize) -> u16 {
    number(properties.text("vectors")).map_or(queues as u16 + 1, |vectors| vectors as u16)
}

/// The feature bits that the transport offers.
pub(super) fn features(properties: &Properties) -> u64 {
    let switches = [
        ("packed", feature::RING_PACKED),
        ("event_idx", feature::EVENT_IDX),
        ("indirect_desc", feature::INDIRECT_DESC),
    ];
    let chosen = switches.into_iter().filter(|(name, _)| properties.flag(name));
    chosen.fold(feature::VERSION_1, |features, (_, bit)| features | bit)
}
