//! Saving and restoring the board, all but the contents of RAM and disks.

use super::{Board, DeviceId, Region, Space, Target};
use crate::apic::LocalApicState;
use crate::clock::Tick;
use crate::memory::AddressMap;
use crate::output::PowerEvent;
use crate::request::Requests;
use crate::scheduler::{Owner, Timer};
use crate::state::StateError;
use serde::{Deserialize, Serialize};

/// Everything on the board that is state, all but the contents of RAM and disks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoardState {
    /// The tick.
    pub now: Tick,
    /// Armed timers in the order in which they fire.
    pub timers: Vec<(Tick, Timer)>,
    /// The local APICs.
    pub apics: Vec<LocalApicState>,
    /// Name and state of every device.
    pub devices: Vec<(String, Vec<u8>)>,
    /// What is mapped where; devices move their regions.
    pub regions: Vec<(DeviceId, Region)>,
    /// Which outputs drive each line.
    pub lines: Vec<u32>,
    /// Requests that wait for their answers.
    pub requests: Requests,
    /// A change of the power state that was asked for and not yet taken.
    pub power: Option<PowerEvent>,
}

impl Board {
    /// All state but the contents of RAM.
    pub fn save(&self) -> BoardState {
        let saved =
            |device: &Option<Box<dyn crate::device::Device>>| device.as_ref().expect("no call is under way").save();
        BoardState {
            now: self.now,
            timers: self.scheduler.sorted(),
            apics: self.apics.iter().map(|apic| apic.state.clone()).collect(),
            devices: self.devices.iter().map(|slot| (slot.name.clone(), saved(&slot.device))).collect(),
            regions: self.regions(),
            lines: self.lines.iter().map(|line| line.driven).collect(),
            requests: self.requests.clone(),
            power: self.power,
        }
    }

    /// Takes saved state over, without any other effect. On an error the board is as it was.
    pub fn load(&mut self, state: &BoardState) -> Result<(), StateError> {
        let spaces = self.check(state)?;
        let before = self.save();
        for (index, (_, bytes)) in state.devices.iter().enumerate() {
            if let Err(error) = self.load_device(index, bytes) {
                for (changed, (_, bytes)) in before.devices[..index].iter().enumerate() {
                    self.load_device(changed, bytes).expect("what was saved a moment ago loads");
                }
                return Err(error);
            }
        }
        self.now = state.now;
        self.scheduler.restore(&state.timers);
        for (apic, saved) in self.apics.iter_mut().zip(&state.apics) {
            apic.set_state(saved.clone());
        }
        self.spaces = spaces;
        for (line, &driven) in self.lines.iter_mut().zip(&state.lines) {
            line.driven = driven;
        }
        self.requests = state.requests.clone();
        self.power = state.power;
        self.outputs.clear();
        Ok(())
    }

    fn load_device(&mut self, index: usize, state: &[u8]) -> Result<(), StateError> {
        self.devices[index].device.as_mut().expect("no call is under way").load(state)
    }

    /// Everything that is mapped, by space and address.
    pub fn regions(&self) -> Vec<(DeviceId, Region)> {
        let all = [Space::Memory, Space::Port, Space::PciConfig];
        let of =
            |space: Space| self.spaces[space as usize].iter().map(move |(range, target)| region(space, range, target));
        all.into_iter().flat_map(of).collect()
    }

    fn has_owner(&self, owner: Owner) -> bool {
        match owner {
            Owner::LocalApic(cpu) => (cpu as usize) < self.apics.len(),
            Owner::Device(id) => (id as usize) < self.devices.len(),
        }
    }

    /// Whether the state fits this board; returns its address maps.
    fn check(&self, state: &BoardState) -> Result<[AddressMap<Target>; 3], StateError> {
        let names: Vec<_> = state.devices.iter().map(|(name, _)| name.as_str()).collect();
        let own: Vec<_> = self.device_names().collect();
        expect("board devices", &own, &names)?;
        expect("local APICs", &self.apics.len(), &state.apics.len())?;
        expect("interrupt lines", &self.lines.len(), &state.lines.len())?;
        if let Some((_, timer)) = state.timers.iter().find(|(_, timer)| !self.has_owner(timer.owner)) {
            return Err(StateError::Malformed {
                part: "timers".into(),
                reason: format!("there is no {:?}", timer.owner),
            });
        }
        if let Some(pending) = state.requests.iter().find(|pending| pending.device.0 as usize >= self.devices.len()) {
            return Err(StateError::Malformed {
                part: "requests".into(),
                reason: format!("there is no device {}", pending.device.0),
            });
        }
        let mut spaces: [AddressMap<Target>; 3] = Default::default();
        for (device, region) in &state.regions {
            let Region { space, range, number, narrowest, widest } = region.clone();
            let malformed = |reason: String| StateError::Malformed { part: "address map".into(), reason };
            let power_of_two = |bytes: u8| matches!(bytes, 1 | 2 | 4 | 8);
            if device.0 as usize >= self.devices.len() || !power_of_two(narrowest) || !power_of_two(widest) {
                return Err(malformed(format!("region {number} of device {} cannot be", device.0)));
            }
            let target = Target { device: *device, number, narrowest, widest };
            spaces[space as usize].insert(range, target).map_err(|error| malformed(error.to_string()))?;
        }
        Ok(spaces)
    }
}

fn region(space: Space, range: &std::ops::Range<u64>, target: &Target) -> (DeviceId, Region) {
    let Target { device, number, narrowest, widest } = *target;
    (device, Region { space, range: range.clone(), number, narrowest, widest })
}

fn expect<T: PartialEq + std::fmt::Debug>(part: &str, expected: &T, found: &T) -> Result<(), StateError> {
    if expected == found {
        return Ok(());
    }
    Err(StateError::Mismatch { part: part.into(), expected: format!("{expected:?}"), found: format!("{found:?}") })
}
