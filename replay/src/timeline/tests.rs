//! Walks along recordings of a machine with one device that takes every kind of input and asks for every kind of answer.

use super::*;
use crate::format::{Ended, Event, Writer};
use crate::recorder::reason;
use crate::tests::{DISK, Host, LENGTH, asleep, header, machine, mix, record, with_asker};
use crate::{Audience, Replayer};
use reprise_core::backend::ChardevId;
use reprise_core::cpu::Register;
use reprise_core::door::HostInput;
use reprise_core::machine::{End, Fingerprint};
use reprise_core::probe::{Addressing, Breakpoint, Watch, Watchpoint};
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
    let busy = busy
        .iter()
        .enumerate()
        .filter(|(place, _)| mix(seed ^ *place as u64).is_multiple_of(20))
        .map(|(_, tick)| *tick);
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

/// Two vCPUs that are never idle, beside the device: one counts and stores, the other fills, with PAUSE now and then.
fn busy() -> Machine {
    let mut machine = asleep(with_asker(2));
    // 0x1000: INC AX; MOV [BX], AX; PUSH AX; POP AX; JMP back.
    machine.board.dma_write(0x1000, &[0x40, 0x89, 0x07, 0x50, 0x58, 0xeb, 0xf9]);
    // 0x1100: MOV CX, 5; MOV DI, 0x3000; REP STOSB; PAUSE; JMP back.
    machine.board.dma_write(0x1100, &[0xb9, 5, 0, 0xbf, 0, 0x30, 0xf3, 0xaa, 0xf3, 0x90, 0xeb, 0xf4]);
    machine.cpus[0].regs.set(3, 0x3004);
    machine.cpus[1] = machine.cpus[0].clone();
    machine.cpus[1].index = 1;
    machine.cpus[1].regs.set_rip(0x100);
    machine
}

/// Ticks of the busy machine that are recorded.
const BUSY: Tick = 3_000_000;

fn record_busy(seed: u64) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    let (mut machine, mut host) = (busy(), Host::new(seed));
    let mut recorder = crate::Recorder::new(&mut host, Writer::create(file.path(), &header()).unwrap());
    let end = machine.run(&mut recorder, BUSY);
    let (_, recorded) = recorder.into_parts();
    let fingerprint = machine.fingerprint();
    let ended = Ended { reason: reason(end).into(), status: 0, icount: machine.icount(), fingerprint };
    recorded.finish(machine.now(), ended).unwrap();
    file
}

fn busy_timeline(file: &Path, memory: u64) -> Timeline {
    Timeline::new(busy(), Recording::open(file).unwrap(), vec![DISK], memory).unwrap()
}

fn breakpoint(address: u64) -> Probes {
    Probes { breakpoints: vec![Breakpoint { address, condition: None }], ..Probes::default() }
}

fn watchpoint(watch: Watch, addressing: Addressing, range: Range<u64>) -> Probes {
    Probes { watchpoints: vec![Watchpoint { watch, addressing, range }], ..Probes::default() }
}

fn hits(stop: Stop) -> Vec<Hit> {
    let Stop::Hits(hits) = stop else { panic!("{stop:?}") };
    hits
}

