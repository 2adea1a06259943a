//! Events become bytes.

use super::register::register_number;
use super::{DIGEST_SIZE, base, tag};
use crate::format::bytes::{put_bytes, put_varint, zigzag};
use crate::format::{DIGEST_INTERVAL, Ended, Event};
use reprise_core::clock::Tick;
use reprise_core::device::PointerEvent;
use reprise_core::door::HostInput;
use reprise_core::edit::Edit;
use reprise_core::machine::Digest;

/// Bits of each half of a digest.
const WEIGHTED_MASK: u32 = 0xff_ffff;

/// Events on their way into a frame.
pub(in crate::format) struct Batch {
    bytes: Vec<u8>,
    first_tick: Option<Tick>,
    tick: Tick,
    first_digest: u64,
    next_digest: u64,
    /// Where the count of the run of digests is that the last event belongs to.
    run: Option<usize>,
    digests: usize,
}

impl Batch {
    /// The batch `number`, after which the digest `next_digest` comes.
    pub(in crate::format) fn new(number: u64, next_digest: u64) -> Self {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, number);
        put_varint(&mut bytes, next_digest);
        let tick = base(next_digest).expect("digests are counted at ticks");
        Self { bytes, first_tick: None, tick, first_digest: next_digest, next_digest, run: None, digests: 0 }
    }

    pub(in crate::format) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The tick of the first event, if there is one.
    pub(in crate::format) fn first_tick(&self) -> Option<Tick> {
        self.first_tick
    }

    pub(in crate::format) fn next_digest(&self) -> u64 {
        self.next_digest
    }

    /// Whether a digest whose number plus one is a multiple of `count` has come or was left out.
    pub(in crate::format) fn passes(&self, count: u64) -> bool {
        self.next_digest / count > self.first_digest / count
    }

    /// How many bytes are digests.
    pub(in crate::format) fn digest_bytes(&self) -> usize {
        self.digests * DIGEST_SIZE
    }

    /// Appends what happened at `tick`, which is not before the last.
    pub(in crate::format) fn push(&mut self, tick: Tick, event: &Event) {
        self.first_tick.get_or_insert(tick);
        match event {
            Event::Digest(digest) => self.digest(tick, *digest),
            Event::Input(input) => self.input(tick, input),
            Event::End(ended) => {
                self.begin(tag::END, tick);
                put_ended(&mut self.bytes, ended);
            }
        }
    }

    fn digest(&mut self, tick: Tick, digest: Digest) {
        let number = tick / DIGEST_INTERVAL;
        assert!(tick.is_multiple_of(DIGEST_INTERVAL) && number >= self.next_digest, "no digest is due at tick {tick}");
        let run = self.run.filter(|&at| number == self.next_digest && self.bytes[at] < u8::MAX);
        let run = run.unwrap_or_else(|| self.digest_run(number));
        self.bytes[run] += 1;
        let Digest { sum, weighted } = digest;
        assert!(weighted <= WEIGHTED_MASK, "the weighted sum of a digest has 24 bits, not {weighted:#x}");
        self.bytes.extend_from_slice(&sum.to_le_bytes());
        self.bytes.extend_from_slice(&weighted.to_le_bytes()[..3]);
        self.run = Some(run);
        self.digests += 1;
        (self.tick, self.next_digest) = (tick, number + 1);
    }

    /// Begins a run of digests with `number`; where its count is.
    fn digest_run(&mut self, number: u64) -> usize {
        self.bytes.push(tag::DIGESTS);
        put_varint(&mut self.bytes, number - self.next_digest);
        self.bytes.push(0);
        self.bytes.len() - 1
    }

    fn begin(&mut self, tag: u8, tick: Tick) {
        self.bytes.push(tag);
        put_varint(&mut self.bytes, tick - self.tick);
        self.tick = tick;
        self.run = None;
    }

    fn input(&mut self, tick: Tick, input: &HostInput) {
        match input {
            HostInput::Chardev { chardev, bytes } => self.named(tag::CHARDEV, tick, chardev.0, bytes),
            HostInput::Connected { chardev, connected } => {
                self.begin(if *connected { tag::CONNECTED } else { tag::DISCONNECTED }, tick);
                put_varint(&mut self.bytes, chardev.0.into());
            }
            HostInput::Frame { netdev, frame } => self.named(tag::FRAME, tick, netdev.0, frame),
            HostInput::Key(key) => {
                self.begin(if key.down { tag::KEY_DOWN } else { tag::KEY_UP }, tick);
                put_varint(&mut self.bytes, key.code.into());
            }
            HostInput::Pointer(pointer) => self.pointer(tick, pointer),
            HostInput::PowerButton => self.begin(tag::POWER_BUTTON, tick),
            HostInput::Reset => self.begin(tag::RESET, tick),
            HostInput::Quit => self.begin(tag::QUIT, tick),
            HostInput::Edit(edit) => self.edit(tick, edit),
            HostInput::Cluster { .. } => unreachable!("clusters are stored, not logged"),
            HostInput::ClusterFailed { disk, cluster } => {
                self.begin(tag::CLUSTER_FAILED, tick);
                put_varint(&mut self.bytes, disk.0.into());
                put_varint(&mut self.bytes, *cluster);
            }
            HostInput::Random { rng, bytes } => self.named(tag::RANDOM, tick, rng.0, bytes),
        }
    }

    fn named(&mut self, tag: u8, tick: Tick, id: u16, bytes: &[u8]) {
        self.begin(tag, tick);
        put_varint(&mut self.bytes, id.into());
        put_bytes(&mut self.bytes, bytes);
    }

    fn edit(&mut self, tick: Tick, edit: &Edit) {
        match edit {
            Edit::Memory { address, bytes } => {
                self.begin(tag::EDIT_MEMORY, tick);
                put_varint(&mut self.bytes, *address);
                put_bytes(&mut self.bytes, bytes);
            }
            Edit::Register { cpu, register, value } => {
                self.begin(tag::EDIT_REGISTER, tick);
                put_varint(&mut self.bytes, u64::from(*cpu));
                self.bytes.push(register_number(*register));
                put_bytes(&mut self.bytes, significant(&value.to_le_bytes()));
            }
        }
    }

    fn pointer(&mut self, tick: Tick, pointer: &PointerEvent) {
        self.begin(tag::POINTER, tick);
        put_varint(&mut self.bytes, zigzag(pointer.dx.into()));
        put_varint(&mut self.bytes, zigzag(pointer.dy.into()));
        self.bytes.extend_from_slice(&[pointer.wheel as u8, pointer.buttons]);
    }
}

/// A number without the zeros at its high end.
fn significant(value: &[u8; 16]) -> &[u8] {
    let used = value.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    &value[..used]
}

fn put_ended(out: &mut Vec<u8>, ended: &Ended) {
    put_bytes(out, ended.reason.as_bytes());
    out.push(ended.status);
    put_varint(out, ended.icount);
    out.extend_from_slice(&ended.fingerprint.parts.to_le_bytes());
    out.extend_from_slice(&ended.fingerprint.memory.to_le_bytes());
}
