//! Declarations of devices and their properties: one for parsing, help, placement, the manual and a recording's header.

use crate::backend::BackendKind;
use crate::board::{Board, DeviceId, PlugError};
use crate::memory::MapError;

/// What a device is, said once.
pub struct DeviceSpec {
    /// QEMU's name for it.
    pub name: &'static str,
    /// Where it is listed.
    pub category: Category,
    /// QEMU's name of the kind of bus that it plugs into; empty for a part of the board itself.
    pub bus: &'static str,
    /// One line for people, without a full stop.
    pub description: &'static str,
    /// Whether `-device` can add it, or it is part of every machine.
    pub user_creatable: bool,
    /// Its properties.
    pub properties: &'static [PropertySpec],
    /// Builds one and wires it to the board.
    pub attach: fn(&mut Board, &Properties) -> Result<DeviceId, AttachError>,
}

/// QEMU's categories of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Category {
    /// Bridges and buses.
    Bridge,
    /// Keyboard, mouse, serial ports.
    Input,
    /// Network adapters.
    Network,
    /// Disks and their controllers.
    Storage,
    /// Everything else.
    Misc,
}

impl Category {
    /// The heading in lists.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Bridge => "Controller/Bridge/Hub devices",
            Self::Input => "Input devices",
            Self::Network => "Network devices",
            Self::Storage => "Storage devices",
            Self::Misc => "Misc devices",
        }
    }
}

/// A property of a device.
pub struct PropertySpec {
    /// QEMU's name for it.
    pub name: &'static str,
    /// What values it takes.
    pub kind: PropertyKind,
    /// The value without the option, as it would be written.
    pub default: &'static str,
    /// One line for people, without a full stop.
    pub description: &'static str,
}

/// What values a property takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PropertyKind {
    /// `on` or `off`.
    Bool,
    /// A number up to this, decimal or with `0x`.
    Number(u64),
    /// Any text.
    Text,
    /// A back end of this kind, named by its id; here its number, and empty for none.
    Backend(BackendKind),
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// Why a property was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PropertyError {
    /// The device has no such property.
    #[error("device '{device}' has no property '{property}'; it has: {choices}")]
    Unknown {
        /// The device.
        device: &'static str,
        /// The property.
        property: String,
        /// The properties that it has.
        choices: String,
    },
    /// The value is none of this property.
    #[error("property '{device}.{property}' does not take '{value}': expected {expected}")]
    Value {
        /// The device.
        device: &'static str,
        /// The property.
        property: &'static str,
        /// The value.
        value: String,
        /// What it takes.
        expected: String,
    },
}

/// Why a device could not be put on the board.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// Its addresses are taken.
    #[error("device '{device}': {source}")]
    Map {
        /// The device.
        device: &'static str,
        /// What is in the way.
        source: MapError,
    },
    /// Its bus has no place for it.
    #[error("device '{device}': {source}")]
    Plug {
        /// The device.
        device: &'static str,
        /// Why not.
        source: PlugError,
    },
    /// Its properties do not go together.
    #[error("device '{device}': {reason}")]
    Invalid {
        /// The device.
        device: &'static str,
        /// Why.
        reason: String,
    },
}

impl PropertyKind {
    /// Whether `value` is one of this kind; else what is expected.
    fn check(self, value: &str) -> Result<(), String> {
        match self {
            Self::Bool if matches!(value, "on" | "off") => Ok(()),
            Self::Bool => Err("on or off".into()),
            Self::Number(max) if number(value).is_some_and(|n| n <= max) => Ok(()),
            Self::Number(max) => Err(format!("a number up to {max:#x}")),
            Self::Text => Ok(()),
            Self::Backend(_) if value.is_empty() || value.parse::<u16>().is_ok() => Ok(()),
            Self::Backend(kind) => Err(format!("the id of a {kind}")),
            Self::Choice(words) if words.contains(&value) => Ok(()),
            Self::Choice(words) => Err(words.join(", ")),
        }
    }
}

/// The number that `text` writes, decimal or with `0x`.
pub fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// The checked properties of one device.
#[derive(Clone)]
pub struct Properties {
    values: Vec<(&'static str, String)>,
    id: Option<String>,
}

impl Properties {
    /// The properties of a device of `spec` with `given` in place of the defaults.
    pub fn new(spec: &'static DeviceSpec, given: &[(String, String)]) -> Result<Self, PropertyError> {
        let mut values: Vec<_> = spec.properties.iter().map(|p| (p.name, p.default.to_owned())).collect();
        for (name, value) in given {
            let at = spec.properties.iter().position(|p| p.name == name).ok_or_else(|| unknown(spec, name))?;
            let property = &spec.properties[at];
            property.kind.check(value).map_err(|expected| PropertyError::Value {
                device: spec.name,
                property: property.name,
                value: value.clone(),
                expected,
            })?;
            values[at].1.clone_from(value);
        }
        Ok(Self { values, id: None })
    }

    /// The same for a device that the user calls `id`.
    #[must_use]
    pub fn of(self, id: Option<&str>) -> Self {
        Self { id: id.map(Into::into), ..self }
    }

    /// What the user calls the device.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The text of a declared property.
    pub fn text(&self, name: &str) -> &str {
        let found = self.values.iter().find(|(n, _)| *n == name);
        &found.unwrap_or_else(|| panic!("property '{name}' is not declared")).1
    }

    /// The value of a declared number.
    pub fn number(&self, name: &str) -> u64 {
        number(self.text(name)).unwrap_or_else(|| panic!("property '{name}' is not a number"))
    }

    /// The number of the back end that a declared property names, if it names one.
    pub fn backend(&self, name: &str) -> Option<u16> {
        self.text(name).parse().ok()
    }

    /// The value of a declared switch.
    pub fn flag(&self, name: &str) -> bool {
        self.text(name) == "on"
    }
}

fn unknown(spec: &DeviceSpec, name: &str) -> PropertyError {
    let names: Vec<_> = spec.properties.iter().map(|p| p.name).collect();
    let choices = if names.is_empty() { "none".into() } else { names.join(", ") };
    PropertyError::Unknown { device: spec.name, property: name.into(), choices }
}
