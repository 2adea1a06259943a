use super::*;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

fn options(endpoint: Endpoint, server: bool, reconnect: Option<Duration>) -> StreamOptions {
    StreamOptions { endpoint, server, reconnect }
}

fn unix(path: &Path) -> Endpoint {
    Endpoint::Unix(path.into())
}

/// A frame as it is on the stream.
fn wire(frame: &[u8]) -> Vec<u8> {
    [&(frame.len() as u32).to_be_bytes()[..], frame].concat()
}

/// Sleeps on what the network names as the door does, until `done` has something.
fn until<T>(net: &mut Stream, mut done: impl FnMut(&mut Stream) -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(done) = done(net) {
            return done;
        }
        assert!(start.elapsed() < PATIENCE, "nothing came");
        let timeout =
            Timespec { tv_sec: 0, tv_nsec: net.timeout().map_or(50, |t| t.as_millis().min(50)) as i64 * 1_000_000 };
        poll(&mut net.sources(), Some(&timeout)).unwrap();
    }
}

/// A stream with a peer.
fn pair() -> (Stream, UnixStream) {
    let (near, far) = UnixStream::pair().unwrap();
    far.set_read_timeout(Some(PATIENCE)).unwrap();
    (Stream::open(options(Endpoint::Descriptor(near.as_raw_fd()), false, None)).unwrap(), far)
}

#[test]
fn frames_go_both_ways_with_their_lengths() {
    let (mut net, mut far) = pair();
    assert!(!net.expects_answer());
    net.send(&[7; 60]);
    assert!(net.patience.has_begun());
    let mut sent = [0; 64];
    far.read_exact(&mut sent).unwrap();
    assert_eq!(sent[..], wire(&[7; 60]));
    far.write_all(&[wire(&[8; 1514]), wire(&[9; 42])].concat()).unwrap();
    assert_eq!(until(&mut net, Stream::receive), [8; 1514]);
    assert_eq!(until(&mut net, Stream::receive), [9; 42]);
    assert_eq!(net.receive(), None);
}

#[test]
fn garbage_and_departure_silence_the_network_for_good() {
    let (mut net, mut far) = pair();
    far.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    until(&mut net, |net| {
        assert_eq!(net.receive(), None);
        net.sources().is_empty().then_some(())
    });
    net.send(&[0; 60]);
    assert_eq!((net.expects_answer(), net.timeout()), (false, None));
    assert_eq!(far.read(&mut [0; 9]).unwrap_or(0), 0);
}

#[test]
fn a_peer_that_does_not_read_costs_frames_and_bounded_memory() {
    let (mut net, mut far) = pair();
    for number in 0..20_000u32 {
        net.send(&[&number.to_be_bytes()[..], &[0; 1000]].concat());
    }
    let Link::Up(connection) = &net.link else { panic!("the peer is there") };
    assert!(connection.outgoing.len() <= OUTGOING_LIMIT + 2000 && !connection.outgoing.is_empty());
    // What does arrive is whole.
    let reader = std::thread::spawn(move || {
        let mut last = None;
        let mut frame = [0; 1008];
        while far.read_exact(&mut frame).is_ok() {
            let number = u32::from_be_bytes(frame[4..8].try_into().unwrap());
            assert_eq!(frame[..4], 1004u32.to_be_bytes());
            assert!(last.is_none_or(|last| number > last));
            last = Some(number);
        }
        last.unwrap()
    });
    until(&mut net, |net| {
        net.receive();
        matches!(&net.link, Link::Up(connection) if connection.outgoing.is_empty()).then_some(())
    });
    drop(net);
    assert!(reader.join().unwrap() > 500);
}

#[test]
fn a_server_takes_one_peer_after_another_and_leaves_no_socket_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net");
    drop(UnixListener::bind(&path).unwrap());
    let mut net = Stream::open(options(unix(&path), true, None)).unwrap();
    net.send(&[1; 60]);
    for byte in 0..3 {
        let mut peer = UnixStream::connect(&path).unwrap();
        peer.write_all(&wire(&[byte; 60])).unwrap();
        assert_eq!(until(&mut net, Stream::receive), [byte; 60]);
        drop(peer);
        until(&mut net, |net| {
            assert_eq!(net.receive(), None);
            matches!(net.link, Link::Down { .. }).then_some(())
        });
    }
    let error = Stream::open(options(unix(&path), true, None)).err().unwrap().to_string();
    assert!(error.contains("net': Address already in use"), "{error}");
    drop(net);
    assert!(!path.exists());
}

#[test]
fn a_client_comes_back_if_it_was_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net");
    let pause = Some(Duration::from_millis(1));
    let mut net = Stream::open(options(unix(&path), false, pause)).unwrap();
    assert_eq!(net.receive(), None);
    for byte in 0..3 {
        let server = UnixListener::bind(&path).unwrap();
        let mut peer = until(&mut net, |net| {
            net.receive();
            matches!(net.link, Link::Up(_)).then(|| server.accept().unwrap().0)
        });
        peer.write_all(&wire(&[byte; 60])).unwrap();
        assert_eq!(until(&mut net, Stream::receive), [byte; 60]);
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn tcp_by_name_and_its_refusals() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = Endpoint::Inet { host: "127.0.0.1".into(), port: server.local_addr().unwrap().port() };
    let mut net = Stream::open(options(endpoint.clone(), false, None)).unwrap();
    let (mut peer, _) = server.accept().unwrap();
    peer.write_all(&wire(&[5; 60])).unwrap();
    assert_eq!(until(&mut net, Stream::receive), [5; 60]);
    drop((server, peer, net));
    let error = Stream::open(options(endpoint.clone(), false, None)).err().unwrap().to_string();
    assert_eq!(error, format!("cannot open {endpoint}: Connection refused (os error 111)"));

    let server = Stream::open(options(endpoint.clone(), true, None)).unwrap();
    let error = Stream::open(options(endpoint.clone(), true, None)).err().unwrap().to_string();
    assert_eq!(error, format!("cannot open {endpoint}: Address already in use (os error 98)"));
    let Endpoint::Inet { port, .. } = endpoint else { panic!("{endpoint}") };
    TcpStream::connect(("127.0.0.1", port)).unwrap();
    drop(server);
}
