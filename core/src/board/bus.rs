//! Buses that devices plug into: names, kinds, and who has which slot. Fixed once the machine is built.

use super::{Board, DeviceId};
use std::collections::BTreeMap;

/// A bus.
#[derive(Clone, Debug)]
pub struct Bus {
    /// QEMU's name of it, such as `pcie.0`.
    pub name: String,
    /// QEMU's name of its kind, as devices name it in [`DeviceSpec::bus`](crate::property::DeviceSpec::bus).
    pub kind: &'static str,
    /// The device that it belongs to.
    pub owner: DeviceId,
    /// Who is in which slot.
    slots: BTreeMap<u32, String>,
    limit: u32,
}

/// Why a device could not be plugged in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlugError {
    /// There is no such bus.
    #[error("there is no bus '{name}' of kind {kind}; there are: {choices}")]
    NoBus {
        /// The name asked for.
        name: String,
        /// The kind of bus that the device needs.
        kind: &'static str,
        /// Names of the buses of that kind.
        choices: String,
    },
    /// No bus of the kind was added.
    #[error("there is no {kind} bus: add a device that has one")]
    NoKind {
        /// The kind of bus that the device needs.
        kind: &'static str,
    },
    /// Somebody is there.
    #[error("slot {slot:#x} of {bus} is taken by {device}")]
    Taken {
        /// The bus.
        bus: String,
        /// The slot.
        slot: u32,
        /// Who is there.
        device: String,
    },
    /// The bus has no such slot.
    #[error("{bus} has no slot {slot:#x}: they end at {last:#x}")]
    NoSlot {
        /// The bus.
        bus: String,
        /// The slot.
        slot: u32,
        /// The last slot.
        last: u32,
    },
    /// All slots are taken.
    #[error("all {count} slots of {bus} are taken")]
    Full {
        /// The bus.
        bus: String,
        /// How many there are.
        count: u32,
    },
}

impl Bus {
    /// The slots that are taken, and by whom.
    pub fn slots(&self) -> impl Iterator<Item = (u32, &str)> {
        self.slots.iter().map(|(slot, device)| (*slot, device.as_str()))
    }
}

impl Board {
    /// Adds a bus with slots 0 to `limit` - 1.
    pub fn add_bus(&mut self, name: &str, kind: &'static str, owner: DeviceId, limit: u32) {
        self.buses.push(Bus { name: name.into(), kind, owner, slots: BTreeMap::new(), limit });
    }

    /// Every bus, in the order in which they were added.
    pub fn buses(&self) -> &[Bus] {
        &self.buses
    }

    /// Plugs a device called `device` into the bus `name`, or the first of its `kind`, at `slot`, or the first free one from
    /// `first` on. Returns the bus's owner and the slot.
    pub fn plug(
        &mut self,
        kind: &'static str,
        name: Option<&str>,
        slot: Option<u32>,
        first: u32,
        device: &str,
    ) -> Result<(DeviceId, u32), PlugError> {
        let bus = self.find_bus(kind, name)?;
        let free = || (first..bus.limit).find(|slot| !bus.slots.contains_key(slot));
        let slot = slot.or_else(free).ok_or_else(|| PlugError::Full { bus: bus.name.clone(), count: bus.limit })?;
        if slot >= bus.limit {
            return Err(PlugError::NoSlot { bus: bus.name.clone(), slot, last: bus.limit - 1 });
        }
        if let Some(other) = bus.slots.get(&slot) {
            return Err(PlugError::Taken { bus: bus.name.clone(), slot, device: other.clone() });
        }
        bus.slots.insert(slot, device.into());
        Ok((bus.owner, slot))
    }

    fn find_bus(&mut self, kind: &'static str, name: Option<&str>) -> Result<&mut Bus, PlugError> {
        let choices: Vec<_> = self.buses.iter().filter(|bus| bus.kind == kind).map(|bus| bus.name.clone()).collect();
        let wanted = |bus: &&mut Bus| bus.kind == kind && name.is_none_or(|name| bus.name == name);
        match self.buses.iter_mut().find(wanted) {
            Some(bus) => Ok(bus),
            None if choices.is_empty() => Err(PlugError::NoKind { kind }),
            None => Err(PlugError::NoBus { name: name.unwrap_or_default().into(), kind, choices: choices.join(", ") }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_given_out_once() {
        let mut board = Board::new(1 << 20, 1).unwrap();
        let owner = DeviceId(0);
        board.add_bus("pcie.0", "PCIE", owner, 3);
        assert_eq!(board.plug("PCIE", None, None, 1, "a"), Ok((owner, 1)));
        let taken = PlugError::Taken { bus: "pcie.0".into(), slot: 1, device: "a".into() };
        assert_eq!(board.plug("PCIE", Some("pcie.0"), Some(1), 1, "b"), Err(taken));
        assert_eq!(board.plug("PCIE", None, None, 1, "b"), Ok((owner, 2)));
        assert_eq!(board.plug("PCIE", None, None, 1, "c"), Err(PlugError::Full { bus: "pcie.0".into(), count: 3 }));
        let none = PlugError::NoSlot { bus: "pcie.0".into(), slot: 9, last: 2 };
        assert_eq!(board.plug("PCIE", None, Some(9), 1, "c"), Err(none));
        let error = board.plug("PCIE", Some("pci.9"), None, 1, "c").unwrap_err().to_string();
        assert_eq!(error, "there is no bus 'pci.9' of kind PCIE; there are: pcie.0");
        assert!(board.plug("usb-bus", None, None, 0, "c").is_err());
    }
}
