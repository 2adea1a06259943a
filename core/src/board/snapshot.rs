//! Saving and restoring the board, all but the contents of RAM and disks.

use super::{Board, DeviceId, Region, Slot, Space, Target};
use crate::apic::LocalApicState;
use crate::clock::Tick;
use crate::disk::Disk;
use crate::memory::AddressMap;
use crate::output::PowerEvent;
use crate::request::Requests;
use crate::scheduler::{Owner, Timer};
use crate::state::StateError;
use serde::{Deserialize, Serialize};
use std::cell::OnceCell;
use std::sync::Arc;

/// Most timers, regions and requests of a saved state each: far more than any machine has.
const MOST: usize = 1 << 14;

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

/// All state of a board but the contents of RAM, to go back to on that very board. What did not change between two of them
/// is shared.
#[derive(Clone, Debug)]
pub(crate) struct BoardSnapshot {
    now: Tick,
    timers: Vec<(Tick, Timer)>,
    apics: Vec<LocalApicState>,
    /// What each device saved.
    devices: Vec<Arc<[u8]>>,
    spaces: [AddressMap<Target>; 3],
    lines: Vec<u32>,
    requests: Requests,
    power: Option<PowerEvent>,
    disks: Vec<Disk>,
}

impl BoardSnapshot {
    /// Bytes of memory that it takes beside what it shares with another one.
    pub(crate) fn bytes_beside(&self, other: Option<&Self>) -> u64 {
        let is_shared = |index: usize, saved: &Arc<[u8]>| {
            other.and_then(|other| other.devices.get(index)).is_some_and(|theirs| Arc::ptr_eq(theirs, saved))
        };
        let own = self.devices.iter().enumerate().filter(|&(index, saved)| !is_shared(index, saved));
        let devices: usize = own.map(|(_, saved)| saved.len() + 2 * size_of::<usize>()).sum();
        let disks = self.disks.iter().enumerate().map(|(index, disk)| {
            let new = Disk::new(disk.geometry());
            disk.bytes_beside(other.and_then(|other| other.disks.get(index)).unwrap_or(&new))
        });
        let regions: usize = self.spaces.iter().map(|space| space.iter().count()).sum();
        let listed = size_of_val(&self.timers[..])
            + size_of_val(&self.apics[..])
            + size_of_val(&self.devices[..])
            + regions * size_of::<(std::ops::Range<u64>, Target)>()
            + size_of_val(&self.lines[..])
            + size_of::<crate::request::Pending>() * self.requests.iter().count()
            + size_of_val(&self.disks[..]);
        (devices + listed) as u64 + disks.sum::<u64>()
    }
}

impl Slot {
    /// What the device saves.
    fn saved(&self) -> &Arc<[u8]> {
        self.saved.get_or_init(|| self.device.as_ref().expect("no call is under way").save().into())
    }

    /// Takes back what the device once saved; nothing happens if it is what the device would save now.
    fn take_back(&mut self, saved: &Arc<[u8]>) {
        if self.saved.get().is_some_and(|current| Arc::ptr_eq(current, saved)) {
            return;
        }
        self.device.as_mut().expect("no call is under way").load(saved).expect("what a device saved, it loads");
        self.saved = OnceCell::from(saved.clone());
    }
}

impl Board {
    /// All state but the contents of RAM, cheaply.
    pub(crate) fn snapshot(&self) -> BoardSnapshot {
        BoardSnapshot {
            now: self.now,
            timers: self.scheduler.sorted(),
            apics: self.apics.iter().map(|apic| apic.state.clone()).collect(),
            devices: self.devices.iter().map(|slot| slot.saved().clone()).collect(),
            spaces: self.spaces.clone(),
            lines: self.lines.iter().map(|line| line.driven).collect(),
            requests: self.requests.clone(),
            power: self.power,
            disks: self.disks.clone(),
        }
    }

    /// Goes back to a snapshot of this board, without any other effect; contents of RAM are the caller's.
    pub(crate) fn go_back(&mut self, snapshot: &BoardSnapshot) {
        // Whatever is added to the state has to be named here.
        let BoardSnapshot { now, timers, apics, devices, spaces, lines, requests, power, disks } = snapshot;
        self.now = *now;
        self.scheduler.restore(timers);
        for (apic, saved) in self.apics.iter_mut().zip(apics) {
            apic.set_state(saved.clone());
        }
        self.devices.iter_mut().zip(devices).for_each(|(slot, saved)| slot.take_back(saved));
        self.spaces.clone_from(spaces);
        for (line, &driven) in self.lines.iter_mut().zip(lines) {
            line.driven = driven;
        }
        self.requests.clone_from(requests);
        self.power = *power;
        self.disks.clone_from(disks);
        self.outputs.clear();
    }

    /// All state but the contents of RAM.
    pub fn save(&self) -> BoardState {
        BoardState {
            now: self.now,
            timers: self.scheduler.sorted(),
            apics: self.apics.iter().map(|apic| apic.state.clone()).collect(),
            devices: self.devices.iter().map(|slot| (slot.name.clone(), slot.saved().to_vec())).collect(),
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
        let slot = &mut self.devices[index];
        slot.saved.take();
        slot.device.as_mut().expect("no call is under way").load(state)
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
        for (part, count) in [
            ("timers", state.timers.len()),
            ("address map", state.regions.len()),
            ("requests", state.requests.iter().count()),
        ] {
            if count > MOST {
                let reason = format!("{count} of them, more than {MOST}, cannot be");
                return Err(StateError::Malformed { part: part.into(), reason });
            }
        }
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
