//! The debug exit port of test kernels: writing `value` ends the run with the exit status `value << 1 | 1`.
//!
//! Document: QEMU, hw/misc/debugexit.c, which has no other. The port reads as zero.

use super::{BUS, map, port_range};
use reprise_core::board::{Board, DeviceId, Region};
use reprise_core::clock::Tick;
use reprise_core::device::{Context, Device, DeviceInput, Width};
use reprise_core::output::PowerEvent;
use reprise_core::property::{AttachError, Category, DeviceSpec, Properties, PropertyKind, PropertySpec};
use reprise_core::state::{StateError, decode, encode};

/// What it is.
pub const SPEC: DeviceSpec = DeviceSpec {
    name: "isa-debug-exit",
    category: Category::Misc,
    bus: BUS,
    description: "Port through which a test kernel ends the run",
    user_creatable: true,
    properties: &[
        PropertySpec {
            name: "iobase",
            kind: PropertyKind::Number(0xffff),
            default: "0x501",
            description: "First I/O port",
        },
        PropertySpec {
            name: "iosize",
            kind: PropertyKind::Number(0x1_0000),
            default: "2",
            description: "Number of I/O ports",
        },
    ],
    attach,
};

fn attach(board: &mut Board, properties: &Properties) -> Result<DeviceId, AttachError> {
    let range = port_range(SPEC.name, properties.number("iobase"), properties.number("iosize"))?;
    let id = board.add_device(SPEC.name, Box::new(IsaDebugExit));
    map(board, SPEC.name, id, Region::ports(0, range).widths(1, 4))?;
    Ok(id)
}

/// The port. It remembers nothing.
pub struct IsaDebugExit;

impl Device for IsaDebugExit {
    fn read(&mut self, region: u32, offset: u64, width: Width, ctx: &mut Context<'_>) -> u64 {
        self.peek(region, offset, width, ctx.now())
    }

    fn write(&mut self, _region: u32, _offset: u64, _width: Width, value: u64, ctx: &mut Context<'_>) {
        ctx.power(PowerEvent::DebugExit((value << 1 | 1) as u8));
    }

    fn peek(&self, _region: u32, _offset: u64, _width: Width, _now: Tick) -> u64 {
        0
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

    fn board(given: &[(String, String)]) -> Result<Board, AttachError> {
        let mut board = Board::new(1 << 20, 1).unwrap();
        attach(&mut board, &Properties::new(&SPEC, given).unwrap())?;
        Ok(board)
    }

    #[test]
    fn the_exit_status_is_odd() {
        let mut board = board(&[]).unwrap();
        assert_eq!(board.read(Space::Port, 0x501, 1), 0);
        for (value, status) in [(0, 1), (0x10, 0x21), (0x80, 1)] {
            board.write(Space::Port, 0x501, 1, value);
            assert_eq!(board.take_power(), Some(PowerEvent::DebugExit(status)));
        }
    }

    #[test]
    fn a_wide_write_is_one_exit() {
        let mut board = board(&[("iobase".into(), "0xf4".into()), ("iosize".into(), "4".into())]).unwrap();
        board.write(Space::Port, 0xf4, 4, 0x1234_5603);
        assert_eq!(board.take_power(), Some(PowerEvent::DebugExit(7)));
    }

    #[test]
    fn ports_that_do_not_exist_are_refused() {
        for (base, size) in [("0xffff", "2"), ("0x501", "0")] {
            assert!(board(&[("iobase".into(), base.into()), ("iosize".into(), size.into())]).is_err());
        }
    }
}
