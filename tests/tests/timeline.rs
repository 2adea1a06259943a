//! A recording can be walked in both directions: every position has one state by whichever way one comes, what is hit
//! forward is hit backwards in mirror order, and a thousand steps back and forward again lead to where they began. With
//! hostile guests and with the embedded one, whichever engines record and walk, and with little memory for checkpoints.
//!
//! `REPRISE_SEEDS=N` tries N times as many seeds.

use reprise_core::board::Board;
use reprise_core::clock::Tick;
use reprise_core::cpu::{CpuState, Register, seg};
use reprise_core::edit::Edit;
use reprise_core::machine::{End, Fingerprint, Machine};
use reprise_core::output::Output;
use reprise_core::probe::{Addressing, Breakpoint, Cause, Condition, Hit, Probes, Step, Watch, Watchpoint};
use reprise_replay::timeline::{Direction, Stop, Timeline, Watcher};
use reprise_replay::{Audience, Ended, Header, Recorder, Recording, Replayer, Writer, reason};
use reprise_silicon::generate::Random;
use reprise_tests::fickle::Fickle;
use reprise_tests::hostile::Hostile;
use reprise_tests::machines::{CONSOLE, embedded, power_on};
use reprise_tests::seeded::{Temporary, engines, seeds};
use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::thread::sleep;
use std::time::Duration;

/// Keeps the console; may have enough after some looks.
#[derive(Default)]
struct Viewer {
    console: Vec<u8>,
    looks: Option<u64>,
}

impl Viewer {
    fn take(&mut self, output: Output) {
        if let Output::Bytes { chardev: CONSOLE, bytes } = output {
            self.console.extend(bytes);
        }
    }
}

impl Watcher for Viewer {
    fn pass(&mut self, _now: Tick) -> bool {
        let Some(looks) = &mut self.looks else { return true };
        *looks = looks.saturating_sub(1);
        *looks > 0
    }

    fn output(&mut self, _now: Tick, output: Output) {
        self.take(output);
    }
}

impl Audience for Viewer {
    fn output(&mut self, _now: Tick, output: Output) {
        self.take(output);
    }

    fn pass(&mut self, _now: Tick) -> bool {
        true
    }

    fn idle(&mut self, _now: Tick, _until: Tick) {}
}

/// Records what the machine does with what comes by `door`; what the console showed.
fn record(machine: &mut Machine, mut door: Fickle, until: Tick, file: &Path) -> Vec<u8> {
    let header = Header { build: "test".into(), config: "{}".into() };
    let mut recorder = Recorder::new(&mut door, Writer::create(file, &header).unwrap());
    let end = machine.run(&mut recorder, until);
    let (_, recorded) = recorder.into_parts();
    let status = if let End::DebugExit(status) = end { status } else { 0 };
    let (icount, fingerprint) = (machine.icount(), machine.fingerprint());
    recorded.finish(machine.now(), Ended { reason: reason(end).into(), status, icount, fingerprint }).unwrap();
    door.console
}

/// What a replay from start to end is like at a tick.
#[derive(Clone, Debug)]
struct Place {
    tick: Tick,
    fingerprint: Fingerprint,
    icount: u64,
    /// Linear addresses of the next instructions and of the stacks.
    code: Vec<u64>,
    stacks: Vec<u64>,
}

fn place(machine: &mut Machine) -> Place {
    let linear = |cpu: &CpuState, segment: usize, offset: u64| {
        if cpu.is_64bit() { offset } else { u64::from((cpu.segs[segment].base as u32).wrapping_add(offset as u32)) }
    };
    let code = machine.cpus.iter().map(|cpu| linear(cpu, seg::CS, cpu.regs.rip())).collect();
    let stacks = machine.cpus.iter().map(|cpu| linear(cpu, seg::SS, cpu.regs.get(4))).collect();
    Place { tick: machine.now(), fingerprint: machine.fingerprint(), icount: machine.icount(), code, stacks }
}

