//! `q35-pcihost`: the root complex, where the CPU's accesses become configuration accesses.
//!
//! * PCI Local Bus Specification 3.0, 3.2.2.3.2 Software Generation of Configuration Transactions: CONFIG_ADDRESS and
//!   CONFIG_DATA at ports 0xcf8 and 0xcfc.
//! * PCI Express Base Specification 3.0, 7.2.2 PCI Express Enhanced Configuration Access Mechanism: ECAM.
//! * ICH9 datasheet, 13.7.5 RST_CNT - Reset Control Register: port 0xcf9, which hardware decodes in the south bridge and
//!   which is here because it lies among the ports of CONFIG_ADDRESS.
//!
//! Not modelled: moving ECAM (PCIEXBAR is read-only), and the difference between RST_CNT's kinds of reset.

use super::{BUS, BUS_NAME, ECAM_BASE, ECAM_SIZE};
use reprise_core::board::{Board, DeviceId, Region, Space};
use reprise_core::clock::Tick;
use reprise_core::device::{Context, Device, DeviceInput, Width};
use reprise_core::output::PowerEvent;
use reprise_core::property::{AttachError, Category, DeviceSpec, Properties};
use reprise_core::state::{StateError, decode, encode};
use serde::{Deserialize, Serialize};

const ADDRESS: u32 = 0;
const DATA: u32 = 1;
const ECAM: u32 = 2;

/// Slots whose devices are fixed on the board.
const FIXED: [(u32, &str); 2] = [(0, "the host bridge"), (0x1f, "the south bridge")];

/// CONFIG_ADDRESS: configuration accesses are enabled.
const ENABLE: u32 = 1 << 31;
/// CONFIG_ADDRESS: bits that exist.
const ADDRESS_BITS: u32 = 0x80ff_fffc;
/// RST_CNT: resets the CPU when it is set.
const RST_CPU: u8 = 1 << 2;
/// RST_CNT: bits that keep what is written.
const RST_STORED: u8 = 0x0a;

/// The declaration of the device.
pub const SPEC: DeviceSpec = DeviceSpec {
    name: "q35-pcihost",
    category: Category::Bridge,
    bus: "",
    description: "PCI Express root complex with ports 0xcf8 to 0xcff and ECAM",
    user_creatable: false,
    properties: &[],
    attach,
};

/// Everything that the guest can observe of the root complex.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootState {
    config_address: u32,
    rst_cnt: u8,
}

/// The root complex.
#[derive(Debug, Default)]
pub struct Root {
    state: RootState,
}

fn attach(board: &mut Board, _: &Properties) -> Result<DeviceId, AttachError> {
    let id = board.add_device(SPEC.name, Box::<Root>::default());
    let ecam = Region { space: Space::Memory, ..Region::ports(ECAM, ECAM_BASE..ECAM_BASE + ECAM_SIZE) };
    for region in [Region::ports(ADDRESS, 0xcf8..0xcfc), Region::ports(DATA, 0xcfc..0xd00), ecam] {
        board.map(id, region.widths(1, 4)).map_err(|source| AttachError::Map { device: SPEC.name, source })?;
    }
    board.add_bus(BUS_NAME, BUS, id, 32);
    for (slot, device) in FIXED {
        board
            .plug(BUS, None, Some(slot), 0, device)
            .map_err(|source| AttachError::Plug { device: SPEC.name, source })?;
    }
    Ok(id)
}

impl RootState {
    /// The address in configuration space that CONFIG_DATA's byte `offset` leads to.
    fn target(&self, offset: u64) -> Option<u64> {
        let address = u64::from(self.config_address);
        (self.config_address & ENABLE != 0).then_some((address & 0xff_ff00) << 4 | address & 0xfc | offset & 3)
    }

    /// CONFIG_ADDRESS is there for accesses of four bytes only; byte 1 alone is RST_CNT.
    fn read_address(&self, offset: u64, width: Width) -> u64 {
        match (offset, width) {
            (0, Width::Dword) => u64::from(self.config_address),
            (1, Width::Byte) => u64::from(self.rst_cnt),
            _ => width.mask(),
        }
    }
}

impl Device for Root {
    fn read(&mut self, region: u32, offset: u64, width: Width, ctx: &mut Context<'_>) -> u64 {
        match region {
            ADDRESS => self.state.read_address(offset, width),
            DATA => self.state.target(offset).map_or(width.mask(), |address| ctx.config_read(address, width)),
            _ => ctx.config_read(offset, width),
        }
    }

