//! The pvpanic port, through which a guest's kernel reports that it panicked.
//!
//! Document: QEMU, docs/specs/pvpanic: "PVPANIC device", ISA interface. Reading tells which events the port takes, and
//! writing reports them. A crash that the guest goes on to handle itself (crash-loaded) is logged and nothing more. The
//! third event, a shutdown that the guest announces, is not taken.

use super::{BUS, map, port_range};
use reprise_core::board::{Board, DeviceId, Region};
use reprise_core::clock::Tick;
use reprise_core::device::{Context, Device, DeviceInput, Width};
use reprise_core::output::PowerEvent;
use reprise_core::property::{AttachError, Category, DeviceSpec, Properties, PropertyKind, PropertySpec};
use reprise_core::state::{StateError, decode, encode};

const PANICKED: u8 = 1 << 0;
const CRASH_LOADED: u8 = 1 << 1;

/// What it is.
pub const SPEC: DeviceSpec = DeviceSpec {
    name: "pvpanic",
    category: Category::Misc,
    bus: BUS,
    description: "Port through which a guest reports its panic",
    user_creatable: true,
    properties: &[
        PropertySpec { name: "ioport", kind: PropertyKind::Number(0xffff), default: "0x505", description: "I/O port" },
        PropertySpec {
            name: "events",
            kind: PropertyKind::Number((PANICKED | CRASH_LOADED) as u64),
            default: "3",
            description: "Events that the guest may report: 1 for a panic, 2 for a crash that it handles itself",
        },
    ],
    attach,
};

fn attach(board: &mut Board, properties: &Properties) -> Result<DeviceId, AttachError> {
    let range = port_range(SPEC.name, properties.number("ioport"), 1)?;
    let id = board.add_device(SPEC.name, Box::new(Pvpanic::new(properties.number("events") as u8)));
    map(board, SPEC.name, id, Region::ports(0, range))?;
    Ok(id)
}

/// The port. It remembers nothing.
pub struct Pvpanic {
    events: u8,
}

impl Pvpanic {
    /// A port that takes `events`.
    pub fn new(events: u8) -> Self {
        Self { events }
    }
}

impl Device for Pvpanic {
    fn read(&mut self, region: u32, offset: u64, width: Width, ctx: &mut Context<'_>) -> u64 {
        self.peek(region, offset, width, ctx.now())
    }

    fn write(&mut self, _region: u32, _offset: u64, _width: Width, value: u64, ctx: &mut Context<'_>) {
        let reported = value as u8 & self.events;
        if reported & PANICKED != 0 {
            ctx.power(PowerEvent::Panicked);
        } else if reported & CRASH_LOADED != 0 {
            log::info!("the guest's kernel crashed, and handles that itself");
        } else {
            log::debug!(target: "guest_errors", "pvpanic: event {value:#04x} is not taken");
        }
    }

    fn peek(&self, _region: u32, _offset: u64, _width: Width, _now: Tick) -> u64 {
        u64::from(self.events)
    }

    fn timer(&mut self, _slot: u32, _ctx: &mut Context<'_>) {}

    fn line(&mut self, _pin: u32, _level: bool, _ctx: &mut Context<'_>) {}

    fn input(&mut self, _input: DeviceInput<'_>, _ctx: &mut Context<'_>) {}

    fn input_room(&self, _port: u32) -> usize {
        0
    }

    fn reset(&mut self, _ctx: &mut Context<'_>) {}

    fn save(&self) -> Vec<u8> {
        encode(&())
    }

    fn load(&mut self, state: &[u8]) -> Result<(), StateError> {
        decode(SPEC.name, state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reprise_core::board::Space;

    fn board(events: &str) -> Board {
        let mut board = Board::new(1 << 20, 1).unwrap();
        let properties = Properties::new(&SPEC, &[("events".into(), events.into())]).unwrap();
        attach(&mut board, &properties).unwrap();
        board
    }

    #[test]
    fn a_panic_is_reported_and_a_handled_crash_is_not() {
        let mut board = board("3");
        assert_eq!(board.read(Space::Port, 0x505, 1), 3);
        board.write(Space::Port, 0x505, 1, 2);
        assert_eq!(board.take_power(), None);
        board.write(Space::Port, 0x505, 1, 1);
        assert_eq!(board.take_power(), Some(PowerEvent::Panicked));
    }

    #[test]
    fn events_that_are_switched_off_do_nothing() {
        let mut board = board("2");
        assert_eq!(board.read(Space::Port, 0x505, 1), 2);
        board.write(Space::Port, 0x505, 1, 1);
        assert_eq!(board.take_power(), None);
    }
}
