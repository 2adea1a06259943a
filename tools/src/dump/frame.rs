//! One line about an Ethernet frame: who to whom, and what protocol.
//!
//! Documents: IEEE 802.3, 3.1.1 Packet format; RFC 826 (ARP), RFC 791 (IPv4), RFC 8200 (IPv6), RFC 9293 (TCP), RFC 768
//! (UDP), RFC 792 (ICMP). Nothing is checked: a frame that is cut short is described as far as it goes.

use std::net::{Ipv4Addr, Ipv6Addr};

/// What `frame` is.
pub(crate) fn summary(frame: &[u8]) -> String {
    let (Some(to), Some(from), Some(kind)) = (array::<6>(frame, 0), array::<6>(frame, 6), word(frame, 12)) else {
        return "cut short".into();
    };
    let packet = frame.get(14..).unwrap_or_default();
    let inside = match kind {
        0x0800 => ipv4(packet),
        0x0806 => arp(packet),
        0x86dd => ipv6(packet),
        0x8100 => Some("VLAN".into()),
        length if length < 0x600 => Some(format!("802.3, {length} bytes")),
        other => Some(format!("type {other:#06x}")),
    };
    format!("{} > {} {}", mac(from), mac(to), inside.unwrap_or_else(|| "cut short".into()))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_be_bytes)
}

fn mac(bytes: [u8; 6]) -> String {
    if bytes == [0xff; 6] {
        return "broadcast".into();
    }
    bytes.map(|byte| format!("{byte:02x}")).join(":")
}

fn arp(packet: &[u8]) -> Option<String> {
    let address = |at| array::<4>(packet, at).map(Ipv4Addr::from);
    let (sender, target) = (address(14)?, address(24)?);
    Some(match word(packet, 6)? {
        1 => format!("ARP who has {target}? tell {sender}"),
        2 => format!("ARP {sender} is at {}", mac(array(packet, 8)?)),
        operation => format!("ARP operation {operation}"),
    })
}

fn ipv4(packet: &[u8]) -> Option<String> {
    let address = |at| array::<4>(packet, at).map(Ipv4Addr::from);
    let (from, to) = (address(12)?.to_string(), address(16)?.to_string());
    let header = usize::from(packet.first()? & 15) * 4;
    let length = usize::from(word(packet, 2)?).min(packet.len());
    let is_later_fragment = word(packet, 6)? & 0x1fff != 0;
    if is_later_fragment {
        return Some(format!("{from} > {to} fragment"));
    }
    Some(transport(*packet.get(9)?, &from, &to, packet.get(header..length)?))
}

fn ipv6(packet: &[u8]) -> Option<String> {
    let address = |at| array::<16>(packet, at).map(Ipv6Addr::from);
    let (from, to) = (address(8)?, address(24)?);
    let end = packet.len().min(40 + usize::from(word(packet, 4)?));
    let (from, to) = (format!("[{from}]"), format!("[{to}]"));
    Some(transport(*packet.get(6)?, &from, &to, packet.get(40..end)?))
}

/// What an IP packet carries.
fn transport(protocol: u8, from: &str, to: &str, segment: &[u8]) -> String {
    let ports = || Some((word(segment, 0)?, word(segment, 2)?));
    match (protocol, ports()) {
        (6, Some((source, target))) => {
            let header = segment.get(12).map_or(0, |byte| usize::from(byte >> 4) * 4);
            let payload = segment.len().saturating_sub(header);
            let flags = segment.get(13).map_or(String::new(), |&byte| tcp_flags(byte));
            format!("{from}:{source} > {to}:{target} TCP{flags}, {payload} bytes")
        }
        (17, Some((source, target))) => {
            format!("{from}:{source} > {to}:{target} UDP, {} bytes", segment.len().saturating_sub(8))
        }
        (1, _) => format!("{from} > {to} ICMP type {}", segment.first().copied().unwrap_or_default()),
        (58, _) => format!("{from} > {to} ICMPv6 type {}", segment.first().copied().unwrap_or_default()),
        (other, _) => format!("{from} > {to} protocol {other}"),
    }
}

fn tcp_flags(byte: u8) -> String {
    let names = ["FIN", "SYN", "RST", "PSH", "ACK", "URG"];
    (0..).zip(names).filter(|(bit, _)| byte >> bit & 1 == 1).map(|(_, name)| format!(" {name}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUEST: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

    fn frame(to: [u8; 6], kind: u16, packet: &[u8]) -> Vec<u8> {
        [&to[..], &GUEST, &kind.to_be_bytes(), packet].concat()
    }

    fn ip(protocol: u8, segment: &[u8]) -> Vec<u8> {
        let length = (20 + segment.len() as u16).to_be_bytes();
        let start = [0x45, 0, length[0], length[1], 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 2, 15, 10, 0, 2, 2];
        [&start[..], segment].concat()
    }

    #[test]
    fn tcp_and_udp_have_ports() {
        let tcp = [&[0xc0, 0, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x12][..], &[0; 9]].concat();
        let padded = [&ip(6, &tcp)[..], &[0; 3]].concat();
        let line = "52:54:00:12:34:56 > 52:55:0a:00:02:02 10.0.2.15:49152 > 10.0.2.2:80 TCP SYN ACK, 3 bytes";
        assert_eq!(summary(&frame([0x52, 0x55, 10, 0, 2, 2], 0x800, &padded)), line);
        let line = "52:54:00:12:34:56 > broadcast 10.0.2.15:68 > 10.0.2.2:67 UDP, 1 bytes";
        assert_eq!(summary(&frame([0xff; 6], 0x800, &ip(17, &[0, 68, 0, 67, 0, 9, 0, 0, 1]))), line);
    }

    #[test]
    fn arp_asks_and_answers() {
        let mut packet = [0; 28];
        packet[6..8].copy_from_slice(&[0, 1]);
        packet[14..18].copy_from_slice(&[10, 0, 2, 15]);
        packet[24..28].copy_from_slice(&[10, 0, 2, 2]);
        let line = "52:54:00:12:34:56 > broadcast ARP who has 10.0.2.2? tell 10.0.2.15";
        assert_eq!(summary(&frame([0xff; 6], 0x806, &packet)), line);
    }

    #[test]
    fn a_frame_cut_anywhere_is_described() {
        let whole = frame(GUEST, 0x800, &ip(6, &[7; 20]));
        let six = frame(GUEST, 0x86dd, &[0x60; 60]);
        for whole in [whole, six] {
            (0..=whole.len()).for_each(|end| assert!(!summary(&whole[..end]).is_empty()));
        }
        assert_eq!(summary(&[]), "cut short");
    }
}
