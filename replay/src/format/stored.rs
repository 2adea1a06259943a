//! What is stored of host files and images: contents once, and names that refer to them.

use super::bytes::{Bytes, Malformed, put_bytes, put_varint};
use super::frame::PIECE_SIZE;
use reprise_core::backend::DiskId;

/// Most bytes of a file's name.
pub(super) const NAME_LIMIT: u64 = 4096;
/// Most files.
pub(super) const FILES_LIMIT: usize = 4096;
/// Most bytes of a file; what is booted is far smaller.
pub(super) const FILE_LIMIT: u64 = 1 << 30;

/// A file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoredFile {
    pub(super) name: String,
    pub(super) size: u64,
    /// XXH3-128 of its contents.
    pub(super) hash: u128,
    /// Offsets of the frames of its contents, in order.
    pub(super) pieces: Vec<u64>,
}

impl StoredFile {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_bytes(&mut out, self.name.as_bytes());
        put_varint(&mut out, self.size);
        out.extend_from_slice(&self.hash.to_le_bytes());
        self.pieces.iter().for_each(|&piece| put_varint(&mut out, piece));
        out
    }

    pub(super) fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let mut from = Bytes::new(payload);
        let name = name(&mut from)?;
        let size = from.varint("file size")?;
        if size > FILE_LIMIT {
            return Err(Malformed::new(format!("a file of at most {FILE_LIMIT} bytes"), size.to_string()));
        }
        let hash = from.u128("file hash")?;
        let count = size.div_ceil(PIECE_SIZE as u64);
        let pieces = (0..count).map(|_| from.varint("piece of a file")).collect::<Result<_, _>>()?;
        from.finish("a file's pieces")?;
        Ok(Self { name, size, hash, pieces })
    }
}

/// The name of a file.
pub(super) fn name(from: &mut Bytes<'_>) -> Result<String, Malformed> {
    match from.text("file name")? {
        name if name.len() as u64 <= NAME_LIMIT => Ok(name),
        name => Err(Malformed::new(format!("a file name of at most {NAME_LIMIT} bytes"), name.len().to_string())),
    }
}

/// A cluster of a disk's image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StoredCluster {
    pub(super) disk: DiskId,
    pub(super) cluster: u64,
    /// Offset of the frame of its contents.
    pub(super) contents: u64,
}

impl StoredCluster {
    /// What orders clusters, and what one is found by.
    pub(super) fn key(&self) -> (DiskId, u64) {
        (self.disk, self.cluster)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, u64::from(self.disk.0));
        put_varint(&mut out, self.cluster);
        put_varint(&mut out, self.contents);
        out
    }

    pub(super) fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let mut from = Bytes::new(payload);
        let disk = DiskId(from.narrow("disk")?);
        let (cluster, contents) = (from.varint("cluster")?, from.varint("offset of a cluster's contents")?);
        from.finish("a cluster")?;
        Ok(Self { disk, cluster, contents })
    }
}
