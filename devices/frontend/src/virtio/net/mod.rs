//! `virtio-net-pci`: a network adapter.
//!
//! Document: VIRTIO 1.2, 5.1 Network Device.
//!
//! The wire is infinitely fast: a frame that the driver hands over is on its network, and its buffer back, at the tick of
//! the notification; a frame from the network is in the driver's buffers at the tick at which it arrives. The link is
//! always up. One frame waits here while the driver has no buffers; others wait outside, where no guest sees them.
//!
//! Of the offloads there is the checksum of what is sent (VIRTIO_NET_F_CSUM): the adapter completes it, so what leaves is
//! a correct frame for any wire. Segmentation is not offered, and neither are checksums of what is received, several pairs
//! of queues, receive-side scaling, notification coalescing, and announcements, which belong to migration.

mod control;
mod filter;
mod header;
#[cfg(test)]
mod tests;

use super::{Chain, VirtioDevice, VirtioIdentity, VirtioIo, VirtioPci, attach as attach_pci, pci::virtio_properties};
use filter::{Filter, MacAddress};
use header::HEADER;
use reprise_core::backend::{BackendKind, NetdevId};
use reprise_core::board::{Board, DeviceId};
use reprise_core::device::DeviceInput;
use reprise_core::output::Output;
use reprise_core::property::{AttachError, Category, DeviceSpec, Properties, PropertyKind, PropertySpec};
use serde::{Deserialize, Serialize};

/// Queues (5.1.2 Virtqueues).
const RECEIVE: u16 = 0;
const TRANSMIT: u16 = 1;
const CONTROL: u16 = 2;

/// Bytes of an Ethernet header; no frame is shorter.
const ETHERNET_HEADER: usize = 14;
/// Longest frame: what an IP packet can have, and the header with a VLAN tag.
const FRAME_LIMIT: usize = 65_535 + ETHERNET_HEADER + 4;

/// Smallest MTU that the standard allows for.
const LEAST_MTU: u64 = 68;

/// VIRTIO_NET_S_LINK_UP.
const LINK_UP: u16 = 1;

/// The address of the first adapter that is given none, as in QEMU; others count on from it.
const FIRST_MAC: MacAddress = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];

/// Feature bits (5.1.3 Feature bits).
mod feature {
    pub(super) const CSUM: u64 = 1 << 0;
    pub(super) const MTU: u64 = 1 << 3;
    pub(super) const MAC: u64 = 1 << 5;
    pub(super) const MRG_RXBUF: u64 = 1 << 15;
    pub(super) const STATUS: u64 = 1 << 16;
    pub(super) const CTRL_VQ: u64 = 1 << 17;
    pub(super) const CTRL_RX: u64 = 1 << 18;
    pub(super) const CTRL_VLAN: u64 = 1 << 19;
    pub(super) const CTRL_RX_EXTRA: u64 = 1 << 20;
    pub(super) const CTRL_MAC_ADDR: u64 = 1 << 23;
}

/// Switches of features that depend on nothing, with what they stand for.
const SWITCHES: [(&str, u64); 3] =
    [("csum", feature::CSUM), ("mrg_rxbuf", feature::MRG_RXBUF), ("status", feature::STATUS)];

/// Switches of features that need the control queue.
const CONTROL_SWITCHES: [(&str, u64); 4] = [
    ("ctrl_rx", feature::CTRL_RX),
    ("ctrl_vlan", feature::CTRL_VLAN),
    ("ctrl_rx_extra", feature::CTRL_RX_EXTRA),
    ("ctrl_mac_addr", feature::CTRL_MAC_ADDR),
];

/// Choices of queue sizes, as numbers and as the properties write them.
const SIZES: [u16; 3] = [256, 512, 1024];
const SIZE_NAMES: [&str; 3] = ["256", "512", "1024"];

