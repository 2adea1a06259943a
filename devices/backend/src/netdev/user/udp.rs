//! UDP: RFC 768, *User Datagram Protocol*. Every port of the guest's that speaks gets one of the host's, from which it
//! reaches anybody and by which anybody's answer reaches it, for as long as it is used. What the guest is told of
//! nobody's listening is only what the host knows at once.

use super::HostForward;
use super::icmp::unreachable;
use super::link::Link;
use super::ready::ready;
use super::routes::{Behind, Routes};
use crate::netdev::NetdevError;
use rustix::event::{PollFd, PollFlags};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{Icmpv4DstUnreachable, IpAddress, IpProtocol, Ipv4Packet, UdpPacket, UdpRepr};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

/// Ports of the guest's that speak at once: each holds a socket.
const BINDINGS_LIMIT: usize = 256;

/// How long a quiet port is remembered, as QEMU does.
const REMEMBERED: Duration = Duration::from_secs(240);

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a name server may take.
const DNS_PATIENCE: Duration = Duration::from_secs(5);

/// Peers of a forwarded port that are remembered.
const PEERS_LIMIT: usize = 64;

/// Datagrams read in one go.
const BATCH: usize = 64;

/// A datagram of the guest's.
pub(super) struct Datagram<'p> {
    pub(super) from: SocketAddrV4,
    pub(super) to: SocketAddrV4,
    pub(super) payload: &'p [u8],
}

/// A port of the guest's; the name server has sockets of its own, since its answers come from another address.
type Key = (SocketAddrV4, bool);

/// A port of the host's that stands for one of the guest's.
struct Binding {
    socket: UdpSocket,
    used: Instant,
    /// When the guest last sent what nobody has answered.
    asked: Option<Instant>,
}

/// A port of the host's that leads to one of the guest's.
struct Forward {
    socket: UdpSocket,
    guest: SocketAddrV4,
    /// Who spoke to it, the latest last.
    peers: VecDeque<SocketAddr>,
}

/// Who a socket belongs to.
enum Owner {
    Binding(Key),
    Forward(usize),
}

/// All that speaks UDP.
pub(super) struct Udp {
    bindings: BTreeMap<Key, Binding>,
    forwards: Vec<Forward>,
}

impl<'p> Datagram<'p> {
    pub(super) fn parse(packet: &Ipv4Packet<&'p [u8]>) -> Option<Self> {
        let (from, to) = (packet.src_addr(), packet.dst_addr());
        let udp = UdpPacket::new_checked(packet.payload()).ok()?;
        let (source, destination) = (IpAddress::Ipv4(from), IpAddress::Ipv4(to));
        UdpRepr::parse(&udp, &source, &destination, &ChecksumCapabilities::default()).ok()?;
        let (from, to) = (SocketAddrV4::new(from, udp.src_port()), SocketAddrV4::new(to, udp.dst_port()));
        Some(Self { from, to, payload: udp.payload() })
    }
}

impl Udp {
    /// Listens where the host is to be let in.
    pub(super) fn new<'o>(forwards: impl Iterator<Item = &'o HostForward>) -> Result<Self, NetdevError> {
        Ok(Self { bindings: BTreeMap::new(), forwards: forwards.map(Forward::open).collect::<Result<_, _>>()? })
    }

    /// Takes a datagram that the guest sent in a packet.
    pub(super) fn take(
        &mut self,
        datagram: &Datagram<'_>,
        packet: &Ipv4Packet<&[u8]>,
        routes: &Routes,
        link: &mut Link,
        now: Instant,
    ) {
        if self.forwards.iter().any(|forward| forward.reply(datagram, routes)) {
            return;
        }
        match routes.outside(datagram.to, now) {
            Behind::Host(address) => {
                let sent = self.send(datagram, address, routes.is_dns(datagram.to), now);
                if sent.is_err_and(|error| error.kind() == io::ErrorKind::NetworkUnreachable) {
                    unreachable(link, routes.gateway(), packet, Icmpv4DstUnreachable::NetUnreachable);
                }
            }
            Behind::Nothing => unreachable(link, *datagram.to.ip(), packet, Icmpv4DstUnreachable::PortUnreachable),
            Behind::Nowhere => {}
        }
    }

    fn send(&mut self, datagram: &Datagram<'_>, to: SocketAddr, is_dns: bool, now: Instant) -> io::Result<()> {
        let key = (datagram.from, is_dns);
        if !self.bindings.contains_key(&key) {
            self.make_room();
            self.bindings.insert(key, Binding { socket: bind_any(to)?, used: now, asked: None });
        }
        let Some(binding) = self.bindings.get_mut(&key) else { return Ok(()) };
        binding.used = now;
        binding.asked = Some(now);
        binding.socket.send_to(datagram.payload, to).map(drop)
    }

    /// Forgets the port that has been quiet for longest, if there are too many.
    fn make_room(&mut self) {
        if self.bindings.len() >= BINDINGS_LIMIT
            && let Some(key) = self.bindings.iter().min_by_key(|(_, binding)| binding.used).map(|(key, _)| *key)
        {
            self.bindings.remove(&key);
        }
    }

    /// Hands the guest what has come.
    pub(super) fn turn(&mut self, routes: &Routes, link: &mut Link, now: Instant) {
        self.bindings.retain(|(_, is_dns), binding| {
            now.saturating_duration_since(binding.used) < if *is_dns { 2 * DNS_PATIENCE } else { REMEMBERED }
        });
        for owner in ready(self.owners().collect()) {
            match owner {
                Owner::Binding(key) => {
                    let Some(binding) = self.bindings.get_mut(&key) else { continue };
                    binding.receive(key, routes, link, now);
                }
                Owner::Forward(index) => self.forwards[index].receive(routes, link),
            }
        }
    }

    fn owners(&self) -> impl Iterator<Item = (Owner, PollFd<'_>)> {
        let bindings = self.bindings.iter().map(|(key, binding)| (Owner::Binding(*key), &binding.socket));
        let forwards = self.forwards.iter().enumerate().map(|(n, forward)| (Owner::Forward(n), &forward.socket));
        bindings.chain(forwards).map(|(owner, socket)| (owner, PollFd::new(socket, PollFlags::IN)))
    }

    pub(super) fn sources(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.owners().map(|(_, fd)| fd)
    }

    pub(super) fn expects_answer(&self, now: Instant) -> bool {
        let waits = |(_, is_dns): &Key, asked: Instant| {
            now.saturating_duration_since(asked) < if *is_dns { DNS_PATIENCE } else { PATIENCE }
        };
        self.bindings.iter().any(|(key, binding)| binding.asked.is_some_and(|asked| waits(key, asked)))
    }

    /// Where the host is let in.
    #[cfg(test)]
    pub(super) fn doors(&self) -> Vec<SocketAddr> {
        self.forwards.iter().filter_map(|forward| forward.socket.local_addr().ok()).collect()
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.bindings.len()
    }
}

