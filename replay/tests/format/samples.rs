//! Recordings to test with, made from a seed.

use reprise_core::backend::{ChardevId, DiskId, NetdevId, RngId};
use reprise_core::clock::Tick;
use reprise_core::cpu::Register;
use reprise_core::device::{KeyEvent, PointerEvent};
use reprise_core::disk::StoredBlock;
use reprise_core::door::HostInput;
use reprise_core::edit::Edit;
use reprise_core::machine::{Digest, Fingerprint};
use reprise_replay::format::{DIGEST_INTERVAL, NewCheckpoint, NewDisk, STORED_PAGE};
use reprise_replay::{Ended, Event, Events, Header, Writer};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A generator of numbers: splitmix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// Any number.
    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.number() % limit
    }

    /// Bytes that cannot be compressed.
    pub(crate) fn bytes(&mut self, count: u64) -> Vec<u8> {
        (0..count).map(|_| self.number() as u8).collect()
    }
}

/// A place for a recording that is gone with this.
pub(crate) struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// Everything that a recording holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) config: String,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    pub(crate) clusters: BTreeMap<(DiskId, u64), Vec<u8>>,
    pub(crate) events: Vec<(Tick, Event)>,
    /// Seeds of states that are stored.
    pub(crate) checkpoints: Vec<u64>,
}

impl Run {
    /// A run with `count` events of all kinds, and at most `size` bytes in a file, input or cluster.
    pub(crate) fn random(seed: u64, count: usize, size: u64) -> Self {
        let mut random = Random(seed);
        let mut run = Self { config: config(), ..Self::default() };
        for name in ["kernel", "initrd", "empty"] {
            let length = if name == "empty" { 0 } else { random.below(size) };
            run.files.insert(name.to_owned(), random.bytes(length));
        }
        for _ in 0..random.below(6) {
            let contents = if random.below(3) == 0 { vec![0; 512] } else { random.bytes(512) };
            run.clusters.insert((DiskId(random.below(2) as u16), random.below(1 << 20)), contents);
        }
        let mut tick = 0;
        let mut digests = 1;
        while run.events.len() < count {
            let longest = [1, 300, 4_000_000, 40_000_000][random.below(4) as usize];
            tick += random.below(longest);
            while digests * DIGEST_INTERVAL <= tick {
                run.events.push((digests * DIGEST_INTERVAL, Event::Digest(digest(&mut random))));
                digests += 1;
            }
            run.events.push((tick, Event::Input(input(&mut random, size))));
        }
        run.events.push((tick, Event::End(ended(&mut random))));
        run
    }

    /// Everything in one order: files, then clusters between events.
    pub(crate) fn give(&self, writer: &mut Writer) {
        self.files.iter().for_each(|(name, bytes)| writer.file(name, bytes).unwrap());
        let mut clusters = self.clusters.iter();
        for (tick, event) in &self.events {
            if let Some((&(disk, cluster), bytes)) = clusters.next() {
                writer.cluster(disk, cluster, bytes).unwrap();
            }
            writer.event(*tick, event).unwrap();
        }
        clusters.for_each(|(&(disk, cluster), bytes)| writer.cluster(disk, cluster, bytes).unwrap());
        self.checkpoints.iter().for_each(|&seed| checkpoint(writer, seed));
    }

    pub(crate) fn writer(&self, path: &Path) -> Writer {
        Writer::create(path, &Header { build: "reprise 0.1.0".to_owned(), config: self.config.clone() }).unwrap()
    }

    /// The recording of this at `path`.
    pub(crate) fn write(&self, path: &Path) -> u64 {
        let mut writer = self.writer(path);
        self.give(&mut writer);
        writer.finish().unwrap()
    }

    /// The bytes of the recording of this, which is made at `path`.
    pub(crate) fn bytes(&self, path: &Path) -> Vec<u8> {
        self.write(path);
        std::fs::read(path).unwrap()
    }
}

/// All events, none of which fails.
pub(crate) fn all(events: Events<'_>) -> Vec<(Tick, Event)> {
    events.collect::<Result<_, _>>().unwrap()
}