/// Some places of a replay from start to end, and its last tick.
fn straight(mut machine: Machine, file: &Path, random: &mut Random, count: u64) -> (Vec<Place>, Tick) {
    let (mut log, mut contents) = (Recording::open(file).unwrap(), Recording::open(file).unwrap());
    let last = log.last_tick();
    let mut ticks: Vec<Tick> = (0..count).map(|_| random.below(last + 1)).collect();
    ticks.sort_unstable();
    let mut replayer = Replayer::new(log.events(0), &mut contents, &[], Viewer::default());
    let mut places = Vec::new();
    for tick in ticks {
        let end = machine.run(&mut replayer, tick);
        assert!(end == End::Until || tick == last, "{end:?} at {tick} of {last}");
        places.push(place(&mut machine));
    }
    (places, last)
}

fn open(machine: Machine, file: &Path, memory: u64) -> Timeline {
    Timeline::new(machine, Recording::open(file).unwrap(), Vec::new(), memory).unwrap()
}

/// Goes to random places, by tick and by instruction count.
fn wander(timeline: &mut Timeline, places: &[Place], random: &mut Random, steps: u64, what: &str) {
    for step in 0..steps {
        let place = &places[random.below(places.len() as u64) as usize];
        let stop = if random.percent(80) {
            timeline.seek(place.tick, &mut Viewer::default())
        } else {
            let stop = timeline.seek_icount(place.icount, &mut Viewer::default());
            assert_eq!(timeline.machine().icount(), place.icount, "{what}, step {step}: {stop:?}");
            assert!(timeline.now() <= place.tick, "{what}, step {step}: the first of them");
            timeline.seek(place.tick, &mut Viewer::default())
        };
        assert_eq!((stop, timeline.now()), (Stop::Reached, place.tick), "{what}, step {step}");
        assert_eq!(timeline.machine_mut().fingerprint(), place.fingerprint, "{what}, step {step}: tick {}", place.tick);
    }
}

/// Probes of every kind at places where something happens.
fn probes(places: &[Place], timeline: &Timeline, random: &mut Random) -> Probes {
    let cpus = timeline.machine().cpus.len() as u64;
    let mut pick = |of: fn(&Place) -> &[u64]| {
        let place = &places[random.below(places.len() as u64) as usize];
        let of = of(place);
        (of[random.below(of.len() as u64) as usize], random.next())
    };
    let breakpoints = (0..3).map(|_| Breakpoint { address: pick(|place| &place.code).0, condition: None }).collect();
    let watch = |bits: u64| [Watch::Read, Watch::Write, Watch::Access][bits as usize % 3];
    let mut watchpoints = Vec::new();
    for _ in 0..2 {
        let (address, bits) = pick(|place| &place.stacks);
        let start = address.wrapping_add(bits >> 8 & 63).saturating_sub(32);
        let addressing = Addressing::Linear { cpu: (bits >> 16) as u32 % cpus as u32 };
        watchpoints.push(Watchpoint {
            watch: watch(bits),
            addressing,
            range: start..start.saturating_add(1 + (bits >> 4 & 15)),
        });
        let Some(physical) = timeline.machine().translate(0, address) else { continue };
        let range = physical.saturating_sub(24)..physical + 8;
        watchpoints.push(Watchpoint { watch: watch(bits >> 20), addressing: Addressing::Physical, range });
    }
    match random.below(4) {
        0 => Probes { breakpoints, ..Probes::default() },
        1 => Probes { watchpoints, ..Probes::default() },
        2 => {
            watchpoints.retain(|watchpoint| watchpoint.addressing == Addressing::Physical);
            watchpoints.iter_mut().for_each(|watchpoint| watchpoint.watch = Watch::Write);
            Probes { watchpoints, ..Probes::default() }
        }
        _ => Probes { breakpoints, watchpoints, step: None },
    }
}