#[test]
fn what_is_hit_forward_is_hit_backwards_in_mirror_order() {
    let file = record_busy(1);
    let linear = Addressing::Linear { cpu: 1 };
    let all = [
        breakpoint(0x1001),
        breakpoint(0x1106),
        watchpoint(Watch::Write, linear, 0x3004..0x3006),
        watchpoint(Watch::Read, Addressing::Physical, 0xfffe..0xffff),
        // What the device writes, too.
        watchpoint(Watch::Write, Addressing::Physical, 0x3000..0x8000),
    ];
    for (number, probes) in (0..).zip(&all) {
        let mut timeline = busy_timeline(file.path(), MEMORY[number % 3]);
        let console = &mut Console::default();
        for start in [0, 19_990, 1_234_567, 2_400_000] {
            timeline.seek(start, console);
            let met: Vec<_> =
                (0..25).map(|_| (hits(timeline.run(probes, Direction::Forward, console)), timeline.now())).collect();
            assert!(met.iter().all(|(hits, now)| hits.iter().all(|hit| hit.after == *now)));
            let met: Vec<_> = met.into_iter().flat_map(|(hits, _)| hits).collect();
            let here = timeline.now();
            let mut again = Vec::new();
            let expected: Vec<_> = met.iter().rev().filter(|hit| hit.before < here).cloned().collect();
            while again.len() < expected.len() {
                let hits = hits(timeline.run(probes, Direction::Backward, console));
                assert!(hits.iter().all(|hit| hit.before == timeline.now()));
                again.extend(hits.into_iter().rev());
            }
            assert_eq!(again, expected, "{probes:?} from {start}");
        }
    }
}

#[test]
fn steps_back_and_forward_again_lead_to_the_same_state() {
    let file = record_busy(2);
    for (cpu, memory) in [(0, MEMORY[0]), (1, MEMORY[1]), (1, MEMORY[2])] {
        let (mut timeline, console) = (busy_timeline(file.path(), memory), &mut Console::default());
        let step = Probes { step: Some(reprise_core::probe::Step { cpu, within: 0..0 }), ..Probes::default() };
        timeline.seek(BUSY - 50_077, console);
        hits(timeline.run(&step, Direction::Forward, console));
        let (here, fingerprint) = (timeline.now(), timeline.machine_mut().fingerprint());
        let mut ticks = Vec::new();
        for step in 0..1000 {
            let before = timeline.now();
            assert_eq!(timeline.step_back(cpu, console), Stop::Reached, "step {step} of vCPU {cpu} from {before}");
            assert!(timeline.now() < before);
            ticks.push(timeline.now());
        }
        for tick in ticks.iter().rev() {
            assert_eq!(hits(timeline.run(&step, Direction::Forward, console))[0].before, *tick);
        }
        assert_eq!((timeline.now(), timeline.machine_mut().fingerprint()), (here, fingerprint), "vCPU {cpu}");
    }
}

#[test]
fn both_ends_of_history_stop_a_run_and_so_does_who_watches() {
    let file = record_busy(3);
    let (mut timeline, console) = (busy_timeline(file.path(), MEMORY[0]), &mut Console::default());
    let nothing = Probes::default();
    assert_eq!(timeline.run(&nothing, Direction::Backward, console), Stop::Start);
    assert_eq!(timeline.step_back(0, console), Stop::Start);
    let end = Stop::End("the run was told to end there".into());
    assert_eq!(timeline.run(&nothing, Direction::Forward, console), end);
    assert_eq!((timeline.now(), timeline.run(&nothing, Direction::Forward, console)), (BUSY, end));
    let fingerprint = timeline.machine_mut().fingerprint();
    struct Impatient;
    impl Watcher for Impatient {
        fn pass(&mut self, _: Tick) -> bool {
            false
        }
        fn output(&mut self, _: Tick, _: Output) {}
    }
    let probes = watchpoint(Watch::Access, Addressing::Physical, 0xf0000..0xf0001);
    assert_eq!(timeline.run(&probes, Direction::Backward, &mut Impatient), Stop::Interrupted);
    assert_eq!((timeline.now(), timeline.machine_mut().fingerprint()), (BUSY, fingerprint));
    assert_eq!(timeline.last_write(0x1000..0x1001, &mut Impatient), Ok(None), "nothing has to be run for that");
    assert_eq!((timeline.now(), timeline.machine_mut().fingerprint()), (BUSY, fingerprint));
    assert_eq!(timeline.run(&probes, Direction::Backward, console), Stop::Start);
    assert_eq!(timeline.now(), 0);
    assert_eq!(timeline.run(&probes, Direction::Forward, &mut Impatient), Stop::Interrupted);
    assert!((1..BUSY).contains(&timeline.now()));
}

