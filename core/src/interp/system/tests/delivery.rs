//! Frames, privilege checks and double faults.

use crate::cpu::{Activity, Flags, Segment, Shadow, reg, seg};
use crate::interp::tests::{Bench, CODE, GDT, IDT, IST_STACK, KERNEL_STACK, STACK, TSS, handler, selector};

#[test]
fn real_mode_pushes_three_words() {
    // sti; nop; int 0x21
    let mut bench = Bench::real(&[0xfb, 0x90, 0xcd, 0x21]);
    assert_eq!(bench.caught(), Some(0x21));
    assert_eq!(bench.cpu.regs.get(reg::RSP), STACK - 6);
    assert_eq!(bench.read16(STACK - 6), 4);
    assert_eq!(bench.read16(STACK - 4), (CODE >> 4) as u16);
    assert_eq!(bench.read16(STACK - 2), 0x202);
    assert!(!bench.cpu.flags.has(Flags::IF));
}

#[test]
fn real_mode_iret_returns() {
    // int 0x21; mov al, 7; hlt
    let mut bench = Bench::real(&[0xcd, 0x21, 0xb0, 7, 0xf4]);
    bench.write(handler(0x21), &[0xcf]);
    bench.run_to_halt();
    assert_eq!((bench.cpu.regs.get(reg::RAX), bench.cpu.regs.get(reg::RSP)), (7, STACK));
    assert_eq!(bench.cpu.segs[seg::CS], Segment::real_mode_code((CODE >> 4) as u16));
}

#[test]
fn protected_mode_pushes_an_error_code() {
    // int 0x80 through a gate that is not present
    let mut bench = Bench::protected(&[0xcd, 0x80]);
    bench.set_gate(0x80, selector::CODE32, 0x0e);
    assert_eq!(bench.caught(), Some(11));
    assert_eq!(bench.cpu.regs.get(reg::RSP), STACK - 16);
    // Not EXT: the program asked for it.
    assert_eq!(bench.read32(STACK - 16), 0x80 << 3 | 2);
    assert_eq!(bench.read32(STACK - 12), CODE as u32);
    assert_eq!(bench.read32(STACK - 8), u32::from(selector::CODE32));
    assert_eq!(bench.read32(STACK - 4), 2 | Flags::RF as u32);
}

#[test]
fn gates_of_16_bits_push_words() {
    let mut bench = Bench::protected(&[0xcc]);
    let target = handler(3);
    // The offset has 16 bits, so the handler's segment begins at its page.
    bench.write(GDT + 0x48, &(0x0000_9b00_0000_ffff | (target & 0xff_ffff) << 16).to_le_bytes());
    bench.write(IDT + 24, &(u64::from(selector::CODE16) << 16 | 0x87 << 40).to_le_bytes());
    bench.set_flags(Flags::IF);
    bench.run_to_halt();
    assert_eq!(bench.cpu.segs[seg::CS].selector, selector::CODE16);
    assert_eq!((bench.cpu.regs.rip(), bench.cpu.regs.get(reg::RSP)), (1, STACK - 6));
    assert_eq!(bench.read16(STACK - 6), CODE as u16 + 1);
    assert_eq!(bench.read16(STACK - 2), 0x202);
    assert!(bench.cpu.flags.has(Flags::IF), "a trap gate leaves IF");
}

fn user32(code: &[u8]) -> Bench {
    let mut bench = Bench::protected(code);
    bench.set_code(selector::USER_CODE32, selector::USER_DATA);
    bench
}

