//! What comes in.

use super::*;
use crate::chardev::Received;
use std::os::fd::BorrowedFd;

#[test]
fn a_front_end_gets_no_more_than_it_has_room_for() {
    let (mut door, mut far) = door(Pace::Fast);
    far.write_all(b"hello").unwrap();
    door.look();
    assert_eq!(bytes(&mut door, 0, 2), b"he");
    assert_eq!(bytes(&mut door, 0, 0), b"");
    assert_eq!(bytes(&mut door, 9, 100), b"llo");
}

#[test]
fn quit_and_pause_are_obeyed_though_the_guest_reads_nothing() {
    let (mut door, mut far) = door(Pace::Fast);
    far.write_all(b"typed ahead\x01p\x01p\x01x").unwrap();
    door.look();
    assert_eq!(door.poll(0, &Space(0)), Some(HostInput::Quit));
    assert!(matches!(door.finish(), Some(Ending::Key)));
    let mut told = String::new();
    far.read_to_string(&mut told).unwrap();
    assert_eq!(told, "[paused: Ctrl-A p goes on]\n[running]\n");
}

#[test]
fn a_machine_that_is_paused_for_ever_ends() {
    let (mut door, far) = door(Pace::Fast);
    door.pause();
    drop(far);
    assert_eq!(door.poll(0, &Space(0)), Some(HostInput::Quit));
    assert!(matches!(door.finish(), Some(Ending::PausedForEver)));
}

#[test]
fn frames_come_in_order_when_there_is_room() {
    let (mut door, net) = net_door(Pace::Fast);
    net.0.borrow_mut().coming.extend([vec![1], vec![2]]);
    door.look();
    assert_eq!(door.poll(0, &Space(0)), None);
    let frame = |frame| Some(HostInput::Frame { netdev: NetdevId(0), frame });
    assert_eq!(door.poll(1, &Space(1)), frame(vec![1]));
    assert_eq!(door.poll(1, &Space(1)), frame(vec![2]));
    assert_eq!(door.poll(1, &Space(1)), None);
}

#[test]
fn a_flood_of_frames_does_not_keep_the_machine_at_a_tick() {
    let (mut door, net) = net_door(Pace::Fast);
    net.0.borrow_mut().coming.extend(vec![vec![1]; 10_000]);
    let taken = |door: &mut LiveDoor, tick| {
        let mut polls = 0..10_000;
        polls.find(|poll| {
            if poll % 100 == 0 {
                std::thread::sleep(LOOK_INTERVAL);
            }
            door.poll(tick, &Space(1)).is_none()
        })
    };
    assert_eq!([taken(&mut door, 5), taken(&mut door, 6)], [Some(256); 2]);
}

/// A character device of which everything that comes is known beforehand.
struct Scripted(VecDeque<Received>);

impl Chardev for Scripted {
    fn write(&mut self, _bytes: &[u8]) {}

    fn backlog(&self) -> usize {
        0
    }

    fn flush(&mut self) -> Result<(), ChardevError> {
        Ok(())
    }

    fn outlet(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn read(&mut self) -> Received {
        self.0.pop_front().unwrap_or_default()
    }

    fn source(&self) -> Option<PollFd<'_>> {
        None
    }

    fn timeout(&self) -> Option<Duration> {
        (!self.0.is_empty()).then_some(Duration::ZERO)
    }
}

#[test]
fn peers_come_and_go_in_order_with_what_they_send() {
    let received = |connected, bytes: &[u8]| Received { connected, bytes: bytes.to_vec(), ..Received::default() };
    let script = [
        received(Some(false), b""),
        received(Some(true), b"one "),
        received(None, b"two"),
        received(Some(false), b""),
        received(Some(true), b"three"),
    ];
    let chardev = Scripted(script.into());
    let mut door = LiveDoor::new(Pace::Fast, Backends { chardevs: vec![Box::new(chardev)], ..Backends::default() });
    door.look();
    let connected = |connected| Some(HostInput::Connected { chardev: CONSOLE, connected });
    let bytes = |bytes: &[u8]| Some(HostInput::Chardev { chardev: CONSOLE, bytes: bytes.to_vec() });
    assert_eq!(door.poll(0, &Space(0)), connected(false), "there is always room for that");
    assert_eq!(door.poll(0, &Space(0)), connected(true));
    assert_eq!(door.poll(0, &Space(0)), None);
    assert_eq!(door.poll(1, &Space(99)), bytes(b"one two"));
    assert_eq!(door.poll(1, &Space(99)), connected(false));
    assert_eq!(door.poll(1, &Space(99)), connected(true));
    assert_eq!(door.poll(1, &Space(3)), bytes(b"thr"));
    assert_eq!(door.poll(1, &Space(99)), bytes(b"ee"));
    assert_eq!(door.poll(1, &Space(99)), None);
    assert_eq!(door.idle(1, None), None, "nothing will come any more");
}

#[test]
fn a_peer_that_only_comes_and_goes_is_bounded_too() {
    let flapping = (0..200_000).map(|n| Received { connected: Some(n % 2 == 0), ..Received::default() });
    let script = std::iter::once(Received { bytes: vec![b'x'], ..Received::default() }).chain(flapping);
    let chardev = Scripted(script.collect());
    let mut door = LiveDoor::new(Pace::Fast, Backends { chardevs: vec![Box::new(chardev)], ..Backends::default() });
    let looks = (0..200_000).take_while(|_| door.look()).count();
    assert!(looks < 10_000, "{looks} looks until it is left waiting");
}
