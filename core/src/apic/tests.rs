use super::*;
use crate::board::{LineId, Sink};

const ID: u64 = 0x20;
const TPR: u64 = 0x80;
const PPR: u64 = 0xa0;
const EOI: u64 = 0xb0;
const LDR: u64 = 0xd0;
const DFR: u64 = 0xe0;
const SVR: u64 = 0xf0;
const ESR: u64 = 0x280;
const ICR_LOW: u64 = 0x300;
const ICR_HIGH: u64 = 0x310;
const LVT_TIMER: u64 = 0x320;
const LVT_LINT0: u64 = 0x350;
const LVT_ERROR: u64 = 0x370;
const INITIAL: u64 = 0x380;
const CURRENT: u64 = 0x390;
const DIVIDE: u64 = 0x3e0;

const BY_1: u32 = 0xb;
const PERIODIC: u32 = 1 << 17;
const DEADLINE: u32 = 2 << 17;
const MASKED: u32 = 1 << 16;

/// A board with `cpus` local APICs that software has enabled.
fn board(cpus: usize) -> Board {
    let mut board = Board::new(1 << 20, cpus).unwrap();
    for cpu in 0..cpus {
        board.apic_write(cpu, SVR, 0x1ff);
    }
    board
}

fn x2apic(board: &mut Board, cpu: usize) {
    let base = board.apic_read_msr(cpu, MSR_APIC_BASE).unwrap();
    board.apic_write_msr(cpu, MSR_APIC_BASE, base | base::EXTD).unwrap();
}

/// Goes from deadline to deadline up to `tick`; how often something was due.
fn advance(board: &mut Board, tick: u64) -> usize {
    let mut fired = 0;
    while let Some(deadline) = board.scheduler.next_deadline().filter(|&deadline| deadline <= tick) {
        assert!(deadline >= board.now, "time goes forward");
        board.now = deadline;
        board.fire_due_timers();
        fired += 1;
    }
    board.now = tick;
    fired
}

/// Takes and ends every interrupt that waits for `cpu`.
fn take_all(board: &mut Board, cpu: usize) -> Vec<u8> {
    let mut taken = Vec::new();
    while let Some(vector) = board.acknowledge_interrupt(cpu) {
        taken.push(vector);
        board.apic_write(cpu, EOI, 0);
    }
    taken
}

fn who_has(board: &Board) -> Vec<usize> {
    (0..board.apics.len()).filter(|&cpu| board.apics[cpu].has_signal()).collect()
}

#[test]
fn after_power_on_the_vector_table_is_masked_and_the_apic_disabled_by_software() {
    let mut board = Board::new(1 << 20, 2).unwrap();
    assert_eq!(board.apic_read(0, SVR), 0xff);
    assert_eq!(board.apic_read(0, DFR), u32::MAX);
    for offset in (LVT_TIMER..=LVT_ERROR).step_by(16) {
        assert_eq!(board.apic_read(0, offset), MASKED);
        board.apic_write(0, offset, 0x30);
        assert_eq!(board.apic_read(0, offset), MASKED | 0x30, "the mask cannot be cleared while disabled");
    }
    assert_eq!(board.apic_read(1, ID), 1 << 24);
    assert_eq!(board.apic_read(1, 0x30), 0x5_0014);
    assert_eq!(board.apic_read_msr(0, MSR_APIC_BASE), Some(0xfee0_0900));
    assert_eq!(board.apic_read_msr(1, MSR_APIC_BASE), Some(0xfee0_0800));
    board.interrupt_message(0xfee0_0000, 0x41);
    assert!(!board.apics[0].has_signal(), "fixed interrupts are not accepted");
    board.interrupt_message(0xfee0_0000, 0x400);
    assert!(board.apics[0].state.nmi, "NMI is");
}

#[test]
fn priorities_nest_and_the_end_of_interrupt_ends_the_highest() {
    let mut board = board(1);
    board.interrupt_message(0xfee0_0000, 0x41);
    assert_eq!(board.acknowledge_interrupt(0), Some(0x41));
    assert_eq!(board.apic_read(0, PPR), 0x40);
    board.interrupt_message(0xfee0_0000, 0x4f);
    assert!(!board.apics[0].has_maskable(), "the same class waits");
    board.interrupt_message(0xfee0_0000, 0x51);
    assert_eq!(board.acknowledge_interrupt(0), Some(0x51));
    board.apic_write(0, EOI, 0);
    assert_eq!(board.apic_read(0, PPR), 0x40);
    board.apic_write(0, EOI, 0);
    assert_eq!(take_all(&mut board, 0), [0x4f]);
}

