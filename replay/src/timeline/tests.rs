//! Walks along recordings of a machine with one device that takes every kind of input and asks for every kind of answer.

use super::*;
use crate::format::{Ended, Event, Writer};
use crate::recorder::reason;
use crate::tests::{DISK, Host, LENGTH, asleep, header, machine, mix, record};
use crate::{Audience, Replayer};
use reprise_core::backend::{ChardevId, DiskId, RngId};
use reprise_core::board::Board;
use reprise_core::door::HostInput;
use reprise_core::machine::{End, Fingerprint};
use reprise_core::probe::{Addressing, Watch, Watchpoint};
use std::path::Path;
use tempfile::NamedTempFile;

/// Memory for some checkpoints of such a machine, for few, and for hardly any.
const MEMORY: [u64; 3] = [8 << 20, 200 << 10, 1];

/// Takes what leaves; may have enough of it.
#[derive(Default)]
struct Console {
    out: Vec<u8>,
}

impl Watcher for Console {
    fn pass(&mut self, _: Tick) -> bool {
        true
    }

    fn output(&mut self, _: Tick, output: Output) {
        if let Output::Bytes { bytes, .. } = output {
            self.out.extend(bytes);
        }
    }
}

impl Audience for Console {
    fn output(&mut self, now: Tick, output: Output) {
        Watcher::output(self, now, output);
    }

    fn pass(&mut self, _: Tick) -> bool {
        true
    }

    fn idle(&mut self, _: Tick, _: Tick) {}
}

fn recording(seed: u64) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    let (_, _, error) = record(file.path(), Host::new(seed));
    assert!(error.is_none(), "seed {seed}: {error:?}");
    file
}

fn timeline(file: &Path, memory: u64) -> Timeline {
    Timeline::new(machine(), Recording::open(file).unwrap(), vec![DISK], memory).unwrap()
}

/// Some ticks in ascending order, and the fingerprints there in a replay from start to end.
fn straight(file: &Path, seed: u64) -> Vec<(Tick, Fingerprint)> {
    let (mut log, mut contents) = (Recording::open(file).unwrap(), Recording::open(file).unwrap());
    // Some of the ticks at which something comes, and others.
    let busy: Vec<_> = log.events(0).map(|event| event.unwrap().0).collect();
    let busy = busy.iter().enumerate().filter(|(place, _)| mix(seed ^ *place as u64) % 20 == 0).map(|(_, tick)| *tick);
    let mut ticks: Vec<Tick> = (0..40).map(|place| mix(seed ^ place) % LENGTH).chain(busy).collect();
    ticks.sort_unstable();
    ticks.dedup();
    let (mut machine, disks) = (machine(), [DISK]);
    let mut replayer = Replayer::new(log.events(0), &mut contents, &disks, Console::default());
    let mut places = Vec::new();
    for tick in ticks {
        assert_eq!(machine.run(&mut replayer, tick), End::Until);
        places.push((tick, machine.fingerprint()));
    }
    places
}

#[test]
fn every_position_has_one_state_by_whichever_way_one_comes() {
    for seed in 0..6 {
        let file = recording(seed);
        let places = straight(file.path(), seed);
        let mut timeline = timeline(file.path(), MEMORY[seed as usize % 3]);
        assert_eq!(timeline.history(), 0..LENGTH);
        let mut console = Console::default();
        for step in 0..200 {
            let (tick, fingerprint) = places[mix(seed << 32 ^ step) as usize % places.len()];
            assert_eq!(timeline.seek(tick, &mut console), Stop::Reached);
            assert_eq!(timeline.now(), tick);
            assert_eq!(timeline.machine_mut().fingerprint(), fingerprint, "seed {seed}, step {step}, tick {tick}");
            if step % 50 == 7 {
                timeline.pin();
            }
        }
        assert_eq!(timeline.seek(Tick::MAX, &mut console), Stop::End("the run was told to end there".into()));
        let (out, ..) = record(NamedTempFile::new().unwrap().path(), Host::new(seed));
        assert!(console.out == out, "seed {seed}: everything that left is seen once");
    }
}
