//! What is where in a recording. The writer keeps it, and writes it at the end; a reader takes it from there, or makes it
//! again from the frames.

use super::bytes::{Bytes, Malformed, put_bytes, put_difference, put_varint};
use super::frame::{FRAME_MINIMUM, Kind, PIECE_SIZE};
use super::stored::{self, FILES_LIMIT, StoredCluster};
use reprise_core::backend::DiskId;
use reprise_core::clock::Tick;
use std::collections::BTreeMap;

/// Bytes of events frames between two seek points.
const SEEK_EVENTS: u64 = 64 << 10;
/// Bytes of the file between two seek points: as many heads as a reader steps over there take no time.
const SEEK_DISTANCE: u64 = 4 << 20;

/// Bytes of a recording by what they are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Version, build and configuration.
    pub header: u64,
    /// Kernels, initial RAM disks and other files.
    pub files: u64,
    /// Clusters of disk images.
    pub clusters: u64,
    /// Events other than digests.
    pub inputs: u64,
    /// Digests.
    pub digests: u64,
    /// Checkpoints, with their pages.
    pub checkpoints: u64,
    /// What finds the rest, and the end.
    pub index: u64,
    /// The whole file, with whatever is damaged.
    pub total: u64,
}

/// An events frame from which a reader can start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SeekPoint {
    /// Of its first event.
    pub(super) tick: Tick,
    /// Of the frame.
    pub(super) offset: u64,
}

/// What is where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Index {
    /// How many events frames there are.
    pub(super) batches: u64,
    /// Where the last one is.
    pub(super) last_batch: Option<u64>,
    pub(super) seek_points: Vec<SeekPoint>,
    /// Where the file frame of each name is.
    pub(super) files: BTreeMap<String, u64>,
    /// Where the contents of each cluster are; in order once [`sort`](Self::sort)ed. There may be a million.
    pub(super) clusters: Vec<StoredCluster>,
    /// Where the checkpoint of each tick is.
    pub(super) checkpoints: BTreeMap<Tick, u64>,
    pub(super) sizes: Sizes,
    /// Bytes of events frames since the last seek point.
    since_seek_point: u64,
}

mod tag {
    pub(super) const SUMMARY: u8 = 0;
    pub(super) const SEEK_POINT: u8 = 1;
    pub(super) const FILE: u8 = 2;
    pub(super) const CLUSTER: u8 = 3;
    pub(super) const CHECKPOINTS: u8 = 4;
    pub(super) const CHECKPOINT: u8 = 5;
}

impl Index {
    /// Adds the events frame at `offset`, whose `stored` bytes hold events of `length` bytes, `digests` of them digests.
    pub(super) fn add_batch(&mut self, tick: Tick, offset: u64, stored: u64, length: usize, digests: usize) {
        let far = self.seek_points.last().is_none_or(|last| offset.saturating_sub(last.offset) >= SEEK_DISTANCE);
        if far || self.since_seek_point >= SEEK_EVENTS {
            self.seek_points.push(SeekPoint { tick, offset });
            self.since_seek_point = 0;
        }
        self.since_seek_point += stored;
        self.batches += 1;
        self.last_batch = Some(offset);
        let digests = stored.saturating_mul(digests as u64) / length.max(1) as u64;
        self.sizes.digests += digests;
        self.sizes.inputs += stored - digests.min(stored);
    }

    /// Where to start to see all events from `tick` on: a seek point before the first of them, if there is one.
    pub(super) fn seek(&self, tick: Tick) -> Option<SeekPoint> {
        let after = self.seek_points.partition_point(|point| point.tick < tick);
        self.seek_points[..after].last().copied()
    }

    /// Puts all in order.
    pub(super) fn sort(&mut self) {
        self.clusters.sort_unstable_by_key(StoredCluster::key);
    }

    /// Where the contents of a cluster are.
    pub(super) fn cluster(&self, disk: DiskId, cluster: u64) -> Option<u64> {
        let at = self.clusters.binary_search_by_key(&(disk, cluster), StoredCluster::key).ok()?;
        Some(self.clusters[at].contents)
    }

    /// The payloads of the index frames; all is in order.
    pub(super) fn encode(&self) -> Vec<Vec<u8>> {
        let mut entries = Entries::default();
        entries.summary(self);
        self.seek_points.iter().for_each(|point| entries.seek_point(point));
        self.files.iter().for_each(|(name, &offset)| entries.file(name, offset));
        self.clusters.iter().for_each(|cluster| entries.cluster(*cluster));
        if !self.checkpoints.is_empty() {
            entries.checkpoints(self.sizes.checkpoints);
        }
        self.checkpoints.iter().for_each(|(&tick, &offset)| entries.checkpoint(tick, offset));
        entries.full.push(entries.open);
        entries.full
    }