#[test]
fn the_task_priority_holds_interrupts_back_and_is_cr8() {
    let mut board = board(1);
    board.set_task_priority(0, 5);
    assert_eq!(board.apic_read(0, TPR), 0x50);
    board.interrupt_message(0xfee0_0000, 0x5f);
    assert!(!board.apics[0].has_maskable());
    assert_eq!(board.acknowledge_interrupt(0), None);
    board.apic_write(0, TPR, 0x4f);
    assert_eq!(board.task_priority(0), 4);
    assert_eq!(board.apic_read(0, PPR), 0x4f);
    assert!(board.apics[0].has_maskable() && board.take_leave());
    assert_eq!(take_all(&mut board, 0), [0x5f]);
}

#[test]
fn a_one_shot_counts_down_and_fires_once() {
    let mut board = board(1);
    board.apic_write(0, DIVIDE, 0);
    board.apic_write(0, LVT_TIMER, 0x30);
    board.now = 100;
    board.apic_write(0, INITIAL, 500);
    board.now = 101;
    assert_eq!(board.apic_read(0, CURRENT), 500);
    board.now = 102;
    assert_eq!(board.apic_read(0, CURRENT), 499);
    assert_eq!(advance(&mut board, 1099), 0);
    assert_eq!(advance(&mut board, 1100), 1);
    assert_eq!(board.apic_read(0, CURRENT), 0);
    assert_eq!(take_all(&mut board, 0), [0x30]);
    assert_eq!(advance(&mut board, 1 << 40), 0);
}

#[test]
fn a_periodic_timer_keeps_its_phase_however_it_is_looked_at() {
    let mut board = board(1);
    board.apic_write(0, DIVIDE, BY_1);
    board.apic_write(0, LVT_TIMER, 0x30 | PERIODIC);
    board.apic_write(0, INITIAL, 1000);
    for period in 1..=5 {
        assert_eq!(advance(&mut board, period * 1000 - 1), 0);
        assert_eq!(board.apic_read(0, CURRENT), 1);
        assert_eq!(advance(&mut board, period * 1000), 1);
        assert_eq!(board.apic_read(0, CURRENT), 1000);
        assert_eq!(take_all(&mut board, 0), [0x30]);
    }
    board.apic_write(0, LVT_TIMER, 0x30 | PERIODIC | MASKED);
    assert_eq!(advance(&mut board, 9_500), 0, "nobody is woken for a masked timer");
    assert_eq!(board.apic_read(0, CURRENT), 500, "but it counts on");
    board.apic_write(0, LVT_TIMER, 0x30 | PERIODIC);
    assert_eq!(board.scheduler.next_deadline(), Some(10_000));
}

#[test]
fn the_shortest_period_fires_once_a_tick() {
    let mut board = board(1);
    board.apic_write(0, DIVIDE, BY_1);
    board.apic_write(0, LVT_TIMER, 0x30 | PERIODIC);
    board.apic_write(0, INITIAL, 1);
    assert_eq!(advance(&mut board, 50), 50);
}

#[test]
fn changing_the_divisor_keeps_the_count() {
    let mut board = board(1);
    board.apic_write(0, DIVIDE, BY_1);
    board.apic_write(0, LVT_TIMER, 0x30);
    board.apic_write(0, INITIAL, 1000);
    board.now = 400;
    board.apic_write(0, DIVIDE, 1);
    assert_eq!(board.apic_read(0, CURRENT), 600);
    assert_eq!(board.scheduler.next_deadline(), Some(400 + 600 * 4));
}

#[test]
fn the_tsc_deadline_compares_with_the_tsc_of_the_vcpu() {
    let mut board = board(1);
    board.set_tsc_offset(0, 5000);
    assert_eq!(board.apic_read_msr(0, MSR_TSC_DEADLINE), Some(0));
    board.apic_write_msr(0, MSR_TSC_DEADLINE, 9000).unwrap();
    assert_eq!(board.scheduler.next_deadline(), None, "ignored in another mode");
    board.apic_write(0, LVT_TIMER, 0x30 | DEADLINE);
    board.apic_write_msr(0, MSR_TSC_DEADLINE, 9000).unwrap();
    assert_eq!(board.apic_read_msr(0, MSR_TSC_DEADLINE), Some(9000));
    board.apic_write(0, INITIAL, 77);
    assert_eq!((board.apic_read(0, INITIAL), board.apic_read(0, CURRENT)), (0, 0));
    assert_eq!(advance(&mut board, 3999), 0);
    assert_eq!(advance(&mut board, 4000), 1);
    assert_eq!(take_all(&mut board, 0), [0x30]);
    assert_eq!(board.apic_read_msr(0, MSR_TSC_DEADLINE), Some(0));
}

