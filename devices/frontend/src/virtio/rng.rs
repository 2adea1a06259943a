//! `virtio-rng-pci`: random numbers from the host.
//!
//! Document: VIRTIO 1.2, 5.4 Entropy Device.
//!
//! A request is answered [`LATENCY`] and [`TICKS_PER_BYTE`] after the device takes it up, one at a time, as from a slow
//! source at 1 GB/s. With `max-bytes` the device gives at most so many bytes in each `period`, and none at a tick between;
//! periods begin with the first request. QEMU's device spends its allowance likewise.

use super::{Chain, VirtioDevice, VirtioIdentity, VirtioIo, attach as attach_pci, pci::virtio_properties};
use reprise_core::backend::{BackendKind, RngId};
use reprise_core::board::{Board, DeviceId};
use reprise_core::clock::Tick;
use reprise_core::device::DeviceInput;
use reprise_core::property::{AttachError, Category, DeviceSpec, Properties, PropertyKind, PropertySpec};
use reprise_core::request::Request;
use serde::{Deserialize, Serialize};

/// Ticks until the first byte.
const LATENCY: Tick = 10_000;
/// Ticks for each byte.
const TICKS_PER_BYTE: Tick = 1;
/// Most bytes of one answer; the rest of a larger buffer is left alone, as the driver allows for.
const MOST_BYTES: u64 = 4096;
/// Ticks in a millisecond, the unit of `period`.
const MILLISECOND: Tick = 1_000_000;

/// The queue for requests (5.4.2 Virtqueues).
const REQUESTS: u16 = 0;
/// The timer that begins a period.
const PERIOD: u32 = 0;

/// The declaration of the device.
pub const SPEC: DeviceSpec = DeviceSpec {
    name: "virtio-rng-pci",
    category: Category::Misc,
    bus: crate::pci::BUS,
    description: "virtio source of random numbers",
    user_creatable: true,
    properties: virtio_properties![
        PropertySpec {
            name: "rng",
            kind: PropertyKind::Backend(BackendKind::Rng),
            default: "",
            description: "where random numbers come from; the host's own source if it is not given",
        },
        PropertySpec {
            name: "max-bytes",
            kind: PropertyKind::Number(u64::MAX >> 1),
            default: "0x7fffffffffffffff",
            description: "most bytes in a period",
        },
        PropertySpec {
            name: "period",
            kind: PropertyKind::Number(0xffff_ffff),
            default: "65536",
            description: "length of a period in milliseconds",
        },
    ],
    attach,
};

/// Everything that the guest can observe of the device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RngState {
    /// The buffer that is being filled.
    current: Option<Chain>,
    /// Bytes that are left of this period's.
    allowance: u64,
}

/// The device.
#[derive(Debug)]
pub struct VirtioRng {
    rng: RngId,
    max_bytes: u64,
    period: Tick,
    state: RngState,
}

fn attach(board: &mut Board, properties: &Properties) -> Result<DeviceId, AttachError> {
    let refused = |reason: &str| AttachError::Invalid { device: SPEC.name, reason: reason.into() };
    let rng = properties.backend("rng").ok_or_else(|| refused("rng names no source of random numbers"))?;
    let (max_bytes, period) = (properties.number("max-bytes"), properties.number("period"));
    if max_bytes == 0 || period == 0 {
        return Err(refused("max-bytes and period must be at least 1"));
    }
    attach_pci(board, &SPEC, properties, VirtioRng::new(RngId(rng), max_bytes, period * MILLISECOND))
}

impl VirtioRng {
    fn new(rng: RngId, max_bytes: u64, period: Tick) -> Self {
        Self { rng, max_bytes, period, state: RngState { current: None, allowance: max_bytes } }
    }

    /// Takes up the next buffer if there is none and the period has bytes left.
    fn go_on(&mut self, io: &mut VirtioIo<'_, '_>) {
        while self.state.current.is_none() && self.state.allowance > 0 {
            let Some(chain) = io.pop(REQUESTS) else { return };
            let length = chain.writable_len().min(MOST_BYTES).min(self.state.allowance);
            if length == 0 {
                io.push(&chain, 0);
                continue;
            }
            let due = io.ctx().now().saturating_add(LATENCY + TICKS_PER_BYTE * length);
            io.ctx().request(due, 0, Request::Random { rng: self.rng, length: length as u32 });
            self.state.current = Some(chain);
            self.spend(length, io);
        }
    }

    fn spend(&mut self, length: u64, io: &mut VirtioIo<'_, '_>) {
        self.state.allowance -= length;
        if io.ctx().deadline(PERIOD).is_none() && self.is_limited() {
            let deadline = io.ctx().now().saturating_add(self.period);
            io.ctx().arm(PERIOD, deadline);
        }
    }

    /// Whether any guest could reach the limit: else there is no use in a timer.
    fn is_limited(&self) -> bool {
        self.max_bytes / MOST_BYTES < self.period / LATENCY
    }
}

impl VirtioDevice for VirtioRng {
    type State = RngState;

    fn identity(&self) -> VirtioIdentity {
        VirtioIdentity { device_type: 4, class: 0x00_ff00, queues: &[8] }
    }

    fn features(&self) -> u64 {
        0
    }

    fn config(&self) -> Vec<u8> {
        Vec::new()
    }

    fn write_config(&mut self, _offset: u64, _value: u8, _io: &mut VirtioIo<'_, '_>) {}

    fn notified(&mut self, _queue: u16, io: &mut VirtioIo<'_, '_>) {
        self.go_on(io);
    }

    fn timer(&mut self, _slot: u32, io: &mut VirtioIo<'_, '_>) {
        self.state.allowance = self.max_bytes;
        self.go_on(io);
    }

    /// A source that fails gives no bytes; the driver asks again.
    fn input(&mut self, input: DeviceInput<'_>, io: &mut VirtioIo<'_, '_>) {
        let DeviceInput::Answer { data, .. } = input else { return };
        let Some(chain) = self.state.current.take() else { return };
        let written = data.map_or(0, |data| chain.write(0, data, io.ctx()));
        io.push(&chain, written as u32);
        self.go_on(io);
    }

    fn input_room(&self, _port: u32) -> usize {
        0
    }

    fn reset(&mut self) {
        self.state = RngState { current: None, allowance: self.max_bytes };
    }

    fn state(&self) -> &RngState {
        &self.state
    }

    fn state_mut(&mut self) -> &mut RngState {
        &mut self.state
    }
}
