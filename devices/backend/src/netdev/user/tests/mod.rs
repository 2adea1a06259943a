mod dhcp;
mod frames;
mod guest;
mod hostile;

use super::*;
use guest::{Guest, NOBODY};
use smoltcp::socket::tcp::State;
use smoltcp::socket::{dhcpv4, icmp};
use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr, IpAddress, IpEndpoint};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;

const MEBIBYTE: usize = 1 << 20;

/// Bytes in which a displaced one shows.
fn pattern(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    (0..length).map(|_| random(&mut state) as u8).collect()
}

/// xorshift64*: Marsaglia, *Xorshift RNGs*.
fn random(state: &mut u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
}

fn forward(udp: bool, guest_port: u16) -> UserOptions {
    let forward = HostForward {
        udp,
        host_addr: Ipv4Addr::LOCALHOST,
        host_port: 0,
        guest_addr: Ipv4Addr::UNSPECIFIED,
        guest_port,
    };
    UserOptions { hostfwd: vec![forward], ..UserOptions::default() }
}

/// A listener on the host, and how the guest calls it.
fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, format!("10.0.2.2:{port}"))
}

/// A host's program that sends every datagram back, so often.
fn udp_echo(times: usize) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 65536];
        for _ in 0..times {
            let (length, from) = socket.recv_from(&mut buffer).unwrap();
            socket.send_to(&buffer[..length], from).unwrap();
        }
    });
    address
}

#[test]
fn dhcp_gives_the_address_that_qemu_gives() {
    let mut guest = Guest::without_address(UserOptions::default(), NOBODY.parse().unwrap());
    let handle = guest.sockets.add(dhcpv4::Socket::new());
    let mut found = None;
    guest.until("an address is given", |guest| {
        if let Some(dhcpv4::Event::Configured(config)) = guest.sockets.get_mut::<dhcpv4::Socket>(handle).poll() {
            found = Some((config.address, config.router, config.dns_servers.to_vec()));
        }
        found.is_some()
    });
    let (address, router, dns) = found.unwrap();
    assert_eq!(address.to_string(), "10.0.2.15/24");
    assert_eq!(router, Some(Ipv4Addr::new(10, 0, 2, 2)));
    assert_eq!(dns, [Ipv4Addr::new(10, 0, 2, 3)]);
}

#[test]
fn a_mebibyte_each_way_arrives_whole_and_both_ends_are_heard() {
    let (listener, address) = listener();
    let (up, down) = (pattern(MEBIBYTE, 1), pattern(MEBIBYTE, 2));
    let (expected, reply) = (up.clone(), down.clone());
    let host = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut all = Vec::new();
        // Only the guest's end, which leaves the host free to speak, ends this.
        stream.read_to_end(&mut all).unwrap();
        assert!(all == expected, "a byte was lost, doubled or moved on its way up");
        stream.write_all(&reply).unwrap();
    });
    let mut guest = Guest::new(UserOptions::default());
    let handle = guest.connect(&address, 40000);
    let (mut sent, mut all) = (0, Vec::new());
    guest.until("all is said", |guest| {
        let socket = guest.tcp(handle);
        if sent < up.len() && socket.can_send() {
            sent += socket.send_slice(&up[sent..]).unwrap();
            if sent == up.len() {
                socket.close();
            }
        }
        while socket.can_recv() {
            all.extend(socket.recv(|bytes| (bytes.len(), bytes.to_vec())).unwrap());
        }
        all.len() == down.len() && socket.state() == State::TimeWait
    });
    assert!(all == down, "a byte was lost, doubled or moved on its way down");
    host.join().unwrap();
    guest.until("the connection is forgotten", |guest| guest.user.tcp.count() == 0);
}