#[test]
fn a_tsc_deadline_in_the_past_fires_at_once_and_0_disarms() {
    let mut board = board(1);
    board.now = 100;
    board.apic_write(0, LVT_TIMER, 0x30 | DEADLINE);
    board.apic_write_msr(0, MSR_TSC_DEADLINE, 100).unwrap();
    assert_eq!(take_all(&mut board, 0), [0x30]);
    board.apic_write_msr(0, MSR_TSC_DEADLINE, 200).unwrap();
    board.apic_write_msr(0, MSR_TSC_DEADLINE, 0).unwrap();
    assert_eq!(board.scheduler.next_deadline(), None);
    board.apic_write_msr(0, MSR_TSC_DEADLINE, 1_000_000).unwrap();
    board.set_tsc_offset(0, 2_000_000);
    assert_eq!(take_all(&mut board, 0), [0x30], "setting the TSC past the deadline");
}

#[test]
fn leaving_deadline_mode_disarms() {
    let mut board = board(1);
    board.apic_write(0, LVT_TIMER, 0x30 | DEADLINE);
    board.apic_write_msr(0, MSR_TSC_DEADLINE, 1000).unwrap();
    board.apic_write(0, LVT_TIMER, 0x30);
    board.apic_write(0, LVT_TIMER, 0x30 | DEADLINE);
    assert_eq!(board.apic_read_msr(0, MSR_TSC_DEADLINE), Some(0));
    assert_eq!(board.scheduler.next_deadline(), None);
}

#[test]
fn shorthands_reach_whom_they_name() {
    for (shorthand, expected) in [(1, vec![1]), (2, vec![0, 1, 2]), (3, vec![0, 2])] {
        let mut board = board(3);
        board.apic_write(1, ICR_LOW, shorthand << 18 | 0x41);
        assert_eq!(who_has(&board), expected, "shorthand {shorthand}");
    }
}

#[test]
fn physical_and_logical_destinations() {
    let sent = |flat: bool, low: u32, destination: u32| {
        let mut board = board(4);
        for cpu in 0..4 {
            let ldr = if flat { 1 << cpu } else { (cpu as u32 / 2) << 4 | 1 << (cpu % 2) };
            board.apic_write(cpu, LDR, ldr << 24);
            board.apic_write(cpu, DFR, if flat { u32::MAX } else { 0x0fff_ffff });
        }
        board.apic_write(0, ICR_HIGH, destination << 24);
        board.apic_write(0, ICR_LOW, low);
        who_has(&board)
    };
    assert_eq!(sent(true, 0x41, 2), [2]);
    assert_eq!(sent(true, 0x41, 0xff), [0, 1, 2, 3]);
    assert_eq!(sent(true, 0x841, 0b1010), [1, 3]);
    assert_eq!(sent(false, 0x841, 0x13), [2, 3]);
    assert_eq!(sent(false, 0x841, 0x02), [1]);
    assert_eq!(sent(false, 0x841, 0xff), [0, 1, 2, 3]);
}

#[test]
fn the_lowest_priority_takes_the_interrupt_and_ties_go_to_the_first() {
    let mut board = board(3);
    for cpu in 0..3 {
        board.apic_write(cpu, LDR, 1 << (24 + cpu));
    }
    board.apic_write(0, TPR, 0x30);
    board.interrupt_message(0xfee0_7004, 0x141);
    assert_eq!(who_has(&board), [1]);
    assert_eq!(board.acknowledge_interrupt(1), Some(0x41));
    board.interrupt_message(0xfee0_7004, 0x142);
    assert_eq!(who_has(&board), [2]);
}

#[test]
fn init_and_start_up_wait_to_be_taken_and_init_de_assert_does_nothing() {
    let mut board = board(2);
    board.apic_write(1, TPR, 0x20);
    board.apic_write(0, ICR_HIGH, 1 << 24);
    board.apic_write(0, ICR_LOW, 0x8500);
    assert!(!board.apics[1].state.init);
    board.apic_write(0, ICR_LOW, 0xc500);
    assert!(board.apics[1].state.init);
    assert_eq!((board.apic_read(1, TPR), board.apic_read(1, SVR), board.apic_read(1, ID)), (0, 0xff, 1 << 24));
    board.apic_write(0, ICR_LOW, 0x699);
    assert_eq!(board.apics[1].state.start_up, Some(0x99));
    board.apic_write(0, ICR_LOW, 0x400);
    assert!(board.apics[1].state.nmi);
}