/// Sizes of the queues, by the choice for receiving and that for sending.
static QUEUES: [[[u16; 3]; 3]; 3] = {
    let mut queues = [[[64; 3]; 3]; 3];
    let mut at = 0;
    while at < 9 {
        queues[at / 3][at % 3] = [SIZES[at / 3], SIZES[at % 3], 64];
        at += 1;
    }
    queues
};

const fn switch(name: &'static str, description: &'static str) -> PropertySpec {
    PropertySpec { name, kind: PropertyKind::Bool, default: "on", description }
}

/// A feature of QEMU's that there is not.
const fn without(name: &'static str, description: &'static str) -> PropertySpec {
    PropertySpec { name, kind: PropertyKind::Choice(&["off", "false"]), default: "off", description }
}

const fn size(name: &'static str, description: &'static str) -> PropertySpec {
    PropertySpec { name, kind: PropertyKind::Choice(&SIZE_NAMES), default: "256", description }
}

/// The declaration of the device.
pub const SPEC: DeviceSpec = DeviceSpec {
    name: "virtio-net-pci",
    category: Category::Network,
    bus: crate::pci::BUS,
    description: "virtio network adapter",
    user_creatable: true,
    properties: virtio_properties![
        PropertySpec {
            name: "netdev",
            kind: PropertyKind::Backend(BackendKind::Netdev),
            default: "",
            description: "the network; nothing is sent or received if it is not given",
        },
        PropertySpec {
            name: "mac",
            kind: PropertyKind::Text,
            default: "",
            description: "address; 52:54:00:12:34:56 and on if it is not given",
        },
        PropertySpec {
            name: "host_mtu",
            kind: PropertyKind::Number(0xffff),
            default: "0",
            description: "largest packet that the driver is to send, from 68 on; 0 says nothing",
        },
        size("rx_queue_size", "buffers for receiving"),
        size("tx_queue_size", "buffers for sending"),
        switch("csum", "complete checksums of what is sent"),
        switch("mrg_rxbuf", "frames may take several buffers"),
        switch("status", "show the state of the link, which is up"),
        switch("ctrl_vq", "a queue for commands, which the others of ctrl_ need"),
        switch("ctrl_rx", "commands for what is received"),
        switch("ctrl_vlan", "commands for which VLANs are received"),
        switch("ctrl_rx_extra", "more commands for what is received"),
        switch("ctrl_mac_addr", "a command for the address"),
        without("guest_csum", "leave checksums of what is received to the driver: not modelled"),
        without("guest_tso4", "leave segments of what is received together: not modelled"),
        without("guest_tso6", "leave segments of what is received together: not modelled"),
        without("guest_ecn", "leave segments of what is received together: not modelled"),
        without("guest_ufo", "leave fragments of what is received together: not modelled"),
        without("guest_announce", "announce the guest after a migration: not modelled"),
        without("gso", "cut segments of what is sent: not modelled"),
        without("host_tso4", "cut segments of what is sent: not modelled"),
        without("host_tso6", "cut segments of what is sent: not modelled"),
        without("host_ecn", "cut segments of what is sent: not modelled"),
        without("host_ufo", "cut fragments of what is sent: not modelled"),
        without("mq", "several pairs of queues: not modelled"),
        without("rss", "receive-side scaling: not modelled"),
    ],
    attach,
};

/// Everything that the guest can observe of the adapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetState {
    mac: MacAddress,
    filter: Filter,
    /// A frame for which the driver has no buffers yet.
    waiting: Option<Vec<u8>>,
    /// Buffers for receiving that were taken from the queue, and are too few for the frame.
    buffers: Vec<Chain>,
}

/// The adapter.
#[derive(Debug)]
pub struct VirtioNet {
    netdev: Option<NetdevId>,
    /// The address at power-on.
    mac: MacAddress,
    /// VIRTIO_NET_F_MTU, if it is not 0.
    mtu: u16,
    features: u64,
    queues: &'static [u16],
    state: NetState,
}

