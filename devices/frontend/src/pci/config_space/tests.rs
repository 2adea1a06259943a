use super::*;
use crate::pci::{BarKind, CAP_ID_MSI, CAP_ID_POWER_MANAGEMENT, Identity};
use reprise_core::board::{Board, DeviceId, LineId, Space};
use reprise_core::clock::Tick;
use reprise_core::device::{Device, DeviceInput};
use reprise_core::state::{StateError, decode, encode};

const CONFIG: u32 = 9;

/// A function with a BAR of each kind; its regions answer with their number.
struct Probe {
    layout: Layout,
    config: ConfigSpace,
}

impl Device for Probe {
    fn read(&mut self, region: u32, offset: u64, width: Width, _: &mut Context<'_>) -> u64 {
        if region == CONFIG { self.config.read(offset, width) } else { u64::from(region) }
    }
    fn write(&mut self, region: u32, offset: u64, width: Width, value: u64, ctx: &mut Context<'_>) {
        match region {
            CONFIG => self.config.write(&self.layout, offset, width, value, ctx),
            _ => self.config.set_interrupt(&self.layout, value != 0, ctx),
        }
    }
    fn peek(&self, _: u32, offset: u64, width: Width, _: Tick) -> u64 {
        self.config.read(offset, width)
    }
    fn timer(&mut self, _: u32, _: &mut Context<'_>) {}
    fn line(&mut self, _: u32, _: bool, _: &mut Context<'_>) {}
    fn input(&mut self, _: DeviceInput<'_>, _: &mut Context<'_>) {}
    fn input_room(&self, _port: u32) -> usize {
        0
    }
    fn reset(&mut self, ctx: &mut Context<'_>) {
        self.config.reset(&self.layout, ctx);
    }
    fn save(&self) -> Vec<u8> {
        encode(&self.config)
    }
    fn load(&mut self, state: &[u8]) -> Result<(), StateError> {
        self.config = decode("probe", state)?;
        Ok(())
    }
}

const IDENTITY: Identity =
    Identity { vendor: 0x1234, device: 0x5678, revision: 9, class: 0x0c_0330, subsystem: (1, 2) };

fn bar(kind: BarKind, size: u64, region: u32) -> Bar {
    Bar { kind, size, region, narrowest: 1, widest: 4 }
}

fn board() -> (Board, DeviceId) {
    let mut board = Board::new(1 << 20, 1).unwrap();
    let pin = board.connect_output(LineId::gsi(16));
    let mut layout = Layout::endpoint(IDENTITY)
        .bar(0, bar(BarKind::Memory32, 0x1000, 1))
        .bar(1, bar(BarKind::Io, 0x20, 2))
        .bar(2, bar(BarKind::Prefetchable64, 1 << 33, 3))
        .interrupt_pin(1, pin);
    layout.capability(CAP_ID_POWER_MANAGEMENT, &[3, 0, 0, 0, 0, 0], &[0, 0, 3, 0, 0, 0]);
    layout.capability(CAP_ID_MSI, &[0x80, 0, 0, 0, 0, 0], &[1, 0, 0xfc, 0xff, 0xff, 0xff]);
    let config = layout.power_on();
    let id = board.add_device("probe", Box::new(Probe { layout, config }));
    board.map(id, Region::config(CONFIG, 2, 0)).unwrap();
    (board, id)
}

fn read(board: &mut Board, offset: u64, size: usize) -> u64 {
    board.read(Space::PciConfig, 2 << 15 | offset, size)
}

fn write(board: &mut Board, offset: u64, size: usize, value: u64) {
    board.write(Space::PciConfig, 2 << 15 | offset, size, value);
}

#[test]
fn identity_is_read_only() {
    let (mut board, _) = board();
    write(&mut board, 0, 4, 0xffff_ffff);
    write(&mut board, 8, 4, 0xffff_ffff);
    assert_eq!(read(&mut board, 0, 4), 0x5678_1234);
    assert_eq!(read(&mut board, 8, 4), 0x0c03_3009);
    assert_eq!(read(&mut board, 0x2c, 4), 0x0002_0001);
}

#[test]
fn sizing_shows_size_and_kind() {
    let (mut board, _) = board();
    for offset in [0x10, 0x14, 0x18, 0x1c, 0x20] {
        write(&mut board, offset, 4, 0xffff_ffff);
    }
    assert_eq!(read(&mut board, 0x10, 4), 0xffff_f000);
    assert_eq!(read(&mut board, 0x14, 4), 0xffff_ffe1);
    assert_eq!(read(&mut board, 0x18, 4), 0x0000_000c);
    assert_eq!(read(&mut board, 0x1c, 4), 0xffff_fffe);
    assert_eq!(read(&mut board, 0x20, 4), 0);
}

#[test]
fn regions_decode_where_and_when_they_are_enabled() {
    let (mut board, _) = board();
    write(&mut board, 0x10, 4, 0xc000_0000);
    write(&mut board, 0x14, 4, 0xc041);
    write(&mut board, 0x1c, 4, 0x10);
    assert_eq!(board.read(Space::Memory, 0xc000_0000, 4), 0xffff_ffff);
    write(&mut board, 0x04, 2, 3);
    assert_eq!(board.read(Space::Memory, 0xc000_0ffc, 4), 1);
    assert_eq!(board.read(Space::Port, 0xc05c, 4), 2);
    assert_eq!(board.read(Space::Memory, 0x10_0000_0000, 4), 3);
    write(&mut board, 0x10, 4, 0xffff_ffff);
    assert_eq!(board.read(Space::Memory, 0xffff_fff0, 4), 0xffff_ffff, "a register being sized decodes nothing");
    write(&mut board, 0x10, 4, 0xd000_0000);
    assert_eq!(board.read(Space::Memory, 0xd000_0000, 4), 1);
    write(&mut board, 0x04, 2, 1);
    assert_eq!(board.read(Space::Memory, 0xd000_0000, 4), 0xffff_ffff);
    assert_eq!(board.read(Space::Port, 0xc05c, 4), 2);
}

#[test]
fn reset_takes_regions_away_and_saved_state_keeps_them() {
    let (mut board, _) = board();
    write(&mut board, 0x10, 4, 0xc000_0000);
    write(&mut board, 0x04, 2, 2);
    let saved = board.save();
    board.reset_devices();
    assert_eq!(board.read(Space::Memory, 0xc000_0000, 4), 0xffff_ffff);
    board.load(&saved).unwrap();
    assert_eq!(board.read(Space::Memory, 0xc000_0000, 4), 1);
    write(&mut board, 0x04, 2, 0);
    assert_eq!(board.read(Space::Memory, 0xc000_0000, 4), 0xffff_ffff);
}

#[test]
fn an_overlap_is_survived() {
    let (mut board, _) = board();
    let other = board.add_device("other", Box::new(Probe { layout: Layout::bridge(IDENTITY), config: board_config() }));
    board.map(other, Region::registers(7, 0xc000_0800..0xc000_0900)).unwrap();
    write(&mut board, 0x10, 4, 0xc000_0000);
    write(&mut board, 0x04, 2, 2);
    assert_eq!(board.read(Space::Memory, 0xc000_0000, 4), 0xffff_ffff);
    assert_eq!(board.read(Space::Memory, 0xc000_0800, 4), 7);
}

fn board_config() -> ConfigSpace {
    Layout::bridge(IDENTITY).power_on()
}

#[test]
fn capabilities_form_a_list() {
    let (mut board, _) = board();
    assert_eq!(read(&mut board, 6, 2) & 0x10, 0x10);
    let first = read(&mut board, 0x34, 1);
    assert_eq!(read(&mut board, first, 1), u64::from(CAP_ID_POWER_MANAGEMENT));
    let second = read(&mut board, first + 1, 1);
    assert_eq!(read(&mut board, second, 1), u64::from(CAP_ID_MSI));
    assert_eq!(read(&mut board, second + 1, 1), 0);
    write(&mut board, first + 4, 4, 0xffff_ffff);
    assert_eq!(read(&mut board, first + 4, 4), 3);
}

#[test]
fn the_interrupt_pin_obeys_the_disable_bit() {
    let (mut board, _) = board();
    write(&mut board, 0x10, 4, 0xc000_0000);
    write(&mut board, 0x04, 2, 2);
    board.write(Space::Memory, 0xc000_0000, 4, 1);
    assert!(board.line_level(LineId::gsi(16)));
    assert_eq!(read(&mut board, 6, 2) & 8, 8);
    write(&mut board, 0x04, 2, 0x402);
    assert!(!board.line_level(LineId::gsi(16)));
    write(&mut board, 0x04, 2, 0x002);
    assert!(board.line_level(LineId::gsi(16)));
    board.reset_devices();
    assert!(!board.line_level(LineId::gsi(16)));
}

#[test]
fn errors_are_cleared_by_ones() {
    let layout = Layout::endpoint(IDENTITY);
    let mut config = layout.power_on();
    config.set_word(0x06, 0xf900);
    assert_eq!(layout.written(7, config.byte(7), 0x80), 0x79);
    assert_eq!(layout.written(7, config.byte(7), 0xff), 0);
}

#[test]
fn bridges_have_bus_numbers_and_windows() {
    let layout = Layout::bridge(IDENTITY).multi_function();
    let config = layout.power_on();
    assert_eq!(config.byte(0x0e), 0x81);
    let written = |at: usize| layout.written(at, config.byte(at as u16), 0xff);
    assert_eq!([0x18, 0x19, 0x1a].map(written), [0xff; 3]);
    assert_eq!([0x20, 0x21, 0x24, 0x25].map(written), [0xf0, 0xff, 0xf1, 0xff]);
}

#[test]
fn state_that_is_too_long_is_refused() {
    let long = encode(&vec![1u8; 4097]);
    assert!(decode::<ConfigSpace>("probe", &long).is_err());
    assert_eq!(decode::<ConfigSpace>("probe", &encode(&vec![7u8])).unwrap().byte(0), 7);
}