#[test]
fn protected_mode_switches_stacks_for_an_inner_level() {
    let mut bench = user32(&[0xcd, 0x80]);
    bench.set_gate(0x80, selector::CODE32, 0xee);
    bench.set_flags(Flags::IF | Flags::CF);
    assert_eq!(bench.caught(), Some(0x80));
    assert_eq!(bench.cpu.cpl(), 0);
    assert_eq!(bench.cpu.segs[seg::SS].selector, selector::DATA);
    assert_eq!(bench.cpu.regs.get(reg::RSP), KERNEL_STACK - 20);
    let frame: Vec<_> = (0..5).map(|at| bench.read32(KERNEL_STACK - 20 + 4 * at)).collect();
    let (cs, ss) = (u32::from(selector::USER_CODE32), u32::from(selector::USER_DATA));
    assert_eq!(frame, [CODE as u32 + 2, cs, 0x203, STACK as u32, ss]);
}

#[test]
fn protected_mode_iret_goes_back_to_the_outer_level() {
    let mut bench = user32(&[0xcd, 0x80, 0xf4]);
    bench.set_gate(0x80, selector::CODE32, 0xee);
    bench.write(handler(0x80), &[0xcf]);
    bench.cpu.segs[seg::DS] = Segment { selector: selector::DATA, attributes: 0xc093, ..bench.cpu.segs[seg::DS] };
    // HLT is not for level 3.
    assert_eq!(bench.caught(), Some(13));
    assert_eq!(bench.read32(KERNEL_STACK - 20), CODE as u32 + 2);
    assert_eq!(bench.read32(KERNEL_STACK - 8), STACK as u32);
    assert_eq!(bench.cpu.segs[seg::DS].selector, 0, "level 3 may not keep a segment of level 0");
    assert_eq!(bench.cpu.segs[seg::ES].selector, selector::USER_DATA);
}

#[test]
fn programs_need_the_gate_s_permission() {
    let mut bench = user32(&[0xcd, 0x80]);
    assert_eq!(bench.caught(), Some(13));
    assert_eq!(bench.read32(KERNEL_STACK - 24), 0x80 << 3 | 2);
    // INT1 does not.
    assert_eq!(user32(&[0xf1]).caught(), Some(1));
}

#[test]
fn long_mode_pushes_five_words_on_an_aligned_stack() {
    // sub rsp, 4; int3
    let mut bench = Bench::long(&[0x48, 0x83, 0xec, 4, 0xcc]);
    assert_eq!(bench.caught(), Some(3));
    let top = STACK - 16;
    assert_eq!(bench.cpu.regs.get(reg::RSP), top - 40);
    let frame: Vec<_> = (0..5).map(|at| bench.read64(top - 40 + 8 * at)).collect();
    let flags = frame[2];
    let (cs, ss) = (u64::from(selector::CODE64), u64::from(selector::DATA));
    assert_eq!(frame, [CODE + 5, cs, flags, STACK - 4, ss]);
    assert_eq!(bench.cpu.segs[seg::SS].selector, selector::DATA);
}

#[test]
fn long_mode_uses_the_interrupt_stack_table() {
    let mut bench = Bench::long(&[0x0f, 0x0b]);
    bench.set_gate64(6, 0x8f, 1);
    assert_eq!(bench.caught(), Some(6));
    assert_eq!(bench.cpu.regs.get(reg::RSP), IST_STACK - 40);
    assert_eq!(bench.read64(IST_STACK - 40), CODE);
    assert_eq!(bench.read64(IST_STACK - 24) & Flags::RF, Flags::RF, "a fault resumes");
}

#[test]
fn long_mode_leaves_a_null_stack_segment_for_an_inner_level() {
    let mut bench = Bench::long(&[0xfa]);
    bench.set_code(selector::USER_CODE64, selector::USER_DATA);
    assert_eq!(bench.caught(), Some(13), "CLI at level 3");
    assert_eq!((bench.cpu.segs[seg::SS].selector, bench.cpu.cpl()), (0, 0));
    assert_eq!(bench.cpu.regs.get(reg::RSP), KERNEL_STACK - 48);
    assert_eq!(bench.read64(KERNEL_STACK - 48), 0);
    assert_eq!(bench.read64(KERNEL_STACK - 8), u64::from(selector::USER_DATA));
}

