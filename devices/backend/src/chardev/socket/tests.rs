use super::*;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Instant;

/// How long anything may take on a busy host.
const PATIENCE: Duration = Duration::from_secs(60);

const SERVER: Role = Role::Server { wait: false };

fn tcp(port: u16) -> Address {
    Address::Tcp { host: "127.0.0.1".into(), port }
}

fn open(address: Address, role: Role) -> Socket {
    Socket::open(&SocketOptions { address, role, telnet: false, nodelay: true }).unwrap()
}

fn server() -> Socket {
    open(tcp(0), SERVER)
}

fn port_of(socket: &Socket) -> u16 {
    match socket.address() {
        Address::Tcp { port, .. } => *port,
        other => panic!("{other}"),
    }
}

fn call(socket: &Socket) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port_of(socket))).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// What comes next.
fn next(socket: &mut Socket) -> Received {
    let start = Instant::now();
    loop {
        let received = socket.read();
        if received != Received::default() {
            return received;
        }
        assert!(start.elapsed() < PATIENCE, "nothing comes");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn send(socket: &mut Socket, bytes: &[u8]) {
    socket.write(bytes);
    socket.flush().unwrap();
}

fn expect(stream: &mut impl Read, expected: &[u8]) {
    let mut bytes = vec![0; expected.len()];
    stream.read_exact(&mut bytes).unwrap();
    assert_eq!(bytes, expected);
}

#[test]
fn clients_come_one_at_a_time_and_go() {
    let mut socket = server();
    assert_eq!(next(&mut socket), Received::of_connected(false));
    send(&mut socket, b"nobody hears this");
    let mut first = call(&socket);
    assert_eq!(next(&mut socket), Received::of_connected(true));
    let mut second = call(&socket);
    second.write_all(b"second").unwrap();
    first.write_all(b"first").unwrap();
    assert_eq!(next(&mut socket), Received::of_bytes(b"first".to_vec()));
    send(&mut socket, b"to the first");
    expect(&mut first, b"to the first");
    drop(first);
    assert_eq!(next(&mut socket), Received::of_connected(false));
    assert_eq!(next(&mut socket), Received::of_connected(true));
    assert_eq!(next(&mut socket), Received::of_bytes(b"second".to_vec()));
    send(&mut socket, b"to the second");
    expect(&mut second, b"to the second");
}

#[test]
fn what_a_client_sent_before_it_left_comes_first() {
    let mut socket = server();
    socket.read();
    let mut client = call(&socket);
    client.write_all(b"last words").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(next(&mut socket), Received::of_connected(true));
    assert_eq!(next(&mut socket), Received::of_bytes(b"last words".to_vec()));
    assert_eq!(next(&mut socket), Received::of_connected(false));
    assert!(socket.source().is_some(), "others may come");
}

#[test]
fn a_client_that_leaves_unread_output_behind_stalls_nobody() {
    let mut socket = server();
    socket.read();
    let client = call(&socket);
    assert_eq!(next(&mut socket), Received::of_connected(true));
    let chunk = [b'x'; 64 << 10];
    let start = Instant::now();
    while socket.backlog() == 0 {
        send(&mut socket, &chunk);
        assert!(start.elapsed() < PATIENCE);
    }
    drop(client);
    while socket.backlog() > 0 {
        socket.flush().unwrap();
        assert!(start.elapsed() < PATIENCE);
    }
    assert_eq!(socket.timeout(), Some(Duration::ZERO), "the news is to be read at once");
    assert_eq!(next(&mut socket), Received::of_connected(false));
    assert_eq!(socket.timeout(), None);
}

#[test]
fn a_server_waits_for_its_first_client() {
    let mut socket = open(tcp(0), Role::Server { wait: true });
    let port = port_of(&socket);
    let client = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        TcpStream::connect(("127.0.0.1", port)).unwrap().write_all(b"x").unwrap();
    });
    socket.wait().unwrap();
    assert_eq!(next(&mut socket), Received::of_bytes(b"x".to_vec()), "it was there from the start");
    client.join().unwrap();
}

