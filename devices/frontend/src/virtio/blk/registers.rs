//! What a driver and a disk say to each other.
//!
//! Document: VIRTIO 1.2, 5.2.3 Feature bits, 5.2.4 Device configuration layout, 5.2.6 Device Operation.

/// Feature bits.
pub(super) mod feature {
    pub(crate) const SEG_MAX: u64 = 1 << 2;
    pub(crate) const GEOMETRY: u64 = 1 << 4;
    pub(crate) const RO: u64 = 1 << 5;
    pub(crate) const BLK_SIZE: u64 = 1 << 6;
    pub(crate) const FLUSH: u64 = 1 << 9;
    pub(crate) const TOPOLOGY: u64 = 1 << 10;
    pub(crate) const CONFIG_WCE: u64 = 1 << 11;
    pub(crate) const MQ: u64 = 1 << 12;
    pub(crate) const DISCARD: u64 = 1 << 13;
    pub(crate) const WRITE_ZEROES: u64 = 1 << 14;
}

/// Offset of `writeback` in the configuration.
pub(super) const WRITEBACK: u64 = 32;

/// The configuration.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Config {
    /// In sectors of 512 bytes.
    pub(super) capacity: u64,
    pub(super) seg_max: u32,
    pub(super) blk_size: u32,
    /// The logarithm of how many logical blocks a physical one has.
    pub(super) physical_block_exp: u8,
    pub(super) writeback: bool,
    pub(super) num_queues: u16,
    /// Whether a driver may discard.
    pub(super) discard: bool,
    /// Whether a driver may write zeros by their number.
    pub(super) write_zeroes: bool,
}

/// Heads and sectors of a disk's geometry, which nothing depends on.
const GEOMETRY: (u64, u64) = (16, 63);
/// The most cylinders.
const CYLINDERS: u64 = 16383;

impl Config {
    /// The bytes, in the order of the document.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let cylinders = (self.capacity / (GEOMETRY.0 * GEOMETRY.1)).min(CYLINDERS) as u16;
        let limits = |offered: bool| if offered { (MOST_SECTORS, MOST_RANGES) } else { (0, 0) };
        let (discard, zeroes) = (limits(self.discard), limits(self.write_zeroes));
        let alignment = if self.discard { self.blk_size / 512 } else { 0 };
        let mut bytes = self.capacity.to_le_bytes().to_vec();
        // No size_max is offered.
        bytes.extend([0; 4]);
        bytes.extend(self.seg_max.to_le_bytes());
        bytes.extend(cylinders.to_le_bytes());
        bytes.extend([GEOMETRY.0 as u8, GEOMETRY.1 as u8]);
        bytes.extend(self.blk_size.to_le_bytes());
        // alignment_offset, min_io_size and opt_io_size: nothing to say.
        bytes.extend([self.physical_block_exp, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend([u8::from(self.writeback), 0]);
        bytes.extend(self.num_queues.to_le_bytes());
        [discard.0, discard.1, alignment, zeroes.0, zeroes.1]
            .iter()
            .for_each(|limit| bytes.extend(limit.to_le_bytes()));
        bytes.extend([u8::from(self.write_zeroes), 0, 0, 0]);
        bytes
    }
}

/// Most sectors in one range to discard or to fill with zeros: max_discard_sectors, max_write_zeroes_sectors.
pub(super) const MOST_SECTORS: u32 = (i32::MAX >> 9) as u32;
/// Most ranges in one request: max_discard_seg, max_write_zeroes_seg.
const MOST_RANGES: u32 = 1;

/// struct virtio_blk_req: type, reserved, sector.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) kind: u32,
    pub(super) sector: u64,
}

impl Header {
    /// Its bytes.
    pub(super) const SIZE: u64 = 16;

    pub(super) fn parse(bytes: &[u8; 16]) -> Self {
        Self { kind: u32_at(bytes, 0), sector: u64::from(u32_at(bytes, 8)) | u64::from(u32_at(bytes, 12)) << 32 }
    }
}

/// Types of requests.
pub(super) mod kind {
    pub(crate) const IN: u32 = 0;
    pub(crate) const OUT: u32 = 1;
    pub(crate) const FLUSH: u32 = 4;
    pub(crate) const GET_ID: u32 = 8;
    pub(crate) const DISCARD: u32 = 11;
    pub(crate) const WRITE_ZEROES: u32 = 13;
}

/// Bytes of the identity that GET_ID asks for.
pub(super) const ID_SIZE: usize = 20;

/// struct virtio_blk_discard_write_zeroes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub(super) sector: u64,
    pub(super) sectors: u32,
    pub(super) flags: u32,
}

impl Range {
    /// Its bytes.
    pub(super) const SIZE: u64 = 16;
    /// The flag: the device may forget the sectors.
    pub(super) const UNMAP: u32 = 1;

    pub(super) fn parse(bytes: &[u8; 16]) -> Self {
        let sector = u64::from(u32_at(bytes, 0)) | u64::from(u32_at(bytes, 4)) << 32;
        Self { sector, sectors: u32_at(bytes, 8), flags: u32_at(bytes, 12) }
    }
}

fn u32_at(bytes: &[u8; 16], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
