//! Virtio over the PCI bus.
//!
//! Document: VIRTIO 1.2, 4.1 Virtio Over PCI Bus. Identifiers, base address registers and properties are those of QEMU's
//! devices with `disable-legacy=on`.
//!
//! Not modelled: the legacy interface, VIRTIO_F_NOTIFICATION_DATA, VIRTIO_F_RING_RESET (queues are reset with the whole
//! device), shared memory regions, and capabilities of PCI Express, which a function on the root bus need not have.

mod common;
mod properties;
pub(super) mod registers;
mod transport;

pub(super) use properties::virtio_properties;
pub use properties::{
    ADDR, BUS, DISABLE_LEGACY, DISABLE_MODERN, EVENT_IDX, INDIRECT_DESC, IOMMU_PLATFORM, PACKED, VECTORS,
};
pub(super) use transport::Transport;

use super::io::{FIRST_TRANSPORT_TIMER, VirtioIo};
use super::{VirtioDevice, VirtioIdentity};
use crate::pci::msix::Msix;
use crate::pci::placement::Place;
use crate::pci::{Bar, BarKind, Identity, Layout, SUBSYSTEM};
use common::Effect;
use registers::{BAR, BAR_SIZE, MSIX_BAR, NOTIFY_MULTIPLIER, PCI_CFG, STRUCTURE, Structure, feature};
use reprise_core::board::{Board, DeviceId};
use reprise_core::clock::Tick;
use reprise_core::device::{Context, Device, DeviceInput, Width};
use reprise_core::property::{AttachError, DeviceSpec, Properties};
use reprise_core::state::{StateError, decode, encode};
use transport::TransportState;

/// Vendor ID of all virtio devices (4.1.2 PCI Device Discovery).
const VENDOR: u16 = 0x1af4;
/// Device ID of device type 0.
const FIRST_DEVICE: u16 = 0x1040;
/// Revision of devices without a legacy interface.
const REVISION: u8 = 1;
/// Capability ID: vendor specific.
const CAP_ID_VENDOR: u8 = 0x09;
/// Offset of pci_cfg_data in the window's capability (4.1.4.9 PCI configuration access capability).
const WINDOW_DATA: u16 = 16;

const CONFIG: u32 = 0;
const MSIX: u32 = 1;
const STRUCTURES: u32 = 2;

/// A virtio device on the PCI bus.
pub struct VirtioPci<D: VirtioDevice> {
    transport: Transport,
    device: D,
}

/// Puts a device into the slot that its properties ask for.
pub fn attach<D: VirtioDevice>(
    board: &mut Board,
    spec: &'static DeviceSpec,
    properties: &Properties,
    device: D,
) -> Result<DeviceId, AttachError> {
    let vectors = properties::vectors(properties, device.identity().queues.len());
    let place = Place::take(board, spec, properties)?;
    let layout = place.with_interrupt(board, Layout::endpoint(identity(&device.identity())));
    let offered = device.features() & !feature::RESERVED | properties::features(properties);
    let transport = Transport::new(spec.name, layout, vectors, offered, device.identity().queues);
    let id = board.add_device(spec.name, Box::new(VirtioPci { transport, device }));
    place.map(board, spec.name, id, CONFIG)?;
    Ok(id)
}

fn identity(device: &VirtioIdentity) -> Identity {
    let number = FIRST_DEVICE + device.device_type;
    Identity { vendor: VENDOR, device: number, revision: REVISION, class: device.class, subsystem: SUBSYSTEM }
}

impl Transport {
    fn new(name: &'static str, layout: Layout, vectors: u16, offered: u64, most: &'static [u16]) -> Self {
        let bar = Bar { kind: BarKind::Prefetchable64, size: BAR_SIZE, region: STRUCTURES, narrowest: 1, widest: 4 };
        let layout = layout.bar(BAR, bar);
        let (mut layout, msix) = match vectors {
            0 => (layout, None),
            _ => {
                let (layout, msix) = Msix::new(layout, vectors, MSIX_BAR, MSIX);
                (layout, Some(msix))
            }
        };
        for structure in Structure::ALL {
            add_structure(&mut layout, structure);
        }
        let window = add_window(&mut layout);
        let state = TransportState::power_on(&layout, msix, most);
        Self { name, layout, msix, window, offered, most, state }
    }
}

/// The body of a capability (4.1.4 Virtio Structure PCI Capabilities), with `rest` behind.
fn capability(cfg_type: u8, bar: u8, offset: u32, length: u32, rest: [u8; 4]) -> [u8; 18] {
    let mut body = [0; 18];
    body[0] = 2 + body.len() as u8;
    body[1] = cfg_type;
    body[2] = bar;
    body[6..10].copy_from_slice(&offset.to_le_bytes());
    body[10..14].copy_from_slice(&length.to_le_bytes());
    body[14..].copy_from_slice(&rest);
    body
}

