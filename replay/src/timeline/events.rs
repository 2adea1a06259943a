//! What is where on a timeline.

use super::{Direction, Timeline};
use crate::format::{Event, ReadError, Recording};
use reprise_core::clock::Tick;
use reprise_core::door::HostInput;
use std::collections::VecDeque;

/// How far the first look back goes; each next one goes twice as far.
const FIRST_LOOK: Tick = 10_000_000;

impl Timeline {
    /// The recorded inputs nearest to `from` that `wanted` accepts, up to `count` of them, the nearest first: those after the
    /// tick `from`, or those before it. Clusters of images have no tick, and are not among them.
    pub fn nearest_inputs(
        &mut self,
        from: Tick,
        direction: Direction,
        count: usize,
        wanted: &dyn Fn(&HostInput) -> bool,
    ) -> Result<Vec<(Tick, HostInput)>, ReadError> {
        match direction {
            Direction::Forward => after(self.door.recording(), from, count, wanted),
            Direction::Backward => before(self.door.recording(), from, count, wanted),
        }
    }

    /// The positions of all checkpoints, in order.
    pub fn checkpoints(&self) -> Vec<Tick> {
        self.checkpoints.ticks().collect()
    }

    /// Bytes of memory that they take.
    pub fn checkpoint_memory(&self) -> u64 {
        self.checkpoints.memory()
    }
}

fn after(
    recording: &mut Recording,
    from: Tick,
    count: usize,
    wanted: &dyn Fn(&HostInput) -> bool,
) -> Result<Vec<(Tick, HostInput)>, ReadError> {
    let Some(from) = from.checked_add(1) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    let mut events = recording.events(from);
    while found.len() < count {
        let Some(event) = events.next().transpose()? else { break };
        found.extend(input(event, wanted));
    }
    Ok(found)
}

/// Events can only be read forward, so this looks at a stretch before `to`, and at a longer one if that has too few.
fn before(
    recording: &mut Recording,
    to: Tick,
    count: usize,
    wanted: &dyn Fn(&HostInput) -> bool,
) -> Result<Vec<(Tick, HostInput)>, ReadError> {
    let mut look = FIRST_LOOK;
    loop {
        let from = to.saturating_sub(look);
        let found = last_of(recording, from..to, count, wanted)?;
        if found.len() == count || from == 0 {
            return Ok(found.into_iter().rev().collect());
        }
        look = look.saturating_mul(2);
    }
}

/// The last inputs of a stretch, in order.
fn last_of(
    recording: &mut Recording,
    stretch: std::ops::Range<Tick>,
    count: usize,
    wanted: &dyn Fn(&HostInput) -> bool,
) -> Result<VecDeque<(Tick, HostInput)>, ReadError> {
    let mut found = VecDeque::new();
    for event in recording.events(stretch.start) {
        let event = event?;
        if event.0 >= stretch.end {
            break;
        }
        found.extend(input(event, wanted));
        if found.len() > count {
            found.pop_front();
        }
    }
    Ok(found)
}

fn input((tick, event): (Tick, Event), wanted: &dyn Fn(&HostInput) -> bool) -> Option<(Tick, HostInput)> {
    match event {
        Event::Input(input) => wanted(&input).then_some((tick, input)),
        Event::Digest(_) | Event::End(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Header, Writer};
    use reprise_core::device::KeyEvent;

    fn key(code: u16) -> HostInput {
        HostInput::Key(KeyEvent { code, down: true })
    }

    /// A recording of keys at these ticks, whose codes are their places, with a power button after each.
    fn recording(ticks: &[Tick]) -> Recording {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.rpr");
        let header = Header { build: "test".into(), config: "{}".into() };
        let mut writer = Writer::create(&path, &header).unwrap();
        for (code, tick) in (0..).zip(ticks) {
            writer.event(*tick, &Event::Input(key(code))).unwrap();
            writer.event(*tick, &Event::Input(HostInput::PowerButton)).unwrap();
        }
        writer.finish().unwrap();
        Recording::open(&path).unwrap()
    }

    #[test]
    fn the_nearest_are_found_both_ways() {
        let ticks = [0, 5, 5, 30_000_000, 900_000_000];
        let mut recording = recording(&ticks);
        let is_key = |input: &HostInput| matches!(input, HostInput::Key(_));
        let places = |found: Vec<(Tick, HostInput)>| {
            let place = |(tick, input)| {
                let place = (0..5).find(|&code| input == key(code)).expect("a key");
                assert_eq!(tick, ticks[usize::from(place)]);
                place
            };
            found.into_iter().map(place).collect::<Vec<_>>()
        };
        for (from, count, earlier, later) in [
            (0, 2, vec![], vec![1, 2]),
            (5, 9, vec![0], vec![3, 4]),
            (6, 1, vec![2], vec![3]),
            (30_000_001, 3, vec![3, 2, 1], vec![4]),
            (900_000_000, 9, vec![3, 2, 1, 0], vec![]),
            (Tick::MAX, 1, vec![4], vec![]),
            (7, 0, vec![], vec![]),
        ] {
            assert_eq!(places(before(&mut recording, from, count, &is_key).unwrap()), earlier, "before {from}");
            assert_eq!(places(after(&mut recording, from, count, &is_key).unwrap()), later, "after {from}");
        }
    }
}
