//! One client from its call to its leave.
//!
//! gdbstub knows the protocol; around it are the frames of packets, what it lacks, and the movements of the machine, which
//! it only asks for. Whatever a client sends, the session goes on: what gdbstub cannot make sense of is answered with an
//! error, or, where the client waits for the machine, with a stop, and gdbstub begins anew.

use super::attention::Attention;
use super::client::Client;
use super::debuggee::{Host, Wake};
use super::frames::{Incoming, PACKET_LIMIT};
use super::listen::{Listener, is_readable};
use super::monitor;
use super::packets::{self, Verdict};
use super::target::Target;
use gdbstub::conn::Connection;
use gdbstub::stub::state_machine::{GdbStubStateMachine, GdbStubStateMachineInner, state};
use gdbstub::stub::{DisconnectReason, GdbStubBuilder, MultiThreadStopReason};
use std::cell::RefCell;
use std::convert::Infallible;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

/// How a client left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// It wants the machine to go on without it.
    Detached,
    /// It has gone while the machine ran, or stood still.
    Vanished {
        /// Whether it ran.
        running: bool,
    },
    /// It wants the machine to end.
    Killed,
    /// The server is to end, or the machine has ended.
    Over,
}

/// What gdbstub sends, with its own acknowledgements, which nobody needs.
#[derive(Clone, Debug, Default)]
struct Outgoing(Rc<RefCell<Vec<u8>>>);

impl Connection for Outgoing {
    type Error = Infallible;

    fn write(&mut self, byte: u8) -> Result<(), Infallible> {
        self.0.borrow_mut().push(byte);
        Ok(())
    }