/// Stores a state that no machine has, at the tick `seed`, with a few pages that others have, too.
fn checkpoint(writer: &mut Writer, seed: u64) {
    let mut random = Random(seed);
    let mut page = |random: &mut Random| {
        let contents = Random(random.below(9)).bytes(STORED_PAGE as u64);
        writer.page(&contents.try_into().unwrap()).unwrap()
    };
    let ram = (0..random.below(6)).map(|_| (random.below(256) as u32, page(&mut random))).collect();
    let blocks = (0..random.below(3)).map(|number| {
        let contents = (random.below(2) == 0).then(|| page(&mut random));
        StoredBlock { number: 7 * number, written: random.number() as u8, contents }
    });
    let disks = vec![NewDisk { blocks: blocks.collect(), zeroes: vec![(100, 100 + random.below(90))] }];
    let (origin, fingerprint) = (Fingerprint { parts: 0, memory: 0 }, ended(&mut random).fingerprint);
    let (build, parts) = ("reprise 0.1.0", random.bytes(40));
    writer.checkpoint(NewCheckpoint { tick: seed, build, origin, fingerprint, parts, ram: &ram, disks }).unwrap();
}

pub(crate) fn digest(random: &mut Random) -> Digest {
    Digest { sum: random.below(65_521) as u16, weighted: random.below(16_777_213) as u32 }
}

pub(crate) fn ended(random: &mut Random) -> Ended {
    let fingerprint = Fingerprint {
        parts: u128::from(random.number()) << 64 | u128::from(random.number()),
        memory: u128::from(random.number()) << 64 | u128::from(random.number()),
    };
    Ended { reason: "debug-exit".to_owned(), status: random.number() as u8, icount: random.number(), fingerprint }
}

fn input(random: &mut Random, size: u64) -> HostInput {
    let id = (random.number() >> random.below(16)) as u16;
    let length = random.below(size);
    match random.below(12) {
        0 => HostInput::Chardev { chardev: ChardevId(id), bytes: random.bytes(length) },
        1 => HostInput::Connected { chardev: ChardevId(id), connected: random.below(2) == 0 },
        2 => HostInput::Frame { netdev: NetdevId(id), frame: random.bytes(length) },
        3 => HostInput::Key(KeyEvent { code: id, down: random.below(2) == 0 }),
        4 => HostInput::Pointer(PointerEvent {
            dx: random.number() as i16,
            dy: random.number() as i16,
            wheel: random.number() as i8,
            buttons: random.number() as u8,
        }),
        5 => HostInput::PowerButton,
        6 => HostInput::Reset,
        7 => HostInput::Quit,
        8 => HostInput::Edit(Edit::Memory { address: random.number(), bytes: random.bytes(length) }),
        9 => HostInput::Edit(edit(random)),
        10 => HostInput::ClusterFailed { disk: DiskId(id), cluster: random.number() },
        _ => HostInput::Random { rng: RngId(id), bytes: random.bytes(length) },
    }
}

fn edit(random: &mut Random) -> Edit {
    let number = random.below(16) as u8;
    let registers = [
        Register::General(number),
        Register::Rip,
        Register::Flags,
        Register::Mxcsr,
        Register::Xmm(number),
        Register::YmmHigh(number),
        Register::St(number % 8),
        Register::FpControl,
        Register::FpStatus,
        Register::FpTag,
    ];
    let register = registers[random.below(registers.len() as u64) as usize];
    let value = u128::from(random.number()) << (random.below(128) as u32);
    Edit::Register { cpu: random.number() as u32, register, value }
}

/// A configuration of about 1 KiB.
pub(crate) fn config() -> String {
    let device = |name: &str, slot: u32| {
        format!(
            r#"{{"driver":"{name}","id":"{name}-{slot}","bus":"pcie.0","addr":"{slot:02x}.0","properties":{{"disable-legacy":"on","packed":"off","event_idx":"on"}}}}"#
        )
    };
    let devices = [("virtio-blk-pci", 3), ("virtio-net-pci", 4), ("virtio-rng-pci", 5), ("virtio-serial-pci", 6)];
    let devices: Vec<_> = devices.iter().map(|&(name, slot)| device(name, slot)).collect();
    format!(
        r#"{{"machine":{{"type":"q35","resets":"end","triple_fault":"end"}},"cpu":"reprise-v1","smp":{{"cpus":1,"quantum":100000}},"memory":268435456,"rtc":{{"base":"2000-01-01T00:00:00","drift":0}},"boot":{{"kernel":"vmlinuz","initrd":"initramfs.cpio.gz","append":"console=ttyS0 panic=-1 root=/dev/vda rw"}},"chardevs":[{{"id":"serial0","backend":"stdio"}}],"drives":[{{"id":"hd0","file":"root.img","format":"raw","size":1073741824,"readonly":false}}],"devices":[{}]}}"#,
        devices.join(",")
    )
}
