//! Putting together what the guest sent in fragments: RFC 791, 3.2 *Discussion*, and RFC 815, *IP Datagram Reassembly
//! Algorithms*.

use smoltcp::wire::{IPV4_HEADER_LEN, IpProtocol, Ipv4Packet};
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// Packets that are put together at once.
const LIMIT: usize = 16;

/// How long the rest of a packet may take to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Most bytes that a packet carries.
const PAYLOAD_LIMIT: usize = u16::MAX as usize - IPV4_HEADER_LEN;

/// What the fragments of one packet have in common.
type Key = (Ipv4Addr, Ipv4Addr, IpProtocol, u16);

/// A packet of which something is missing.
struct Partial {
    key: Key,
    since: Instant,
    payload: Vec<u8>,
    /// Which blocks of eight bytes have come.
    came: Vec<bool>,
    /// Bytes in the whole, once the last fragment has come.
    length: Option<usize>,
}

/// The packets of which something is missing, the oldest first.
#[derive(Default)]
pub(super) struct Fragments {
    partial: VecDeque<Partial>,
}

impl Fragments {
    /// Takes a fragment; the whole packet if this was the last that was missing.
    pub(super) fn take(&mut self, fragment: &Ipv4Packet<&[u8]>, now: Instant) -> Option<Vec<u8>> {
        self.partial.retain(|partial| now.saturating_duration_since(partial.since) < PATIENCE);
        let key = (fragment.src_addr(), fragment.dst_addr(), fragment.next_header(), fragment.ident());
        let index = self.partial.iter().position(|partial| partial.key == key).unwrap_or_else(|| self.begin(key, now));
        let partial = &mut self.partial[index];
        if !partial.add(fragment) {
            self.partial.remove(index);
            return None;
        }
        partial.is_whole().then(|| self.partial.remove(index)).flatten().map(Partial::into_packet)
    }

    fn begin(&mut self, key: Key, now: Instant) -> usize {
        if self.partial.len() >= LIMIT {
            self.partial.pop_front();
        }
        self.partial.push_back(Partial { key, since: now, payload: Vec::new(), came: Vec::new(), length: None });
        self.partial.len() - 1
    }
}

impl Partial {
    /// Adds a fragment; false if it cannot be one of this packet.
    fn add(&mut self, fragment: &Ipv4Packet<&[u8]>) -> bool {
        let (offset, part) = (usize::from(fragment.frag_offset()), fragment.payload());
        let end = offset + part.len();
        let is_last = !fragment.more_frags();
        let fits = end <= PAYLOAD_LIMIT && self.length.is_none_or(|length| end <= length);
        if part.is_empty() || !fits || (!is_last && part.len() % 8 != 0) {
            return false;
        }
        if self.payload.len() < end {
            self.payload.resize(end, 0);
            self.came.resize(end.div_ceil(8), false);
        }
        self.payload[offset..end].copy_from_slice(part);
        self.came[offset / 8..end.div_ceil(8)].fill(true);
        if is_last {
            self.length = Some(end);
        }
        self.length.is_none_or(|length| self.payload.len() <= length)
    }

    fn is_whole(&self) -> bool {
        self.length.is_some() && self.came.iter().all(|&came| came)
    }

    fn into_packet(self) -> Vec<u8> {
        let (from, to, protocol, ident) = self.key;
        let mut bytes = vec![0; IPV4_HEADER_LEN + self.payload.len()];
        let mut packet = Ipv4Packet::new_unchecked(&mut bytes);
        packet.set_version(4);
        packet.set_header_len(IPV4_HEADER_LEN as u8);
        packet.set_total_len((IPV4_HEADER_LEN + self.payload.len()) as u16);
        packet.set_ident(ident);
        packet.set_hop_limit(64);
        packet.set_next_header(protocol);
        packet.set_src_addr(from);
        packet.set_dst_addr(to);
        packet.payload_mut().copy_from_slice(&self.payload);
        packet.fill_checksum();
        bytes
    }
}
