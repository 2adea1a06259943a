//! What an image's first bytes say: its format, and whether a qcow2 image can be read here.
//!
//! Document: QEMU's docs/interop/qcow2.rst, Header. The library that reads the images takes most of this for granted.

use super::Format;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes that tell a format from others.
const PROBED: usize = 512;
/// What begins a qcow2 image.
const MAGIC: [u8; 4] = *b"QFI\xfb";
/// Most bytes of an L1 table, as in QEMU.
const L1_LIMIT: u64 = 32 << 20;
/// Most bytes of a refcount table, as in QEMU.
const REFCOUNT_TABLE_LIMIT: u64 = 8 << 20;

/// Other formats that QEMU recognises: name, place and bytes.
const FOREIGN: [(&str, usize, &[u8]); 11] = [
    ("vmdk", 0, b"KDMV"),
    ("vmdk", 0, b"COWD"),
    ("vmdk", 0, b"# Disk DescriptorFile"),
    ("vhdx", 0, b"vhdxfile"),
    ("vpc", 0, b"conectix"),
    ("qed", 0, b"QED\0"),
    ("vdi", 0x40, b"\x7f\x10\xda\xbe"),
    ("luks", 0, b"LUKS\xba\xbe"),
    ("parallels", 0, b"WithoutFreeSpace"),
    ("parallels", 0, b"WithouFreSpacExt"),
    ("qcow", 0, b"QFI\xfb\0\0\0\x01"),
];

/// The first bytes of `file`; zeros past its end.
pub(super) fn first_bytes(file: &File) -> io::Result<[u8; PROBED]> {
    let mut bytes = [0; PROBED];
    let mut length = 0;
    while length < PROBED {
        match file.read_at(&mut bytes[length..], length as u64) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

/// The format that `first`, an image's first bytes, begins.
pub(super) fn probe(first: &[u8]) -> Result<Format, String> {
    let foreign = FOREIGN.iter().find(|(_, at, bytes)| first.get(*at..).is_some_and(|rest| rest.starts_with(bytes)));
    match foreign {
        Some((name, ..)) => Err(format!(
            "format {name} is not supported: convert it with 'qemu-img convert -O qcow2', or add format=raw if it is none"
        )),
        None if first.starts_with(&MAGIC) => Ok(Format::Qcow2),
        None => Ok(Format::Raw),
    }
}

/// Refuses a qcow2 image of `length` bytes that cannot be read here, or makes no sense.
pub(super) fn check_qcow2(first: &[u8; PROBED], length: u64) -> Result<(), String> {
    let header = Qcow2Header::new(first);
    header.check_identity()?;
    if header.version() == 3 {
        header.check_features()?;
    }
    header.check_tables(length)
}

/// A qcow2 header, big-endian.
pub(super) struct Qcow2Header<'a> {
    bytes: &'a [u8; PROBED],
}

impl<'a> Qcow2Header<'a> {
    pub(super) fn new(bytes: &'a [u8; PROBED]) -> Self {
        Self { bytes }
    }

    pub(super) fn cluster_bits(&self) -> u32 {
        self.u32(20) as u32
    }

    pub(super) fn l1_entries(&self) -> u64 {
        self.u32(36)
    }

    pub(super) fn l1_table(&self) -> u64 {
        self.u64(40)
    }

    pub(super) fn refcount_table(&self) -> u64 {
        self.u64(48)
    }

    pub(super) fn refcount_table_clusters(&self) -> u64 {
        self.u32(56)
    }

    /// The logarithm of the bits in a refcount.
    pub(super) fn refcount_order(&self) -> u32 {
        if self.version() == 2 { 4 } else { self.u32(96) as u32 }
    }

    fn u32(&self, at: usize) -> u64 {
        u64::from(u32::from_be_bytes(self.bytes[at..at + 4].try_into().expect("four bytes")))
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_be_bytes(self.bytes[at..at + 8].try_into().expect("eight bytes"))
    }

    fn version(&self) -> u64 {
        self.u32(4)
    }

    fn check_identity(&self) -> Result<(), String> {
        if !self.bytes.starts_with(&MAGIC) {
            let found = &self.bytes[..4];
            return Err(format!("is no qcow2 image: it begins with {found:02x?}, expected {MAGIC:02x?}"));
        }
        let (version, cluster_bits, crypt_method) = (self.version(), self.u32(20), self.u32(32));
        if !matches!(version, 2 | 3) {
            return Err(format!("qcow2 version is {version}, expected 2 or 3"));
        }
        if !(9..=21).contains(&cluster_bits) {
            return Err(format!("qcow2 cluster_bits is {cluster_bits}, expected 9 to 21"));
        }
        if crypt_method != 0 {
            return Err("is encrypted, which is not supported".into());
        }
        Ok(())
    }

    fn check_features(&self) -> Result<(), String> {
        let reason = match self.u64(72).trailing_zeros() {
            64 => return Ok(()),
            0 => "was not closed cleanly: repair it with 'qemu-img check -r all'".into(),
            1 => "is marked as corrupt: repair it with 'qemu-img check -r all'".into(),
            2 => "keeps its data in another file, which is not supported".into(),
            3 => "is compressed with zstd, which is not supported: convert it with 'qemu-img convert -O qcow2'".into(),
            4 => "has subclusters, which are not supported: convert it with 'qemu-img convert -O qcow2'".into(),
            bit => format!("needs the unknown incompatible feature {bit}"),
        };
        Err(reason)
    }

    fn check_tables(&self, length: u64) -> Result<(), String> {
        let (size, cluster) = (self.u64(24), 1 << self.cluster_bits());
        let (l1_entries, l1_offset) = (self.l1_entries(), self.l1_table());
        let refcount_table = self.refcount_table_clusters() * cluster;
        if self.refcount_order() > 6 {
            return Err(format!("qcow2 refcount_order is {}, expected 0 to 6", self.refcount_order()));
        }
        let needed = size.div_ceil(cluster * (cluster / 8));
        if l1_entries * 8 > L1_LIMIT {
            return Err(format!("qcow2 L1 table has {l1_entries} entries, expected at most {}", L1_LIMIT / 8));
        }
        if l1_entries < needed {
            return Err(format!("qcow2 L1 table has {l1_entries} entries, and a disk of {size} bytes needs {needed}"));
        }
        if refcount_table > REFCOUNT_TABLE_LIMIT {
            return Err(format!(
                "qcow2 refcount table has {refcount_table} bytes, expected at most {REFCOUNT_TABLE_LIMIT}"
            ));
        }
        let end = l1_offset.saturating_add(l1_entries * 8);
        if end > length {
            return Err(format!("is cut short: it has {length} bytes, and its qcow2 L1 table ends at {end}"));
        }
        Ok(())
    }
}
