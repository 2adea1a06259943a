//! A disk: an image on the host, which never changes, and over it what the guest wrote.
//!
//! The overlay is state: it is in every checkpoint and fingerprint. It knows each 512-byte sector, so a write never has to
//! read the image first. The image is not state: its clusters come in by the door, and the same cluster is always the
//! same bytes.
//!
//! What the overlay costs the host is bounded by what the guest wrote: a range that it zeroed or discarded is two numbers,
//! and lets go of what was written there before. Saved states share the contents of blocks with the overlay and with each
//! other. A clone of a disk shares all of it, hashes too, until one of them is written to: blocks hang on persistent trees,
//! so a checkpoint costs nothing for a disk, however much was written to it.

mod zeroes;

use crate::backend::DiskId;
use crate::state::StateError;
use imbl::ordmap::DiffItem;
use imbl::{OrdMap, OrdSet};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_128_with_seed;
use zeroes::{Range, Zeroes};

/// Bytes in a sector.
pub const SECTOR_SIZE: u64 = 512;
/// Bytes in a cluster: what is read from the image, and recorded, at once. The last one of a disk may be shorter.
pub const CLUSTER_SIZE: u64 = 64 << 10;
/// Bytes in a block of the overlay.
const BLOCK_SIZE: u64 = 4096;
/// Sectors in a block.
const SECTORS: u64 = BLOCK_SIZE / SECTOR_SIZE;
/// All sectors of a block.
const ALL: u8 = u8::MAX;
/// Most bytes in a run of [`Disk::written`] that is not all zeros.
const RUN_LIMIT: u64 = 1 << 20;

/// About what a change to a tree takes that is shared with others: nodes from its leaf up to the root, most of them shared
/// with other changes.
const TREE_PATH: u64 = 256;

/// What is fixed about a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskGeometry {
    /// Bytes, a multiple of [`SECTOR_SIZE`].
    pub size: u64,
    /// Whether the guest may only read.
    pub read_only: bool,
}

/// What a block of the overlay holds: zeros where nothing was written; `None` if it is all zeros.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Vec<u8>", try_from = "Vec<u8>")]
struct Contents(Option<Arc<[u8; BLOCK_SIZE as usize]>>);

impl From<Contents> for Vec<u8> {
    fn from(contents: Contents) -> Self {
        contents.0.map_or(Vec::new(), |bytes| bytes.to_vec())
    }
}

impl TryFrom<Vec<u8>> for Contents {
    type Error = String;

    fn try_from(bytes: Vec<u8>) -> Result<Self, String> {
        if bytes.is_empty() {
            return Ok(Self(None));
        }
        let block = <[u8; BLOCK_SIZE as usize]>::try_from(bytes);
        block.map(|block| Self(Some(Arc::new(block)))).map_err(|bytes| format!("a block of {} bytes", bytes.len()))
    }
}

/// A part of the overlay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Block {
    /// Bit n: sector n was written.
    written: u8,
    contents: Contents,
}

impl Block {
    fn write(&mut self, start: u64, part: &[u8]) {
        self.written |= sectors(start, part.len() as u64);
        if self.contents.0.is_some() || part.iter().any(|&byte| byte != 0) {
            let bytes = self.contents.0.get_or_insert_with(|| Arc::new([0; BLOCK_SIZE as usize]));
            Arc::make_mut(bytes)[start as usize..start as usize + part.len()].copy_from_slice(part);
        }
    }
}

/// A disk. Cloning it takes no time that depends on what was written to it.
#[derive(Clone, Debug)]
pub struct Disk {
    geometry: DiskGeometry,
    /// No block is both here and in `zeroes`.
    blocks: OrdMap<u64, Block>,
    zeroes: Zeroes,
    /// Blocks written since the last hash.
    unhashed: OrdSet<u64>,
    hashes: OrdMap<u64, u128>,
    sum: u128,
}

/// Everything that a guest wrote to a disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskState {
    /// Blocks by number, in order.
    blocks: Vec<(u64, Block)>,
    zeroes: zeroes::Saved,
}

/// A block of what was written to a disk, for whoever stores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredBlock<T> {
    /// Which block: so many times 4096 bytes from the disk's start.
    pub number: u64,
    /// Bit n: sector n was written.
    pub written: u8,
    /// What it holds, zeros where nothing was written; `None` if it is all zeros.
    pub contents: Option<T>,
}

