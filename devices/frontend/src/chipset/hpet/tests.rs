use super::super::testing::{advance, board, outb, same_future};
use super::super::{i8254_pit, i8259_pic, i82093_ioapic};
use super::*;
use reprise_core::board::Space;

fn get(board: &mut Board, offset: u64) -> u64 {
    board.read(Space::Memory, BASE + offset, 8)
}

fn put(board: &mut Board, offset: u64, value: u64) {
    board.write(Space::Memory, BASE + offset, 8, value);
}

const fn config(timer: u64) -> u64 {
    TIMER_0 + 0x20 * timer
}

const fn comparator(timer: u64) -> u64 {
    config(timer) + 8
}

const ROUTE_20: u64 = 20 << 9;

/// Unmasks input `pin` of the I/O APIC with this entry.
fn unmask(board: &mut Board, pin: u64, entry: u64) {
    board.write(Space::Memory, 0xfec0_0000, 4, 0x10 + 2 * pin);
    board.write(Space::Memory, 0xfec0_0010, 4, entry);
}

fn take(board: &mut Board) -> Option<u8> {
    let vector = board.acknowledge_interrupt(0);
    board.apic_write(0, 0xb0, 0);
    vector
}

#[test]
fn capabilities_and_widths() {
    let mut board = board(&[&SPEC]);
    assert_eq!(get(&mut board, CAPABILITIES), 0x0098_9680_8086_a201);
    assert_eq!(board.read(Space::Memory, BASE + 4, 4), 10_000_000);
    assert_eq!(get(&mut board, config(2)), 0x00ff_0100_0000_0030);
    put(&mut board, config(2), u64::MAX);
    assert_eq!(get(&mut board, config(2)), 0x00ff_0100_0000_3f7e);
    put(&mut board, comparator(1), u64::MAX - 1);
    board.write(Space::Memory, BASE + comparator(1) + 4, 4, 5);
    assert_eq!(get(&mut board, comparator(1)), 0x5_ffff_fffe);
    assert_eq!(get(&mut board, config(3)), 0);
}

#[test]
fn the_counter_counts_only_while_enabled() {
    let mut board = board(&[&SPEC]);
    board.now = 1000;
    assert_eq!(get(&mut board, MAIN_COUNTER), 0);
    put(&mut board, MAIN_COUNTER, 7);
    put(&mut board, CONFIGURATION, ENABLE_CNF);
    board.now = 1999;
    assert_eq!(get(&mut board, MAIN_COUNTER), 7 + 99);
    put(&mut board, CONFIGURATION, 0);
    board.now = 5000;
    assert_eq!(get(&mut board, MAIN_COUNTER), 7 + 99);
}

#[test]
fn a_one_shot_matches_at_the_exact_tick() {
    let mut board = board(&[&SPEC, &i82093_ioapic::SPEC]);
    unmask(&mut board, 20, 0x50);
    put(&mut board, config(0), ROUTE_20 | TN_INT_ENB_CNF);
    put(&mut board, comparator(0), 50);
    put(&mut board, CONFIGURATION, ENABLE_CNF);
    assert_eq!(advance(&mut board, 1 << 40), [500]);
    assert_eq!(take(&mut board), Some(0x50));
    assert_eq!(get(&mut board, INTERRUPT_STATUS), 0, "edge-triggered");
}

#[test]
fn a_32_bit_comparator_matches_every_time_around() {
    let mut board = board(&[&SPEC]);
    put(&mut board, config(0), ROUTE_20 | TN_INT_ENB_CNF | TN_32MODE_CNF);
    put(&mut board, comparator(0), 50);
    put(&mut board, CONFIGURATION, ENABLE_CNF);
    assert_eq!(advance(&mut board, 100_000_000_000), [500, 500 + (10 << 32), 500 + (20 << 32)]);
}

#[test]
fn the_accumulator_moves_on_by_the_period() {
    let mut board = board(&[&SPEC, &i82093_ioapic::SPEC]);
    unmask(&mut board, 20, 0x50);
    put(&mut board, CONFIGURATION, ENABLE_CNF);
    put(&mut board, config(1), ROUTE_20 | TN_INT_ENB_CNF | TN_TYPE_CNF | TN_VAL_SET_CNF);
    put(&mut board, comparator(1), 1000);
    assert_eq!(get(&mut board, config(1)) & TN_VAL_SET_CNF, 0, "clears itself");
    put(&mut board, comparator(1), 250);
    assert_eq!(get(&mut board, comparator(1)), 1000, "the second write sets the period only");
    assert_eq!(advance(&mut board, 16_000), [10_000, 12_500, 15_000]);
    assert_eq!(get(&mut board, comparator(1)), 1750);
    put(&mut board, config(1), ROUTE_20 | TN_TYPE_CNF);
    assert_eq!(advance(&mut board, 30_001), [], "without interrupts there are no events");
    assert_eq!(get(&mut board, comparator(1)), 3250, "but the accumulator moves on");
}