    /// Adds what the `payload` of an index frame in a file of `length` bytes says.
    pub(super) fn decode(&mut self, payload: &[u8], length: u64) -> Result<(), Malformed> {
        let mut from = Bytes::new(payload);
        let mut last = Last::default();
        while from.left() > 0 {
            match from.u8("index entry")? {
                tag::SUMMARY => self.decode_summary(&mut from)?,
                tag::SEEK_POINT => self.decode_seek_point(&mut from, &mut last)?,
                tag::FILE => {
                    let name = stored::name(&mut from)?;
                    let offset = from.varint("offset of a file")?;
                    self.files.insert(name, offset);
                }
                tag::CLUSTER => self.decode_cluster(&mut from, &mut last)?,
                tag::CHECKPOINTS => self.sizes.checkpoints = from.varint("size")?,
                tag::CHECKPOINT => self.decode_checkpoint(&mut from, &mut last)?,
                other => return Err(Malformed::new("an index entry of kind 0 to 5", format!("kind {other}"))),
            }
            self.check_count(length)?;
        }
        Ok(())
    }

    /// Each entry stands for a frame at least: a file has no more of them than it has room for frames.
    fn check_count(&self, length: u64) -> Result<(), Malformed> {
        let count = (self.files.len() + self.clusters.len() + self.seek_points.len() + self.checkpoints.len()) as u64;
        if count > length / FRAME_MINIMUM {
            return Err(Malformed::new(format!("fewer index entries than {length} bytes can need"), count.to_string()));
        }
        if self.files.len() > FILES_LIMIT {
            return Err(Malformed::new(format!("at most {FILES_LIMIT} files"), self.files.len().to_string()));
        }
        Ok(())
    }

    fn decode_summary(&mut self, from: &mut Bytes<'_>) -> Result<(), Malformed> {
        self.batches = from.varint("count of events frames")?;
        let last = from.varint("offset of the last events frame")?;
        self.last_batch = (self.batches > 0).then_some(last);
        for size in [&mut self.sizes.files, &mut self.sizes.clusters, &mut self.sizes.inputs, &mut self.sizes.digests] {
            *size = from.varint("size")?;
        }
        Ok(())
    }

    fn decode_seek_point(&mut self, from: &mut Bytes<'_>, last: &mut Last) -> Result<(), Malformed> {
        let point = last.seek_point(from)?;
        if self.seek_points.last().is_some_and(|before| before.tick > point.tick || before.offset >= point.offset) {
            return Err(Malformed::new("seek points in order", format!("one at tick {} too late", point.tick)));
        }
        self.seek_points.push(point);
        Ok(())
    }

    fn decode_cluster(&mut self, from: &mut Bytes<'_>, last: &mut Last) -> Result<(), Malformed> {
        let cluster = last.cluster(from)?;
        if self.clusters.last().is_some_and(|before| before.key() >= cluster.key()) {
            let found = format!("cluster {} of disk {} too late", cluster.cluster, cluster.disk.0);
            return Err(Malformed::new("clusters in order", found));
        }
        self.clusters.push(cluster);
        Ok(())
    }

    fn decode_checkpoint(&mut self, from: &mut Bytes<'_>, last: &mut Last) -> Result<(), Malformed> {
        let (tick, offset) = last.checkpoint(from)?;
        if self.checkpoints.last_key_value().is_some_and(|(&before, _)| before >= tick) {
            return Err(Malformed::new("checkpoints in order", format!("one at tick {tick} too late")));
        }
        self.checkpoints.insert(tick, offset);
        Ok(())
    }
}

/// What an entry's numbers are differences from; zeros where a frame begins.
#[derive(Default)]
struct Last {
    tick: Tick,
    offset: u64,
    cluster: u64,
    contents: u64,
    checkpoint: (Tick, u64),
}

impl Last {
    fn seek_point(&mut self, from: &mut Bytes<'_>) -> Result<SeekPoint, Malformed> {
        self.tick = from.difference(self.tick, "tick of a seek point")?;
        self.offset = from.difference(self.offset, "offset of a seek point")?;
        Ok(SeekPoint { tick: self.tick, offset: self.offset })
    }

    fn cluster(&mut self, from: &mut Bytes<'_>) -> Result<StoredCluster, Malformed> {
        let disk = DiskId(from.narrow("disk")?);
        self.cluster = from.difference(self.cluster, "cluster")?;
        self.contents = from.difference(self.contents, "offset of a cluster's contents")?;
        Ok(StoredCluster { disk, cluster: self.cluster, contents: self.contents })
    }

    fn checkpoint(&mut self, from: &mut Bytes<'_>) -> Result<(Tick, u64), Malformed> {
        let tick = from.difference(self.checkpoint.0, "tick of a checkpoint")?;
        self.checkpoint = (tick, from.difference(self.checkpoint.1, "offset of a checkpoint")?);
        Ok(self.checkpoint)
    }
}

