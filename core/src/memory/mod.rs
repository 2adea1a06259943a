//! Guest memory and the address spaces that lead to it and to devices.

mod map;
mod ram;

pub use map::{AddressMap, MapError};
pub use ram::{DirtyLog, PAGE_SHIFT, PAGE_SIZE, PageWatch, Ram, RamError};
