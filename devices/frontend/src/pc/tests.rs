use super::*;
use crate::DEVICES;
use reprise_core::board::LineId;

fn config() -> PcConfig {
    PcConfig { serial: [Some(ChardevId(0)), None, Some(ChardevId(1)), None], rtc_base: 0 }
}

fn board() -> (Board, Pc) {
    let mut board = Board::new(64 << 20, 2).unwrap();
    let pc = build(&mut board, &config()).unwrap();
    (board, pc)
}

#[test]
fn fixed_devices_are_listed_in_the_order_of_the_board() {
    let (board, _) = board();
    let mut listed: Vec<_> = DEVICES.iter().filter(|spec| !spec.user_creatable).map(|spec| spec.name).collect();
    let serial = listed.iter().position(|name| *name == fw_cfg::SPEC.name).unwrap();
    listed.splice(serial..serial, ["isa-serial", "isa-serial.2"]);
    assert_eq!(board.device_names().collect::<Vec<_>>(), listed);
}

#[test]
fn every_device_is_listed_once() {
    let mut names: Vec<_> = DEVICES.iter().map(|spec| spec.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), DEVICES.len());
}

#[test]
fn parts_answer_where_they_are_on_every_pc() {
    let (board, _) = board();
    let ports = [0x20, 0x40, 0x60, 0x61, 0x64, 0x70, 0xa0, 0x3f8, 0x3e8, 0x510, 0x604, 0xcf8]
        .map(|port| board.decoder(Space::Port, port).unwrap_or_else(|| panic!("port {port:#x}")));
    assert_eq!(ports[..5], ["isa-i8259", "isa-pit", "i8042", "isa-pit", "i8042"]);
    assert_eq!(board.decoder(Space::Port, 0x2f8), None);
    assert_eq!(board.decoder(Space::Memory, 0xfec0_0000), Some("ioapic"));
    assert_eq!(board.decoder(Space::Memory, 0xfed0_0000), Some("hpet"));
}

#[test]
fn the_tables_describe_what_is_there() {
    let (mut board, _) = board();
    let expected =
        Description { cpus: 2, serial: [true, false, true, false], pvpanic: None, low_ram: 64 << 20, high_ram: 0 };
    assert_eq!(describe(&board), expected);
    attach(&mut board, &pvpanic::SPEC, &[("ioport", "0x777".into())]).unwrap();
    assert_eq!(describe(&board), Description { pvpanic: Some(0x777), ..expected });
}

#[test]
fn firmware_leaves_its_memory_where_the_map_says_so() {
    let (board, pc) = board();
    let map = memory_map(&board);
    for (start, bytes) in pc.firmware_memory(&board) {
        let end = start + bytes.len() as u64;
        assert!(map.iter().any(|entry| entry.start <= start && end <= entry.start + entry.size), "{start:#x}");
        assert!(board.ram_offset(start).is_some() && board.ram_offset(end - 1).is_some());
    }
}

#[test]
fn the_timer_reaches_the_8259_pair() {
    let (mut board, _) = board();
    // 8254: counter 0 in mode 2; 8259: vectors from 0x20, only IRQ 0 let through.
    let counter = [(0x43, 0x34), (0x40, 100), (0x40, 0)];
    let controller = [(0x20, 0x11), (0x21, 0x20), (0x21, 4), (0x21, 1), (0x21, 0xfe)];
    for (port, value) in counter.into_iter().chain(controller) {
        board.write(Space::Port, port, 1, value);
    }
    while !board.line_level(LineId::INTR) {
        board.now = board.scheduler.next_deadline().expect("the timer is armed");
        assert!(board.now < 1_000_000, "100 counts of 1.19 MHz");
        board.fire_due_timers();
    }
    assert!(board.now >= 80_000);
}

#[test]
fn a_board_resets_to_what_it_was() {
    let (mut board, _) = board();
    board.reset_devices();
    let before = board.save();
    for port in 0..=0xffffu64 {
        board.write(Space::Port, port, 1, 0x5a);
    }
    board.take_power();
    board.outputs.clear();
    board.reset_devices();
    let after = board.save();
    assert_eq!(before.regions, after.regions);
    assert_eq!(before.lines, after.lines);
    assert_eq!(before.timers, after.timers);
    for (before, after) in before.devices.iter().zip(&after.devices).filter(|(before, _)| before.0 != "mc146818rtc") {
        assert_eq!(before, after);
    }
}
