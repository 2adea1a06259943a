use super::*;
use reprise_backend::netdev::Endpoint;
use reprise_backend::netdev::user::HostForward;
use reprise_core::backend::{BackendKind, NetdevId};
use std::net::Ipv4Addr;
use std::time::Duration;

fn parse(text: &str) -> Result<NetdevBackend, UsageError> {
    let mut netdevs = Named::new(BackendKind::Netdev);
    add_netdev(&format!("{text},id=n"), &mut netdevs)?;
    assert_eq!(netdevs.ids(), ["n"]);
    Ok(netdevs.backends()[0].clone())
}

fn check(text: &str, expected: NetdevBackend) {
    assert_eq!(parse(text).unwrap_or_else(|error| panic!("{text}: {error}")), expected, "{text}");
}

fn refused(text: &str, reason: &str) {
    let error = parse(text).err().unwrap_or_else(|| panic!("{text} is taken")).to_string();
    assert!(error.contains(reason), "{text}: {error}");
}

fn inet(host: &str, port: u16) -> Endpoint {
    Endpoint::Inet { host: host.into(), port }
}

fn stream(endpoint: Endpoint, server: bool, reconnect: Option<u64>) -> NetdevBackend {
    NetdevBackend::Stream(StreamOptions { endpoint, server, reconnect: reconnect.map(Duration::from_millis) })
}

fn peer(local: Endpoint, remote: Option<Endpoint>) -> NetdevBackend {
    NetdevBackend::Dgram(DgramOptions::Peer { local, remote })
}

fn group(interface: Ipv4Addr) -> NetdevBackend {
    NetdevBackend::Dgram(DgramOptions::Group { group: "230.0.0.1:1234".parse().unwrap(), interface })
}

#[test]
fn user_networks_as_qemu_writes_them() {
    check("user", NetdevBackend::User(UserOptions::default()));
    check("user,ipv4=on,ipv6=off,restrict=off", NetdevBackend::User(UserOptions::default()));
    let text = "user,net=192.168.76.9/24,dhcpstart=192.168.76.40,hostname=vm,domainname=lan,dnssearch=a,dnssearch=b.c,\
                restrict=on,hostfwd=tcp:127.0.0.1:5555-:22,hostfwd=udp::53-192.168.76.41:5353,hostfwd=::80-:8080";
    let [any, guest] = [Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(192, 168, 76, 41)];
    let forward = |udp, host_addr, host_port, guest_addr, guest_port| HostForward {
        udp,
        host_addr,
        host_port,
        guest_addr,
        guest_port,
    };
    let expected = UserOptions {
        net: (Ipv4Addr::new(192, 168, 76, 0), 24),
        host: Ipv4Addr::new(192, 168, 76, 2),
        dns: Ipv4Addr::new(192, 168, 76, 3),
        dhcp_start: Ipv4Addr::new(192, 168, 76, 40),
        hostname: Some("vm".into()),
        domainname: Some("lan".into()),
        dnssearch: vec!["a".into(), "b.c".into()],
        restrict: true,
        hostfwd: vec![
            forward(false, Ipv4Addr::LOCALHOST, 5555, any, 22),
            forward(true, any, 53, guest, 5353),
            forward(false, any, 80, any, 8080),
        ],
    };
    check(text, NetdevBackend::User(expected));
}

