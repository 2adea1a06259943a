//! A connection that the guest has with one end of ours, and somebody on the host's side with the other.

use rustix::event::{PollFd, PollFlags};
use rustix::net::sockopt;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Duration as SmolDuration;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// Bytes that wait on their way, each way.
const BUFFER: usize = 128 << 10;

/// How long an answer to what the guest sent is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long more of what is coming is waited for.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a connection can be quiet until another may take its place.
const QUIET: Duration = Duration::from_secs(60);

/// How long the guest may take to accept a connection.
const OPENING: SmolDuration = SmolDuration::from_secs(75);

/// How long the guest may take to acknowledge that both sides are done.
const CLOSING: SmolDuration = SmolDuration::from_secs(60);

/// A connection.
pub(super) struct Open {
    pub(super) handle: SocketHandle,
    /// Until both sides are done.
    host: Option<TcpStream>,
    /// It may have something for us.
    readable: bool,
    /// It may take something from us.
    writable: bool,
    /// The guest has accepted it, or asked for it.
    established: bool,
    /// The host has sent all that it will.
    host_ended: bool,
    /// The guest has sent all that it will.
    guest_ended: bool,
    /// The host knows that.
    host_knows: bool,
    /// What a guest that has ended said, and the host has not taken.
    rest: Vec<u8>,
    /// Something went to the host, and nothing has come back since.
    unanswered: bool,
    /// When something last came or went.
    active: Instant,
}

/// An end of a connection with the guest.
pub(super) fn socket() -> Socket<'static> {
    let mut socket = Socket::new(SocketBuffer::new(vec![0; BUFFER]), SocketBuffer::new(vec![0; BUFFER]));
    // Both sides have decided already what to send at once and what to acknowledge when.
    socket.set_nagle_enabled(false);
    socket.set_ack_delay(None);
    socket.set_timeout(Some(OPENING));
    socket
}

impl Open {
    pub(super) fn new(handle: SocketHandle, host: TcpStream, now: Instant) -> Self {
        // The guest has decided already what to send at once; if it cannot be told, it is only slower.
        let _ = host.set_nodelay(true);
        Self {
            handle,
            host: Some(host),
            readable: true,
            writable: true,
            established: false,
            host_ended: false,
            guest_ended: false,
            host_knows: false,
            rest: Vec::new(),
            unanswered: true,
            active: now,
        }
    }

    /// Moves what can be moved.
    pub(super) fn pump(&mut self, socket: &mut Socket<'_>, now: Instant) {
        if !self.established && socket.may_send() {
            self.established = true;
            self.active = now;
            socket.set_timeout(None);
        }
        if let Err(_gone) = self.feed_host(socket, now).and_then(|()| self.feed_guest(socket, now)) {
            socket.abort();
            self.host = None;
        }
        if socket.state() == State::Closed && !(self.host_ended && self.guest_ended) {
            self.reset_host();
        }
        if self.host_ended && self.host_knows {
            self.host = None;
            socket.set_timeout((socket.send_queue() == 0).then_some(CLOSING));
        }
    }

    fn feed_host(&mut self, socket: &mut Socket<'_>, now: Instant) -> io::Result<()> {
        while self.writable && self.host.is_some() && socket.can_recv() {
            let offer = |bytes: &mut [u8]| match self.offer(bytes, now) {
                Ok(count) => (count, Ok(())),
                Err(error) => (0, Err(error)),
            };
            socket.recv(offer).unwrap_or(Ok(()))?;
        }
        self.guest_ended |= has_guest_ended(socket.state());
        if !self.guest_ended {
            return Ok(());
        }
        // The host may take its time, and smoltcp forgets what was said when all has been acknowledged.
        while socket.can_recv() {
            let _ = socket.recv(|bytes| (bytes.len(), self.rest.extend_from_slice(bytes)));
        }
        while self.writable && self.host.is_some() && !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            let taken = self.offer(&rest, now)?;
            self.rest = rest[taken..].to_vec();
        }
        self.end_host(now)
    }

    /// Offers the host some of what the guest said; tells how much it has taken.
    fn offer(&mut self, bytes: &[u8], now: Instant) -> io::Result<usize> {
        let Some(host) = &mut self.host else { return Ok(0) };
        match host.write(bytes) {
            Ok(count) => {
                (self.unanswered, self.active) = (true, now);
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.writable = false;
                Ok(0)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Tells the host that the guest has said all, once it has taken all.
    fn end_host(&mut self, now: Instant) -> io::Result<()> {
        let Some(host) = self.host.as_ref().filter(|_| !self.host_knows && self.rest.is_empty()) else { return Ok(()) };
        host.shutdown(Shutdown::Write)?;
        self.host_knows = true;
        (self.unanswered, self.active) = (true, now);
        Ok(())
    }

    fn feed_guest(&mut self, socket: &mut Socket<'_>, now: Instant) -> io::Result<()> {
        let Some(host) = &mut self.host else { return Ok(()) };
        while self.readable && !self.host_ended && socket.can_send() {
            let read = |room: &mut [u8]| match host.read(room) {
                Ok(count) => (count, Ok(count)),
                Err(error) => (0, Err(error)),
            };
            match socket.send(read).unwrap_or(Err(io::ErrorKind::WouldBlock.into())) {
                Ok(0) => {
                    self.host_ended = true;
                    socket.close();
                }
                Ok(_) => (self.unanswered, self.active) = (false, now),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Lets the host know that the guest broke the connection off.
    fn reset_host(&mut self) {
        if let Some(host) = self.host.take() {
            // If that fails, the host sees an orderly end.
            let _ = sockopt::set_socket_linger(&host, Some(Duration::ZERO));
        }
    }

    /// What would let us move something.
    pub(super) fn source(&self, socket: &Socket<'_>) -> Option<PollFd<'_>> {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, !self.readable && !self.host_ended && socket.can_send());
        flags.set(PollFlags::OUT, !self.writable && (socket.can_recv() || !self.rest.is_empty()));
        // What is watched for nothing still tells of errors, again and again.
        self.host.as_ref().filter(|_| !flags.is_empty()).map(|host| PollFd::new(host, flags))
    }

    /// The host has something to say, or can listen.
    pub(super) fn wake(&mut self) {
        (self.readable, self.writable) = (true, true);
    }

    /// Whether nothing is left to be said.
    pub(super) fn is_over(&self, socket: &Socket<'_>) -> bool {
        self.host.is_none() && socket.state() == State::Closed && socket.remote_endpoint().is_none()
    }

    /// Whether it can go when its place is needed, and how gladly: the lowest goes first.
    pub(super) fn spare(&self, socket: &Socket<'_>, now: Instant) -> Option<(u8, Instant)> {
        if self.host.is_none() && matches!(socket.state(), State::TimeWait | State::Closed) {
            return Some((0, self.active));
        }
        (now.saturating_duration_since(self.active) >= QUIET).then_some((2, self.active))
    }

    /// Whether the host is about to say something.
    pub(super) fn expects_answer(&self, now: Instant) -> bool {
        let patience = if self.unanswered { PATIENCE } else { PAUSE };
        let open = self.established && self.host.is_some() && !self.host_ended;
        open && now.saturating_duration_since(self.active) < patience
    }
}

/// Whether the guest has sent all that it will.
fn has_guest_ended(state: State) -> bool {
    match state {
        State::CloseWait | State::LastAck | State::Closing | State::TimeWait => true,
        State::Closed
        | State::Listen
        | State::SynSent
        | State::SynReceived
        | State::Established
        | State::FinWait1
        | State::FinWait2 => false,
    }
}
