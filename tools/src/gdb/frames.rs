//! Packets on the wire (gdb manual, "Remote Protocol: Overview"): `$body#checksum`, acknowledged until the client says
//! that it trusts the connection, and Ctrl-C as a byte of its own.
//!
//! Whatever a client sends, what waits here is bounded.

use std::collections::VecDeque;

/// Longest body of a packet, as the client is told.
pub(super) const PACKET_LIMIT: usize = 64 << 10;
/// Packets that wait; a client that sends more without reading answers waits itself.
const QUEUE_LIMIT: usize = 64;
/// Bytes that wait to be sent; a client that asks for more without reading them waits itself.
const OUT_LIMIT: usize = 4 << 20;
/// What gdb's Ctrl-C is.
const INTERRUPT: u8 = 0x03;

/// What a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// The body of a packet, escapes and all.
    Packet(Vec<u8>),
    /// Ctrl-C.
    Interrupt,
}

/// Where in a packet the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Between,
    Body,
    /// The body is too long: what follows is not kept.
    Surplus,
    FirstDigit,
    SecondDigit(u8),
}

/// Both directions of a connection, as packets.
#[derive(Debug)]
pub(super) struct Frames {
    place: Place,
    body: Vec<u8>,
    too_long: bool,
    queue: VecDeque<Incoming>,
    /// Whether packets are acknowledged.
    acks: bool,
    /// What is to be sent.
    out: Vec<u8>,
    /// The last packet that was sent, in case that the client wants it again.
    last: Vec<u8>,
    /// Whether it does.
    again: bool,
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            place: Place::Between,
            body: Vec::new(),
            too_long: false,
            queue: VecDeque::new(),
            acks: true,
            out: Vec::new(),
            last: Vec::new(),
            again: false,
        }
    }
}

impl Frames {
    /// Takes what came from the client.
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.take(byte));
    }

    /// Whether there is no room for more.
    pub(super) fn is_full(&self) -> bool {
        self.queue.len() >= QUEUE_LIMIT || self.out.len() >= OUT_LIMIT
    }

    /// What the client sent next.
    pub(super) fn next(&mut self) -> Option<Incoming> {
        self.queue.pop_front()
    }

    /// Whether a request waits.
    pub(super) fn has_request(&self) -> bool {
        self.queue.iter().any(|incoming| matches!(incoming, Incoming::Packet(_)))
    }

    /// Whether the client asks for a stop, by Ctrl-C; asks once.
    pub(super) fn take_interrupt(&mut self) -> bool {
        let before = self.queue.len();
        self.queue.retain(|incoming| *incoming != Incoming::Interrupt);
        self.queue.len() < before
    }

    /// Sends a packet with this body, in which nothing needs an escape.
    pub(super) fn send(&mut self, body: &[u8]) {
        log::trace!(target: "gdb", "-> {}", String::from_utf8_lossy(body));
        self.last = framed(body);
        self.out.extend(&self.last);
    }

    /// Shows text on the client's console. It takes such packets only while it waits for the machine, or for a command.
    pub(super) fn tell(&mut self, text: &str) {
        for part in text.as_bytes().chunks(PACKET_LIMIT / 4) {
            let body: Vec<u8> = b"O".iter().copied().chain(part.iter().flat_map(|&byte| hex(byte))).collect();
            self.send(&body);
        }
    }

    /// Takes what is to be sent. However often the last packet is wanted again meanwhile, it is sent once.
    pub(super) fn take_out(&mut self) -> Vec<u8> {
        if std::mem::take(&mut self.again) {
            self.out.extend(&self.last);
        }
        std::mem::take(&mut self.out)
    }

    fn take(&mut self, byte: u8) {
        self.place = match (self.place, byte) {
            (Place::Between, b'$') | (Place::Body | Place::Surplus, b'$') => {
                self.body.clear();
                self.too_long = false;
                Place::Body
            }
            (Place::Between, INTERRUPT) => {
                if self.queue.back() != Some(&Incoming::Interrupt) {
                    self.queue.push_back(Incoming::Interrupt);
                }
                Place::Between
            }
            // gdb says this even if packets are not acknowledged, when an answer takes more than two seconds.
            (Place::Between, b'-') => {
                self.again |= self.acks;
                Place::Between
            }
            // Acknowledgements, and noise.
            (Place::Between, _) => Place::Between,
            (Place::Body | Place::Surplus, b'#') => Place::FirstDigit,
            (Place::Body, byte) if self.body.len() < PACKET_LIMIT => {
                self.body.push(byte);
                Place::Body
            }
            (Place::Body | Place::Surplus, _) => {
                self.too_long = true;
                Place::Surplus
            }
            (Place::FirstDigit, digit) => Place::SecondDigit(digit),
            (Place::SecondDigit(first), second) => {
                self.finish([first, second]);
                Place::Between
            }
        };
    }

    /// A packet is complete.
    fn finish(&mut self, digits: [u8; 2]) {
        let body = std::mem::take(&mut self.body);
        if std::mem::take(&mut self.too_long) {
            // Asked for it again, the client would send the same.
            self.acknowledge(b'+');
            return self.send(b"E.the packet is too long");
        }
        let checksum = std::str::from_utf8(&digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if checksum != Some(sum(&body)) {
            return self.acknowledge(b'-');
        }
        self.acknowledge(b'+');
        self.acks &= body != b"QStartNoAckMode";
        // While the answer takes its time, gdb asks for it again, and must not take the one before for it.
        self.last.clear();
        if self.is_full() {
            return self.send(b"E.too many packets wait");
        }
        log::trace!(target: "gdb", "<- {}", String::from_utf8_lossy(&body));
        self.queue.push_back(Incoming::Packet(body));
    }

    fn acknowledge(&mut self, byte: u8) {
        if self.acks {
            self.out.push(byte);
        }
    }
}