#[test]
fn x2apic_registers_are_msrs_and_check_reserved_bits() {
    let mut board = board(2);
    assert_eq!(board.apic_read_msr(1, 0x802), None, "not in xAPIC mode");
    board.apic_write(1, ID, 9 << 24);
    x2apic(&mut board, 1);
    assert_eq!(board.apics[1].page(), None);
    assert_eq!(board.apic_read(1, ID), u32::MAX);
    assert_eq!(board.apic_read_msr(1, 0x802), Some(1));
    assert_eq!(board.apic_read_msr(1, 0x80d), Some(2));
    for (msr, value) in [(0x808, 0x100), (0x80b, 1), (0x828, 1), (0x802, 0), (0x832, 1 << 20), (0x83f, 0x100)] {
        assert_eq!(board.apic_write_msr(1, msr, value), None, "{msr:#x}");
    }
    for absent in [0x809, 0x80e, 0x80b, 0x831, 0x83f, 0x82f, 0x8ff] {
        assert_eq!(board.apic_read_msr(1, absent), None, "{absent:#x}");
    }
    assert_eq!(board.apic_write_msr(1, 0x83f, 0x61), Some(()));
    assert_eq!(board.acknowledge_interrupt(1), Some(0x61));
    assert_eq!(board.apic_write_msr(1, 0x80b, 0), Some(()));
    assert_eq!(board.apic_read_msr(1, 0x80a), Some(0));
}

#[test]
fn x2apic_destinations_have_32_bits() {
    let mut board = board(20);
    (0..20).for_each(|cpu| x2apic(&mut board, cpu));
    board.apic_write_msr(0, 0x830, 18 << 32 | 0x41).unwrap();
    assert_eq!(who_has(&board), [18]);
    board.apic_write_msr(0, 0x830, 0x0001_0003 << 32 | 0x842).unwrap();
    assert_eq!(who_has(&board), [16, 17, 18]);
    assert_eq!(board.apic_read_msr(0, 0x830), Some(0x0001_0003 << 32 | 0x842));
    board.apic_write_msr(0, 0x830, 0xffff_ffff << 32 | 0x43).unwrap();
    assert_eq!(who_has(&board).len(), 20);
}

#[test]
fn mode_changes_that_the_manual_forbids_fault() {
    let mut board = board(1);
    let (disabled, xapic, x2) = (0xfee0_0100, 0xfee0_0900, 0xfee0_0d00);
    assert_eq!(board.apic_write_msr(0, MSR_APIC_BASE, 0xfee0_0500), None);
    assert_eq!(board.apic_write_msr(0, MSR_APIC_BASE, xapic | 1), None);
    assert_eq!(board.apic_write_msr(0, MSR_APIC_BASE, x2), Some(()));
    assert_eq!(board.apic_write_msr(0, MSR_APIC_BASE, xapic), None);
    assert_eq!(board.apic_write_msr(0, MSR_APIC_BASE, disabled), Some(()));
    assert_eq!(board.apic_write_msr(0, MSR_APIC_BASE, x2), None);
    assert_eq!(board.apic_write_msr(0, MSR_APIC_BASE, xapic), Some(()));
    assert_eq!(board.apic_read(0, SVR), 0xff, "enabling starts afresh");
    board.apic_write_msr(0, MSR_APIC_BASE, 0xfec1_0900).unwrap();
    assert_eq!(board.apics[0].page(), Some(0xfec1_0000));
}

#[test]
fn errors_are_latched_by_a_write_and_interrupt_once() {
    let mut board = board(1);
    board.apic_write(0, LVT_ERROR, 0xfe);
    board.apic_write(0, ICR_LOW, 0x40005);
    assert_eq!(board.apic_read(0, ESR), 0, "not latched yet");
    board.interrupt_message(0xfee0_0000, 0x0f);
    board.apic_read(0, 0x40);
    assert_eq!(take_all(&mut board, 0), [0xfe]);
    board.apic_write(0, ESR, 0);
    assert_eq!(board.apic_read(0, ESR), 0xe0);
    board.apic_write(0, ESR, 0);
    assert_eq!(board.apic_read(0, ESR), 0);
    board.apic_write(0, 0x3f0, 0);
    assert_eq!(take_all(&mut board, 0), [0xfe], "armed again");
}