    fn write(&mut self, region: u32, offset: u64, width: Width, value: u64, ctx: &mut Context<'_>) {
        match (region, offset, width) {
            (ADDRESS, 0, Width::Dword) => self.state.config_address = value as u32 & ADDRESS_BITS,
            (ADDRESS, 1, Width::Byte) => self.write_rst_cnt(value as u8, ctx),
            (ADDRESS, ..) => {}
            (DATA, ..) => {
                if let Some(address) = self.state.target(offset) {
                    ctx.config_write(address, width, value);
                }
            }
            _ => ctx.config_write(offset, width, value),
        }
    }

    /// A debugger sees nothing behind CONFIG_DATA and ECAM: other devices cannot be asked without a context.
    fn peek(&self, region: u32, offset: u64, width: Width, _now: Tick) -> u64 {
        if region == ADDRESS { self.state.read_address(offset, width) } else { width.mask() }
    }

    fn timer(&mut self, _slot: u32, _ctx: &mut Context<'_>) {}

    fn line(&mut self, _pin: u32, _level: bool, _ctx: &mut Context<'_>) {}

    fn input(&mut self, _input: DeviceInput<'_>, _ctx: &mut Context<'_>) {}

    fn input_room(&self, _port: u32) -> usize {
        0
    }

    fn reset(&mut self, _ctx: &mut Context<'_>) {
        self.state = RootState::default();
    }

    fn save(&self) -> Vec<u8> {
        encode(&self.state)
    }

    fn load(&mut self, state: &[u8]) -> Result<(), StateError> {
        self.state = decode(SPEC.name, state)?;
        Ok(())
    }
}

impl Root {
    fn write_rst_cnt(&mut self, value: u8, ctx: &mut Context<'_>) {
        if value & RST_CPU != 0 {
            ctx.power(PowerEvent::Reset);
        }
        self.state.rst_cnt = value & RST_STORED;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pci::mch;

    fn board() -> Board {
        let mut board = Board::new(1 << 20, 1).unwrap();
        for spec in [&SPEC, &mch::SPEC] {
            (spec.attach)(&mut board, &Properties::new(spec, &[]).unwrap()).unwrap();
        }
        board
    }

    #[test]
    fn both_mechanisms_lead_to_the_same_register() {
        let mut board = board();
        board.write(Space::Port, 0xcf8, 4, 0x8000_0000);
        assert_eq!(board.read(Space::Port, 0xcfc, 4), 0x29c0_8086);
        assert_eq!(board.read(Space::Port, 0xcfe, 2), 0x29c0);
        assert_eq!(board.read(Space::Memory, ECAM_BASE, 4), 0x29c0_8086);
        board.write(Space::Port, 0xcf8, 4, 0x8000_0090);
        board.write(Space::Port, 0xcfd, 1, 0x33);
        assert_eq!(board.read(Space::Memory, ECAM_BASE + 0x91, 1), 0x33);
    }

    #[test]
    fn functions_that_are_not_there_read_as_ones() {
        let mut board = board();
        board.write(Space::Port, 0xcf8, 4, 0x8001_0800);
        assert_eq!(board.read(Space::Port, 0xcfc, 4), 0xffff_ffff);
        board.write(Space::Port, 0xcf8, 4, 0);
        assert_eq!(board.read(Space::Port, 0xcfc, 4), 0xffff_ffff);
        assert_eq!(board.read(Space::Memory, ECAM_BASE + ECAM_SIZE - 4, 4), 0xffff_ffff);
    }

    #[test]
    fn only_dwords_reach_config_address() {
        let mut board = board();
        board.write(Space::Port, 0xcf8, 4, 0xffff_ffff);
        assert_eq!(board.read(Space::Port, 0xcf8, 4), u64::from(ADDRESS_BITS));
        board.write(Space::Port, 0xcfb, 1, 0);
        board.write(Space::Port, 0xcf8, 2, 0);
        assert_eq!(board.read(Space::Port, 0xcf8, 4), u64::from(ADDRESS_BITS));
    }

    #[test]
    fn reset_control_resets_on_bit_two_only() {
        let mut board = board();
        board.write(Space::Port, 0xcf9, 1, 2);
        assert_eq!(board.read(Space::Port, 0xcf9, 1), 2);
        assert_eq!(board.take_power(), None);
        board.write(Space::Port, 0xcf9, 1, 6);
        assert_eq!(board.take_power(), Some(PowerEvent::Reset));
    }
}