/// What a movement that was hit told, and where the timeline is then; `None` at an end of history.
fn hits(stop: Stop) -> Option<Vec<Hit>> {
    match stop {
        Stop::Hits(hits) => Some(hits),
        Stop::Start | Stop::End(_) => None,
        Stop::Reached | Stop::Interrupted | Stop::Broken(_) => panic!("{stop:?}"),
    }
}

/// Runs forward from a place to some hits, then back, and compares; how many there were.
fn mirror(timeline: &mut Timeline, probes: &Probes, start: Tick, most: usize, what: &str) -> usize {
    let viewer = &mut Viewer::default();
    timeline.seek(start, viewer);
    let (mut met, mut stops) = (Vec::new(), Vec::new());
    while stops.len() < most
        && let Some(hits) = hits(timeline.run(probes, Direction::Forward, viewer))
    {
        assert!(hits.iter().all(|hit| hit.after == timeline.now()), "{what}: {hits:?} at {}", timeline.now());
        stops.push((timeline.now(), timeline.machine_mut().fingerprint()));
        met.extend(hits);
    }
    let here = timeline.now();
    let mut expected = met.iter().filter(|hit| hit.before < here).collect::<Vec<_>>();
    expected.sort_by_key(|hit| std::cmp::Reverse(hit.before));
    let mut expected = expected.into_iter().peekable();
    let mut left = met.len() * 2;
    while let Some(next) = expected.peek().copied()
        && left > 0
    {
        left -= 1;
        let hits =
            hits(timeline.run(probes, Direction::Backward, viewer)).unwrap_or_else(|| panic!("{what}: no {next:?}"));
        let now = timeline.now();
        assert!(hits.iter().all(|hit| hit.before == now), "{what}: {hits:?} at {now}");
        if let Some((_, fingerprint)) = stops.iter().find(|(tick, _)| *tick == now) {
            assert_eq!(timeline.machine_mut().fingerprint(), *fingerprint, "{what}: tick {now}");
        }
        for hit in &hits {
            // A run forward does not stop at a breakpoint where it goes on from.
            let is_passed = matches!(hit.cause, Cause::Breakpoint { .. })
                && (stops.iter().any(|(tick, _)| *tick == hit.before) || start == hit.before);
            assert!(met.contains(hit) || is_passed, "{what}: {hit:?} was not met on the way there: {met:?}");
        }
        while let Some(hit) = expected.next_if(|hit| hit.before == now) {
            assert!(hits.contains(hit), "{what}: {hit:?} is not among {hits:?}");
        }
        assert!(
            expected.peek().is_none_or(|hit| hit.before < now),
            "{what}: {:?} was passed at {now}",
            expected.peek()
        );
    }
    stops.len()
}

/// Steps of a vCPU back, and as many forward again.
fn to_and_fro(timeline: &mut Timeline, cpu: u32, steps: usize, what: &str) -> usize {
    let viewer = &mut Viewer::default();
    let step = Probes { step: Some(Step { cpu, within: 0..0 }), ..Probes::default() };
    // To just after an instruction of that vCPU.
    if hits(timeline.run(&step, Direction::Forward, viewer)).is_none() {
        return 0;
    }
    let (here, fingerprint) = (timeline.now(), timeline.machine_mut().fingerprint());
    let mut places = vec![(here, fingerprint)];
    for _ in 0..steps {
        match timeline.step_back(cpu, viewer) {
            Stop::Reached => {}
            Stop::Start => break,
            stop => panic!("{what}: {stop:?}"),
        }
        let now = timeline.now();
        assert!(places.last().is_some_and(|(tick, _)| now < *tick), "{what}: from {:?} to {now}", places.last());
        let fingerprint = if places.len() % 50 == 1 { timeline.machine_mut().fingerprint() } else { fingerprint };
        places.push((now, fingerprint));
    }
    if timeline.now() == 0 {
        // Nobody knows whether the vCPU began its first instruction at the very start.
        timeline.seek(places[places.len() - 2].0, viewer);
        places.pop();
    }
    let count = places.len() - 1;
    for _ in 0..count {
        let hits = hits(timeline.run(&step, Direction::Forward, viewer)).expect("it was there before");
        let now = timeline.now();
        assert_eq!(hits[0].cause, Cause::Step { cpu }, "{what}");
        assert!(places.iter().any(|(tick, _)| *tick == now - 1), "{what}: a step from {} was not made back", now - 1);
    }
    assert_eq!((timeline.now(), timeline.machine_mut().fingerprint()), (here, fingerprint), "{what}");
    count
}