impl DiskState {
    /// The blocks that were written, in order.
    pub fn blocks(&self) -> impl Iterator<Item = StoredBlock<&[u8; BLOCK_SIZE as usize]>> {
        self.blocks.iter().map(|(number, block)| StoredBlock {
            number: *number,
            written: block.written,
            contents: block.contents.0.as_deref(),
        })
    }

    /// The ranges of blocks that are all zeros: the first, and the one after the last; in order.
    pub fn zeroes(&self) -> impl Iterator<Item = (u64, u64)> {
        self.zeroes.iter().map(|range| (range.first, range.end))
    }

    /// The state of these blocks and ranges, which need not be one that a disk can have.
    pub fn new(
        blocks: impl IntoIterator<Item = StoredBlock<Arc<[u8; BLOCK_SIZE as usize]>>>,
        zeroes: impl IntoIterator<Item = (u64, u64)>,
    ) -> Self {
        let block = |StoredBlock { number, written, contents }: StoredBlock<_>| {
            (number, Block { written, contents: Contents(contents) })
        };
        let range = |(first, end)| Range { first, end };
        Self { blocks: blocks.into_iter().map(block).collect(), zeroes: zeroes.into_iter().map(range).collect() }
    }
}

/// Whole sectors, one after the other, that the guest wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Byte offset of the first.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// Whether all of it is known to be zeros.
    pub zero: bool,
}

impl Disk {
    /// A disk to which nothing was written.
    pub fn new(geometry: DiskGeometry) -> Self {
        assert!(geometry.size.is_multiple_of(SECTOR_SIZE), "a disk of {} bytes has half a sector", geometry.size);
        let (blocks, zeroes) = (OrdMap::new(), Zeroes::default());
        Self { geometry, blocks, zeroes, unhashed: OrdSet::new(), hashes: OrdMap::new(), sum: 0 }
    }

    /// What is fixed about it.
    pub fn geometry(&self) -> DiskGeometry {
        self.geometry
    }

    /// Whether `length` bytes from `offset` on are whole sectors of this disk.
    pub fn contains(&self, offset: u64, length: u64) -> bool {
        let whole = offset.is_multiple_of(SECTOR_SIZE) && length.is_multiple_of(SECTOR_SIZE);
        whole && offset.checked_add(length).is_some_and(|end| end <= self.geometry.size)
    }

    fn can_write(&self, offset: u64, length: u64) -> bool {
        !self.geometry.read_only && self.contains(offset, length)
    }

    /// Writes whole sectors; what [`contains`](Self::contains) denies, and any write to a read-only disk, is ignored, and
    /// false.
    pub fn write(&mut self, offset: u64, data: &[u8]) -> bool {
        if !self.can_write(offset, data.len() as u64) {
            return false;
        }
        let mut rest = data;
        for (number, start, length) in block_parts(offset, data.len() as u64) {
            let part = rest.split_off(..length as usize).expect("the parts are as long as the data");
            self.block_mut(number).write(start, part);
        }
        true
    }

    /// Makes whole sectors zeros, at a cost that does not depend on how many; refuses what [`write`](Self::write) refuses.
    /// What was written there before is forgotten.
    pub fn zero(&mut self, offset: u64, length: u64) -> bool {
        if !self.can_write(offset, length) {
            return false;
        }
        let end = offset + length;
        let (first, last) = (offset.next_multiple_of(BLOCK_SIZE), end - end % BLOCK_SIZE);
        if first < last {
            self.zero_sectors(offset, first - offset);
            self.zero_blocks(Range { first: first / BLOCK_SIZE, end: last / BLOCK_SIZE });
            self.zero_sectors(last, end - last);
        } else {
            self.zero_sectors(offset, length);
        }
        true
    }

    /// Makes less than two blocks zeros.
    fn zero_sectors(&mut self, offset: u64, length: u64) {
        for (number, start, length) in block_parts(offset, length) {
            if self.zeroes.find(number).is_none() {
                self.block_mut(number).write(start, &[0; BLOCK_SIZE as usize][..length as usize]);
            }
        }
    }

    fn zero_blocks(&mut self, range: Range) {
        let written: Vec<_> = self.blocks.range(range.first..range.end).map(|(&number, _)| number).collect();
        for number in written {
            self.blocks.remove(&number);
            self.unhashed.insert(number);
        }
        self.zeroes.insert(range);
    }

