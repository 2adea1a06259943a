//! A machine with one device that takes every kind of input and asks for every kind of answer, recorded and replayed.

use crate::format::{Ended, Event, Header, Recording, WriteError, Writer};
use crate::{Audience, Outcome, Recorder, Replayer, reason};
use reprise_core::backend::{ChardevId, DiskId, NetdevId, RngId};
use reprise_core::board::Board;
use reprise_core::clock::Tick;
use reprise_core::cpu::{CpuState, Model, Segment, seg};
use reprise_core::device::{Context, Device, DeviceInput, Width};
use reprise_core::disk::{CLUSTER_SIZE, DiskGeometry};
use reprise_core::door::{Door, HostInput, Room, Script};
use reprise_core::interp::Interpreter;
use reprise_core::machine::{BootImage, Digest, End, Fingerprint, Machine};
use reprise_core::output::Output;
use reprise_core::request::{Question, Request};
use reprise_core::state::{self, StateError};
use std::path::Path;

/// A disk whose last cluster is short.
pub(crate) const DISK: DiskGeometry = DiskGeometry { size: 9 * CLUSTER_SIZE + 1024, read_only: false };
pub(crate) const LENGTH: Tick = 200_000_000;

/// The next of a sequence that looks random.
pub(crate) fn mix(value: u64) -> u64 {
    let value = (value ^ value >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9).wrapping_add(0x9e37_79b9_7f4a_7c15);
    value ^ value >> 32
}

/// Asks when its timer says so, by all that it has heard.
struct Asker {
    heard: u64,
}

impl Asker {
    fn hear(&mut self, what: u8, bytes: &[u8]) {
        let fold = |heard, &byte| mix(heard ^ u64::from(byte));
        self.heard = bytes.iter().fold(mix(self.heard ^ u64::from(what) << 32), fold);
    }
}

impl Device for Asker {
    fn read(&mut self, _: u32, _: u64, _: Width, _: &mut Context<'_>) -> u64 {
        0
    }
    fn write(&mut self, _: u32, _: u64, _: Width, _: u64, _: &mut Context<'_>) {}
    fn peek(&self, _: u32, _: u64, _: Width, _: Tick) -> u64 {
        0
    }
    fn timer(&mut self, _: u32, ctx: &mut Context<'_>) {
        self.heard = mix(self.heard);
        let (due, sector) = (ctx.now() + 1 + self.heard % 50_000, self.heard / 7 % (DISK.size / 512 - 300));
        let disk = Request::Disk { disk: DiskId(0), offset: sector * 512, length: 512 * (1 + self.heard as u32 % 300) };
        let random = Request::Random { rng: RngId(0), length: self.heard as u32 / 5 % 40 };
        for (wanted, request) in [(1, disk), (2, random), (4, disk)] {
            if self.heard & wanted != 0 {
                ctx.request(due, wanted, request);
            }
        }
        if self.heard & 24 == 0 {
            ctx.disk(DiskId(0)).write(sector * 512, &[self.heard as u8; 1536]);
        }
        ctx.dma_write(0x2000 + self.heard % 0x8000, &self.heard.to_le_bytes());
        ctx.output(Output::Bytes { chardev: ChardevId(0), bytes: self.heard.to_le_bytes().to_vec() });
        ctx.arm(0, ctx.now() + 1 + self.heard % 3_000_000);
    }
    fn line(&mut self, _: u32, _: bool, _: &mut Context<'_>) {}
    fn input(&mut self, input: DeviceInput<'_>, _: &mut Context<'_>) {
        match input {
            DeviceInput::Bytes { port, bytes } => self.hear(port as u8, bytes),
            DeviceInput::Connected { port, connected } => self.hear(10 + port as u8, &[connected.into()]),
            DeviceInput::Frame(frame) => self.hear(20, frame),
            DeviceInput::Answer { tag, data } => self.hear(30 + tag as u8, data.unwrap_or(b"failed")),
            DeviceInput::Key(_) | DeviceInput::Pointer(_) | DeviceInput::PowerButton => self.hear(40, &[]),
        }
    }
    fn input_room(&self, _: u32) -> usize {
        self.heard as usize % 9
    }
    fn reset(&mut self, ctx: &mut Context<'_>) {
        self.heard = 1;
        ctx.cancel_requests();
        ctx.arm(0, ctx.now() + 5);
    }
    fn save(&self) -> Vec<u8> {
        state::encode(&self.heard)
    }
    fn load(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        self.heard = state::decode("asker", bytes)?;
        Ok(())
    }
}

/// A machine that sleeps, but for its device.
pub(crate) fn machine() -> Machine {
    asleep(with_asker(1))
}

/// A board with the device.
pub(crate) fn with_asker(cpus: usize) -> Board {
    let mut board = Board::new(1 << 20, cpus).unwrap();
    board.add_disk(DISK);
    let asker = board.add_device("asker", Box::new(Asker { heard: 0 }));
    board.connect_chardev(ChardevId(0), asker, 0);
    board.connect_netdev(NetdevId(0), asker);
    board.set_keyboard(asker);
    board
}

/// A machine whose vCPU halts at once.
pub(crate) fn asleep(board: Board) -> Machine {
    let model = Model::find(Model::DEFAULT).unwrap();
    let mut machine = Machine::new(board, model, Box::new(Interpreter::new(model)));
    let mut cpu = CpuState::new(0, model);
    cpu.segs[seg::CS] = Segment::real_mode_code(0x100);
    cpu.regs.set_rip(0);
    machine.set_boot(BootImage { memory: vec![(0x1000, vec![0xf4])], cpu });
    machine
}

/// A host: what comes is drawn from a seed.
pub(crate) struct Host {
    random: u64,
    /// The image is other bytes from this tick on.
    changes: Tick,
    out: Vec<u8>,
}

impl Host {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: mix(seed), changes: Tick::MAX, out: Vec::new() }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random = mix(self.random);
        (self.random >> 8) % bound
    }
}

