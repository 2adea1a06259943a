//! A recording that is cut or has wrong bits: what is whole is read, and the rest is named with its offset.

use crate::frames::{self, CONTENTS, EVENTS, Frame, INDEX, PREAMBLE};
use crate::samples::{Place, Random, Run, all};
use reprise_core::clock::Tick;
use reprise_replay::{Damage, Event, ReadError, Recording};
use std::fs;

/// A recording, its bytes and frames.
struct Sample {
    place: Place,
    run: Run,
    bytes: Vec<u8>,
    frames: Vec<Frame>,
    /// How many events are in the frames before each.
    events_before: Vec<usize>,
}

impl Sample {
    fn new(seed: u64, count: usize, size: u64) -> Self {
        let place = Place::new();
        let run = Run::random(seed, count, size);
        let mut writer = run.writer(&place.path("run"));
        let half = run.events.len() / 2;
        let (first, second) = (Run { events: run.events[..half].to_vec(), ..run.clone() }, &run.events[half..]);
        first.give(&mut writer);
        writer.flush().unwrap();
        second.iter().for_each(|(tick, event)| writer.event(*tick, event).unwrap());
        writer.finish().unwrap();
        let bytes = fs::read(place.path("run")).unwrap();
        let frames = frames::of(&bytes);
        let mut sample = Self { place, run, bytes, frames, events_before: Vec::new() };
        sample.count_events();
        sample
    }

    fn count_events(&mut self) {
        for index in 0..self.frames.len() {
            let offset = self.frames[index].offset;
            let events = self.open(&self.bytes[..offset]).map_or(0, |mut cut| all(cut.events(0)).len());
            self.events_before.push(events);
        }
    }

    fn open(&self, bytes: &[u8]) -> Result<Recording, ReadError> {
        let path = self.place.path("damaged");
        // A new file: some file systems wait for the disk when one is emptied and written again.
        let _ = fs::remove_file(&path);
        fs::write(&path, bytes).unwrap();
        Recording::open(&path)
    }

    /// The frame that holds the byte at `offset`.
    fn frame_at(&self, offset: usize) -> Option<usize> {
        self.frames.iter().position(|frame| (frame.offset..frame.end).contains(&offset))
    }

    fn check_cut(&self, length: usize) {
        let opened = self.open(&self.bytes[..length]);
        let Some(cut) = self.frame_at(length).filter(|&frame| frame > 0) else {
            let error = opened.err().expect("no recording begins so");
            let named = match &error {
                ReadError::Damaged { damage, .. } => {
                    damage.offset == if length < PREAMBLE { 0 } else { PREAMBLE as u64 }
                }
                other => length == 0 && matches!(other, ReadError::NotARecording { .. }),
            };
            assert!(named, "{length}: {error}");
            return;
        };
        let mut recording = opened.unwrap();
        let offset = recording.damage().expect("the end is missing").offset;
        assert_eq!(offset, self.frames[cut].offset as u64, "cut at {length}");
        let whole = &self.run.events[..self.events_before[cut]];
        assert_eq!(all(recording.events(0)), whole, "cut at {length}");
        assert_eq!(recording.last_tick(), whole.last().map_or(0, |(tick, _)| *tick));
        assert_eq!(recording.end().is_some(), whole.len() == self.run.events.len());
        let sizes = recording.sizes();
        let named = sizes.header + sizes.files + sizes.clusters + sizes.inputs + sizes.digests;
        let counted = named + sizes.checkpoints + sizes.index;
        assert_eq!(counted, offset, "cut at {length}: {sizes:?}");
    }

    /// What a recording with wrong bytes in the frame `wrong` must give.
    fn check_wrong(&self, bytes: &[u8], wrong: usize) {
        let offset = self.frames[wrong].offset as u64;
        let mut recording = match self.open(bytes) {
            Ok(recording) => recording,
            Err(error) => return assert_eq!((wrong, damage_of(error).offset), (0, offset)),
        };
        let mut named: Vec<_> = recording.damage().cloned().into_iter().collect();
        let events = self.prefix(&mut recording, 0, &mut named);
        let (first, last) = (self.run.events[0].0, self.run.events[self.run.events.len() - 1].0);
        for from in [first + 1, last] {
            self.prefix(&mut recording, from, &mut named);
        }
        for (name, bytes) in &self.run.files {
            match recording.file(name) {
                Ok(found) => assert_eq!(&found, bytes),
                Err(ReadError::NoFile { .. }) => assert!(!named.is_empty(), "'{name}' is gone without a word"),
                Err(error) => named.push(damage_of(error)),
            }
        }
        for (&(disk, cluster), bytes) in &self.run.clusters {
            match recording.cluster(disk, cluster) {
                Ok(Some(found)) => assert_eq!(&found, bytes),
                Ok(None) => assert!(!named.is_empty(), "a cluster is gone without a word"),
                Err(error) => named.push(damage_of(error)),
            }
        }
        let kind = self.frames[wrong].kind;
        assert!(named.iter().all(|damage| damage.offset == offset), "not {offset:#x}: {named:?}");
        // A name is not read again where the index has it.
        assert!(!named.is_empty() || matches!(kind, 4 | 5), "a {kind} frame at {offset:#x} is wrong without a word");
        let whole = if kind == EVENTS { self.events_before[wrong] } else { events };
        assert_eq!(events, whole, "events of the frame at {offset:#x}");
    }

