//! What was hit before a position: runs backwards, and the last write.
//!
//! History before the position is gone through checkpoint by checkpoint, the newest first: the machine is restored at the
//! beginning of the interval and runs to its end, and the last that is met on the way is what a run backwards meets first.
//! Every interval has what a run forward meets from its beginning to its end: breakpoints at its first position, but not
//! at its last one, and accesses up to its last position.
//!
//! An interval in which much is met is divided by checkpoints that are ever closer to its end, so that most of what is met
//! need not be looked at; the next run backwards begins there, too.

use super::journey::{Leg, Patience};
use super::{Stop, Timeline, Watcher};
use reprise_core::board::Board;
use reprise_core::clock::Tick;
use reprise_core::memory::{PAGE_SHIFT, PAGE_SIZE};
use reprise_core::probe::{Addressing, Cause, Hit, Probes, Watch, Watchpoint};
use std::ops::Range;

/// An interval in which probes end the run more often is divided.
const MANY: usize = 64;
/// Pages that are looked up for each interval, rather than to run it again.
const PAGES_LIMIT: usize = 1 << 16;

/// What was met in an interval.
enum Met {
    /// This last, all of one position to stop at.
    Last(Vec<Hit>),
    /// Nothing.
    Nothing,
    /// So much that the rest was not looked at.
    Much,
}

impl Timeline {
    /// Runs backwards to what was hit last before the position, or to the start of history.
    pub(super) fn run_backwards(&mut self, probes: &Probes, patience: &mut Patience<'_>) -> Stop {
        let here = self.now();
        let probes = Probes { step: None, ..probes.clone() };
        self.take();
        let last = self.find_last(&probes, here, patience);
        let arrived = last.and_then(|last| match last {
            Some(hits) => self.go(hits[0].before, patience).map(|()| Stop::Hits(hits)),
            None => self.go(0, patience).map(|()| Stop::Start),
        });
        arrived.unwrap_or_else(|stop| {
            self.return_to(here);
            stop
        })
    }

    /// The last write to physical addresses before the position, by whomever; the position stays. The position of the
    /// write, if there was one.
    pub fn last_write(&mut self, physical: Range<u64>, watcher: &mut dyn Watcher) -> Result<Option<Hit>, Stop> {
        if physical.is_empty() {
            return Ok(None);
        }
        let here = self.now();
        self.take();
        let watchpoint = Watchpoint { watch: Watch::Write, addressing: Addressing::Physical, range: physical };
        let probes = Probes { watchpoints: vec![watchpoint], ..Probes::default() };
        let last = self.find_last(&probes, here, &mut Patience::of(watcher));
        self.return_to(here);
        Ok(last?.and_then(|hits| hits.into_iter().max_by_key(|hit| hit.after)))
    }

    /// What was hit last before `here`.
    fn find_last(
        &mut self,
        probes: &Probes,
        here: Tick,
        patience: &mut Patience<'_>,
    ) -> Result<Option<Vec<Hit>>, Stop> {
        let pages = written_pages(&self.machine().board, probes);
        let (mut end, mut divided) = (here, None);
        while end > 0 {
            patience.check()?;
            let start = self.nearest_checkpoint(end - 1);
            if pages.as_ref().is_some_and(|pages| self.is_untouched(pages, start, end)) {
                end = start;
                continue;
            }
            let most = if divided == Some((start, end)) { usize::MAX } else { MANY };
            match self.find_between(probes, start, end, most, patience)? {
                Met::Last(hits) => return Ok(Some(hits)),
                Met::Nothing => end = start,
                Met::Much => {
                    self.approach(end, patience)?;
                    divided =
                        Some((self.checkpoint_before(end - 1), end)).filter(|(checkpoint, _)| *checkpoint == start);
                }
            }
        }
        Ok(None)
    }

    /// What was hit last between two positions, the first of them a checkpoint; unless that is more than `most`.
    fn find_between(
        &mut self,
        probes: &Probes,
        start: Tick,
        end: Tick,
        most: usize,
        patience: &mut Patience<'_>,
    ) -> Result<Met, Stop> {
        let (mut last, mut count, mut skip) = (Vec::<Hit>::new(), 0, None);
        self.restore(start);
        loop {
            self.mind(probes, skip);
            let Leg::Hits(hits) = self.advance(end, patience)? else { break };
            count += 1;
            if count > most {
                return Ok(Met::Much);
            }
            // The run goes on from there, unless something else was met before the instruction at a breakpoint.
            skip = hits.iter().any(|hit| matches!(hit.cause, Cause::Breakpoint { .. })).then_some(self.now());
            hits.into_iter().for_each(|hit| add_later(&mut last, hit));
        }
        Ok(if last.is_empty() { Met::Nothing } else { Met::Last(last) })
    }

    /// Whether none of the pages was written after `start` and up to `end`.
    ///
    /// This is about physical pages, and so exact. Of a watchpoint at linear addresses it would not be: it is for every
    /// address space, and which those were, and what they mapped there, nobody knows without running the interval.
    fn is_untouched(&self, pages: &[u32], start: Tick, end: Tick) -> bool {
        self.checkpoints.latest(end) == Some(end)
            && !pages.iter().any(|&page| self.checkpoints.may_have_changed(page, start, end))
    }
}

/// Keeps of hits in the order of time those at which a run backwards stops first.
fn add_later(last: &mut Vec<Hit>, hit: Hit) {
    if last.first().is_some_and(|other| other.before < hit.before) {
        last.clear();
    }
    if last.first().is_none_or(|other| other.before == hit.before) {
        last.push(hit);
    }
}

/// The pages of RAM that are written if `probes` are hit; `None` if they may be hit otherwise.
fn written_pages(board: &Board, probes: &Probes) -> Option<Vec<u32>> {
    let is_physical_write = |watchpoint: &Watchpoint| {
        watchpoint.watch == Watch::Write
            && watchpoint.addressing == Addressing::Physical
            && !watchpoint.range.is_empty()
    };
    if !probes.breakpoints.is_empty() || !probes.watchpoints.iter().all(is_physical_write) {
        return None;
    }
    let ranges = probes.watchpoints.iter().map(|watchpoint| {
        let Range { start, end } = watchpoint.range;
        start >> PAGE_SHIFT..=(end - 1) >> PAGE_SHIFT
    });
    let mut addresses = ranges.flatten().map(|page| page * PAGE_SIZE);
    let some: Vec<_> = addresses.by_ref().take(PAGES_LIMIT).collect();
    let offsets = some.iter().filter_map(|&address| board.ram_offset(address));
    addresses.next().is_none().then(|| offsets.map(|offset| (offset >> PAGE_SHIFT) as u32).collect())
}
