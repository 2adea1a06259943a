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
        if !self.is_limited() {
            return;
        }
        self.state.allowance -= length;
        if io.ctx().deadline(PERIOD).is_none() {
            let deadline = io.ctx().now().saturating_add(self.period);
            io.ctx().arm(PERIOD, deadline);
        }
    }

    /// Whether any guest could reach the limit within a period: else nothing is counted, and there is no use in a timer.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::virtio::testing::{BUFFERS, Bench, Wishes, nobody, status};
    use reprise_core::door::HostInput;
    use reprise_core::request::Question;

    fn bench(given: &[(&str, &str)]) -> Bench {
        let given: Vec<_> = [("rng", "7")].into_iter().chain(given.iter().copied()).collect();
        let mut bench = Bench::new(&SPEC, &given, |_| {});
        bench.start(Wishes { features: u64::MAX, msix: true });
        bench
    }

    /// Answers with bytes that count from 1.
    fn answer(question: &Question) -> HostInput {
        match *question {
            Question::Random { rng, length } => {
                HostInput::Random { rng, bytes: (1..=length).map(|n| n as u8).collect() }
            }
            Question::Cluster { .. } => panic!("nobody asks for a cluster"),
        }
    }

    #[test]
    fn bytes_come_when_the_model_says_so() {
        let mut bench = bench(&[]);
        let token = bench.send(0, &[(BUFFERS, 5, true), (BUFFERS + 100, 3, true)]);
        assert_eq!(bench.board.next_event(), Some(LATENCY + 8));
        bench.run_to(LATENCY + 7, &mut nobody);
        assert_eq!(bench.receive(0), None);
        bench.run_to(LATENCY + 8, &mut answer);
        assert!(bench.take_message(1));
        assert_eq!(bench.receive(0), Some((token, 8)));
        assert_eq!(
            (bench.memory(BUFFERS, 6), bench.memory(BUFFERS + 100, 4)),
            (vec![1, 2, 3, 4, 5, 0], vec![6, 7, 8, 0])
        );
    }

    #[test]
    fn buffers_are_filled_one_after_the_other() {
        let mut bench = bench(&[("packed", "on")]);
        let tokens = [0, 1].map(|at| bench.send(0, &[(BUFFERS + at, 1, true)]));
        let useless = bench.send(0, &[(BUFFERS, 4, false)]);
        bench.run_to(LATENCY + 1, &mut answer);
        assert_eq!((bench.receive(0), bench.receive(0)), (Some((tokens[0], 1)), None));
        bench.run_to(2 * (LATENCY + 1), &mut answer);
        assert_eq!((bench.receive(0), bench.receive(0)), (Some((tokens[1], 1)), Some((useless, 0))));
    }

    #[test]
    fn a_period_has_so_many_bytes() {
        let mut bench = bench(&[("max-bytes", "10"), ("period", "1")]);
        for at in 0..3 {
            bench.send(0, &[(BUFFERS + 16 * at, 8, true)]);
        }
        bench.run_to(MILLISECOND - 1, &mut answer);
        let written: Vec<_> = std::iter::from_fn(|| bench.receive(0)).map(|(_, written)| written).collect();
        assert_eq!(written, [8, 2]);
        bench.run_to(MILLISECOND + 2 * LATENCY, &mut answer);
        assert_eq!(bench.receive(0).map(|(_, written)| written), Some(8));
    }

    /// However fast the driver asks, a period is over before it has so many bytes.
    #[test]
    fn a_limit_that_cannot_be_reached_is_none() {
        let mut bench = bench(&[("max-bytes", "409600"), ("period", "1")]);
        for number in 0..120 {
            bench.send(0, &[(BUFFERS, 4096, true)]);
            let later = bench.board.now + LATENCY + 4096;
            bench.run_to(later, &mut answer);
            assert_eq!(bench.receive(0).map(|(_, written)| written), Some(4096), "buffer {number}");
        }
    }

    #[test]
    fn a_reset_forgets_the_request() {
        let mut bench = bench(&[]);
        bench.send(0, &[(BUFFERS, 5, true)]);
        bench.start(Wishes { features: 0, msix: false });
        bench.run_to(1_000_000, &mut nobody);
        assert_eq!((bench.receive(0), bench.status() & status::NEEDS_RESET), (None, 0));
    }

    #[test]
    fn a_device_without_a_source_or_with_empty_periods_is_refused() {
        let mut board = Board::new(1 << 20, 1).unwrap();
        let mut refusal = |given: &[(&str, &str)]| {
            let given: Vec<_> = given.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
            attach(&mut board, &Properties::new(&SPEC, &given).unwrap()).unwrap_err().to_string()
        };
        assert!(refusal(&[]).contains("rng names no source"));
        assert!(refusal(&[("rng", "0"), ("period", "0")]).contains("at least 1"));
        assert!(refusal(&[("rng", "0")]).contains("there is no PCIE bus"));
    }
}
