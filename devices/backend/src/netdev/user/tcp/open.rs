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
    /// The guest has sent all that it will, and the host knows.
    guest_ended: bool,
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
        if socket.state() == State::Closed {
            self.reset_host();
        }
        if self.host_ended && self.guest_ended {
            self.host = None;
            socket.set_timeout((socket.send_queue() == 0).then_some(CLOSING));
        }
    }

    fn feed_host(&mut self, socket: &mut Socket<'_>, now: Instant) -> io::Result<()> {
        let Some(host) = &mut self.host else { return Ok(()) };
        while self.writable && socket.can_recv() {
            let write = |bytes: &mut [u8]| match host.write(bytes) {
                Ok(count) => (count, Ok(count)),
                Err(error) => (0, Err(error)),
            };
            match socket.recv(write).unwrap_or(Ok(0)) {
                Ok(0) => break,
                Ok(_) => (self.unanswered, self.active) = (true, now),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if !self.guest_ended && !socket.can_recv() && has_guest_ended(socket.state()) {
            self.guest_ended = true;
            (self.unanswered, self.active) = (true, now);
            host.shutdown(Shutdown::Write)?;
        }
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
        flags.set(PollFlags::OUT, !self.writable && socket.can_recv());
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