/// A copy of a recording, changed.
fn forged(file: &Path, change: impl FnOnce(&mut Vec<u8>)) -> NamedTempFile {
    let mut bytes = std::fs::read(file).unwrap();
    change(&mut bytes);
    let forged = NamedTempFile::new().unwrap();
    std::fs::write(forged.path(), bytes).unwrap();
    forged
}

/// Goes to the end and to random places of what is left of a recording, whose whole history has these places.
fn walk_what_is_left(file: &Path, places: &[(Tick, Fingerprint)], seed: u64) -> Option<Stop> {
    let Ok(recording) = Recording::open(file) else { return None };
    let (mut timeline, console) =
        (Timeline::new(machine(), recording, vec![DISK], MEMORY[0]).unwrap(), &mut Console::default());
    let stop = timeline.seek(Tick::MAX, console);
    let end = timeline.history().end;
    assert_eq!(timeline.now(), end);
    assert_eq!(timeline.seek(end + 1, console), stop, "it stays so");
    let left: Vec<_> = places.iter().filter(|(tick, _)| *tick <= end).collect();
    for step in 0..10 {
        let Some((tick, fingerprint)) = left.get(mix(seed << 8 ^ step) as usize % left.len().max(1)) else { break };
        assert_eq!(timeline.seek(*tick, console), Stop::Reached);
        assert_eq!((timeline.now(), timeline.machine_mut().fingerprint()), (*tick, *fingerprint), "{stop:?}");
    }
    assert_eq!(timeline.run(&Probes::default(), Direction::Forward, console), stop);
    Some(stop)
}

#[test]
fn damaged_recordings_are_walked_up_to_what_is_whole() {
    let file = recording(9);
    let (places, size) = (straight(file.path(), 9), std::fs::metadata(file.path()).unwrap().len());
    let mut early = 0;
    for seed in 0..30 {
        let offset = mix(seed) % size;
        let forged = forged(file.path(), |bytes| match seed % 3 {
            0 => bytes.truncate(offset as usize),
            _ => bytes[offset as usize] ^= 0x40,
        });
        match walk_what_is_left(forged.path(), &places, seed) {
            // Of a cluster, an event, or what only finds them.
            Some(Stop::Broken(_)) => early += 1,
            Some(Stop::End(text)) => early += u32::from(text.contains("damaged at offset")),
            Some(stop) => panic!("{stop:?}"),
            None => {}
        }
    }
    assert!(early > 15, "{early} ended early");
}

/// Writes events, with the clusters of another recording, or without.
fn written(events: &[(Tick, Event)], clusters: Option<&Path>) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    let mut writer = Writer::create(file.path(), &header()).unwrap();
    let mut original = Recording::open(clusters.unwrap_or(recording(0).path())).unwrap();
    let names: Vec<_> = original.clusters().filter(|_| clusters.is_some()).collect();
    for (disk, cluster) in names {
        let data = original.cluster(disk, cluster).unwrap().unwrap();
        writer.cluster(disk, cluster, &data).unwrap();
    }
    events.iter().for_each(|(tick, event)| writer.event(*tick, event).unwrap());
    writer.finish().unwrap();
    file
}