impl Door for Host {
    fn poll(&mut self, _: Tick, room: &dyn Room) -> Option<HostInput> {
        match self.below(12) {
            0 => Some(HostInput::Connected { chardev: ChardevId(0), connected: self.below(2) == 0 }),
            1 | 2 if room.netdev(NetdevId(0)) => {
                let size = self.below(1600);
                Some(HostInput::Frame { netdev: NetdevId(0), frame: vec![size as u8; size as usize] })
            }
            3 | 4 => {
                let bytes = vec![7; room.chardev(ChardevId(0)).min(5)];
                Some(HostInput::Chardev { chardev: ChardevId(0), bytes })
            }
            5 if self.below(500) == 0 => Some(HostInput::Reset),
            _ => None,
        }
    }

    fn answer(&mut self, now: Tick, question: &Question) -> HostInput {
        match *question {
            Question::Cluster { disk, cluster } if mix(now ^ cluster).is_multiple_of(10) => {
                HostInput::ClusterFailed { disk, cluster }
            }
            Question::Cluster { disk, cluster } => {
                let size = CLUSTER_SIZE.min(DISK.size - cluster * CLUSTER_SIZE) as usize;
                let byte = cluster as u8 % 3 + u8::from(now >= self.changes);
                HostInput::Cluster { disk, cluster, data: vec![byte; size] }
            }
            Question::Random { rng, length } => {
                HostInput::Random { rng, bytes: (0..length).map(|_| self.below(256) as u8).collect() }
            }
        }
    }

    fn next_due(&self) -> Option<Tick> {
        None
    }

    fn poll_interval(&self) -> Tick {
        100_000
    }

    fn idle(&mut self, now: Tick, deadline: Option<Tick>) -> Option<Tick> {
        let early = now + self.below(2_000_000);
        Some(if self.below(3) == 0 { early.min(deadline?) } else { deadline? })
    }