#[test]
fn a_host_that_does_not_read_holds_the_guest_up() {
    let (listener, address) = listener();
    let mut guest = Guest::new(UserOptions::default());
    let handle = guest.connect(&address, 40000);
    guest.until("there is a connection", |guest| guest.tcp(handle).may_send());
    let (mut stream, _) = listener.accept().unwrap();
    let all = pattern(16 * MEBIBYTE, 3);
    let mut sent = 0;
    let fill = |guest: &mut Guest, sent: &mut usize| {
        let count = guest.tcp(handle).send_slice(&all[*sent..]).unwrap();
        *sent += count;
        count > 0
    };
    let mut still = Instant::now();
    guest.until("nothing more can be sent", |guest| {
        if fill(guest, &mut sent) {
            still = Instant::now();
        }
        still.elapsed() > Duration::from_millis(100)
    });
    assert!(sent < all.len());
    let expected = all[..sent].to_vec();
    guest.tcp(handle).close();
    let reader = thread::spawn(move || {
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).unwrap();
        assert!(heard == expected, "a byte was lost, doubled or moved");
    });
    guest.until("the host has read all", |_| reader.is_finished());
    reader.join().unwrap();
}

#[test]
fn a_host_that_reads_late_hears_what_was_said_before_the_end() {
    let (listener, address) = listener();
    let mut guest = Guest::new(UserOptions::default());
    let handle = guest.connect(&address, 40000);
    guest.until("there is a connection", |guest| guest.tcp(handle).may_send());
    let (mut stream, _) = listener.accept().unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let all = pattern(16 * MEBIBYTE, 3);
    let mut sent = 0;
    while guest.user.tcp.kept() == 0 {
        sent += guest.tcp(handle).send_slice(&all[sent..][..16 << 10]).unwrap();
        guest.until("the guest has sent it", |guest| guest.tcp(handle).send_queue() == 0);
    }
    guest.tcp(handle).close();
    guest.until("the guest is done", |guest| guest.tcp(handle).state() == State::Closed);
    // Longer than a connection lingers.
    guest.user.turn(Instant::now() + Duration::from_secs(15));
    let mut heard = Vec::new();
    let reader = thread::spawn(move || stream.read_to_end(&mut heard).map(|_| heard));
    guest.until("the host has heard all", |_| reader.is_finished());
    assert!(reader.join().unwrap().unwrap() == all[..sent], "a byte was lost, doubled or moved");
    guest.until("the connection is forgotten", |guest| guest.user.tcp.count() == 0);
}

#[test]
fn a_port_that_nobody_listens_at_refuses() {
    let (listener, address) = listener();
    drop(listener);
    let mut guest = Guest::new(UserOptions::default());
    let handle = guest.connect(&address, 40000);
    guest.until("the guest is refused", |guest| guest.tcp(handle).state() == State::Closed);
    assert_eq!(guest.user.tcp.count(), 0);
    let handle = guest.connect("10.0.2.3:80", 40001);
    guest.until("the guest is refused", |guest| guest.tcp(handle).state() == State::Closed);
}

#[test]
fn a_connection_that_the_guest_breaks_off_is_broken_off() {
    let (listener, address) = listener();
    let mut guest = Guest::new(UserOptions::default());
    let handle = guest.connect(&address, 40000);
    guest.until("there is a connection", |guest| guest.tcp(handle).may_send());
    let (mut stream, _) = listener.accept().unwrap();
    guest.tcp(handle).abort();
    guest.until("the connection is forgotten", |guest| guest.user.tcp.count() == 0);
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn a_connection_that_the_host_breaks_off_is_broken_off() {
    let (listener, address) = listener();
    let mut guest = Guest::new(UserOptions::default());
    let handle = guest.connect(&address, 40000);
    guest.until("there is a connection", |guest| guest.tcp(handle).may_send());
    let (stream, _) = listener.accept().unwrap();
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    drop(stream);
    guest.until("the guest hears of it", |guest| guest.tcp(handle).state() == State::Closed);
    guest.until("the connection is forgotten", |guest| guest.user.tcp.count() == 0);
}

#[test]
fn a_port_can_be_used_again_at_once() {
    let (listener, address) = listener();
    let mut guest = Guest::new(UserOptions::default());
    for round in 0..3 {
        let handle = guest.connect(&address, 40000);
        guest.until("there is a connection", |guest| guest.tcp(handle).may_send());
        // The host ends it first, so that our end is the one that lingers.
        drop(listener.accept().unwrap());
        guest.until("the host has ended it", |guest| guest.tcp(handle).state() == State::CloseWait);
        guest.tcp(handle).close();
        guest.until("it is over", |guest| guest.tcp(handle).state() == State::Closed);
        assert_eq!(guest.user.tcp.count(), 1, "round {round}");
    }
}

#[test]
fn the_host_is_let_in_by_tcp() {
    let mut guest = Guest::new(forward(false, 22));
    let handle = guest.listen(22);
    let door = guest.user.tcp.doors()[0];
    let host = thread::spawn(move || {
        let mut stream = TcpStream::connect(door).unwrap();
        stream.write_all(b"who is there?").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "a guest");
    });
    guest.until("the host asks", |guest| guest.tcp(handle).recv_queue() == 13);
    let peer = guest.tcp(handle).remote_endpoint().unwrap();
    assert_eq!(peer.addr, IpAddress::Ipv4(Ipv4Addr::new(10, 0, 2, 2)));
    guest.tcp(handle).send_slice(b"a guest").unwrap();
    guest.tcp(handle).close();
    guest.until("the host is answered", |_| host.is_finished());
    host.join().unwrap();
}

