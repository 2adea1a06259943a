//! Checkpoints of one machine, in memory: places to go back to.
//!
//! # The problem
//!
//! Whatever moves backwards restores the nearest earlier checkpoint and runs forward from there, so checkpoints should be
//! dense, and near the position densest of all. But a machine is gigabytes, and a run has more instructions than there are
//! bytes: what is kept must be small for each, and few for the far past. And a step back that feels instant restores
//! thousands of times a second, so restoring must cost what differs, not what there is.
//!
//! # The mechanism
//!
//! A checkpoint is a [`Snapshot`], which shares with its neighbours what devices and disks have in common; a mark, which is
//! what the door needs to go on from there; and the list of pages that may have been written since the checkpoint before
//! it. Contents of pages are kept by page ([`history::History`]): a version for each checkpoint whose list has the page,
//! so a page that is never written is there once, whatever the number of checkpoints. The first checkpoint has every page
//! that holds anything.
//!
//! The machine's RAM always derives from one of them, the *base*: the pages that may differ from it are those in the log
//! [`DirtyLog::Checkpoint`], and those that *strayed* because the base was another one that is no more. To take a
//! checkpoint is to copy these pages; one that holds what it held is shared with the version before. To restore one is to
//! go through these pages and the lists between the base and it, to compare each with its version, and to write the lines
//! that differ. Then it is the base.
//!
//! To drop a checkpoint is to give its list, and the versions that nothing overwrote, to the next one. Which one is
//! dropped when memory is short is the matter of [`thin`].
//!
//! # The cost
//!
//! Taking costs what was written since the base, restoring what was written between the two places; neither depends on
//! the size of RAM, of disks, or on the number of checkpoints. Memory is counted as it is spent: contents, versions, lists,
//! and what snapshots do not share with the one before them; marks are counted without what they point to.
//!
//! # What it looks like when it is wrong
//!
//! A page that is missing in a list: the fingerprint after restoring differs from that when the checkpoint was taken, and
//! a replay from there diverges from its recording, which is reported. A page too many costs a comparison.

mod contents;
mod history;
#[cfg(test)]
mod tests;
mod thin;

use history::{History, Page};
use reprise_core::clock::Tick;
use reprise_core::machine::{Machine, Snapshot};
use reprise_core::memory::{DirtyLog, PAGE_SHIFT, PAGE_SIZE};
use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included, Unbounded};

/// Most checkpoints: beyond it choosing one to drop would take longer than taking one.
const MOST: usize = 4096;
/// So many are kept, by the same choice, even if they take more memory than they may: going back must stay possible where
/// the pages of one checkpoint alone are too much.
const FEWEST: usize = 16;

struct Checkpoint<M> {
    snapshot: Snapshot,
    mark: M,
    /// Pages that may have been written since the checkpoint before this one, in ascending order. Of each there is a
    /// version of this tick.
    pages: Vec<u32>,
    /// It is never dropped to save memory.
    pinned: bool,
    /// Bytes that it takes, beside contents and versions of pages.
    bytes: u64,
}

/// Checkpoints of one machine; `M` is what its door needs to go on from there.
///
/// All are of one history: whoever changes it [forgets](Self::forget_after) what comes after the change.
pub struct Checkpoints<M> {
    kept: BTreeMap<Tick, Checkpoint<M>>,
    history: History,
    /// The checkpoint that RAM derives from. There is none before the first is taken.
    base: Tick,
    /// Pages that may differ from the base beside those that the log has.
    strayed: Vec<u32>,
    /// Near here they shall be dense.
    position: Tick,
    /// Bytes that all may take, and that snapshots, lists and marks do take.
    limit: u64,
    bytes: u64,
    /// Pages that the last take or restore looked at.
    looked_at: usize,
}

impl<M: Clone> Checkpoints<M> {
    /// None yet; they may take `memory` bytes.
    pub fn new(memory: u64) -> Self {
        let (kept, history) = (BTreeMap::new(), History::default());
        Self { kept, history, base: 0, strayed: Vec::new(), position: 0, limit: memory, bytes: 0, looked_at: 0 }
    }

    /// Takes one where the machine is; nothing happens if there is one. If memory is short it may be that very one that is
    /// missed least.
    pub fn take(&mut self, machine: &mut Machine, mark: M) {
        self.add(machine, mark);
        self.thin();
    }

    /// As [`take`](Self::take), or of one that is there; it is not dropped to save memory.
    pub fn pin(&mut self, machine: &mut Machine, mark: M) {
        self.add(machine, mark);
        if let Some(checkpoint) = self.kept.get_mut(&machine.now()) {
            checkpoint.pinned = true;
        }
        self.thin();
    }

