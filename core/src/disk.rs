//! A disk: an image on the host, which never changes, and over it what the guest wrote.
//!
//! The overlay is state: it is in every checkpoint and fingerprint. It knows each 512-byte sector, so a write never has to
//! read the image first. The image is not state: its clusters come in by the door, and the same cluster is always the
//! same bytes.

use crate::backend::DiskId;
use crate::state::StateError;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// Bytes in a sector.
pub const SECTOR_SIZE: u64 = 512;
/// Bytes in a cluster: what is read from the image, and recorded, at once. The last one of a disk may be shorter.
pub const CLUSTER_SIZE: u64 = 64 << 10;
/// Bytes in a block of the overlay.
const BLOCK_SIZE: u64 = 4096;
/// Sectors in a block.
const SECTORS: u64 = BLOCK_SIZE / SECTOR_SIZE;

/// What is fixed about a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskGeometry {
    /// Bytes, a multiple of [`SECTOR_SIZE`].
    pub size: u64,
    /// Whether the guest may only read.
    pub read_only: bool,
}

/// A part of the overlay.
#[derive(Clone, Debug)]
struct Block {
    /// Bit n: sector n was written.
    written: u8,
    /// Zeros where nothing was written; `None` if it is all zeros.
    data: Option<Arc<[u8; BLOCK_SIZE as usize]>>,
}

/// A disk.
#[derive(Debug)]
pub struct Disk {
    geometry: DiskGeometry,
    blocks: BTreeMap<u64, Block>,
    /// Blocks written since the last hash.
    unhashed: BTreeSet<u64>,
    hashes: BTreeMap<u64, u128>,
    sum: u128,
}

/// Everything that a guest wrote to a disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskState {
    /// Number, written sectors and contents of each block, in order; no contents are zeros.
    blocks: Vec<(u64, u8, Vec<u8>)>,
}

