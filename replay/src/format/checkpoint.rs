//! Stored checkpoints: the state of a machine at a tick, so that nobody has to run to there.
//!
//! Contents of RAM and of what was written to disks are pages, stored once however many checkpoints have them, up to
//! [`FRAME_PAGES`] in a frame. A checkpoint says for each page that is not all zeros where it is, so it can be read without
//! any other; of what it says, nothing is certain before the machine that it makes has its fingerprint.

use super::bytes::{Bytes, Malformed, put_bytes, put_difference, put_varint};
use reprise_core::clock::Tick;
use reprise_core::disk::StoredBlock;
use reprise_core::machine::Fingerprint;

/// Pages in a frame of them, at most.
pub(crate) const FRAME_PAGES: usize = 64;
/// Bytes of a page of RAM, and of a block of a disk.
pub const STORED_PAGE: usize = 4096;

/// Where a page is: the place of its frame in the list of the checkpoint's frames, times [`FRAME_PAGES`], and its place in
/// the frame.
pub(crate) type Place = u64;

/// Pages of RAM, one after the other, whose contents lie one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) first: u32,
    pub(crate) count: u32,
    pub(crate) place: Place,
}

/// What was written to a disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StoredDisk {
    pub(crate) blocks: Vec<StoredBlock<Place>>,
    /// First block, and the one after the last.
    pub(crate) zeroes: Vec<(u64, u64)>,
}

/// A checkpoint as it is in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) tick: Tick,
    /// The build that made it: another one may have other state.
    pub(crate) build: String,
    /// Of the machine at power-on.
    pub(crate) origin: Fingerprint,
    /// Of the machine at `tick`.
    pub(crate) fingerprint: Fingerprint,
    /// All state but the contents of RAM and disks.
    pub(crate) parts: Vec<u8>,
    /// Offsets of the frames of pages that it needs.
    pub(crate) frames: Vec<u64>,
    pub(crate) runs: Vec<Run>,
    pub(crate) disks: Vec<StoredDisk>,
}

impl Stored {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.tick);
        put_bytes(&mut out, self.build.as_bytes());
        for hash in [self.origin.parts, self.origin.memory, self.fingerprint.parts, self.fingerprint.memory] {
            out.extend_from_slice(&hash.to_le_bytes());
        }
        put_bytes(&mut out, &self.parts);
        put_varint(&mut out, self.frames.len() as u64);
        let mut last = 0;
        for &offset in &self.frames {
            put_difference(&mut out, last, offset);
            last = offset;
        }
        self.put_runs(&mut out);
        put_varint(&mut out, self.disks.len() as u64);
        self.disks.iter().for_each(|disk| disk.put(&mut out));
        out
    }

    fn put_runs(&self, out: &mut Vec<u8>) {
        put_varint(out, self.runs.len() as u64);
        let (mut page, mut place) = (0, 0);
        for run in &self.runs {
            put_varint(out, u64::from(run.first - page));
            put_varint(out, u64::from(run.count - 1));
            put_difference(out, place, run.place);
            (page, place) = (run.first + run.count, run.place + u64::from(run.count));
        }
    }

    /// What is in a frame. Every page has a frame, and each list is in order.
    pub(super) fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let mut from = Bytes::new(payload);
        let (tick, build) = (from.varint("tick of a checkpoint")?, from.text("build")?);
        let mut fingerprint = || -> Result<_, Malformed> {
            Ok(Fingerprint { parts: from.u128("fingerprint")?, memory: from.u128("fingerprint")? })
        };
        let (origin, fingerprint) = (fingerprint()?, fingerprint()?);
        let parts = from.bytes("state")?.to_vec();
        let frames = take_frames(&mut from)?;
        let places = (frames.len() * FRAME_PAGES) as u64;
        let runs = take_runs(&mut from, places)?;
        let count = from.count("count of disks")?;
        let disks = (0..count).map(|_| StoredDisk::take(&mut from, places)).collect::<Result<_, _>>()?;
        from.finish("a checkpoint")?;
        Ok(Self { tick, build, origin, fingerprint, parts, frames, runs, disks })
    }
}

fn take_frames(from: &mut Bytes<'_>) -> Result<Vec<u64>, Malformed> {
    let count = from.count("count of frames")?;
    let mut offset = 0;
    (0..count)
        .map(|_| {
            offset = from.difference(offset, "offset of pages")?;
            Ok(offset)
        })
        .collect()
}

fn take_runs(from: &mut Bytes<'_>, places: u64) -> Result<Vec<Run>, Malformed> {
    let count = from.count("count of runs of pages")?;
    let (mut page, mut place) = (0u32, 0u64);
    let mut runs = Vec::new();
    for _ in 0..count {
        let (gap, more): (u32, u32) = (from.narrow("pages between runs")?, from.narrow("length of a run")?);
        let start = from.difference(place, "place of a run")?;
        let past = || Malformed::new("a run of pages below 2^32, whose contents are in the frames named", "another");
        let first = page.checked_add(gap).ok_or_else(past)?;
        let count = more.checked_add(1).ok_or_else(past)?;
        page = first.checked_add(count).ok_or_else(past)?;
        place = start.checked_add(count.into()).filter(|&end| end <= places).ok_or_else(past)?;
        runs.push(Run { first, count, place: start });
    }
    Ok(runs)
}

