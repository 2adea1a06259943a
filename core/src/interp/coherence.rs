//! Where blocks begin and end, and what is cached, is seen nowhere.

use super::tests::{Bench, CODE, DATA, PAGE_TABLES, STACK, handler};
use crate::cpu::{reg, seg};

/// A page with other code.
const OTHER: u64 = DATA + 0x1000;

#[test]
fn a_code_page_that_is_mapped_elsewhere_is_left_at_once() {
    // mov [rbx], rax; inc ecx; hlt
    let mut bench = Bench::long(&[0x48, 0x89, 0x03, 0xff, 0xc1, 0xf4]);
    // The same place in the other page: nop; nop; hlt
    bench.write(OTHER + 3, &[0x90, 0x90, 0xf4]);
    bench.cpu.regs.set(reg::RBX, bench.leaf(CODE));
    bench.cpu.regs.set(reg::RAX, OTHER | 7);
    bench.run_to_halt();
    assert_eq!(bench.cpu.regs.get(reg::RCX), 0);
}

#[test]
fn an_entry_of_several_levels_keeps_its_dirty_bit() {
    // mov [rbx], eax; hlt: the root maps itself, so its last entry is that of all four levels
    let mut bench = Bench::long(&[0x89, 0x03, 0xf4]);
    let entry = PAGE_TABLES + 8 * 511;
    bench.write(entry, &(PAGE_TABLES | 7).to_le_bytes());
    bench.cpu.regs.set(reg::RBX, 0xffff_ffff_ffff_f800);
    bench.run_to_halt();
    assert_eq!(bench.read64(entry), PAGE_TABLES | 0x67);
}

#[test]
fn accessed_bits_that_lie_in_code_are_seen() {
    // mov ebx, 0xa02000; again: mov rax, <entry>; mov ecx, [rbx]; inc edx; cmp edx, 2; jne again; hlt
    let mut code = vec![0xbb, 0x00, 0x20, 0xa0, 0x00];
    code.resize(14, 0x90);
    code.extend([0x48, 0xb8]);
    code.extend((DATA | 7).to_le_bytes());
    code.extend([0x8b, 0x0b, 0xff, 0xc2, 0x83, 0xfa, 0x02, 0x75, 0xed, 0xf4]);
    let mut bench = Bench::long(&code);
    // The code is the page table of 10 MiB.
    bench.write(PAGE_TABLES + 0x2000 + 8 * 5, &(CODE | 7).to_le_bytes());
    bench.run_to_halt();
    assert_eq!(bench.cpu.regs.get(reg::RAX), DATA | 0x27);
}

#[test]
fn the_limit_of_the_code_segment_ends_a_block() {
    // inc ecx; inc edx; hlt
    for limit in [CODE + 1, CODE + 2] {
        let mut bench = Bench::protected(&[0xff, 0xc1, 0xff, 0xc2, 0xf4]);
        bench.cpu.segs[seg::CS].limit = limit as u32;
        assert_eq!(bench.caught(), Some(13));
        assert_eq!((bench.cpu.regs.get(reg::RCX), bench.cpu.regs.get(reg::RDX)), (1, 0));
    }
}

#[test]
fn what_a_delivery_brings_about_is_taken_before_the_handler() {
    let mut bench = Bench::long(&[0x90]);
    bench.board.apics[0].state.nmi = true;
    // The frame of the NMI is watched.
    bench.cpu.dr[0] = STACK - 8;
    bench.cpu.dr7 = 0x400 | 1 | 0b1001 << 16;
    assert_eq!(bench.caught(), Some(1));
    assert_eq!(bench.read64(STACK - 88), handler(2));
}

#[test]
fn a_local_apic_that_covers_ram_is_reached_at_once() {
    // mov eax, [rbx]; mov eax, DATA | enabled; wrmsr; mov esi, [rbx]; hlt
    let code = [0x8b, 0x03, 0xb8, 0x00, 0x09, 0x02, 0x00, 0x0f, 0x30, 0x8b, 0x33, 0xf4];
    let mut bench = Bench::long(&code);
    bench.cpu.regs.set(reg::RBX, DATA + 0x30);
    bench.cpu.regs.set(reg::RCX, 0x1b);
    bench.run_to_halt();
    assert_eq!(bench.cpu.regs.get(reg::RSI), u64::from(bench.board.apic_read(0, 0x30)), "the version register");
    assert_ne!(bench.cpu.regs.get(reg::RSI), 0);
}
