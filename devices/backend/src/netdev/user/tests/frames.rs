//! Frames as a guest may send them, with care or without.

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, IpAddress, IpProtocol, Ipv4Packet, Ipv4Repr, TcpControl,
    TcpPacket, TcpRepr, TcpSeqNumber, UdpPacket, UdpRepr,
};
use std::net::Ipv4Addr;

/// The network's end of the wire.
const NETWORK: EthernetAddress = EthernetAddress([0x52, 0x55, 10, 0, 2, 2]);

/// The guest's.
pub(super) const GUEST: EthernetAddress = EthernetAddress([0x52, 0x54, 0, 0x12, 0x34, 0x56]);

fn frame(from: Ipv4Addr, to: Ipv4Addr, protocol: IpProtocol, length: usize, fill: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let ip = Ipv4Repr { src_addr: from, dst_addr: to, next_header: protocol, payload_len: length, hop_limit: 64 };
    let mut bytes = vec![0; 14 + 20 + length];
    let mut ethernet = EthernetFrame::new_unchecked(&mut bytes);
    ethernet.set_src_addr(GUEST);
    ethernet.set_dst_addr(if to.is_broadcast() { EthernetAddress::BROADCAST } else { NETWORK });
    ethernet.set_ethertype(EthernetProtocol::Ipv4);
    fill(&mut bytes[34..]);
    ip.emit(&mut Ipv4Packet::new_unchecked(&mut bytes[14..]), &ChecksumCapabilities::default());
    bytes
}

pub(super) fn udp(from: [u8; 4], source: u16, to: [u8; 4], destination: u16, payload: &[u8]) -> Vec<u8> {
    let (from, to) = (Ipv4Addr::from(from), Ipv4Addr::from(to));
    let repr = UdpRepr { src_port: source, dst_port: destination };
    frame(from, to, IpProtocol::Udp, 8 + payload.len(), |room| {
        let (from, to) = (IpAddress::Ipv4(from), IpAddress::Ipv4(to));
        let write = |room: &mut [u8]| room.copy_from_slice(payload);
        let sums = ChecksumCapabilities::default();
        repr.emit(&mut UdpPacket::new_unchecked(room), &from, &to, payload.len(), write, &sums);
    })
}

pub(super) fn tcp(source: u16, to: [u8; 4], destination: u16, control: TcpControl, ack: Option<i32>) -> Vec<u8> {
    segment(source, to, destination, control, (1000, ack), &[])
}

/// With its sequence and acknowledgement numbers, and what it carries.
pub(super) fn segment(
    source: u16,
    to: [u8; 4],
    destination: u16,
    control: TcpControl,
    (sequence, ack): (i32, Option<i32>),
    payload: &[u8],
) -> Vec<u8> {
    let (from, to) = (Ipv4Addr::new(10, 0, 2, 15), Ipv4Addr::from(to));
    let repr = TcpRepr {
        src_port: source,
        dst_port: destination,
        control,
        seq_number: TcpSeqNumber(sequence),
        ack_number: ack.map(TcpSeqNumber),
        window_len: 64000,
        window_scale: None,
        max_seg_size: (control == TcpControl::Syn).then_some(1460),
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload,
    };
    frame(from, to, IpProtocol::Tcp, repr.buffer_len(), |room| {
        let (from, to) = (IpAddress::Ipv4(from), IpAddress::Ipv4(to));
        repr.emit(&mut TcpPacket::new_unchecked(room), &from, &to, &ChecksumCapabilities::default());
    })
}

/// An echo request.
pub(super) fn echo(to: [u8; 4]) -> Vec<u8> {
    frame(Ipv4Addr::new(10, 0, 2, 15), Ipv4Addr::from(to), IpProtocol::Icmp, 16, |room| {
        room[0] = 8;
        smoltcp::wire::Icmpv4Packet::new_unchecked(room).fill_checksum();
    })
}

/// The fragments of a frame's packet.
pub(super) fn fragments(frame: &[u8], part: usize) -> Vec<Vec<u8>> {
    let parts: Vec<&[u8]> = frame[34..].chunks(part).collect();
    let fragment = |(index, bytes): (usize, &&[u8])| {
        let mut whole = [&frame[..34], bytes].concat();
        let mut packet = Ipv4Packet::new_unchecked(&mut whole[14..]);
        packet.set_ident(7);
        packet.set_total_len((20 + bytes.len()) as u16);
        packet.set_more_frags(index + 1 < parts.len());
        packet.set_frag_offset((index * part) as u16);
        packet.set_dont_frag(false);
        packet.fill_checksum();
        whole
    };
    parts.iter().enumerate().map(fragment).collect()
}
