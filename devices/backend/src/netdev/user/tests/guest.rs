//! A guest: an IP stack that speaks with a user network frame by frame.

use crate::netdev::Netdev;
use crate::netdev::user::routes::Resolver;
use crate::netdev::user::{User, UserOptions};
use rustix::event::{Timespec, poll};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::{tcp, udp};
use smoltcp::time::Instant as SmolInstant;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr, IpEndpoint, Ipv4Address};
use std::collections::VecDeque;
use std::net::{SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};

/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(120);

/// What nobody listens at.
pub(super) const NOBODY: &str = "127.0.0.1:1";

/// A guest's network adapter.
#[derive(Default)]
pub(super) struct Adapter {
    arrived: VecDeque<Vec<u8>>,
    leaving: VecDeque<Vec<u8>>,
}

pub(super) struct Arrived(Vec<u8>);
pub(super) struct Leaving<'a>(&'a mut VecDeque<Vec<u8>>);

/// A guest and its network.
pub(super) struct Guest {
    pub(super) user: User,
    pub(super) interface: Interface,
    pub(super) sockets: SocketSet<'static>,
    adapter: Adapter,
    start: Instant,
}

impl Device for Adapter {
    type RxToken<'t> = Arrived;
    type TxToken<'t> = Leaving<'t>;

    fn receive(&mut self, _now: SmolInstant) -> Option<(Arrived, Leaving<'_>)> {
        Some((Arrived(self.arrived.pop_front()?), Leaving(&mut self.leaving)))
    }

    fn transmit(&mut self, _now: SmolInstant) -> Option<Leaving<'_>> {
        (self.leaving.len() < 64).then_some(Leaving(&mut self.leaving))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

impl RxToken for Arrived {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(&self.0)
    }
}

impl TxToken for Leaving<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        let mut frame = vec![0; length];
        let result = fill(&mut frame);
        self.0.push_back(frame);
        result
    }
}

impl Guest {
    /// A guest with the address that it would be given.
    pub(super) fn new(options: UserOptions) -> Self {
        Self::with_resolver(options, NOBODY.parse().unwrap())
    }

    pub(super) fn with_resolver(options: UserOptions, resolver: SocketAddr) -> Self {
        let mut guest = Self::without_address(options, resolver);
        guest.become_host([10, 0, 2, 15], [10, 0, 2, 2]);
        guest
    }

    /// A guest that has not asked for its address.
    pub(super) fn without_address(options: UserOptions, resolver: SocketAddr) -> Self {
        let user = User::open(options, Resolver::Fixed(resolver)).unwrap();
        let mut adapter = Adapter::default();
        let hardware = EthernetAddress([0x52, 0x54, 0, 0x12, 0x34, 0x56]);
        let interface = Interface::new(Config::new(hardware.into()), &mut adapter, SmolInstant::ZERO);
        Self { user, interface, sockets: SocketSet::new(Vec::new()), adapter, start: Instant::now() }
    }

    pub(super) fn become_host(&mut self, address: [u8; 4], router: [u8; 4]) {
        let address = IpCidr::new(IpAddress::Ipv4(Ipv4Address::from(address)), 24);
        self.interface.update_ip_addrs(|addresses| addresses.push(address).unwrap());
        self.interface.routes_mut().add_default_ipv4_route(Ipv4Address::from(router)).unwrap();
    }

    /// Lets everything happen that can; true if anything did.
    fn step(&mut self) -> bool {
        let now = SmolInstant::from_micros(self.start.elapsed().as_micros() as i64);
        self.interface.poll(now, &mut self.adapter, &mut self.sockets);
        let sent = self.adapter.leaving.len();
        self.adapter.leaving.drain(..).for_each(|frame| self.user.send(&frame));
        while let Some(frame) = self.user.receive() {
            self.adapter.arrived.push_back(frame);
        }
        sent > 0 || !self.adapter.arrived.is_empty()
    }

    /// Goes on until something is so.
    pub(super) fn until(&mut self, what: &str, mut so: impl FnMut(&mut Self) -> bool) {
        let start = Instant::now();
        while !so(self) {
            assert!(start.elapsed() < PATIENCE, "never: {what}");
            if !self.step() {
                self.wait(Duration::from_millis(1));
            }
        }
    }

    /// Goes on for a while, and never not at all.
    pub(super) fn run_for(&mut self, time: Duration) {
        self.step();
        let start = Instant::now();
        self.until("time passes", |_| start.elapsed() >= time);
    }

    fn wait(&self, most: Duration) {
        let time = self.user.timeout().map_or(most, |timeout| timeout.min(most));
        let time = Timespec { tv_sec: 0, tv_nsec: i64::from(time.subsec_nanos()) };
        poll(&mut self.user.sources(), Some(&time)).unwrap();
    }

    /// Opens a connection, without waiting for it.
    pub(super) fn connect(&mut self, to: &str, port: u16) -> SocketHandle {
        let mut socket = Self::tcp_socket();
        let to: IpEndpoint = to.parse::<SocketAddrV4>().unwrap().into();
        socket.connect(self.interface.context(), to, port).unwrap();
        self.sockets.add(socket)
    }

    pub(super) fn listen(&mut self, port: u16) -> SocketHandle {
        let mut socket = Self::tcp_socket();
        socket.listen(port).unwrap();
        self.sockets.add(socket)
    }

    fn tcp_socket() -> tcp::Socket<'static> {
        let buffer = || tcp::SocketBuffer::new(vec![0; 256 << 10]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        socket.set_ack_delay(None);
        socket
    }

    pub(super) fn bind_udp(&mut self, port: u16) -> SocketHandle {
        let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 16], vec![0; 32 << 10]);
        let mut socket = udp::Socket::new(buffer(), buffer());
        socket.bind(port).unwrap();
        self.sockets.add(socket)
    }

    pub(super) fn tcp(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    pub(super) fn udp(&mut self, handle: SocketHandle) -> &mut udp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    /// Sends a datagram and waits for one.
    pub(super) fn ask(&mut self, handle: SocketHandle, to: &str, text: &[u8]) -> (Vec<u8>, IpEndpoint) {
        let to: IpEndpoint = to.parse::<SocketAddrV4>().unwrap().into();
        self.udp(handle).send_slice(text, to).unwrap();
        self.hear(handle)
    }

    /// Waits for a datagram.
    pub(super) fn hear(&mut self, handle: SocketHandle) -> (Vec<u8>, IpEndpoint) {
        self.until("a datagram comes", |guest| guest.udp(handle).can_recv());
        let (data, from) = self.udp(handle).recv().unwrap();
        (data.to_vec(), from.endpoint)
    }
}