    fn write_all(&mut self, buf: &[u8]) -> Result<(), Infallible> {
        self.0.borrow_mut().extend(buf);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl Outgoing {
    /// Takes the bodies of its packets.
    fn take(&self) -> Vec<Vec<u8>> {
        let bytes = std::mem::take(&mut *self.0.borrow_mut());
        let (mut bodies, mut rest) = (Vec::new(), bytes.as_slice());
        while let Some(start) = rest.iter().position(|&byte| byte == b'$') {
            let body = &rest[start + 1..];
            let Some(end) = body.iter().position(|&byte| byte == b'#') else { break };
            bodies.push(body[..end].to_vec());
            rest = &body[end..];
        }
        bodies
    }
}

type Machine<'h> = GdbStubStateMachine<'static, Target<'h>, Outgoing>;
type Running<'h> = GdbStubStateMachineInner<'static, state::Running, Target<'h>, Outgoing>;

/// A client and what it debugs.
pub(super) struct Session<'h, 'l> {
    target: Target<'h>,
    listener: &'l Listener,
    client: Client,
    outgoing: Outgoing,
    /// Taken only while it makes a transition.
    machine: Option<Machine<'h>>,
    /// What the client said that it knows.
    supported: Option<Vec<u8>>,
    /// The vCPU that the client named for old packets that step.
    named: Option<usize>,
}

impl<'h, 'l> Session<'h, 'l> {
    /// The session of the client that called by `socket`.
    pub(super) fn new(host: &'h mut dyn Host, listener: &'l Listener, socket: OwnedFd) -> Self {
        let bells = [listener.as_fd(), socket.as_fd()].into_iter().filter_map(|fd| fd.try_clone_to_owned().ok());
        host.watch(bells.collect());
        let (mut target, outgoing) = (Target::new(host), Outgoing::default());
        let machine = Some(stub(&mut target, &outgoing));
        Self { target, listener, client: Client::new(socket), outgoing, machine, supported: None, named: None }
    }

    /// Serves the client until it leaves.
    pub(super) fn serve(mut self) -> Leave {
        loop {
            let leave = match self.machine.take().expect("no transition is under way") {
                GdbStubStateMachine::Disconnected(inner) => Some(self.part(inner.get_reason())),
                GdbStubStateMachine::Running(inner) => self.go(inner),
                GdbStubStateMachine::CtrlCInterrupt(inner) => {
                    // No such byte is handed on.
                    let next = inner.interrupt_handled(&mut self.target, None::<MultiThreadStopReason<u64>>);
                    self.machine = Some(next.unwrap_or_else(|_| stub(&mut self.target, &self.outgoing)));
                    None
                }
                idle @ GdbStubStateMachine::Idle(_) => {
                    self.machine = Some(idle);
                    self.serve_idle()
                }
            };
            if let Some(leave) = leave {
                return leave;
            }
        }
    }

    /// The client takes its leave, or the machine has ended.
    fn part(&mut self, reason: DisconnectReason) -> Leave {
        self.send_answers();
        let leave = match reason {
            DisconnectReason::Disconnect => Leave::Detached,
            DisconnectReason::Kill => {
                self.client.frames.send(b"OK");
                Leave::Killed
            }
            DisconnectReason::TargetExited(_) | DisconnectReason::TargetTerminated(_) => Leave::Over,
        };
        self.client.flush();
        leave
    }

    /// Moves the machine as the client wants it, and tells it where that ended.
    fn go(&mut self, inner: Running<'h>) -> Option<Leave> {
        let mut watcher = Attention::new(&mut self.client, self.listener, self.target.host.viewer());
        let stop = self.target.perform(&mut watcher);
        if self.client.is_gone() {
            let is_over = self.target.host.exit_status().is_some();
            return Some(if is_over { Leave::Over } else { Leave::Vanished { running: true } });
        }
        let reply = self.target.reply(stop);
        self.target.notes.extend(reply.note);
        self.tell_notes();
        let registers = self.target.expedited();
        let mut registers = registers.iter().map(|(number, bytes)| (*number, bytes.as_slice()));
        let next = inner.report_stop_with_regs(&mut self.target, reply.reason, &mut registers);
        self.machine = Some(next.unwrap_or_else(|_| stub(&mut self.target, &self.outgoing)));
        self.send_answers();
        None
    }

    /// Serves a packet, or waits for one.
    fn serve_idle(&mut self) -> Option<Leave> {
        match self.client.frames.next() {
            Some(Incoming::Packet(body)) => self.packet(body),
            // The machine has stopped already.
            Some(Incoming::Interrupt) => {}
            None => {
                self.client.flush();
                if self.client.is_gone() {
                    return Some(Leave::Vanished { running: false });
                }
                match self.target.host.wait() {
                    Wake::Ended => return Some(Leave::Over),
                    Wake::Called | Wake::Started => {
                        self.client.receive();
                        refuse_others(self.listener, &mut self.client);
                    }
                }
            }
        }
        None
    }

    fn packet(&mut self, mut body: Vec<u8>) {
        self.note_threads(&mut body);
        let Target { packets, host, selected, .. } = &mut self.target;
        let body = match packets.request(&body, host.machine(), selected) {
            Verdict::Pass(body) => body,
            Verdict::Answer(answer) => return self.client.frames.send(&answer),
        };
        if let Some(command) = body.strip_prefix(b"qRcmd,") {
            return self.monitor(command);
        }
        if body.starts_with(b"qSupported") {
            self.supported = Some(body.clone());
        }
        let mut machine = self.machine.take().expect("no transition is under way");
        for byte in super::frames::framed(&body) {
            let next = match machine {
                GdbStubStateMachine::Idle(inner) => inner.incoming_data(&mut self.target, byte),
                other => Ok(other),
            };
            machine = match next {
                Ok(machine) => machine,
                Err(error) => {
                    log::debug!(target: "gdb", "{}: {error}", String::from_utf8_lossy(&body));
                    self.outgoing.take();
                    self.begin_anew();
                    return self.answer_failure(&body);
                }
            };
        }
        self.machine = Some(machine);
        self.send_answers();
    }

    /// Which vCPU old packets step, those backwards among them: the one that the client named, or looks at. gdbstub would
    /// forget it at the next stop, and refuses to step what it takes for all of them.
    fn note_threads(&mut self, body: &mut Vec<u8>) {
        if let Some(thread) = body.strip_prefix(b"Hc") {
            let number = thread.rsplit(|&byte| byte == b'.').next().unwrap_or_default();
            let number = std::str::from_utf8(number).ok().and_then(|digits| usize::from_str_radix(digits, 16).ok());
            self.named = number.and_then(|number| number.checked_sub(1));
            if self.named.is_none() {
                *body = b"Hc0".to_vec();
            }
        }
        let is_old = body.starts_with(b"s") || body == b"bs";
        self.target.stepping = is_old.then(|| self.named.unwrap_or(self.target.selected));
    }

    /// Tells people what they have to know; the client takes text only in an answer of some kinds.
    fn tell_notes(&mut self) {
        for note in self.target.notes.drain(..) {
            self.client.frames.tell(&format!("reprise: {note}\n"));
        }
    }

    /// gdb's `monitor`: what it moves is watched like any other movement. Ctrl-C has gdb give the command up without a
    /// word: its next request says so, and must not be given the answer to this one.
    fn monitor(&mut self, command: &[u8]) {
        let Some(command) = packets::bytes(command) else { return self.client.frames.send(b"E16") };
        let (command, cpu) = (String::from_utf8_lossy(&command), self.target.selected);
        let mut watcher = Attention::new(&mut self.client, self.listener, self.target.host.viewer()).giving_way();
        let text = monitor::run(&command, self.target.host, cpu, &mut watcher);
        if !watcher.gave_way() {
            self.tell_notes();
            self.client.frames.tell(&text);
            self.client.frames.send(b"OK");
        }
    }

    /// Sends what gdbstub answered. Where it has only a number for a refusal, there is a text.
    fn send_answers(&mut self) {
        let refusal = self.target.refusal.take();
        for body in self.outgoing.take() {
            match &refusal {
                Some(text) if body.len() == 3 && body[0] == b'E' => self.client.frames.send(&error(text)),
                _ => self.client.frames.send(&self.target.packets.reply(body)),
            }
        }
    }

    /// gdbstub is as it was when the client had told it what it knows, and which vCPU it looks at.
    fn begin_anew(&mut self) {
        let mut machine = stub(&mut self.target, &self.outgoing);
        let selected = format!("Hg{:x}", self.target.selected + 1).into_bytes();
        for byte in self.supported.iter().chain([&selected]).flat_map(|body| super::frames::framed(body)) {
            machine = match machine {
                GdbStubStateMachine::Idle(inner) => match inner.incoming_data(&mut self.target, byte) {
                    Ok(machine) => machine,
                    Err(_) => stub(&mut self.target, &self.outgoing),
                },
                other => other,
            };
        }
        self.outgoing.take();
        self.machine = Some(machine);
    }

    /// Answers what gdbstub could not make sense of. Who waits for the machine gets a stop: gdb gives up on anything else.
    fn answer_failure(&mut self, body: &[u8]) {
        let waits =
            [b"vCont;".as_slice(), b"c", b"C", b"s", b"S", b"bc", b"bs"].iter().any(|start| body.starts_with(start));
        if !waits {
            return self.client.frames.send(b"E16");
        }
        self.client.frames.tell("reprise: that cannot be asked of the machine, which stays where it is\n");
        let stop = format!("T05thread:{:x};", self.target.selected + 1);
        self.client.frames.send(stop.as_bytes());
    }
}

/// An error with a text, in which nothing needs an escape.
fn error(text: &str) -> Vec<u8> {
    let plain = |byte: u8| if (b' '..b'~').contains(&byte) && !b"#$}*".contains(&byte) { byte } else { b'?' };
    b"E.".iter().copied().chain(text.bytes().map(plain)).collect()
}

/// gdbstub at the start of a session.
fn stub<'h>(target: &mut Target<'h>, outgoing: &Outgoing) -> Machine<'h> {
    let stub = GdbStubBuilder::new(outgoing.clone()).packet_buffer_size(PACKET_LIMIT + 4).build();
    let stub = stub.unwrap_or_else(|error| unreachable!("its buffer is its own: {error}"));
    let machine = stub.run_state_machine(target);
    machine.unwrap_or_else(|error| unreachable!("there are breakpoints, and nothing can fail to be sent: {error}"))
}

/// Sends away who calls while there is a client. One that has gone by then makes room for who calls.
pub(super) fn refuse_others(listener: &Listener, client: &mut Client) {
    while is_readable(listener.as_fd()) {
        client.receive();
        // Of one whose packets wait it is not known yet.
        if client.is_gone() || client.frames.is_full() {
            return;
        }
        let Some(caller) = listener.accept() else { return };
        drop(caller);
        crate::say(&"a second gdb client was sent away: the first one is still there");
    }
}
