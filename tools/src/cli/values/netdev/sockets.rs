//! `-netdev socket`, `stream` and `dgram`: networks that are sockets.

use super::{NetdevBackend, Network};
use crate::usage::UsageError;
use reprise_backend::netdev::{DgramOptions, Endpoint, StreamOptions};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

pub(super) const SOCKET_NAMES: [&str; 7] = ["id", "fd", "listen", "connect", "mcast", "udp", "localaddr"];
pub(super) const STREAM_NAMES: [&str; 10] = [
    "id",
    "server",
    "addr.type",
    "addr.host",
    "addr.port",
    "addr.path",
    "addr.abstract",
    "addr.str",
    "reconnect",
    "reconnect-ms",
];
pub(super) const DGRAM_NAMES: [&str; 11] = [
    "id",
    "local.type",
    "local.host",
    "local.port",
    "local.path",
    "local.str",
    "remote.type",
    "remote.host",
    "remote.port",
    "remote.path",
    "remote.str",
];

/// QEMU's older notation for streams and datagrams.
pub(super) fn parse_socket(mut network: Network) -> Result<NetdevBackend, UsageError> {
    let ways = ["fd", "listen", "connect", "mcast", "udp"].map(|way| network.take(way).map(|value| (way, value)));
    let local = network.take("localaddr");
    let mut ways = ways.into_iter().flatten();
    let (Some((way, value)), None) = (ways.next(), ways.next()) else {
        return Err(network.wrong("expected one of fd=, listen=, connect=, mcast= and udp="));
    };
    if local.is_some() && !matches!(way, "mcast" | "udp") {
        return Err(network.wrong("localaddr= is for mcast= and udp="));
    }
    let backend = match way {
        "listen" | "connect" => {
            let endpoint = host_and_port(&network, &value)?;
            NetdevBackend::Stream(StreamOptions { endpoint, server: way == "listen", reconnect: None })
        }
        "fd" => {
            let endpoint = descriptor(&network, &value)?;
            NetdevBackend::Stream(StreamOptions { endpoint, server: false, reconnect: None })
        }
        "mcast" => {
            let group = value.parse().ok().filter(|group: &SocketAddrV4| group.ip().is_multicast());
            let group = group.ok_or_else(|| network.wrong(format!("mcast={value}: expected GROUP:PORT")))?;
            let interface = local.map_or(Ok(Ipv4Addr::UNSPECIFIED), |local| local.parse());
            let interface = interface.map_err(|_| network.wrong("localaddr= of mcast= is an IPv4 address"))?;
            NetdevBackend::Dgram(DgramOptions::Group { group, interface })
        }
        _ => {
            let local = local.ok_or_else(|| network.wrong("udp= needs localaddr=HOST:PORT, too"))?;
            let (local, remote) = (host_and_port(&network, &local)?, host_and_port(&network, &value)?);
            NetdevBackend::Dgram(DgramOptions::Peer { local, remote: Some(remote) })
        }
    };
    network.finish("socket", &SOCKET_NAMES)?;
    Ok(backend)
}

pub(super) fn parse_stream(mut network: Network) -> Result<StreamOptions, UsageError> {
    let endpoint = endpoint(&mut network, "addr")?;
    let endpoint = endpoint.ok_or_else(|| network.wrong("it has no address: add addr.type=inet|unix|fd"))?;
    let server = network.switch("server")?.unwrap_or(false);
    let seconds: Option<u32> = network.take_as("reconnect", "seconds")?;
    let millis: Option<u32> = network.take_as("reconnect-ms", "milliseconds")?;
    if seconds.is_some() && millis.is_some() {
        return Err(network.wrong("reconnect= and reconnect-ms= say the same: give one"));
    }
    let reconnect =
        seconds.map(|s| Duration::from_secs(s.into())).or(millis.map(|ms| Duration::from_millis(ms.into())));
    let reconnect = reconnect.filter(|pause| !pause.is_zero());
    if reconnect.is_some() && (server || matches!(endpoint, Endpoint::Descriptor(_))) {
        return Err(network.wrong("reconnect is for a client that has an address"));
    }
    network.finish("stream", &STREAM_NAMES)?;
    Ok(StreamOptions { endpoint, server, reconnect })
}

pub(super) fn parse_dgram(mut network: Network) -> Result<DgramOptions, UsageError> {
    let local = endpoint(&mut network, "local")?;
    let remote = endpoint(&mut network, "remote")?;
    let group = group_of(remote.as_ref());
    let options = match (group, local, remote) {
        (Some(group), None, _) => DgramOptions::Group { group, interface: Ipv4Addr::UNSPECIFIED },
        (Some(group), Some(Endpoint::Inet { host, .. }), _) => {
            let interface = host.parse();
            let interface =
                interface.map_err(|_| network.wrong(format!("local.host={host}: expected an IPv4 address")))?;
            DgramOptions::Group { group, interface }
        }
        (_, Some(local @ Endpoint::Descriptor(_)), remote) => DgramOptions::Peer { local, remote },
        (_, Some(local), Some(remote)) => DgramOptions::Peer { local, remote: Some(remote) },
        (_, _, None) => return Err(network.wrong("it does not say where frames go: add remote.type=inet|unix")),
        (_, None, _) => return Err(network.wrong("it does not say where frames arrive: add local.type=inet|unix|fd")),
    };
    network.finish("dgram", &DGRAM_NAMES)?;
    Ok(options)
}

/// The multicast group that an address is, if it is one.
fn group_of(endpoint: Option<&Endpoint>) -> Option<SocketAddrV4> {
    let Some(Endpoint::Inet { host, port }) = endpoint else { return None };
    let group: Ipv4Addr = host.parse().ok()?;
    group.is_multicast().then_some(SocketAddrV4::new(group, *port))
}

/// The address of which the properties begin with `prefix`, if there is one.
fn endpoint(network: &mut Network, prefix: &str) -> Result<Option<Endpoint>, UsageError> {
    let kind = network.take(&format!("{prefix}.type"));
    let mut part = |name: &str| {
        let name = format!("{prefix}.{name}");
        let value = network.take(&name);
        value.ok_or_else(|| network.wrong(format!("{name}= is missing")))
    };
    Ok(Some(match kind.as_deref() {
        None => return Ok(None),
        Some("inet") => {
            let (host, port) = (part("host")?, part("port")?);
            let port = port.parse().map_err(|_| network.wrong(format!("{prefix}.port={port}: expected a port")))?;
            Endpoint::Inet { host, port }
        }
        Some("unix") => {
            let path = part("path")?;
            if network.switch(&format!("{prefix}.abstract"))? == Some(true) {
                Endpoint::Abstract(path)
            } else {
                Endpoint::Unix(path.into())
            }
        }
        Some("fd") => {
            let number = part("str")?;
            descriptor(network, &number)?
        }
        Some(kind) => return Err(UsageError::unknown(&format!("{prefix}.type"), kind, &["inet", "unix", "fd"])),
    }))
}

fn descriptor(network: &Network, text: &str) -> Result<Endpoint, UsageError> {
    let number: Result<u16, _> = text.parse();
    let number = number.map_err(|_| network.wrong(format!("'{text}' is not the number of a descriptor")))?;
    Ok(Endpoint::Descriptor(number.into()))
}

/// `HOST:PORT`, `:PORT` or `[IPV6]:PORT`.
fn host_and_port(network: &Network, text: &str) -> Result<Endpoint, UsageError> {
    let parts = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let (host, port) = parts.ok_or_else(|| network.wrong(format!("'{text}' is no address: expected HOST:PORT")))?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Ok(Endpoint::Inet { host: host.into(), port })
}
