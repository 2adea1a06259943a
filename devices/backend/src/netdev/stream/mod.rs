//! A network that is one peer at the other end of a stream socket: another emulator, or a switch such as passt or VDE.
//!
//! Frames are on the stream as QEMU's `-netdev socket` and `-netdev stream` have them. A peer that leaves, or sends what
//! is no frame, is let go; a server then waits for the next one, and a client tries again if it was told to.

mod framing;

use super::endpoint::{self, Endpoint};
use super::patience::Patience;
use super::{Netdev, NetdevError};
use crate::connecting;
use framing::Decoder;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketAddrAny, SocketFlags, SocketType, accept_with, recv, send, sockopt};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Bytes of frames from the guest that wait for a peer that does not read; frames beyond are lost.
const OUTGOING_LIMIT: usize = 1 << 20;

/// Most that is read at once.
const READ_SIZE: usize = 64 << 10;

/// How long opening may wait for a peer that it cannot do without.
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// A stream that is to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamOptions {
    /// Where to listen, or where the peer listens; or a descriptor of a socket that is connected already.
    pub endpoint: Endpoint,
    /// Whether to listen.
    pub server: bool,
    /// How long after a failure a client tries again; else it never does, and the first failure is an error.
    pub reconnect: Option<Duration>,
}

/// A network behind a stream socket.
pub struct Stream {
    options: StreamOptions,
    way: Way,
    link: Link,
    patience: Patience,
    buffer: Vec<u8>,
}

/// How to get a peer.
enum Way {
    Listen(OwnedFd),
    Connect(SocketAddrAny),
    /// It was given to us; there is no other.
    Given,
}

/// The way to the peer now.
enum Link {
    /// There is none, before this moment at least.
    Down {
        retry: Option<Instant>,
    },
    /// The host is on it.
    Connecting(OwnedFd),
    Up(Connection),
}

struct Connection {
    socket: OwnedFd,
    decoder: Decoder,
    outgoing: VecDeque<u8>,
}

/// Why a connection cannot go on.
enum Lost {
    Closed,
    Failed(Errno),
    Garbage(u32),
}

impl Stream {
    /// Opens a stream. A client without `reconnect` waits some seconds for its peer to accept.
    pub fn open(options: StreamOptions) -> Result<Self, NetdevError> {
        let way = open_way(&options)?;
        let link = Link::Down { retry: options.reconnect.map(|_| Instant::now()) };
        let mut stream = Self { options, way, link, patience: Patience::default(), buffer: vec![0; READ_SIZE] };
        if let Endpoint::Descriptor(number) = stream.options.endpoint
            && !stream.options.server
        {
            stream.link = Link::Up(Connection::new(endpoint::inherited(number)?));
        }
        if matches!(stream.way, Way::Connect(_)) && stream.options.reconnect.is_none() {
            stream.wait_for_peer()?;
        }
        Ok(stream)
    }

    fn wait_for_peer(&mut self) -> Result<(), NetdevError> {
        let refused = |error: Errno| self.options.endpoint.refused(error);
        let mut link = self.connect().map_err(refused)?;
        if let Link::Connecting(socket) = link {
            wait_for(socket.as_fd(), CONNECT_TIME);
            link = continue_connecting(socket).map_err(refused)?;
        }
        match link {
            Link::Up(_) => self.link = link,
            Link::Connecting(_) | Link::Down { .. } => return Err(refused(Errno::TIMEDOUT)),
        }
        Ok(())
    }

    /// Begins to connect.
    fn connect(&self) -> Result<Link, Errno> {
        let Way::Connect(address) = &self.way else { return Err(Errno::NOTCONN) };
        let socket = endpoint::new_socket(address, SocketType::STREAM)?;
        match rustix::net::connect(&socket, address) {
            Ok(()) | Err(Errno::INPROGRESS) => continue_connecting(socket),
            Err(error) => Err(error),
        }
    }

    /// Does what can be done without waiting to have a peer.
    fn advance(&mut self) {
        let next = match std::mem::replace(&mut self.link, Link::Down { retry: None }) {
            Link::Up(connection) => Ok(Link::Up(connection)),
            Link::Connecting(socket) => continue_connecting(socket),
            Link::Down { retry } => self.seek_peer(retry),
        };
        match next {
            Ok(link) => self.link = link,
            Err(_) => self.go_down(),
        }
    }

    fn seek_peer(&self, retry: Option<Instant>) -> Result<Link, Errno> {
        match &self.way {
            Way::Listen(listener) => {
                let accepted = accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC);
                Ok(accepted.map_or(Link::Down { retry: None }, |socket| Link::Up(Connection::new(socket))))
            }
            Way::Connect(_) if retry.is_some_and(|retry| retry <= Instant::now()) => self.connect(),
            Way::Connect(_) | Way::Given => Ok(Link::Down { retry }),
        }
    }

    fn go_down(&mut self) {
        let retry = self.options.reconnect.map(|pause| Instant::now() + pause);
        self.link = Link::Down { retry };
        self.patience.end();
    }

    fn lose(&mut self, lost: &Lost) {
        let name = &self.options.endpoint;
        let next = match (&self.way, self.options.reconnect) {
            (Way::Listen(_), _) => "waiting for another",
            (Way::Connect(_), Some(_)) => "connecting again",
            (Way::Connect(_) | Way::Given, _) => "the guest's network is silent from now on",
        };
        match lost {
            Lost::Closed => log::warn!(target: "netdev", "the peer at {name} has gone: {next}"),
            Lost::Failed(error) => log::warn!(target: "netdev", "the peer at {name} is lost: {error}: {next}"),
            Lost::Garbage(length) => log::warn!(
                target: "netdev",
                "the peer at {name} says that a frame of {length} bytes follows, which is no frame: {next}"
            ),
        }
        self.go_down();
    }
}