    fn output(&mut self, _: Tick, output: Output) {
        if let Output::Bytes { bytes, .. } = output {
            self.out.extend(bytes);
        }
    }

    /// Nobody compares digests here.
    fn next_digest(&self) -> Option<Tick> {
        None
    }

    fn digest(&mut self, _tick: Tick, _digest: Digest, _machine: &Machine) {}
}

#[derive(Default)]
struct Watcher {
    out: Vec<u8>,
    leave_at: Option<Tick>,
}

impl Audience for Watcher {
    fn output(&mut self, _: Tick, output: Output) {
        if let Output::Bytes { bytes, .. } = output {
            self.out.extend(bytes);
        }
    }
    fn pass(&mut self, now: Tick) -> bool {
        self.leave_at.is_none_or(|tick| now < tick)
    }
    fn idle(&mut self, _: Tick, _: Tick) {}
}

pub(crate) fn header() -> Header {
    Header { build: "tests".into(), config: "{}".into() }
}

/// Records a run; what left the machine, its last fingerprint, and why there is no whole recording, if so.
pub(crate) fn record(file: &Path, mut host: Host) -> (Vec<u8>, Fingerprint, Option<WriteError>) {
    let mut machine = machine();
    let mut recorder = Recorder::new(&mut host, Writer::create(file, &header()).unwrap());
    let end = machine.run(&mut recorder, LENGTH);
    let (_, recorded) = recorder.into_parts();
    let fingerprint = machine.fingerprint();
    let ended = Ended { reason: reason(end).into(), status: 0, icount: machine.icount(), fingerprint };
    (host.out, fingerprint, recorded.finish(machine.now(), ended).err())
}

fn replay(file: &Path, until: Tick, watcher: Watcher) -> (Vec<u8>, Tick, Outcome) {
    let (mut log, mut contents) = (Recording::open(file).unwrap(), Recording::open(file).unwrap());
    let mut machine = machine();
    let disks = [DISK];
    let mut replayer = Replayer::new(log.events(0), &mut contents, &disks, watcher);
    let end = machine.run(&mut replayer, until);
    let (watcher, outcome) = replayer.finish(&mut machine, end);
    (watcher.out, machine.now(), outcome)
}

#[test]
fn every_input_and_answer_is_replayed_at_its_tick() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for seed in 0..30 {
        let (out, fingerprint, error) = record(file.path(), Host::new(seed));
        assert!(error.is_none(), "seed {seed}: {error:?}");
        let (replayed, tick, outcome) = replay(file.path(), LENGTH, Watcher::default());
        let Outcome::Ended(ended) = outcome else { panic!("seed {seed}: {outcome:?}") };
        assert_eq!((replayed, tick, ended.fingerprint), (out, LENGTH, fingerprint), "seed {seed}");
    }
}

#[test]
fn an_input_that_is_missing_or_repeated_is_told() {
    let (file, forged) = (tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap());
    record(file.path(), Host::new(3));
    let mut original = Recording::open(file.path()).unwrap();
    let events: Vec<_> = original.events(0).map(|event| event.unwrap()).collect();
    let stored = |cluster| Some((cluster, original.cluster(DiskId(0), cluster).unwrap()?));
    let clusters: Vec<_> = (0..10).filter_map(stored).collect();
    let inputs = (0..events.len()).filter(|&place| matches!(events[place].1, Event::Input(_)));
    for place in inputs.step_by(events.len() / 40) {
        for times in [0, 2] {
            let mut writer = Writer::create(forged.path(), &header()).unwrap();
            clusters.iter().for_each(|(cluster, data)| writer.cluster(DiskId(0), *cluster, data).unwrap());
            for (index, (tick, event)) in events.iter().enumerate() {
                let times = if index == place { times } else { 1 };
                (0..times).for_each(|_| writer.event(*tick, event).unwrap());
            }
            writer.finish().unwrap();
            let (_, tick, outcome) = replay(forged.path(), LENGTH, Watcher::default());
            let Outcome::Diverged(divergence) = outcome else {
                panic!("{:?} {times} times: {outcome:?}", events[place])
            };
            assert!(tick >= events[place].0 && divergence.same < tick, "{divergence}");
        }
    }
}

