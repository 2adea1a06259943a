//! `-object`: what is no device's own: sources of random numbers, and files for the frames of networks.

use super::netdev::dump;
use super::{BackendOptions, List, Named};
use crate::machine::{DeviceConfig, device_spec};
use crate::usage::UsageError;
use reprise_core::backend::BackendKind;
use reprise_core::property::{PropertyKind, PropertySpec};
use std::path::PathBuf;

/// What `-object` takes.
const OBJECTS: [&str; 3] = ["rng-random", "rng-builtin", "filter-dump"];
/// Where random numbers come from unless the user says otherwise, as in QEMU.
const DEFAULT_RANDOM: &str = "/dev/urandom";

/// A source of random numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RngBackend {
    /// A file that yields them.
    pub path: PathBuf,
}

/// Adds what `-object text` describes to `backends`.
pub fn add_object(text: &str, backends: &mut BackendOptions) -> Result<(), UsageError> {
    let mut list = List::parse(text);
    let kind = list.first.take().or_else(|| list.take("qom-type")).unwrap_or_default();
    let id = list.take("id").filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| UsageError::new(format!("-object '{text}' has no id: add id=NAME")))?;
    if kind == "filter-dump" {
        backends.dumps.push(dump::parse(text, list, |id| backends.netdevs.find(id))?);
        return Ok(());
    }
    let path = list.take("filename");
    list.finish("-object", &["id", "filename"])?;
    let path = match (kind.as_str(), path) {
        ("rng-random", path) => path.unwrap_or_else(|| DEFAULT_RANDOM.into()),
        ("rng-builtin", None) => DEFAULT_RANDOM.into(),
        ("rng-builtin", Some(_)) => return Err(UsageError::new("-object rng-builtin takes no file: use rng-random")),
        _ => return Err(UsageError::unknown("object", &kind, &OBJECTS)),
    };
    backends.rngs.add(&id, RngBackend { path: path.into() }).map(drop)
}

/// Gives each device that wants a source of random numbers, and that the user gave none, a built-in one, as QEMU does.
pub fn add_default_rngs(devices: &mut [DeviceConfig], rngs: &mut Named<RngBackend>) -> Result<(), UsageError> {
    let wants = |property: &&PropertySpec| property.kind == PropertyKind::Backend(BackendKind::Rng);
    for device in devices {
        let Some(property) = device_spec(&device.name).and_then(|spec| spec.properties.iter().find(wants)) else {
            continue;
        };
        if device.properties.iter().all(|(name, value)| name != property.name || value.is_empty()) {
            let number = rngs.add("", RngBackend { path: DEFAULT_RANDOM.into() })?;
            device.properties.push((property.name.into(), number.to_string()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_of_random_numbers_as_qemu_writes_them() {
        let mut backends = BackendOptions::default();
        for text in ["rng-random,id=a", "rng-random,filename=/dev/hwrng,id=b", "rng-builtin,id=c"] {
            add_object(text, &mut backends).unwrap();
        }
        let paths: Vec<_> = backends.rngs.backends().iter().map(|rng| rng.path.to_str().unwrap()).collect();
        assert_eq!(paths, ["/dev/urandom", "/dev/hwrng", "/dev/urandom"]);
        for text in
            ["rng-random", "rng-egd,id=x", "rng-builtin,id=x,filename=y", "rng-random,id=a", "rng-random,id=x,y=z"]
        {
            assert!(add_object(text, &mut backends).is_err(), "{text}");
        }
    }

    #[test]
    fn devices_without_a_source_get_a_built_in_one() {
        let device = |properties: &[(&str, &str)]| DeviceConfig {
            name: "virtio-rng-pci".into(),
            id: None,
            properties: properties.iter().map(|&(name, value)| (name.into(), value.into())).collect(),
        };
        let mut backends = BackendOptions::default();
        add_object("rng-random,id=a,filename=/dev/hwrng", &mut backends).unwrap();
        let mut devices = [device(&[("rng", "0")]), device(&[("addr", "3")]), device(&[])];
        add_default_rngs(&mut devices, &mut backends.rngs).unwrap();
        let sources = devices.each_ref().map(|device| device.properties.last().unwrap().1.as_str());
        assert_eq!(sources, ["0", "1", "2"]);
        assert_eq!(backends.rngs.backends()[1].path.to_str(), Some(DEFAULT_RANDOM));
    }
}