#[test]
fn hostile_guests_can_be_walked_in() {
    let file = Temporary::new("walked-hostile");
    let (mut met, mut stepped) = (0, 0);
    for seed in 0..seeds(15) {
        let guest = Hostile::new(seed);
        let [first, second] = engines(seed);
        record(
            &mut guest.machine(first.make()),
            Fickle::new(seed, [40, 500, 5000][seed as usize % 3]),
            guest.ticks,
            &file.0,
        );
        let mut random = Random::new(seed);
        let what = format!("seed {seed}, {first:?} and {second:?}: {}", guest.describe());
        let (places, last) = straight(guest.machine(second.make()), &file.0, &mut random, 30);
        let memory = random.pick(&[1, 1 << 20, 64 << 20]);
        let mut timeline = open(guest.machine(second.make()), &file.0, memory);
        wander(&mut timeline, &places, &mut random, 40, &what);
        for _ in 0..3 {
            let probes = probes(&places, &timeline, &mut random);
            met += mirror(&mut timeline, &probes, random.below(last + 1), 30, &format!("{what}: {probes:x?}"));
        }
        timeline.seek(random.below(last + 1), &mut Viewer::default());
        let cpu = random.below(timeline.machine().cpus.len() as u64) as u32;
        stepped += to_and_fro(&mut timeline, cpu, 150, &what);
        wander(&mut timeline, &places, &mut random, 5, &what);
    }
    assert!(met > 300 && stepped > 500, "{met} hits, {stepped} steps");
}

/// Ticks of the embedded guest that are walked in: its tests of faults, user mode and clocks, and some of its idle time.
const EMBEDDED: Tick = 150_000_000;

#[test]
fn the_embedded_guest_can_be_walked_in() {
    let file = Temporary::new("walked-embedded");
    for (seed, cpus) in (0..seeds(1)).flat_map(|seed| [(2 * seed, 1), (2 * seed + 1, 4)]) {
        let [first, second] = engines(seed).map(|engine| move || power_on(&embedded(cpus), engine));
        let console = record(&mut first(), Fickle::new(seed, 100_000), EMBEDDED, &file.0);
        let mut random = Random::new(seed);
        let what = format!("seed {seed}, {cpus} vCPUs");
        let (places, last) = straight(second(), &file.0, &mut random, 40);
        let mut timeline = open(second(), &file.0, [64 << 20, 2 << 20][seed as usize % 2]);
        let mut viewer = Viewer::default();
        assert!(matches!(timeline.run(&Probes::default(), Direction::Forward, &mut viewer), Stop::End(_)), "{what}");
        assert_eq!((timeline.now(), viewer.console == console), (last, true), "{what}");
        assert_eq!(timeline.run(&Probes::default(), Direction::Backward, &mut viewer), Stop::Start, "{what}");
        assert_eq!((timeline.now(), viewer.console == console), (0, true), "{what}: seen once");
        wander(&mut timeline, &places, &mut random, 15, &what);
        let mut met = 0;
        for _ in 0..12 {
            let probes = probes(&places, &timeline, &mut random);
            met += mirror(&mut timeline, &probes, random.below(last), 20, &format!("{what}: {probes:x?}"));
        }
        assert!(met > 20, "{what}: {met} hits");
        let stepped = (0..cpus).map(|cpu| {
            // There is nothing before the first one.
            let place = &places[1 + random.below(places.len() as u64 - 1) as usize];
            timeline.seek(place.tick, &mut Viewer::default());
            to_and_fro(&mut timeline, cpu, 1000, &format!("{what}, vCPU {cpu} from {}", place.tick))
        });
        assert!(stepped.sum::<usize>() > 900, "{what}");
        interrupted(&mut timeline, &places, &what);
        diverted(&mut timeline, &places, &mut random, &what);
        wander(&mut timeline, &places, &mut random, 5, &what);
    }
}