#[test]
fn a_cluster_that_is_not_there_is_told() {
    let (file, forged) = (tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap());
    record(file.path(), Host::new(4));
    let mut original = Recording::open(file.path()).unwrap();
    for short in [false, true] {
        let mut writer = Writer::create(forged.path(), &header()).unwrap();
        if short {
            (0..10).for_each(|cluster| writer.cluster(DiskId(0), cluster, &[1; 512]).unwrap());
        }
        original.events(0).for_each(|event| {
            let (tick, event) = event.unwrap();
            writer.event(tick, &event).unwrap();
        });
        writer.finish().unwrap();
        let (_, _, outcome) = replay(forged.path(), LENGTH, Watcher::default());
        let Outcome::Diverged(divergence) = outcome else { panic!("{outcome:?}") };
        assert!(divergence.what.starts_with("cluster ") && divergence.same <= divergence.differs, "{divergence}");
        assert_eq!(divergence.expected, if short { "512 bytes" } else { "that nobody reads it" });
    }
}

#[test]
fn an_image_that_changes_ends_the_run_and_what_was_before_is_whole() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut host = Host::new(5);
    host.changes = LENGTH / 2;
    let (out, _, error) = record(file.path(), host);
    assert!(matches!(error, Some(WriteError::ImageChanged { .. })), "{error:?}");
    let (replayed, tick, outcome) = replay(file.path(), Tick::MAX, Watcher::default());
    assert!(matches!(outcome, Outcome::NoEnd), "{outcome:?}");
    assert!(out.starts_with(&replayed) && tick > LENGTH / 4 && tick < LENGTH, "up to tick {tick}");
}

/// Reads a cluster, and then cannot read it any more, at the same tick: an order that a recording cannot hold.
#[test]
fn a_cluster_that_comes_and_goes_at_one_tick_ends_the_recording() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut recorder = Recorder::new(Host::new(0), Writer::create(file.path(), &header()).unwrap());
    let question = Question::Cluster { disk: DiskId(0), cluster: 1 };
    let good = (0..).find(|&tick: &Tick| !mix(tick ^ 1).is_multiple_of(10)).unwrap();
    recorder.answer(good, &question);
    assert_eq!(recorder.next_digest(), Some(crate::format::DIGEST_INTERVAL));
    // The machine's clock stands still, the host's does not.
    recorder.cluster_failed(good, DiskId(0), 1);
    assert_eq!((recorder.next_due(), recorder.next_digest()), (Some(0), None));
    let (_, recorded) = recorder.into_parts();
    assert!(matches!(recorded.failure(), Some(WriteError::ImageChanged { .. })));
}

#[test]
fn a_replay_ends_where_it_is_told_to() {
    let file = tempfile::NamedTempFile::new().unwrap();
    record(file.path(), Host::new(6));
    let (_, tick, outcome) = replay(file.path(), 12_345_678, Watcher::default());
    assert!(matches!(outcome, Outcome::Left) && tick == 12_345_678, "{outcome:?} at {tick}");
    let watcher = Watcher { leave_at: Some(20_000_000), ..Watcher::default() };
    let (_, tick, outcome) = replay(file.path(), LENGTH, watcher);
    assert!(matches!(outcome, Outcome::Left) && (20_000_000..25_000_000).contains(&tick), "{outcome:?} at {tick}");
}

