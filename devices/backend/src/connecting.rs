//! What became of a connection that the host was asked for.

use rustix::fd::AsFd;
use rustix::io::Errno;
use rustix::net::{getpeername, getsockname, sockopt};

/// Whether the host has got the connection that was begun on `socket`, which is writable by now.
pub(crate) fn outcome(socket: impl AsFd) -> rustix::io::Result<()> {
    sockopt::socket_error(&socket)??;
    // A port that nobody listens at can be the very one that the host calls from: then it has called itself.
    match getpeername(&socket)? {
        Some(peer) if peer == getsockname(&socket)? => Err(Errno::CONNREFUSED),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
    use std::os::unix::net::{UnixListener, UnixStream};

    #[test]
    fn who_has_called_himself_has_reached_nobody() {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        connect(&socket, &getsockname(&socket).unwrap()).unwrap();
        assert_eq!(outcome(&socket), Err(Errno::CONNREFUSED));
    }

    #[test]
    fn who_has_reached_somebody_has_a_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(outcome(TcpStream::connect(listener.local_addr().unwrap()).unwrap()), Ok(()));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let _listener = UnixListener::bind(&path).unwrap();
        assert_eq!(outcome(UnixStream::connect(&path).unwrap()), Ok(()));
    }
}
