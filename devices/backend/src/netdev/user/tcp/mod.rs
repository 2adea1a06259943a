//! TCP: RFC 9293, *Transmission Control Protocol (TCP)*. smoltcp speaks it with the guest, the host's sockets with
//! everybody else, and what one says is handed to the other.
//!
//! A guest that asks for a connection must hear whether there is anybody out there. So its SYN is kept until the
//! host's own connection stands or has failed; only then does smoltcp see it: with a socket that listens for it, so
//! that it is accepted, or without one, so that it is refused.

mod open;
mod phy;

use super::HostForward;
use super::icmp::unreachable;
use super::link::Link;
use super::ready::ready;
use super::routes::{Behind, Routes};
use crate::connecting;
use crate::netdev::NetdevError;
use open::Open;
use phy::Phy;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::socket::tcp::{Socket, State};
use smoltcp::time::Instant as SmolInstant;
use smoltcp::wire::{
    HardwareAddress, Icmpv4DstUnreachable, IpAddress, IpCidr, IpEndpoint, Ipv4Cidr, Ipv4Packet, TcpPacket,
};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Connections at once: each holds a socket of the host's and two buffers.
const FLOWS_LIMIT: usize = 512;

/// Packets of the guest's that wait for their turn.
const PACKETS_LIMIT: usize = 1024;

/// Connections accepted from the host in one go.
const ACCEPT_BATCH: usize = 16;

/// How long somebody who does not answer a call is waited for; the host itself goes on for longer.
const CALL_PATIENCE: Duration = Duration::from_secs(30);

/// Ports tried for a connection from the host, should its own be in use.
const PORTS_TRIED: u16 = 16;

/// The shortest sleep: what smoltcp wants at once and did not do is for the guest to make possible.
const SHORTEST_SLEEP: Duration = Duration::from_millis(1);

/// Both ends of a connection, as the guest knows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ends {
    guest: SocketAddrV4,
    far: SocketAddrV4,
}

/// A connection that the guest asked for, and that the host has not got yet.
struct Dialling {
    host: TcpStream,
    /// The packet in which the guest asked.
    syn: Vec<u8>,
    since: Instant,
}

enum Flow {
    Dialling(Dialling),
    Open(Open),
}

/// A port of the host's that leads to one of the guest's.
struct Forward {
    listener: TcpListener,
    guest: SocketAddrV4,
}

/// Whose socket has something to do.
enum Owner {
    Flow(Ends),
    Forward(usize),
}

/// All that speaks TCP.
pub(super) struct Tcp {
    interface: Interface,
    sockets: SocketSet<'static>,
    /// What the guest sent, until its turn.
    packets: VecDeque<Vec<u8>>,
    flows: BTreeMap<Ends, Flow>,
    forwards: Vec<Forward>,
    /// smoltcp's time 0.
    start: Instant,
    /// When smoltcp wants to be looked at, though nothing has come.
    wake: Option<Instant>,
}

