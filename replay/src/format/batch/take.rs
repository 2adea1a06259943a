//! Bytes become events.

use super::register::register;
use super::{DIGEST_SIZE, base, digest_tick, tag};
use crate::format::bytes::{Bytes, Malformed};
use crate::format::{Ended, Event};
use reprise_core::backend::{ChardevId, DiskId, NetdevId, RngId};
use reprise_core::clock::Tick;
use reprise_core::device::{KeyEvent, PointerEvent};
use reprise_core::door::HostInput;
use reprise_core::edit::{EDIT_LIMIT, Edit};
use reprise_core::machine::{Digest, Fingerprint};

/// Events on their way out of a frame.
pub(in crate::format) struct BatchReader {
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
    pub(in crate::format) fn new(payload: Vec<u8>) -> Result<Self, Malformed> {
        let mut from = Bytes::new(&payload);
        let number = from.varint("number of the events frame")?;
        let next_digest = from.varint("number of the next digest")?;
        let tick = base(next_digest).ok_or_else(|| past_the_end("a digest"))?;
        let at = payload.len() - from.left();
        Ok(Self { payload, at, number, tick, next_digest, run: 0, digests: 0 })
    }

    pub(in crate::format) fn number(&self) -> u64 {
        self.number
    }

    /// Bytes of the payload.
    pub(in crate::format) fn size(&self) -> usize {
        self.payload.len()
    }

    /// How many bytes so far were digests.
    pub(in crate::format) fn digest_bytes(&self) -> usize {
        self.digests * DIGEST_SIZE
    }

    /// The next event; `None` after the last.
    pub(in crate::format) fn next(&mut self) -> Result<Option<(Tick, Event)>, Malformed> {
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
        let sum = u16::from_le_bytes(from.array("digest")?);
        let [a, b, c] = from.array("digest")?;
        let weighted = u32::from_le_bytes([a, b, c, 0]);
        self.run -= 1;
        self.digests += 1;
        self.next_digest += 1;
        self.tick = tick;
        Ok((tick, Event::Digest(Digest { sum, weighted })))
    }

    fn event(&mut self, tag: u8, from: &mut Bytes<'_>) -> Result<Event, Malformed> {
        if tag > tag::EDIT_REGISTER {
            return Err(Malformed::new("an event of kind 0 to 15", format!("kind {tag}")));
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
        tag::EDIT_MEMORY => {
            let address = from.varint("address of a change")?;
            HostInput::Edit(Edit::Memory { address, bytes: changed(from)?.to_vec() })
        }
        tag::EDIT_REGISTER => HostInput::Edit(changed_register(from)?),
        _ => unreachable!("the caller knows the kinds"),
    })
}

fn changed<'a>(from: &mut Bytes<'a>) -> Result<&'a [u8], Malformed> {
    match from.bytes("changed memory")? {
        bytes if bytes.len() <= EDIT_LIMIT => Ok(bytes),
        more => Err(Malformed::new(format!("at most {EDIT_LIMIT} changed bytes"), more.len().to_string())),
    }
}

fn changed_register(from: &mut Bytes<'_>) -> Result<Edit, Malformed> {
    let cpu = from.narrow("vCPU")?;
    let number = from.u8("register")?;
    let register = register(number).ok_or_else(|| Malformed::new("a register", format!("number {number}")))?;
    let bytes = from.bytes("value of a register")?;
    let mut value = [0; 16];
    let Some(low) = value.get_mut(..bytes.len()) else {
        return Err(Malformed::new("a value of at most 16 bytes", bytes.len().to_string()));
    };
    low.copy_from_slice(bytes);
    Ok(Edit::Register { cpu, register, value: u128::from_le_bytes(value) })
}

fn ended(from: &mut Bytes<'_>) -> Result<Ended, Malformed> {
    Ok(Ended {
        reason: from.text("reason of the end")?,
        status: from.u8("status")?,
        icount: from.varint("instruction count")?,
        fingerprint: Fingerprint { parts: from.u128("fingerprint")?, memory: from.u128("fingerprint")? },
    })
}