#[test]
fn a_guest_that_does_not_listen_turns_the_host_away() {
    let mut guest = Guest::new(forward(false, 22));
    let mut stream = TcpStream::connect(guest.user.tcp.doors()[0]).unwrap();
    guest.until("somebody knocks", |guest| guest.user.tcp.count() == 1);
    guest.until("the connection is forgotten", |guest| guest.user.tcp.count() == 0);
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn datagrams_go_to_the_host_and_back_whatever_their_size() {
    let address = udp_echo(3);
    let mut guest = Guest::new(UserOptions::default());
    let handle = guest.bind_udp(5000);
    let to = format!("10.0.2.2:{}", address.port());
    for text in [&b"hello"[..], b"", &pattern(1472, 4)] {
        let (echo, from) = guest.ask(handle, &to, text);
        assert_eq!((&echo[..], from.to_string()), (text, to.clone()));
    }
    assert_eq!(guest.user.udp.count(), 1);
}

#[test]
fn fragments_are_put_together_and_made() {
    let address = udp_echo(1);
    let mut guest = Guest::new(UserOptions::default());
    let text = pattern(9000, 5);
    let datagram = frames::udp([10, 0, 2, 15], 5000, [10, 0, 2, 2], address.port(), &text);
    let mut fragments = frames::fragments(&datagram, 1480);
    fragments.rotate_left(2);
    fragments.iter().for_each(|frame| guest.user.send(frame));
    let start = Instant::now();
    let mut together = Fragments::default();
    let echo = loop {
        assert!(start.elapsed() < Duration::from_secs(60), "no echo");
        let Some(frame) = guest.user.receive() else { continue };
        assert!(frame.len() <= 1514);
        let Ok(packet) = Ipv4Packet::new_checked(&frame[14..]) else { continue };
        if let Some(whole) = together.take(&packet, Instant::now()) {
            break whole;
        }
    };
    assert!(echo[28..] == text, "a byte was lost, doubled or moved");
}

#[test]
fn the_host_is_let_in_by_udp() {
    let mut guest = Guest::new(forward(true, 69));
    let handle = guest.bind_udp(69);
    let host = UdpSocket::bind("127.0.0.1:0").unwrap();
    host.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    host.send_to(b"who is there?", guest.user.udp.doors()[0]).unwrap();
    let (asked, from) = guest.hear(handle);
    assert_eq!(asked, b"who is there?");
    assert_eq!(from, IpEndpoint::new(IpAddress::v4(10, 0, 2, 2), host.local_addr().unwrap().port()));
    guest.udp(handle).send_slice(b"a guest", from).unwrap();
    guest.run_for(Duration::from_millis(5));
    let mut buffer = [0; 100];
    let (length, from) = host.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..length], from), (&b"a guest"[..], guest.user.udp.doors()[0]));
}

#[test]
fn the_name_server_answers_from_its_own_address() {
    let resolver = udp_echo(1);
    let mut guest = Guest::with_resolver(UserOptions::default(), resolver);
    let handle = guest.bind_udp(5000);
    let (answer, from) = guest.ask(handle, "10.0.2.3:53", b"where?");
    assert_eq!((&answer[..], from.to_string()), (&b"where?"[..], "10.0.2.3:53".to_owned()));
}

