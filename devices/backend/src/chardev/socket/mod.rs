//! A socket: one peer at a time is at the other end, by TCP or on this host, with telnet's manners if asked for.
//!
//! What the guest sends while nobody is there is lost. A peer that does not read makes the guest wait once what was sent
//! to it fills the host's buffers and ours; one that leaves sets it free.

mod address;
mod client;
mod telnet;

pub use address::Address;

use super::inlet::{Inflow, read_now};
use super::sink::Sink;
use super::{Chardev, ChardevError, FAREWELL, Received};
use address::{Listener, prepare};
use client::Client;
use rustix::event::{PollFd, PollFlags};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;
use telnet::{GREETING, Telnet};

/// Who calls whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Others call.
    Server {
        /// Whether the machine waits for the first one.
        wait: bool,
    },
    /// Calls; and again that long after a call that failed, or a connection that broke.
    Client {
        /// The pause; `None` if it calls only once.
        reconnect: Option<Duration>,
    },
}

/// What a socket is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketOptions {
    /// Where.
    pub address: Address,
    /// Who calls.
    pub role: Role,
    /// Whether the peer is a telnet program.
    pub telnet: bool,
    /// Whether TCP sends small segments at once.
    pub nodelay: bool,
}

/// A socket as a character device.
pub struct Socket {
    address: Address,
    end: End,
    telnet: bool,
    nodelay: bool,
    peer: Option<Peer>,
    /// What was reported last: whether there is a peer.
    told: bool,
}

/// How peers come.
enum End {
    Server(Listener),
    Client(Client),
    /// There was one, and there will be no other.
    Once,
}

/// Who is at the other end.
struct Peer {
    fd: OwnedFd,
    sink: Sink,
    telnet: Option<Telnet>,
}

impl Socket {
    /// Opens a socket. Nobody waits for a peer yet, but a client that calls only once has its peer then.
    pub fn open(options: &SocketOptions) -> Result<Self, ChardevError> {
        let SocketOptions { address, role, telnet, nodelay } = options;
        let (end, called) = match role {
            Role::Server { .. } => (End::Server(Listener::open(address)?), None),
            Role::Client { reconnect: Some(pause) } => (End::Client(Client::new(address, *pause)?), None),
            Role::Client { reconnect: None } => (End::Once, Some(address.connect()?)),
        };
        let address = match &end {
            End::Server(listener) => listener.address(address),
            End::Client(_) | End::Once => address.clone(),
        };
        let mut socket = Self { address, end, telnet: *telnet, nodelay: *nodelay, peer: None, told: true };
        if let Some(fd) = called {
            prepare(&fd, socket.nodelay).and_then(|()| socket.welcome(fd)).map_err(|error| socket.failed(error))?;
        }
        Ok(socket)
    }

    /// Where it is; with the port, if any would do.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Waits until the first peer comes to a server.
    pub fn wait(&mut self) -> Result<(), ChardevError> {
        if let (End::Server(listener), None) = (&self.end, &self.peer) {
            let called = listener.wait(self.nodelay);
            called.and_then(|fd| self.welcome(fd)).map_err(|error| self.failed(error))?;
        }
        Ok(())
    }

    fn failed(&self, source: std::io::Error) -> ChardevError {
        ChardevError::Connect { name: self.address.to_string(), source }
    }

    fn welcome(&mut self, fd: OwnedFd) -> std::io::Result<()> {
        let mut sink = Sink::new(self.address.to_string(), fd.try_clone()?);
        if self.telnet {
            sink.push(&GREETING);
        }
        self.peer = Some(Peer { fd, sink, telnet: self.telnet.then(Telnet::default) });
        Ok(())
    }

    fn hang_up(&mut self) {
        self.peer = None;
        if let End::Client(client) = &mut self.end {
            client.hung_up();
        }
    }

    /// Takes the next peer in, if there is one.
    fn look_for_peer(&mut self) {
        let found = match &mut self.end {
            End::Server(listener) => listener.accept(self.nodelay),
            End::Client(client) => client.call(self.nodelay),
            End::Once => None,
        };
        if let Some(fd) = found {
            // One that is lost at once is one that left at once.
            let _ = self.welcome(fd);
        }
    }

    /// Whether what was reported last is no longer so.
    fn has_changed(&self) -> bool {
        self.told != self.peer.is_some()
    }

    fn read_peer(&mut self) -> Received {
        let Some(peer) = &mut self.peer else { return Received::default() };
        match (read_now(peer.fd.as_fd()), &mut peer.telnet) {
            (Inflow::Nothing, _) => Received::default(),
            (Inflow::Bytes(bytes), None) => Received::of_bytes(bytes),
            (Inflow::Bytes(bytes), Some(telnet)) => Received::of_bytes(telnet.received(&bytes)),
            (Inflow::End, _) => {
                self.hang_up();
                self.told = false;
                Received::of_connected(false)
            }
        }
    }
}

impl Chardev for Socket {
    fn write(&mut self, bytes: &[u8]) {
        match &mut self.peer {
            None => {}
            Some(Peer { sink, telnet: None, .. }) => sink.push(bytes),
            Some(Peer { sink, telnet: Some(_), .. }) => sink.push(&telnet::sent(bytes)),
        }
    }

    fn backlog(&self) -> usize {
        self.peer.as_ref().map_or(0, |peer| peer.sink.backlog())
    }

    fn flush(&mut self) -> Result<(), ChardevError> {
        if self.peer.as_mut().is_some_and(|peer| peer.sink.flush().is_err()) {
            self.hang_up();
        }
        Ok(())
    }

    fn outlet(&self) -> Option<BorrowedFd<'_>> {
        self.peer.as_ref().map(|peer| peer.sink.outlet())
    }

    fn read(&mut self) -> Received {
        if self.peer.is_none() && !self.has_changed() {
            self.look_for_peer();
        }
        if self.has_changed() {
            self.told = self.peer.is_some();
            return Received::of_connected(self.told);
        }
        self.read_peer()
    }

    fn source(&self) -> Option<PollFd<'_>> {
        match (&self.peer, &self.end) {
            (Some(peer), _) => Some(PollFd::new(&peer.fd, PollFlags::IN)),
            (None, End::Server(listener)) => Some(PollFd::new(listener, PollFlags::IN)),
            (None, End::Client(client)) => client.source(),
            (None, End::Once) => None,
        }
    }

    fn timeout(&self) -> Option<Duration> {
        match (&self.peer, &self.end) {
            _ if self.has_changed() => Some(Duration::ZERO),
            (None, End::Client(client)) => client.timeout(),
            _ => None,
        }
    }

    fn farewell(&self) -> Option<Duration> {
        Some(FAREWELL)
    }
}

#[cfg(test)]
mod tests;
