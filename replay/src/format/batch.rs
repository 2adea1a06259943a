//! Events as the bytes of a frame.
//!
//! A batch begins with its number, so that one that is missing is missed, and with the number of the next digest, from
//! which ticks count: it can be read without those before it.

use super::bytes::{Bytes, Malformed, put_bytes, put_varint, zigzag};
use super::{DIGEST_INTERVAL, Ended, Event};
use reprise_core::backend::{ChardevId, DiskId, NetdevId, RngId};
use reprise_core::clock::Tick;
use reprise_core::device::{KeyEvent, PointerEvent};
use reprise_core::door::HostInput;
use reprise_core::machine::{Digest, Fingerprint};

/// Bytes of a digest.
const DIGEST_SIZE: usize = 6;
/// Bits of each half of a digest.
const DIGEST_MASK: u32 = 0xff_ffff;

/// The first byte of each record.
mod tag {
    pub(super) const DIGESTS: u8 = 0;
    pub(super) const CHARDEV: u8 = 1;
    pub(super) const CONNECTED: u8 = 2;
    pub(super) const DISCONNECTED: u8 = 3;
    pub(super) const FRAME: u8 = 4;
    pub(super) const KEY_DOWN: u8 = 5;
    pub(super) const KEY_UP: u8 = 6;
    pub(super) const POINTER: u8 = 7;
    pub(super) const POWER_BUTTON: u8 = 8;
    pub(super) const RESET: u8 = 9;
    pub(super) const QUIT: u8 = 10;
    pub(super) const CLUSTER_FAILED: u8 = 11;
    pub(super) const RANDOM: u8 = 12;
    pub(super) const END: u8 = 13;
}

/// The tick of a digest.
fn digest_tick(number: u64) -> Option<Tick> {
    number.checked_mul(DIGEST_INTERVAL)
}

/// Where ticks of a batch count from.
fn base(next_digest: u64) -> Option<Tick> {
    digest_tick(next_digest.saturating_sub(1))
}

/// Events on their way into a frame.
pub(super) struct Batch {
    bytes: Vec<u8>,
    first_tick: Option<Tick>,
    tick: Tick,
    next_digest: u64,
    /// Where the count of the run of digests is that the last event belongs to.
    run: Option<usize>,
    digests: usize,
}

impl Batch {
    /// The batch `number`, after which the digest `next_digest` comes.
    pub(super) fn new(number: u64, next_digest: u64) -> Self {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, number);
        put_varint(&mut bytes, next_digest);
        let tick = base(next_digest).expect("digests are counted at ticks");
        Self { bytes, first_tick: None, tick, next_digest, run: None, digests: 0 }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The tick of the first event, if there is one.
    pub(super) fn first_tick(&self) -> Option<Tick> {
        self.first_tick
    }

    pub(super) fn next_digest(&self) -> u64 {
        self.next_digest
    }

    /// How many bytes are digests.
    pub(super) fn digest_bytes(&self) -> usize {
        self.digests * DIGEST_SIZE
    }

    /// Appends what happened at `tick`, which is not before the last.
    pub(super) fn push(&mut self, tick: Tick, event: &Event) {
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
        for half in [digest.sum, digest.weighted] {
            assert!(half <= DIGEST_MASK, "half of a digest has 24 bits, not {half:#x}");
            self.bytes.extend_from_slice(&half.to_le_bytes()[..3]);
        }
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

    fn pointer(&mut self, tick: Tick, pointer: &PointerEvent) {
        self.begin(tag::POINTER, tick);
        put_varint(&mut self.bytes, zigzag(pointer.dx.into()));
        put_varint(&mut self.bytes, zigzag(pointer.dy.into()));
        self.bytes.extend_from_slice(&[pointer.wheel as u8, pointer.buttons]);
    }
}

fn put_ended(out: &mut Vec<u8>, ended: &Ended) {
    put_bytes(out, ended.reason.as_bytes());
    out.push(ended.status);
    put_varint(out, ended.icount);
    out.extend_from_slice(&ended.fingerprint.parts.to_le_bytes());
    out.extend_from_slice(&ended.fingerprint.memory.to_le_bytes());
}

/// Events on their way out of a frame.
pub(super) struct BatchReader {
    payload: Vec<u8>,
    at: usize,
    number: u64,
    tick: Tick,
    next_digest: u64,
    /// Digests that are left of a run.
    run: u8,
    digests: usize,
}

impl BatchReader {
    pub(super) fn new(payload: Vec<u8>) -> Result<Self, Malformed> {
        let mut from = Bytes::new(&payload);
        let number = from.varint("number of the events frame")?;
        let next_digest = from.varint("number of the next digest")?;
        let tick = base(next_digest).ok_or_else(|| past_the_end("a digest"))?;
        let at = payload.len() - from.left();
        Ok(Self { payload, at, number, tick, next_digest, run: 0, digests: 0 })
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Bytes of the payload.
    pub(super) fn size(&self) -> usize {
        self.payload.len()
    }

    /// How many bytes so far were digests.
    pub(super) fn digest_bytes(&self) -> usize {
        self.digests * DIGEST_SIZE
    }

    /// The next event; `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<(Tick, Event)>, Malformed> {
        let payload = std::mem::take(&mut self.payload);
        let mut from = Bytes::new(&payload[self.at..]);
        let event = self.record(&mut from);
        self.at = payload.len() - from.left();
        self.payload = payload;
        event
    }

