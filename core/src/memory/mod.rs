//! Guest memory and the address spaces that lead to it and to devices.

mod map;
mod ram;

pub use map::{AddressMap, MapError};
pub use ram::{DirtyLog, PAGE_SHIFT, PAGE_SIZE, PageWatch, Ram, RamError};

/// The lines of 64 bytes that `bytes` bytes from `offset` on touch, a bit each; all of them in one page. An engine
/// remembers by them which bytes of a page it derived something from.
pub fn lines(offset: u64, bytes: u64) -> u64 {
    let first = (offset & (PAGE_SIZE - 1)) >> 6;
    let last = ((offset & (PAGE_SIZE - 1)) + bytes.max(1) - 1).min(PAGE_SIZE - 1) >> 6;
    (u64::MAX << first) & (u64::MAX >> (63 - last))
}
