use super::*;

fn backend(text: &str) -> ChardevBackend {
    let mut chardevs = Chardevs::default();
    chardevs.add_option(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    chardevs.backends()[0].clone()
}

fn port(text: &str) -> ChardevBackend {
    let mut chardevs = Chardevs::default();
    chardevs.serial(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    chardevs.backends()[0].clone()
}

fn tcp(host: &str, port: u16, role: Role) -> SocketOptions {
    SocketOptions { address: Address::Tcp { host: host.into(), port }, role, telnet: false, nodelay: false }
}

fn unix(path: &str, role: Role) -> SocketOptions {
    SocketOptions { address: Address::Unix(path.into()), role, telnet: false, nodelay: false }
}

fn file(path: &str) -> ChardevBackend {
    ChardevBackend::File { path: path.into(), append: false, input: None }
}

const SERVER: Role = Role::Server { wait: true };
const NO_WAIT: Role = Role::Server { wait: false };
const ONCE: Role = Role::Client { reconnect: None };

#[test]
fn serial_ports_as_qemu_writes_them() {
    let mut chardevs = Chardevs::default();
    chardevs.add_option("file,id=log,path=a,,b").unwrap();
    let ports = ["mon:stdio", "none", "null", "file:out.txt", "chardev:log"].map(|t| chardevs.serial(t).unwrap());
    assert_eq!(ports, [Some(1), None, Some(2), Some(3), Some(0)].map(|port| port.map(ChardevId)));
    let keys = ChardevBackend::Stdio { keys: true, signals: false };
    assert_eq!(chardevs.backends(), [file("a,b"), keys, ChardevBackend::Null, file("out.txt")]);
    let labels: Vec<_> = chardevs.iter().map(|(_, details)| details.label.as_str()).collect();
    assert_eq!(labels, ["log", "serial0", "serial2", "serial3"]);
}

#[test]
fn sockets_in_short() {
    let socket = ChardevBackend::Socket;
    assert_eq!(port("tcp:localhost:4555"), socket(tcp("localhost", 4555, ONCE)));
    assert_eq!(port("tcp::4555,server=on,wait=off"), socket(tcp("", 4555, NO_WAIT)));
    assert_eq!(port("tcp:[::1]:4555,server"), socket(tcp("::1", 4555, SERVER)));
    assert_eq!(port("unix:/tmp/a,,b,server,nowait"), socket(unix("/tmp/a,b", NO_WAIT)));
    let telnet = SocketOptions { telnet: true, nodelay: true, ..tcp("0.0.0.0", 23, SERVER) };
    assert_eq!(port("telnet:0.0.0.0:23,server=on,nodelay=on"), socket(telnet));
    assert_eq!(port("pty"), ChardevBackend::Pty { link: None });
    assert_eq!(port("pty:/tmp/tty"), ChardevBackend::Pty { link: Some("/tmp/tty".into()) });
    assert_eq!(port("pipe:/tmp/fifo"), ChardevBackend::Pipe("/tmp/fifo".into()));
    assert_eq!(port("stdio"), ChardevBackend::Stdio { keys: false, signals: true });
}

#[test]
fn back_ends_with_their_properties() {
    let socket = ChardevBackend::Socket;
    assert_eq!(backend("socket,id=s,path=/tmp/s,server=on"), socket(unix("/tmp/s", SERVER)));
    let address = Address::Abstract("s".into());
    assert_eq!(
        backend("socket,id=s,path=s,abstract=on,server=on,wait=off,telnet=on"),
        socket(SocketOptions { address, role: NO_WAIT, telnet: true, nodelay: false })
    );
    let again = |pause| Role::Client { reconnect: Some(Duration::from_millis(pause)) };
    assert_eq!(backend("socket,id=s,host=a,port=1,reconnect=2"), socket(tcp("a", 1, again(2000))));
    assert_eq!(backend("socket,id=s,port=1,reconnect-ms=20"), socket(tcp("", 1, again(20))));
    assert_eq!(backend("socket,id=s,host=a,port=1,reconnect=0,nodelay"), {
        socket(SocketOptions { nodelay: true, ..tcp("a", 1, ONCE) })
    });
    assert_eq!(backend("backend=null,id=n"), ChardevBackend::Null);
    assert_eq!(backend("stdio,id=c,mux=on"), ChardevBackend::Stdio { keys: true, signals: true });
    assert_eq!(backend("stdio,id=c,mux=on,signal=off"), ChardevBackend::Stdio { keys: true, signals: false });
    let input = Some("in".into());
    let both = ChardevBackend::File { path: "out".into(), append: true, input };
    assert_eq!(backend("file,id=f,path=out,append=on,input-path=in"), both);
    let mut chardevs = Chardevs::default();
    chardevs.add_option("pty,id=p,path=/tmp/p,logfile=a,logappend=on").unwrap();
    let (_, details) = chardevs.iter().next().unwrap();
    assert_eq!(details.log, Some(ChardevLog { path: "a".into(), append: true }));
}

#[test]
fn what_cannot_be_is_refused() {
    let mut chardevs = Chardevs::default();
    chardevs.add_option("stdio,id=c").unwrap();
    let error = chardevs.serial("stdio").unwrap_err().to_string();
    assert!(error.contains("one character device only"), "{error}");
    let error = chardevs.serial("vc").unwrap_err().to_string();
    assert!(error.contains("'vc'") && error.contains(SERIAL_HELP), "{error}");
    let error = chardevs.serial("chardev:d").unwrap_err().to_string();
    assert!(error.contains("unknown character device 'd'") && error.contains("choices: c"), "{error}");
    for text in ["null", "null,id=c", "file,id=x", "vc,id=x", "null,id=x,mux=on", "null,id=x,logappend=on"] {
        assert!(chardevs.add_option(text).is_err(), "{text}");
    }
    for text in ["null:", "file:", "tcp:host", "pipe", "pty:", "mon:null", "unix:,server=on", "tcp:a:b", "none:"] {
        assert!(chardevs.serial(text).is_err(), "{text}");
    }
    assert_eq!(chardevs.backends().len(), 1);
}

#[test]
fn a_socket_that_cannot_be_is_told_why() {
    for (text, part) in [
        ("", "it has no address"),
        ("host=a", "it has no port"),
        ("path=a,port=1", "host= and port= are for TCP"),
        ("host=a,port=65536", "port does not take '65536': expected a number up to 65535"),
        ("host=a,port=0", "server=on"),
        ("path=a,server=maybe", "server does not take 'maybe': expected on or off"),
        ("path=a,wait=on", "wait is for a server"),
        ("path=a,server=on,reconnect=1", "reconnect is for a client"),
        ("path=a,reconnect=1,reconnect-ms=1", "give one of them"),
        ("path=a,tls-creds=x", "unknown property of -chardev socket 'tls-creds'\nvalid choices: id, logfile"),
    ] {
        let error = Chardevs::default().add_option(&format!("socket,id=s,{text}")).expect_err(text).to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
}
