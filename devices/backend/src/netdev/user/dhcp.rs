//! The DHCP server: RFC 2131, *Dynamic Host Configuration Protocol*, and RFC 2132, *DHCP Options and BOOTP Vendor
//! Extensions*. Who has no address yet is answered by broadcast, which every client takes. It knows nothing of clients
//! that speak BOOTP only, nor of boot files.

use super::UserOptions;
use super::link::Link;
use super::udp::send_datagram;
use smoltcp::wire::{
    DHCP_CLIENT_PORT, DHCP_SERVER_PORT, DhcpFlags, DhcpMessageType, DhcpOpCode, DhcpOption, DhcpPacket, DhcpRepr,
    EthernetAddress,
};
use std::net::{Ipv4Addr, SocketAddrV4};

/// Addresses that are given away.
const LEASES_LIMIT: u32 = 16;

/// How long an address is given for: a day, as QEMU does.
const LEASE_SECONDS: u32 = 24 * 60 * 60;

/// Longest value of an option.
const OPTION_LIMIT: usize = 255;

/// The server.
pub(super) struct Dhcp {
    options: UserOptions,
    /// By the distance from the first address.
    leases: [Option<EthernetAddress>; LEASES_LIMIT as usize],
    /// What is told to everybody: number and value.
    told: Vec<(u8, Vec<u8>)>,
}

/// What a client says.
struct Said {
    kind: DhcpMessageType,
    client: EthernetAddress,
    /// The address that it uses or would like.
    wanted: Ipv4Addr,
    /// The server that it speaks to.
    server: Option<Ipv4Addr>,
}

impl Dhcp {
    pub(super) fn new(options: &UserOptions) -> Self {
        let mut told = Vec::new();
        told.extend(options.hostname.as_ref().map(|name| (option::HOST_NAME, bounded(name.as_bytes()))));
        told.extend(options.domainname.as_ref().map(|name| (option::DOMAIN_NAME, bounded(name.as_bytes()))));
        // RFC 3396, *Encoding Long Options in DHCPv4*: what does not fit goes on in the same option again.
        let search: Vec<u8> = options.dnssearch.iter().flat_map(|domain| labels(domain)).collect();
        told.extend(search.chunks(OPTION_LIMIT).map(|part| (option::DOMAIN_SEARCH, part.to_vec())));
        Self { options: options.clone(), leases: Default::default(), told }
    }

    /// Takes a message of a client's.
    pub(super) fn take(&mut self, message: &[u8], link: &mut Link) {
        let Ok(packet) = DhcpPacket::new_checked(message) else { return };
        let Some(said) = Said::parse(&packet) else { return };
        let (kind, your_ip) = match said.kind {
            DhcpMessageType::Discover => match self.choose(&said, link) {
                Some(address) => (DhcpMessageType::Offer, address),
                None => return,
            },
            DhcpMessageType::Request => match self.grant(&said, link) {
                Some(answer) => answer,
                None => return,
            },
            DhcpMessageType::Inform => (DhcpMessageType::Ack, Ipv4Addr::UNSPECIFIED),
            DhcpMessageType::Release | DhcpMessageType::Decline => {
                self.leases.iter_mut().filter(|lease| **lease == Some(said.client)).for_each(|lease| *lease = None);
                return;
            }
            DhcpMessageType::Offer | DhcpMessageType::Ack | DhcpMessageType::Nak | DhcpMessageType::Unknown(_) => {
                return;
            }
        };
        self.answer(&packet, kind, your_ip, link);
    }

    /// The addresses to give away, and who has them.
    fn addresses(&self, link: &Link) -> Vec<(usize, Ipv4Addr, Option<EthernetAddress>)> {
        let first = u32::from(self.options.dhcp_start);
        let all =
            (0..LEASES_LIMIT).map(|n| (n as usize, Ipv4Addr::from(first.wrapping_add(n)), self.leases[n as usize]));
        all.filter(|(_, address, _)| link.is_guest(*address)).collect()
    }

    /// An address for a client: the one it has, or would like, or the first that nobody has.
    fn choose(&self, said: &Said, link: &Link) -> Option<Ipv4Addr> {
        let all = self.addresses(link);
        let of = |wanted: &dyn Fn(Ipv4Addr, Option<EthernetAddress>) -> bool| {
            all.iter().find(|(_, address, lease)| wanted(*address, *lease)).map(|(_, address, _)| *address)
        };
        of(&|_, lease| lease == Some(said.client))
            .or_else(|| of(&|address, lease| lease.is_none() && address == said.wanted))
            .or_else(|| of(&|_, lease| lease.is_none()))
    }

