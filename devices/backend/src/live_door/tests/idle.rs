//! How idle time passes, and that nothing turns without end.

use super::*;
use crate::netdev::{Endpoint, Stream, StreamOptions};
use std::os::fd::AsRawFd;

#[test]
fn fast_pace_skips_idle_time() {
    let (mut door, _far) = door(Pace::Fast);
    let start = Instant::now();
    assert_eq!(door.idle(5, Some(1_000_000_000_000)), Some(1_000_000_000_000));
    assert!(start.elapsed() < Duration::from_secs(60));
}

/// A network in which somebody is about to answer, for so long, and never does.
struct Silence(Instant);

impl Netdev for Silence {
    fn send(&mut self, _frame: &[u8]) {}

    fn receive(&mut self) -> Option<Vec<u8>> {
        None
    }

    fn sources(&self) -> Vec<PollFd<'_>> {
        Vec::new()
    }

    fn timeout(&self) -> Option<Duration> {
        Some(Duration::from_millis(1))
    }

    fn expects_answer(&self) -> bool {
        Instant::now() < self.0
    }
}

#[test]
fn fast_pace_waits_for_an_answer_as_long_as_one_is_due() {
    let start = Instant::now();
    let silence = Silence(start + Duration::from_millis(20));
    let mut door = LiveDoor::new(Pace::Fast, Backends { netdevs: vec![Box::new(silence)], ..Backends::default() });
    assert_eq!(door.idle(5, Some(3_600_000_000_000)), Some(3_600_000_000_000));
    assert!((Duration::from_millis(20)..Duration::from_secs(60)).contains(&start.elapsed()));
}

#[test]
fn real_pace_sleeps_until_the_deadline() {
    let (mut door, _far) = door(Pace::Real);
    let start = Instant::now();
    assert_eq!(door.idle(5, Some(30_000_005)), Some(30_000_005));
    assert!(start.elapsed() >= Duration::from_millis(30));
}

#[test]
fn input_wakes_a_sleeper_before_its_deadline() {
    let (mut door, mut far) = door(Pace::Real);
    far.write_all(b"x").unwrap();
    let woken = door.idle(1000, Some(3_600_000_000_000)).unwrap();
    assert!((1000..3_600_000_000_000).contains(&woken), "{woken}");
    assert_eq!(bytes(&mut door, woken, 1), b"x");
}

#[test]
fn bytes_that_the_guest_may_have_room_for_now_keep_it_awake_once() {
    let (mut door, mut far) = door(Pace::Real);
    far.write_all(b"ab").unwrap();
    door.look();
    assert_eq!((bytes(&mut door, 10, 1), bytes(&mut door, 10, 0)), (b"a".to_vec(), vec![]));
    assert_eq!(door.idle(500, Some(3_600_000_000_000)), Some(500));
    assert_eq!(bytes(&mut door, 500, 0), b"");
    assert_eq!(door.idle(500, Some(1_000_500)), Some(1_000_500));
}

#[test]
fn without_deadline_and_input_the_machine_is_dead() {
    for pace in [Pace::Real, Pace::Fast] {
        let (mut door, far) = door(pace);
        drop(far);
        door.look();
        assert_eq!(door.idle(7, None), None, "{pace:?}");
        assert_eq!(LiveDoor::new(pace, Backends::default()).idle(7, None), None, "{pace:?}");
    }
}

#[test]
fn what_a_dead_machine_will_never_take_does_not_keep_it_running() {
    let (mut door, far) = door(Pace::Real);
    far.set_nonblocking(true).unwrap();
    for _ in 0..100 {
        // More than anybody keeps for a guest.
        while (&far).write(&[b'x'; 4096]).is_ok() {}
        door.look();
    }
    assert_eq!(door.poll(7, &Space(0)), None);
    assert_eq!(door.idle(7, None), None);
    let (mut door, net) = net_door(Pace::Real);
    net.0.borrow_mut().coming.extend(vec![vec![1]; 1000]);
    door.look();
    assert_eq!(door.poll(7, &Space(0)), None);
    assert_eq!(door.idle(7, None), None);
}

#[test]
fn idle_time_passes_as_on_a_clock_while_an_answer_is_expected() {
    let (mut door, net) = net_door(Pace::Fast);
    net.0.borrow_mut().expects_answer = true;
    let start = Instant::now();
    assert_eq!(door.idle(5, Some(30_000_005)), Some(30_000_005));
    assert!(start.elapsed() >= Duration::from_millis(30));
    net.0.borrow_mut().expects_answer = false;
    assert_eq!(door.idle(5, Some(3_600_000_000_000)), Some(3_600_000_000_000));
}