#[test]
fn the_name_server_answers_by_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut guest = Guest::with_resolver(UserOptions::default(), listener.local_addr().unwrap());
    let handle = guest.connect("10.0.2.3:53", 40000);
    guest.until("there is a connection", |guest| guest.tcp(handle).may_send());
    assert!(listener.accept().is_ok());
}

#[test]
fn the_gateway_and_the_name_server_answer_echoes() {
    let mut guest = Guest::new(UserOptions::default());
    let buffer = || icmp::PacketBuffer::new(vec![icmp::PacketMetadata::EMPTY; 4], vec![0; 4096]);
    let mut socket = icmp::Socket::new(buffer(), buffer());
    socket.bind(icmp::Endpoint::Ident(77)).unwrap();
    let handle = guest.sockets.add(socket);
    for to in [[10, 0, 2, 2], [10, 0, 2, 3]] {
        let to = IpAddress::Ipv4(Ipv4Addr::from(to));
        let echo = Icmpv4Repr::EchoRequest { ident: 77, seq_no: 3, data: b"anybody?" };
        let room = guest.sockets.get_mut::<icmp::Socket>(handle).send(echo.buffer_len(), to).unwrap();
        echo.emit(&mut Icmpv4Packet::new_unchecked(room), &smoltcp::phy::ChecksumCapabilities::default());
        guest.until("the echo comes", |guest| guest.sockets.get::<icmp::Socket>(handle).can_recv());
        let (data, from) = guest.sockets.get_mut::<icmp::Socket>(handle).recv().unwrap();
        let packet = Icmpv4Packet::new_checked(data).unwrap();
        let reply = Icmpv4Repr::parse(&packet, &smoltcp::phy::ChecksumCapabilities::default()).unwrap();
        assert_eq!((from, reply), (to, Icmpv4Repr::EchoReply { ident: 77, seq_no: 3, data: b"anybody?" }));
    }
}

#[test]
fn the_sender_of_a_datagram_for_nothing_is_told() {
    let mut user = User::new(UserOptions::default()).unwrap();
    let datagram = frames::udp([10, 0, 2, 15], 5000, [10, 0, 2, 3], 80, b"anybody?");
    user.send(&datagram);
    let frame = user.receive().unwrap();
    let packet = Ipv4Packet::new_checked(&frame[14..]).unwrap();
    assert_eq!((packet.src_addr(), packet.next_header()), (Ipv4Addr::new(10, 0, 2, 3), IpProtocol::Icmp));
    let message = Icmpv4Packet::new_checked(packet.payload()).unwrap();
    assert!(message.verify_checksum());
    // A port that cannot be reached, and the packet's own header with the eight bytes after it.
    assert_eq!(packet.payload()[..2], [3, 3]);
    assert_eq!(message.data(), &datagram[14..14 + 28]);
}

#[test]
fn a_restricted_guest_reaches_nobody_but_can_be_reached() {
    let (listener, address) = listener();
    listener.set_nonblocking(true).unwrap();
    let mut guest = Guest::new(UserOptions { restrict: true, ..forward(false, 22) });
    let outward = guest.connect(&address, 40000);
    let inward = guest.listen(22);
    let _stream = TcpStream::connect(guest.user.tcp.doors()[0]).unwrap();
    guest.until("the host is let in", |guest| guest.tcp(inward).may_send());
    assert_eq!(guest.tcp(outward).state(), State::SynSent);
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    assert_eq!(guest.user.tcp.count(), 1);
}

#[test]
fn idle_time_passes_as_on_a_clock_only_while_an_answer_is_due() {
    let (listener, address) = listener();
    let mut guest = Guest::new(UserOptions::default());
    assert!(!guest.user.expects_answer());
    let handle = guest.connect(&address, 40000);
    guest.until("there is a connection", |guest| guest.tcp(handle).may_send());
    let (mut stream, _) = listener.accept().unwrap();
    assert!(guest.user.expects_answer(), "who calls hears something");
    let later = Instant::now() + Duration::from_secs(6);
    assert!(!guest.user.tcp.expects_answer(later), "but not for ever");
    let asked = Instant::now();
    guest.tcp(handle).send_slice(b"GET /").unwrap();
    guest.until("all is sent", |guest| guest.tcp(handle).send_queue() == 0);
    stream.read_exact(&mut [0; 5]).unwrap();
    assert!(guest.user.tcp.expects_answer(asked + Duration::from_secs(4)), "a server may take its time");
    stream.write_all(b"200 OK").unwrap();
    guest.until("the answer comes", |guest| guest.tcp(handle).can_recv());
    assert!(!guest.user.tcp.expects_answer(Instant::now() + Duration::from_secs(2)), "it has answered");
    drop(stream);
    guest.until("the host has ended it", |guest| guest.tcp(handle).state() == State::CloseWait);
    assert!(!guest.user.tcp.expects_answer(Instant::now()), "it has said all");
}

