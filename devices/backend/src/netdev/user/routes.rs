//! Which address on the host's side stands behind one on the guest's.

use super::UserOptions;
use smoltcp::wire::Ipv4Cidr;
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};

/// Where the host says which name servers it asks.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// How long what the host said is believed: it changes when the host moves to another network.
const BELIEVED: Duration = Duration::from_secs(5);

/// Where name servers listen.
pub(super) const DNS_PORT: u16 = 53;

/// What stands behind an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behind {
    /// Somebody on the host's side.
    Host(SocketAddr),
    /// One of ours that offers no such thing.
    Nothing,
    /// No address that anybody may reach from in here.
    Nowhere,
}

/// The name server behind the network's own.
pub(super) enum Resolver {
    /// The host's first, as it was when last read.
    OfHost(Cell<Option<(Instant, SocketAddr)>>),
    /// Always this one.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests must not ask the host's name server"))]
    Fixed(SocketAddr),
}

/// Which address stands behind which.
pub(super) struct Routes {
    subnet: Ipv4Cidr,
    host: Ipv4Addr,
    dns: Ipv4Addr,
    restrict: bool,
    resolver: Resolver,
}

impl Routes {
    pub(super) fn new(options: &UserOptions, resolver: Resolver) -> Self {
        let UserOptions { host, dns, restrict, .. } = *options;
        Self { subnet: options.subnet(), host, dns, restrict, resolver }
    }

    /// What stands behind an address that the guest wants to reach.
    pub(super) fn outside(&self, to: SocketAddrV4, now: Instant) -> Behind {
        let (ip, port) = (*to.ip(), to.port());
        if self.restrict || port == 0 {
            Behind::Nowhere
        } else if ip == self.host {
            Behind::Host(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        } else if self.is_dns(to) {
            Behind::Host(self.resolver.address(now))
        } else if ip == self.dns {
            Behind::Nothing
        } else if self.is_foreign(ip) {
            Behind::Host(SocketAddr::V4(to))
        } else {
            Behind::Nowhere
        }
    }

    /// Whether an address is that of the name server.
    pub(super) fn is_dns(&self, to: SocketAddrV4) -> bool {
        *to.ip() == self.dns && to.port() == DNS_PORT
    }

    /// The name server, as the guest knows it.
    pub(super) fn dns(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.dns, DNS_PORT)
    }

    /// Who tells the guest what cannot be reached.
    pub(super) fn gateway(&self) -> Ipv4Addr {
        self.host
    }

    /// Whether an address is one out there. What the host would take for itself (0.0.0.0, 127.0.0.1) is not: the guest
    /// reaches the host by the gateway's address or not at all.
    pub(super) fn is_foreign(&self, ip: Ipv4Addr) -> bool {
        let ours = self.subnet.contains_addr(&ip);
        let special = ip.octets()[0] == 0 || ip.is_loopback() || ip.is_multicast() || ip.is_broadcast();
        !ours && !special && !self.restrict
    }

    /// Whether an address is one of ours.
    pub(super) fn is_ours(&self, ip: Ipv4Addr) -> bool {
        ip == self.host || ip == self.dns
    }

    /// As whom the guest knows somebody on the host's side.
    pub(super) fn inside(&self, peer: SocketAddr) -> SocketAddrV4 {
        match peer {
            SocketAddr::V4(peer) if !peer.ip().is_loopback() => peer,
            SocketAddr::V4(_) | SocketAddr::V6(_) => SocketAddrV4::new(self.host, peer.port()),
        }
    }
}

impl Resolver {
    /// The host's name server.
    pub(super) fn of_host() -> Self {
        Self::OfHost(Cell::new(None))
    }

    fn address(&self, now: Instant) -> SocketAddr {
        let known = match self {
            Self::Fixed(address) => return *address,
            Self::OfHost(known) => known,
        };
        if let Some((read, address)) = known.get()
            && now.saturating_duration_since(read) < BELIEVED
        {
            return address;
        }
        // Without that file, the host's own resolver asks itself: resolv.conf(5).
        let text = std::fs::read_to_string(RESOLV_CONF).unwrap_or_default();
        let ip = first_nameserver(&text).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let address = SocketAddr::new(ip, DNS_PORT);
        known.set(Some((now, address)));
        address
    }
}

/// The first name server that a resolv.conf names.
fn first_nameserver(text: &str) -> Option<IpAddr> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()? == "nameserver").then(|| words.next()?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(options: UserOptions) -> Routes {
        Routes::new(&options, Resolver::Fixed("192.0.2.53:5353".parse().unwrap()))
    }

    #[test]
    fn the_gateway_is_the_host_and_the_rest_is_as_far_as_it_looks() {
        let routes = routes(UserOptions::default());
        for (to, behind) in [
            ("10.0.2.2:80", Behind::Host("127.0.0.1:80".parse().unwrap())),
            ("10.0.2.3:53", Behind::Host("192.0.2.53:5353".parse().unwrap())),
            ("10.0.2.3:80", Behind::Nothing),
            ("192.0.2.7:443", Behind::Host("192.0.2.7:443".parse().unwrap())),
            ("192.0.2.7:0", Behind::Nowhere),
            ("10.0.2.99:80", Behind::Nowhere),
            ("127.0.0.1:80", Behind::Nowhere),
            ("0.0.0.0:80", Behind::Nowhere),
            ("224.0.0.251:5353", Behind::Nowhere),
            ("255.255.255.255:9", Behind::Nowhere),
        ] {
            assert_eq!(routes.outside(to.parse().unwrap(), Instant::now()), behind, "{to}");
        }
    }

    #[test]
    fn a_restricted_guest_reaches_nothing() {
        let routes = routes(UserOptions { restrict: true, ..UserOptions::default() });
        for to in ["10.0.2.2:80", "10.0.2.3:53", "192.0.2.7:443"] {
            assert_eq!(routes.outside(to.parse().unwrap(), Instant::now()), Behind::Nowhere, "{to}");
        }
    }

    #[test]
    fn whoever_is_on_the_host_is_the_gateway_to_the_guest() {
        let routes = routes(UserOptions::default());
        for (peer, seen) in
            [("127.0.0.53:1234", "10.0.2.2:1234"), ("[::1]:1234", "10.0.2.2:1234"), ("192.0.2.7:99", "192.0.2.7:99")]
        {
            assert_eq!(routes.inside(peer.parse().unwrap()), seen.parse().unwrap(), "{peer}");
        }
    }

    #[test]
    fn the_first_name_server_counts() {
        let text = "# nameserver 1.1.1.1\nsearch example.org\nnameserver fe80::1%eth0\n nameserver\t192.0.2.1 \nnameserver 192.0.2.2";
        assert_eq!(first_nameserver(text), Some("192.0.2.1".parse().unwrap()));
        assert_eq!(first_nameserver("nameserver 2001:db8::1"), Some("2001:db8::1".parse().unwrap()));
        assert_eq!(first_nameserver("options ndots:1\nnameserver"), None);
    }
}