#[test]
fn an_answer_that_nobody_expects_any_more_is_not_slept_for() {
    let (mut door, net) = net_door(Pace::Fast);
    /// Gives up after some looks.
    struct GivesUp(TestNet, u32);
    impl Netdev for GivesUp {
        fn send(&mut self, _frame: &[u8]) {}

        fn receive(&mut self) -> Option<Vec<u8>> {
            self.1 -= 1;
            self.0.0.borrow_mut().expects_answer = self.1 > 0;
            None
        }

        fn sources(&self) -> Vec<PollFd<'_>> {
            Vec::new()
        }

        fn timeout(&self) -> Option<Duration> {
            Some(Duration::from_millis(1))
        }

        fn expects_answer(&self) -> bool {
            self.0.expects_answer()
        }
    }
    net.0.borrow_mut().expects_answer = true;
    door.nets.push(Net::new(Box::new(GivesUp(net.clone(), 5))));
    assert_eq!(door.idle(5, Some(3_600_000_000_000)), Some(3_600_000_000_000));
}

#[test]
fn what_waits_for_a_guest_without_room_does_not_keep_an_idle_machine_awake() {
    let (mut door, net) = net_door(Pace::Real);
    net.0.borrow_mut().coming.extend(vec![vec![1]; 1000]);
    let (mut now, mut turns) = (0, 0);
    // As the run loop does: one poll at a tick, and an idle jump of at least one.
    while now < 20_000_000 {
        assert_eq!(door.poll(now, &Space(0)), None);
        now = door.idle(now, Some(20_000_000)).unwrap().max(now + 1);
        turns += 1;
    }
    assert!(turns < 10, "{turns} turns in 20 ms");
}

#[test]
fn a_peer_that_floods_a_guest_without_room_is_left_waiting() {
    let (mut door, far) = door(Pace::Real);
    far.set_nonblocking(true).unwrap();
    let (mut now, mut turns) = (0, 0);
    while now < 50_000_000 {
        while (&far).write(&[b'x'; 4096]).is_ok() {}
        assert_eq!(door.poll(now, &Space(0)), None);
        now = door.idle(now, Some(50_000_000)).unwrap().max(now + 1);
        turns += 1;
    }
    assert!(turns < 100, "{turns} turns in 50 ms");
}

/// A door with a network, and the other end of it.
fn networked(pace: Pace) -> (LiveDoor, UnixStream) {
    let (near, far) = UnixStream::pair().unwrap();
    let endpoint = Endpoint::Descriptor(near.as_raw_fd());
    let stream = Stream::open(StreamOptions { endpoint, server: false, reconnect: None }).unwrap();
    (LiveDoor::new(pace, Backends { netdevs: vec![Box::new(stream)], ..Backends::default() }), far)
}

#[test]
fn at_fast_pace_an_answer_from_a_network_is_waited_for_but_not_for_long() {
    let hour = 3_600_000_000_000;
    let (mut door, mut far) = networked(Pace::Fast);
    let ask = |door: &mut LiveDoor| door.output(0, Output::Frame { netdev: NetdevId(0), frame: vec![1; 60] });
    let start = Instant::now();
    ask(&mut door);
    assert_eq!(door.idle(7, Some(hour)), Some(hour));
    assert!(start.elapsed() >= Duration::from_millis(100), "nobody was given time to answer");
    far.read_exact(&mut [0; 64]).unwrap();
    let peer = std::thread::spawn(move || {
        let answer = [&60u32.to_be_bytes()[..], &[2; 60]].concat();
        while far.read_exact(&mut [0; 64]).is_ok() && far.write_all(&answer).is_ok() {}
    });
    // A peer on a busy host may be too late for once.
    let answered = (0..100).find_map(|_| {
        ask(&mut door);
        door.idle(7, Some(hour)).filter(|woken| (7..hour).contains(woken))
    });
    let frame = door.poll(answered.expect("an answer in time"), &Space(1));
    assert_eq!(frame, Some(HostInput::Frame { netdev: NetdevId(0), frame: vec![2; 60] }));
    drop(door);
    peer.join().unwrap();
    assert!(start.elapsed() < Duration::from_secs(60));
}
