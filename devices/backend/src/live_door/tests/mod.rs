//! The door with pipes, files and made-up networks in place of the host.

mod answers;
mod arrivals;
mod idle;
mod output;

use super::*;
use crate::chardev::Stdio;
use reprise_core::backend::{ChardevId, NetdevId};
use reprise_core::edit::{Edit, EditError};
use rustix::event::PollFd;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

const CONSOLE: ChardevId = ChardevId(0);

/// Room for as many bytes.
struct Space(usize);

impl Room for Space {
    fn chardev(&self, _chardev: ChardevId) -> usize {
        self.0
    }

    fn netdev(&self, _netdev: NetdevId) -> bool {
        self.0 > 0
    }

    fn edit(&self, _edit: &Edit) -> Result<(), EditError> {
        Ok(())
    }
}

/// A door with a console, and the operator's end of it.
fn door(pace: Pace) -> (LiveDoor, UnixStream) {
    let (near, far) = UnixStream::pair().unwrap();
    let console = Stdio::new(near.try_clone().unwrap().into(), near.into(), true);
    (LiveDoor::new(pace, Backends { chardevs: vec![Box::new(console)], ..Backends::default() }), far)
}

fn bytes(door: &mut LiveDoor, now: Tick, room: usize) -> Vec<u8> {
    match door.poll(now, &Space(room)) {
        Some(HostInput::Chardev { chardev: CONSOLE, bytes }) => bytes,
        Some(other) => panic!("{other:?}"),
        None => Vec::new(),
    }
}

fn byte(byte: u8) -> Output {
    Output::Bytes { chardev: CONSOLE, bytes: vec![byte] }
}

/// What the test of a network sees of it.
#[derive(Default)]
struct Wire {
    /// Frames yet to come.
    coming: VecDeque<Vec<u8>>,
    /// Frames that were sent.
    sent: Vec<Vec<u8>>,
    expects_answer: bool,
}

/// A network that is all in the test.
#[derive(Clone, Default)]
struct TestNet(Rc<RefCell<Wire>>);

impl Netdev for TestNet {
    fn send(&mut self, frame: &[u8]) {
        self.0.borrow_mut().sent.push(frame.to_vec());
    }

    fn receive(&mut self) -> Option<Vec<u8>> {
        self.0.borrow_mut().coming.pop_front()
    }

    fn sources(&self) -> Vec<PollFd<'_>> {
        Vec::new()
    }

    fn timeout(&self) -> Option<Duration> {
        Some(Duration::from_millis(1))
    }

    fn expects_answer(&self) -> bool {
        self.0.borrow().expects_answer
    }
}

fn net_door(pace: Pace) -> (LiveDoor, TestNet) {
    let net = TestNet::default();
    (LiveDoor::new(pace, Backends { netdevs: vec![Box::new(net.clone())], ..Backends::default() }), net)
}
