//! A device for tests of the transport: gives back what it reads, each byte inverted.

use crate::virtio::pci::virtio_properties;
use crate::virtio::{Chain, VirtioDevice, VirtioIdentity, VirtioIo, attach as attach_pci};
use reprise_core::board::{Board, DeviceId};
use reprise_core::clock::Tick;
use reprise_core::device::DeviceInput;
use reprise_core::property::{AttachError, Category, DeviceSpec, Properties};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A buffer of the first queue that begins with an odd byte comes back later, after this many ticks for each unit of that byte.
pub(super) const DELAY: Tick = 100;
/// Bytes of the device configuration space.
pub(super) const CONFIG_LENGTH: usize = 6;

pub(super) static SPEC: DeviceSpec = DeviceSpec {
    name: "virtio-echo-pci",
    category: Category::Misc,
    bus: crate::pci::BUS,
    description: "gives back what it is given",
    user_creatable: true,
    properties: virtio_properties![],
    attach,
};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EchoState {
    config: [u8; CONFIG_LENGTH],
    waiting: BTreeMap<u32, Chain>,
    next: u32,
}

#[derive(Debug, Default)]
pub(super) struct Echo {
    state: EchoState,
}

fn attach(board: &mut Board, properties: &Properties) -> Result<DeviceId, AttachError> {
    attach_pci(board, &SPEC, properties, Echo::default())
}

fn give_back(chain: &Chain, io: &mut VirtioIo<'_, '_>) {
    let mut data = vec![0; chain.readable_len().min(4096) as usize];
    let length = chain.read(0, &mut data, io.ctx());
    data.truncate(length);
    data.iter_mut().for_each(|byte| *byte = !*byte);
    let written = chain.write(0, &data, io.ctx());
    io.push(chain, written as u32);
}

impl VirtioDevice for Echo {
    type State = EchoState;

    fn identity(&self) -> VirtioIdentity {
        VirtioIdentity { device_type: 42, class: 0x00_ff00, queues: &[16, 8] }
    }

    fn features(&self) -> u64 {
        // Bit 30 is not a device's to offer.
        1 << 3 | 1 << 51 | 1 << 30
    }

    fn config(&self) -> Vec<u8> {
        self.state.config.to_vec()
    }

    /// The last byte fails the device, the one before it announces a change.
    fn write_config(&mut self, offset: u64, value: u8, io: &mut VirtioIo<'_, '_>) {
        self.state.config[offset as usize] = value;
        match offset {
            5 => io.fail(),
            4 => io.config_changed(),
            _ => {}
        }
    }

    fn notified(&mut self, queue: u16, io: &mut VirtioIo<'_, '_>) {
        while let Some(chain) = io.pop(queue) {
            let mut first = [0];
            chain.read(0, &mut first, io.ctx());
            if queue != 0 || first[0].is_multiple_of(2) {
                give_back(&chain, io);
                continue;
            }
            let due = io.ctx().now() + DELAY * Tick::from(first[0]);
            io.ctx().arm(self.state.next, due);
            self.state.waiting.insert(self.state.next, chain);
            self.state.next = (self.state.next + 1) & 0xff;
        }
    }

    fn timer(&mut self, slot: u32, io: &mut VirtioIo<'_, '_>) {
        if let Some(chain) = self.state.waiting.remove(&slot) {
            give_back(&chain, io);
        }
    }

    fn input(&mut self, _input: DeviceInput<'_>, _io: &mut VirtioIo<'_, '_>) {}

    fn input_room(&self, _port: u32) -> usize {
        0
    }

    fn reset(&mut self) {
        self.state = EchoState::default();
    }

    fn state(&self) -> &EchoState {
        &self.state
    }

    fn state_mut(&mut self) -> &mut EchoState {
        &mut self.state
    }
}
