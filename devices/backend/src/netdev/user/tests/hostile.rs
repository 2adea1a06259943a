//! What a guest may not do to us.

use super::frames::{echo, fragments, segment, tcp, udp};
use super::*;
use rustix::process::{Resource, Rlimit};
use smoltcp::wire::TcpControl;

fn user() -> User {
    User::open(UserOptions::default(), Resolver::Fixed(NOBODY.parse().unwrap())).unwrap()
}

/// True once in so many times.
fn chance(state: &mut u64, once_in: u64) -> bool {
    random(state).is_multiple_of(once_in)
}

/// Takes all that the network sends.
fn drain(user: &mut User) -> usize {
    std::iter::from_fn(|| user.receive()).count()
}

#[test]
fn a_flood_of_connections_leaves_no_more_than_the_limit() {
    // It takes no more callers than wait in its queue; the rest are neither accepted nor refused.
    let (listener, address) = listener();
    let mut user = user();
    let to: SocketAddr = address.parse().unwrap();
    for source in 1..=2000 {
        user.send(&tcp(source, [10, 0, 2, 2], to.port(), TcpControl::Syn, None));
        assert!(user.tcp.count() <= 512);
    }
    assert!(user.tcp.count() > 0);
    drop(listener);
    drain(&mut user);
}

/// Lets this process have as many files open as the host ever lets it: both ends of all connections are ours here.
fn raise_limit_of_files() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
}

#[test]
fn connections_in_use_do_not_make_way_for_new_ones() {
    raise_limit_of_files();
    let (listener, address) = listener();
    let accepting = thread::spawn(move || (0..512).map(|_| listener.accept().unwrap().0).collect::<Vec<_>>());
    let mut guest = Guest::new(UserOptions::default());
    let all: Vec<_> = (0..512)
        .map(|n| {
            let handle = guest.connect(&address, 1000 + n);
            guest.until("there is a connection", |guest| guest.tcp(handle).may_send());
            handle
        })
        .collect();
    let _streams = accepting.join().unwrap();
    let one_more = guest.connect(&address, 9999);
    guest.until("it is refused", |guest| guest.tcp(one_more).state() == State::Closed);
    assert!(all.iter().all(|handle| guest.tcp(*handle).state() == State::Established));
    assert_eq!(guest.user.tcp.count(), 512);
}

#[test]
fn a_scan_of_ports_is_answered_and_leaves_nothing() {
    let mut user = user();
    for port in 1..300 {
        user.send(&tcp(5000, [10, 0, 2, 3], 100 + port, TcpControl::Syn, None));
    }
    // The answers, and the question whose address the guest's is.
    assert!(drain(&mut user) >= 299);
    assert_eq!((user.tcp.count(), user.sources().len()), (0, 0));
}

#[test]
fn segments_of_no_connection_are_answered_with_resets() {
    let mut user = user();
    user.send(&tcp(5000, [192, 0, 2, 1], 80, TcpControl::None, Some(77)));
    user.send(&tcp(5000, [192, 0, 2, 1], 80, TcpControl::Rst, None));
    let frames: Vec<Vec<u8>> = std::iter::from_fn(|| user.receive()).collect();
    let resets = frames.iter().filter(|frame| frame[14 + 20 + 13] & 4 != 0).count();
    assert_eq!((frames.len(), resets), (1, 1));
}

#[test]
fn a_guest_that_speaks_from_many_ports_holds_no_more_than_the_limit() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let mut user = user();
    for source in 1..=1000 {
        user.send(&udp([10, 0, 2, 15], source, [10, 0, 2, 2], port, b"x"));
    }
    assert_eq!(user.udp.count(), 256);
}

#[test]
fn a_guest_that_takes_nothing_costs_no_more_than_the_limit() {
    let mut user = user();
    for _ in 0..5000 {
        user.send(&echo([10, 0, 2, 2]));
    }
    assert_eq!(drain(&mut user), 1024);
}

#[test]
fn nobody_else_s_address_is_spoken_for() {
    let mut user = user();
    for from in [[10, 0, 2, 2], [10, 0, 2, 255], [192, 168, 0, 1], [127, 0, 0, 1], [0, 0, 0, 0]] {
        user.send(&udp(from, 5000, [10, 0, 2, 2], 9, b"x"));
    }
    assert_eq!((user.udp.count(), drain(&mut user)), (0, 0));
}