/// Index frames in the making.
#[derive(Default)]
struct Entries {
    full: Vec<Vec<u8>>,
    open: Vec<u8>,
    last: Last,
}

impl Entries {
    fn begin(&mut self, tag: u8) {
        if self.open.len() >= PIECE_SIZE {
            self.full.push(std::mem::take(&mut self.open));
            self.last = Last::default();
        }
        self.open.push(tag);
        debug_assert!(self.open.len() < Kind::Index.limit());
    }

    fn summary(&mut self, index: &Index) {
        self.begin(tag::SUMMARY);
        put_varint(&mut self.open, index.batches);
        put_varint(&mut self.open, index.last_batch.unwrap_or(0));
        let Sizes { files, clusters, inputs, digests, checkpoints: _, header: _, index: _, total: _ } = index.sizes;
        [files, clusters, inputs, digests].into_iter().for_each(|size| put_varint(&mut self.open, size));
    }

    fn seek_point(&mut self, point: &SeekPoint) {
        self.begin(tag::SEEK_POINT);
        put_difference(&mut self.open, self.last.tick, point.tick);
        put_difference(&mut self.open, self.last.offset, point.offset);
        (self.last.tick, self.last.offset) = (point.tick, point.offset);
    }

    fn file(&mut self, name: &str, offset: u64) {
        self.begin(tag::FILE);
        put_bytes(&mut self.open, name.as_bytes());
        put_varint(&mut self.open, offset);
    }

    fn checkpoints(&mut self, size: u64) {
        self.begin(tag::CHECKPOINTS);
        put_varint(&mut self.open, size);
    }

    fn checkpoint(&mut self, tick: Tick, offset: u64) {
        self.begin(tag::CHECKPOINT);
        put_difference(&mut self.open, self.last.checkpoint.0, tick);
        put_difference(&mut self.open, self.last.checkpoint.1, offset);
        self.last.checkpoint = (tick, offset);
    }

    fn cluster(&mut self, StoredCluster { disk, cluster, contents }: StoredCluster) {
        self.begin(tag::CLUSTER);
        put_varint(&mut self.open, u64::from(disk.0));
        put_difference(&mut self.open, self.last.cluster, cluster);
        put_difference(&mut self.open, self.last.contents, contents);
        (self.last.cluster, self.last.contents) = (cluster, contents);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(clusters: u64) -> Index {
        let mut index = Index::default();
        (0..40).for_each(|at| index.add_batch(at * 1000, at << 20, 500, 800, 60));
        index.files = [("a".to_owned(), 70), (String::new(), 1 << 40)].into();
        let cluster = |at| StoredCluster { disk: DiskId((at % 3) as u16), cluster: at * at, contents: at << 14 };
        index.clusters = (0..clusters).map(cluster).collect();
        index.clusters.push(StoredCluster { disk: DiskId(u16::MAX), cluster: u64::MAX, contents: 9 });
        index.sort();
        index.checkpoints = [(0, 5 << 20), (1 << 40, 1 << 10)].into();
        index.sizes.checkpoints = 1 << 20;
        index
    }

    fn decoded(payloads: &[Vec<u8>], length: u64) -> Result<Index, Malformed> {
        let mut index = Index::default();
        payloads.iter().try_for_each(|payload| index.decode(payload, length)).map(|()| index)
    }

    #[test]
    fn an_index_comes_back_whole() {
        for clusters in [0, 300_000] {
            let index = sample(clusters);
            let payloads = index.encode();
            assert_eq!(payloads.len() > 1, clusters > 0, "{} frames", payloads.len());
            let mut found = decoded(&payloads, 1 << 40).unwrap();
            found.since_seek_point = index.since_seek_point;
            assert!(found == index);
            assert_eq!(found.cluster(DiskId(u16::MAX), u64::MAX), Some(9));
            assert_eq!(found.cluster(DiskId(1), 49), (clusters > 0).then_some(7 << 14));
            assert_eq!(found.cluster(DiskId(0), 49), None);
        }
    }

    #[test]
    fn an_index_has_no_more_entries_than_its_file_has_frames() {
        let payloads = sample(1000).encode();
        assert!(decoded(&payloads, 2000 * FRAME_MINIMUM).is_ok());
        assert!(decoded(&payloads, 900 * FRAME_MINIMUM).is_err());
    }

    #[test]
    fn seeking_starts_before_all_events_of_a_tick() {
        let mut index = Index::default();
        for (tick, offset) in [(10, 100), (20, 5 << 20), (20, 10 << 20), (30, 15 << 20)] {
            index.add_batch(tick, offset, 50, 50, 0);
        }
        let found: Vec<_> = [0, 10, 11, 20, 21, 99].map(|tick| index.seek(tick).map(|point| point.offset >> 20)).into();
        assert_eq!(found, [None, None, Some(0), Some(0), Some(10), Some(15)]);
    }
}
