//! `-nic`: a network and an adapter on it in one option.

use super::{NetdevBackend, Network};
use crate::cli::values::Named;
use crate::machine::{DeviceConfig, device_spec};
use crate::usage::UsageError;
use reprise_core::backend::{BackendKind, NetdevId};
use reprise_core::property::PropertyKind;

/// The adapters that there are; the first is the default.
const MODELS: [&str; 1] = ["virtio-net-pci"];

/// Adds the network that `-nic text` describes to `netdevs`; the adapter, unless the text says that there is to be none.
pub fn add_nic(text: &str, netdevs: &mut Named<NetdevBackend>) -> Result<Option<DeviceConfig>, UsageError> {
    let mut network = Network::parse("-nic", text);
    if network.list.first.as_deref() == Some("none") {
        network.list.first = None;
        return network.finish("none", &[]).map(|()| None);
    }
    let model = network.take("model").unwrap_or_else(|| MODELS[0].into());
    // QEMU's short name.
    let model = if model == "virtio" { MODELS[0].into() } else { model };
    if !MODELS.contains(&model.as_str()) {
        return Err(UsageError::unknown("model of -nic", &model, &MODELS));
    }
    let given = [("mac", "mac"), ("macaddr", "mac"), ("addr", "addr"), ("vectors", "vectors")];
    let given = given.map(|(name, property)| network.take(name).map(|value| (property.to_owned(), value)));
    let id = network.take("id").unwrap_or_default();
    let number = netdevs.add(&id, network.backend()?)?;
    let netdev = ("netdev".to_owned(), number.to_string());
    Ok(Some(DeviceConfig { name: model, id: None, properties: given.into_iter().flatten().chain([netdev]).collect() }))
}

/// Refuses networks that serve several of `devices`, or none.
pub fn check_adapters(devices: &[DeviceConfig], netdevs: &Named<NetdevBackend>) -> Result<(), UsageError> {
    let served: Vec<_> = devices.iter().filter_map(network_of).collect();
    for (number, id) in netdevs.ids().iter().enumerate() {
        match served.iter().filter(|served| usize::from(served.0) == number).count() {
            1 => {}
            0 => {
                let advice = format!("add -device virtio-net-pci,netdev={id}");
                return Err(UsageError::new(format!("network back end '{id}' serves no adapter: {advice}")));
            }
            _ => return Err(UsageError::new(format!("network back end '{id}' serves one adapter only"))),
        }
    }
    Ok(())
}

/// The network that serves a device, if one does.
pub fn network_of(device: &DeviceConfig) -> Option<NetdevId> {
    let wanted = PropertyKind::Backend(BackendKind::Netdev);
    let property = device_spec(&device.name)?.properties.iter().find(|property| property.kind == wanted)?;
    let value = device.properties.iter().rev().find(|(name, _)| name == property.name);
    value?.1.parse().ok().map(NetdevId)
}
