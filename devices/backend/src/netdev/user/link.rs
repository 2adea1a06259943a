//! The wire to the guest: Ethernet, and ARP of RFC 826, *An Ethernet Address Resolution Protocol*.

use super::UserOptions;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IPV4_HEADER_LEN,
    IpProtocol, Ipv4Cidr, Ipv4Packet,
};
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// Largest IP packet on the wire, as Ethernet has it.
pub(super) const MTU: usize = 1500;

/// Bytes before the IP packet in a frame.
const ETHERNET_HEADER_LEN: usize = EthernetFrame::<&[u8]>::header_len();

/// Frames that wait for the guest before we stop reading from the host.
const OUTGOING_ENOUGH: usize = 256;

/// Frames that wait for the guest before more are lost.
const OUTGOING_LIMIT: usize = 1024;

/// Frames that wait for an answer to the question whose address that is.
const UNRESOLVED_LIMIT: usize = 16;

/// Hosts whose hardware addresses are known.
const NEIGHBOURS_LIMIT: usize = 64;

/// How long a frame can wait for the guest and still be news to it.
const FRESH: Duration = Duration::from_secs(1);

/// The wire to the guest.
pub(super) struct Link {
    own: EthernetAddress,
    subnet: Ipv4Cidr,
    /// The addresses that we answer for.
    ours: [Ipv4Addr; 2],
    /// Who was heard of, the longest known first.
    neighbours: VecDeque<(Ipv4Addr, EthernetAddress)>,
    /// Frames that lack the hardware address they go to.
    unresolved: VecDeque<Vec<u8>>,
    outgoing: VecDeque<Vec<u8>>,
    /// When the last frame went to `outgoing`.
    queued: Instant,
    /// Tells the fragments of one packet from those of another.
    ident: u16,
}

impl Link {
    pub(super) fn new(options: &UserOptions) -> Self {
        let [a, b, c, d] = options.host.octets();
        Self {
            // QEMU's too: locally administered, and the gateway's address.
            own: EthernetAddress([0x52, 0x55, a, b, c, d]),
            subnet: options.subnet(),
            ours: [options.host, options.dns],
            neighbours: VecDeque::new(),
            unresolved: VecDeque::new(),
            outgoing: VecDeque::new(),
            queued: Instant::now(),
            ident: 0,
        }
    }

