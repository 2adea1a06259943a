use super::*;
use crate::state::{StateError, decode, encode};

/// Answers reads with the offset in each byte, and keeps the last write and line.
#[derive(Default)]
struct Probe {
    last: Vec<(u64, u64, u64)>,
    lines: Vec<bool>,
    level: u8,
}

impl Device for Probe {
    fn read(&mut self, _: u32, offset: u64, width: Width, _: &mut Context<'_>) -> u64 {
        (0..width.bytes()).fold(0, |value, byte| value | ((offset + byte) & 0xff) << (8 * byte))
    }
    fn write(&mut self, _: u32, offset: u64, width: Width, value: u64, _: &mut Context<'_>) {
        self.last.push((offset, width.bytes(), value));
        self.level = value as u8;
    }
    fn peek(&self, _: u32, _: u64, _: Width, _: Tick) -> u64 {
        u64::from(self.level)
    }
    fn timer(&mut self, _: u32, _: &mut Context<'_>) {}
    fn line(&mut self, _: u32, level: bool, _: &mut Context<'_>) {
        self.lines.push(level);
    }
    fn input(&mut self, _: DeviceInput<'_>, _: &mut Context<'_>) {}
    fn input_room(&self, _port: u32) -> usize {
        0
    }
    fn reset(&mut self, _: &mut Context<'_>) {
        self.level = 0;
    }
    fn save(&self) -> Vec<u8> {
        encode(&self.level)
    }
    fn load(&mut self, state: &[u8]) -> Result<(), StateError> {
        self.level = decode("probe", state)?;
        Ok(())
    }
}

fn board_with(region: Region) -> (Board, DeviceId) {
    let mut board = Board::new(1 << 20, 1).unwrap();
    let id = board.add_device("probe", Box::new(Probe::default()));
    board.map(id, region).unwrap();
    (board, id)
}

#[test]
fn wide_accesses_to_byte_ports_are_split_and_holes_read_as_ones() {
    let (mut board, _) = board_with(Region::ports(0, 0x10..0x12));
    assert_eq!(board.read(Space::Port, 0x10, 4), 0xffff_0100);
    assert_eq!(board.read(Space::Port, 0xf, 2), 0x00ff);
}

#[test]
fn narrow_accesses_to_wide_registers_get_their_part() {
    let (mut board, _) = board_with(Region::registers(0, 0xfed0_0000..0xfed0_1000));
    assert_eq!(board.read(Space::Memory, 0xfed0_0006, 1), 0x06);
    assert_eq!(board.read(Space::Memory, 0xfed0_0004, 8), 0x0b0a_0908_0706_0504);
    assert_eq!(board.read(Space::Memory, 0xfed0_0ffe, 4), 0xffff_fffe_u64, "the end of the region, then nobody");
}

#[test]
fn a_line_is_high_while_any_output_is() {
    let (mut board, id) = board_with(Region::ports(0, 0..1));
    board.connect_sink(LineId::gsi(5), Sink::Device(id, 0));
    let (a, b) = (board.connect_output(LineId::gsi(5)), board.connect_output(LineId::gsi(5)));
    board.set_line(a, true);
    board.set_line(b, true);
    board.set_line(a, false);
    assert!(board.line_level(LineId::gsi(5)));
    board.set_line(b, false);
    assert!(!board.line_level(LineId::gsi(5)));
}

#[test]
fn state_of_another_board_is_refused() {
    let (board, _) = board_with(Region::ports(0, 0..1));
    let mut other = Board::new(1 << 20, 1).unwrap();
    assert!(matches!(other.load(&board.save()), Err(StateError::Mismatch { .. })));
}

#[test]
fn regions_and_levels_survive_saving() {
    let (mut board, id) = board_with(Region::ports(0, 0..1));
    let pin = board.connect_output(LineId::gsi(3));
    board.set_line(pin, true);
    board.write(Space::Port, 0, 1, 7);
    let saved = board.save();
    board.unmap(id, Space::Port, 0);
    board.set_line(pin, false);
    board.load(&saved).unwrap();
    assert_eq!(board.save(), saved);
    assert_eq!(board.peek(Space::Port, 0, 1), 7);
}

#[test]
fn dma_stops_at_holes_and_goes_on_behind_them() {
    let mut board = Board::new(1 << 20, 1).unwrap();
    board.dma_write(0x9_fffe, &[1, 2, 3, 4]);
    let mut back = [0; 4];
    board.dma_read(0x9_fffe, &mut back);
    assert_eq!(back, [1, 2, 0xff, 0xff]);
    board.dma_write(u64::MAX - 1, &[1, 2, 3, 4]);
}
