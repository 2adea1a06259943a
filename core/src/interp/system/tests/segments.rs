//! Segment registers, far transfers and descriptor tables.

use crate::cpu::{Flags, Segment, Shadow, reg, seg};
use crate::interp::tests::{Bench, CODE, DATA, GDT, KERNEL_STACK, STACK, handler, selector};

const FREE: u64 = GDT + 8 * 11;
const FREE_SELECTOR: u16 = 8 * 11;

#[test]
fn real_mode_keeps_the_limit() {
    // mov ds, ax; mov es, bx
    let mut bench = Bench::real(&[0x8e, 0xd8, 0x8e, 0xc3]);
    bench.cpu.segs[seg::DS].limit = 0xffff_ffff;
    bench.cpu.regs.set(reg::RAX, 0x1234);
    bench.run(1);
    let ds = bench.cpu.segs[seg::DS];
    assert_eq!((ds.selector, ds.base, ds.limit), (0x1234, 0x1_2340, 0xffff_ffff));
}

#[test]
fn loads_check_the_descriptor() {
    let load = |descriptor: u64, selector: u16| {
        // mov ds, ax
        let mut bench = Bench::protected(&[0x8e, 0xd8, 0xf4]);
        bench.write(FREE, &descriptor.to_le_bytes());
        bench.cpu.regs.set(reg::RAX, u64::from(selector));
        (bench.caught(), bench.read32(STACK - 16), bench.cpu.segs[seg::DS])
    };
    let (caught, _, ds) = load(0x0040_9200_1000_0fff, FREE_SELECTOR);
    assert_eq!((caught, ds.base, ds.limit), (None, 0x1000, 0xfff));
    assert_eq!(ds.attributes & Segment::ACCESSED, 1);
    assert_eq!(load(0x0040_1200_1000_0fff, FREE_SELECTOR).0, Some(11), "not present");
    let (caught, code, _) = load(0x0040_9800_1000_0fff, FREE_SELECTOR);
    assert_eq!((caught, code), (Some(13), 0x58), "code that may not be read");
    assert_eq!(load(0x0040_9200_1000_0fff, FREE_SELECTOR | 3).0, Some(13), "requested privilege");
    assert_eq!(load(0, 0x100).1, 0x100, "outside the table");
    assert_eq!(load(0, 3).2, Segment::null(3));
}

#[test]
fn null_segments_fault_when_used() {
    // mov ds, ax; mov bl, [0]
    let mut bench = Bench::protected(&[0x8e, 0xd8, 0x8a, 0x1d, 0, 0, 0, 0]);
    assert_eq!(bench.caught(), Some(13));
    assert_eq!(bench.read32(STACK - 12), CODE as u32 + 2);
}

#[test]
fn loading_ss_shadows_the_next_instruction() {
    // mov ss, ax; mov esp, ebx
    let mut bench = Bench::protected(&[0x8e, 0xd0, 0x89, 0xdc]);
    bench.cpu.regs.set(reg::RAX, u64::from(selector::DATA));
    bench.board.apics[0].state.nmi = true;
    bench.cpu.nmi_blocked = true;
    bench.run(1);
    assert_eq!(bench.cpu.shadow, Shadow::MovSs);
    bench.cpu.nmi_blocked = false;
    bench.cpu.regs.set(reg::RBX, 0x8800);
    bench.run(2);
    assert_eq!((bench.cpu.regs.rip(), bench.cpu.regs.get(reg::RSP)), (handler(2), 0x8800 - 12));
}

#[test]
fn ss_must_match_the_privilege_level() {
    let mut bench = Bench::protected(&[0x8e, 0xd0]);
    bench.cpu.regs.set(reg::RAX, u64::from(selector::USER_DATA));
    assert_eq!(bench.caught(), Some(13));
    assert_eq!(bench.read32(STACK - 16), u32::from(selector::USER_DATA & !3));
    // A null SS is for 64-bit mode.
    assert_eq!(Bench::protected(&[0x8e, 0xd0]).caught(), Some(13));
    let mut bench = Bench::long(&[0x8e, 0xd0, 0x50, 0xf4]);
    assert_eq!(bench.caught(), None);
    assert_eq!(bench.cpu.segs[seg::SS].selector, 0);
}

