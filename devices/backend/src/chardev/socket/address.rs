//! Where a socket is, and how to get to it.

use crate::chardev::ChardevError;
use crate::{connecting, socket_file};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::set_tcp_nodelay;
use rustix::net::{SocketAddrAny, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use std::fmt;
use std::io;
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{self, UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Where a socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A file.
    Unix(PathBuf),
    /// A name that is no file (unix(7), abstract).
    Abstract(String),
    /// TCP.
    Tcp {
        /// Name or number of a host; empty for every address of this host, or for this host.
        host: String,
        /// The port.
        port: u16,
    },
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Abstract(name) => write!(f, "unix:@{name}"),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp:[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp:{host}:{port}"),
        }
    }
}

impl Address {
    /// Connects, waiting for it.
    pub(super) fn connect(&self) -> Result<OwnedFd, ChardevError> {
        let connected = match self {
            Self::Unix(path) => UnixStream::connect(path).map(Into::into),
            Self::Abstract(name) => abstract_address(name).and_then(|at| UnixStream::connect_addr(&at)).map(Into::into),
            Self::Tcp { host, port } => TcpStream::connect((host_to_call(host), *port)).map(Into::into),
        };
        connected.map_err(|source| ChardevError::Connect { name: self.to_string(), source })
    }

    /// The addresses behind the name.
    pub(super) fn resolve(&self) -> Result<Vec<SocketAddrAny>, ChardevError> {
        let resolved = match self {
            Self::Unix(path) => SocketAddrUnix::new(path).map(|at| vec![at.into()]).map_err(Into::into),
            Self::Abstract(name) => {
                SocketAddrUnix::new_abstract_name(name.as_bytes()).map(|at| vec![at.into()]).map_err(Into::into)
            }
            Self::Tcp { host, port } => {
                (host_to_call(host), *port).to_socket_addrs().map(|found| found.map(Into::into).collect())
            }
        };
        resolved.map_err(|source| ChardevError::Connect { name: self.to_string(), source })
    }
}

fn host_to_call(host: &str) -> &str {
    if host.is_empty() { "localhost" } else { host }
}

fn abstract_address(name: &str) -> io::Result<net::SocketAddr> {
    net::SocketAddr::from_abstract_name(name)
}

/// Where others call.
pub(super) enum Listener {
    Tcp(TcpListener),
    /// With the file that is to be removed at the end.
    Unix(UnixListener, Option<PathBuf>),
}

impl Listener {
    pub(super) fn open(address: &Address) -> Result<Self, ChardevError> {
        let opened = match address {
            Address::Unix(path) => listen_at(path).map(|listener| Self::Unix(listener, Some(path.clone()))),
            Address::Abstract(name) => {
                let listener = abstract_address(name).and_then(|at| UnixListener::bind_addr(&at));
                listener.map(|listener| Self::Unix(listener, None))
            }
            Address::Tcp { host, port } if host.is_empty() => {
                TcpListener::bind(("::", *port)).or_else(|_| TcpListener::bind(("0.0.0.0", *port))).map(Self::Tcp)
            }
            Address::Tcp { host, port } => TcpListener::bind((host.as_str(), *port)).map(Self::Tcp),
        };
        opened.map_err(|source| ChardevError::Listen { name: address.to_string(), source })
    }

    /// Where exactly, for one who asked for any port.
    pub(super) fn address(&self, asked: &Address) -> Address {
        match (self, asked) {
            (Self::Tcp(listener), Address::Tcp { host, .. }) => {
                let port = listener.local_addr().map_or(0, |address| address.port());
                Address::Tcp { host: host.clone(), port }
            }
            _ => asked.clone(),
        }
    }

    /// Whoever calls now.
    pub(super) fn accept(&self, nodelay: bool) -> Option<OwnedFd> {
        let mut fds = [PollFd::new(self, PollFlags::IN)];
        let _ = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
        if fds[0].revents().is_empty() { None } else { self.wait(nodelay).ok() }
    }

    /// Waits until somebody calls.
    pub(super) fn wait(&self, nodelay: bool) -> io::Result<OwnedFd> {
        let caller: OwnedFd = match self {
            Self::Tcp(listener) => listener.accept()?.0.into(),
            Self::Unix(listener, _) => listener.accept()?.0.into(),
        };
        prepare(&caller, nodelay)?;
        Ok(caller)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener, _) => listener.as_fd(),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, Some(path)) = self {
            // There is nobody to tell if it cannot be removed.
            let _: io::Result<()> = std::fs::remove_file(path);
        }
    }
}

/// Listens at `path`.
fn listen_at(path: &Path) -> io::Result<UnixListener> {
    socket_file::clear_away(path)?;
    UnixListener::bind(path)
}

/// Makes a connection such that no call waits.
pub(super) fn prepare(fd: &OwnedFd, nodelay: bool) -> io::Result<()> {
    rustix::io::ioctl_fionbio(fd, true)?;
    if nodelay {
        // Only TCP knows it.
        let _ = set_tcp_nodelay(fd, true);
    }
    Ok(())
}

/// Begins to connect to `address`.
pub(super) fn begin(address: &SocketAddrAny) -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let fd = socket_with(address.address_family(), SocketType::STREAM, flags, None)?;
    match connect(&fd, address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(fd),
        Err(error) => Err(error),
    }
}

/// Whether the connection that was begun is there; an error if it failed.
pub(super) fn is_connected(fd: &OwnedFd) -> io::Result<bool> {
    let mut fds = [PollFd::new(fd, PollFlags::OUT)];
    if poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))? == 0 {
        return Ok(false);
    }
    connecting::outcome(fd)?;
    Ok(true)
}