/// Never holds, and takes its time to say so a few times: a run is then long enough for its watcher on any host.
#[derive(Debug, Default)]
struct Slow(Cell<u32>);

impl Condition for Slow {
    fn holds(&self, _: &CpuState, _: &Board) -> bool {
        if self.0.replace(self.0.get() + 1) < 4 {
            sleep(Duration::from_millis(20));
        }
        false
    }
}

/// Breakpoints that a walk over these places meets, and that slow it down.
fn slow(places: &[Place]) -> Probes {
    let condition: Rc<dyn Condition> = Rc::new(Slow::default());
    let slow = |&address: &u64| Breakpoint { address, condition: Some(condition.clone()) };
    Probes { breakpoints: places.iter().flat_map(|place| &place.code).map(slow).collect(), ..Probes::default() }
}

/// Whoever has enough finds the machine where it was.
fn interrupted(timeline: &mut Timeline, places: &[Place], what: &str) {
    let (first, last) = (&places[0], &places[places.len() - 1]);
    timeline.seek(last.tick, &mut Viewer::default());
    let impatient = || Viewer { looks: Some(1), ..Viewer::default() };
    assert_eq!(timeline.run(&slow(places), Direction::Backward, &mut impatient()), Stop::Interrupted, "{what}");
    assert_eq!((timeline.now(), timeline.machine_mut().fingerprint()), (last.tick, last.fingerprint), "{what}");
    timeline.seek(first.tick, &mut Viewer::default());
    assert_eq!(timeline.run(&slow(places), Direction::Forward, &mut impatient()), Stop::Interrupted, "{what}");
    let (tick, fingerprint) = (timeline.now(), timeline.machine_mut().fingerprint());
    assert!(tick > first.tick, "{what}");
    timeline.seek(last.tick, &mut Viewer::default());
    timeline.seek(tick, &mut Viewer::default());
    assert_eq!(
        timeline.machine_mut().fingerprint(),
        fingerprint,
        "{what}: a run that was interrupted is at a position"
    );
}

/// Changes registers and memory, walks in what comes of it, and rejoins the recording.
fn diverted(timeline: &mut Timeline, places: &[Place], random: &mut Random, what: &str) {
    let viewer = &mut Viewer::default();
    let place = &places[places.len() / 2];
    timeline.seek(place.tick, viewer);
    let cpu = random.below(timeline.machine().cpus.len() as u64) as u32;
    timeline.edit(Edit::Register { cpu, register: Register::General(0), value: random.next().into() }).unwrap();
    timeline.edit(Edit::Memory { address: 0x20_0000, bytes: vec![random.next() as u8; 5000] }).unwrap();
    let mut seen = vec![(place.tick, timeline.machine_mut().fingerprint())];
    for _ in 0..5 {
        let tick = timeline.now() + 1 + random.below(4_000_000);
        if timeline.seek(tick, viewer) != Stop::Reached {
            break;
        }
        seen.push((tick, timeline.machine_mut().fingerprint()));
    }
    to_and_fro(timeline, cpu, 100, what);
    for _ in 0..10 {
        let (tick, fingerprint) = random.pick(&seen);
        assert_eq!(timeline.seek(tick, viewer), Stop::Reached, "{what}");
        assert_eq!(timeline.machine_mut().fingerprint(), fingerprint, "{what}: tick {tick} of the diversion");
        if random.percent(30) {
            wander(timeline, &places[..places.len() / 2 - 1], random, 1, what);
        }
    }
    assert_eq!((timeline.rejoin(viewer), timeline.now()), (Stop::Reached, place.tick), "{what}");
    assert_eq!(timeline.machine_mut().fingerprint(), place.fingerprint, "{what}");
}
