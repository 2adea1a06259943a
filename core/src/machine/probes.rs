//! What a debugger does with a machine: probes, and who ran when.

use super::Machine;
use crate::clock::Tick;
use crate::edit::{Edit, EditError};
use crate::memory::PAGE_SIZE;
use crate::probe::{Hit, Probes};

/// Instructions that one vCPU retired one after the other, with no tick between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The tick at which the first began.
    pub start: Tick,
    /// How many; each is a tick.
    pub retired: u64,
    /// Which vCPU.
    pub cpu: u32,
}

impl Machine {
    /// Waits for `probes` from now on, and for nothing else. A breakpoint at the position `skip` does not count: it is
    /// where the run goes on from.
    pub fn set_probes(&mut self, probes: Probes, skip: Option<Tick>) {
        let _ = (probes, skip);
        todo!()
    }

    /// Takes what [`End::Probe`](super::End::Probe) was for: at least one hit then, all of the same position.
    pub fn take_hits(&mut self) -> Vec<Hit> {
        todo!()
    }

    /// Whether the machine, which a probe stopped, is in the state in which a run *until* the same tick ends. It is not
    /// if the vCPU whose turn it is was chosen after such a run would have ended.
    pub fn is_settled(&self) -> bool {
        todo!()
    }

    /// Keeps who ran when from now on, or stops keeping it.
    pub fn keep_turns(&mut self, keep: bool) {
        let _ = keep;
        todo!()
    }

    /// Takes who ran when since the last call, in order.
    pub fn take_turns(&mut self) -> Vec<Turn> {
        todo!()
    }

    /// Makes a change that a debugger asks for. On an error, which says what cannot be, nothing is changed.
    ///
    /// It is the last thing that happens at this tick: what comes by the door later waits for the next one, lest a replay,
    /// which has both from its door, make them in another order.
    pub fn edit(&mut self, edit: &Edit) -> Result<(), EditError> {
        edit.check(&self.board)?;
        match edit {
            Edit::Register { cpu, register, value } => register.set(&mut self.cpus[*cpu as usize], *value),
            Edit::Memory { address, bytes } => self.write_memory(*address, bytes),
        }
        self.polled_at = Some(self.board.now);
        Ok(())
    }

    /// Writes to RAM; who watches pages hears of it, but no watchpoint is hit.
    fn write_memory(&mut self, address: u64, bytes: &[u8]) {
        let first = bytes.len().min((PAGE_SIZE - address % PAGE_SIZE) as usize);
        let (head, tail) = bytes.split_at(first);
        let mut at = address;
        for part in std::iter::once(head).chain(tail.chunks(PAGE_SIZE as usize)) {
            if let Some(offset) = self.board.ram_offset(at) {
                self.board.ram.write(offset, part);
            }
            at = at.wrapping_add(part.len() as u64);
        }
        self.board.request_leave();
    }
}
