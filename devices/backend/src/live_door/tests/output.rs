//! What leaves the machine.

use super::*;
use crate::chardev::{Address, Received, Role, Socket, SocketOptions};
use std::net::TcpStream;
use std::os::fd::BorrowedFd;

#[test]
fn output_arrives_whole_at_a_reader_that_is_slow() {
    let (mut door, mut far) = door(Pace::Fast);
    let reader = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        let mut all = Vec::new();
        far.read_to_end(&mut all).unwrap();
        all
    });
    let sent: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
    sent.iter().for_each(|&b| door.output(0, byte(b)));
    assert!(door.finish().is_none());
    assert!(reader.join().unwrap() == sent, "a byte was lost, doubled or moved");
}

#[test]
fn a_reader_that_has_gone_ends_the_run() {
    let (mut door, far) = door(Pace::Fast);
    drop(far);
    door.output(0, byte(b'x'));
    door.look();
    assert_eq!(door.poll(0, &Space(1)), Some(HostInput::Quit));
    match door.finish() {
        Some(Ending::Chardev(error)) => {
            assert!(error.to_string().starts_with("cannot write to standard output: Broken pipe"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn frames_leave_by_their_network() {
    let (mut door, net) = net_door(Pace::Fast);
    door.output(0, Output::Frame { netdev: NetdevId(0), frame: vec![1, 2] });
    door.output(0, Output::Frame { netdev: NetdevId(7), frame: vec![3] });
    assert_eq!(net.0.borrow().sent, [[1, 2]]);
}

/// A character device of which nobody takes anything.
struct Stuck(Option<Duration>);

impl Chardev for Stuck {
    fn write(&mut self, _bytes: &[u8]) {}

    fn backlog(&self) -> usize {
        1
    }

    fn flush(&mut self) -> Result<(), ChardevError> {
        Ok(())
    }

    fn outlet(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn read(&mut self) -> Received {
        Received::default()
    }

    fn source(&self) -> Option<PollFd<'_>> {
        None
    }

    fn timeout(&self) -> Option<Duration> {
        Some(Duration::from_millis(1))
    }

    fn farewell(&self) -> Option<Duration> {
        self.0
    }
}

#[test]
fn the_end_waits_for_a_peer_that_never_reads_but_not_for_ever() {
    let farewell = Duration::from_millis(20);
    let chardevs: Vec<Box<dyn Chardev>> = vec![Box::new(Stuck(Some(farewell))), Box::new(Stuck(Some(Duration::ZERO)))];
    let door = LiveDoor::new(Pace::Fast, Backends { chardevs, ..Backends::default() });
    let start = Instant::now();
    assert!(door.finish().is_none());
    assert!(start.elapsed() >= farewell);
    let reader: Vec<Box<dyn Chardev>> = vec![Box::new(Stuck(Some(farewell))), Box::new(Stuck(None))];
    let door = LiveDoor::new(Pace::Fast, Backends { chardevs: reader, ..Backends::default() });
    assert_eq!(door.farewell(), None, "who reads our output may take his time");
}

#[test]
fn what_the_guest_sends_last_is_handed_on() {
    let (mut door, net) = net_door(Pace::Fast);
    door.output(0, Output::Frame { netdev: NetdevId(0), frame: vec![1, 2] });
    net.0.borrow_mut().coming.push_back(vec![3]);
    assert!(door.finish().is_none());
    assert!(net.0.borrow().coming.is_empty(), "nobody looked after the network");
}

#[test]
fn a_peer_that_never_reads_makes_the_machine_wait_until_it_leaves() {
    let address = Address::Tcp { host: "127.0.0.1".into(), port: 0 };
    let role = Role::Server { wait: true };
    let mut socket = Socket::open(&SocketOptions { address, role, telnet: false, nodelay: false }).unwrap();
    let Address::Tcp { port, .. } = *socket.address() else { panic!("{}", socket.address()) };
    let peer = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.wait().unwrap();
    let mut door = LiveDoor::new(Pace::Fast, Backends { chardevs: vec![Box::new(socket)], ..Backends::default() });
    let leaver = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        drop(peer);
    });
    for _ in 0..1000 {
        door.output(0, Output::Bytes { chardev: CONSOLE, bytes: vec![b'x'; 64 << 10] });
    }
    leaver.join().unwrap();
    door.look();
    let gone = HostInput::Connected { chardev: CONSOLE, connected: false };
    assert_eq!(door.poll(0, &Space(0)), Some(gone));
    assert!(door.finish().is_none(), "the run goes on");
}
