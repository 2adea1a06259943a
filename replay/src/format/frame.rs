//! Frames: what the file consists of after its first twelve bytes.
//!
//! Kind and encoding, the lengths and the checksum take 6 to 13 bytes; the checksum covers them and the payload as it is
//! stored.

use super::bytes::{Bytes, Malformed, put_varint};
use super::checkpoint::{FRAME_PAGES, STORED_PAGE};
use std::io;
use zstd::bulk::{Compressor, Decompressor};

/// Most bytes of a frame before its payload.
pub(super) const HEAD_LIMIT: usize = 15;
/// Fewest bytes of a frame.
pub(super) const FRAME_MINIMUM: u64 = 6;
/// Bytes of a file in one frame: the reader and the writer need no more memory than a few of these.
pub(super) const PIECE_SIZE: usize = 1 << 20;
/// Of a frame's first byte: the payload is compressed.
const COMPRESSED: u8 = 0x80;
/// Compression that saves less than one byte in so many is not worth the reader's time.
const WORTH: usize = 32;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Build and configuration; the first frame.
    Header = 1,
    /// Inputs, digests and the end of the run.
    Events = 2,
    /// Contents that are stored once, by whatever names.
    Contents = 3,
    /// A file's name, and where its contents are.
    File = 4,
    /// A disk's cluster, and where its contents are.
    Cluster = 5,
    /// Where things are.
    Index = 6,
    /// Where the index is; the last frame.
    End = 7,
    /// Pages of RAM, and blocks of disks, of checkpoints.
    Pages = 8,
    /// The state of the machine at a tick.
    Checkpoint = 9,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Header,
        Self::Events,
        Self::Contents,
        Self::File,
        Self::Cluster,
        Self::Index,
        Self::End,
        Self::Pages,
        Self::Checkpoint,
    ];

    fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Events => "events",
            Self::Contents => "contents",
            Self::File => "file",
            Self::Cluster => "cluster",
            Self::Index => "index",
            Self::End => "end",
            Self::Pages => "pages",
            Self::Checkpoint => "checkpoint",
        }
    }

    /// Most bytes of such a frame's payload.
    pub(super) fn limit(self) -> usize {
        match self {
            Self::Header | Self::Index => 16 << 20,
            Self::File => 64 << 10,
            Self::Events => 64 << 20,
            Self::Contents => PIECE_SIZE,
            Self::Cluster => 32,
            Self::End => 8,
            Self::Pages => FRAME_PAGES * STORED_PAGE,
            Self::Checkpoint => 32 << 20,
        }
    }
}

/// What precedes a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) compressed: bool,
    /// Bytes of the payload in the file.
    pub(super) stored: usize,
    /// Bytes of the payload.
    pub(super) length: usize,
    /// Of everything else.
    pub(super) checksum: u32,
    /// Bytes of this.
    pub(super) size: usize,
}

impl Head {
    /// Bytes of the whole frame.
    pub(super) fn frame_size(&self) -> u64 {
        (self.size + self.stored) as u64
    }

    fn encode(kind: Kind, stored: &[u8], compressed_from: Option<usize>) -> Vec<u8> {
        let mut out = vec![kind as u8 | if compressed_from.is_some() { COMPRESSED } else { 0 }];
        put_varint(&mut out, stored.len() as u64);
        if let Some(length) = compressed_from {
            put_varint(&mut out, length as u64);
        }
        let checksum = checksum(&out, stored);
        out.extend_from_slice(&checksum.to_le_bytes());
        out
    }

    /// The head that `bytes` begin with. All sizes are within their limits.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut from = Bytes::new(bytes);
        let first = from.u8("a frame")?;
        let kind = Kind::from_number(first & !COMPRESSED)
            .ok_or_else(|| Malformed::new("a frame of kind 1 to 9", format!("kind {}", first & !COMPRESSED)))?;
        let compressed = first & COMPRESSED != 0;
        let stored = bounded(&mut from, kind, "stored")?;
        let length = if compressed { bounded(&mut from, kind, "unpacked")? } else { stored };
        if stored > length {
            return Err(Malformed::new(
                "a payload that compression made smaller",
                format!("{stored} bytes for {length}"),
            ));
        }
        let checksum = u32::from_le_bytes(from.array("checksum")?);
        Ok(Self { kind, compressed, stored, length, checksum, size: bytes.len() - from.left() })
    }

    /// Whether `stored` is what was written after this head, which is `bytes`.
    pub(super) fn check(&self, bytes: &[u8], stored: &[u8]) -> Result<(), Malformed> {
        let found = checksum(&bytes[..self.size - 4], stored);
        if found == self.checksum {
            return Ok(());
        }
        let name = self.kind.name();
        Err(Malformed::new(format!("checksum {:08x} of the {name} frame", self.checksum), format!("{found:08x}")))
    }
}