#[test]
fn a_datagram_is_waited_for_until_it_comes() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let mut guest = Guest::new(UserOptions::default());
    let handle = guest.bind_udp(5000);
    let now = Instant::now();
    guest.udp(handle).send_slice(b"anybody?", IpEndpoint::new(IpAddress::v4(10, 0, 2, 2), port)).unwrap();
    guest.until("it is sent", |guest| guest.user.udp.count() == 1);
    assert!(guest.user.udp.expects_answer(now));
    assert!(!guest.user.udp.expects_answer(Instant::now() + Duration::from_secs(3)));
    let mut buffer = [0; 100];
    let (_, peer) = silent.recv_from(&mut buffer).unwrap();
    silent.send_to(b"yes", peer).unwrap();
    guest.hear(handle);
    assert!(!guest.user.udp.expects_answer(now));
}

#[test]
fn a_network_at_rest_needs_no_looking_after() {
    let mut guest = Guest::new(UserOptions::default());
    guest.run_for(Duration::from_millis(2));
    assert_eq!((guest.user.sources().len(), guest.user.timeout()), (0, None));
}

#[test]
fn a_port_that_is_taken_is_named() {
    for udp in [false, true] {
        let user = User::new(forward(udp, 22)).unwrap();
        let taken = if udp { user.udp.doors()[0] } else { user.tcp.doors()[0] };
        let mut options = forward(udp, 22);
        options.hostfwd[0].host_port = taken.port();
        let error = User::new(options).err().unwrap().to_string();
        let kind = if udp { "UDP" } else { "TCP" };
        assert!(error.starts_with(&format!("cannot open {kind} port {taken}: Address already in use")), "{error}");
    }
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    let default = UserOptions::default;
    for (options, message) in [
        (
            UserOptions { net: (Ipv4Addr::new(10, 0, 2, 0), 31), ..default() },
            "a network's prefix is 1 to 30 bits long, not 31",
        ),
        (
            UserOptions { host: Ipv4Addr::new(10, 0, 3, 2), ..default() },
            "host=10.0.3.2 is not a host's address in 10.0.2.0/24",
        ),
        (
            UserOptions { dhcp_start: Ipv4Addr::new(10, 0, 2, 255), ..default() },
            "dhcpstart=10.0.2.255 is not a host's address in 10.0.2.0/24",
        ),
        (UserOptions { dns: Ipv4Addr::new(10, 0, 2, 2), ..default() }, "dns=10.0.2.2 is the address of host"),
    ] {
        assert_eq!(User::new(options).err().unwrap().to_string(), message);
    }
}

/// Prints how fast a connection is: `cargo test --release -p reprise-backend throughput -- --nocapture`.
#[test]
fn throughput_is_a_wire_s() {
    let (listener, address) = listener();
    let length = 32 * MEBIBYTE;
    let host = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(&vec![0; length]).unwrap();
    });
    let mut guest = Guest::new(UserOptions::default());
    let start = Instant::now();
    let handle = guest.connect(&address, 40000);
    let mut count = 0;
    guest.until("all has come", |guest| {
        while guest.tcp(handle).can_recv() {
            count += guest.tcp(handle).recv(|bytes| (bytes.len(), bytes.len())).unwrap();
        }
        count == length
    });
    host.join().unwrap();
    let speed = length as f64 / 1e6 / start.elapsed().as_secs_f64();
    println!("{speed:.0} MB/s to the guest");
    assert!(speed > 1.0, "{speed} MB/s");
}