#[test]
fn an_error_vector_that_is_itself_illegal_does_not_recurse() {
    let mut board = board(1);
    board.apic_write(0, LVT_ERROR, 3);
    board.apic_write(0, ICR_LOW, 0x40005);
    board.apic_write(0, ESR, 0);
    assert_eq!(board.apic_read(0, ESR), 0x60);
}

#[test]
fn external_interrupts_come_through_the_virtual_wire() {
    let mut board = Board::new(1 << 20, 1).unwrap();
    board.connect_sink(LineId::INTR, Sink::LocalInterrupt { cpu: 0, pin: 0 });
    let pin = board.connect_output(LineId::INTR);
    board.set_line(pin, true);
    assert!(!board.apics[0].has_signal(), "LINT0 is masked after power-on");
    board.set_virtual_wire(0);
    assert!(board.apics[0].has_maskable());
    board.apic_write(0, LVT_LINT0, MASKED | 0x700);
    assert!(!board.apics[0].has_maskable());
    board.apic_write_msr(0, MSR_APIC_BASE, 0xfee0_0100).unwrap();
    assert!(board.apics[0].has_maskable(), "straight to the CPU while the APIC is disabled");
    board.set_line(pin, false);
    assert!(!board.apics[0].has_maskable());
}

#[test]
fn a_fixed_lint0_is_delivered_by_edge_or_level() {
    let mut board = board(1);
    board.apic_write(0, LVT_LINT0, 0x41);
    board.local_interrupt(0, 0, true);
    assert_eq!(take_all(&mut board, 0), [0x41]);
    board.apic_write(0, LVT_LINT0, 0x8042);
    assert_eq!(board.acknowledge_interrupt(0), Some(0x42), "still high");
    assert_eq!(board.apic_read(0, LVT_LINT0), 0xc042);
    board.apic_write(0, EOI, 0);
    assert_eq!(board.acknowledge_interrupt(0), Some(0x42), "again after its end");
    board.local_interrupt(0, 0, false);
    board.apic_write(0, EOI, 0);
    assert_eq!(board.acknowledge_interrupt(0), None);
}

#[test]
fn lint1_is_the_nmi_in_the_virtual_wire_and_only_its_edge_counts() {
    let mut board = Board::new(1 << 20, 1).unwrap();
    board.set_virtual_wire(0);
    board.local_interrupt(0, 1, true);
    assert!(std::mem::take(&mut board.apics[0].state.nmi));
    board.local_interrupt(0, 1, false);
    assert!(!board.apics[0].state.nmi);
}

#[test]
fn saved_state_has_the_same_future() {
    let mut board = board(2);
    board.apic_write(0, DIVIDE, 0xa);
    board.apic_write(0, LVT_TIMER, 0x30 | PERIODIC);
    board.apic_write(0, INITIAL, 333);
    board.apic_write(1, LVT_TIMER, 0x31 | DEADLINE);
    board.apic_write_msr(1, MSR_TSC_DEADLINE, 70_000).unwrap();
    board.interrupt_message(0xfee0_1000, 0x4041 | 1 << 15);
    advance(&mut board, 50_000);
    let saved = board.save();
    let mut other = Board::new(1 << 20, 2).unwrap();
    other.load(&saved).unwrap();
    assert_eq!(other.save(), saved);
    for board in [&mut board, &mut other] {
        advance(board, 200_000);
    }
    assert_eq!(board.save(), other.save());
    for cpu in 0..2 {
        assert!(other.apics[cpu].has_maskable(), "the cached answer is made anew");
        assert_eq!(take_all(&mut board, cpu), take_all(&mut other, cpu));
    }
    assert_eq!(board.save(), other.save());
}

#[test]
fn hostile_accesses_do_no_harm() {
    let mut board = board(2);
    let mut seed = 1_u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 16
    };
    for _ in 0..20_000 {
        let (cpu, value) = (next() as usize & 1, next());
        match next() % 6 {
            0 => drop(board.apic_read(cpu, value)),
            1 => board.apic_write(cpu, next() & 0xff0, value as u32),
            2 => drop(board.apic_write_msr(cpu, 0x800 + (next() as u32 & 0x3f), value & 0x1ff)),
            3 => drop(board.apic_write_msr(cpu, MSR_TSC_DEADLINE, value)),
            4 => board.interrupt_message(value, next() as u32),
            _ => drop(board.apic_write_msr(cpu, MSR_APIC_BASE, 0xfee0_0000 | value & 0xd00)),
        }
        board.now = board.now.wrapping_add(next() % 1000);
        board.fire_due_timers();
        let _ = board.acknowledge_interrupt(cpu);
    }
}
