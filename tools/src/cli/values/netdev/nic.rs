//! `-nic`: a network and an adapter on it in one option.

use super::{NetdevBackend, Network};
use crate::cli::values::Named;
use crate::machine::DeviceConfig;
use crate::usage::UsageError;

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