#[test]
fn a_difference_is_where_history_ends() {
    let file = recording(3);
    let places = straight(file.path(), 3);
    let mut original = Recording::open(file.path()).unwrap();
    let events: Vec<_> = original.events(0).map(|event| event.unwrap()).collect();
    let inputs: Vec<_> = (0..events.len()).filter(|&place| matches!(events[place].1, Event::Input(_))).collect();
    for (seed, &place) in (0..).zip(inputs.iter().step_by(inputs.len() / 12)) {
        let mut others = events.clone();
        if seed % 2 == 0 {
            others.remove(place);
        } else {
            others.insert(place, events[place].clone());
        }
        let forged = written(&others, Some(file.path()));
        // Before the tick of what is missing, or there twice, nothing is different.
        let same: Vec<_> = places.iter().filter(|(tick, _)| *tick < events[place].0).copied().collect();
        let Some(Stop::Broken(text)) = walk_what_is_left(forged.path(), &same, seed) else {
            panic!("{:?}", events[place])
        };
        assert!(text.starts_with("the replay differs from its recording between tick"), "{text}");
    }
    let stop = walk_what_is_left(written(&events, None).path(), &[], 0);
    assert!(matches!(&stop, Some(Stop::Broken(text)) if text.contains(": cluster ")), "{stop:?}");
    // The end is compared, too.
    let mut others = events;
    let Some((tick, Event::End(ended))) = others.pop() else { panic!("no end") };
    others.push((tick, Event::End(Ended { icount: ended.icount + 1, ..ended })));
    let forged = written(&others, Some(file.path()));
    let stop = walk_what_is_left(forged.path(), &places, 0);
    assert!(matches!(&stop, Some(Stop::Broken(text)) if text.contains("instructions retired")), "{stop:?}");
}

/// More of one tick than the tape keeps at once.
#[test]
fn a_tick_with_many_events_is_walked_over_like_any_other() {
    let connected = |place: u64| HostInput::Connected { chardev: ChardevId(0), connected: place.is_multiple_of(3) };
    let many = (0..40_000).map(|place| (5000, Event::Input(connected(place))));
    let rest = (1..40).map(|place| (5000 + place * 1000, Event::Input(connected(place))));
    let file = written(&many.chain(rest).collect::<Vec<_>>(), None);
    let mut timeline = busy_timeline(file.path(), MEMORY[1]);
    let console = &mut Console::default();
    let mut fingerprints = Vec::new();
    for tick in [4999, 5000, 5001, 44_000] {
        assert_eq!(timeline.seek(tick, console), Stop::Reached);
        fingerprints.push((tick, timeline.machine_mut().fingerprint()));
    }
    assert!(matches!(timeline.seek(44_001, console), Stop::End(text) if text.contains("has no end")));
    for step in 0..30 {
        let (tick, fingerprint) = fingerprints[mix(step) as usize % 4];
        assert_eq!(timeline.seek(tick, console), Stop::Reached);
        assert_eq!(timeline.machine_mut().fingerprint(), fingerprint, "tick {tick}");
        if tick == 5001 {
            assert_eq!(timeline.step_back(0, console), Stop::Reached);
            assert_eq!(timeline.machine_mut().fingerprint(), fingerprints[1].1);
        }
    }
}

fn register(number: u8, value: u128) -> Edit {
    Edit::Register { cpu: 0, register: Register::General(number), value }
}

