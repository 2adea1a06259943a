//! What the tests of these parts have in common: a board with parts on it, and time that passes.

use reprise_core::board::{Board, Space};
use reprise_core::clock::Tick;
use reprise_core::property::{DeviceSpec, Properties};

/// A board with these devices on it. The first local APIC is in virtual wire mode.
pub(super) fn board(specs: &[&'static DeviceSpec]) -> Board {
    let mut board = Board::new(1 << 20, 1).unwrap();
    for spec in specs {
        (spec.attach)(&mut board, &Properties::new(spec, &[]).unwrap()).unwrap();
    }
    board.set_virtual_wire(0);
    board
}

/// Goes from deadline to deadline up to `tick`; the ticks at which something was due.
pub(super) fn advance(board: &mut Board, tick: Tick) -> Vec<Tick> {
    let mut fired = Vec::new();
    while let Some(deadline) = board.scheduler.next_deadline().filter(|&deadline| deadline <= tick) {
        assert!(fired.last().is_none_or(|&last| last < deadline), "a timer fires once a tick");
        board.now = deadline;
        board.fire_due_timers();
        fired.push(deadline);
    }
    board.now = tick;
    fired
}

pub(super) fn inb(board: &mut Board, port: u64) -> u8 {
    board.read(Space::Port, port, 1) as u8
}

pub(super) fn outb(board: &mut Board, port: u64, value: u8) {
    board.write(Space::Port, port, 1, u64::from(value));
}

/// Numbers that look random, the same in every run.
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 24
    }
}

/// Makes `accesses` random accesses within `ranges`, with time passing and interrupts being taken, and halfway copies
/// the state to a second board: both must answer alike to the end.
pub(super) fn same_future(specs: &[&'static DeviceSpec], ranges: &[(Space, u64, u64)], accesses: usize) {
    let (mut first, mut second) = (board(specs), board(specs));
    let mut numbers = Numbers(7);
    (0..accesses).for_each(|_| drop(step(&mut [&mut first], ranges, &mut numbers)));
    let saved = first.save();
    second.load(&saved).unwrap();
    assert_eq!(second.save(), saved, "loading has no effects");
    for at in 0..accesses {
        let answers = step(&mut [&mut first, &mut second], ranges, &mut numbers);
        assert_eq!(answers[0], answers[1], "access {at}");
    }
    assert_eq!(first.save(), second.save());
}

/// The same random access to every board; what each answered.
fn step(boards: &mut [&mut Board], ranges: &[(Space, u64, u64)], numbers: &mut Numbers) -> Vec<(u64, u64, Option<u8>)> {
    let (space, start, len) = ranges[numbers.next() as usize % ranges.len()];
    let (address, size) = (start + numbers.next() % len, [1, 2, 4, 8][numbers.next() as usize % 4]);
    let (value, kind, wait) = (numbers.next(), numbers.next() % 3, numbers.next() % 100_000);
    let answer = |board: &mut Board| {
        let peeked = board.peek(space, address, size);
        if kind > 0 {
            board.write(space, address, size, value);
        } else {
            let read = board.read(space, address, size);
            // A read that the bus splits may change what its second part reads.
            assert!(read == peeked || size > 1, "{address:#x} peeks as {peeked:#x} and reads as {read:#x}");
        }
        advance(board, board.now + wait);
        let vector = board.acknowledge_interrupt(0);
        board.apic_write(0, 0xb0, 0);
        (peeked, board.scheduler.next_deadline().unwrap_or(0), vector)
    };
    boards.iter_mut().map(|board| answer(board)).collect()
}
