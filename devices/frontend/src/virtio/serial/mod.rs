//! `virtio-serial-pci`: a controller with up to 31 ports for bytes. What is at a port is a device of its own, see
//! [`port`].
//!
//! Document: VIRTIO 1.2, 5.3 Console Device.
//!
//! Bytes from the guest leave at once. Bytes from the host wait there until the driver has opened the port and made a buffer
//! available; each buffer comes back with what had come, full or not. A port of a console is open at the host's end as
//! long as it has a back end; for others the driver is told when somebody comes to the other end, and what it sends while
//! nobody is there is lost.
//!
//! Not modelled: the size of a console (VIRTIO_CONSOLE_F_SIZE), and ports that come and go while the machine runs.

mod control;
pub mod port;
#[cfg(test)]
mod tests;

use super::pci::virtio_properties;
use super::{Chain, VirtioDevice, VirtioIdentity, VirtioIo, VirtioPci, attach as attach_pci};
use control::{Message, event};
use port::{Kind, Port};
use reprise_core::board::{Board, DeviceId};
use reprise_core::device::DeviceInput;
use reprise_core::output::Output;
use reprise_core::property::{AttachError, Category, DeviceSpec, Properties, PropertyKind, PropertySpec};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// QEMU's name of the kind of bus that ports plug into.
pub const BUS: &str = "virtio-serial-bus";

/// Most ports: what QEMU's devices have.
const MOST_PORTS: usize = 31;

/// VIRTIO_CONSOLE_F_MULTIPORT: there are control queues and more than one port.
const MULTIPORT: u64 = 1 << 1;
/// VIRTIO_CONSOLE_F_EMERG_WRITE: there is a register for last words.
const EMERGENCY_WRITE: u64 = 1 << 2;
/// Offset of `emerg_wr` in the device configuration space.
const EMERG_WR: u64 = 8;

/// The queues for control messages to the driver and from it.
const CONTROL_TO_DRIVER: u16 = 2;
const CONTROL_FROM_DRIVER: u16 = 3;
/// Descriptors of each queue, as on QEMU.
const QUEUES: [u16; 2 * (MOST_PORTS + 1)] = {
    let mut queues = [128; 2 * (MOST_PORTS + 1)];
    queues[CONTROL_TO_DRIVER as usize] = 32;
    queues[CONTROL_FROM_DRIVER as usize] = 32;
    queues
};

/// Messages that wait for a buffer of the driver; then it has to wait with its own.
const MESSAGES_LIMIT: usize = 4 * MOST_PORTS;
/// Bytes that are taken from one buffer, and from a port at once: no driver sends more, and a hostile one gets no more
/// memory.
const BUFFER_LIMIT: u64 = 1 << 20;

/// The declaration of the controller.
pub const SPEC: DeviceSpec = DeviceSpec {
    name: "virtio-serial-pci",
    category: Category::Input,
    bus: crate::pci::BUS,
    description: "virtio controller for consoles and serial ports",
    user_creatable: true,
    properties: virtio_properties![
        PropertySpec {
            name: "max_ports",
            kind: PropertyKind::Number(0xffff_ffff),
            default: "31",
            description: "number of ports, 1 to 31",
        },
        PropertySpec {
            name: "emergency-write",
            kind: PropertyKind::Bool,
            default: "on",
            description: "a register for a console's last words",
        },
    ],
    attach,
};

/// Everything that the guest can observe of the controller.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SerialState {
    /// Whether the driver knows more than the first port.
    multiport: bool,
    ports: [PortState; MOST_PORTS],
    /// Messages that the driver has no buffer for yet.
    messages: VecDeque<Message>,
}

/// Everything that the guest can observe of a port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct PortState {
    /// The driver knows the port.
    ready: bool,
    /// Somebody in the guest has opened it.
    open: bool,
    /// Nobody is at the host's end. Outlives a reset: who is there does not depend on the guest.
    deserted: bool,
    /// The buffer for what comes next.
    buffer: Option<Chain>,
}

/// The controller.
#[derive(Debug)]
pub struct VirtioSerial {
    /// What is at each port.
    ports: Vec<Option<Port>>,
    emergency_write: bool,
    state: SerialState,
}

fn attach(board: &mut Board, properties: &Properties) -> Result<DeviceId, AttachError> {
    let count = properties.number("max_ports");
    if !(1..=MOST_PORTS as u64).contains(&count) {
        let reason = format!("max_ports={count} is out of range: expected 1 to {MOST_PORTS}");
        return Err(AttachError::Invalid { device: SPEC.name, reason });
    }
    let emergency_write = properties.flag("emergency-write");
    let ports = (0..count).map(|_| None).collect();
    let device = VirtioSerial { ports, emergency_write, state: SerialState::default() };
    let id = attach_pci(board, &SPEC, properties, device)?;
    let number = board.buses().iter().filter(|bus| bus.kind == BUS).count();
    let name = properties.id().map_or_else(|| format!("{BUS}.{number}"), |id| format!("{id}.0"));
    board.add_bus(&name, BUS, id, count as u32);
    Ok(id)
}

