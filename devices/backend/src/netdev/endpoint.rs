//! Addresses of sockets, as users name them.

use super::NetdevError;
use crate::socket_file;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrAny, SocketAddrUnix, SocketFlags, SocketType, socket_with};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

/// Where a socket is, or leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A port of a host.
    Inet {
        /// Name or address; empty for all of this host's own.
        host: String,
        /// The port.
        port: u16,
    },
    /// A file.
    Unix(PathBuf),
    /// A name in Linux's abstract namespace.
    Abstract(String),
    /// A descriptor that was open when the program started.
    Descriptor(i32),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Inet { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "'{}'", path.display()),
            Self::Abstract(name) => write!(f, "'@{name}'"),
            Self::Descriptor(number) => write!(f, "descriptor {number}"),
        }
    }
}

impl Endpoint {
    /// The address; if a name has several, the first of IPv4. For a descriptor there is none to be had.
    pub(super) fn resolve(&self) -> Result<SocketAddrAny, NetdevError> {
        match self {
            Self::Inet { .. } => Ok(self.resolve_inet()?.into()),
            Self::Unix(path) => Ok(SocketAddrUnix::new(path.as_path()).map_err(|error| self.refused(error))?.into()),
            Self::Abstract(name) => {
                Ok(SocketAddrUnix::new_abstract_name(name.as_bytes()).map_err(|error| self.refused(error))?.into())
            }
            Self::Descriptor(_) => Err(NetdevError::Invalid(format!("{self} has no address to go to"))),
        }
    }

    /// The address of a port.
    pub(super) fn resolve_inet(&self) -> Result<SocketAddr, NetdevError> {
        let Self::Inet { host, port } = self else {
            return Err(NetdevError::Invalid(format!("{self} is no host and port")));
        };
        let host = if host.is_empty() { "0.0.0.0" } else { host };
        let found: Vec<_> = (host, *port).to_socket_addrs().map_err(|error| self.refused(error))?.collect();
        let best = found.iter().find(|address| address.is_ipv4()).or(found.first());
        best.copied().ok_or_else(|| self.refused(Errno::ADDRNOTAVAIL))
    }

    /// The host's refusal to open this.
    pub(super) fn refused(&self, source: impl Into<io::Error>) -> NetdevError {
        NetdevError::Open { name: self.to_string(), source: source.into() }
    }

    /// Removes what somebody left in the way of a new socket.
    pub(super) fn clear_away(&self) {
        // If it cannot be removed, binding says why.
        let _ = self.path().map(socket_file::clear_away);
    }

    /// Removes the file of a socket of ours.
    pub(super) fn remove(&self) {
        // There is nobody to tell if it cannot be removed.
        let _ = self.path().map(std::fs::remove_file);
    }

    fn path(&self) -> Option<&Path> {
        match self {
            Self::Unix(path) => Some(path),
            Self::Inet { .. } | Self::Abstract(_) | Self::Descriptor(_) => None,
        }
    }
}

/// A socket of the right family for `address` that never waits.
pub(super) fn new_socket(address: &SocketAddrAny, kind: SocketType) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let family: AddressFamily = address.address_family();
    socket_with(family, kind, flags, None)
}

/// A descriptor that was open when the program started, as one that is ours.
pub(super) fn inherited(number: i32) -> Result<OwnedFd, NetdevError> {
    let refused = |error: Errno| NetdevError::Open { name: format!("descriptor {number}"), source: error.into() };
    // The one safe way to a descriptor of which only the number is known: to ask for it as another process would.
    let own = pidfd_open(getpid(), PidfdFlags::empty()).map_err(refused)?;
    let descriptor = pidfd_getfd(own, number, PidfdGetfdFlags::empty()).map_err(refused)?;
    rustix::io::ioctl_fionbio(&descriptor, true).map_err(refused)?;
    Ok(descriptor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn addresses_are_shown_as_they_are_written() {
        let inet = |host: &str| Endpoint::Inet { host: host.into(), port: 80 };
        assert_eq!(inet("10.0.0.1").to_string(), "10.0.0.1:80");
        assert_eq!(inet("::1").to_string(), "[::1]:80");
        assert_eq!(inet("").resolve_inet().unwrap(), "0.0.0.0:80".parse().unwrap());
        assert_eq!(inet("::1").resolve_inet().unwrap(), "[::1]:80".parse().unwrap());
        assert_eq!(Endpoint::Descriptor(3).resolve().unwrap_err().to_string(), "descriptor 3 has no address to go to");
        let long = Endpoint::Unix("x".repeat(200).into());
        assert!(long.resolve().unwrap_err().to_string().contains("too long"));
    }

    #[test]
    fn a_descriptor_is_found_by_its_number() {
        let (mut near, far) = UnixStream::pair().unwrap();
        let mut ours: UnixStream = inherited(far.as_raw_fd()).unwrap().into();
        std::io::Write::write_all(&mut near, b"x").unwrap();
        assert_eq!(std::io::Read::read(&mut ours, &mut [0; 9]).unwrap(), 1);
        assert!(inherited(9999).unwrap_err().to_string().starts_with("cannot open descriptor 9999: Bad file"));
    }
}