fn sum(body: &[u8]) -> u8 {
    body.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte))
}

/// The two hexadecimal digits of a byte.
pub(super) fn hex(byte: u8) -> [u8; 2] {
    [byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)])
}

/// The packet of `body`.
pub(super) fn framed(body: &[u8]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(body.len() + 4);
    packet.push(b'$');
    packet.extend(body);
    packet.push(b'#');
    packet.extend(hex(sum(body)));
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(body: &[u8]) -> Incoming {
        Incoming::Packet(body.to_vec())
    }

    fn all(frames: &mut Frames) -> Vec<Incoming> {
        std::iter::from_fn(|| frames.next()).collect()
    }

    #[test]
    fn packets_come_apart_however_they_are_cut() {
        let mut frames = Frames::default();
        for byte in b"+$?#3f\x03+$g#67" {
            frames.receive(&[*byte]);
        }
        assert_eq!(all(&mut frames), [packet(b"?"), Incoming::Interrupt, packet(b"g")]);
        assert_eq!(frames.take_out(), b"++");
    }

    #[test]
    fn a_wrong_checksum_is_asked_for_again_and_so_may_the_client_ask() {
        let mut frames = Frames::default();
        frames.receive(b"$g#68$g#xx");
        assert_eq!((all(&mut frames), frames.take_out()), (vec![], b"--".to_vec()));
        frames.send(b"OK");
        frames.receive(b"-");
        assert_eq!(frames.take_out(), b"$OK#9a$OK#9a");
    }

    #[test]
    fn an_answer_that_takes_its_time_is_not_the_one_before() {
        let mut frames = Frames::default();
        frames.send(b"OK");
        frames.receive(b"+$g#67-");
        assert_eq!(frames.take_out(), b"$OK#9a+");
        frames.receive(&framed(b"QStartNoAckMode"));
        frames.take_out();
        frames.send(b"OK");
        frames.receive(b"-");
        assert_eq!(frames.take_out(), b"$OK#9a");
    }

    #[test]
    fn a_client_may_trust_the_connection() {
        let mut frames = Frames::default();
        frames.receive(&framed(b"QStartNoAckMode"));
        frames.receive(b"$?#3f$?#00");
        assert_eq!(all(&mut frames), [packet(b"QStartNoAckMode"), packet(b"?")]);
        assert_eq!(frames.take_out(), b"+");
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut frames = Frames::default();
        frames.receive(b"$");
        for _ in 0..PACKET_LIMIT + 10 {
            frames.receive(b"x");
        }
        assert_eq!(frames.body.len(), PACKET_LIMIT);
        frames.receive(b"#00");
        assert_eq!(frames.take_out(), [b"+".as_slice(), &framed(b"E.the packet is too long")].concat());
        for _ in 0..2 * QUEUE_LIMIT {
            frames.receive(b"$?#3f\x03\x03");
        }
        assert!(frames.is_full() && frames.queue.len() <= 2 * QUEUE_LIMIT);
    }

    #[test]
    fn what_is_to_be_sent_is_bounded() {
        let mut frames = Frames::default();
        frames.send(b"a long answer");
        frames.take_out();
        frames.receive(&b"-".repeat(10_000));
        assert_eq!((frames.take_out(), frames.take_out()), (framed(b"a long answer"), Vec::new()));
        while !frames.is_full() {
            frames.send(&[b'x'; PACKET_LIMIT]);
        }
        assert!(frames.out.len() < OUT_LIMIT + 2 * PACKET_LIMIT);
    }

    #[test]
    fn an_interrupt_is_found_among_packets() {
        let mut frames = Frames::default();
        frames.receive(b"$?#3f\x03");
        assert!(frames.take_interrupt() && !frames.take_interrupt());
        assert_eq!(all(&mut frames), [packet(b"?")]);
    }

    #[test]
    fn a_packet_that_was_cut_off_begins_again() {
        let mut frames = Frames::default();
        frames.receive(b"$m0,$?#3f");
        assert_eq!(all(&mut frames), [packet(b"?")]);
    }
}