fn add_structure(layout: &mut Layout, structure: Structure) {
    let (kind, offset) = (structure.capability_type(), structure.offset() as u32);
    let rest = match structure {
        Structure::Notify => (NOTIFY_MULTIPLIER as u32).to_le_bytes(),
        Structure::Common | Structure::Isr | Structure::Device => [0; 4],
    };
    let mut body = capability(kind, BAR, offset, STRUCTURE as u32, rest);
    let used = if structure == Structure::Notify { body.len() } else { body.len() - 4 };
    body[0] = 2 + used as u8;
    layout.capability(CAP_ID_VENDOR, &body[..used], &vec![0; used]);
}

/// The window: base address register, offset, length and data are the driver's.
fn add_window(layout: &mut Layout) -> u16 {
    let body = capability(PCI_CFG, 0, 0, 0, [0; 4]);
    let writable = capability(0, 0xff, u32::MAX, u32::MAX, [0xff; 4]);
    layout.capability(CAP_ID_VENDOR, &body, &[&[0], &writable[1..]].concat())
}

impl<D: VirtioDevice> VirtioPci<D> {
    /// The device behind the transport.
    pub fn device_mut(&mut self) -> &mut D {
        &mut self.device
    }

    /// Calls the device with its transport.
    fn call(&mut self, ctx: &mut Context<'_>, call: impl FnOnce(&mut D, &mut VirtioIo<'_, '_>)) {
        call(&mut self.device, &mut VirtioIo::new(&mut self.transport, ctx));
    }

    fn notify(&mut self, queue: u16, ctx: &mut Context<'_>) {
        if self.transport.is_usable(queue) {
            self.call(ctx, |device, io| device.notified(queue, io));
        }
    }

    /// What the driver put into its queues before the device could look.
    fn notify_all(&mut self, ctx: &mut Context<'_>) {
        for queue in 0..self.transport.most.len() as u16 {
            self.notify(queue, ctx);
        }
    }

    /// The driver resets the device (2.4 Device Reset).
    fn reset_device(&mut self, ctx: &mut Context<'_>) {
        ctx.disarm_all();
        ctx.cancel_requests();
        self.transport.reset_common(ctx);
        self.device.reset();
    }

    fn peek_structure(&self, offset: u64, width: Width) -> u64 {
        match Structure::at(offset) {
            (Structure::Common, at) => self.transport.read_common(at, width),
            (Structure::Isr, at) => u64::from(self.transport.state.common.isr) >> (8 * at.min(7)) & width.mask(),
            (Structure::Device, at) => {
                let config = self.device.config();
                let from = config.get(at as usize..).unwrap_or_default();
                from.iter().take(width as usize).rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
            }
            (Structure::Notify, _) => 0,
        }
    }

    /// Reading the ISR status acknowledges it.
    fn read_structure(&mut self, offset: u64, width: Width, ctx: &mut Context<'_>) -> u64 {
        let value = self.peek_structure(offset, width);
        if Structure::at(offset) == (Structure::Isr, 0) {
            self.transport.state.common.isr = 0;
            self.transport.drive_pin(ctx);
        }
        value
    }

    fn write_structure(&mut self, offset: u64, width: Width, value: u64, ctx: &mut Context<'_>) {
        match Structure::at(offset) {
            (Structure::Common, at) => match self.transport.write_common(at, value as u32) {
                Effect::None => {}
                Effect::Reset => self.reset_device(ctx),
                Effect::Ready => self.notify_all(ctx),
            },
            (Structure::Device, at) => self.write_device_config(at, width, value, ctx),
            (Structure::Notify, at) => self.notify(Transport::notified_queue(at), ctx),
            (Structure::Isr, _) => {}
        }
    }

    fn write_device_config(&mut self, offset: u64, width: Width, value: u64, ctx: &mut Context<'_>) {
        let length = self.device.config().len() as u64;
        for (at, byte) in (offset..length).zip(value.to_le_bytes()).take(width as usize) {
            self.call(ctx, |device, io| device.write_config(at, byte, io));
        }
    }

    /// What the window shows: offset and width of an access to the structures.
    fn window(&self) -> Option<(u64, Width)> {
        let (config, at) = (&self.transport.state.config, self.transport.window);
        let (bar, offset, length) = (config.byte(at + 4), config.dword(at + 8), config.dword(at + 12));
        let width = Width::from_bytes(u64::from(length)).filter(|&width| width != Width::Qword)?;
        let fits = bar == BAR && offset.is_multiple_of(length) && u64::from(offset) < BAR_SIZE;
        fits.then_some((u64::from(offset), width))
    }

    /// Whether an access of `width` at `offset` of configuration space touches the window's data.
    fn touches_window(&self, offset: u64, width: Width) -> bool {
        let data = u64::from(self.transport.window + WINDOW_DATA);
        offset < data + 4 && data < offset + width.bytes()
    }