#[test]
fn a_diversion_is_walked_in_like_the_recording_and_dropped() {
    let file = record_busy(5);
    let straight = {
        let (mut timeline, console) = (busy_timeline(file.path(), MEMORY[0]), &mut Console::default());
        let mut at = |tick| {
            assert_eq!(timeline.seek(tick, console), Stop::Reached);
            (tick, timeline.machine_mut().fingerprint())
        };
        [at(0), at(999_999), at(1_000_000), at(1_000_001), at(2_000_000), at(BUSY)]
    };
    let changes = [register(3, 0x3100), Edit::Memory { address: 0x3100, bytes: vec![1, 2, 3] }, register(0, 77)];
    let later = BUSY + 2_000_000;
    let mut seen = Vec::new();
    for memory in MEMORY {
        let (mut timeline, console) = (busy_timeline(file.path(), memory), &mut Console::default());
        timeline.seek(1_000_000, console);
        timeline.edit(changes[0].clone()).unwrap();
        timeline.edit(changes[1].clone()).unwrap();
        assert_eq!((timeline.diverted_at(), timeline.machine().cpus[0].regs.get(3)), (Some(1_000_000), 0x3100));
        let changed = timeline.machine_mut().fingerprint();
        timeline.seek(1_500_000, console);
        timeline.edit(register(3, 0x3200)).unwrap();
        timeline.seek(later, console);
        // What is changed earlier is the end of what was changed later.
        timeline.seek(1_200_000, console);
        timeline.edit(changes[2].clone()).unwrap();
        assert_eq!(timeline.edits().len(), 3);
        assert_eq!(timeline.seek(later, console), Stop::Reached, "past the end of the recording");
        let diverted = timeline.machine_mut().fingerprint();
        for _ in 0..20 {
            assert_eq!(timeline.step_back(0, console), Stop::Reached);
        }
        let bp = Direction::Backward;
        let hits = hits(timeline.run(&watchpoint(Watch::Write, Addressing::Physical, 0x3100..0x3101), bp, console));
        assert!(hits[0].before > BUSY, "{hits:?}");
        assert_eq!(timeline.seek(1_000_000, console), Stop::Reached);
        assert_eq!(timeline.machine_mut().fingerprint(), changed, "with the changes of its tick");
        assert_eq!(timeline.step_back(0, console), Stop::Reached);
        assert_eq!((timeline.now(), timeline.machine_mut().fingerprint()), straight[1], "before all changes");
        assert_eq!(timeline.seek(later, console), Stop::Reached);
        assert_eq!(timeline.machine_mut().fingerprint(), diverted);
        seen.push((changed, diverted, console.out.clone()));
        assert_eq!(timeline.rejoin(console), Stop::Reached);
        assert_eq!((timeline.diverted_at(), timeline.history()), (None, 0..BUSY));
        assert_eq!((timeline.now(), timeline.machine_mut().fingerprint()), straight[2]);
        for (tick, fingerprint) in straight.iter().rev() {
            assert_eq!(timeline.seek(*tick, console), Stop::Reached);
            assert_eq!(timeline.machine_mut().fingerprint(), *fingerprint, "tick {tick}");
        }
    }
    assert!(seen.iter().all(|other| *other == seen[0]), "whatever memory there is");
}

#[test]
fn a_diversion_can_begin_at_either_end_of_history() {
    let file = record_busy(6);
    let (mut timeline, console) = (busy_timeline(file.path(), MEMORY[0]), &mut Console::default());
    let power_on = timeline.machine_mut().fingerprint();
    timeline.edit(register(0, 5)).unwrap();
    timeline.seek(100, console);
    let fingerprint = timeline.machine_mut().fingerprint();
    timeline.seek(BUSY, console);
    assert_eq!(timeline.run(&Probes::default(), Direction::Backward, console), Stop::Start);
    assert_eq!((timeline.now(), timeline.machine().cpus[0].regs.get(0)), (0, 5));
    timeline.seek(100, console);
    assert_eq!(timeline.machine_mut().fingerprint(), fingerprint);
    assert_eq!(timeline.rejoin(console), Stop::Reached);
    assert_eq!((timeline.now(), timeline.machine_mut().fingerprint()), (0, power_on));
    timeline.seek(BUSY, console);
    timeline.edit(register(0, 6)).unwrap();
    timeline.seek(BUSY + 10, console);
    let fingerprint = timeline.machine_mut().fingerprint();
    timeline.seek(BUSY - 10, console);
    timeline.seek(BUSY, console);
    assert_eq!(timeline.machine().cpus[0].regs.get(0), 6);
    timeline.seek(BUSY + 10, console);
    assert_eq!(timeline.machine_mut().fingerprint(), fingerprint);
    // What cannot be changed is said, and changes nothing.
    let refused = timeline.edit(Edit::Memory { address: u64::MAX, bytes: vec![1; 9] });
    assert!(refused.is_err() && timeline.machine_mut().fingerprint() == fingerprint);
}
