//! What engines and devices look out for while the machine runs, and what they met.
//!
//! This is no state: nothing here is saved or can be seen by the guest.

use super::{Board, DeviceId};
use crate::clock::Tick;
use crate::memory::{PAGE_SHIFT, PAGE_SIZE};
use crate::probe::{Accessor, Addressing, Breakpoint, Cause, Condition, Hit, Probes, Watch, Watchpoint};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;

/// Breakpoints in a page of linear addresses.
#[derive(Default)]
struct BreakPage {
    /// Their offsets in the page, ascending, each once.
    offsets: Vec<u16>,
    /// All of them.
    breakpoints: Vec<Breakpoint>,
}

/// A part of what is watched at linear addresses, as devices reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mapped {
    /// The watchpoint's place among all.
    pub watchpoint: usize,
    /// Its first linear address.
    pub linear: u64,
    /// The physical addresses.
    pub physical: Range<u64>,
}

/// Which accesses of a vCPU to a page are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Looked {
    pub read: bool,
    pub write: bool,
}

/// What an engine must forget, since it looks out for something else now.
#[derive(Default)]
pub(crate) struct Changes {
    /// Numbers of the pages of linear addresses in which the breakpoints are others.
    pub code: BTreeSet<u64>,
    /// What is watched is something else.
    pub data: bool,
}

/// What is waited for, as those look it up who may meet it, and what was met.
#[derive(Default)]
pub(crate) struct Lookout {
    breaks: BTreeMap<u64, BreakPage>,
    has_breaks: bool,
    watchpoints: Vec<Watchpoint>,
    mapped: Vec<Mapped>,
    /// Where breakpoints do not count.
    skip: Option<Tick>,
    /// The engine has not heard of what was set last.
    is_news: bool,
    /// The offsets of breakpoints, by page, that the engine has heard of last.
    known_breaks: BTreeMap<u64, Vec<u16>>,
    /// The watchpoints that the engine has heard of last.
    known_watchpoints: Vec<Watchpoint>,
    /// What was met and has no position yet.
    met: Vec<Cause>,
    hits: Vec<Hit>,
}

/// Bytes that are or are not touched: addresses never wrap around.
fn overlaps(range: &Range<u64>, address: u64, len: u64) -> bool {
    address < range.end && range.start <= address.saturating_add(len - 1)
}

impl Lookout {
    /// Looks out for `probes` from now on. `mapped` says where devices reach what is watched at linear addresses.
    pub(crate) fn set(&mut self, probes: &Probes, mapped: Vec<Mapped>, skip: Option<Tick>) {
        self.set_breakpoints(&probes.breakpoints);
        self.watchpoints.clone_from(&probes.watchpoints);
        (self.mapped, self.skip, self.is_news) = (mapped, skip, true);
        self.met.clear();
        self.hits.clear();
    }

    fn set_breakpoints(&mut self, breakpoints: &[Breakpoint]) {
        self.breaks.clear();
        for breakpoint in breakpoints {
            let page = self.breaks.entry(breakpoint.address >> PAGE_SHIFT).or_default();
            page.offsets.push((breakpoint.address % PAGE_SIZE) as u16);
            page.breakpoints.push(breakpoint.clone());
        }
        for page in self.breaks.values_mut() {
            page.offsets.sort_unstable();
            page.offsets.dedup();
        }
        self.has_breaks = !self.breaks.is_empty();
    }

    /// What an engine, which is about to run, must forget. A debugger that takes everything away when it stops, and sets
    /// it again before it goes on, has changed nothing.
    #[inline]
    pub(crate) fn take_changes(&mut self) -> Option<Changes> {
        if std::mem::take(&mut self.is_news) { self.find_changes() } else { None }
    }

    fn find_changes(&mut self) -> Option<Changes> {
        let offsets = |number: &u64| self.breaks.get(number).map_or(&[][..], |page| &page.offsets);
        let known = |number: &u64| self.known_breaks.get(number).map_or(&[][..], Vec::as_slice);
        let all = self.known_breaks.keys().chain(self.breaks.keys());
        let code: BTreeSet<u64> = all.copied().filter(|number| offsets(number) != known(number)).collect();
        let data = self.known_watchpoints != self.watchpoints;
        if !code.is_empty() {
            self.known_breaks = self.breaks.iter().map(|(&number, page)| (number, page.offsets.clone())).collect();
        }
        if data {
            self.known_watchpoints.clone_from(&self.watchpoints);
        }
        (data || !code.is_empty()).then_some(Changes { code, data })
    }

    /// Whether there are breakpoints.
    #[inline(always)]
    pub(crate) fn has_breakpoints(&self) -> bool {
        self.has_breaks
    }

    /// Offsets of the breakpoints in the page of a linear address, ascending.
    pub(crate) fn breaks_in(&self, linear: u64) -> &[u16] {
        self.breaks.get(&(linear >> PAGE_SHIFT)).map_or(&[], |page| &page.offsets)
    }