#[test]
fn segments_are_pushed_and_popped() {
    // push ds; pop fs; push fs; pop rax
    let mut bench = Bench::protected(&[0x1e, 0x0f, 0xa1, 0x0f, 0xa0, 0x58, 0xf4]);
    assert_eq!(bench.caught(), None);
    assert_eq!(bench.cpu.regs.get(reg::RAX), u64::from(selector::DATA));
    assert_eq!((bench.cpu.segs[seg::FS].selector, bench.cpu.regs.get(reg::RSP)), (selector::DATA, STACK));
}

#[test]
fn far_jumps_change_the_mode_of_decoding() {
    // Compatibility mode to 64-bit mode and back: jmp CODE64:+7; xor eax, eax; dec rax; push CODE32; push +.. ; retfq
    let mut code = vec![0xea];
    code.extend((CODE as u32 + 7).to_le_bytes());
    code.extend(selector::CODE64.to_le_bytes());
    code.extend([0x31, 0xc0, 0x48, 0xff, 0xc8, 0x6a, selector::CODE32 as u8, 0x68]);
    code.extend((CODE as u32 + 21).to_le_bytes());
    code.extend([0x48, 0xcb]);
    assert_eq!(code.len(), 21);
    // dec eax; hlt (in 64-bit mode: rex.w hlt)
    code.extend([0x48, 0xf4]);
    let mut bench = Bench::long(&code);
    bench.set_code(selector::CODE32, selector::DATA);
    assert_eq!(bench.caught(), None);
    assert_eq!(bench.cpu.regs.get(reg::RAX), 0xffff_fffe);
    assert_eq!((bench.cpu.segs[seg::CS].selector, bench.cpu.regs.get(reg::RSP)), (selector::CODE32, STACK));
}

#[test]
fn far_jumps_check_privilege() {
    let mut code = vec![0xea];
    code.extend((CODE as u32).to_le_bytes());
    code.extend(selector::USER_CODE32.to_le_bytes());
    let mut bench = Bench::protected(&code);
    assert_eq!(bench.caught(), Some(13));
    assert_eq!(bench.read32(STACK - 16), u32::from(selector::USER_CODE32 & !3));
}

#[test]
fn far_calls_and_returns_nest_in_real_mode() {
    // call 0x1000:0x10; hlt ... at 0x10: retf 2
    let mut code = vec![0x9a, 0x10, 0, 0, 0x10, 0xf4];
    code.resize(0x10, 0);
    code.extend([0xca, 2, 0]);
    let mut bench = Bench::real(&code);
    bench.run_to_halt();
    assert_eq!((bench.cpu.regs.rip(), bench.cpu.regs.get(reg::RSP)), (6, STACK + 2));
    assert_eq!(bench.read16(STACK - 4), 5);
    assert_eq!(bench.read16(STACK - 2), 0x1000);
}

#[test]
fn call_gates_copy_parameters_to_the_inner_stack() {
    // push 0x11; push 0x22; call gate:0
    let mut bench = Bench::protected(&[0x6a, 0x11, 0x6a, 0x22, 0x9a, 0, 0, 0, 0, FREE_SELECTOR as u8 | 3, 0, 0xf4]);
    bench.set_code(selector::USER_CODE32, selector::USER_DATA);
    let target = handler(0x99);
    let gate = target & 0xffff | u64::from(selector::CODE32) << 16 | 2 << 32 | 0xec << 40 | (target >> 16) << 48;
    bench.write(FREE, &gate.to_le_bytes());
    // retf 8
    bench.write(target, &[0xca, 8, 0]);
    bench.run(3);
    assert_eq!((bench.cpu.cpl(), bench.cpu.regs.get(reg::RSP)), (0, KERNEL_STACK - 24));
    let frame: Vec<_> = (0..6).map(|at| bench.read32(KERNEL_STACK - 24 + 4 * at)).collect();
    let (cs, ss) = (u32::from(selector::USER_CODE32), u32::from(selector::USER_DATA));
    assert_eq!(frame, [CODE as u32 + 11, cs, 0x22, 0x11, STACK as u32 - 8, ss]);
    bench.run(1);
    assert_eq!((bench.cpu.cpl(), bench.cpu.regs.get(reg::RSP)), (3, STACK));
    assert_eq!(bench.cpu.regs.rip(), CODE + 11);
}

