use super::super::testing::{advance, board, inb, outb, same_future};
use super::*;
use reprise_core::board::Space;

/// Goes to the first tick of clock count `clk`.
fn go(board: &mut Board, clk: u64) -> usize {
    advance(board, CLOCK.tick_of(clk)).len()
}

fn program(board: &mut Board, control: u8, count: u16) {
    let port = 0x40 + u64::from(control >> 6);
    outb(board, 0x43, control);
    count.to_le_bytes().into_iter().for_each(|byte| outb(board, port, byte));
}

fn count(board: &mut Board, counter: u8) -> u16 {
    outb(board, 0x43, counter << 6);
    u16::from_le_bytes([0; 2].map(|_| inb(board, 0x40 + u64::from(counter))))
}

fn status(board: &mut Board, counter: u8) -> u8 {
    outb(board, 0x43, 0xe0 | 2 << counter);
    inb(board, 0x40 + u64::from(counter))
}

fn out(board: &mut Board, counter: u8) -> bool {
    status(board, counter) & 0x80 != 0
}

/// The levels of OUT and the counts at clock counts `from..to`.
fn trace(board: &mut Board, counter: u8, from: u64, to: u64) -> (Vec<u8>, Vec<u16>) {
    let at = |clk| {
        go(board, clk);
        (u8::from(out(board, counter)), count(board, counter))
    };
    (from..to).map(at).unzip()
}

#[test]
fn mode_0_rises_at_the_end_and_counts_on() {
    let mut board = board(&[&SPEC]);
    go(&mut board, 100);
    program(&mut board, 0x30, 4);
    let (outs, counts) = trace(&mut board, 0, 101, 108);
    assert_eq!(outs, [0, 0, 0, 0, 1, 1, 1], "N + 1 pulses after the count was written");
    assert_eq!(counts, [4, 3, 2, 1, 0, 0xffff, 0xfffe]);
}

#[test]
fn mode_0_interrupts_once_at_the_exact_tick() {
    let mut board = board(&[&SPEC]);
    program(&mut board, 0x30, 1000);
    assert!(!board.line_level(LineId::PIT));
    assert_eq!(advance(&mut board, 1 << 40), [CLOCK.tick_of(1001)]);
    assert!(board.line_level(LineId::PIT));
    outb(&mut board, 0x40, 5);
    assert!(!board.line_level(LineId::PIT), "the first byte of a new count makes OUT low");
    assert_eq!(board.scheduler.next_deadline(), None, "and stops counting");
    outb(&mut board, 0x40, 0);
    assert!(board.scheduler.next_deadline().is_some());
}

#[test]
fn mode_1_is_triggered_by_the_gate() {
    let mut board = board(&[&SPEC]);
    program(&mut board, 0xb2, 3);
    go(&mut board, 10);
    assert_eq!(status(&mut board, 2), 0xf2, "null count until the trigger");
    outb(&mut board, 0x61, 1);
    assert!(out(&mut board, 2));
    assert_eq!(trace(&mut board, 2, 11, 16).0, [0, 0, 0, 1, 1]);
    outb(&mut board, 0x61, 0);
    outb(&mut board, 0x61, 1);
    go(&mut board, 17);
    outb(&mut board, 0x61, 0);
    outb(&mut board, 0x61, 1);
    assert_eq!(trace(&mut board, 2, 18, 23).0, [0, 0, 0, 1, 1], "a trigger during the pulse makes it longer");
}

#[test]
fn mode_2_is_low_for_the_last_count() {
    let mut board = board(&[&SPEC]);
    program(&mut board, 0x74, 4);
    let (outs, counts) = trace(&mut board, 1, 1, 10);
    assert_eq!(outs, [1, 1, 1, 0, 1, 1, 1, 0, 1]);
    assert_eq!(counts, [4, 3, 2, 1, 4, 3, 2, 1, 4]);
}

#[test]
fn mode_2_takes_a_new_count_after_the_period() {
    let mut board = board(&[&SPEC]);
    program(&mut board, 0x74, 5);
    go(&mut board, 3);
    outb(&mut board, 0x41, 3);
    outb(&mut board, 0x41, 0);
    assert_eq!(status(&mut board, 1), 0xf4);
    assert_eq!(trace(&mut board, 1, 4, 10).1, [2, 1, 3, 2, 1, 3]);
    assert_eq!(status(&mut board, 1), 0xb4);
}

#[test]
fn mode_2_interrupts_once_a_period_without_drift() {
    let mut board = board(&[&SPEC]);
    program(&mut board, 0x34, 11_932);
    let fired = advance(&mut board, 1_000_000_000);
    let expected: Vec<_> = (1..=99).map(|n| CLOCK.tick_of(1 + n * 11_932)).collect();
    assert_eq!(fired, expected);
}

#[test]
fn the_shortest_period_is_two_counts() {
    let mut board = board(&[&SPEC]);
    program(&mut board, 0x34, 1);
    assert_eq!(advance(&mut board, CLOCK.tick_of(1000)).len(), 499);
}