#[test]
fn subnets_have_a_prefix_a_mask_or_a_class() {
    let prefix = |text: &str| match parse(&format!("user,net={text}")) {
        Ok(NetdevBackend::User(options)) => options.net,
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(prefix("10.1.2.3/30"), (Ipv4Addr::new(10, 1, 2, 0), 30));
    assert_eq!(prefix("10.1.2.3/255.255.0.0"), (Ipv4Addr::new(10, 1, 0, 0), 16));
    assert_eq!(prefix("172.16.0.0"), (Ipv4Addr::new(172, 16, 0, 0), 16));
    assert_eq!(prefix("1.2.3.4/0"), (Ipv4Addr::UNSPECIFIED, 0));
    for text in ["10.0.0.0/33", "10.0.0.0/255.0.255.0", "ten", "10.0.0/8"] {
        refused(&format!("user,net={text}"), "expected ADDRESS/PREFIX");
    }
}

#[test]
fn taps_as_qemu_writes_them() {
    let tap = |name: &str, script: Option<&str>, downscript: Option<&str>| {
        let [script, downscript] = [script, downscript].map(|path| path.map(Into::into));
        NetdevBackend::Tap(TapOptions::Interface { name: name.into(), script, downscript })
    };
    check("tap,ifname=tap0,script=no,downscript=no,vhost=off,vnet_hdr=off,queues=1", tap("tap0", None, None));
    check("tap", tap("", None, None));
    check("tap,script=/etc/up,downscript=down", tap("", Some("/etc/up"), Some("down")));
    check("tap,fd=3", NetdevBackend::Tap(TapOptions::Descriptor(3)));
    refused("tap,vhost=on", "vhost=on is not supported: frames would go past the door");
    refused("tap,vnet_hdr=on", "vnet_hdr=on is not supported");
    refused("tap,queues=4", "queues= is not supported");
    refused("tap,br=br0", "br= is not supported");
    refused("tap,fd=3,ifname=a", "for a tap that has no fd=");
    refused("tap,fd=x", "fd=x: expected the number of a descriptor");
    refused("tap,name=a", "unknown property of -netdev tap 'name'");
}

#[test]
fn sockets_as_qemu_writes_them() {
    check("socket,listen=:1234", stream(inet("", 1234), true, None));
    check("socket,connect=localhost:1234", stream(inet("localhost", 1234), false, None));
    check("socket,connect=[::1]:1234", stream(inet("::1", 1234), false, None));
    check("socket,fd=7", stream(Endpoint::Descriptor(7), false, None));
    check("socket,mcast=230.0.0.1:1234", group(Ipv4Addr::UNSPECIFIED));
    check("socket,mcast=230.0.0.1:1234,localaddr=127.0.0.1", group(Ipv4Addr::LOCALHOST));
    check("socket,udp=a:1,localaddr=:2", peer(inet("", 2), Some(inet("a", 1))));
    refused("socket", "expected one of fd=");
    refused("socket,listen=:1,connect=a:1", "expected one of fd=");
    refused("socket,listen=:1,localaddr=:2", "localaddr= is for mcast= and udp=");
    refused("socket,udp=a:1", "needs localaddr=");
    refused("socket,mcast=10.0.0.1:1", "expected GROUP:PORT");
    refused("socket,connect=a", "expected HOST:PORT");
    refused("socket,connect=a:99999", "expected HOST:PORT");
}

#[test]
fn streams_and_datagrams_as_qemu_writes_them() {
    check("stream,addr.type=inet,addr.host=h,addr.port=1,server=on", stream(inet("h", 1), true, None));
    check(
        "stream,server=off,addr.type=unix,addr.path=/s,reconnect=2",
        stream(Endpoint::Unix("/s".into()), false, Some(2000)),
    );
    check(
        "stream,addr.type=unix,addr.path=s,addr.abstract=on,reconnect-ms=5",
        stream(Endpoint::Abstract("s".into()), false, Some(5)),
    );
    check("stream,addr.type=fd,addr.str=4,reconnect=0", stream(Endpoint::Descriptor(4), false, None));
    refused("stream", "add addr.type=inet|unix|fd");
    refused("stream,addr.type=vsock", "unknown addr.type 'vsock'");
    refused("stream,addr.type=inet,addr.host=h", "addr.port= is missing");
    refused("stream,addr.type=inet,addr.host=h,addr.port=1,server=on,reconnect=1", "reconnect is for a client");
    refused("stream,addr.type=fd,addr.str=4,reconnect=1,reconnect-ms=1", "give one");

    let unix = |path: &str| Endpoint::Unix(path.into());
    check("dgram,local.type=unix,local.path=a,remote.type=unix,remote.path=b", peer(unix("a"), Some(unix("b"))));
    check("dgram,local.type=fd,local.str=3", peer(Endpoint::Descriptor(3), None));
    check("dgram,remote.type=inet,remote.host=230.0.0.1,remote.port=1234", group(Ipv4Addr::UNSPECIFIED));
    let local = "local.type=inet,local.host=127.0.0.1,local.port=9";
    check(
        &format!("dgram,remote.type=inet,remote.host=230.0.0.1,remote.port=1234,{local}"),
        group(Ipv4Addr::LOCALHOST),
    );
    check(
        &format!("dgram,remote.type=inet,remote.host=a,remote.port=1,{local}"),
        peer(inet("127.0.0.1", 9), Some(inet("a", 1))),
    );
    refused("dgram,local.type=unix,local.path=a", "where frames go");
    refused("dgram,remote.type=unix,remote.path=a", "where frames arrive");
}

#[test]
fn what_is_not_there_is_refused_with_the_reason() {
    refused("user,smb=/srv", "smb= is not supported: there is no file server");
    refused("user,tftp=/srv", "tftp= is not supported: there is no boot server");
    refused("user,guestfwd=tcp:10.0.2.100:1234-cmd:cat", "guestfwd= is not supported");
    refused("user,ipv6=on", "the network speaks IPv4 only");
    refused("user,hostfwd=tcp:80", "expected tcp|udp:[HOSTADDR]:HOSTPORT-[GUESTADDR]:GUESTPORT");
    refused("user,hostfwd=tcp::0-:80", "expected tcp|udp");
    refused("user,restrict=maybe", "restrict=maybe: expected on or off");
    refused("user,vlan=3", "unknown property of -netdev user 'vlan'");
    refused("vde", "unknown kind of -netdev 'vde'");
    let error = add_netdev("user", &mut Named::new(BackendKind::Netdev)).unwrap_err().to_string();
    assert_eq!(error, "-netdev 'user': it has no id: add id=NAME");
}

#[test]
fn an_adapter_and_its_network_in_one_option() {
    let mut netdevs = Named::new(BackendKind::Netdev);
    assert_eq!(add_nic("none", &mut netdevs).unwrap(), None);
    add_nic("user", &mut netdevs).unwrap();
    let text = "socket,listen=:1,model=virtio,mac=52:54:00:00:00:01,id=lan";
    let device = add_nic(text, &mut netdevs).unwrap().unwrap();
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(device.name, "virtio-net-pci");
    assert_eq!(device.properties, [pair("mac", "52:54:00:00:00:01"), pair("netdev", "1")]);
    assert_eq!(netdevs.backends()[1], stream(inet("", 1), true, None));
    assert_eq!(netdevs.find("lan").unwrap(), 1);
    for (text, reason) in [
        ("user,model=e1000", "unknown model of -nic 'e1000'\nvalid choices: virtio-net-pci"),
        ("none,mac=1", "unknown property of -nic none 'mac'"),
        ("vde", "unknown kind of -nic 'vde'"),
    ] {
        let error = add_nic(text, &mut netdevs).unwrap_err().to_string();
        assert!(error.starts_with(reason), "{text}: {error}");
    }
}

#[test]
fn files_for_frames_as_qemu_writes_them() {
    let mut netdevs = Named::new(BackendKind::Netdev);
    add_netdev("user,id=n", &mut netdevs).unwrap();
    let parse = |text: &str| dump::parse(text, List::parse(text), |id| netdevs.find(id));
    let dump = parse("netdev=n,file=a.pcap,maxlen=128,queue=all").unwrap();
    assert_eq!((dump.netdev.0, dump.path.to_str(), dump.limit), (0, Some("a.pcap"), 128));
    assert_eq!(parse("netdev=n,file=a.pcap").unwrap().limit, 65536);
    for text in ["file=a", "netdev=n", "netdev=m,file=a", "netdev=n,file=a,maxlen=x", "netdev=n,file=a,queue=rx"] {
        assert!(parse(text).is_err(), "{text}");
    }
    let dump = dump::replayed_dump("filter-dump,id=d,netdev=3,file=a.pcap").unwrap();
    assert_eq!((dump.netdev.0, dump.path.to_str()), (3, Some("a.pcap")));
    for text in ["filter-dump,netdev=n,file=a", "rng-random,id=r", "filter-dump,file=a"] {
        assert!(dump::replayed_dump(text).is_err(), "{text}");
    }
}

#[test]
fn help_lists_every_kind_with_its_properties() {
    let text = netdev_help("help").unwrap();
    assert!(text.contains("\n  dgram    peers that are sent datagrams\n") && text.contains("downscript"), "{text}");
    assert_eq!(netdev_help("user,id=help"), None);
}

#[test]
fn a_network_serves_one_adapter() {
    let mut netdevs = Named::new(BackendKind::Netdev);
    let devices = ["user,id=a", "user,id=b"].map(|text| add_nic(text, &mut netdevs).unwrap().unwrap());
    check_adapters(&devices, &netdevs).unwrap();
    assert!(check_adapters(&devices[..1], &netdevs).is_err());
    assert!(check_adapters(&[&devices[..], &devices[..1]].concat(), &netdevs).is_err());
    let networks: Vec<_> = devices.iter().filter_map(network_of).collect();
    assert_eq!(networks, [NetdevId(0), NetdevId(1)]);
}