    fn add(&mut self, machine: &mut Machine, mark: M) {
        let now = machine.now();
        self.position = now;
        if self.kept.contains_key(&now) {
            return;
        }
        let pages = self.pages_since_previous(machine);
        self.take_with(machine, mark, pages);
    }

    /// Takes one of a machine that did not run here from where it was before: nobody knows what was written between.
    pub fn take_after_jump(&mut self, machine: &mut Machine, mark: M) {
        machine.board.ram.take_dirty(DirtyLog::Checkpoint);
        self.strayed.clear();
        self.position = machine.now();
        let pages = (machine.board.ram.len() >> PAGE_SHIFT) as u32;
        self.take_with(machine, mark, (0..pages).collect());
    }

    /// Takes one where there is none; `pages` may have been written since the one before it.
    fn take_with(&mut self, machine: &mut Machine, mark: M, pages: Vec<u32>) {
        let now = machine.now();
        let previous = self.latest(now);
        let ram = &machine.board.ram;
        for &number in &pages {
            let bytes = ram.slice(u64::from(number) << PAGE_SHIFT, PAGE_SIZE as usize);
            let page: &Page = bytes.and_then(|bytes| bytes.try_into().ok()).expect("dirty pages are pages of RAM");
            self.history.add(number, now, page);
        }
        self.looked_at = pages.len();
        let snapshot = machine.snapshot();
        let bytes = cost::<M>(&snapshot, &pages, previous.map(|tick| &self.kept[&tick].snapshot));
        self.bytes += bytes;
        self.kept.insert(now, Checkpoint { snapshot, mark, pages, pinned: false, bytes });
        self.base = now;
        self.count_after(now);
    }

    /// The pages that may have been written between the last checkpoint before the machine's position and that position.
    fn pages_since_previous(&mut self, machine: &mut Machine) -> Vec<u32> {
        let now = machine.now();
        let mut pages = machine.board.ram.take_dirty(DirtyLog::Checkpoint);
        let Some(previous) = self.latest(now) else {
            assert!(self.kept.is_empty(), "nothing comes before the first checkpoint");
            // Whatever was written before anyone kept a log.
            return machine.board.ram.nonzero_pages().collect();
        };
        pages.append(&mut self.strayed);
        // If the machine ran here from its base, these are in the log already; if it came otherwise, they may not be.
        self.lists_between(self.base, previous).for_each(|list| pages.extend(list));
        pages.sort_unstable();
        pages.dedup();
        if let Some((_, next)) = self.kept.range((Excluded(now), Unbounded)).next() {
            pages.retain(|page| next.pages.binary_search(page).is_ok());
        }
        pages
    }

    /// The lists of pages that may differ between two checkpoints.
    fn lists_between(&self, one: Tick, other: Tick) -> impl Iterator<Item = &Vec<u32>> {
        let (from, to) = (one.min(other), one.max(other));
        self.kept
            .range((Excluded(from), Included(to)))
            .filter(move |_| from < to)
            .map(|(_, checkpoint)| &checkpoint.pages)
    }

    /// The last checkpoint at a tick or before.
    pub fn latest(&self, at_most: Tick) -> Option<Tick> {
        self.kept.range(..=at_most).next_back().map(|(&tick, _)| tick)
    }

    /// The ticks of all.
    pub fn ticks(&self) -> impl DoubleEndedIterator<Item = Tick> {
        self.kept.keys().copied()
    }

    /// Takes the machine to the checkpoint at exactly `tick`, which must be one, from wherever it is.
    pub fn restore(&mut self, machine: &mut Machine, tick: Tick) -> M {
        let pages = self.pages_to_restore(machine, tick);
        self.looked_at = pages.len();
        let checkpoint = &self.kept[&tick];
        let versions = pages.iter().map(|&page| (page, self.history.at(page, tick)));
        machine.restore(&checkpoint.snapshot, versions);
        // What was written just now is as it was.
        machine.board.ram.take_dirty(DirtyLog::Checkpoint);
        let mark = checkpoint.mark.clone();
        self.strayed.clear();
        (self.base, self.position) = (tick, tick);
        mark
    }

