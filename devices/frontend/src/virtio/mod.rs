//! Virtio devices: disks, networks, consoles and random numbers as drivers for virtual machines expect them.
//!
//! Document: Virtual I/O Device (VIRTIO) Version 1.2. Only devices and drivers of version 1 are modelled: there is no
//! transitional or legacy interface.
//!
//! A device is a [`VirtioDevice`] behind a transport, which owns its queues: rings, feature negotiation, status and
//! interrupts are the transport's, requests are the device's.

pub mod blk;
pub mod chain;
mod io;
pub mod net;
pub mod pci;
mod queue;
pub mod rng;
pub mod serial;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use chain::{Chain, Segment};
pub use io::{FIRST_TRANSPORT_TIMER, VirtioIo};
pub use pci::{VirtioPci, attach};

use reprise_core::device::DeviceInput;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// VIRTIO_MSI_NO_VECTOR: no interrupt is wanted.
const NO_VECTOR: u16 = 0xffff;

/// What is fixed about a device.
#[derive(Clone, Copy, Debug)]
pub struct VirtioIdentity {
    /// Device type (5 Device Types).
    pub device_type: u16,
    /// PCI class code: base class, sub-class, programming interface.
    pub class: u32,
    /// Most descriptors of each queue: powers of two up to 1024.
    pub queues: &'static [u16],
}

/// What a device does with the requests in its queues.
///
/// Guests are hostile: everything in a chain, from lengths to the order of readable and writable parts, is theirs.
pub trait VirtioDevice: 'static {
    /// Everything that a guest can observe of the device beside the transport's state.
    type State: Clone + Serialize + DeserializeOwned;

    /// What is fixed about it.
    fn identity(&self) -> VirtioIdentity;

    /// Feature bits that it offers (5.x.3 Feature bits), 0 to 23 and 50 up; the others are the transport's.
    fn features(&self) -> u64;

    /// The device configuration space (5.x.4 Device configuration layout).
    fn config(&self) -> Vec<u8>;

    /// The driver wrote a byte of the device configuration space.
    fn write_config(&mut self, offset: u64, value: u8, io: &mut VirtioIo<'_, '_>);

    /// The driver made buffers of `queue` available, or the driver is now ready.
    fn notified(&mut self, queue: u16, io: &mut VirtioIo<'_, '_>);

    /// The timer `slot`, below [`FIRST_TRANSPORT_TIMER`], that the device armed is due.
    fn timer(&mut self, slot: u32, io: &mut VirtioIo<'_, '_>);

    /// An input arrived, or the answer to a request.
    fn input(&mut self, input: DeviceInput<'_>, io: &mut VirtioIo<'_, '_>);

    /// As [`Device::input_room`](reprise_core::device::Device::input_room).
    fn input_room(&self, port: u32) -> usize;

    /// The driver, or the machine, reset the device: timers and requests are gone already.
    fn reset(&mut self);

    /// The state.
    fn state(&self) -> &Self::State;

    /// The state, to put another in its place.
    fn state_mut(&mut self) -> &mut Self::State;
}