    /// The block `number`, to write to it.
    fn block_mut(&mut self, number: u64) -> &mut Block {
        self.unhashed.insert(number);
        let written = if self.zeroes.remove(number) { ALL } else { 0 };
        self.blocks.entry(number).or_insert(Block { written, contents: Contents(None) })
    }

    /// Which sectors of the block `number` were written.
    fn written_sectors(&self, number: u64) -> u8 {
        match self.blocks.get(&number) {
            Some(block) => block.written,
            None if self.zeroes.find(number).is_some() => ALL,
            None => 0,
        }
    }

    /// The clusters of the image that reading `length` bytes from `offset` on needs: those with a sector that the guest
    /// never wrote.
    pub fn missing(&self, offset: u64, length: u64) -> Vec<u64> {
        let mut clusters = Vec::new();
        for (number, start, part) in block_parts(offset, length) {
            let cluster = number * BLOCK_SIZE / CLUSTER_SIZE;
            let needed = sectors(start, part) & !self.written_sectors(number) != 0;
            if needed && clusters.last() != Some(&cluster) {
                clusters.push(cluster);
            }
        }
        clusters
    }

    /// Reads `length` bytes from `offset` on; `image` gives the clusters that [`missing`](Self::missing) named. `None` if it
    /// does not.
    pub fn read<'a>(&self, offset: u64, length: u64, image: impl Fn(u64) -> Option<&'a [u8]>) -> Option<Vec<u8>> {
        let mut data = Vec::with_capacity(length as usize);
        for (number, start, part) in block_parts(offset, length) {
            let written = self.written_sectors(number);
            let bytes = self.blocks.get(&number).and_then(|block| block.contents.0.as_deref());
            for sector in start / SECTOR_SIZE..(start + part) / SECTOR_SIZE {
                let at = (sector * SECTOR_SIZE) as usize;
                match bytes.filter(|_| written & 1 << sector != 0) {
                    Some(bytes) => data.extend_from_slice(&bytes[at..at + SECTOR_SIZE as usize]),
                    None if written & 1 << sector != 0 => data.resize(data.len() + SECTOR_SIZE as usize, 0),
                    None => data.extend_from_slice(image_sector(number * BLOCK_SIZE + at as u64, &image)?),
                }
            }
        }
        Some(data)
    }

    /// Everything that the guest wrote, in order, as runs as long as can be: for [`read`](Self::read), which needs no image
    /// there. Runs that are not all zeros are no longer than 1 MiB.
    pub fn written(&self) -> impl Iterator<Item = Run> {
        let mut parts = self.written_parts().peekable();
        std::iter::from_fn(move || {
            let mut run = parts.next()?;
            let joins = |run: Run, next: &Run| {
                let fits = run.zero || run.length + next.length <= RUN_LIMIT;
                next.offset == run.offset + run.length && next.zero == run.zero && fits
            };
            while let Some(next) = parts.next_if(|next| joins(run, next)) {
                run.length += next.length;
            }
            Some(run)
        })
    }

    /// What the guest wrote, in order, as runs that may touch.
    fn written_parts(&self) -> impl Iterator<Item = Run> {
        let mut blocks = self.blocks.iter().peekable();
        let mut ranges = self.zeroes.iter().peekable();
        let merged = std::iter::from_fn(move || {
            let block_is_next = match (blocks.peek(), ranges.peek()) {
                (Some((number, _)), Some(range)) => **number < range.first,
                (block, _) => block.is_some(),
            };
            if block_is_next {
                return blocks.next().map(|(&number, block)| sector_runs(number, block));
            }
            let Range { first, end } = ranges.next()?;
            Some(vec![Run { offset: first * BLOCK_SIZE, length: (end - first) * BLOCK_SIZE, zero: true }])
        });
        merged.flatten()
    }

    /// A hash of everything that the guest wrote; costs time by what was written since the last one.
    pub fn hash(&mut self) -> u128 {
        for number in std::mem::take(&mut self.unhashed) {
            let new = self.blocks.get(&number).map_or(0, |block| hash_of(number, block));
            let old = if new == 0 { self.hashes.remove(&number) } else { self.hashes.insert(number, new) };
            self.sum = self.sum.wrapping_sub(old.unwrap_or(0)).wrapping_add(new);
        }
        self.sum.wrapping_add(self.zeroes.hash())
    }

    /// Everything that the guest wrote.
    pub fn save(&self) -> DiskState {
        let blocks = self.blocks.iter().map(|(&number, block)| (number, block.clone())).collect();
        DiskState { blocks, zeroes: self.zeroes.iter().collect() }
    }

    /// Bytes of memory that this disk takes beside what it shares with another, of which it is a clone or that is a clone of
    /// it: about, and never much too few. Takes time by what differs.
    pub fn bytes_beside(&self, other: &Self) -> u64 {
        let blocks = own_entries(&self.blocks, &other.blocks) as u64;
        let small = own_entries(&self.hashes, &other.hashes) + own_entries(&self.zeroes.ranges, &other.zeroes.ranges);
        blocks * (BLOCK_SIZE + TREE_PATH) + small as u64 * TREE_PATH
    }

    /// Whether `state` can be of the disk `id`.
    pub fn check(&self, id: DiskId, state: &DiskState) -> Result<(), StateError> {
        let blocks = self.geometry.size.div_ceil(BLOCK_SIZE);
        let malformed = |reason| Err(StateError::Malformed { part: format!("disk {}", id.0), reason });
        if let Some((number, _)) = state.blocks.iter().find(|(number, _)| *number >= blocks) {
            return malformed(format!("block {number} of {blocks} cannot be"));
        }
        let bad = |range: &&Range| range.first >= range.end || range.end > blocks;
        if let Some(range) = state.zeroes.iter().find(bad) {
            return malformed(format!("zeros from {} to {} of {blocks} cannot be", range.first, range.end));
        }
        Ok(())
    }

    /// Takes saved state that [`check`](Self::check) accepted over.
    pub fn load(&mut self, state: &DiskState) {
        *self = Self::new(self.geometry);
        state.zeroes.iter().for_each(|&range| self.zeroes.insert(range));
        for (number, block) in &state.blocks {
            self.zeroes.remove(*number);
            self.blocks.insert(*number, block.clone());
            self.unhashed.insert(*number);
        }
    }
}