fn attach(board: &mut Board, properties: &Properties) -> Result<DeviceId, AttachError> {
    let mac = match properties.text("mac") {
        "" => free_mac(board),
        text => filter::parse(text).ok_or_else(|| refused(format!("mac={text} is no address of one adapter")))?,
    };
    let mtu = properties.number("host_mtu");
    if (1..LEAST_MTU).contains(&mtu) {
        return Err(refused(format!("host_mtu={mtu} is less than {LEAST_MTU}")));
    }
    let netdev = properties.backend("netdev").map(NetdevId);
    let net = VirtioNet::new(netdev, mac, mtu as u16, features(properties), queues(properties));
    let id = attach_pci(board, &SPEC, properties, net)?;
    if let Some(netdev) = netdev {
        board.connect_netdev(netdev, id);
    }
    Ok(id)
}

fn refused(reason: String) -> AttachError {
    AttachError::Invalid { device: SPEC.name, reason }
}

/// The first of the addresses that are given out and that no adapter has.
fn free_mac(board: &mut Board) -> MacAddress {
    let count = board.device_names().count() as u32;
    let adapters = (0..count).map(DeviceId);
    let taken: Vec<_> =
        adapters.filter_map(|id| Some(board.device_mut::<VirtioPci<VirtioNet>>(id)?.device_mut().mac)).collect();
    let numbered = |number: u8| {
        let mut mac = FIRST_MAC;
        mac[5] = mac[5].wrapping_add(number);
        mac
    };
    (0..=u8::MAX).map(numbered).find(|mac| !taken.contains(mac)).unwrap_or(FIRST_MAC)
}

fn features(properties: &Properties) -> u64 {
    let chosen = |switches: &[(&str, u64)]| {
        switches.iter().filter(|(name, _)| properties.flag(name)).fold(0, |features, (_, bit)| features | bit)
    };
    let control = if properties.flag("ctrl_vq") { feature::CTRL_VQ | chosen(&CONTROL_SWITCHES) } else { 0 };
    let mtu = if properties.number("host_mtu") != 0 { feature::MTU } else { 0 };
    feature::MAC | mtu | control | chosen(&SWITCHES)
}

fn queues(properties: &Properties) -> &'static [u16] {
    let choice = |name| SIZES.iter().position(|&size| u64::from(size) == properties.number(name)).unwrap_or(0);
    let queues = &QUEUES[choice("rx_queue_size")][choice("tx_queue_size")];
    if properties.flag("ctrl_vq") { queues } else { &queues[..usize::from(CONTROL)] }
}

impl VirtioNet {
    fn new(netdev: Option<NetdevId>, mac: MacAddress, mtu: u16, features: u64, queues: &'static [u16]) -> Self {
        Self { netdev, mac, mtu, features, queues, state: NetState::power_on(mac) }
    }

    fn transmit(&mut self, io: &mut VirtioIo<'_, '_>) {
        while let Some(chain) = io.pop(TRANSMIT) {
            if let Some(frame) = take_frame(&chain, io)
                && let Some(netdev) = self.netdev
            {
                io.ctx().output(Output::Frame { netdev, frame });
            }
            io.push(&chain, 0);
        }
    }

    /// Puts a frame into the driver's buffers; false if they are too few as yet.
    fn receive(&mut self, frame: &[u8], io: &mut VirtioIo<'_, '_>) -> bool {
        let merges = io.features() & feature::MRG_RXBUF != 0;
        let needed = (HEADER + frame.len()) as u64;
        let buffers = &mut self.state.buffers;
        let mut room: u64 = buffers.iter().map(Chain::writable_len).sum();
        while room < needed && (merges || buffers.is_empty()) {
            let Some(buffer) = io.pop(RECEIVE) else { return false };
            room += buffer.writable_len();
            buffers.push(buffer);
        }
        // A frame that is too long for a buffer is lost; the buffer serves the next one.
        if room >= needed {
            fill(std::mem::take(buffers), frame, io);
        }
        true
    }

