//! A network of the guest's own, for which the host needs no privilege: QEMU's user networking.
//!
//! The guest is in a private network, behind network address translation. The gateway stands for the host's loopback,
//! the name server for the host's, and every other address for itself: what the guest sends there is opened again from
//! here, by sockets such as any program has. [`link`] is the wire to the guest, [`routes`] says who is behind which
//! address, and a file each has what speaks TCP (over smoltcp), UDP, ICMP and DHCP.
//!
//! The guest's clock has no part in it: retransmissions and time-outs go by the host's.
//!
//! Not modelled: IPv6, TFTP, the SMB server, guest forwarding, time to live.

mod dhcp;
mod fragments;
mod icmp;
mod link;
mod options;
mod ready;
mod routes;
mod tcp;
mod udp;

pub use options::{HostForward, UserOptions};

use super::{Netdev, NetdevError};
use dhcp::Dhcp;
use fragments::Fragments;
use icmp::Icmp;
use link::Link;
use routes::{Resolver, Routes};
use rustix::event::PollFd;
use smoltcp::wire::{DHCP_SERVER_PORT, IpProtocol, Ipv4Cidr, Ipv4Packet};
use std::time::{Duration, Instant};
use tcp::Tcp;
use udp::{Datagram, Udp};

/// Whoever waits for an answer asks this often whether there is still one to wait for.
const EXPECTANT: Duration = Duration::from_millis(100);

/// A user network.
pub struct User {
    link: Link,
    routes: Routes,
    fragments: Fragments,
    dhcp: Dhcp,
    icmp: Icmp,
    tcp: Tcp,
    udp: Udp,
}

impl User {
    /// Opens a user network.
    pub fn new(options: UserOptions) -> Result<Self, NetdevError> {
        Self::open(options, Resolver::of_host())
    }

    fn open(mut options: UserOptions, resolver: Resolver) -> Result<Self, NetdevError> {
        options.check()?;
        let first = options.dhcp_start;
        for forward in options.hostfwd.iter_mut().filter(|forward| forward.guest_addr.is_unspecified()) {
            forward.guest_addr = first;
        }
        let mut link = Link::new(&options);
        let own = Ipv4Cidr::new(options.host, options.net.1);
        let of_tcp = options.hostfwd.iter().filter(|forward| !forward.udp);
        Ok(Self {
            routes: Routes::new(&options, resolver),
            fragments: Fragments::default(),
            dhcp: Dhcp::new(&options),
            icmp: Icmp::default(),
            tcp: Tcp::new(own, of_tcp, &mut link)?,
            udp: Udp::new(options.hostfwd.iter().filter(|forward| forward.udp))?,
            link,
        })
    }

    fn take(&mut self, packet: &Ipv4Packet<&[u8]>, now: Instant) {
        match packet.next_header() {
            IpProtocol::Udp => self.take_udp(packet, now),
            // Who has no address yet can only ask for one.
            _ if packet.src_addr().is_unspecified() => {}
            IpProtocol::Tcp => {
                self.tcp.take(packet, &self.routes, &mut self.link, now);
                if self.tcp.is_full() {
                    self.turn(now);
                }
            }
            IpProtocol::Icmp => self.icmp.take(packet, &self.routes, &mut self.link, now),
            _ => {}
        }
    }

    fn take_udp(&mut self, packet: &Ipv4Packet<&[u8]>, now: Instant) {
        let Some(datagram) = Datagram::parse(packet) else { return };
        let to = *datagram.to.ip();
        if datagram.to.port() == DHCP_SERVER_PORT && (to.is_broadcast() || self.routes.is_ours(to)) {
            self.dhcp.take(datagram.payload, &mut self.link);
        } else if !datagram.from.ip().is_unspecified() {
            self.udp.take(&datagram, packet, &self.routes, &mut self.link, now);
        }
    }

    /// Moves on all that can.
    fn turn(&mut self, now: Instant) {
        self.tcp.turn(&self.routes, &mut self.link, now);
        self.udp.turn(&self.routes, &mut self.link, now);
        self.icmp.turn(&mut self.link, now);
    }
}

impl Netdev for User {
    fn send(&mut self, frame: &[u8]) {
        let now = Instant::now();
        let Some(packet) = self.link.take(frame) else { return };
        if !packet.more_frags() && packet.frag_offset() == 0 {
            return self.take(&packet, now);
        }
        if let Some(whole) = self.fragments.take(&packet, now)
            && let Ok(whole) = Ipv4Packet::new_checked(&whole[..])
        {
            self.take(&whole, now);
        }
    }

    fn receive(&mut self) -> Option<Vec<u8>> {
        if self.link.is_empty() {
            self.turn(Instant::now());
        }
        self.link.next()
    }

    fn sources(&self) -> Vec<PollFd<'_>> {
        self.tcp.sources().chain(self.udp.sources()).chain(self.icmp.sources()).collect()
    }

    fn timeout(&self) -> Option<Duration> {
        if self.tcp.is_behind() {
            return Some(Duration::ZERO);
        }
        // Otherwise it is for the guest to take what it has been sent.
        let wake = self.tcp.wake().filter(|_| self.link.is_empty());
        let wake = wake.map(|wake| wake.saturating_duration_since(Instant::now()));
        wake.into_iter().chain(self.expects_answer().then_some(EXPECTANT)).min()
    }

    fn expects_answer(&self) -> bool {
        let now = Instant::now();
        self.link.has_fresh(now)
            || self.tcp.expects_answer(now)
            || self.udp.expects_answer(now)
            || self.icmp.expects_answer(now)
    }
}

#[cfg(test)]
mod tests;