#[test]
fn compatibility_mode_enters_64_bit_handlers_and_comes_back() {
    // int 0x80; inc eax (in 64-bit mode a prefix); int3
    let mut bench = Bench::long(&[0xcd, 0x80, 0x40, 0xcc]);
    bench.set_code(selector::USER_CODE32, selector::USER_DATA);
    bench.set_gate64(0x80, 0xee, 0);
    bench.set_gate64(3, 0xee, 0);
    bench.write(handler(0x80), &[0x48, 0xcf]);
    assert_eq!(bench.caught(), Some(3));
    assert_eq!(bench.cpu.regs.get(reg::RAX), 1);
    assert_eq!(bench.read64(KERNEL_STACK - 32), u64::from(selector::USER_CODE32));
    assert_eq!(bench.read64(KERNEL_STACK - 16), STACK);
}

#[test]
fn a_page_fault_tells_where_and_why() {
    // mov [0x200000000], al: beyond the first GiB
    let mut bench = Bench::long(&[0xa2, 0, 0, 0, 0, 2, 0, 0, 0]);
    assert_eq!(bench.caught(), Some(14));
    assert_eq!(bench.cpu.cr2, 0x2_0000_0000);
    assert_eq!(bench.read64(STACK - 48), 2);
}

#[test]
fn contributory_faults_make_a_double_fault() {
    let mut bench = Bench::long(&[0xcd, 0x80]);
    bench.set_gate64(0x80, 0x0e, 0);
    // #NP cannot be delivered either: #NP again.
    bench.set_gate64(11, 0x0e, 0);
    bench.set_gate64(8, 0x8e, 1);
    assert_eq!(bench.caught(), Some(8));
    assert_eq!(bench.read64(IST_STACK - 48), 0);
    assert_eq!(bench.read64(IST_STACK - 40), CODE);
}

#[test]
fn a_page_fault_while_delivering_a_benign_exception_is_delivered() {
    let mut bench = Bench::long(&[0x0f, 0x0b]);
    bench.cpu.regs.set(reg::RSP, 0x2_0000_0000);
    bench.set_gate64(14, 0x8e, 1);
    assert_eq!(bench.caught(), Some(14));
    assert_eq!(bench.cpu.cr2, 0x2_0000_0000 - 8);
    assert_eq!(bench.read64(IST_STACK - 48), 2);
}

#[test]
fn a_page_fault_on_the_stack_of_a_page_fault_is_a_double_fault() {
    let mut bench = Bench::long(&[0x50]);
    bench.cpu.regs.set(reg::RSP, 0x2_0000_0000);
    bench.set_gate64(8, 0x8e, 1);
    assert_eq!(bench.caught(), Some(8));
    assert_eq!(bench.cpu.cr2, 0x2_0000_0000 - 8);
}

#[test]
fn a_fault_on_the_way_to_the_double_fault_shuts_down() {
    let mut bench = Bench::protected(&[0x0f, 0x0b]);
    bench.cpu.idtr.limit = 0;
    bench.run_to_halt();
    assert_eq!(bench.cpu.activity, Activity::Shutdown);
    assert_eq!(bench.board.take_power(), Some(crate::output::PowerEvent::TripleFault));
    assert_eq!(bench.cpu.regs.rip(), CODE);
}

#[test]
fn the_task_state_must_hold_the_stack() {
    let mut bench = user32(&[0xcd, 0x80]);
    bench.set_gate(0x80, selector::CODE32, 0xee);
    bench.write(TSS + 8, &u32::from(selector::USER_DATA).to_le_bytes());
    bench.run_to_halt();
    // #TS needs the same stack, so that it ends in shutdown.
    assert_eq!(bench.cpu.activity, Activity::Shutdown);
}