fn bounded(from: &mut Bytes<'_>, kind: Kind, what: &str) -> Result<usize, Malformed> {
    let length: usize = from.narrow("frame length")?;
    if length > kind.limit() {
        let expected = format!("at most {} {what} bytes in the {} frame", kind.limit(), kind.name());
        return Err(Malformed::new(expected, length.to_string()));
    }
    Ok(length)
}

fn checksum(head: &[u8], stored: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(stored);
    hasher.finalize()
}

/// Makes frames.
pub(super) struct Packer {
    zstd: Compressor<'static>,
}

impl Packer {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { zstd: Compressor::new(0)? })
    }

    /// Appends the frame of `payload`, compressed at `level` if that pays; the number of its bytes.
    pub(super) fn pack(&mut self, out: &mut Vec<u8>, kind: Kind, payload: &[u8], level: i32) -> io::Result<u64> {
        self.zstd.set_compression_level(level)?;
        let packed = self.zstd.compress(payload)?;
        let pays = packed.len() + payload.len() / WORTH + 2 < payload.len();
        Ok(put_frame(out, kind, if pays { &packed } else { payload }, pays.then_some(payload.len())))
    }
}

/// Appends the frame of a payload that compression cannot help.
pub(super) fn put_raw(out: &mut Vec<u8>, kind: Kind, payload: &[u8]) -> u64 {
    put_frame(out, kind, payload, None)
}

fn put_frame(out: &mut Vec<u8>, kind: Kind, stored: &[u8], compressed_from: Option<usize>) -> u64 {
    let head = Head::encode(kind, stored, compressed_from);
    out.extend_from_slice(&head);
    out.extend_from_slice(stored);
    (head.len() + stored.len()) as u64
}

/// Gets payloads back.
pub(super) struct Unpacker {
    zstd: Decompressor<'static>,
}

impl Unpacker {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { zstd: Decompressor::new()? })
    }

    /// The payload of a frame that was checked.
    pub(super) fn unpack(&mut self, head: &Head, stored: Vec<u8>) -> Result<Vec<u8>, Malformed> {
        if !head.compressed {
            return Ok(stored);
        }
        let name = head.kind.name();
        let expected = format!("{} bytes in the {name} frame", head.length);
        match self.zstd.decompress(&stored, head.length) {
            Ok(payload) if payload.len() == head.length => Ok(payload),
            Ok(payload) => Err(Malformed::new(expected, payload.len().to_string())),
            Err(error) => Err(Malformed::new(expected, format!("what zstd cannot unpack ({error})"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked(frame: &[u8]) -> Result<(Head, Vec<u8>), Malformed> {
        let head = Head::decode(&frame[..frame.len().min(HEAD_LIMIT)])?;
        let stored = &frame[head.size..];
        head.check(frame, stored)?;
        Unpacker::new().unwrap().unpack(&head, stored.to_vec()).map(|payload| (head, payload))
    }

    fn packed(kind: Kind, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let size = Packer::new().unwrap().pack(&mut out, kind, payload, 3).unwrap();
        assert_eq!(size, out.len() as u64);
        out
    }

    #[test]
    fn payloads_come_back_compressed_or_not() {
        for kind in Kind::ALL {
            for payload in [&b""[..], b"x", &[7; 32], &[9; 3000]] {
                if payload.len() <= kind.limit() {
                    let (head, found) = unpacked(&packed(kind, payload)).unwrap();
                    assert_eq!((head.kind, found.as_slice(), head.compressed), (kind, payload, payload.len() > 20));
                }
            }
        }
        assert_eq!(packed(Kind::Events, b"x").len() as u64, FRAME_MINIMUM + 1);
    }

    #[test]
    fn heads_within_their_limits_fit() {
        let head = Head::encode(Kind::Events, &vec![0; Kind::Events.limit()], Some(Kind::Events.limit()));
        assert!(head.len() <= HEAD_LIMIT);
    }

    #[test]
    fn no_more_is_unpacked_than_the_head_says() {
        let large = zstd::encode_all(&vec![0; 1 << 20][..], 3).unwrap();
        for says in [0, large.len(), 1000, (1 << 20) - 1, 1 << 20] {
            let mut frame = Vec::new();
            put_frame(&mut frame, Kind::Events, &large, Some(says));
            assert_eq!(unpacked(&frame).is_ok(), says == 1 << 20, "{says}");
        }
        let mut frame = Vec::new();
        put_frame(&mut frame, Kind::Contents, &large, Some(PIECE_SIZE + 1));
        assert!(unpacked(&frame).unwrap_err().expected.starts_with("at most 1048576"));
        frame.clear();
        put_frame(&mut frame, Kind::Events, &[1; 50], Some(100));
        assert!(unpacked(&frame).unwrap_err().found.starts_with("what zstd cannot unpack"));
    }
}