#[test]
fn the_shortest_period_is_one_count() {
    let mut board = board(&[&SPEC]);
    put(&mut board, config(0), ROUTE_20 | TN_INT_ENB_CNF | TN_TYPE_CNF | TN_VAL_SET_CNF);
    put(&mut board, comparator(0), 1);
    put(&mut board, CONFIGURATION, ENABLE_CNF);
    assert_eq!(advance(&mut board, 1000).len(), 100);
}

#[test]
fn a_level_lasts_until_its_status_is_cleared() {
    let mut board = board(&[&SPEC]);
    let gsi = LineId::gsi(20);
    put(&mut board, config(2), ROUTE_20 | TN_INT_ENB_CNF | TN_INT_TYPE_CNF);
    put(&mut board, comparator(2), 10);
    put(&mut board, CONFIGURATION, ENABLE_CNF);
    advance(&mut board, 200);
    assert!(board.line_level(gsi));
    assert_eq!(get(&mut board, INTERRUPT_STATUS), 4);
    put(&mut board, INTERRUPT_STATUS, 3);
    assert!(board.line_level(gsi));
    put(&mut board, INTERRUPT_STATUS, 4);
    assert!(!board.line_level(gsi));
}

#[test]
fn legacy_replacement_cuts_the_8254_and_the_real_time_clock() {
    let mut board = board(&[&SPEC, &i8259_pic::SPEC, &i8254_pit::SPEC]);
    let rtc = board.connect_output(LineId::RTC);
    outb(&mut board, 0x21, 0);
    for value in [0x34, 0xe8] {
        outb(&mut board, if value == 0x34 { 0x43 } else { 0x40 }, value);
    }
    outb(&mut board, 0x40, 3);
    assert_eq!(take(&mut board), Some(0), "the 8254 gets through");
    outb(&mut board, 0x20, 0x20);
    board.set_line(rtc, true);
    assert!(board.line_level(LineId::gsi(8)));
    put(&mut board, config(0), TN_INT_ENB_CNF | TN_TYPE_CNF | TN_VAL_SET_CNF);
    put(&mut board, comparator(0), 1_000_000);
    put(&mut board, CONFIGURATION, ENABLE_CNF | LEG_RT_CNF);
    assert!(!board.line_level(LineId::gsi(8)), "the real-time clock is cut off");
    advance(&mut board, 9_999_999);
    assert_eq!(take(&mut board), None, "and so is the 8254");
    for at in [10_000_000, 20_000_000] {
        advance(&mut board, at);
        assert_eq!(take(&mut board), Some(0));
        outb(&mut board, 0x20, 0x20);
    }
    put(&mut board, CONFIGURATION, 0);
    assert!(board.line_level(LineId::gsi(8)), "its level is back");
}

#[test]
fn reset_halts_and_keeps_what_comes_in() {
    let mut board = board(&[&SPEC]);
    let rtc = board.connect_output(LineId::RTC);
    board.set_line(rtc, true);
    put(&mut board, config(0), TN_INT_ENB_CNF);
    put(&mut board, comparator(0), 50);
    put(&mut board, CONFIGURATION, ENABLE_CNF | LEG_RT_CNF);
    board.reset_devices();
    assert_eq!(board.scheduler.next_deadline(), None);
    assert_eq!(get(&mut board, CONFIGURATION), 0);
    assert!(board.line_level(LineId::gsi(8)));
}

#[test]
fn saved_state_has_the_same_future() {
    same_future(&[&SPEC], &[(Space::Memory, BASE, 0x18), (Space::Memory, BASE + 0xf0, 0x70)], 5000);
}

#[test]
fn all_parts_together_have_the_same_future() {
    let specs = [&SPEC, &i8259_pic::SPEC, &i8254_pit::SPEC, &i82093_ioapic::SPEC];
    let ports = [(Space::Port, 0x20, 2), (Space::Port, 0xa0, 2), (Space::Port, 0x40, 4), (Space::Port, 0x61, 1)];
    let memory = [(Space::Memory, BASE, 0x18), (Space::Memory, BASE + 0x100, 0x60), (Space::Memory, 0xfec0_0000, 0x14)];
    same_future(&specs, &[&ports[..], &memory[..]].concat(), 5000);
}
