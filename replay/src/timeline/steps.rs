//! Steps back, and who ran when.
//!
//! To step back one has to know where the vCPU began its last instruction: not at the tick before, if others ran since, or
//! if all were idle. So the stretch before the position is run once with the machine's turns kept, from a checkpoint close
//! by; the steps that follow find in them where to go, and cost a restore and a run over a few hundred instructions.

use super::journey::{FINEST, Patience};
use super::{Stop, Timeline, Watcher};
use reprise_core::clock::Tick;
use reprise_core::machine::Turn;
use std::ops::Range;

/// Ticks that are run with turns kept, before they are looked at: they take memory.
const STRETCH: Tick = 1_000_000;

/// Who ran when, as far as it is known.
#[derive(Default)]
pub(super) struct Turns {
    /// Between these two positions all is known.
    known: Range<Tick>,
    /// In the order of time.
    turns: Vec<Turn>,
}

impl Turns {
    /// Whether something is known of what happened just before a position.
    fn reach(&self, position: Tick) -> bool {
        self.known.start < position && position <= self.known.end
    }

    /// Where a vCPU began its last instruction before a position.
    fn last_of(&self, cpu: u32, position: Tick) -> Option<Tick> {
        let before = self.turns.partition_point(|turn| turn.start < position);
        let turn = self.turns[..before].iter().rfind(|turn| turn.cpu == cpu)?;
        Some(last_start(turn, position))
    }
}

/// Where the last instruction of a turn before a position began.
fn last_start(turn: &Turn, position: Tick) -> Tick {
    turn.start.saturating_add(turn.retired).min(position) - 1
}

impl Timeline {
    /// Goes back to where the vCPU `cpu` was about to execute the last instruction that it has retired. If it has retired
    /// none, that is the start of history.
    pub fn step_back(&mut self, cpu: u32, watcher: &mut dyn Watcher) -> Stop {
        let (here, mut patience) = (self.now(), Patience::of(watcher));
        let arrived = self.find_step(cpu, here, &mut patience).and_then(|tick| match tick {
            Some(tick) => self.go(tick, &mut patience).map(|()| Stop::Reached),
            None => self.go(0, &mut patience).map(|()| Stop::Start),
        });
        arrived.unwrap_or_else(|stop| {
            self.return_to(here);
            stop
        })
    }

    /// Where a vCPU began its last instruction before the position `here`.
    fn find_step(&mut self, cpu: u32, here: Tick, patience: &mut Patience<'_>) -> Result<Option<Tick>, Stop> {
        self.mind_nothing();
        if !self.turns.reach(here) {
            self.learn_turns(here, patience)?;
        }
        let tick = self.turns.last_of(cpu, here);
        let mut end = self.turns.known.start;
        if tick.is_some() || cpu as usize >= self.machine().cpus.len() {
            return Ok(tick);
        }
        while end > 0 {
            let start = self.nearest_checkpoint(end - 1);
            self.restore(start);
            self.machine.keep_turns(true);
            let turn = self.last_turn(cpu, end, patience);
            self.machine.keep_turns(false);
            if let Some(turn) = turn? {
                return Ok(Some(last_start(&turn, end)));
            }
            end = start;
        }
        Ok(None)
    }

    /// Learns who ran when just before the position `here`.
    fn learn_turns(&mut self, here: Tick, patience: &mut Patience<'_>) -> Result<(), Stop> {
        let Some(before) = here.checked_sub(1) else {
            self.turns = Turns::default();
            return Ok(());
        };
        let near = self.nearest_checkpoint(before);
        if here - near > FINEST {
            self.restore(near);
            self.approach(here, patience)?;
        }
        let start = self.checkpoint_before(before);
        self.restore(start);
        self.machine.keep_turns(true);
        let arrived = self.advance(here, patience);
        let turns = self.machine.take_turns();
        self.machine.keep_turns(false);
        arrived?;
        self.turns = Turns { known: start..here, turns };
        Ok(())
    }

    /// The last turn of a vCPU on the way to `end`.
    fn last_turn(&mut self, cpu: u32, end: Tick, patience: &mut Patience<'_>) -> Result<Option<Turn>, Stop> {
        let (mut last, stretch) = (None, STRETCH.max((end - self.now()) / 256));
        while self.now() < end {
            self.advance(end.min(self.now().saturating_add(stretch)), patience)?;
            last = self.machine.take_turns().into_iter().rfind(|turn| turn.cpu == cpu).or(last);
        }
        Ok(last)
    }

    /// Goes to the first position at which that many instructions are retired.
    pub(super) fn go_to_icount(&mut self, icount: u64, patience: &mut Patience<'_>) -> Result<(), Stop> {
        self.mind_nothing();
        if icount == 0 {
            return self.go(0, patience);
        }
        let (&before, _) = self.icounts.iter().rfind(|(_, count)| **count < icount).expect("none are at the start");
        let start = self.checkpoint_before(before);
        if self.machine.icount() >= icount || start > self.now() {
            self.restore(start);
        }
        self.machine.keep_turns(true);
        let tick = self.find_icount(icount, patience);
        self.machine.keep_turns(false);
        self.go(tick?, patience)
    }

    /// The first position from here on at which that many instructions are retired, which are more than now.
    fn find_icount(&mut self, icount: u64, patience: &mut Patience<'_>) -> Result<Tick, Stop> {
        let mut count = self.machine.icount();
        loop {
            let stretch = (icount - count).clamp(STRETCH, 16 * STRETCH);
            let arrived = self.advance(self.now().saturating_add(stretch), patience);
            for turn in self.machine.take_turns() {
                if turn.retired >= icount - count {
                    return Ok(turn.start + (icount - count));
                }
                count += turn.retired;
            }
            arrived?;
        }
    }
}
