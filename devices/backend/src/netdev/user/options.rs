//! What can be chosen about a user network.

use crate::netdev::NetdevError;
use smoltcp::wire::Ipv4Cidr;
use std::net::Ipv4Addr;

/// What can be chosen; the defaults are QEMU's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserOptions {
    /// The network that the guest is in, and the length of its prefix.
    pub net: (Ipv4Addr, u8),
    /// The gateway, behind which the host's loopback answers.
    pub host: Ipv4Addr,
    /// The name server, behind which the host's own answers.
    pub dns: Ipv4Addr,
    /// The first address that a guest is given.
    pub dhcp_start: Ipv4Addr,
    /// What a guest is told that it is called.
    pub hostname: Option<String>,
    /// What a guest is told that its domain is called.
    pub domainname: Option<String>,
    /// The domains in which a guest is told to look for names.
    pub dnssearch: Vec<String>,
    /// Keeps the guest to itself: nothing but `hostfwd` crosses.
    pub restrict: bool,
    /// What the host is let in by.
    pub hostfwd: Vec<HostForward>,
}

/// A port of the host's that leads to one of the guest's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostForward {
    /// UDP, or else TCP.
    pub udp: bool,
    /// Where the host listens; unspecified is everywhere.
    pub host_addr: Ipv4Addr,
    /// Where the host listens.
    pub host_port: u16,
    /// Where it leads; unspecified is the first address that a guest is given.
    pub guest_addr: Ipv4Addr,
    /// Where it leads.
    pub guest_port: u16,
}

impl Default for UserOptions {
    fn default() -> Self {
        Self {
            net: (Ipv4Addr::new(10, 0, 2, 0), 24),
            host: Ipv4Addr::new(10, 0, 2, 2),
            dns: Ipv4Addr::new(10, 0, 2, 3),
            dhcp_start: Ipv4Addr::new(10, 0, 2, 15),
            hostname: None,
            domainname: None,
            dnssearch: Vec::new(),
            restrict: false,
            hostfwd: Vec::new(),
        }
    }
}

impl UserOptions {
    /// The network's addresses.
    pub(super) fn subnet(&self) -> Ipv4Cidr {
        Ipv4Cidr::new(self.net.0, self.net.1)
    }

    /// Tells what does not fit together.
    pub(super) fn check(&self) -> Result<(), NetdevError> {
        let invalid = |text: String| Err(NetdevError::Invalid(text));
        if !(1..=30).contains(&self.net.1) {
            return invalid(format!("a network's prefix is 1 to 30 bits long, not {}", self.net.1));
        }
        let named = [("host", self.host), ("dns", self.dns), ("dhcpstart", self.dhcp_start)];
        for (index, (name, address)) in named.iter().enumerate() {
            if !self.subnet().contains_addr(address) || self.is_edge(*address) {
                return invalid(format!("{name}={address} is not a host's address in {}", self.subnet()));
            }
            if let Some((other, _)) = named[..index].iter().find(|(_, taken)| taken == address) {
                return invalid(format!("{name}={address} is the address of {other}"));
            }
        }
        Ok(())
    }

    /// Whether an address is the network's first or last, which no host has.
    fn is_edge(&self, address: Ipv4Addr) -> bool {
        let host_bits = u32::MAX >> self.net.1;
        [0, host_bits].contains(&(u32::from(address) & host_bits))
    }
}
