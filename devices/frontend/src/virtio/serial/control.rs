//! Messages of the control queues.
//!
//! Document: VIRTIO 1.2, 5.3.6.2 Multiport Device Operation.

use crate::virtio::{Chain, VirtioIo};
use serde::{Deserialize, Serialize};

/// Bytes of `struct virtio_console_control`.
const SIZE: usize = 8;

/// What a message is about.
pub(super) mod event {
    pub(crate) const DEVICE_READY: u16 = 0;
    pub(crate) const DEVICE_ADD: u16 = 1;
    pub(crate) const PORT_READY: u16 = 3;
    pub(crate) const CONSOLE_PORT: u16 = 4;
    pub(crate) const PORT_OPEN: u16 = 6;
    pub(crate) const PORT_NAME: u16 = 7;
}

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Message {
    /// The port.
    pub(super) id: u32,
    /// One of [`event`].
    pub(super) event: u16,
    /// What the event says of it.
    pub(super) value: u16,
}

impl Message {
    pub(super) fn new(port: usize, event: u16, value: bool) -> Self {
        Self { id: port as u32, event, value: value.into() }
    }

    /// The message that the driver put into `chain`, if it is a whole one.
    pub(super) fn read(chain: &Chain, io: &mut VirtioIo<'_, '_>) -> Option<Self> {
        let mut bytes = [0; SIZE];
        let is_whole = chain.read(0, &mut bytes, io.ctx()) == SIZE;
        let [a, b, c, d, e, f, g, h] = bytes;
        is_whole.then_some(Self {
            id: u32::from_le_bytes([a, b, c, d]),
            event: u16::from_le_bytes([e, f]),
            value: u16::from_le_bytes([g, h]),
        })
    }

    /// Writes it, with a name behind it, into `chain`; how many bytes fit.
    pub(super) fn write(&self, name: &str, chain: &Chain, io: &mut VirtioIo<'_, '_>) -> u32 {
        let mut bytes = self.id.to_le_bytes().to_vec();
        bytes.extend(self.event.to_le_bytes());
        bytes.extend(self.value.to_le_bytes());
        bytes.extend(name.as_bytes());
        chain.write(0, &bytes, io.ctx()) as u32
    }
}
