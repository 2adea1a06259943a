//! Saving and restoring a whole machine.

use super::{Machine, QUANTUM};
use crate::backend::DiskId;
use crate::board::BoardState;
use crate::clock::Tick;
use crate::cpu::CpuState;
use crate::disk::DiskState;
use crate::memory::{PAGE_SHIFT, PAGE_SIZE};
use crate::state::StateError;
use serde::{Deserialize, Serialize};

/// Everything guest-visible but the contents of RAM and disks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Parts {
    pub(super) board: BoardState,
    pub(super) cpus: Vec<CpuState>,
    pub(super) turn: u32,
    pub(super) turn_left: Tick,
    pub(super) icount: u64,
}

/// Everything guest-visible.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MachineState {
    pub(super) parts: Parts,
    /// Pages of RAM that are not all zero, by number.
    pages: Vec<(u32, Vec<u8>)>,
    /// What was written to each disk.
    disks: Vec<DiskState>,
}

impl Machine {
    pub(super) fn save_parts(&self) -> Parts {
        Parts {
            board: self.board.save(),
            cpus: self.cpus.clone(),
            turn: self.turn as u32,
            turn_left: self.turn_left,
            icount: self.icount,
        }
    }

    /// All guest-visible state.
    pub fn save(&self) -> MachineState {
        let ram = &self.board.ram;
        let page = |number: u32| {
            let bytes = ram.slice(u64::from(number) << PAGE_SHIFT, PAGE_SIZE as usize);
            (number, bytes.expect("pages that are not zero are pages of RAM").to_vec())
        };
        let disks = self.board.disks().map(|(_, disk)| disk.save()).collect();
        MachineState { parts: self.save_parts(), pages: ram.nonzero_pages().map(page).collect(), disks }
    }

    /// Takes saved state over. On an error the machine is as it was.
    pub fn load(&mut self, state: &MachineState) -> Result<(), StateError> {
        self.check(state)?;
        self.board.load(&state.parts.board)?;
        self.cpus.clone_from(&state.parts.cpus);
        (self.turn, self.turn_left) = (state.parts.turn as usize, state.parts.turn_left);
        self.icount = state.parts.icount;
        self.polled_at = None;
        self.board.ram.clear();
        for (page, bytes) in &state.pages {
            self.board.ram.write(u64::from(*page) << PAGE_SHIFT, bytes);
        }
        for (index, disk) in (0..).zip(&state.disks) {
            self.board.disk_mut(DiskId(index)).load(disk);
        }
        self.engine.flush();
        Ok(())
    }

    fn check(&self, state: &MachineState) -> Result<(), StateError> {
        let mismatch = |part: &str, expected: u64, found: u64| {
            let (expected, found) = (expected.to_string(), found.to_string());
            Err(StateError::Mismatch { part: part.into(), expected, found })
        };
        let (cpus, found) = (self.cpus.len(), state.parts.cpus.len());
        if cpus != found {
            return mismatch("vCPUs", cpus as u64, found as u64);
        }
        if state.parts.turn as usize >= cpus {
            return mismatch("turns", cpus as u64, u64::from(state.parts.turn));
        }
        if !(1..=QUANTUM).contains(&state.parts.turn_left) {
            return mismatch("the turn's ticks", QUANTUM, state.parts.turn_left);
        }
        if let Some((place, cpu)) = (0..).zip(&state.parts.cpus).find(|(place, cpu)| cpu.index != *place) {
            return mismatch("a vCPU's number", u64::from(place), u64::from(cpu.index));
        }
        let (disks, found) = (self.board.disks().count(), state.disks.len());
        if disks != found {
            return mismatch("disks", disks as u64, found as u64);
        }
        self.board.disks().zip(&state.disks).try_for_each(|((id, disk), state)| disk.check(id, state))?;
        let pages = self.board.ram.len() >> PAGE_SHIFT;
        let bad = |(page, bytes): &&(u32, Vec<u8>)| u64::from(*page) >= pages || bytes.len() as u64 != PAGE_SIZE;
        match state.pages.iter().find(bad) {
            Some((page, _)) => mismatch("pages of RAM", pages, u64::from(*page)),
            None => Ok(()),
        }
    }
}

/// Everything guest-visible but the contents of RAM, to go back to on this very machine.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(super) parts: Parts,
}

impl Machine {
    /// All state but the contents of RAM, cheaply: what disks hold is shared.
    pub fn snapshot(&self) -> Snapshot {
        todo!()
    }

    /// Goes back to a snapshot of this machine; `pages` are those pages of RAM, by number, that may differ from then, with
    /// what they held (`None` for zeros). Caches of the engine stay where they are still true.
    pub fn restore<'a>(
        &mut self,
        snapshot: &Snapshot,
        pages: impl IntoIterator<Item = (u32, Option<&'a [u8; PAGE_SIZE as usize]>)>,
    ) {
        let _ = (&snapshot.parts, pages.into_iter().count());
        todo!()
    }
}