/// Replays what `events` says of a machine without devices, until `until`.
fn replay_asleep(events: &[(Tick, Event)], until: Tick) -> Outcome {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut writer = Writer::create(file.path(), &header()).unwrap();
    events.iter().for_each(|(tick, event)| writer.event(*tick, event).unwrap());
    writer.finish().unwrap();
    let (mut log, mut contents) = (Recording::open(file.path()).unwrap(), Recording::open(file.path()).unwrap());
    let mut machine = asleep(Board::new(1 << 20, 1).unwrap());
    let mut replayer = Replayer::new(log.events(0), &mut contents, &[], Watcher::default());
    let end = machine.run(&mut replayer, until);
    replayer.finish(&mut machine, end).1
}

#[test]
fn a_machine_that_is_dead_is_dead_in_a_replay_that_is_told_to_end_later() {
    let mut machine = asleep(Board::new(1 << 20, 1).unwrap());
    assert_eq!(machine.run(&mut Script::default(), Tick::MAX), End::Dead);
    let (tick, icount, fingerprint) = (machine.now(), machine.icount(), machine.fingerprint());
    let dead = Ended { reason: reason(End::Dead).into(), status: 12, icount, fingerprint };
    for until in [tick + 1, 50_000_000, Tick::MAX] {
        let outcome = replay_asleep(&[(tick, Event::End(dead.clone()))], until);
        assert!(matches!(&outcome, Outcome::Ended(ended) if *ended == dead), "{until}: {outcome:?}");
    }
    assert!(matches!(replay_asleep(&[(tick, Event::End(dead.clone()))], tick), Outcome::Left));
    let icount = icount + 1;
    let outcome = replay_asleep(&[(tick, Event::End(Ended { icount, ..dead }))], 50_000_000);
    assert!(matches!(outcome, Outcome::Diverged(_)), "{outcome:?}");
}

/// Whoever asks for the replay up to the very tick at which the run ended hears of it if it does not end there.
#[test]
fn a_run_that_does_not_end_where_it_did_is_told() {
    let off = Ended { reason: reason(End::Off).into(), status: 0, icount: 1, fingerprint: machine().fingerprint() };
    for (until, differs) in [(99, None), (100, Some(100)), (101, Some(101))] {
        let outcome = replay_asleep(&[(100, Event::End(off.clone()))], until);
        let found = if let Outcome::Diverged(divergence) = &outcome { Some(divergence.differs) } else { None };
        assert!(found == differs && (found.is_some() || matches!(outcome, Outcome::Left)), "{until}: {outcome:?}");
    }
}

/// A recording may stop between two answers of one tick: nobody knows what the second one was.
#[test]
fn a_recording_that_stops_within_a_tick_is_no_divergence() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut writer = Writer::create(file.path(), &header()).unwrap();
    let random = |byte| HostInput::Random { rng: RngId(0), bytes: vec![byte; 3] };
    writer.event(5, &Event::Input(random(1))).unwrap();
    writer.flush().unwrap();
    drop(writer);
    let unknown = [Question::Random { rng: RngId(0), length: 3 }, Question::Cluster { disk: DiskId(0), cluster: 1 }];
    for question in unknown {
        let (mut log, mut contents) = (Recording::open(file.path()).unwrap(), Recording::open(file.path()).unwrap());
        let (mut machine, disks) = (machine(), [DISK]);
        let mut replayer = Replayer::new(log.events(0), &mut contents, &disks, Watcher::default());
        assert_eq!(replayer.answer(5, &Question::Random { rng: RngId(0), length: 3 }), random(1));
        replayer.answer(5, &question);
        assert_eq!(replayer.poll(5, &machine.board), Some(HostInput::Quit));
        let (_, outcome) = replayer.finish(&mut machine, End::Quit);
        assert!(matches!(outcome, Outcome::NoEnd), "{outcome:?}");
    }
}

#[test]
fn words_for_ends_are_those_of_the_format() {
    let ends =
        [End::Off, End::Reset, End::TripleFault, End::Panicked, End::DebugExit(1), End::Quit, End::Dead, End::Until];
    let words = ["off", "reset", "triple-fault", "panicked", "debug-exit", "quit", "dead", "until"];
    assert_eq!(ends.map(reason), words);
}