    fn grant(&mut self, said: &Said, link: &Link) -> Option<(DhcpMessageType, Ipv4Addr)> {
        if said.server.is_some_and(|server| server != self.options.host) {
            return None;
        }
        let is_free = |lease: Option<EthernetAddress>| lease.is_none_or(|owner| owner == said.client);
        let all = self.addresses(link);
        let found = all.iter().find(|(_, address, lease)| *address == said.wanted && is_free(*lease));
        let Some((index, address, _)) = found else {
            return Some((DhcpMessageType::Nak, Ipv4Addr::UNSPECIFIED));
        };
        self.leases.iter_mut().filter(|lease| **lease == Some(said.client)).for_each(|lease| *lease = None);
        self.leases[*index] = Some(said.client);
        Some((DhcpMessageType::Ack, *address))
    }

    fn answer(&self, asked: &DhcpPacket<&[u8]>, kind: DhcpMessageType, your_ip: Ipv4Addr, link: &mut Link) {
        let is_nak = kind == DhcpMessageType::Nak;
        let is_lease = your_ip != Ipv4Addr::UNSPECIFIED;
        let told: Vec<DhcpOption<'_>> = self.told.iter().map(|(kind, data)| DhcpOption { kind: *kind, data }).collect();
        let answer = DhcpRepr {
            message_type: kind,
            transaction_id: asked.transaction_id(),
            secs: 0,
            client_hardware_address: asked.client_hardware_address(),
            client_ip: if kind == DhcpMessageType::Ack { asked.client_ip() } else { Ipv4Addr::UNSPECIFIED },
            your_ip,
            server_ip: self.options.host,
            router: (!is_nak && !self.options.restrict).then_some(self.options.host),
            subnet_mask: (!is_nak).then(|| self.options.subnet().netmask()),
            relay_agent_ip: Ipv4Addr::UNSPECIFIED,
            broadcast: asked.flags().contains(DhcpFlags::BROADCAST),
            requested_ip: None,
            client_identifier: None,
            server_identifier: Some(self.options.host),
            parameter_request_list: None,
            dns_servers: (!is_nak && !self.options.restrict).then(|| [self.options.dns].into_iter().collect()),
            max_size: None,
            lease_duration: is_lease.then_some(LEASE_SECONDS),
            renew_duration: None,
            rebind_duration: None,
            additional_options: if is_nak { &[] } else { &told },
        };
        let mut bytes = vec![0; answer.buffer_len()];
        // It fails only for want of room.
        if answer.emit(&mut DhcpPacket::new_unchecked(&mut bytes[..])).is_ok() {
            let from = SocketAddrV4::new(self.options.host, DHCP_SERVER_PORT);
            // RFC 2131, 4.1 *Constructing and sending DHCP messages*: who has an address may not listen for broadcasts.
            let has_address = !is_nak && link.is_guest(asked.client_ip());
            let to = if has_address { asked.client_ip() } else { Ipv4Addr::BROADCAST };
            send_datagram(link, from, SocketAddrV4::new(to, DHCP_CLIENT_PORT), &bytes);
        }
    }
}

impl Said {
    fn parse(packet: &DhcpPacket<&[u8]>) -> Option<Self> {
        if packet.opcode() != DhcpOpCode::Request || packet.magic_number() != 0x6382_5363 || packet.hardware_len() != 6
        {
            return None;
        }
        let value = |kind| packet.options().find(|found| found.kind == kind).map(|found| found.data);
        let address = |kind| Some(Ipv4Addr::from(<[u8; 4]>::try_from(value(kind)?).ok()?));
        Some(Self {
            kind: DhcpMessageType::from(*value(option::MESSAGE_TYPE)?.first()?),
            client: packet.client_hardware_address(),
            wanted: address(option::REQUESTED_IP).unwrap_or(packet.client_ip()),
            server: address(option::SERVER_IDENTIFIER),
        })
    }
}

/// RFC 2132's numbers for options, and RFC 3397's for the last.
mod option {
    pub(super) const HOST_NAME: u8 = 12;
    pub(super) const DOMAIN_NAME: u8 = 15;
    pub(super) const REQUESTED_IP: u8 = 50;
    pub(super) const MESSAGE_TYPE: u8 = 53;
    pub(super) const SERVER_IDENTIFIER: u8 = 54;
    pub(super) const DOMAIN_SEARCH: u8 = 119;
}

fn bounded(value: &[u8]) -> Vec<u8> {
    value[..value.len().min(OPTION_LIMIT)].to_vec()
}

/// A domain as the domain name system writes it: RFC 1035, 3.1 *Name space definitions*.
fn labels(domain: &str) -> Vec<u8> {
    let label = |label: &str| [&[label.len().min(63) as u8], &label.as_bytes()[..label.len().min(63)]].concat();
    let mut name: Vec<u8> = domain.split('.').filter(|part| !part.is_empty()).flat_map(label).collect();
    name.push(0);
    name
}