impl Tcp {
    /// Listens where the host is to be let in.
    pub(super) fn new<'o>(
        own: Ipv4Cidr,
        forwards: impl Iterator<Item = &'o HostForward>,
        link: &mut Link,
    ) -> Result<Self, NetdevError> {
        let mut packets = VecDeque::new();
        let mut phy = Phy { packets: &mut packets, link };
        let mut interface = Interface::new(Config::new(HardwareAddress::Ip), &mut phy, SmolInstant::ZERO);
        interface.update_ip_addrs(|addresses| addresses.extend([IpCidr::Ipv4(own)]));
        // We speak for everybody out there.
        interface.set_any_ip(true);
        Ok(Self {
            interface,
            sockets: SocketSet::new(Vec::new()),
            packets,
            flows: BTreeMap::new(),
            forwards: forwards.map(Forward::open).collect::<Result<_, _>>()?,
            start: Instant::now(),
            wake: None,
        })
    }

    /// Takes a packet of the guest's.
    pub(super) fn take(&mut self, packet: &Ipv4Packet<&[u8]>, routes: &Routes, link: &mut Link, now: Instant) {
        let (from, to) = (packet.src_addr(), packet.dst_addr());
        let Ok(segment) = TcpPacket::new_checked(packet.payload()) else { return };
        if !segment.verify_checksum(&IpAddress::Ipv4(from), &IpAddress::Ipv4(to)) {
            return;
        }
        let ends =
            Ends { guest: SocketAddrV4::new(from, segment.src_port()), far: SocketAddrV4::new(to, segment.dst_port()) };
        let asks = segment.syn() && !segment.ack() && !segment.rst() && !segment.fin();
        match self.flows.get(&ends) {
            Some(Flow::Dialling(_)) => {
                // Asked again, or no more.
                if segment.rst() {
                    self.flows.remove(&ends);
                }
                return;
            }
            Some(Flow::Open(open)) if asks => {
                let socket: &Socket<'_> = self.sockets.get(open.handle);
                if matches!(socket.state(), State::TimeWait | State::Closed) {
                    self.forget(ends);
                    return self.dial(ends, packet, routes, link, now);
                }
            }
            Some(Flow::Open(_)) => {}
            None if asks => return self.dial(ends, packet, routes, link, now),
            None => {}
        }
        if self.packets.len() < PACKETS_LIMIT {
            self.packets.push_back(packet.as_ref()[..usize::from(packet.total_len())].to_vec());
        }
    }

    /// Whether the guest has sent so much that it should have its turn.
    pub(super) fn is_full(&self) -> bool {
        self.packets.len() >= PACKETS_LIMIT
    }

    fn dial(&mut self, ends: Ends, packet: &Ipv4Packet<&[u8]>, routes: &Routes, link: &mut Link, now: Instant) {
        let address = match routes.outside(ends.far, now) {
            Behind::Host(address) if ends.guest.port() != 0 => address,
            Behind::Host(_) | Behind::Nowhere => return,
            Behind::Nothing => return self.show(packet.as_ref(), link, now),
        };
        if !self.make_room(now) {
            log::warn!("refusing the guest a connection to {}: {FLOWS_LIMIT} are open", ends.far);
            return self.show(packet.as_ref(), link, now);
        }
        match start_connection(address) {
            Ok(host) => {
                let syn = packet.as_ref()[..usize::from(packet.total_len())].to_vec();
                self.flows.insert(ends, Flow::Dialling(Dialling { host, syn, since: now }));
            }
            Err(errno) => self.refuse(errno, packet.as_ref(), routes, link, now),
        }
    }

    /// Makes sure that there is room for another connection; false if there is none.
    fn make_room(&mut self, now: Instant) -> bool {
        if self.flows.len() < FLOWS_LIMIT {
            return true;
        }
        let spare = |flow: &Flow| match flow {
            Flow::Dialling(dialling) => Some((1, dialling.since)),
            Flow::Open(open) => open.spare(self.sockets.get(open.handle), now),
        };
        let spared = self.flows.iter().filter_map(|(ends, flow)| Some((spare(flow)?, *ends))).min();
        spared.is_some_and(|(_, ends)| {
            self.forget(ends);
            true
        })
    }

    /// Forgets a connection; what the guest still says of it is answered with a reset.
    fn forget(&mut self, ends: Ends) {
        if let Some(Flow::Open(open)) = self.flows.remove(&ends) {
            self.sockets.remove(open.handle);
        }
    }

    /// Tells the guest that the host could not connect.
    fn refuse(&mut self, errno: Errno, syn: &[u8], routes: &Routes, link: &mut Link, now: Instant) {
        let reason = match errno {
            Errno::NETUNREACH => Icmpv4DstUnreachable::NetUnreachable,
            Errno::HOSTUNREACH | Errno::TIMEDOUT => Icmpv4DstUnreachable::HostUnreachable,
            _ => return self.show(syn, link, now),
        };
        if let Ok(packet) = Ipv4Packet::new_checked(syn) {
            unreachable(link, routes.gateway(), &packet, reason);
        }
    }

    /// Shows smoltcp a packet now.
    fn show(&mut self, packet: &[u8], link: &mut Link, now: Instant) {
        let mut packets = VecDeque::from([packet.to_vec()]);
        let now = self.moment(now);
        self.interface.poll_ingress_single(now, &mut Phy { packets: &mut packets, link }, &mut self.sockets);
    }

    /// The host's time, as smoltcp has it.
    fn moment(&self, now: Instant) -> SmolInstant {
        SmolInstant::from_micros(now.saturating_duration_since(self.start).as_micros() as i64)
    }

    /// Moves on all that can.
    pub(super) fn turn(&mut self, routes: &Routes, link: &mut Link, now: Instant) {
        for owner in ready(self.owners().collect()) {
            match owner {
                Owner::Flow(ends) => self.hear_host(ends, routes, link, now),
                Owner::Forward(index) => self.accept(index, routes, now),
            }
        }
        self.poll(link, now);
        for flow in self.flows.values_mut() {
            if let Flow::Open(open) = flow {
                open.pump(self.sockets.get_mut(open.handle), now);
            }
        }
        self.poll(link, now);
        self.clear_away();
        let moment = self.moment(now);
        let delay = self.interface.poll_delay(moment, &self.sockets);
        self.wake = delay.map(|delay| now + Duration::from(delay).max(SHORTEST_SLEEP));
    }

    fn poll(&mut self, link: &mut Link, now: Instant) {
        let now = self.moment(now);
        self.interface.poll(now, &mut Phy { packets: &mut self.packets, link }, &mut self.sockets);
    }

    fn hear_host(&mut self, ends: Ends, routes: &Routes, link: &mut Link, now: Instant) {
        if let Some(Flow::Open(open)) = self.flows.get_mut(&ends) {
            return open.wake();
        }
        let Some(Flow::Dialling(dialling)) = self.flows.remove(&ends) else { return };
        match connecting::outcome(&dialling.host) {
            Ok(()) => self.open(ends, dialling, link, now),
            Err(errno) => self.refuse(errno, &dialling.syn, routes, link, now),
        }
    }

    /// Lets the guest have the connection that it asked for.
    fn open(&mut self, ends: Ends, dialling: Dialling, link: &mut Link, now: Instant) {
        let mut socket = open::socket();
        if socket.listen(IpEndpoint::from(ends.far)).is_err() {
            return;
        }
        let handle = self.sockets.add(socket);
        self.show(&dialling.syn, link, now);
        if self.sockets.get::<Socket<'_>>(handle).state() == State::SynReceived {
            self.flows.insert(ends, Flow::Open(Open::new(handle, dialling.host, now)));
        } else {
            // It was no SYN that smoltcp can make sense of.
            self.sockets.remove(handle);
        }
    }

    /// Lets in who knocks at a port of the host's.
    fn accept(&mut self, index: usize, routes: &Routes, now: Instant) {
        for _ in 0..ACCEPT_BATCH {
            let Ok((host, peer)) = self.forwards[index].listener.accept() else { return };
            if host.set_nonblocking(true).is_err() || !self.make_room(now) {
                continue;
            }
            let guest = self.forwards[index].guest;
            let seen = routes.inside(peer);
            let ports = (0..PORTS_TRIED).map(|n| seen.port().wrapping_add(n)).filter(|port| *port != 0);
            let mut all = ports.map(|port| Ends { guest, far: SocketAddrV4::new(*seen.ip(), port) });
            if let Some(ends) = all.find(|ends| !self.flows.contains_key(ends)) {
                self.let_in(ends, host, now);
            }
        }
    }

    fn let_in(&mut self, ends: Ends, host: TcpStream, now: Instant) {
        let mut socket = open::socket();
        let context = self.interface.context();
        if socket.connect(context, IpEndpoint::from(ends.guest), IpEndpoint::from(ends.far)).is_ok() {
            let handle = self.sockets.add(socket);
            self.flows.insert(ends, Flow::Open(Open::new(handle, host, now)));
        }
    }

    fn clear_away(&mut self) {
        let over = |flow: &Flow| match flow {
            Flow::Dialling(_) => false,
            Flow::Open(open) => open.is_over(self.sockets.get(open.handle)),
        };
        let all: Vec<Ends> = self.flows.iter().filter(|(_, flow)| over(flow)).map(|(ends, _)| *ends).collect();
        all.into_iter().for_each(|ends| self.forget(ends));
    }

    fn owners<'s>(&'s self) -> impl Iterator<Item = (Owner, PollFd<'s>)> {
        let of_flow = |flow: &'s Flow| match flow {
            Flow::Dialling(dialling) => Some(PollFd::new(&dialling.host, PollFlags::OUT)),
            Flow::Open(open) => open.source(self.sockets.get(open.handle)),
        };
        let flows = self.flows.iter().filter_map(move |(ends, flow)| Some((Owner::Flow(*ends), of_flow(flow)?)));
        let doors = self.forwards.iter().map(|forward| PollFd::new(&forward.listener, PollFlags::IN));
        flows.chain(doors.enumerate().map(|(index, fd)| (Owner::Forward(index), fd)))
    }

    pub(super) fn sources(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.owners().map(|(_, fd)| fd)
    }

    /// When there is something to do, though nothing has come.
    pub(super) fn wake(&self) -> Option<Instant> {
        self.wake
    }

    /// Whether the guest has sent what has not had its turn.
    pub(super) fn is_behind(&self) -> bool {
        !self.packets.is_empty()
    }

    pub(super) fn expects_answer(&self, now: Instant) -> bool {
        self.is_behind()
            || self.flows.values().any(|flow| match flow {
                Flow::Dialling(dialling) => now.saturating_duration_since(dialling.since) < CALL_PATIENCE,
                Flow::Open(open) => open.expects_answer(now),
            })
    }

    /// Where the host is let in.
    #[cfg(test)]
    pub(super) fn doors(&self) -> Vec<SocketAddr> {
        self.forwards.iter().filter_map(|forward| forward.listener.local_addr().ok()).collect()
    }

    /// Bytes of the guest's that the host has not taken.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        let kept = |flow: &Flow| match flow {
            Flow::Dialling(_) => 0,
            Flow::Open(open) => self.sockets.get::<Socket<'_>>(open.handle).recv_queue(),
        };
        self.flows.values().map(kept).sum()
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.flows.len()
    }
}

impl Forward {
    fn open(forward: &HostForward) -> Result<Self, NetdevError> {
        let address = SocketAddrV4::new(forward.host_addr, forward.host_port);
        let open = || {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            io::Result::Ok(listener)
        };
        let listener = open().map_err(|source| NetdevError::Open { name: format!("TCP port {address}"), source })?;
        Ok(Self { listener, guest: SocketAddrV4::new(forward.guest_addr, forward.guest_port) })
    }
}

/// Asks the host for a connection, without waiting for it.
fn start_connection(to: SocketAddr) -> Result<TcpStream, Errno> {
    let family = match to {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)?;
    match connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(TcpStream::from(socket)),
        Err(errno) => Err(errno),
    }
}
