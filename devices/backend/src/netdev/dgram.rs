//! A network over datagram sockets: each datagram is a frame, as with QEMU's `-netdev dgram` and `-netdev socket`.
//!
//! The other side is one peer, by UDP or a Unix socket, or everybody in a multicast group.

use super::endpoint::{self, Endpoint};
use super::patience::Patience;
use super::{FRAME_LIMIT, Netdev, NetdevError};
use rustix::event::{PollFd, PollFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::sockopt;
use rustix::net::{
    RecvFlags, SendFlags, SocketAddrAny, SocketType, bind, connect, getsockname, recvfrom, send, sendto,
};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

/// Datagrams that are looked at in one go without a frame among them.
const LOOKS: usize = 64;

/// A network over datagrams that is to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DgramOptions {
    /// One peer.
    Peer {
        /// Where the peer's frames arrive; or a descriptor of a socket.
        local: Endpoint,
        /// Where ours go; a descriptor knows that itself.
        remote: Option<Endpoint>,
    },
    /// A multicast group of IPv4.
    Group {
        /// The group and its port.
        group: SocketAddrV4,
        /// Address of the host's interface towards it; unspecified is the host's choice.
        interface: Ipv4Addr,
    },
}

/// A network over datagrams.
pub struct Dgram {
    /// Frames arrive here.
    socket: OwnedFd,
    outlet: Outlet,
    /// Removed at the end.
    local: Option<Endpoint>,
    patience: Patience,
    buffer: Vec<u8>,
}

/// Where frames go.
enum Outlet {
    /// To the peer of the socket on which they arrive.
    Connected,
    /// To this address, from the socket on which they arrive.
    Peer(SocketAddrAny),
    /// To a group, from another socket, which has this address. The host hands us what we sent ourselves, too: a wire
    /// does not.
    Group(OwnedFd, SocketAddrAny),
}

impl Dgram {
    /// Opens a network over datagrams.
    pub fn open(options: DgramOptions) -> Result<Self, NetdevError> {
        let (socket, outlet, local) = match options {
            DgramOptions::Peer { local: Endpoint::Descriptor(number), remote } => {
                let outlet = remote.map(|remote| remote.resolve()).transpose()?.map_or(Outlet::Connected, Outlet::Peer);
                (endpoint::inherited(number)?, outlet, None)
            }
            DgramOptions::Peer { remote: None, .. } => {
                return Err(NetdevError::Invalid("a network over datagrams needs to know where frames go".into()));
            }
            DgramOptions::Peer { local, remote: Some(remote) } => {
                let outlet = Outlet::Peer(remote.resolve()?);
                (open_peer(&local)?, outlet, Some(local))
            }
            DgramOptions::Group { group, interface } => {
                let (socket, outlet) = open_group(group, interface).map_err(|error| NetdevError::Open {
                    name: format!("multicast group {group} at {interface}"),
                    source: error.into(),
                })?;
                (socket, outlet, None)
            }
        };
        Ok(Self { socket, outlet, local, patience: Patience::default(), buffer: vec![0; FRAME_LIMIT] })
    }

    fn is_own(&self, sender: Option<&SocketAddrAny>) -> bool {
        matches!(&self.outlet, Outlet::Group(_, own) if sender == Some(own))
    }
}

fn open_peer(local: &Endpoint) -> Result<OwnedFd, NetdevError> {
    let address = local.resolve()?;
    let refused = |error: Errno| local.refused(error);
    local.clear_away();
    let socket = endpoint::new_socket(&address, SocketType::DGRAM).map_err(refused)?;
    sockopt::set_socket_reuseaddr(&socket, true).map_err(refused)?;
    bind(&socket, &address).map_err(refused)?;
    Ok(socket)
}

fn open_group(group: SocketAddrV4, interface: Ipv4Addr) -> Result<(OwnedFd, Outlet), Errno> {
    let address = SocketAddrAny::from(group);
    let inlet = endpoint::new_socket(&address, SocketType::DGRAM)?;
    sockopt::set_socket_reuseaddr(&inlet, true)?;
    bind(&inlet, &address)?;
    sockopt::set_ip_add_membership(&inlet, group.ip(), &interface)?;
    let outlet = endpoint::new_socket(&address, SocketType::DGRAM)?;
    sockopt::set_ip_multicast_loop(&outlet, true)?;
    if !interface.is_unspecified() {
        sockopt::set_ip_multicast_if(&outlet, &interface)?;
        bind(&outlet, &SocketAddr::from((interface, 0)))?;
    }
    connect(&outlet, &address)?;
    let own = getsockname(&outlet)?;
    Ok((inlet, Outlet::Group(outlet, own)))
}

impl Netdev for Dgram {
    fn send(&mut self, frame: &[u8]) {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let sent = match &self.outlet {
            Outlet::Connected => send(&self.socket, frame, flags),
            Outlet::Peer(address) => sendto(&self.socket, frame, flags, address),
            Outlet::Group(socket, _) => send(socket, frame, flags),
        };
        match sent {
            Ok(_) => self.patience.begin(),
            // Nobody is there, or the host is too busy: the frame is lost.
            Err(_) => self.patience.end(),
        }
    }

