//! Where clients call.

use crate::say;
use crate::usage::UsageError;
use reprise_backend::chardev::Address;
use reprise_backend::socket_file;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::Duration;

/// How long the host has to recover from what makes it refuse a call: too many open files.
const RECOVERY: Duration = Duration::from_secs(1);

/// A socket that clients call.
pub(crate) enum Listener {
    /// By TCP.
    Tcp(TcpListener),
    /// On this host, with the file that is removed at the end.
    Unix(UnixListener, PathBuf),
}

impl Listener {
    /// Listens at `address`.
    pub(crate) fn open(address: &Address) -> Result<Self, UsageError> {
        let opened = match address {
            Address::Tcp { host, port } => TcpListener::bind((host.as_str(), *port)).map(Self::Tcp),
            Address::Unix(path) => socket_file::clear_away(path)
                .and_then(|()| UnixListener::bind(path))
                .map(|listener| Self::Unix(listener, path.clone())),
            Address::Abstract(_) => Err(io::Error::other("gdb knows sockets by their files only")),
        };
        opened.map_err(|error| {
            let other = match address {
                Address::Tcp { .. } if error.kind() == io::ErrorKind::AddrInUse => {
                    "; -gdb tcp::PORT takes another port"
                }
                Address::Unix(path) if path.exists() => {
                    "; something is there already: -gdb unix:PATH takes another path"
                }
                Address::Tcp { .. } | Address::Unix(_) | Address::Abstract(_) => "",
            };
            UsageError::new(format!("the gdb server cannot listen on {address}: {error}{other}"))
        })
    }

    /// Says how to call.
    pub(crate) fn announce(&self) {
        let name = self.name();
        say(&format_args!("gdb server on {name}: gdb -ex 'target remote {name}'"));
    }

    /// What gdb's `target remote` takes.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Tcp(listener) => {
                listener.local_addr().map_or_else(|error| error.to_string(), |address| address.to_string())
            }
            Self::Unix(_, path) => path.display().to_string(),
        }
    }

    /// Whoever calls now; no call of the connection waits.
    pub(super) fn accept(&self) -> Option<OwnedFd> {
        if !is_readable(self.as_fd()) {
            return None;
        }
        let called: io::Result<OwnedFd> = match self {
            Self::Tcp(listener) => listener.accept().map(|(socket, _)| socket.into()),
            Self::Unix(listener, _) => listener.accept().map(|(socket, _)| socket.into()),
        };
        let caller = called.inspect_err(Self::complain).ok()?;
        rustix::io::ioctl_fionbio(&caller, true).ok()?;
        // Only TCP knows it.
        let _ = rustix::net::sockopt::set_tcp_nodelay(&caller, true);
        Some(caller)
    }
}

impl Listener {
    /// A call that cannot be taken goes on calling: it is looked at again when the host may have recovered.
    fn complain(error: &io::Error) {
        if error.kind() != io::ErrorKind::ConnectionAborted {
            say(&format_args!("the gdb server cannot take a call: {error}"));
            std::thread::sleep(RECOVERY);
        }
    }
}

/// Whether there is something to read.
pub(super) fn is_readable(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|count| count > 0)
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
        if let Self::Unix(_, path) = self {
            // There is nobody to tell if it cannot be removed.
            let _: io::Result<()> = std::fs::remove_file(path);
        }
    }
}