    /// The pages of RAM that may differ from the checkpoint at `tick`, in ascending order.
    fn pages_to_restore(&self, machine: &mut Machine, tick: Tick) -> Vec<u32> {
        let mut pages = machine.board.ram.take_dirty(DirtyLog::Checkpoint);
        pages.extend(&self.strayed);
        let differs = |page: &u32| !self.history.is_same(*page, self.base, tick);
        let listed: usize = self.lists_between(self.base, tick).map(Vec::len).sum();
        if listed < self.history.pages() {
            self.lists_between(self.base, tick).for_each(|list| pages.extend(list.iter().copied().filter(differs)));
        } else {
            pages.extend(self.history.numbers().filter(differs));
        }
        pages.sort_unstable();
        pages.dedup();
        pages
    }

    /// Drops all after `tick`; never the first.
    pub fn forget_after(&mut self, tick: Tick) {
        while let Some((&last, _)) = self.kept.last_key_value()
            && last > tick
            && self.kept.len() > 1
        {
            self.drop_one(last);
        }
    }

    /// Whether the page of RAM may have been written after `after` and no later than `up_to`, both checkpoints.
    pub fn may_have_changed(&self, page: u32, after: Tick, up_to: Tick) -> bool {
        self.history.has_version(page, after, up_to)
    }

    /// Bytes that all take.
    pub fn memory(&self) -> u64 {
        self.bytes + self.history.bytes() + size_of_val(&self.strayed[..]) as u64
    }

    /// How many pages the last take or restore looked at: for people who measure.
    pub fn looked_at(&self) -> usize {
        self.looked_at
    }

    /// Drops some until they take no more memory than they may.
    fn thin(&mut self) {
        while self.kept.len() > MOST || (self.memory() > self.limit && self.kept.len() > FEWEST) {
            let ticks: Vec<_> = self.kept.iter().map(|(&tick, checkpoint)| (tick, checkpoint.pinned)).collect();
            let Some(tick) = thin::least_missed(&ticks, self.position) else { return };
            self.drop_one(tick);
        }
    }

    /// Drops the checkpoint at `tick`, which is not the first.
    fn drop_one(&mut self, tick: Tick) {
        let Some(dropped) = self.kept.remove(&tick) else { return };
        self.bytes -= dropped.bytes;
        if self.base == tick {
            self.strayed.extend(&dropped.pages);
            self.strayed.sort_unstable();
            self.strayed.dedup();
            self.base = self.latest(tick).expect("the first one stays");
        }
        let next = self.kept.range_mut(tick..).next();
        match next {
            Some((&heir, checkpoint)) => {
                dropped.pages.iter().for_each(|&page| self.history.hand_on(page, tick, heir));
                checkpoint.pages = merged(&checkpoint.pages, &dropped.pages);
            }
            None => dropped.pages.iter().for_each(|&page| self.history.remove(page, tick)),
        }
        self.count_after(tick);
    }

    /// Counts again what the checkpoint after `tick` takes: it has another one before it.
    fn count_after(&mut self, tick: Tick) {
        let Some((&next, checkpoint)) = self.kept.range((Excluded(tick), Unbounded)).next() else { return };
        let before = self.kept.range(..next).next_back().map(|(_, previous)| &previous.snapshot);
        let bytes = cost::<M>(&checkpoint.snapshot, &checkpoint.pages, before);
        let checkpoint = self.kept.get_mut(&next).expect("it was there a moment ago");
        self.bytes = self.bytes - checkpoint.bytes + bytes;
        checkpoint.bytes = bytes;
    }
}

/// Bytes that a checkpoint takes, beside contents and versions of pages, and beside what it shares with the one before.
fn cost<M>(snapshot: &Snapshot, pages: &[u32], before: Option<&Snapshot>) -> u64 {
    let fixed = size_of::<(Tick, Checkpoint<M>)>() - size_of::<Snapshot>() + size_of_val(pages);
    fixed as u64 + snapshot.bytes_beside(before)
}

/// Both lists as one; all are in ascending order and have each number once.
fn merged(one: &[u32], other: &[u32]) -> Vec<u32> {
    let mut both = Vec::with_capacity(one.len() + other.len());
    let (mut one, mut other) = (one.iter().copied().peekable(), other.iter().copied().peekable());
    loop {
        both.push(match (one.peek(), other.peek()) {
            (Some(a), Some(b)) if a == b => {
                other.next();
                one.next().expect("it was peeked at")
            }
            (Some(a), Some(b)) if a > b => other.next().expect("it was peeked at"),
            (Some(_), _) => one.next().expect("it was peeked at"),
            (None, Some(_)) => other.next().expect("it was peeked at"),
            (None, None) => break,
        });
    }
    both.shrink_to_fit();
    both
}