    fn receive(&mut self) -> Option<Vec<u8>> {
        for _ in 0..LOOKS {
            match recvfrom(&self.socket, &mut self.buffer[..], RecvFlags::DONTWAIT) {
                Ok((count, _, sender)) if !self.is_own(sender.as_ref()) => return Some(self.buffer[..count].to_vec()),
                // Our own; or news of a frame of ours that reached nobody, which is known by then.
                Ok(_) | Err(Errno::INTR | Errno::CONNREFUSED) => {}
                Err(_) => return None,
            }
        }
        None
    }

    fn sources(&self) -> Vec<PollFd<'_>> {
        vec![PollFd::new(&self.socket, PollFlags::IN)]
    }

    fn timeout(&self) -> Option<Duration> {
        self.patience.left()
    }

    fn expects_answer(&self) -> bool {
        self.patience.lasts()
    }
}

impl Drop for Dgram {
    fn drop(&mut self) {
        self.local.iter().for_each(Endpoint::remove);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{Timespec, poll};
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixDatagram;

    const PATIENCE: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

    fn next(net: &mut Dgram) -> Vec<u8> {
        poll(&mut net.sources(), Some(&PATIENCE)).unwrap();
        net.receive().expect("a frame")
    }

    fn inet(port: u16) -> Endpoint {
        Endpoint::Inet { host: "127.0.0.1".into(), port }
    }

    #[test]
    fn each_datagram_is_a_frame() {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let remote = Some(inet(peer.local_addr().unwrap().port()));
        let mut net = Dgram::open(DgramOptions::Peer { local: inet(port), remote }).unwrap();
        net.send(&[1; 1514]);
        assert!(net.patience.has_begun());
        let mut buffer = [0; 2000];
        assert_eq!(peer.recv(&mut buffer).unwrap(), 1514);
        peer.send_to(&[2; 60], ("127.0.0.1", port)).unwrap();
        assert_eq!(next(&mut net), [2; 60]);
        drop(peer);
        // The peer is gone: frames are lost, and nothing else happens.
        (0..3).for_each(|_| net.send(&[3; 60]));
        assert_eq!(net.receive(), None);
    }

    #[test]
    fn unix_sockets_are_removed_in_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let [near, far] = ["near", "far"].map(|name| folder.path().join(name));
        let remote = Some(Endpoint::Unix(far.clone()));
        let mut net = Dgram::open(DgramOptions::Peer { local: Endpoint::Unix(near.clone()), remote }).unwrap();
        net.send(&[0; 60]);
        assert!(!net.patience.has_begun(), "nobody is there");
        let peer = UnixDatagram::bind(&far).unwrap();
        peer.send_to(&[4; 60], &near).unwrap();
        assert_eq!(next(&mut net), [4; 60]);
        net.send(&[5; 60]);
        assert_eq!(peer.recv(&mut [0; 100]).unwrap(), 60);
        let second = DgramOptions::Peer { local: Endpoint::Unix(near.clone()), remote: Some(Endpoint::Unix(far)) };
        let error = Dgram::open(second).err().unwrap().to_string();
        assert!(error.contains("near': Address already in use"), "{error}");
        drop(net);
        assert!(!near.exists());
        let nowhere = Some(Endpoint::Unix("x".repeat(200).into()));
        assert!(Dgram::open(DgramOptions::Peer { local: Endpoint::Unix(near.clone()), remote: nowhere }).is_err());
        assert!(!near.exists(), "nothing is left of one that could not be opened");
    }

    #[test]
    fn a_socket_may_be_given() {
        let (near, far) = UnixDatagram::pair().unwrap();
        let local = Endpoint::Descriptor(near.as_raw_fd());
        let mut net = Dgram::open(DgramOptions::Peer { local, remote: None }).unwrap();
        far.send(&[6; 60]).unwrap();
        assert_eq!(next(&mut net), [6; 60]);
        net.send(&[7; 61]);
        assert_eq!(far.recv(&mut [0; 100]).unwrap(), 61);
        let nowhere = Dgram::open(DgramOptions::Peer { local: inet(0), remote: None }).err().unwrap().to_string();
        assert_eq!(nowhere, "a network over datagrams needs to know where frames go");
    }

    #[test]
    fn members_of_a_group_hear_each_other_but_not_themselves() {
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let group = SocketAddrV4::new(Ipv4Addr::new(230, 0, 0, 1), port);
        let open = || Dgram::open(DgramOptions::Group { group, interface: Ipv4Addr::LOCALHOST }).unwrap();
        let (mut a, mut b) = (open(), open());
        a.send(&[8; 60]);
        assert_eq!(next(&mut b), [8; 60]);
        b.send(&[9; 60]);
        assert_eq!(next(&mut a), [9; 60]);
        assert_eq!((a.receive(), b.receive()), (None, None));
    }
}