    /// How many events can be read from tick `from` on; they are the first ones there of the run.
    fn prefix(&self, recording: &mut Recording, from: Tick, named: &mut Vec<Damage>) -> usize {
        let mut expected = self.run.events[self.run.events.partition_point(|(tick, _)| *tick < from)..].iter();
        let mut count = 0;
        for event in recording.events(from) {
            match event {
                Ok(event) => assert_eq!(Some(&event), expected.next()),
                Err(error) => {
                    named.push(damage_of(error));
                    return count;
                }
            }
            count += 1;
        }
        assert!(expected.len() == 0 || !named.is_empty(), "{} events are gone without a word", expected.len());
        count
    }
}

fn damage_of(error: ReadError) -> Damage {
    match error {
        ReadError::Damaged { damage, .. } => damage,
        other => panic!("{other}"),
    }
}

#[test]
fn a_small_recording_cut_at_every_length_is_read_to_there() {
    let sample = Sample::new(7, 60, 30);
    (0..sample.bytes.len()).for_each(|length| sample.check_cut(length));
}

#[test]
fn larger_recordings_cut_anywhere_are_read_to_there() {
    let mut random = Random(1);
    for seed in 0..4 {
        let sample = Sample::new(100 + seed, 600, 4000);
        (0..100).for_each(|_| sample.check_cut(random.below(sample.bytes.len() as u64) as usize));
        for frame in &sample.frames {
            [frame.offset, frame.offset + 1, frame.end - 1].into_iter().for_each(|length| sample.check_cut(length));
        }
    }
}

#[test]
fn each_wrong_bit_of_a_small_recording_is_named() {
    let sample = Sample::new(3, 40, 20);
    for bit in PREAMBLE * 8..sample.bytes.len() * 8 {
        let mut bytes = sample.bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        sample.check_wrong(&bytes, sample.frame_at(bit / 8).unwrap());
    }
}

#[test]
fn wrong_bits_in_larger_recordings_are_named() {
    let mut random = Random(2);
    for seed in 0..4 {
        let sample = Sample::new(200 + seed, 500, 3000);
        for _ in 0..300 {
            let frame = random.below(sample.frames.len() as u64) as usize;
            let Frame { offset, end, .. } = sample.frames[frame];
            let mut bytes = sample.bytes.clone();
            for _ in 0..1 + random.below(3) {
                bytes[offset + random.below((end - offset) as u64) as usize] = random.number() as u8;
            }
            if bytes != sample.bytes {
                sample.check_wrong(&bytes, frame);
            }
        }
    }
}

/// Frames with right checksums: left out, twice, exchanged.
#[test]
fn frames_of_events_that_moved_are_missed() {
    let sample = Sample::new(5, 700, 900);
    let batches: Vec<_> = (0..sample.frames.len()).filter(|&index| sample.frames[index].kind == EVENTS).collect();
    assert!(batches.len() > 4, "{}", batches.len());
    let piece = |index: usize| &sample.bytes[sample.frames[index].offset..sample.frames[index].end];
    let rebuilt = |order: &[usize]| {
        let frames: Vec<_> = order.iter().map(|&index| piece(index)).collect();
        [&sample.bytes[..PREAMBLE], &frames.concat()].concat()
    };
    let index = sample.frames.iter().position(|frame| frame.kind == INDEX).unwrap();
    let whole: Vec<_> = (0..index).collect();
    let (mut without, mut twice, mut exchanged) = (whole.clone(), whole.clone(), whole);
    without.remove(batches[1]);
    twice.insert(batches[1], batches[1]);
    exchanged.swap(batches[1], batches[2]);
    for (order, good) in [(without, batches[1]), (twice, batches[2]), (exchanged, batches[1])] {
        let mut recording = sample.open(&rebuilt(&order)).unwrap();
        assert_eq!(all(recording.events(0)), sample.run.events[..sample.events_before[good]]);
        assert!(recording.damage().unwrap().expected.starts_with("events frame "), "{:?}", recording.damage());
    }
}

#[test]
fn bytes_after_the_end_are_named_and_nothing_is_lost() {
    let sample = Sample::new(9, 50, 50);
    let mut recording = sample.open(&[sample.bytes.as_slice(), b"more"].concat()).unwrap();
    let end = sample.bytes.len() as u64;
    let damage = Damage { offset: end, expected: "the end of the file".into(), found: "4 more bytes".into() };
    assert_eq!(recording.damage(), Some(&damage));
    assert_eq!(all(recording.events(0)), sample.run.events);
    assert!(matches!(sample.run.events.last(), Some((_, Event::End(end))) if Some(end) == recording.end()));
}

/// Damage to contents does not keep the events from being read, nor damage to events what comes later.
#[test]
fn what_is_whole_beside_damage_is_read() {
    let sample = Sample::new(11, 900, 2000);
    let wrong = |kind: u8, nth: usize| {
        let frame = sample.frames.iter().filter(|frame| frame.kind == kind).nth(nth).unwrap();
        let mut bytes = sample.bytes.clone();
        bytes[frame.end - 1] ^= 1;
        bytes
    };
    let mut recording = sample.open(&wrong(CONTENTS, 0)).unwrap();
    assert_eq!(all(recording.events(0)), sample.run.events);
    assert_eq!(recording.file_names().iter().filter(|name| recording.file(name).is_err()).count(), 1);
    let mut recording = sample.open(&wrong(EVENTS, 1)).unwrap();
    assert!(recording.events(0).any(|event| event.is_err()));
    assert_eq!(later(&sample, &mut recording), sample.run.events.last().cloned());
}

/// The last event, read from the last seek point.
fn later(sample: &Sample, recording: &mut Recording) -> Option<(Tick, Event)> {
    let last = sample.run.events.last().unwrap().0;
    all(recording.events(last)).pop()
}
