//! All back ends that the command line names.

use super::{ChardevBackend, Chardevs, DriveBackend, DumpOption, Named, NetdevBackend, RngBackend};
use crate::machine::{DeviceConfig, device_spec};
use crate::usage::UsageError;
use reprise_core::backend::{BackendKind, ChardevId};
use reprise_core::property::PropertyKind;
use std::collections::BTreeSet;

/// All back ends, each kind in the order of its numbers.
#[derive(Clone, Debug)]
pub struct BackendOptions {
    /// Character devices.
    pub chardevs: Chardevs,
    /// Disk images.
    pub drives: Named<DriveBackend>,
    /// Networks.
    pub netdevs: Named<NetdevBackend>,
    /// Files for frames.
    pub dumps: Vec<DumpOption>,
    /// Sources of random numbers.
    pub rngs: Named<RngBackend>,
}

impl Default for BackendOptions {
    fn default() -> Self {
        Self {
            chardevs: Chardevs::default(),
            drives: Named::new(BackendKind::Disk),
            netdevs: Named::new(BackendKind::Netdev),
            dumps: Vec::new(),
            rngs: Named::new(BackendKind::Rng),
        }
    }
}

impl BackendOptions {
    /// The number of the back end of `kind` called `id`.
    pub fn find(&self, kind: BackendKind, id: &str) -> Result<u16, UsageError> {
        match kind {
            BackendKind::Chardev => self.chardevs.find(id).map(|chardev| chardev.0),
            BackendKind::Disk => self.drives.find(id),
            BackendKind::Netdev => self.netdevs.find(id),
            BackendKind::Rng => self.rngs.find(id),
        }
    }

    /// Refuses a character device or a network that serves two front ends: what comes in could go to one of them only.
    pub fn check_uses(&self, serial: &[Option<ChardevId>], devices: &[DeviceConfig]) -> Result<(), UsageError> {
        let ports = serial.iter().flatten().map(|chardev| (BackendKind::Chardev, chardev.0));
        let mut used = BTreeSet::new();
        for (kind, number) in ports.chain(devices.iter().flat_map(uses)) {
            let id = match kind {
                BackendKind::Chardev => self.chardevs.label(ChardevId(number)),
                BackendKind::Netdev => &self.netdevs.ids()[usize::from(number)],
                BackendKind::Disk | BackendKind::Rng => continue,
            };
            if !used.insert((kind, number)) {
                return Err(UsageError::new(format!("{kind} '{id}' serves two devices: each needs its own")));
            }
        }
        Ok(())
    }

    /// The character devices.
    pub fn chardevs(&self) -> &[ChardevBackend] {
        self.chardevs.backends()
    }
}

/// The back ends that a device has.
fn uses(device: &DeviceConfig) -> impl Iterator<Item = (BackendKind, u16)> {
    let kinds = device_spec(&device.name).map_or(&[][..], |spec| spec.properties);
    device.properties.iter().filter_map(move |(name, value)| {
        let property = kinds.iter().find(|property| property.name == name)?;
        match property.kind {
            PropertyKind::Backend(kind) => Some((kind, value.parse().ok()?)),
            PropertyKind::Bool | PropertyKind::Number(_) | PropertyKind::Text | PropertyKind::Choice(_) => None,
        }
    })
}
