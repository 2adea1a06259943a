//! The values of options, in QEMU's notation.

mod backends;
mod blockdev;
mod chardev;
mod device;
mod drive;
mod gdb;
mod list;
mod log_items;
mod memory_size;
mod named;
mod netdev;
mod object;
mod rtc;
mod smp;
mod ticks;

pub use backends::BackendOptions;
pub use blockdev::add_blockdevs;
pub use chardev::{ChardevBackend, ChardevDetails, ChardevLog, Chardevs, SERIAL_HELP, chardev_help};
pub use device::DeviceOption;
pub use drive::{DefaultDisks, DriveBackend, Keep, add_disk, add_drive, settle_drives};
pub use gdb::{DEFAULT_GDB, GDB_HELP, default_gdb, gdb_address, is_gdb_address};
pub use list::List;
pub use log_items::{LOG_ITEMS, log_items};
pub use memory_size::{MAX_RAM, MIN_RAM, checkpoint_memory, memory_size};
pub use named::Named;
pub use netdev::{
    DumpOption, NetdevBackend, add_netdev, add_nic, check_adapters, netdev_help, network_of, replayed_dump,
};
pub use object::{RngBackend, add_default_rngs, add_object};
pub use rtc::{DEFAULT_RTC_BASE, rtc_base};
pub use smp::cpus;
pub use ticks::ticks;
