//! What is at a port of a virtio-serial controller: `virtconsole`, which systems use as a console (`hvc0`), and
//! `virtserialport`, which has a name for programs to find it by.
//!
//! Document: VIRTIO 1.2, 5.3 Console Device. Numbers and properties are QEMU's: port 0 is a console's, as drivers that know
//! one port only take it for one.

use super::{BUS, controller};
use reprise_core::backend::{BackendKind, ChardevId};
use reprise_core::board::{Board, DeviceId};
use reprise_core::property::{AttachError, Category, DeviceSpec, Properties, PropertyKind, PropertySpec};

/// QEMU's number for "the next free port".
const ANY: u64 = 0xffff_ffff;

const PROPERTIES: &[PropertySpec] = &[
    PropertySpec {
        name: "chardev",
        kind: PropertyKind::Backend(BackendKind::Chardev),
        default: "",
        description: "where bytes go to and come from; nowhere if it is not given",
    },
    PropertySpec {
        name: "name",
        kind: PropertyKind::Text,
        default: "",
        description: "what the guest knows the port by",
    },
    PropertySpec {
        name: "bus",
        kind: PropertyKind::Text,
        default: "",
        description: "bus to plug into; the first one if it is not given",
    },
    PropertySpec {
        name: "nr",
        kind: PropertyKind::Number(ANY),
        default: "0xffffffff",
        description: "number of the port; the first free one if it is not given",
    },
];

/// The declaration of a console.
pub const CONSOLE: DeviceSpec = DeviceSpec {
    name: "virtconsole",
    category: Category::Input,
    bus: BUS,
    description: "console at a virtio serial controller",
    user_creatable: true,
    properties: PROPERTIES,
    attach: |board, properties| attach(board, properties, Kind::Console),
};

/// The declaration of a serial port.
pub const SERIAL: DeviceSpec = DeviceSpec {
    name: "virtserialport",
    category: Category::Input,
    bus: BUS,
    description: "serial port at a virtio serial controller",
    user_creatable: true,
    properties: PROPERTIES,
    attach: |board, properties| attach(board, properties, Kind::Serial),
};

/// What is at a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A console.
    Console,
    /// A serial port.
    Serial,
}

/// A port that something is at.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) chardev: Option<ChardevId>,
}

/// Plugs a port into its controller, which is the device from then on.
fn attach(board: &mut Board, properties: &Properties, kind: Kind) -> Result<DeviceId, AttachError> {
    let (device, first) = match kind {
        Kind::Console => (CONSOLE.name, 0),
        Kind::Serial => (SERIAL.name, 1),
    };
    let bus = Some(properties.text("bus")).filter(|bus| !bus.is_empty());
    let number = Some(properties.number("nr")).filter(|&number| number != ANY).map(|number| number as u32);
    if kind == Kind::Serial && number == Some(0) {
        let reason = "nr=0 is reserved for a virtconsole: expected 1 or more".into();
        return Err(AttachError::Invalid { device, reason });
    }
    let plugged = board.plug(BUS, bus, number, first, device);
    let (owner, slot) = plugged.map_err(|source| AttachError::Plug { device, source })?;
    let chardev = properties.backend("chardev").map(ChardevId);
    let port = Port { kind, name: properties.text("name").into(), chardev };
    controller(board, owner).ports[slot as usize] = Some(port);
    if let Some(chardev) = chardev {
        board.connect_chardev(chardev, owner, slot);
    }
    Ok(owner)
}