/// Frames that mean something, most of them answered.
fn seeds() -> Vec<Vec<u8>> {
    let (listener, address) = listener();
    drop(listener);
    let port = address.parse::<SocketAddr>().unwrap().port();
    let dhcp = {
        let mut message = vec![0; 300];
        message[..4].copy_from_slice(&[1, 1, 6, 0]);
        message[236..246].copy_from_slice(&[0x63, 0x82, 0x53, 0x63, 53, 1, 3, 50, 4, 10]);
        udp([0, 0, 0, 0], 68, [255, 255, 255, 255], 67, &message)
    };
    let mut arp = vec![0xFF; 6];
    arp.extend(frames::GUEST.as_bytes());
    arp.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    arp.extend(frames::GUEST.as_bytes());
    arp.extend([10, 0, 2, 15, 0, 0, 0, 0, 0, 0, 10, 0, 2, 2]);
    let mut all = vec![
        arp,
        dhcp,
        echo([10, 0, 2, 2]),
        tcp(5000, [10, 0, 2, 2], port, TcpControl::Syn, None),
        tcp(5000, [10, 0, 2, 2], port, TcpControl::None, Some(1)),
        tcp(5001, [10, 0, 2, 3], 80, TcpControl::Fin, Some(1)),
        udp([10, 0, 2, 15], 5000, [10, 0, 2, 2], port, b"hello"),
        udp([10, 0, 2, 15], 5000, [10, 0, 2, 3], 80, b"hello"),
    ];
    all.extend(fragments(&udp([10, 0, 2, 15], 5000, [10, 0, 2, 2], port, &[7; 3000]), 1480));
    all
}

/// Writes the sums that hold anew, so that a change is looked at and not only thrown away.
fn mend(frame: &mut [u8]) {
    let Some(packet) = frame.get_mut(14..).filter(|packet| packet.len() >= 20) else { return };
    let header = usize::from(packet[0] & 15) * 4;
    if (20..=packet.len()).contains(&header) {
        Ipv4Packet::new_unchecked(packet).fill_checksum();
    }
}

#[test]
fn no_frame_brings_it_down() {
    let seeds = seeds();
    let mut state = 0x5EED_CAFE_F00D_0001;
    let mut user = user();
    for _ in 0..20_000 {
        let mut frame = seeds[random(&mut state) as usize % seeds.len()].clone();
        for _ in 0..random(&mut state) % 4 {
            let at = random(&mut state) as usize % frame.len();
            frame[at] = random(&mut state) as u8;
        }
        if chance(&mut state, 4) {
            frame.truncate(random(&mut state) as usize % (frame.len() + 1));
        }
        if chance(&mut state, 2) {
            mend(&mut frame);
        }
        // What would leave for the world is not for a test to send.
        let local = frame.len() < 34 || matches!(frame[30..34], [10, 0, 2, _] | [255, ..]);
        if local {
            user.send(&frame);
        }
        if chance(&mut state, 16) {
            drain(&mut user);
        }
    }
    assert!(user.tcp.count() <= 512 && user.udp.count() <= 256);
}

#[test]
fn no_segment_brings_an_open_connection_down_with_a_crash() {
    let (listener, address) = listener();
    listener.set_nonblocking(true).unwrap();
    let port = address.parse::<SocketAddr>().unwrap().port();
    let mut state = 0x5EED_CAFE_F00D_0002;
    let mut user = user();
    let controls = [TcpControl::None, TcpControl::Syn, TcpControl::Fin, TcpControl::Psh, TcpControl::Rst];
    let (mut streams, mut acknowledged, mut heard) = (Vec::new(), 0, 0);
    for _ in 0..20_000 {
        let source = 5000 + random(&mut state) as u16 % 4;
        let control = controls[random(&mut state) as usize % if chance(&mut state, 16) { 5 } else { 2 }];
        let ack = (!chance(&mut state, 4)).then_some(acknowledged + (random(&mut state) % 2) as i32);
        let sequence = 1000 + (random(&mut state) % 64) as i32;
        let payload = pattern(random(&mut state) as usize % 128, 7);
        let payload = if control == TcpControl::Syn { &[] } else { &payload[..] };
        let mut frame = segment(source, [10, 0, 2, 2], port, control, (sequence, ack), payload);
        if chance(&mut state, 4) {
            // Whatever window, flags and options.
            let at = 34 + 12 + random(&mut state) as usize % 12;
            frame.iter_mut().skip(at).take(1).for_each(|byte| *byte = random(&mut state) as u8);
            sum_tcp(&mut frame);
        }
        user.send(&frame);
        while let Some(answer) = user.receive() {
            if answer.len() >= 54 && answer[23] == 6 {
                acknowledged = i32::from_be_bytes(answer[38..42].try_into().unwrap());
            }
        }
        streams.extend(listener.accept().map(|(stream, _)| stream));
        for stream in &mut streams {
            stream.set_nonblocking(true).unwrap();
            heard += stream.read(&mut [0; 4096]).unwrap_or(0);
        }
        streams.truncate(8);
    }
    assert!(user.tcp.count() <= 4);
    assert!(heard > 0, "no connection was ever open");
}

fn sum_tcp(frame: &mut [u8]) {
    let address = |at: usize| IpAddress::v4(frame[at], frame[at + 1], frame[at + 2], frame[at + 3]);
    let (from, to) = (address(26), address(30));
    smoltcp::wire::TcpPacket::new_unchecked(&mut frame[34..]).fill_checksum(&from, &to);
}
