use super::*;
use crate::chardev::Stdio;
use crate::netdev::{Endpoint, Stream, StreamOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

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
    let peer = std::thread::spawn(move || {
        far.read_exact(&mut [0; 128]).unwrap();
        far.write_all(&[&60u32.to_be_bytes()[..], &[2; 60]].concat()).unwrap();
        far
    });
    ask(&mut door);
    let woken = door.idle(7, Some(hour)).unwrap();
    assert!((7..hour).contains(&woken), "{woken}");
    let frame = door.poll(woken, &Space(1));
    assert_eq!(frame, Some(HostInput::Frame { netdev: NetdevId(0), frame: vec![2; 60] }));
    peer.join().unwrap();
    assert!(start.elapsed() < Duration::from_secs(60));
}