fn open_way(options: &StreamOptions) -> Result<Way, NetdevError> {
    let endpoint = &options.endpoint;
    let refused = |error: Errno| endpoint.refused(error);
    if let Endpoint::Descriptor(number) = *endpoint {
        return if options.server { Ok(Way::Listen(endpoint::inherited(number)?)) } else { Ok(Way::Given) };
    }
    let address = endpoint.resolve()?;
    if !options.server {
        return Ok(Way::Connect(address));
    }
    endpoint.clear_away();
    let socket = endpoint::new_socket(&address, SocketType::STREAM).map_err(refused)?;
    sockopt::set_socket_reuseaddr(&socket, true).map_err(refused)?;
    rustix::net::bind(&socket, &address).map_err(refused)?;
    rustix::net::listen(&socket, 1).map_err(refused)?;
    Ok(Way::Listen(socket))
}

/// Waits until `socket` is writable, which it also is after an error.
fn wait_for(socket: BorrowedFd<'_>, time: Duration) -> bool {
    let time = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) };
    poll(&mut [PollFd::from_borrowed_fd(socket, PollFlags::OUT)], Some(&time)).is_ok_and(|ready| ready > 0)
}

/// What became of connecting.
fn continue_connecting(socket: OwnedFd) -> Result<Link, Errno> {
    if !wait_for(socket.as_fd(), Duration::ZERO) {
        return Ok(Link::Connecting(socket));
    }
    connecting::outcome(&socket)?;
    Ok(Link::Up(Connection::new(socket)))
}

impl Connection {
    fn new(socket: OwnedFd) -> Self {
        // Frames go out at once, if it is TCP.
        let _ = sockopt::set_tcp_nodelay(&socket, true);
        Self { socket, decoder: Decoder::default(), outgoing: VecDeque::new() }
    }

    /// Takes a frame for the peer, or drops it if the peer is too slow.
    fn queue(&mut self, frame: &[u8]) {
        if self.outgoing.len() + frame.len() <= OUTGOING_LIMIT {
            self.outgoing.extend(framing::header(frame));
            self.outgoing.extend(frame);
        }
    }

    fn flush(&mut self) -> Result<(), Lost> {
        while !self.outgoing.is_empty() {
            match send(&self.socket, self.outgoing.as_slices().0, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(count) => drop(self.outgoing.drain(..count)),
                Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
                Err(error) => return Err(Lost::Failed(error)),
            }
        }
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<Option<Vec<u8>>, Lost> {
        loop {
            if let Some(frame) = self.decoder.next_frame().map_err(|bad| Lost::Garbage(bad.0))? {
                return Ok(Some(frame));
            }
            match recv(&self.socket, &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Err(Lost::Closed),
                Ok((count, _)) => self.decoder.push(&buffer[..count]),
                Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
                Err(error) => return Err(Lost::Failed(error)),
            }
        }
    }
}

impl Netdev for Stream {
    fn send(&mut self, frame: &[u8]) {
        self.advance();
        let Link::Up(connection) = &mut self.link else { return };
        connection.queue(frame);
        match connection.flush() {
            Ok(()) => self.patience.begin(),
            Err(lost) => self.lose(&lost),
        }
    }

    fn receive(&mut self) -> Option<Vec<u8>> {
        self.advance();
        let Link::Up(connection) = &mut self.link else { return None };
        let received = connection.flush().and_then(|()| connection.receive(&mut self.buffer));
        received.unwrap_or_else(|lost| {
            self.lose(&lost);
            None
        })
    }

    fn sources(&self) -> Vec<PollFd<'_>> {
        match (&self.link, &self.way) {
            (Link::Up(connection), _) if connection.outgoing.is_empty() => ready(&connection.socket, PollFlags::IN),
            (Link::Up(connection), _) => ready(&connection.socket, PollFlags::IN | PollFlags::OUT),
            (Link::Connecting(socket), _) => ready(socket, PollFlags::OUT),
            (Link::Down { .. }, Way::Listen(listener)) => ready(listener, PollFlags::IN),
            (Link::Down { .. }, Way::Connect(_) | Way::Given) => Vec::new(),
        }
    }

    fn timeout(&self) -> Option<Duration> {
        match self.link {
            Link::Down { retry } => retry.map(|retry| retry.saturating_duration_since(Instant::now())),
            Link::Connecting(_) | Link::Up(_) => self.patience.left(),
        }
    }

    fn expects_answer(&self) -> bool {
        self.patience.lasts()
    }
}

fn ready(fd: &OwnedFd, flags: PollFlags) -> Vec<PollFd<'_>> {
    vec![PollFd::new(fd, flags)]
}

impl Drop for Stream {
    fn drop(&mut self) {
        if matches!(self.way, Way::Listen(_)) {
            self.options.endpoint.remove();
        }
    }
}

#[cfg(test)]
mod tests;