    fn record(&mut self, from: &mut Bytes<'_>) -> Result<Option<(Tick, Event)>, Malformed> {
        if self.run == 0 {
            if from.left() == 0 {
                return Ok(None);
            }
            let tag = from.u8("event")?;
            if tag != tag::DIGESTS {
                return self.event(tag, from).map(|event| Some((self.tick, event)));
            }
            self.begin_run(from)?;
        }
        self.digest(from).map(Some)
    }

    fn begin_run(&mut self, from: &mut Bytes<'_>) -> Result<(), Malformed> {
        let skipped = from.varint("skipped digests")?;
        self.next_digest = self.next_digest.checked_add(skipped).ok_or_else(|| past_the_end("a digest"))?;
        self.run = from.u8("count of digests")?;
        if self.run == 0 {
            return Err(Malformed::new("a digest at least", "a count of 0"));
        }
        Ok(())
    }

    fn digest(&mut self, from: &mut Bytes<'_>) -> Result<(Tick, Event), Malformed> {
        let tick = digest_tick(self.next_digest).ok_or_else(|| past_the_end("a digest"))?;
        if tick < self.tick {
            return Err(Malformed::new(format!("a tick from {} on", self.tick), format!("a digest at {tick}")));
        }
        let (sum, weighted) = (half(from)?, half(from)?);
        self.run -= 1;
        self.digests += 1;
        self.next_digest += 1;
        self.tick = tick;
        Ok((tick, Event::Digest(Digest { sum, weighted })))
    }

    fn event(&mut self, tag: u8, from: &mut Bytes<'_>) -> Result<Event, Malformed> {
        if tag > tag::END {
            return Err(Malformed::new("an event of kind 0 to 13", format!("kind {tag}")));
        }
        let delta = from.varint("ticks")?;
        self.tick = self.tick.checked_add(delta).ok_or_else(|| past_the_end("an event"))?;
        if tag == tag::END {
            let ended = ended(from)?;
            (*from).finish("the end of the run")?;
            return Ok(Event::End(ended));
        }
        input(tag, from).map(Event::Input)
    }
}

fn past_the_end(what: &str) -> Malformed {
    Malformed::new(format!("{what} before tick 2^64"), "a later one")
}

fn half(from: &mut Bytes<'_>) -> Result<u32, Malformed> {
    let [a, b, c] = from.array("digest")?;
    Ok(u32::from_le_bytes([a, b, c, 0]))
}

fn input(tag: u8, from: &mut Bytes<'_>) -> Result<HostInput, Malformed> {
    let chardev = |from: &mut Bytes<'_>| from.narrow("character device").map(ChardevId);
    Ok(match tag {
        tag::CHARDEV => HostInput::Chardev { chardev: chardev(from)?, bytes: from.bytes("input")?.to_vec() },
        tag::CONNECTED | tag::DISCONNECTED => {
            HostInput::Connected { chardev: chardev(from)?, connected: tag == tag::CONNECTED }
        }
        tag::FRAME => {
            let netdev = NetdevId(from.narrow("network")?);
            HostInput::Frame { netdev, frame: from.bytes("network frame")?.to_vec() }
        }
        tag::KEY_DOWN | tag::KEY_UP => {
            HostInput::Key(KeyEvent { code: from.narrow("key")?, down: tag == tag::KEY_DOWN })
        }
        tag::POINTER => HostInput::Pointer(PointerEvent {
            dx: from.signed("motion")?,
            dy: from.signed("motion")?,
            wheel: from.u8("wheel")? as i8,
            buttons: from.u8("buttons")?,
        }),
        tag::POWER_BUTTON => HostInput::PowerButton,
        tag::RESET => HostInput::Reset,
        tag::QUIT => HostInput::Quit,
        tag::CLUSTER_FAILED => {
            let disk = DiskId(from.narrow("disk")?);
            HostInput::ClusterFailed { disk, cluster: from.varint("cluster")? }
        }
        tag::RANDOM => {
            let rng = RngId(from.narrow("source of random numbers")?);
            HostInput::Random { rng, bytes: from.bytes("random bytes")?.to_vec() }
        }
        _ => unreachable!("the caller knows the kinds"),
    })
}

fn ended(from: &mut Bytes<'_>) -> Result<Ended, Malformed> {
    Ok(Ended {
        reason: from.text("reason of the end")?,
        status: from.u8("status")?,
        icount: from.varint("instruction count")?,
        fingerprint: Fingerprint { parts: from.u128("fingerprint")?, memory: from.u128("fingerprint")? },
    })
}