    /// Whether there is a breakpoint at a linear address.
    pub(crate) fn breaks_at(&self, linear: u64) -> bool {
        self.breaks_in(linear).binary_search(&((linear % PAGE_SIZE) as u16)).is_ok()
    }

    /// The condition of the breakpoint `number` of those at a linear address.
    pub(crate) fn condition(&self, linear: u64, number: usize) -> Option<Option<Rc<dyn Condition>>> {
        let page = self.breaks.get(&(linear >> PAGE_SHIFT))?;
        let mut here = page.breakpoints.iter().filter(|breakpoint| breakpoint.address == linear);
        here.nth(number).map(|breakpoint| breakpoint.condition.clone())
    }

    /// Whether breakpoints do not count at this tick.
    pub(crate) fn skips(&self, now: Tick) -> bool {
        self.skip == Some(now)
    }

    /// Whether anything is watched.
    #[inline(always)]
    pub(crate) fn has_watchpoints(&self) -> bool {
        !self.watchpoints.is_empty()
    }

    /// Which accesses to the page at a linear and a physical address are to be looked at.
    pub(crate) fn looked_at(&self, linear: u64, physical: u64) -> Looked {
        let mut looked = Looked::default();
        for watchpoint in &self.watchpoints {
            let address = match watchpoint.addressing {
                Addressing::Linear { .. } => linear,
                Addressing::Physical => physical,
            };
            if overlaps(&watchpoint.range, address & !(PAGE_SIZE - 1), PAGE_SIZE) {
                looked.read |= watchpoint.watch != Watch::Write;
                looked.write |= watchpoint.watch != Watch::Read;
            }
        }
        looked
    }

    /// Whether such accesses to the page at a linear address are to be looked at, wherever it lies.
    pub(crate) fn looks_at(&self, linear: u64, write: bool) -> bool {
        let page = linear & !(PAGE_SIZE - 1);
        let is_linear = |watchpoint: &&Watchpoint| watchpoint.addressing != Addressing::Physical;
        let mut linears = self.watchpoints.iter().filter(is_linear);
        linears.any(|watchpoint| counts(watchpoint, write) && overlaps(&watchpoint.range, page, PAGE_SIZE))
    }

    /// Notes an access of a vCPU at a linear address; true if it is watched.
    pub(crate) fn note_linear(&mut self, cpu: u32, address: u64, len: u64, write: bool) -> bool {
        let is_linear = |watchpoint: &Watchpoint| watchpoint.addressing != Addressing::Physical;
        self.note(is_linear, Accessor::Cpu(cpu), address, len, write)
    }

    /// Notes an access to physical RAM; true if it is watched.
    fn note_physical(&mut self, by: Accessor, address: u64, len: u64, write: bool) -> bool {
        let is_physical = |watchpoint: &Watchpoint| watchpoint.addressing == Addressing::Physical;
        self.note(is_physical, by, address, len, write)
    }

    fn note(
        &mut self,
        concerned: impl Fn(&Watchpoint) -> bool,
        by: Accessor,
        address: u64,
        len: u64,
        write: bool,
    ) -> bool {
        let mut noted = false;
        for at in 0..self.watchpoints.len() {
            let watchpoint = &self.watchpoints[at];
            if concerned(watchpoint) && counts(watchpoint, write) && overlaps(&watchpoint.range, address, len) {
                self.meet(at, by, write, address, len);
                noted = true;
            }
        }
        noted
    }

    /// Notes an access of a device where a vCPU has mapped what is watched at linear addresses.
    fn note_mapped(&mut self, by: Accessor, address: u64, len: u64, write: bool) -> bool {
        let mut noted = false;
        for at in 0..self.mapped.len() {
            let Mapped { watchpoint, linear, physical } = self.mapped[at].clone();
            if counts(&self.watchpoints[watchpoint], write) && overlaps(&physical, address, len) {
                let first = address.max(physical.start);
                let end = address.saturating_add(len).min(physical.end);
                self.meet(watchpoint, by, write, linear + (first - physical.start), end - first);
                noted = true;
            }
        }
        noted
    }

    /// A watchpoint was met. Accesses of one kind within an instruction are one.
    fn meet(&mut self, at: usize, by: Accessor, write: bool, address: u64, len: u64) {
        let watchpoint = self.watchpoints[at].clone();
        let same = |cause: &&mut Cause| {
            matches!(cause, Cause::Watchpoint { watchpoint: w, by: b, write: kind, .. }
                if *w == watchpoint && *b == by && *kind == write)
        };
        if let Some(Cause::Watchpoint { accessed, .. }) = self.met.iter_mut().find(same) {
            let start = accessed.0.min(address);
            let end = accessed.0.saturating_add(accessed.1).max(address.saturating_add(len));
            *accessed = (start, end - start);
            return;
        }
        self.met.push(Cause::Watchpoint { watchpoint, by, write, accessed: (address, len) });
    }

