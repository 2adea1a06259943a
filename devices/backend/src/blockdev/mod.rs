//! Disk images: the bytes that a disk has before the guest writes to it.

use std::io;

/// A disk image. The machine reads it and never writes to it while it runs; what the guest wrote is written back at the
/// end of a run, if the user wants that.
pub trait Image {
    /// Bytes, a multiple of 512: what is left of an image's last sector reads as zeros.
    fn size(&self) -> u64;

    /// Fills `data` with what is at `offset`; past the end there are zeros.
    fn read(&mut self, offset: u64, data: &mut [u8]) -> io::Result<()>;

    /// Writes `data` at `offset`.
    fn write(&mut self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Waits until all that was written is on the medium.
    fn sync(&mut self) -> io::Result<()>;
}