/// How many entries of a tree are not the same in the other one.
fn own_entries<V: Clone + PartialEq>(tree: &OrdMap<u64, V>, other: &OrdMap<u64, V>) -> usize {
    other.diff(tree).filter(|item| !matches!(item, DiffItem::Remove(..))).count()
}

/// The sector at the byte `position` of the image.
fn image_sector<'a>(position: u64, image: &impl Fn(u64) -> Option<&'a [u8]>) -> Option<&'a [u8]> {
    let from = (position % CLUSTER_SIZE) as usize;
    image(position / CLUSTER_SIZE)?.get(from..from + SECTOR_SIZE as usize)
}

/// The runs of written sectors in the block `number`.
fn sector_runs(number: u64, block: &Block) -> Vec<Run> {
    let zero = block.contents.0.is_none();
    let mut runs: Vec<Run> = Vec::new();
    for sector in (0..SECTORS).filter(|sector| block.written & 1 << sector != 0) {
        let offset = number * BLOCK_SIZE + sector * SECTOR_SIZE;
        match runs.last_mut().filter(|run| run.offset + run.length == offset) {
            Some(run) => run.length += SECTOR_SIZE,
            None => runs.push(Run { offset, length: SECTOR_SIZE, zero }),
        }
    }
    runs
}

/// The hash of a block, never 0.
fn hash_of(number: u64, block: &Block) -> u128 {
    let data = block.contents.0.as_deref().unwrap_or(&[0; BLOCK_SIZE as usize]);
    (xxh3_128_with_seed(data, number) ^ u128::from(block.written)) | 1
}

/// Bits of the sectors in `length` bytes from `start` on of a block.
fn sectors(start: u64, length: u64) -> u8 {
    let (first, count) = (start / SECTOR_SIZE, length / SECTOR_SIZE);
    (((1u16 << count) - 1) << first) as u8
}

