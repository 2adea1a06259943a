//! Whether a qcow2 image says of its own tables that they are in use. Who writes to one that does not, writes over them:
//! the library relies on it, so it is looked at before a run that is to write back.
//!
//! Document: QEMU's docs/interop/qcow2.rst, Host cluster management. What is not looked at is whether data clusters are in
//! use: that takes reading everything, as `qemu-img check` does.

use super::header::Qcow2Header;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Where an entry of the refcount table or of an L1 table points to.
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;

/// The refcounts of an image of `length` bytes.
struct Refcounts<'a> {
    file: &'a File,
    length: u64,
    cluster_bits: u32,
    /// The logarithm of the bits in a refcount.
    order: u32,
    table: Vec<u64>,
    /// The block that was read last: its place and contents.
    block: (u64, Vec<u8>),
}

/// Refuses an image of which tables are not in use, or which has clusters that no refcount is for.
pub(super) fn check(file: &File, header: &Qcow2Header<'_>, length: u64) -> Result<(), String> {
    let damaged = |error: io::Error| format!("its qcow2 tables cannot be read: {error}");
    let cluster_bits = header.cluster_bits();
    let table = (header.refcount_table(), header.refcount_table_clusters() << cluster_bits);
    let l1 = (header.l1_table(), header.l1_entries() * 8);
    let entries = table_at(file, table.0, table.1, length).map_err(damaged)?;
    let tables_below = table_at(file, l1.0, l1.1, length).map_err(damaged)?;
    let order = header.refcount_order();
    let mut refcounts = Refcounts { file, length, cluster_bits, order, table: entries, block: (u64::MAX, Vec::new()) };
    refcounts.check_coverage()?;
    refcounts.check_used("header", 0, 1)?;
    refcounts.check_used("refcount table", table.0, table.1)?;
    refcounts.check_used("L1 table", l1.0, l1.1)?;
    for at in 0..refcounts.table.len() {
        refcounts.check_used("refcount block", refcounts.table[at] & OFFSET, 1)?;
    }
    tables_below.iter().try_for_each(|entry| refcounts.check_used("L2 table", entry & OFFSET, 1))
}

/// A table of big-endian numbers.
fn table_at(file: &File, offset: u64, bytes: u64, length: u64) -> io::Result<Vec<u64>> {
    if offset.checked_add(bytes).is_none_or(|end| end > length) {
        return Err(io::Error::other(format!(
            "one ends at {:#x}, and the file at {length:#x}",
            offset.saturating_add(bytes)
        )));
    }
    let mut data = vec![0; bytes as usize];
    file.read_exact_at(&mut data, offset)?;
    Ok(data.chunks_exact(8).map(|entry| u64::from_be_bytes(entry.try_into().expect("eight bytes"))).collect())
}

impl Refcounts<'_> {
    /// Clusters that a block counts.
    fn clusters_of_block(&self) -> u64 {
        1 << (self.cluster_bits + 3 - self.order)
    }

    /// Every cluster of the file has a count.
    fn check_coverage(&self) -> Result<(), String> {
        let clusters = self.length.div_ceil(1 << self.cluster_bits);
        let blocks = clusters.div_ceil(self.clusters_of_block());
        match (0..blocks).find(|&block| self.block_of(block).is_none()) {
            Some(block) => Err(format!("its qcow2 refcount block {block} of {blocks} is missing: {REPAIR}")),
            None => Ok(()),
        }
    }

    /// Where a block of counts lies.
    fn block_of(&self, block: u64) -> Option<u64> {
        self.table.get(usize::try_from(block).ok()?).map(|entry| entry & OFFSET).filter(|&offset| offset != 0)
    }

    /// The clusters from `offset` on, which a table is in, are in use; 0 is no table but the header's place.
    fn check_used(&mut self, what: &str, offset: u64, bytes: u64) -> Result<(), String> {
        if offset == 0 && what != "header" {
            return Ok(());
        }
        let (first, last) = (offset >> self.cluster_bits, (offset + bytes.max(1) - 1) >> self.cluster_bits);
        let aligned = offset.is_multiple_of(1 << self.cluster_bits);
        match aligned && (first..=last).all(|cluster| self.is_used(cluster)) {
            true => Ok(()),
            false => Err(format!("its qcow2 {what} at {offset:#x} is not counted as in use: {REPAIR}")),
        }
    }

    fn is_used(&mut self, cluster: u64) -> bool {
        let per_block = self.clusters_of_block();
        let Some(block) = self.block_of(cluster / per_block) else { return false };
        if self.block.0 != block && !self.read_block(block) {
            return false;
        }
        let bit = (cluster % per_block) << self.order;
        let (from, width) = ((bit / 8) as usize, 1usize << self.order);
        match width {
            1 | 2 | 4 => self.block.1[from] >> (bit % 8) & ((1 << width) - 1) != 0,
            _ => self.block.1[from..from + width / 8].iter().any(|&byte| byte != 0),
        }
    }

    fn read_block(&mut self, block: u64) -> bool {
        let mut data = vec![0; 1 << self.cluster_bits];
        let read = self.file.read_exact_at(&mut data, block).is_ok();
        self.block = if read { (block, data) } else { (u64::MAX, Vec::new()) };
        read
    }
}

/// What helps.
const REPAIR: &str = "repair it with 'qemu-img check -r all'";