impl StoredDisk {
    fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.zeroes.len() as u64);
        let mut last = 0;
        for &(first, end) in &self.zeroes {
            put_varint(out, first - last);
            put_varint(out, end - first);
            last = end;
        }
        put_varint(out, self.blocks.len() as u64);
        let (mut number, mut place) = (0, 0);
        for block in &self.blocks {
            put_varint(out, block.number - number);
            out.extend_from_slice(&[block.written, u8::from(block.contents.is_some())]);
            if let Some(contents) = block.contents {
                put_difference(out, place, contents);
                place = contents + 1;
            }
            number = block.number + 1;
        }
    }

    fn take(from: &mut Bytes<'_>, places: u64) -> Result<Self, Malformed> {
        let past = || Malformed::new("a block below 2^64, whose contents are in the frames named", "another");
        let count = from.count("count of ranges of zeros")?;
        let mut disk = Self::default();
        let mut last = 0u64;
        for _ in 0..count {
            let first = last.checked_add(from.varint("start of zeros")?).ok_or_else(past)?;
            last = first.checked_add(from.varint("length of zeros")?).ok_or_else(past)?;
            disk.zeroes.push((first, last));
        }
        let count = from.count("count of blocks")?;
        let (mut next, mut place) = (0u64, 0u64);
        for _ in 0..count {
            let number = next.checked_add(from.varint("blocks between")?).ok_or_else(past)?;
            next = number.checked_add(1).ok_or_else(past)?;
            let written = from.u8("sectors written")?;
            let contents = match from.u8("whether a block has contents")? {
                0 => None,
                1 => Some(from.difference(place, "place of a block")?),
                other => return Err(Malformed::new("0 or 1", other.to_string())),
            };
            if let Some(at) = contents {
                place = at.checked_add(1).filter(|&end| end <= places).ok_or_else(past)?;
            }
            disk.blocks.push(StoredBlock { number, written, contents });
        }
        Ok(disk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(parts: u128) -> Fingerprint {
        Fingerprint { parts, memory: !parts }
    }

    fn sample() -> Stored {
        let block = |number, contents| StoredBlock { number, written: 0x81, contents };
        Stored {
            tick: 1 << 40,
            build: "reprise 0.1.0".to_owned(),
            origin: fingerprint(5),
            fingerprint: fingerprint(7 << 100),
            parts: vec![1, 2, 3],
            frames: vec![900, 100, 1 << 33],
            runs: vec![
                Run { first: 0, count: 1, place: 191 },
                Run { first: 1, count: 64, place: 3 },
                Run { first: u32::MAX - 2, count: 2, place: 67 },
            ],
            disks: vec![
                StoredDisk::default(),
                StoredDisk {
                    blocks: vec![block(0, None), block(1, Some(190)), block(1 << 50, Some(0))],
                    zeroes: vec![(2, 90), (91, 1 << 40)],
                },
            ],
        }
    }

    #[test]
    fn a_checkpoint_comes_back() {
        let stored = sample();
        assert_eq!(Stored::decode(&stored.encode()), Ok(stored));
    }

    #[test]
    fn places_are_in_the_frames_and_pages_below_two_to_the_32nd() {
        let damages: [fn(&mut Stored); 4] = [
            |stored| stored.runs[0].place = 192,
            |stored| stored.frames.truncate(2),
            |stored| stored.disks[1].blocks[1].contents = Some(192),
            |stored| stored.runs[2].count = 1,
        ];
        for (case, damage) in damages.into_iter().enumerate() {
            let mut stored = sample();
            damage(&mut stored);
            assert_eq!(Stored::decode(&stored.encode()).is_ok(), case == 3, "case {case}");
        }
        let mut stored = sample();
        stored.runs = vec![Run { first: 1, count: 1, place: 0 }];
        let mut bytes = stored.encode();
        let at = bytes.windows(4).position(|window| window == [1, 1, 0, 0]).unwrap();
        bytes.splice(at + 2..at + 3, [0xff, 0xff, 0xff, 0xff, 0x0f]);
        assert!(Stored::decode(&bytes).is_err(), "2^32 pages after the first");
    }

    #[test]
    fn no_list_is_longer_than_its_bytes() {
        let mut bytes = sample().encode();
        let frames = bytes.windows(5).position(|window| window == [3, 1, 2, 3, 3]).unwrap() + 4;
        bytes.splice(frames..frames + 1, [0xff, 0xff, 0xff, 0xff, 0x0f]);
        assert!(Stored::decode(&bytes).unwrap_err().found.contains("to the end"));
    }
}