impl Disk {
    /// A disk to which nothing was written.
    pub fn new(geometry: DiskGeometry) -> Self {
        assert!(geometry.size.is_multiple_of(SECTOR_SIZE), "a disk of {} bytes has half a sector", geometry.size);
        Self { geometry, blocks: BTreeMap::new(), unhashed: BTreeSet::new(), hashes: BTreeMap::new(), sum: 0 }
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

    /// Writes whole sectors; what [`contains`](Self::contains) denies, and any write to a read-only disk, is ignored, and
    /// false.
    pub fn write(&mut self, offset: u64, data: &[u8]) -> bool {
        if self.geometry.read_only || !self.contains(offset, data.len() as u64) {
            return false;
        }
        let mut data = data;
        let mut at = offset;
        while !data.is_empty() {
            let start = at % BLOCK_SIZE;
            let (part, rest) = data.split_at(data.len().min((BLOCK_SIZE - start) as usize));
            self.write_block(at / BLOCK_SIZE, start, part);
            at += part.len() as u64;
            data = rest;
        }
        true
    }

    fn write_block(&mut self, number: u64, start: u64, part: &[u8]) {
        let block = self.blocks.entry(number).or_insert(Block { written: 0, data: None });
        block.written |= sectors(start, part.len() as u64);
        if block.data.is_some() || part.iter().any(|&byte| byte != 0) {
            let data = block.data.get_or_insert_with(|| Arc::new([0; BLOCK_SIZE as usize]));
            Arc::make_mut(data)[start as usize..start as usize + part.len()].copy_from_slice(part);
        }
        self.unhashed.insert(number);
    }

    /// The clusters of the image that reading `length` bytes from `offset` on needs: those with a sector that the guest
    /// never wrote.
    pub fn missing(&self, offset: u64, length: u64) -> Vec<u64> {
        let mut clusters = Vec::new();
        for (number, start, part) in block_parts(offset, length) {
            let wanted = sectors(start, part);
            let written = self.blocks.get(&number).map_or(0, |block| block.written);
            let cluster = number * BLOCK_SIZE / CLUSTER_SIZE;
            if wanted & !written != 0 && clusters.last() != Some(&cluster) {
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
            let block = self.blocks.get(&number);
            for sector in start / SECTOR_SIZE..(start + part) / SECTOR_SIZE {
                let at = (sector * SECTOR_SIZE) as usize;
                let sector_bytes = at..at + SECTOR_SIZE as usize;
                match block.filter(|block| block.written & 1 << sector != 0) {
                    Some(Block { data: Some(bytes), .. }) => data.extend_from_slice(&bytes[sector_bytes]),
                    Some(Block { data: None, .. }) => data.resize(data.len() + SECTOR_SIZE as usize, 0),
                    None => {
                        let position = number * BLOCK_SIZE + at as u64;
                        let cluster = image(position / CLUSTER_SIZE)?;
                        let from = (position % CLUSTER_SIZE) as usize;
                        data.extend_from_slice(cluster.get(from..from + SECTOR_SIZE as usize)?);
                    }
                }
            }
        }
        Some(data)
    }

    /// Everything that the guest wrote, as runs of whole sectors in order.
    pub fn written(&self) -> impl Iterator<Item = (u64, Vec<u8>)> {
        self.blocks.iter().flat_map(|(&number, block)| {
            (0..SECTORS).filter(|sector| block.written & 1 << sector != 0).map(move |sector| {
                let from = (sector * SECTOR_SIZE) as usize;
                let bytes = block
                    .data
                    .as_ref()
                    .map_or(vec![0; SECTOR_SIZE as usize], |data| data[from..from + SECTOR_SIZE as usize].to_vec());
                (number * BLOCK_SIZE + from as u64, bytes)
            })
        })
    }

    /// A hash of everything that the guest wrote; costs time by what was written since the last one.
    pub fn hash(&mut self) -> u128 {
        for number in std::mem::take(&mut self.unhashed) {
            let new = self.blocks.get(&number).map_or(0, |block| hash_of(number, block));
            let old = if new == 0 { self.hashes.remove(&number) } else { self.hashes.insert(number, new) };
            self.sum = self.sum.wrapping_sub(old.unwrap_or(0)).wrapping_add(new);
        }
        self.sum
    }

    /// Everything that the guest wrote.
    pub fn save(&self) -> DiskState {
        let save = |(&number, block): (&u64, &Block)| {
            (number, block.written, block.data.as_ref().map_or(Vec::new(), |data| data.to_vec()))
        };
        DiskState { blocks: self.blocks.iter().map(save).collect() }
    }

    /// Whether `state` can be of the disk `id`.
    pub fn check(&self, id: DiskId, state: &DiskState) -> Result<(), StateError> {
        let blocks = self.geometry.size.div_ceil(BLOCK_SIZE);
        let bad =
            |(number, _, data): &&(u64, u8, Vec<u8>)| *number >= blocks || !matches!(data.len() as u64, 0 | BLOCK_SIZE);
        match state.blocks.iter().find(bad) {
            Some((number, ..)) => Err(StateError::Malformed {
                part: format!("disk {}", id.0),
                reason: format!("block {number} of {blocks} cannot be"),
            }),
            None => Ok(()),
        }
    }

    /// Takes saved state that [`check`](Self::check) accepted over.
    pub fn load(&mut self, state: &DiskState) {
        *self = Self::new(self.geometry);
        for (number, written, data) in &state.blocks {
            let data = <[u8; BLOCK_SIZE as usize]>::try_from(data.as_slice()).ok().map(Arc::new);
            self.blocks.insert(*number, Block { written: *written, data });
            self.unhashed.insert(*number);
        }
    }
}

/// The hash of a block, never 0.
fn hash_of(number: u64, block: &Block) -> u128 {
    let data = block.data.as_ref().map_or(&[0; BLOCK_SIZE as usize], |data| data.as_ref());
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

    fn disk() -> Disk {
        Disk::new(DiskGeometry { size: 3 * CLUSTER_SIZE, read_only: false })
    }

    #[test]
    fn written_sectors_hide_the_image() {
        let mut disk = disk();
        assert!(disk.write(CLUSTER_SIZE - 512, &[7; 1024]));
        assert_eq!(disk.missing(CLUSTER_SIZE - 512, 1024), Vec::<u64>::new());
        assert_eq!(disk.missing(CLUSTER_SIZE - 1024, 2048), [0, 1]);
        let image = [1; CLUSTER_SIZE as usize];
        let data = disk.read(CLUSTER_SIZE - 1024, 2048, |_| Some(&image[..])).unwrap();
        assert_eq!(data, [[1; 512], [7; 512], [7; 512], [1; 512]].concat());
        assert_eq!(disk.read(0, 512, |_| None), None);
    }

    #[test]
    fn what_is_outside_is_refused() {
        let mut disk = disk();
        let bad = [(3 * CLUSTER_SIZE, 512), (1, 512), (0, 511), (u64::MAX - 511, 512), (0, 4 * CLUSTER_SIZE as usize)];
        bad.iter().for_each(|&(offset, length)| assert!(!disk.write(offset, &vec![1; length]), "{offset}"));
        let mut disk = Disk::new(DiskGeometry { size: CLUSTER_SIZE, read_only: true });
        assert!(!disk.write(0, &[1; 512]));
        assert_eq!(disk.written().count(), 0);
    }

    #[test]
    fn saved_state_comes_back_with_the_same_hash() {
        let mut one = disk();
        one.write(512, &[0; 4096]);
        one.write(CLUSTER_SIZE, &[9; 512]);
        let mut other = disk();
        other.write(0, &[3; 512]);
        let state = one.save();
        other.check(DiskId(0), &state).unwrap();
        other.load(&state);
        assert_eq!((other.hash(), other.save()), (one.hash(), state));
        assert_ne!(one.hash(), disk().hash(), "zeros that were written differ from nothing");
        assert_eq!(one.written().map(|(at, _)| at).collect::<Vec<_>>()[..2], [512, 1024]);
    }
}
