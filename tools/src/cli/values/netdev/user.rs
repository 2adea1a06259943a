//! `-netdev user`.

use super::Network;
use crate::usage::UsageError;
use reprise_backend::netdev::user::{HostForward, UserOptions};
use std::net::Ipv4Addr;

pub(super) const NAMES: [&str; 11] =
    ["id", "net", "host", "dns", "dhcpstart", "hostname", "domainname", "dnssearch", "restrict", "hostfwd", "ipv4"];

/// What QEMU's has, and ours has not.
const REFUSED: [(&str, &str); 11] = [
    ("smb", "there is no file server: use a disk, or a server on the host"),
    ("smbserver", "there is no file server: use a disk, or a server on the host"),
    ("tftp", "there is no boot server: use -kernel"),
    ("bootfile", "there is no boot server: use -kernel"),
    ("tftp-server-name", "there is no boot server: use -kernel"),
    ("guestfwd", "a guest reaches the host at host="),
    ("ipv6-net", NO_IPV6),
    ("ipv6-prefix", NO_IPV6),
    ("ipv6-prefixlen", NO_IPV6),
    ("ipv6-host", NO_IPV6),
    ("ipv6-dns", NO_IPV6),
];
const NO_IPV6: &str = "the network speaks IPv4 only";

pub(super) fn parse(mut network: Network) -> Result<UserOptions, UsageError> {
    REFUSED.iter().try_for_each(|(name, reason)| network.refuse(name, reason))?;
    if network.switch("ipv6")? == Some(true) || network.switch("ipv4")? == Some(false) {
        return Err(network.wrong(NO_IPV6));
    }
    let mut options = UserOptions::default();
    if let Some(text) = network.take("net") {
        options.net = subnet(&text).ok_or_else(|| network.wrong(format!("net={text}: expected ADDRESS/PREFIX")))?;
        let network = u32::from(options.net.0);
        [options.host, options.dns, options.dhcp_start] = [2, 3, 15].map(|host| Ipv4Addr::from(network | host));
    }
    for (name, address) in
        [("host", &mut options.host), ("dns", &mut options.dns), ("dhcpstart", &mut options.dhcp_start)]
    {
        *address = network.take_as(name, "an IPv4 address")?.unwrap_or(*address);
    }
    options.hostname = network.take("hostname");
    options.domainname = network.take("domainname");
    options.dnssearch = network.list.take_all("dnssearch");
    options.restrict = network.switch("restrict")?.unwrap_or(false);
    let forwards = network.list.take_all("hostfwd");
    options.hostfwd = forwards.iter().map(|text| forward(&network, text)).collect::<Result<_, _>>()?;
    network.finish("user", &NAMES)?;
    Ok(options)
}

/// `ADDRESS/PREFIX`, `ADDRESS/MASK`, or `ADDRESS` with the mask of its class: the network's address and its prefix.
fn subnet(text: &str) -> Option<(Ipv4Addr, u8)> {
    let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    let address: Ipv4Addr = address.parse().ok()?;
    let prefix = match length {
        Some(length) => length.parse().ok().filter(|&prefix| prefix <= 32).or_else(|| prefix_of_mask(length))?,
        None => match address.octets()[0] {
            0..128 => 8,
            128..192 => 16,
            192.. => 24,
        },
    };
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
    Some((Ipv4Addr::from(u32::from(address) & mask), prefix))
}

fn prefix_of_mask(text: &str) -> Option<u8> {
    let mask = u32::from(text.parse::<Ipv4Addr>().ok()?);
    let prefix = mask.leading_ones();
    (prefix == mask.count_ones()).then_some(prefix as u8)
}

/// `[tcp|udp]:[HOSTADDR]:HOSTPORT-[GUESTADDR]:GUESTPORT`.
fn forward(network: &Network, text: &str) -> Result<HostForward, UsageError> {
    let expected = "expected tcp|udp:[HOSTADDR]:HOSTPORT-[GUESTADDR]:GUESTPORT";
    parse_forward(text).ok_or_else(|| network.wrong(format!("hostfwd={text}: {expected}")))
}

fn parse_forward(text: &str) -> Option<HostForward> {
    let (protocol, rest) = text.split_once(':')?;
    let (host, guest) = rest.split_once('-')?;
    let udp = match protocol {
        "" | "tcp" => false,
        "udp" => true,
        _ => return None,
    };
    let ((host_addr, host_port), (guest_addr, guest_port)) = (address_and_port(host)?, address_and_port(guest)?);
    Some(HostForward { udp, host_addr, host_port, guest_addr, guest_port })
}

/// `[ADDRESS]:PORT`.
fn address_and_port(text: &str) -> Option<(Ipv4Addr, u16)> {
    let (address, port) = text.split_once(':')?;
    let address = if address.is_empty() { Ipv4Addr::UNSPECIFIED } else { address.parse().ok()? };
    Some((address, port.parse().ok().filter(|&port| port != 0)?))
}