#[test]
fn mode_3_is_square_and_counts_by_two() {
    let mut board = board(&[&SPEC]);
    program(&mut board, 0x76, 4);
    let (outs, counts) = trace(&mut board, 1, 1, 9);
    assert_eq!(outs, [1, 1, 0, 0, 1, 1, 0, 0]);
    assert_eq!(counts, [4, 2, 4, 2, 4, 2, 4, 2]);
    program(&mut board, 0x76, 5);
    let (outs, counts) = trace(&mut board, 1, 9, 19);
    assert_eq!(outs, [1, 1, 1, 0, 0, 1, 1, 1, 0, 0]);
    assert_eq!(counts, [4, 2, 0, 4, 2, 4, 2, 0, 4, 2]);
}

#[test]
fn mode_3_takes_a_new_count_after_the_half() {
    let mut board = board(&[&SPEC]);
    program(&mut board, 0x36, 8);
    go(&mut board, 2);
    outb(&mut board, 0x40, 4);
    outb(&mut board, 0x40, 0);
    let expected = [CLOCK.tick_of(7), CLOCK.tick_of(11)];
    assert_eq!(board.scheduler.next_deadline(), Some(expected[0]));
    assert_eq!(trace(&mut board, 0, 3, 9).0, [1, 1, 0, 0, 1, 1]);
    assert_eq!(board.scheduler.next_deadline(), Some(expected[1]));
}

#[test]
fn modes_4_and_5_strobe_for_one_count() {
    let mut board = board(&[&SPEC]);
    program(&mut board, 0x78, 3);
    assert_eq!(trace(&mut board, 1, 1, 7).0, [1, 1, 1, 0, 1, 1]);
    program(&mut board, 0xba, 2);
    go(&mut board, 20);
    assert!(out(&mut board, 2));
    outb(&mut board, 0x61, 1);
    assert_eq!(trace(&mut board, 2, 21, 26).0, [1, 1, 0, 1, 1]);
}

#[test]
fn mode_4_interrupts_when_the_strobe_ends() {
    let mut board = board(&[&SPEC]);
    program(&mut board, 0x38, 9);
    assert_eq!(advance(&mut board, 1 << 30), [CLOCK.tick_of(11)]);
}

#[test]
fn the_gate_stops_and_goes_on() {
    let mut board = board(&[&SPEC]);
    outb(&mut board, 0x61, 1);
    program(&mut board, 0xb0, 10);
    go(&mut board, 5);
    outb(&mut board, 0x61, 0);
    assert_eq!(trace(&mut board, 2, 6, 8).1, [6, 6]);
    go(&mut board, 20);
    outb(&mut board, 0x61, 1);
    assert_eq!(trace(&mut board, 2, 21, 23).1, [5, 4]);
    program(&mut board, 0xb4, 10);
    outb(&mut board, 0x61, 0);
    assert!(out(&mut board, 2), "the gate makes OUT high in mode 2");
}

#[test]
fn bcd_counts_decimally() {
    let mut board = board(&[&SPEC]);
    program(&mut board, 0x71, 0x1000);
    assert_eq!(trace(&mut board, 1, 1, 3).1, [0x1000, 0x0999]);
    program(&mut board, 0x71, 0);
    assert_eq!(trace(&mut board, 1, 3, 5).1, [0, 0x9999]);
}

#[test]
fn access_by_single_bytes_latches_and_read_back() {
    let mut board = board(&[&SPEC]);
    outb(&mut board, 0x43, 0x60);
    outb(&mut board, 0x41, 0x12);
    go(&mut board, 1);
    assert_eq!((inb(&mut board, 0x41), inb(&mut board, 0x41)), (0x12, 0x12), "most significant");
    outb(&mut board, 0x43, 0x50);
    outb(&mut board, 0x41, 0x12);
    go(&mut board, 2);
    assert_eq!((inb(&mut board, 0x41), inb(&mut board, 0x41)), (0x12, 0x12), "least significant");
    outb(&mut board, 0x43, 0xc4);
    go(&mut board, 7);
    outb(&mut board, 0x43, 0xc4);
    assert_eq!(inb(&mut board, 0x41), 0x10, "status first");
    assert_eq!(inb(&mut board, 0x41), 0x12, "then the count of the first command");
    assert_eq!(inb(&mut board, 0x41), 0x0d);
    assert_eq!(inb(&mut board, 0x43), 0, "the control word cannot be read");
}

#[test]
fn port_61_shows_refresh_and_counter_2() {
    let mut board = board(&[&SPEC]);
    outb(&mut board, 0x61, 0xff);
    assert_eq!(inb(&mut board, 0x61), 0x0f);
    go(&mut board, 18);
    assert_eq!(inb(&mut board, 0x61), 0x1f);
    go(&mut board, 36);
    program(&mut board, 0xb0, 1);
    assert_eq!(inb(&mut board, 0x61), 0x0f);
    go(&mut board, 38);
    assert_eq!(inb(&mut board, 0x61), 0x2f);
}

#[test]
fn reset_stops_everything() {
    let mut board = board(&[&SPEC]);
    program(&mut board, 0x34, 100);
    assert!(board.line_level(LineId::PIT));
    board.reset_devices();
    assert!(!board.line_level(LineId::PIT));
    assert_eq!(board.scheduler.next_deadline(), None);
}

#[test]
fn saved_state_has_the_same_future() {
    same_future(&[&SPEC], &[(Space::Port, 0x40, 4), (Space::Port, 0x61, 1)], 5000);
}
