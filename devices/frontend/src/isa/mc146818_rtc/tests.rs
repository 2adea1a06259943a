use super::*;
use reprise_core::board::Space;

const IRQ: LineId = LineId::RTC;
/// Wednesday, 31 December 2025, 23:59:57.
const NEW_YEARS_EVE: &str = "1767225597";

fn clock() -> Board {
    let mut board = Board::new(64 << 20, 2).unwrap();
    attach(&mut board, &Properties::new(&SPEC, &[("base".into(), NEW_YEARS_EVE.into())]).unwrap()).unwrap();
    board
}

fn read(board: &mut Board, register: usize) -> u8 {
    board.write(Space::Port, 0x70, 1, register as u64);
    board.read(Space::Port, 0x71, 1) as u8
}

fn write(board: &mut Board, register: usize, value: u8) {
    board.write(Space::Port, 0x70, 2, register as u64 | u64::from(value) << 8);
}

/// Century, year, month, day, day of the week, hours, minutes and seconds as the registers show them.
fn shown(board: &mut Board) -> [u8; 8] {
    [CENTURY, YEAR, MONTH, DAY_OF_MONTH, DAY_OF_WEEK, HOURS, MINUTES, SECONDS].map(|register| read(board, register))
}

fn run_to(board: &mut Board, tick: Tick) {
    while let Some(due) = board.scheduler.next_deadline().filter(|&due| due <= tick) {
        board.now = due;
        board.fire_due_timers();
    }
    board.now = tick;
}

#[test]
fn the_year_turns() {
    let mut board = clock();
    assert_eq!(shown(&mut board), [0x20, 0x25, 0x12, 0x31, 4, 0x23, 0x59, 0x57]);
    board.now = 3 * TICKS_PER_SECOND - 1;
    assert_eq!(read(&mut board, SECONDS), 0x59);
    board.now += 1;
    assert_eq!(shown(&mut board), [0x20, 0x26, 0x01, 0x01, 5, 0x00, 0x00, 0x00]);
}

#[test]
fn data_modes() {
    let mut board = clock();
    write(&mut board, REGISTER_B, B_BINARY);
    assert_eq!(shown(&mut board), [20, 25, 12, 31, 4, 11 | HOUR_PM, 59, 57]);
    write(&mut board, REGISTER_B, 0);
    assert_eq!(read(&mut board, HOURS), 0x11 | HOUR_PM);
    board.now = 3 * TICKS_PER_SECOND;
    assert_eq!(read(&mut board, HOURS), 0x12);
}

#[test]
fn the_time_can_be_set() {
    let mut board = clock();
    board.now = 700_000_000;
    write(&mut board, REGISTER_B, B_24_HOURS | B_SET);
    for (register, value) in [(CENTURY, 0x19), (YEAR, 0x99), (MONTH, 2), (DAY_OF_MONTH, 0x28), (DAY_OF_WEEK, 3)] {
        write(&mut board, register, value);
    }
    board.now = 5 * TICKS_PER_SECOND + 800_000_000;
    assert_eq!(shown(&mut board), [0x19, 0x99, 0x02, 0x28, 3, 0x23, 0x59, 0x57], "the clock stands");
    write(&mut board, REGISTER_B, B_24_HOURS);
    board.now += 199_999_999;
    assert_eq!(read(&mut board, SECONDS), 0x57, "the divider went on");
    board.now += 1;
    assert_eq!(read(&mut board, SECONDS), 0x58);
    board.now += 2 * TICKS_PER_SECOND;
    assert_eq!(shown(&mut board), [0x19, 0x99, 0x03, 0x01, 4, 0, 0, 0]);
}

#[test]
fn a_register_can_be_set_while_the_clock_runs() {
    let mut board = clock();
    board.now = 300_000_000;
    write(&mut board, MINUTES, 0x30);
    board.now = 3 * TICKS_PER_SECOND;
    assert_eq!(shown(&mut board), [0x20, 0x25, 0x12, 0x31, 4, 0x23, 0x31, 0x00]);
}

#[test]
fn the_divider_restarts_half_a_second_before_an_update() {
    let mut board = clock();
    write(&mut board, REGISTER_A, 0x70);
    board.now = 900_000_000;
    assert_eq!(read(&mut board, SECONDS), 0x57);
    write(&mut board, REGISTER_A, 0x26);
    board.now = 1_399_999_999;
    assert_eq!(read(&mut board, SECONDS), 0x57);
    assert_eq!(read(&mut board, REGISTER_A), 0xa6);
    board.now = 1_400_000_000;
    assert_eq!(read(&mut board, SECONDS), 0x58);
}

#[test]
fn an_update_is_announced() {
    let mut board = clock();
    board.now = TICKS_PER_SECOND - UPDATE_NOTICE - 1;
    assert_eq!(read(&mut board, REGISTER_A), 0x26);
    board.now += 1;
    assert_eq!(read(&mut board, REGISTER_A), 0xa6);
    board.now = TICKS_PER_SECOND;
    assert_eq!(read(&mut board, REGISTER_A), 0x26);
}

