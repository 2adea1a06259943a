//! Port 92h: the fast reset and the fast A20 gate of the PS/2, which chipsets kept.
//!
//! Intel I/O Controller Hub 9 (ICH9) Family datasheet (316972), 13.7.3 "PORT92 - Fast A20 and Init Register". As in QEMU
//! the whole machine is reset, not the processors alone. Not modelled: masking A20, which is always open whatever the
//! register says.

use super::{BUS, map};
use reprise_core::board::{Board, DeviceId, Region};
use reprise_core::clock::Tick;
use reprise_core::device::{Context, Device, DeviceInput, Width};
use reprise_core::output::PowerEvent;
use reprise_core::property::{AttachError, Category, DeviceSpec, Properties};
use reprise_core::state::{StateError, decode, encode};
use serde::{Deserialize, Serialize};

const PORT: u64 = 0x92;
/// A change from 0 to 1 resets.
const INIT_NOW: u8 = 1 << 0;
const ALT_A20_GATE: u8 = 1 << 1;

/// What it is.
pub const SPEC: DeviceSpec = DeviceSpec {
    name: "port92",
    category: Category::Misc,
    bus: BUS,
    description: "Port for fast reset and the A20 gate",
    user_creatable: false,
    properties: &[],
    attach,
};

fn attach(board: &mut Board, _: &Properties) -> Result<DeviceId, AttachError> {
    let id = board.add_device(SPEC.name, Box::new(Port92::default()));
    map(board, SPEC.name, id, Region::ports(0, PORT..PORT + 1))?;
    Ok(id)
}

/// Everything that the guest can observe of the port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port92State {
    /// PORT92: the bits that are no reserved ones.
    port92: u8,
}

/// The port.
#[derive(Debug, Default)]
pub struct Port92 {
    state: Port92State,
}

impl Device for Port92 {
    fn read(&mut self, region: u32, offset: u64, width: Width, ctx: &mut Context<'_>) -> u64 {
        self.peek(region, offset, width, ctx.now())
    }

    fn write(&mut self, _region: u32, _offset: u64, _width: Width, value: u64, ctx: &mut Context<'_>) {
        let rising = value as u8 & !self.state.port92;
        self.state.port92 = value as u8 & (INIT_NOW | ALT_A20_GATE);
        if rising & INIT_NOW != 0 {
            ctx.power(PowerEvent::Reset);
        }
    }

    fn peek(&self, _region: u32, _offset: u64, _width: Width, _now: Tick) -> u64 {
        u64::from(self.state.port92)
    }

    fn timer(&mut self, _slot: u32, _ctx: &mut Context<'_>) {}

    fn line(&mut self, _pin: u32, _level: bool, _ctx: &mut Context<'_>) {}

    fn input(&mut self, _input: DeviceInput<'_>, _ctx: &mut Context<'_>) {}

    fn input_room(&self, _port: u32) -> usize {
        0
    }

    fn reset(&mut self, _ctx: &mut Context<'_>) {
        self.state = Port92State::default();
    }

    fn save(&self) -> Vec<u8> {
        encode(&self.state)
    }

    fn load(&mut self, state: &[u8]) -> Result<(), StateError> {
        self.state = decode(SPEC.name, state)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reprise_core::board::Space;

    fn board() -> Board {
        let mut board = Board::new(1 << 20, 1).unwrap();
        attach(&mut board, &Properties::new(&SPEC, &[]).unwrap()).unwrap();
        board
    }

    #[test]
    fn only_a_rising_edge_resets() {
        let mut board = board();
        for (value, expected) in
            [(2, None), (3, Some(PowerEvent::Reset)), (1, None), (0, None), (1, Some(PowerEvent::Reset))]
        {
            board.write(Space::Port, PORT, 1, value);
            assert_eq!(board.take_power(), expected, "after {value}");
        }
    }

    #[test]
    fn reserved_bits_read_as_zero_and_a_reset_clears_the_others() {
        let mut board = board();
        board.write(Space::Port, PORT, 1, 0xfe);
        assert_eq!(board.read(Space::Port, PORT, 1), u64::from(ALT_A20_GATE));
        board.reset_devices();
        assert_eq!(board.read(Space::Port, PORT, 1), 0);
    }
}
