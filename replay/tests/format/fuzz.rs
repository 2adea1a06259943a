//! Hostile recordings: the reader never panics, never hangs and takes no more memory than its limits.
//!
//! Wrong bits alone stop at a checksum; most mutations here are of payloads whose frames are then right again. More of them
//! than in a test: `FUZZ_RECORDINGS=1000000 cargo test --release -p reprise-replay hostile`.

use crate::frames::{self, END, INDEX, PREAMBLE};
use crate::samples::{Place, Random, Run};
use reprise_core::board::Board;
use reprise_core::cpu::Model;
use reprise_core::disk::DiskGeometry;
use reprise_core::interp::Interpreter;
use reprise_core::machine::{Fingerprint, Machine};
use reprise_replay::stored::restore;
use reprise_replay::{ReadError, Recording};
use std::fs;
use std::path::Path;

/// Events that a hostile recording may have: far more than its bytes have room for.
const EVENTS: usize = 1 << 20;

/// Numbers at the edges of what is checked.
const EDGES: [u64; 12] = [
    0,
    1,
    0x7f,
    0xffff,
    0x1_0000,
    1 << 20,
    (1 << 30) + 1,
    u32::MAX as u64,
    1 << 32,
    u64::MAX / 10_000_000,
    i64::MAX as u64,
    u64::MAX,
];

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// Changes a few bytes anywhere.
fn change(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..1 + random.below(3) {
        let at = random.below(bytes.len() as u64 + 1) as usize;
        let until = (at + random.below(9) as usize).min(bytes.len());
        match random.below(5) {
            0 => bytes.truncate(at),
            1 => drop(bytes.splice(at..until, random.bytes(3))),
            2 => drop(bytes.splice(at..until, varint(EDGES[random.below(12) as usize]))),
            3 => bytes.extend(random.bytes(4)),
            _ if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            _ => {}
        }
    }
}

/// The recording with the payload of a frame or two changed, or frames moved, and checksums that are right.
fn hostile(file: &[u8], random: &mut Random) -> Vec<u8> {
    let mut parts: Vec<_> = frames::of(file).into_iter().map(|frame| (frame.kind, frame.payload)).collect();
    for _ in 0..1 + random.below(2) {
        let (one, other) = (random.below(parts.len() as u64) as usize, random.below(parts.len() as u64) as usize);
        match random.below(8) {
            0 => parts.swap(one, other),
            1 => parts[one].0 = random.below(11) as u8,
            2 => parts.insert(one, parts[other].clone()),
            _ => change(&mut parts[one].1, random),
        }
    }
    assemble(&file[..PREAMBLE], &parts, random.below(4) != 0)
}

/// The file of `parts`; `sound` makes the end name the first index frame.
fn assemble(preamble: &[u8], parts: &[(u8, Vec<u8>)], sound: bool) -> Vec<u8> {
    let mut file = preamble.to_vec();
    let mut index = None;
    for (kind, payload) in parts {
        if *kind == INDEX {
            index.get_or_insert(file.len() as u64);
        }
        match index.filter(|_| sound && *kind == END) {
            Some(offset) => file.extend(frames::raw(END, &offset.to_le_bytes())),
            None => file.extend(frames::raw(*kind, payload)),
        }
    }
    file
}

/// Of all checkpoints that are read, so that what is in them is looked at.
const ORIGIN: Fingerprint = Fingerprint { parts: 0, memory: 0 };

/// A machine with a disk.
fn machine() -> Machine {
    let model = Model::find(Model::DEFAULT).unwrap();
    let mut board = Board::new(1 << 20, 1).unwrap();
    board.add_disk(DiskGeometry { size: 1 << 20, read_only: false });
    Machine::new(board, model, Box::new(Interpreter::new(model)))
}

/// Reads everything that there is.
fn read(path: &Path, machine: &mut Machine) -> Result<(), ReadError> {
    let mut recording = Recording::open(path)?;
    for from in [0, recording.last_tick() / 2, recording.last_tick()] {
        assert!(recording.events(from).count() < EVENTS);
    }
    let names = recording.file_names();
    names.iter().for_each(|name| drop(recording.file(name)));
    let run_clusters = (0..4).map(|cluster| recording.cluster(reprise_core::backend::DiskId(0), cluster));
    run_clusters.for_each(drop);
    recording.sizes();
    let stored: Vec<_> = recording.checkpoints().collect();
    for tick in stored {
        // Nobody knows the fingerprint of such a machine.
        assert!(restore(&recording, tick, machine, ORIGIN).is_err());
    }
    Ok(())
}

#[test]
fn hostile_recordings_are_read_as_far_as_they_make_sense() {
    let place = Place::new();
    let count = std::env::var("FUZZ_RECORDINGS").map_or(3000, |count| count.parse().expect("a number"));
    let sample = |seed| Run { checkpoints: (seed..2 * seed).collect(), ..Run::random(seed, 30, 60) };
    let samples: Vec<_> = (0..8).map(|seed| sample(seed).bytes(&place.path("sample"))).collect();
    let mut machine = machine();
    let path = place.path("hostile");
    let mut opened = 0;
    for seed in 0..count {
        let mut random = Random(seed);
        let sample = &samples[random.below(8) as usize];
        let mut file = if random.below(4) == 0 { sample.clone() } else { hostile(sample, &mut random) };
        if random.below(4) == 0 {
            change(&mut file, &mut random);
        }
        let _ = fs::remove_file(&path);
        fs::write(&path, &file).unwrap();
        opened += u64::from(read(&path, &mut machine).is_ok());
    }
    assert!(opened > count / 4, "only {opened} of {count} could be opened");
}

/// A file that says it is large, and an index that says that there is much, take no memory for what is not there.
#[test]
fn sizes_are_held_against_their_limits() {
    let place = Place::new();
    let file = Run::random(1, 5, 60).bytes(&place.path("sample"));
    let claims: [(u8, Vec<u8>, &str); 3] = [
        (3, vec![0; (1 << 20) + 1], "at most 1048576 stored bytes in the contents frame"),
        (4, [b"\x01x".as_slice(), &varint(1 << 40), &[0; 16]].concat(), "a file of at most 1073741824 bytes"),
        (4, [varint(5000), vec![b'x'; 5000], vec![0; 17]].concat(), "a file name of at most 4096 bytes"),
    ];
    for (kind, payload, expected) in claims {
        let end = frames::of(&file)[1].offset;
        let path = place.path("claim");
        fs::write(&path, [&file[..end], &frames::raw(kind, &payload)].concat()).unwrap();
        let recording = Recording::open(&path).unwrap();
        let damage = recording.damage().unwrap();
        assert_eq!((damage.offset, damage.expected.as_str()), (end as u64, expected));
    }
}
