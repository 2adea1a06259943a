//! The values of options, in QEMU's notation.

mod chardev;
mod device;
mod list;
mod log_items;
mod memory_size;
mod rtc;
mod smp;
mod ticks;

pub use chardev::{Backend, Chardevs, SERIAL_HELP};
pub use device::DeviceOption;
pub use list::List;
pub use log_items::{LOG_ITEMS, log_items};
pub use memory_size::{MAX_RAM, MIN_RAM, memory_size};
pub use rtc::{DEFAULT_RTC_BASE, rtc_base};
pub use smp::cpus;
pub use ticks::ticks;