    /// The IP packet in a frame of the guest's; `None` if there is none for us, or ARP has taken it.
    pub(super) fn take<'f>(&mut self, frame: &'f [u8]) -> Option<Ipv4Packet<&'f [u8]>> {
        let frame = EthernetFrame::new_checked(frame).ok()?;
        if !frame.src_addr().is_unicast() || (frame.dst_addr() != self.own && !frame.dst_addr().is_broadcast()) {
            return None;
        }
        match frame.ethertype() {
            EthernetProtocol::Arp => {
                self.hear_arp(frame.payload());
                None
            }
            EthernetProtocol::Ipv4 => self.take_packet(frame.src_addr(), frame.payload()),
            EthernetProtocol::Ipv6 | EthernetProtocol::Unknown(_) => None,
        }
    }

    fn take_packet<'f>(&mut self, from: EthernetAddress, bytes: &'f [u8]) -> Option<Ipv4Packet<&'f [u8]>> {
        let packet = Ipv4Packet::new_checked(bytes).ok()?;
        if packet.version() != 4 || !packet.verify_checksum() {
            return None;
        }
        // Who has no address yet asks for one from none.
        if !packet.src_addr().is_unspecified() {
            self.is_guest(packet.src_addr()).then(|| self.learn(packet.src_addr(), from))?;
        }
        Some(packet)
    }

    /// Whether an address can be that of somebody on the wire other than us.
    pub(super) fn is_guest(&self, address: Ipv4Addr) -> bool {
        let edges = [Some(self.subnet.network().address()), self.subnet.broadcast()];
        self.subnet.contains_addr(&address) && !self.ours.contains(&address) && !edges.contains(&Some(address))
    }

    fn hear_arp(&mut self, bytes: &[u8]) {
        let Ok(packet) = ArpPacket::new_checked(bytes) else { return };
        let Ok(ArpRepr::EthernetIpv4 {
            operation,
            source_hardware_addr,
            source_protocol_addr,
            target_protocol_addr,
            ..
        }) = ArpRepr::parse(&packet)
        else {
            return;
        };
        if !source_hardware_addr.is_unicast() {
            return;
        }
        if self.is_guest(source_protocol_addr) {
            self.learn(source_protocol_addr, source_hardware_addr);
        }
        if operation == ArpOperation::Request && self.ours.contains(&target_protocol_addr) {
            self.send_arp(ArpRepr::EthernetIpv4 {
                operation: ArpOperation::Reply,
                source_hardware_addr: self.own,
                source_protocol_addr: target_protocol_addr,
                target_hardware_addr: source_hardware_addr,
                target_protocol_addr: source_protocol_addr,
            });
        }
    }

    fn learn(&mut self, address: Ipv4Addr, hardware: EthernetAddress) {
        if let Some(known) = self.neighbours.iter_mut().find(|(known, _)| *known == address) {
            known.1 = hardware;
            return;
        }
        if self.neighbours.len() >= NEIGHBOURS_LIMIT {
            self.neighbours.pop_front();
        }
        self.neighbours.push_back((address, hardware));
        for frame in std::mem::take(&mut self.unresolved) {
            self.dispatch(frame);
        }
    }

    fn send_arp(&mut self, arp: ArpRepr) {
        let ArpRepr::EthernetIpv4 { operation, target_hardware_addr, .. } = arp else { return };
        let to = match operation {
            ArpOperation::Reply => target_hardware_addr,
            ArpOperation::Request | ArpOperation::Unknown(_) => EthernetAddress::BROADCAST,
        };
        let mut bytes = vec![0; ETHERNET_HEADER_LEN + arp.buffer_len()];
        self.address(&mut bytes, to, EthernetProtocol::Arp);
        arp.emit(&mut ArpPacket::new_unchecked(&mut bytes[ETHERNET_HEADER_LEN..]));
        self.queue(bytes);
    }

    /// Asks whose address that is.
    fn ask(&mut self, address: Ipv4Addr) {
        self.send_arp(ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Request,
            source_hardware_addr: self.own,
            source_protocol_addr: self.ours[0],
            target_hardware_addr: EthernetAddress([0; 6]),
            target_protocol_addr: address,
        });
    }

    fn address(&self, frame: &mut [u8], to: EthernetAddress, ethertype: EthernetProtocol) {
        let header = EthernetRepr { src_addr: self.own, dst_addr: to, ethertype };
        header.emit(&mut EthernetFrame::new_unchecked(frame));
    }

    /// Sends a packet of `length` bytes, at most [`MTU`], that `fill` writes.
    pub(super) fn send<R>(&mut self, length: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        let mut frame = vec![0; ETHERNET_HEADER_LEN + length];
        let result = fill(&mut frame[ETHERNET_HEADER_LEN..]);
        self.dispatch(frame);
        result
    }

    /// Sends a frame whose packet is written and whose header is not.
    fn dispatch(&mut self, mut frame: Vec<u8>) {
        let to = Ipv4Packet::new_unchecked(&frame[ETHERNET_HEADER_LEN..]).dst_addr();
        let known = self.neighbours.iter().find(|(known, _)| *known == to).map(|(_, hardware)| *hardware);
        if let Some(hardware) = known.or(to.is_broadcast().then_some(EthernetAddress::BROADCAST)) {
            self.address(&mut frame, hardware, EthernetProtocol::Ipv4);
            self.queue(frame);
            return;
        }
        self.ask(to);
        if self.unresolved.len() >= UNRESOLVED_LIMIT {
            self.unresolved.pop_front();
        }
        self.unresolved.push_back(frame);
    }

    fn queue(&mut self, frame: Vec<u8>) {
        if self.outgoing.len() < OUTGOING_LIMIT {
            self.outgoing.push_back(frame);
            self.queued = Instant::now();
        }
    }

    /// Sends what IP carries, in fragments if it must.
    pub(super) fn send_payload(&mut self, from: Ipv4Addr, to: Ipv4Addr, protocol: IpProtocol, payload: &[u8]) {
        // All fragments but the last are a multiple of eight bytes long.
        const PART: usize = (MTU - IPV4_HEADER_LEN) & !7;
        self.ident = self.ident.wrapping_add(1);
        let ident = self.ident;
        let last = payload.len().saturating_sub(1) / PART;
        for index in 0..=last {
            let offset = index * PART;
            let part = &payload[offset..payload.len().min(offset + PART)];
            self.send(IPV4_HEADER_LEN + part.len(), |bytes| {
                let mut packet = Ipv4Packet::new_unchecked(bytes);
                packet.set_version(4);
                packet.set_header_len(IPV4_HEADER_LEN as u8);
                packet.set_total_len((IPV4_HEADER_LEN + part.len()) as u16);
                packet.set_ident(ident);
                packet.set_more_frags(index < last);
                packet.set_frag_offset(offset as u16);
                packet.set_hop_limit(64);
                packet.set_next_header(protocol);
                packet.set_src_addr(from);
                packet.set_dst_addr(to);
                packet.payload_mut().copy_from_slice(part);
                packet.fill_checksum();
            });
        }
    }

    /// Whether enough waits for the guest.
    pub(super) fn is_full(&self) -> bool {
        self.outgoing.len() >= OUTGOING_ENOUGH
    }

    pub(super) fn is_empty(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// Whether something waits for the guest that it may be about to take.
    pub(super) fn has_fresh(&self, now: Instant) -> bool {
        !self.is_empty() && now.saturating_duration_since(self.queued) < FRESH
    }

    /// The next frame for the guest.
    pub(super) fn next(&mut self) -> Option<Vec<u8>> {
        self.outgoing.pop_front()
    }
}
