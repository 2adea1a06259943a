//! Sources of random bytes.

use std::io;

/// A source of random bytes.
pub trait Rng {
    /// Fills `bytes`, waiting if it must.
    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()>;
}

/// A file that yields random bytes, such as `/dev/urandom`.
pub struct RngFile {
    file: std::fs::File,
}

impl RngFile {
    /// Opens `path`.
    pub fn open(path: &std::path::Path) -> io::Result<Self> {
        Ok(Self { file: std::fs::File::open(path)? })
    }
}

impl Rng for RngFile {
    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        io::Read::read_exact(&mut self.file, bytes)
    }
}