    /// Tries again with the frame that waits.
    fn go_on(&mut self, io: &mut VirtioIo<'_, '_>) {
        if let Some(frame) = self.state.waiting.take()
            && !self.receive(&frame, io)
        {
            self.state.waiting = Some(frame);
        }
    }

    fn arrived(&mut self, frame: &[u8], io: &mut VirtioIo<'_, '_>) {
        let vlans = io.features() & feature::CTRL_VLAN != 0;
        let fits = (ETHERNET_HEADER..=FRAME_LIMIT).contains(&frame.len());
        if !io.is_ready() || !fits || !self.state.filter.admits(frame, self.state.mac, vlans) {
            return;
        }
        if self.state.waiting.is_some() || !self.receive(frame, io) {
            self.state.waiting.get_or_insert_with(|| frame.to_vec());
        }
    }
}

impl NetState {
    fn power_on(mac: MacAddress) -> Self {
        Self { mac, filter: Filter::default(), waiting: None, buffers: Vec::new() }
    }
}

/// What the driver sends, made ready for the wire; `None` if it is no frame.
fn take_frame(chain: &Chain, io: &mut VirtioIo<'_, '_>) -> Option<Vec<u8>> {
    let length = chain.readable_len().checked_sub(HEADER as u64)? as usize;
    if !(ETHERNET_HEADER..=FRAME_LIMIT).contains(&length) {
        log::debug!(target: "guest_errors", "{}: a frame of {length} bytes", SPEC.name);
        return None;
    }
    let (mut header, mut frame) = ([0; HEADER], vec![0; length]);
    chain.read(0, &mut header, io.ctx());
    chain.read(HEADER as u64, &mut frame, io.ctx());
    let completed = header::complete(&header, &mut frame, io.features() & feature::CSUM != 0);
    completed.map(|()| frame).inspect_err(|reason| log::debug!(target: "guest_errors", "{}: {reason}", SPEC.name)).ok()
}

/// Spreads a frame with its header over `buffers`, and gives them back.
fn fill(buffers: Vec<Chain>, frame: &[u8], io: &mut VirtioIo<'_, '_>) {
    let packet = [&header::received(buffers.len() as u16), frame].concat();
    let mut rest = &packet[..];
    for buffer in buffers {
        let count = buffer.write(0, rest, io.ctx());
        rest = &rest[count..];
        io.push(&buffer, count as u32);
    }
}

impl VirtioDevice for VirtioNet {
    type State = NetState;

    fn identity(&self) -> VirtioIdentity {
        VirtioIdentity { device_type: 1, class: 0x02_0000, queues: self.queues }
    }

    fn features(&self) -> u64 {
        self.features
    }

    fn config(&self) -> Vec<u8> {
        let status = if self.features & feature::STATUS != 0 { LINK_UP } else { 0 };
        let pairs = 0u16;
        [&self.state.mac[..], &status.to_le_bytes(), &pairs.to_le_bytes(), &self.mtu.to_le_bytes()].concat()
    }

    /// Drivers of version 1 set the address by a command.
    fn write_config(&mut self, _offset: u64, _value: u8, _io: &mut VirtioIo<'_, '_>) {}

    fn notified(&mut self, queue: u16, io: &mut VirtioIo<'_, '_>) {
        match queue {
            RECEIVE => self.go_on(io),
            TRANSMIT => self.transmit(io),
            _ => self.obey(io),
        }
    }

    fn timer(&mut self, _slot: u32, _io: &mut VirtioIo<'_, '_>) {}

    fn input(&mut self, input: DeviceInput<'_>, io: &mut VirtioIo<'_, '_>) {
        if let DeviceInput::Frame(frame) = input {
            self.arrived(frame, io);
        }
    }

    fn input_room(&self, _port: u32) -> usize {
        usize::from(self.netdev.is_some() && self.state.waiting.is_none())
    }

    fn reset(&mut self) {
        self.state = NetState::power_on(self.mac);
    }

    fn state(&self) -> &NetState {
        &self.state
    }

    fn state_mut(&mut self) -> &mut NetState {
        &mut self.state
    }
}