#[test]
fn periodic_interrupts_keep_to_the_divider() {
    let mut board = clock();
    assert_eq!(board.scheduler.next_deadline(), None);
    write(&mut board, REGISTER_B, B_24_HOURS | PERIODIC);
    for n in 1..=1024 {
        let due = board.scheduler.next_deadline().unwrap();
        assert_eq!(due, DIVIDER.tick_of(n * 32));
        run_to(&mut board, due);
        assert!(board.line_level(IRQ));
        assert_eq!(read(&mut board, REGISTER_C) & 0xcf, C_INTERRUPT | PERIODIC);
        assert!(!board.line_level(IRQ));
    }
    assert_eq!(board.now, TICKS_PER_SECOND);
}

#[test]
fn flags_are_set_without_interrupts_too() {
    let mut board = clock();
    board.now = TICKS_PER_SECOND;
    board.write(Space::Port, 0x70, 1, REGISTER_C as u64);
    assert_eq!(board.peek(Space::Port, 0x71, 1), u64::from(PERIODIC | UPDATE_ENDED));
    assert_eq!(read(&mut board, REGISTER_C), PERIODIC | UPDATE_ENDED);
    assert_eq!(read(&mut board, REGISTER_C), 0);
}

#[test]
fn updates_interrupt_each_second() {
    let mut board = clock();
    write(&mut board, REGISTER_B, B_24_HOURS | UPDATE_ENDED);
    run_to(&mut board, TICKS_PER_SECOND - 1);
    assert!(!board.line_level(IRQ));
    run_to(&mut board, TICKS_PER_SECOND);
    assert!(board.line_level(IRQ));
    assert_eq!(read(&mut board, REGISTER_C), C_INTERRUPT | UPDATE_ENDED | PERIODIC);
    assert_eq!(board.scheduler.next_deadline(), Some(2 * TICKS_PER_SECOND));
    write(&mut board, REGISTER_B, B_24_HOURS | B_SET | UPDATE_ENDED);
    assert_eq!(read(&mut board, REGISTER_B), B_24_HOURS | B_SET);
    assert_eq!(board.scheduler.next_deadline(), None);
}

#[test]
fn the_alarm_matches_bytes_and_wildcards() {
    for (alarm, due) in [
        ([0x00, 0x00, 0x10], 13),
        ([0xff, 0xff, 0xc0], 1),
        ([0xff, 0x01, 0x00], 63),
        ([0x23, 0x59, 0x57], 86_400),
        ([0x23, 0x59, 0x58], 1),
    ] {
        let mut board = clock();
        for (register, value) in [HOURS_ALARM, MINUTES_ALARM, SECONDS_ALARM].into_iter().zip(alarm) {
            write(&mut board, register, value);
        }
        write(&mut board, REGISTER_B, B_24_HOURS | ALARM);
        assert_eq!(board.scheduler.next_deadline(), Some(due * TICKS_PER_SECOND), "{alarm:02x?}");
        run_to(&mut board, due * TICKS_PER_SECOND);
        assert!(board.line_level(IRQ));
        assert_eq!(read(&mut board, REGISTER_C) & (C_INTERRUPT | ALARM), C_INTERRUPT | ALARM);
    }
}

#[test]
fn an_alarm_that_is_no_time_never_comes() {
    let mut board = clock();
    write(&mut board, HOURS_ALARM, 0x24);
    write(&mut board, REGISTER_B, B_24_HOURS | ALARM);
    assert_eq!(board.scheduler.next_deadline(), None);
}

#[test]
fn memory_sizes_are_in_the_memory() {
    let mut board = clock();
    let word = |board: &mut Board, at| u16::from(read(board, at)) | u16::from(read(board, at + 1)) << 8;
    assert_eq!(word(&mut board, 0x15), 640);
    assert_eq!(word(&mut board, 0x30), 63 << 10);
    assert_eq!(word(&mut board, 0x34), 48 << 4);
    assert_eq!(read(&mut board, 0x5f), 1);
}

#[test]
fn both_banks_and_the_time_survive_a_reset() {
    let mut board = clock();
    write(&mut board, 0x40, 0xaa);
    board.write(Space::Port, 0x72, 2, 0xbb40);
    write(&mut board, MINUTES, 0x30);
    write(&mut board, REGISTER_B, B_24_HOURS | PERIODIC);
    run_to(&mut board, TICKS_PER_SECOND);
    board.reset_devices();
    assert!(!board.line_level(IRQ));
    assert_eq!(board.scheduler.next_deadline(), None);
    assert_eq!((read(&mut board, 0x40), read(&mut board, MINUTES), read(&mut board, REGISTER_B)), (0xaa, 0x30, 2));
    board.write(Space::Port, 0x72, 1, 0x40);
    assert_eq!(board.read(Space::Port, 0x73, 1), 0xbb);
}