#[test]
fn telnet_is_greeted_and_its_commands_are_passed_over() {
    let options = SocketOptions { address: tcp(0), role: SERVER, telnet: true, nodelay: false };
    let mut socket = Socket::open(&options).unwrap();
    socket.read();
    for _ in 0..2 {
        let mut client = call(&socket);
        assert_eq!(next(&mut socket), Received::of_connected(true));
        send(&mut socket, b"log\xffin:");
        expect(&mut client, b"\xff\xfb\x01\xff\xfb\x03\xff\xfb\x00\xff\xfd\x00log\xff\xffin:");
        client.write_all(b"\xff\xfd\x01\xff\xfd\x03ro\xff\xffot\r").unwrap();
        assert_eq!(next(&mut socket), Received::of_bytes(b"ro\xffot\r".to_vec()));
        drop(client);
        assert_eq!(next(&mut socket), Received::of_connected(false));
    }
}

#[test]
fn an_address_in_use_is_named() {
    let socket = server();
    let options = |address| SocketOptions { address, role: SERVER, telnet: false, nodelay: false };
    let port = port_of(&socket);
    let error = Socket::open(&options(tcp(port))).err().unwrap().to_string();
    assert_eq!(error, format!("cannot listen on tcp:127.0.0.1:{port}: Address already in use (os error 98)"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let mut first = open(Address::Unix(path.clone()), SERVER);
    assert_eq!(first.read(), Received::of_connected(false));
    let error = Socket::open(&options(Address::Unix(path.clone()))).err().unwrap().to_string();
    assert!(error.starts_with("cannot listen on unix:/") && error.contains("in use"), "{error}");
    assert_eq!(first.read(), Received::default(), "nobody called");
    std::fs::write(folder.path().join("file"), "mine").unwrap();
    assert!(Socket::open(&options(Address::Unix(folder.path().join("file")))).is_err());
    assert_eq!(std::fs::read_to_string(folder.path().join("file")).unwrap(), "mine");
}

#[test]
fn sockets_on_this_host_are_files_or_abstract() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "left behind");
    let mut socket = open(Address::Unix(path.clone()), SERVER);
    socket.read();
    let mut client = UnixStream::connect(&path).unwrap();
    client.write_all(b"hello").unwrap();
    assert_eq!(next(&mut socket), Received::of_connected(true));
    assert_eq!(next(&mut socket), Received::of_bytes(b"hello".to_vec()));
    drop(socket);
    assert!(!path.exists(), "removed at the end");
    let name = format!("reprise-test-{}", std::process::id());
    let mut server = open(Address::Abstract(name.clone()), SERVER);
    let mut client = open(Address::Abstract(name), Role::Client { reconnect: None });
    server.wait().unwrap();
    send(&mut client, b"abstract");
    assert_eq!(next(&mut server), Received::of_bytes(b"abstract".to_vec()));
}

#[test]
fn a_client_that_calls_once_has_had_its_peer() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut socket = open(tcp(port), Role::Client { reconnect: None });
    let (mut peer, _) = listener.accept().unwrap();
    peer.write_all(b"hello").unwrap();
    assert_eq!(next(&mut socket), Received::of_bytes(b"hello".to_vec()));
    drop((peer, listener));
    assert_eq!(next(&mut socket), Received::of_connected(false));
    assert!(socket.source().is_none() && socket.timeout().is_none(), "nothing will ever come");
    let role = Role::Client { reconnect: None };
    let options = SocketOptions { address: tcp(port), role, telnet: false, nodelay: false };
    let error = Socket::open(&options).err().unwrap().to_string();
    assert!(error.starts_with(&format!("cannot connect to tcp:127.0.0.1:{port}: Connection refused")), "{error}");
}

#[test]
fn a_client_calls_again_until_somebody_is_there_and_after_each_loss() {
    for is_tcp in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let place = server();
        let address = if is_tcp { tcp(port_of(&place)) } else { Address::Unix(path) };
        drop(place);
        let mut client = open(address.clone(), Role::Client { reconnect: Some(Duration::from_millis(5)) });
        assert_eq!(next(&mut client), Received::of_connected(false));
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(client.read(), Received::default());
        let mut server = open(address, SERVER);
        assert_eq!(next(&mut client), Received::of_connected(true));
        server.wait().unwrap();
        for round in [b"one", b"two"] {
            send(&mut server, round);
            assert_eq!(next(&mut client), Received::of_bytes(round.to_vec()));
            server.hang_up();
            assert_eq!(next(&mut client), Received::of_connected(false));
            assert_eq!(next(&mut client), Received::of_connected(true));
            server.wait().unwrap();
        }
    }
}