#[test]
fn table_registers_come_from_memory() {
    // lgdt [0x20000]; sidt [0x20010]
    let mut bench = Bench::long(&[0x0f, 0x01, 0x14, 0x25, 0, 0, 2, 0, 0x0f, 0x01, 0x0c, 0x25, 0x10, 0, 2, 0]);
    bench.write(DATA, &[0x34, 0x12, 0, 0, 0, 0, 0, 0x80, 0xff, 0xff]);
    bench.run(2);
    assert_eq!((bench.cpu.gdtr.limit, bench.cpu.gdtr.base), (0x1234, 0xffff_8000_0000_0000));
    assert_eq!((bench.read16(DATA + 0x10), bench.read64(DATA + 0x12)), (0xfff, 0x3000));
}

#[test]
fn the_task_register_marks_its_descriptor_busy() {
    // ltr ax; str ebx
    let mut bench = Bench::long(&[0x0f, 0x00, 0xd8, 0x0f, 0x00, 0xcb]);
    bench.write(FREE - 8, &0x0000_8900_5678_0067u64.to_le_bytes());
    bench.write(FREE, &0xffff_8880u64.to_le_bytes());
    bench.cpu.gdtr.limit += 8;
    bench.cpu.regs.set(reg::RAX, u64::from(FREE_SELECTOR - 8));
    bench.run(2);
    assert_eq!(bench.cpu.tr.base, 0xffff_8880_0000_5678);
    assert_eq!(bench.read64(FREE - 8) >> 40 & 0xff, 0x8b);
    assert_eq!(bench.cpu.regs.get(reg::RBX), u64::from(FREE_SELECTOR - 8));
}

#[test]
fn lar_and_lsl_tell_about_descriptors() {
    // lar eax, cx; lsl edx, cx
    let mut bench = Bench::long(&[0x0f, 0x02, 0xc1, 0x0f, 0x03, 0xd1]);
    bench.cpu.regs.set(reg::RCX, u64::from(selector::USER_DATA));
    bench.run(2);
    assert!(bench.cpu.flags.zero());
    assert_eq!((bench.cpu.regs.get(reg::RAX), bench.cpu.regs.get(reg::RDX)), (0xc0_f300, 0xffff_ffff));
    // verw cx at level 3 for a segment of level 0
    let mut bench = Bench::long(&[0x0f, 0x00, 0xe9]);
    bench.set_code(selector::USER_CODE64, selector::USER_DATA);
    bench.set_flags(Flags::ZF);
    bench.cpu.regs.set(reg::RCX, u64::from(selector::DATA));
    bench.run(1);
    assert!(!bench.cpu.flags.zero());
}

#[test]
fn the_limit_of_code_holds_wherever_execution_is_cut() {
    // inc eax five times, of which the last is a longer form that begins within the limit and ends beyond it.
    for cut in 0..5 {
        let mut bench = Bench::protected(&[0x40, 0x40, 0x40, 0x40, 0xff, 0xc0]);
        bench.cpu.segs[seg::CS].limit = CODE as u32 + 4;
        bench.set_gate(13, selector::CODE32, 0x8e);
        if cut > 0 {
            bench.run(cut);
        }
        assert_eq!(bench.caught(), Some(13), "cut after {cut}");
        assert_eq!(bench.cpu.regs.get(reg::RAX), 4, "cut after {cut}");
    }
}