impl VirtioSerial {
    /// The port that a queue belongs to, and whether the queue is for bytes from the driver; control queues have none.
    fn port_of(queue: u16) -> Option<(usize, bool)> {
        let port = match queue {
            0 | 1 => 0,
            CONTROL_TO_DRIVER | CONTROL_FROM_DRIVER => return None,
            _ => usize::from(queue) / 2 - 1,
        };
        Some((port, queue % 2 == 1))
    }

    fn receive_queue(port: usize) -> u16 {
        if port == 0 { 0 } else { 2 * port as u16 + 2 }
    }

    fn transmit_queue(port: usize) -> u16 {
        Self::receive_queue(port) + 1
    }

    fn port(&self, number: usize) -> Option<&Port> {
        self.ports.get(number)?.as_ref()
    }

    /// Whether somebody is at the host's end of a port.
    fn is_host_there(&self, number: usize) -> bool {
        self.port(number).is_some_and(|port| match (port.kind, port.chardev) {
            (_, None) => false,
            (Kind::Console, Some(_)) => true,
            (Kind::Serial, Some(_)) => !self.state.ports[number].deserted,
        })
    }

    /// Whether somebody in the guest takes what comes to a port.
    fn is_open(&self, number: usize) -> bool {
        if self.state.multiport { self.state.ports[number].open } else { number == 0 }
    }

    /// Takes the bytes that the guest sends.
    fn transmit(&mut self, number: usize, io: &mut VirtioIo<'_, '_>) {
        let (queue, mut taken) = (Self::transmit_queue(number), 0);
        while taken < BUFFER_LIMIT
            && let Some(chain) = io.pop(queue)
        {
            let chardev = self.port(number).and_then(|port| port.chardev).filter(|_| self.is_host_there(number));
            if let Some(chardev) = chardev {
                let mut bytes = vec![0; chain.readable_len().min(BUFFER_LIMIT) as usize];
                chain.read(0, &mut bytes, io.ctx());
                taken += bytes.len() as u64;
                if !bytes.is_empty() {
                    io.ctx().output(Output::Bytes { chardev, bytes });
                }
            }
            io.push(&chain, 0);
        }
        if taken >= BUFFER_LIMIT {
            io.go_on_later(queue);
        }
    }

    /// Takes up the next buffer for what comes to a port.
    fn take_buffer(&mut self, number: usize, io: &mut VirtioIo<'_, '_>) {
        let Some(state) = self.state.ports.get_mut(number) else { return };
        while state.buffer.is_none() {
            let Some(chain) = io.pop(Self::receive_queue(number)) else { return };
            if chain.writable_len() == 0 {
                io.push(&chain, 0);
            } else {
                state.buffer = Some(chain);
            }
        }
    }

    fn receive(&mut self, number: usize, mut bytes: &[u8], io: &mut VirtioIo<'_, '_>) {
        while !bytes.is_empty() {
            let Some(chain) = self.state.ports.get_mut(number).and_then(|state| state.buffer.take()) else { return };
            let written = chain.write(0, bytes, io.ctx());
            io.push(&chain, written as u32);
            bytes = &bytes[written..];
            self.take_buffer(number, io);
        }
    }

    /// Sends the messages that the driver has buffers for, and takes those that there is room for the answers to.
    fn exchange_messages(&mut self, io: &mut VirtioIo<'_, '_>) {
        self.send_messages(io);
        while self.state.messages.len() <= MESSAGES_LIMIT - MOST_PORTS
            && let Some(chain) = io.pop(CONTROL_FROM_DRIVER)
        {
            if let Some(message) = Message::read(&chain, io) {
                self.obey(message, io);
            }
            io.push(&chain, 0);
            self.send_messages(io);
        }
    }

    fn send_messages(&mut self, io: &mut VirtioIo<'_, '_>) {
        while let Some(&message) = self.state.messages.front()
            && let Some(chain) = io.pop(CONTROL_TO_DRIVER)
        {
            let named = self.port(message.id as usize).filter(|_| message.event == event::PORT_NAME);
            let written = message.write(named.map_or("", |port| &port.name), &chain, io);
            io.push(&chain, written);
            self.state.messages.pop_front();
        }
    }

    fn obey(&mut self, message: Message, io: &mut VirtioIo<'_, '_>) {
        let (number, value) = (message.id as usize, message.value != 0);
        match message.event {
            event::DEVICE_READY if value => self.add_ports(),
            event::PORT_READY if value && self.port(number).is_some() => self.introduce(number),
            event::PORT_OPEN if self.port(number).is_some() => {
                self.state.ports[number].open = value;
                self.take_buffer(number, io);
            }
            _ => log::debug!(target: "guest_errors", "{}: {message:?} makes no sense", SPEC.name),
        }
    }