    /// A breakpoint or the end of a step was met.
    pub(crate) fn reach(&mut self, cause: Cause) {
        self.met.push(cause);
    }

    /// Forgets reads of the instruction that was not completed: it will be executed again.
    pub(crate) fn forget_reads(&mut self) {
        self.met.retain(|cause| !matches!(cause, Cause::Watchpoint { by: Accessor::Cpu(_), write: false, .. }));
    }

    /// Whether something was met that has no position yet.
    #[inline(always)]
    pub(crate) fn has_met(&self) -> bool {
        !self.met.is_empty()
    }

    /// What was met since the last call lies before the position `now`, or is about to happen there.
    pub(crate) fn settle(&mut self, now: Tick) {
        for cause in self.met.drain(..) {
            let before = match cause {
                Cause::Breakpoint { .. } => now,
                Cause::Watchpoint { .. } | Cause::Step { .. } => now.saturating_sub(1),
            };
            self.hits.push(Hit { after: now, before, cause });
        }
    }

    /// Whether a probe was hit.
    pub(crate) fn has_hits(&self) -> bool {
        !self.hits.is_empty()
    }

    /// Takes what was hit.
    pub(crate) fn take_hits(&mut self) -> Vec<Hit> {
        std::mem::take(&mut self.hits)
    }
}

/// Whether a watchpoint is for such accesses.
fn counts(watchpoint: &Watchpoint, write: bool) -> bool {
    match watchpoint.watch {
        Watch::Read => !write,
        Watch::Write => write,
        Watch::Access => true,
    }
}

impl Board {
    /// Notes an access of a vCPU to physical RAM; true if it is watched.
    pub(crate) fn note_cpu_access(&mut self, cpu: u32, address: u64, len: u64, write: bool) -> bool {
        self.lookout.has_watchpoints() && self.lookout.note_physical(Accessor::Cpu(cpu), address, len, write)
    }

    /// Notes an access of a device that masters the bus.
    pub(crate) fn note_device_access(&mut self, device: DeviceId, address: u64, len: usize, write: bool) {
        if !self.lookout.has_watchpoints() || len == 0 {
            return;
        }
        let by = Accessor::Device(device);
        let end = address.saturating_add(len as u64);
        let mut at = address;
        while at < end {
            let next = (at | (PAGE_SIZE - 1)).saturating_add(1).min(end);
            if self.ram_offset(at).is_some() {
                let physical = self.lookout.note_physical(by, at, next - at, write);
                if self.lookout.note_mapped(by, at, next - at, write) || physical {
                    self.request_leave();
                }
            }
            at = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probes(breakpoints: &[u64], watched: Range<u64>) -> Probes {
        let breakpoint = |&address: &u64| Breakpoint { address, condition: None };
        let watchpoint = Watchpoint { watch: Watch::Write, addressing: Addressing::Physical, range: watched };
        let breakpoints = breakpoints.iter().map(breakpoint).collect();
        Probes { breakpoints, watchpoints: vec![watchpoint], step: None }
    }

    #[test]
    fn an_engine_hears_only_of_what_is_not_as_when_it_ran_last() {
        let mut lookout = Lookout::default();
        let mut set = |probes: &Probes, runs: bool| {
            lookout.set(probes, Vec::new(), None);
            if !runs {
                return None;
            }
            lookout.take_changes().map(|changes| (changes.code.into_iter().collect::<Vec<_>>(), changes.data))
        };
        let (some, none) = (probes(&[0x1003, 0x1001, 0x1003, 0x5000], 0..8), Probes::default());
        assert_eq!(set(&some, true), Some((vec![1, 5], true)));
        assert_eq!(set(&none, false), None);
        assert_eq!(set(&some, true), None);
        assert_eq!(set(&probes(&[0x5000, 0x1001], 0..8), true), Some((vec![1], false)));
        assert_eq!(set(&probes(&[0x5000, 0x1001], 1..8), true), Some((vec![], true)));
        assert_eq!(set(&none, true), Some((vec![1, 5], true)));
        assert_eq!(set(&none, true), None);
    }

    #[test]
    fn addresses_do_not_wrap_around() {
        let mut lookout = Lookout::default();
        lookout.set(&probes(&[], u64::MAX - 3..u64::MAX), Vec::new(), None);
        assert!(!lookout.note_physical(Accessor::Cpu(0), 0, 8, true));
        assert!(!lookout.note_physical(Accessor::Cpu(0), u64::MAX - 11, 8, true));
        assert!(lookout.note_physical(Accessor::Cpu(0), u64::MAX - 4, 8, true));
        assert_eq!(lookout.looked_at(0, u64::MAX), Looked { read: false, write: true });
    }
}
