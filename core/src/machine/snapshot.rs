//! Saving and restoring a whole machine.

use super::{Machine, QUANTUM};
use crate::backend::DiskId;
use crate::board::{BoardSnapshot, BoardState};
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
        self.take_parts(&state.parts)?;
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

    /// Takes over what [`check_parts`](Self::check_parts) accepted. On an error the machine is as it was.
    pub(super) fn take_parts(&mut self, parts: &Parts) -> Result<(), StateError> {
        self.board.load(&parts.board)?;
        self.cpus.clone_from(&parts.cpus);
        (self.turn, self.turn_left) = (parts.turn as usize, parts.turn_left);
        self.icount = parts.icount;
        self.polled_at = None;
        Ok(())
    }

    /// Whether the parts that are the machine's own can be.
    pub(super) fn check_parts(&self, parts: &Parts) -> Result<(), StateError> {
        let (cpus, found) = (self.cpus.len(), parts.cpus.len());
        if cpus != found {
            return mismatch("vCPUs", cpus as u64, found as u64);
        }
        if parts.turn as usize >= cpus {
            return mismatch("turns", cpus as u64, u64::from(parts.turn));
        }
        if !(1..=QUANTUM).contains(&parts.turn_left) {
            return mismatch("the turn's ticks", QUANTUM, parts.turn_left);
        }
        // Each instruction takes a tick.
        if parts.icount > parts.board.now {
            return mismatch("instructions retired", parts.board.now, parts.icount);
        }
        match (0..).zip(&parts.cpus).find(|(place, cpu)| cpu.index != *place) {
            Some((place, cpu)) => mismatch("a vCPU's number", u64::from(place), u64::from(cpu.index)),
            None => Ok(()),
        }
    }

    /// Whether each of the disks can be.
    pub(super) fn check_disks(&self, states: &[DiskState]) -> Result<(), StateError> {
        let disks = self.board.disks().count();
        if disks != states.len() {
            return mismatch("disks", disks as u64, states.len() as u64);
        }
        self.board.disks().zip(states).try_for_each(|((id, disk), state)| disk.check(id, state))
    }

    fn check(&self, state: &MachineState) -> Result<(), StateError> {
        self.check_parts(&state.parts)?;
        self.check_disks(&state.disks)?;
        let pages = self.board.ram.len() >> PAGE_SHIFT;
        let bad = |(page, bytes): &&(u32, Vec<u8>)| u64::from(*page) >= pages || bytes.len() as u64 != PAGE_SIZE;
        match state.pages.iter().find(bad) {
            Some((page, _)) => mismatch("pages of RAM", pages, u64::from(*page)),
            None => Ok(()),
        }
    }
}

fn mismatch(part: &str, expected: u64, found: u64) -> Result<(), StateError> {
    let (expected, found) = (expected.to_string(), found.to_string());
    Err(StateError::Mismatch { part: part.into(), expected, found })
}

/// Everything guest-visible but the contents of RAM, to go back to on this very machine.
#[derive(Clone, Debug)]
pub struct Snapshot {
    board: BoardSnapshot,
    cpus: Vec<CpuState>,
    turn: usize,
    turn_left: Tick,
    icount: u64,
    polled_at: Option<Tick>,
}

impl Snapshot {
    /// Bytes of memory that it takes beside what it shares with another one of the same machine: about. Takes time by what
    /// differs.
    pub fn bytes_beside(&self, other: Option<&Self>) -> u64 {
        let fixed = size_of::<Self>() + size_of_val(&self.cpus[..]);
        fixed as u64 + self.board.bytes_beside(other.map(|other| &other.board))
    }
}

impl Machine {
    /// All state but the contents of RAM, cheaply: what disks hold is shared, and so is what devices saved that were not
    /// called since.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            board: self.board.snapshot(),
            cpus: self.cpus.clone(),
            turn: self.turn,
            turn_left: self.turn_left,
            icount: self.icount,
            polled_at: self.polled_at,
        }
    }

    /// Goes back to a snapshot of this machine; `pages` are those pages of RAM, by number, that may differ from then, with
    /// what they held (`None` for zeros). Caches of the engine stay where they are still true.
    ///
    /// # Why the engine need not forget anything
    ///
    /// Whatever an engine remembers between runs is a function of RAM, of where RAM lies, and of its key; never of *when*
    /// it was made:
    ///
    /// * Decoded instructions, translated code and the jump caches that lead there are made from bytes of RAM, under a key
    ///   of CPU state (mode, control bits, features). The pages are watched, and here, too, a byte only changes by
    ///   [`Ram::write`](crate::memory::Ram::write), which queues what was written to a watched page. Before it executes
    ///   anything, a run drops what was made from the lines in the queue. Lines that hold what they held are not written,
    ///   so what was made from them stays, and is true.
    /// * Translations of addresses are made from page-table entries, which are watched likewise. Accessed and dirty bits
    ///   that come off here are such writes: the next access walks again, and sets them again. What else decides about
    ///   an access (the tables' root, PAE's pointers, privilege and control bits, a local APIC that covers RAM) is the key
    ///   of its context, which is looked up anew at each run's beginning.
    /// * Where RAM answers never changes, and RAM goes before devices: the address map decides about nothing that is
    ///   cached.
    /// * A page may have write tags only while each log has it as dirty and nobody watches it. Nothing here makes a page
    ///   clean; if a log is taken before or after, RAM recalls the page, and a run refreshes its tags before it
    ///   executes anything.
    /// * What native code keeps of a vCPU (its flags, segment bases, x87 unit, MXCSR) it takes from [`CpuState`] whenever it
    ///   is entered from the run loop, and has put back when it leaves.
    pub fn restore<'a>(
        &mut self,
        snapshot: &Snapshot,
        pages: impl IntoIterator<Item = (u32, Option<&'a [u8; PAGE_SIZE as usize]>)>,
    ) {
        // Whatever is added to the state has to be named here.
        let Snapshot { board, cpus, turn, turn_left, icount, polled_at } = snapshot;
        self.board.go_back(board);
        self.cpus.clone_from(cpus);
        (self.turn, self.turn_left) = (*turn, *turn_left);
        (self.icount, self.polled_at) = (*icount, *polled_at);
        for (page, bytes) in pages {
            self.board.ram.restore_page(page, bytes.unwrap_or(&[0; PAGE_SIZE as usize]));
        }
    }
}