    fn add_ports(&mut self) {
        let numbers = (0..self.ports.len()).filter(|&number| self.port(number).is_some());
        let messages: Vec<_> = numbers.map(|number| Message::new(number, event::DEVICE_ADD, true)).collect();
        self.state.messages.extend(messages);
    }

    /// Says all there is about a port that the driver knows now.
    fn introduce(&mut self, number: usize) {
        self.state.ports[number].ready = true;
        let Some(port) = self.port(number) else { return };
        let all = [
            (event::CONSOLE_PORT, port.kind == Kind::Console),
            (event::PORT_NAME, !port.name.is_empty()),
            (event::PORT_OPEN, self.is_host_there(number)),
        ];
        let messages = all.into_iter().filter(|(_, is_so)| *is_so);
        self.state.messages.extend(messages.map(|(event, _)| Message::new(number, event, true)));
    }

    /// Somebody came to the host's end of a port, or left it.
    fn connect(&mut self, number: usize, connected: bool, io: &mut VirtioIo<'_, '_>) {
        let before = self.is_host_there(number);
        let Some(state) = self.state.ports.get_mut(number) else { return };
        state.deserted = !connected;
        let (is_ready, after) = (state.ready, self.is_host_there(number));
        if is_ready && before != after {
            // What the driver has not heard yet is no news any more.
            let is_news = |message: &Message| message.id as usize != number || message.event != event::PORT_OPEN;
            self.state.messages.retain(is_news);
            self.state.messages.push_back(Message::new(number, event::PORT_OPEN, after));
            self.send_messages(io);
        }
    }
}

impl VirtioDevice for VirtioSerial {
    type State = SerialState;

    fn identity(&self) -> VirtioIdentity {
        VirtioIdentity { device_type: 3, class: 0x07_8000, queues: &QUEUES[..2 * (self.ports.len() + 1)] }
    }

    fn features(&self) -> u64 {
        let multiport = if self.ports.len() > 1 { MULTIPORT } else { 0 };
        multiport | if self.emergency_write { EMERGENCY_WRITE } else { 0 }
    }

    /// `cols`, `rows`, `max_nr_ports`, `emerg_wr`.
    fn config(&self) -> Vec<u8> {
        let mut config = vec![0; 12];
        config[4..8].copy_from_slice(&(self.ports.len() as u32).to_le_bytes());
        config
    }

    fn write_config(&mut self, offset: u64, value: u8, io: &mut VirtioIo<'_, '_>) {
        let consoles = self.ports.iter().flatten().filter(|port| port.kind == Kind::Console);
        let chardev = consoles.filter_map(|port| port.chardev).next();
        if let Some(chardev) = chardev.filter(|_| offset == EMERG_WR && self.emergency_write) {
            io.ctx().output(Output::Bytes { chardev, bytes: vec![value] });
        }
    }

    fn notified(&mut self, queue: u16, io: &mut VirtioIo<'_, '_>) {
        self.state.multiport = io.features() & MULTIPORT != 0;
        match Self::port_of(queue) {
            Some((0, true)) => self.transmit(0, io),
            Some((0, false)) => self.take_buffer(0, io),
            _ if !self.state.multiport => {}
            Some((number, true)) => self.transmit(number, io),
            Some((number, false)) => self.take_buffer(number, io),
            None => self.exchange_messages(io),
        }
    }

    fn timer(&mut self, _slot: u32, _io: &mut VirtioIo<'_, '_>) {}

    fn input(&mut self, input: DeviceInput<'_>, io: &mut VirtioIo<'_, '_>) {
        match input {
            DeviceInput::Bytes { port, bytes } => self.receive(port as usize, bytes, io),
            DeviceInput::Connected { port, connected } => self.connect(port as usize, connected, io),
            DeviceInput::Frame(_)
            | DeviceInput::Answer { .. }
            | DeviceInput::Key(_)
            | DeviceInput::Pointer(_)
            | DeviceInput::PowerButton => {}
        }
    }

    fn input_room(&self, port: u32) -> usize {
        let number = port as usize;
        let buffer = self.state.ports.get(number).and_then(|state| state.buffer.as_ref());
        buffer.filter(|_| self.is_open(number)).map_or(0, |chain| chain.writable_len() as usize)
    }

    fn reset(&mut self) {
        for state in &mut self.state.ports {
            *state = PortState { deserted: state.deserted, ..PortState::default() };
        }
        (self.state.multiport, self.state.messages) = (false, VecDeque::new());
    }

    fn state(&self) -> &SerialState {
        &self.state
    }

    fn state_mut(&mut self) -> &mut SerialState {
        &mut self.state
    }
}

/// The controller that `id` is.
fn controller(board: &mut Board, id: DeviceId) -> &mut VirtioSerial {
    let device: Option<&mut VirtioPci<VirtioSerial>> = board.device_mut(id);
    device.expect("only this controller adds such a bus").device_mut()
}