/// Number, start and length of the part in each block of `length` bytes from `offset` on.
fn block_parts(offset: u64, length: u64) -> impl Iterator<Item = (u64, u64, u64)> {
    let end = offset + length;
    let mut at = offset;
    std::iter::from_fn(move || {
        let start = at % BLOCK_SIZE;
        let part = (BLOCK_SIZE - start).min(end.checked_sub(at).filter(|&left| left > 0)?);
        let number = at / BLOCK_SIZE;
        at += part;
        Some((number, start, part))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    static IMAGE: [u8; CLUSTER_SIZE as usize] = [1; CLUSTER_SIZE as usize];

    fn disk() -> Disk {
        Disk::new(DiskGeometry { size: 3 * CLUSTER_SIZE, read_only: false })
    }

    fn run(offset: u64, length: u64, zero: bool) -> Run {
        Run { offset, length, zero }
    }

    #[test]
    fn written_sectors_hide_the_image() {
        let mut disk = disk();
        assert!(disk.write(CLUSTER_SIZE - 512, &[7; 1024]));
        assert_eq!(disk.missing(CLUSTER_SIZE - 512, 1024), Vec::<u64>::new());
        assert_eq!(disk.missing(CLUSTER_SIZE - 1024, 2048), [0, 1]);
        let data = disk.read(CLUSTER_SIZE - 1024, 2048, |_| Some(&IMAGE[..])).unwrap();
        assert_eq!(data, [[1; 512], [7; 512], [7; 512], [1; 512]].concat());
        assert_eq!(disk.read(0, 512, |_| None), None);
    }

    #[test]
    fn what_is_outside_is_refused() {
        let mut disk = disk();
        let bad = [(3 * CLUSTER_SIZE, 512), (1, 512), (0, 511), (u64::MAX - 511, 512), (0, 4 * CLUSTER_SIZE as usize)];
        for (offset, length) in bad {
            assert!(!disk.write(offset, &vec![1; length]) && !disk.zero(offset, length as u64), "{offset}");
        }
        let mut disk = Disk::new(DiskGeometry { size: CLUSTER_SIZE, read_only: true });
        assert!(!disk.write(0, &[1; 512]) && !disk.zero(0, 512));
        assert_eq!(disk.written().count(), 0);
    }

    #[test]
    fn zeros_hide_the_image_and_what_was_written() {
        let mut disk = disk();
        disk.write(4096, &[7; 8192]);
        assert!(disk.zero(3584, 2 * CLUSTER_SIZE));
        assert_eq!(disk.missing(0, 3584), [0]);
        assert_eq!(disk.missing(3584, 2 * CLUSTER_SIZE), Vec::<u64>::new());
        assert_eq!(disk.read(3584, 16384, |_| None), Some(vec![0; 16384]));
        assert_eq!(disk.written().collect::<Vec<_>>(), [run(3584, 2 * CLUSTER_SIZE, true)]);
        assert_eq!(disk.blocks.len(), 2, "the first and the last block are not whole");
    }

    #[test]
    fn a_write_into_zeros_leaves_zeros_around_it() {
        let mut disk = disk();
        disk.zero(0, CLUSTER_SIZE);
        disk.write(8192, &[7; 512]);
        assert_eq!(disk.read(7680, 1536, |_| None).unwrap(), [[0; 512], [7; 512], [0; 512]].concat());
        let runs: Vec<_> = disk.written().collect();
        assert_eq!(runs, [run(0, 8192, true), run(8192, 4096, false), run(12288, CLUSTER_SIZE - 12288, true)]);
    }

    #[test]
    fn a_disk_of_any_size_is_zeroed_at_once() {
        let mut disk = Disk::new(DiskGeometry { size: 1 << 62, read_only: false });
        (0..1000).for_each(|_| assert!(disk.zero(512, (1 << 62) - 1024)));
        assert_eq!((disk.blocks.len(), disk.zeroes.iter().count()), (2, 1));
    }

    #[test]
    fn runs_are_long_and_bounded() {
        let mut disk = Disk::new(DiskGeometry { size: 4 << 20, read_only: false });
        (0..48).rev().for_each(|n| assert!(disk.write(n << 16, &[5; 65536])));
        disk.write(0, &[0; 4096]);
        let runs: Vec<_> = disk.written().collect();
        assert_eq!(runs, [0, 1, 2].map(|mib| run(mib << 20, 1 << 20, false)));
    }

    /// Random writes and zeros against plain bytes.
    #[test]
    fn the_overlay_is_what_bytes_are() {
        let (mut disk, mut bytes) = (disk(), vec![1; 3 * CLUSTER_SIZE as usize]);
        let mut random = 1u64;
        for step in 0..2000u64 {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            let sectors = 3 * CLUSTER_SIZE / SECTOR_SIZE;
            let first = (random >> 33) % sectors;
            let count = ((random >> 20) % 40).min(sectors - first);
            let (offset, length) = (first * SECTOR_SIZE, count * SECTOR_SIZE);
            let value = if step % 3 == 0 { 0 } else { step as u8 };
            bytes[offset as usize..(offset + length) as usize].fill(value);
            let written = if step % 6 == 0 {
                disk.zero(offset, length)
            } else {
                disk.write(offset, &vec![value; length as usize])
            };
            assert!(written);
        }
        assert_eq!(disk.read(0, 3 * CLUSTER_SIZE, |_| Some(&IMAGE[..])).unwrap(), bytes);
        let mut other = self::disk();
        other.load(&disk.save());
        assert_eq!((other.hash(), other.save()), (disk.hash(), disk.save()));
        let end = disk.written().fold(0, |end, run| {
            assert!(run.offset >= end && run.length > 0, "{run:?}");
            run.offset + run.length
        });
        assert!(end <= 3 * CLUSTER_SIZE);
    }

    #[test]
    fn saved_state_comes_back_with_the_same_hash() {
        let mut one = disk();
        one.write(512, &[0; 4096]);
        one.write(CLUSTER_SIZE, &[9; 512]);
        one.zero(2 * CLUSTER_SIZE, CLUSTER_SIZE);
        let mut other = disk();
        other.write(0, &[3; 512]);
        let state = one.save();
        other.check(DiskId(0), &state).unwrap();
        other.load(&state);
        assert_eq!((other.hash(), other.save()), (one.hash(), state));
        assert_ne!(one.hash(), disk().hash(), "zeros that were written differ from nothing");
        assert_eq!(one.written().next(), Some(run(512, 4096, true)));
    }

    #[test]
    fn hashes_follow_every_change() {
        let mut disk = disk();
        let mut seen = vec![disk.hash()];
        disk.zero(0, CLUSTER_SIZE);
        seen.push(disk.hash());
        disk.write(4096, &[1; 512]);
        seen.push(disk.hash());
        disk.zero(4096, 512);
        seen.push(disk.hash());
        disk.zero(0, 2 * CLUSTER_SIZE);
        seen.push(disk.hash());
        let different: BTreeSet<_> = seen.iter().collect();
        assert_eq!(different.len(), seen.len());
        disk.zero(0, 4096);
        assert_eq!(disk.hash(), seen[4], "nothing changed");
    }

    #[test]
    fn a_clone_shares_everything_and_goes_its_own_way() {
        let mut disk = Disk::new(DiskGeometry { size: 64 << 20, read_only: false });
        (0..4096).for_each(|n| assert!(disk.write(n * 8192, &[n as u8 | 1; 4096])));
        disk.zero(40 << 20, 1 << 20);
        let hash = disk.hash();
        let mut clone = disk.clone();
        assert!(clone.blocks.ptr_eq(&disk.blocks) && clone.hashes.ptr_eq(&disk.hashes) && clone.unhashed.is_empty());
        assert_eq!((clone.bytes_beside(&disk), clone.hash()), (0, hash));
        assert!(disk.bytes_beside(&self::disk()) >= 4096 * BLOCK_SIZE);
        clone.write(8192, &[5; 4096]);
        clone.zero(16384, 4096);
        clone.zero(50 << 20, 4096);
        assert!((BLOCK_SIZE..2 * BLOCK_SIZE).contains(&clone.bytes_beside(&disk)), "{}", clone.bytes_beside(&disk));
        assert!(disk.bytes_beside(&clone) >= 2 * BLOCK_SIZE, "what the clone has lost is the disk's own");
        assert_eq!((disk.hash(), disk.read(8192, 512, |_| None)), (hash, Some(vec![1; 512])));
        let state = clone.save();
        let mut loaded = disk.clone();
        loaded.load(&state);
        assert_eq!((clone.hash(), clone.save()), (loaded.hash(), state));
    }

    #[test]
    fn saved_states_share_and_malformed_ones_are_refused() {
        let mut disk = disk();
        disk.write(0, &[1; 4096]);
        let state = disk.save();
        assert_eq!(Arc::strong_count(disk.blocks[&0].contents.0.as_ref().unwrap()), 2);
        disk.write(0, &[2; 512]);
        assert_eq!(state.blocks[0].1.contents.0.as_ref().unwrap()[0], 1);
        let small = Disk::new(DiskGeometry { size: 0, read_only: false });
        assert!(small.check(DiskId(0), &state).is_err());
        for (first, end) in [(0, 0), (5, 4), (0, 49)] {
            let state = DiskState { blocks: Vec::new(), zeroes: vec![Range { first, end }] };
            assert!(disk.check(DiskId(0), &state).is_err(), "{first}..{end}");
        }
        assert!(Contents::try_from(vec![0; 17]).is_err());
    }
}