#[test]
fn alignment_checks_without_end_take_time() {
    // mov eax, [esp + 1]: misaligned, as every frame is on the program's own stack
    let mut bench = user32(&[0x8b, 0x44, 0x24, 0x01]);
    bench.cpu.cr0 |= crate::cpu::cr0::AM;
    bench.set_flags(Flags::AC);
    bench.cpu.regs.set(reg::RSP, STACK - 2);
    bench.set_gate(17, selector::USER_CODE32, 0xee);
    assert_eq!(bench.run(100).retired, 100);
    assert_eq!((bench.cpu.regs.rip(), bench.cpu.regs.get(reg::RSP)), (CODE, STACK - 2));
}

#[test]
fn an_nmi_waits_for_iret_of_the_one_before() {
    let mut bench = Bench::long(&[0x90, 0x90, 0x90]);
    // nop; iretq
    bench.write(handler(2), &[0x90, 0x48, 0xcf]);
    bench.board.apics[0].state.nmi = true;
    bench.run(2);
    assert_eq!(bench.cpu.regs.rip(), handler(2) + 1);
    bench.board.apics[0].state.nmi = true;
    assert_eq!(bench.cpu.regs.get(reg::RSP), STACK - 40);
    bench.run(2);
    // IRETQ went back to CODE, where the second one was taken at once.
    assert_eq!((bench.cpu.regs.rip(), bench.cpu.regs.get(reg::RSP)), (handler(2), STACK - 40));
    assert!(bench.cpu.nmi_blocked && !bench.board.apics[0].state.nmi);
    bench.run(2);
    assert_eq!((bench.cpu.regs.rip(), bench.cpu.nmi_blocked), (CODE, false));
}

#[test]
fn the_shadow_of_sti_covers_one_instruction() {
    let mut bench = Bench::long(&[0xfb, 0x90, 0x90]);
    bench.run(1);
    assert_eq!(bench.cpu.shadow, Shadow::Sti);
    bench.run(1);
    assert_eq!((bench.cpu.shadow, bench.cpu.regs.rip()), (Shadow::None, CODE + 2));
}

#[test]
fn single_steps_trap_after_each_instruction() {
    // pushfq; or byte [rsp+1], 1; popfq; nop; nop
    let mut bench = Bench::long(&[0x9c, 0x80, 0x4c, 0x24, 1, 1, 0x9d, 0x90, 0x90]);
    assert_eq!(bench.caught(), Some(1));
    assert_eq!(bench.read64(STACK - 40), CODE + 8);
    assert_eq!(bench.read64(STACK - 24) & Flags::TF, Flags::TF);
    assert_eq!(bench.cpu.dr6, 0xffff_4ff0);
    assert!(!bench.cpu.flags.has(Flags::TF));
}

#[test]
fn code_breakpoints_fault_once() {
    let mut bench = Bench::long(&[0x90, 0x90, 0xf4]);
    bench.cpu.dr[1] = CODE + 1;
    bench.cpu.dr7 = 0x400 | 1 << 2;
    assert_eq!(bench.caught(), Some(1));
    assert_eq!((bench.read64(STACK - 40), bench.cpu.dr6), (CODE + 1, 0xffff_0ff2));
    // The handler sets RF in the saved flags: or byte [rsp+18], 1; iretq
    let mut bench = Bench::long(&[0x90, 0x90, 0xf4]);
    bench.cpu.dr[1] = CODE + 1;
    bench.cpu.dr7 = 0x400 | 1 << 2;
    bench.write(handler(1), &[0x80, 0x4c, 0x24, 18, 1, 0x48, 0xcf]);
    bench.run_to_halt();
    assert_eq!(bench.cpu.regs.rip(), CODE + 3);
}

#[test]
fn watched_data_traps_after_the_instruction() {
    // mov [0x20004], eax; hlt
    let mut bench = Bench::long(&[0x89, 0x04, 0x25, 4, 0, 2, 0, 0xf4]);
    bench.cpu.dr[0] = 0x2_0004;
    bench.cpu.dr7 = 0x400 | 1 | 0b1101 << 16;
    assert_eq!(bench.caught(), Some(1));
    assert_eq!((bench.read64(STACK - 40), bench.cpu.dr6), (CODE + 7, 0xffff_0ff1));
}