    fn peek_config(&self, offset: u64, width: Width) -> u64 {
        if !self.touches_window(offset, width) {
            return self.transport.state.config.read(offset, width);
        }
        let mut config = self.transport.state.config.clone();
        if let Some((at, wide)) = self.window() {
            let data = self.transport.window + WINDOW_DATA;
            set_bytes(&mut config, data, wide, self.peek_structure(at, wide));
        }
        config.read(offset, width)
    }

    fn read_config(&mut self, offset: u64, width: Width, ctx: &mut Context<'_>) -> u64 {
        if let Some((at, wide)) = self.window().filter(|_| self.touches_window(offset, width)) {
            let value = self.read_structure(at, wide, ctx);
            let data = self.transport.window + WINDOW_DATA;
            set_bytes(&mut self.transport.state.config, data, wide, value);
        }
        self.transport.state.config.read(offset, width)
    }

    fn write_config(&mut self, offset: u64, width: Width, value: u64, ctx: &mut Context<'_>) {
        let before = self.transport.is_ready();
        let Transport { layout, msix, state, .. } = &mut self.transport;
        state.config.write(layout, offset, width, value, ctx);
        ctx.set_bus_master(state.config.is_bus_master());
        if let (Some(msix), Some(table)) = (msix, &mut state.msix) {
            msix.send_pending(table, &state.config, ctx);
        }
        self.transport.drive_pin(ctx);
        if let Some((at, wide)) = self.window().filter(|_| self.touches_window(offset, width)) {
            let data = self.transport.state.config.dword(self.transport.window + WINDOW_DATA);
            self.write_structure(at, wide, u64::from(data) & wide.mask(), ctx);
        }
        if self.transport.is_ready() && !before {
            self.notify_all(ctx);
        }
    }
}

/// Sets the first `width` bytes at `offset` of configuration space.
fn set_bytes(config: &mut crate::pci::ConfigSpace, offset: u16, width: Width, value: u64) {
    for (at, byte) in (offset..).zip(value.to_le_bytes()).take(width as usize) {
        config.set_byte(at, byte);
    }
}

impl<D: VirtioDevice> Device for VirtioPci<D> {
    fn read(&mut self, region: u32, offset: u64, width: Width, ctx: &mut Context<'_>) -> u64 {
        match region {
            CONFIG => self.read_config(offset, width, ctx),
            STRUCTURES => self.read_structure(offset, width, ctx),
            _ => self.peek(region, offset, width, ctx.now()),
        }
    }

    fn write(&mut self, region: u32, offset: u64, width: Width, value: u64, ctx: &mut Context<'_>) {
        ctx.set_bus_master(self.transport.is_bus_master());
        match region {
            CONFIG => self.write_config(offset, width, value, ctx),
            STRUCTURES => self.write_structure(offset, width, value, ctx),
            _ => {
                let Transport { msix, state, .. } = &mut self.transport;
                if let (Some(msix), Some(table)) = (msix, &mut state.msix) {
                    msix.write(table, &state.config, offset, value as u32, ctx);
                }
            }
        }
    }

    fn peek(&self, region: u32, offset: u64, width: Width, _now: Tick) -> u64 {
        match region {
            CONFIG => self.peek_config(offset, width),
            STRUCTURES => self.peek_structure(offset, width),
            _ => match (self.transport.msix, &self.transport.state.msix) {
                (Some(msix), Some(table)) => msix.read(table, offset, width),
                _ => width.mask(),
            },
        }
    }

    fn timer(&mut self, slot: u32, ctx: &mut Context<'_>) {
        match slot.checked_sub(FIRST_TRANSPORT_TIMER) {
            Some(queue) => self.notify(queue as u16, ctx),
            None => self.call(ctx, |device, io| device.timer(slot, io)),
        }
    }

    fn line(&mut self, _pin: u32, _level: bool, _ctx: &mut Context<'_>) {}

    fn input(&mut self, input: DeviceInput<'_>, ctx: &mut Context<'_>) {
        self.call(ctx, |device, io| device.input(input, io));
    }

    fn input_room(&self, port: u32) -> usize {
        self.device.input_room(port)
    }

    fn reset(&mut self, ctx: &mut Context<'_>) {
        self.reset_device(ctx);
        let Transport { layout, msix, most, state, .. } = &mut self.transport;
        state.config.reset(layout, ctx);
        *state = TransportState::power_on(layout, *msix, most);
    }

    fn save(&self) -> Vec<u8> {
        encode(&(&self.transport.state, self.device.state()))
    }

    fn load(&mut self, state: &[u8]) -> Result<(), StateError> {
        let (transport, device): (TransportState, D::State) = decode(self.transport.name, state)?;
        self.transport.check(&transport)?;
        self.transport.state = transport;
        *self.device.state_mut() = device;
        Ok(())
    }
}
