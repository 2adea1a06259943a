//! What a debugger does with a machine: probes, and who ran when.

use super::Machine;
use crate::board::Mapped;
use crate::clock::Tick;
use crate::edit::{Edit, EditError};
use crate::engine::Ran;
use crate::memory::PAGE_SIZE;
use crate::probe::{Addressing, Cause, Hit, Probes, Step, Watchpoint};

/// Bytes of one watchpoint of linear addresses at which devices are looked at, from its first on: a client can ask for
/// any number.
const MAPPED_LIMIT: u64 = 16 << 20;

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

/// What a machine keeps for a debugger; no part of its state.
#[derive(Debug, Default)]
pub(super) struct Probing {
    step: Option<Step>,
    /// Who ran when, if that is kept.
    turns: Option<Vec<Turn>>,
    /// The first choice of who runs at the last tick that had one: a run until this tick ends before.
    choice: Option<Choice>,
}

/// The run loop's choice of who runs.
#[derive(Clone, Copy, Debug)]
struct Choice {
    tick: Tick,
    /// Whose turn it was before, and what was left of it.
    before: (usize, Tick),
    /// Whether vCPUs took start signals, too.
    started: bool,
}

impl Probing {
    /// Most instructions that a vCPU may run before somebody looks.
    pub(super) fn limit(&self, cpu: usize) -> u64 {
        if self.step.as_ref().is_some_and(|step| step.cpu as usize == cpu) { 1 } else { u64::MAX }
    }

    fn keep(&mut self, turn: Turn) {
        let Some(turns) = &mut self.turns else { return };
        match turns.last_mut() {
            Some(last) if last.cpu == turn.cpu && last.start + last.retired == turn.start => {
                last.retired += turn.retired
            }
            _ => turns.push(turn),
        }
    }
}

impl Machine {
    /// Waits for `probes` from now on, and for nothing else. A breakpoint at the position `skip` does not count: it is
    /// where the run goes on from.
    pub fn set_probes(&mut self, probes: Probes, skip: Option<Tick>) {
        let mut mapped = Vec::new();
        for (at, watchpoint) in probes.watchpoints.iter().enumerate() {
            self.find_mapped(at, watchpoint, &mut mapped);
        }
        self.board.lookout.set(&probes, mapped, skip);
        self.probing.step = probes.step;
    }

    /// Where devices reach what a watchpoint watches at linear addresses.
    fn find_mapped(&self, at: usize, watchpoint: &Watchpoint, mapped: &mut Vec<Mapped>) {
        let Addressing::Linear { cpu } = watchpoint.addressing else { return };
        if cpu as usize >= self.cpus.len() {
            return;
        }
        let range = &watchpoint.range;
        let end = range.end.min(range.start.saturating_add(MAPPED_LIMIT));
        let mut linear = range.start;
        while linear < end {
            let next = (linear | (PAGE_SIZE - 1)).saturating_add(1).min(end);
            if let Some(physical) = self.translate(cpu as usize, linear) {
                mapped.push(Mapped { watchpoint: at, linear, physical: physical..physical + (next - linear) });
            }
            linear = next;
        }
    }

    /// Takes what [`End::Probe`](super::End::Probe) was for: at least one hit then, all of the same position. If a run ends
    /// for another reason at that very position, they are here, too.
    pub fn take_hits(&mut self) -> Vec<Hit> {
        self.board.lookout.take_hits()
    }

    /// Whether the machine, which has come back from a run, is in the state in which a run *until* the same tick ends. It
    /// is not if vCPUs took start signals after such a run would have ended; nor if it was called away before a change of
    /// the power state that is due here.
    pub fn is_settled(&self) -> bool {
        let started = self.probing.choice.is_some_and(|choice| choice.tick == self.board.now && choice.started);
        !started && !self.board.has_power_event()
    }

    /// Keeps who ran when from now on, or stops keeping it.
    pub fn keep_turns(&mut self, keep: bool) {
        self.probing.turns = keep.then(Vec::new);
    }

    /// Takes who ran when since the last call, in order.
    pub fn take_turns(&mut self) -> Vec<Turn> {
        self.probing.turns.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// A run begins.
    pub(super) fn forget_probing(&mut self) {
        self.board.lookout.take_hits();
        self.probing.choice = None;
    }

    /// Who runs is about to be chosen.
    pub(super) fn note_choice(&mut self, started: bool) {
        let (tick, before) = (self.board.now, (self.turn, self.turn_left));
        match &mut self.probing.choice {
            Some(choice) if choice.tick == tick => choice.started |= started,
            choice => *choice = Some(Choice { tick, before, started }),
        }
    }

    /// A probe ends the run. Whoever was chosen at this tick has not begun, and is chosen again when the run goes on.
    pub(super) fn forget_choice(&mut self) {
        if let Some(Choice { tick, before, started: false }) = self.probing.choice
            && tick == self.board.now
        {
            (self.turn, self.turn_left) = before;
        }
    }

    /// After a vCPU ran, from `start` on: notes what ends the run, and who ran.
    pub(super) fn note_ran(&mut self, start: Tick, ran: &Ran) {
        if ran.retired > 0 {
            let cpu = self.turn as u32;
            self.probing.keep(Turn { start, retired: ran.retired, cpu });
            if self.ends_step() {
                self.board.lookout.reach(Cause::Step { cpu });
            }
        }
        self.board.lookout.settle(self.board.now);
    }

    /// Whether the vCPU that has just retired an instruction is done with its step.
    fn ends_step(&self) -> bool {
        let Some(step) = self.probing.step.as_ref().filter(|step| step.cpu as usize == self.turn) else { return false };
        !step.within.contains(&self.cpus[self.turn].regs.rip())
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

#[cfg(test)]
mod tests;
