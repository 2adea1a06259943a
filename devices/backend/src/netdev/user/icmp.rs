//! ICMP: RFC 792, *Internet Control Message Protocol*. Echo requests to us are answered; those to others go out by the
//! sockets that the host lets ordinary users ping with, where it does. Time to live is not counted, so the guest
//! cannot trace routes.

use super::link::Link;
use super::ready::ready;
use super::routes::Routes;
use rustix::event::{PollFd, PollFlags};
use rustix::fd::OwnedFd;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto, recvfrom, sendto, socket_with,
};
use smoltcp::wire::{Icmpv4DstUnreachable, Icmpv4Message, Icmpv4Packet, IpProtocol, Ipv4Packet};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

/// Conversations at once: each holds a socket.
const PINGS_LIMIT: usize = 16;

/// How long a conversation that has gone quiet is remembered.
const REMEMBERED: Duration = Duration::from_secs(30);

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Bytes of what was not delivered that its sender gets back, beyond the IP header.
const RETURNED: usize = 8;

/// Replies read in one go.
const BATCH: usize = 32;

/// A conversation with somebody out there.
struct Ping {
    socket: OwnedFd,
    guest: Ipv4Addr,
    /// The guest's; the host has one of its own.
    ident: u16,
    asked: Instant,
    answered: bool,
}

/// Echoes.
#[derive(Default)]
pub(super) struct Icmp {
    /// The one used longest ago first.
    pings: VecDeque<Ping>,
    /// The host does not let us.
    refused: bool,
}

impl Icmp {
    /// Takes a packet of the guest's.
    pub(super) fn take(&mut self, packet: &Ipv4Packet<&[u8]>, routes: &Routes, link: &mut Link, now: Instant) {
        let Ok(message) = Icmpv4Packet::new_checked(packet.payload()) else { return };
        let is_echo = message.msg_type() == Icmpv4Message::EchoRequest && message.msg_code() == 0;
        if !is_echo || !message.verify_checksum() {
            return;
        }
        if routes.is_ours(packet.dst_addr()) {
            reply(link, packet.dst_addr(), packet.src_addr(), packet.payload().to_vec(), message.echo_ident());
        } else if routes.is_foreign(packet.dst_addr()) {
            self.ask(packet, message.echo_ident(), now);
        }
    }

    fn ask(&mut self, packet: &Ipv4Packet<&[u8]>, ident: u16, now: Instant) {
        let known = |ping: &Ping| ping.guest == packet.src_addr() && ping.ident == ident;
        let found = self.pings.iter().position(known).and_then(|index| self.pings.remove(index));
        let Some(mut ping) = found.or_else(|| self.open(packet.src_addr(), ident, now)) else { return };
        (ping.asked, ping.answered) = (now, false);
        let to = SocketAddrV4::new(packet.dst_addr(), 0);
        // An echo that the host does not send is lost, as on a wire.
        let _ = sendto(&ping.socket, packet.payload(), SendFlags::empty(), &to);
        self.pings.push_back(ping);
        if self.pings.len() > PINGS_LIMIT {
            self.pings.pop_front();
        }
    }

    fn open(&mut self, guest: Ipv4Addr, ident: u16, now: Instant) -> Option<Ping> {
        if self.refused {
            return None;
        }
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        match socket_with(AddressFamily::INET, SocketType::DGRAM, flags, Some(ipproto::ICMP)) {
            Ok(socket) => Some(Ping { socket, guest, ident, asked: now, answered: false }),
            Err(error) => {
                log::info!("the guest can ping nobody but the host: {error}");
                self.refused = true;
                None
            }
        }
    }

    /// Hands the guest what has come.
    pub(super) fn turn(&mut self, link: &mut Link, now: Instant) {
        self.pings.retain(|ping| now.saturating_duration_since(ping.asked) < REMEMBERED);
        let fds = self.pings.iter().map(|ping| PollFd::new(&ping.socket, PollFlags::IN));
        for index in ready(fds.enumerate().collect()) {
            self.pings[index].receive(link);
        }
    }

    pub(super) fn sources(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.pings.iter().map(|ping| PollFd::new(&ping.socket, PollFlags::IN))
    }

    pub(super) fn expects_answer(&self, now: Instant) -> bool {
        self.pings.iter().any(|ping| !ping.answered && now.saturating_duration_since(ping.asked) < PATIENCE)
    }
}

impl Ping {
    fn receive(&mut self, link: &mut Link) {
        let mut buffer = [0; 65536];
        for _ in 0..BATCH {
            let Ok((length, _, Some(from))) = recvfrom(&self.socket, &mut buffer[..], RecvFlags::empty()) else {
                return;
            };
            let Ok(from) = SocketAddrV4::try_from(from) else { continue };
            self.answered = true;
            reply(link, *from.ip(), self.guest, buffer[..length].to_vec(), self.ident);
        }
    }
}

/// Sends an echo back.
fn reply(link: &mut Link, from: Ipv4Addr, to: Ipv4Addr, mut echo: Vec<u8>, ident: u16) {
    let Ok(mut message) = Icmpv4Packet::new_checked(&mut echo) else { return };
    message.set_msg_type(Icmpv4Message::EchoReply);
    message.set_echo_ident(ident);
    message.fill_checksum();
    link.send_payload(from, to, IpProtocol::Icmp, &echo);
}

/// Tells the guest that a packet of its own cannot be delivered.
pub(super) fn unreachable(link: &mut Link, from: Ipv4Addr, packet: &Ipv4Packet<&[u8]>, reason: Icmpv4DstUnreachable) {
    let payload = packet.payload();
    let header = &packet.as_ref()[..usize::from(packet.header_len())];
    let returned = [header, &payload[..payload.len().min(RETURNED)]].concat();
    let mut bytes = vec![0; 8 + returned.len()];
    let mut message = Icmpv4Packet::new_unchecked(&mut bytes[..]);
    message.set_msg_type(Icmpv4Message::DstUnreachable);
    message.set_msg_code(reason.into());
    message.data_mut().copy_from_slice(&returned);
    message.fill_checksum();
    link.send_payload(from, packet.src_addr(), IpProtocol::Icmp, &bytes);
}
