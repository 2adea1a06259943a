//! `-device`: a part to add to the machine.

use super::{BackendOptions, List};
use crate::machine::{DeviceConfig, device_names, device_spec};
use crate::usage::UsageError;
use reprise_core::property::{DeviceSpec, Properties, PropertyKind};

/// What one `-device` asks for.
pub enum DeviceOption {
    /// The list of devices.
    ListDevices,
    /// The list of a device's properties.
    ListProperties(&'static DeviceSpec),
    /// A device.
    Add(DeviceConfig),
}

impl DeviceOption {
    /// Takes `text` apart and checks names and values.
    pub fn parse(text: &str, backends: &BackendOptions) -> Result<Self, UsageError> {
        let mut list = List::parse(text);
        let name = list.first.take().or_else(|| list.take("driver"));
        let name =
            name.ok_or_else(|| UsageError::new(format!("-device '{text}' names no device; try -device help")))?;
        if matches!(name.as_str(), "help" | "?") {
            return Ok(Self::ListDevices);
        }
        let spec = device_spec(&name).ok_or_else(|| UsageError::unknown("device", &name, &device_names()))?;
        if list.items.iter().any(|(name, _)| matches!(name.as_str(), "help" | "?")) {
            return Ok(Self::ListProperties(spec));
        }
        let id = list.take("id");
        for (name, value) in &mut list.items {
            let property = spec.properties.iter().find(|property| property.name == name);
            if let Some(PropertyKind::Backend(kind)) = property.map(|property| property.kind) {
                *value = backends.find(kind, value)?.to_string();
            }
        }
        Properties::new(spec, &list.items).map_err(|error| UsageError::new(error.to_string()))?;
        Ok(Self::Add(DeviceConfig { name: spec.name.into(), id, properties: list.items }))
    }
}