impl Binding {
    fn receive(&mut self, (guest, is_dns): Key, routes: &Routes, link: &mut Link, now: Instant) {
        let mut buffer = [0; 65536];
        for _ in 0..BATCH {
            if link.is_full() {
                return;
            }
            match self.socket.recv_from(&mut buffer) {
                Ok((length, peer)) => {
                    (self.used, self.asked) = (now, None);
                    let from = if is_dns { routes.dns() } else { routes.inside(peer) };
                    send_datagram(link, from, guest, &buffer[..length]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // What the host tells of an earlier datagram; it is told once.
                Err(_) => {}
            }
        }
    }
}

impl Forward {
    fn open(forward: &HostForward) -> Result<Self, NetdevError> {
        let address = SocketAddrV4::new(forward.host_addr, forward.host_port);
        let open = || {
            let socket = UdpSocket::bind(address)?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        };
        let socket = open().map_err(|source| NetdevError::Open { name: format!("UDP port {address}"), source })?;
        let guest = SocketAddrV4::new(forward.guest_addr, forward.guest_port);
        Ok(Self { socket, guest, peers: VecDeque::new() })
    }

    /// Hands a datagram to the peer that it answers; false if it answers none.
    fn reply(&self, datagram: &Datagram<'_>, routes: &Routes) -> bool {
        let peer = self.peers.iter().rev().find(|peer| routes.inside(**peer) == datagram.to);
        let Some(peer) = peer.filter(|_| self.guest == datagram.from) else { return false };
        // A datagram that the host does not take is lost, as on a wire.
        let _ = self.socket.send_to(datagram.payload, peer);
        true
    }

    fn receive(&mut self, routes: &Routes, link: &mut Link) {
        let mut buffer = [0; 65536];
        for _ in 0..BATCH {
            if link.is_full() {
                return;
            }
            match self.socket.recv_from(&mut buffer) {
                Ok((length, peer)) => {
                    self.remember(peer);
                    send_datagram(link, routes.inside(peer), self.guest, &buffer[..length]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // What the host tells of an earlier datagram; it is told once.
                Err(_) => {}
            }
        }
    }

    fn remember(&mut self, peer: SocketAddr) {
        self.peers.retain(|known| *known != peer);
        if self.peers.len() >= PEERS_LIMIT {
            self.peers.pop_front();
        }
        self.peers.push_back(peer);
    }
}

/// A socket from which an address can be reached.
fn bind_any(to: SocketAddr) -> io::Result<UdpSocket> {
    let socket = match to {
        SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?,
        SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?,
    };
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Sends the guest a datagram.
pub(super) fn send_datagram(link: &mut Link, from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) {
    let repr = UdpRepr { src_port: from.port(), dst_port: to.port() };
    let mut bytes = vec![0; repr.header_len() + payload.len()];
    let (source, destination) = (IpAddress::Ipv4(*from.ip()), IpAddress::Ipv4(*to.ip()));
    let write = |room: &mut [u8]| room.copy_from_slice(payload);
    let sums = ChecksumCapabilities::default();
    repr.emit(&mut UdpPacket::new_unchecked(&mut bytes[..]), &source, &destination, payload.len(), write, &sums);
    link.send_payload(*from.ip(), *to.ip(), IpProtocol::Udp, &bytes);
}
