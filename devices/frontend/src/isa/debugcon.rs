//! The debug console: a port whose bytes go straight to a character device, as the Bochs emulator began it.
//!
//! Document: QEMU, hw/char/debugcon.c, which has no other. Reading gives a fixed byte by which a guest knows that the port
//! is there. The character device's input goes nowhere.

use super::{BUS, CHARDEV, chardev, map, port_range};
use reprise_core::backend::ChardevId;
use reprise_core::board::{Board, DeviceId, Region};
use reprise_core::clock::Tick;
use reprise_core::device::{Context, Device, DeviceInput, Width};
use reprise_core::output::Output;
use reprise_core::property::{AttachError, Category, DeviceSpec, Properties, PropertyKind, PropertySpec};
use reprise_core::state::{StateError, decode, encode};

/// What it is.
pub const SPEC: DeviceSpec = DeviceSpec {
    name: "isa-debugcon",
    category: Category::Misc,
    bus: BUS,
    description: "Debug console at a port",
    user_creatable: true,
    properties: &[
        PropertySpec { name: "iobase", kind: PropertyKind::Number(0xffff), default: "0xe9", description: "I/O port" },
        PropertySpec {
            name: "readback",
            kind: PropertyKind::Number(0xff),
            default: "0xe9",
            description: "Byte that the port reads as",
        },
        CHARDEV,
    ],
    attach,
};

fn attach(board: &mut Board, properties: &Properties) -> Result<DeviceId, AttachError> {
    let range = port_range(SPEC.name, properties.number("iobase"), 1)?;
    let device = Debugcon::new(properties.number("readback") as u8, chardev(properties));
    let id = board.add_device(SPEC.name, Box::new(device));
    map(board, SPEC.name, id, Region::ports(0, range))?;
    Ok(id)
}

/// The console. It remembers nothing.
pub struct Debugcon {
    readback: u8,
    chardev: Option<ChardevId>,
}

impl Debugcon {
    /// A console on `chardev` that reads as `readback`.
    pub fn new(readback: u8, chardev: Option<ChardevId>) -> Self {
        Self { readback, chardev }
    }
}

impl Device for Debugcon {
    fn read(&mut self, region: u32, offset: u64, width: Width, ctx: &mut Context<'_>) -> u64 {
        self.peek(region, offset, width, ctx.now())
    }

    fn write(&mut self, _region: u32, _offset: u64, _width: Width, value: u64, ctx: &mut Context<'_>) {
        if let Some(chardev) = self.chardev {
            ctx.output(Output::Bytes { chardev, bytes: vec![value as u8] });
        }
    }

    fn peek(&self, _region: u32, _offset: u64, _width: Width, _now: Tick) -> u64 {
        u64::from(self.readback)
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

    #[test]
    fn bytes_go_to_the_character_device() {
        let mut board = Board::new(1 << 20, 1).unwrap();
        attach(&mut board, &Properties::new(&SPEC, &[("chardev".into(), "3".into())]).unwrap()).unwrap();
        assert_eq!(board.read(Space::Port, 0xe9, 1), 0xe9);
        board.write(Space::Port, 0xe9, 1, 0x41);
        assert_eq!(board.outputs, [Output::Bytes { chardev: ChardevId(3), bytes: vec![0x41] }]);
    }

    #[test]
    fn without_one_bytes_are_lost() {
        let mut board = Board::new(1 << 20, 1).unwrap();
        attach(&mut board, &Properties::new(&SPEC, &[]).unwrap()).unwrap();
        board.write(Space::Port, 0xe9, 1, 0x41);
        assert_eq!(board.outputs, []);
    }
}
