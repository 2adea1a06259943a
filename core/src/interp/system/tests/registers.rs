//! Control registers, model-specific registers, fast system calls and what a program may not do.

use crate::cpu::{Flags, Segment, cr0, cr4, efer, reg, seg};
use crate::interp::tests::{Bench, CODE, DATA, KERNEL_STACK, PAGE_TABLES, STACK, selector};

const GP: Option<u8> = Some(13);
const UD: Option<u8> = Some(6);

fn user(code: &[u8]) -> Bench {
    let mut bench = Bench::long(code);
    bench.set_code(selector::USER_CODE64, selector::USER_DATA);
    bench
}

fn set_edx_eax(bench: &mut Bench, msr: u32, value: u64) {
    bench.cpu.regs.set(reg::RCX, u64::from(msr));
    bench.cpu.regs.set(reg::RAX, value & 0xffff_ffff);
    bench.cpu.regs.set(reg::RDX, value >> 32);
}

fn wrmsr(msr: u32, value: u64) -> (Option<u8>, Bench) {
    let mut bench = Bench::long(&[0x0f, 0x30, 0xf4]);
    set_edx_eax(&mut bench, msr, value);
    (bench.caught(), bench)
}

fn rdmsr(msr: u32) -> Result<u64, u8> {
    let mut bench = Bench::long(&[0x0f, 0x32, 0xf4]);
    set_edx_eax(&mut bench, msr, 0);
    match bench.caught() {
        None => Ok(bench.cpu.regs.get(reg::RDX) << 32 | bench.cpu.regs.get(reg::RAX)),
        Some(vector) => Err(vector),
    }
}

#[test]
fn the_way_from_real_to_64_bit_mode() {
    let mut code = vec![];
    code.extend([0x66, 0x0f, 0x01, 0x16, 0xf0, 0]); // lgdt [0xf0]: 32-bit operand
    code.extend([0x0f, 0x20, 0xc0, 0x0c, 1, 0x0f, 0x22, 0xc0]); // mov eax, cr0; or al, 1; mov cr0, eax
    code.extend([0x66, 0xea]); // jmp far CODE32
    code.extend((CODE as u32 + 22).to_le_bytes());
    code.extend(selector::CODE32.to_le_bytes());
    assert_eq!(code.len(), 22);
    code.extend([0xb8, 0x20, 0, 0, 0, 0x0f, 0x22, 0xe0]); // mov eax, PAE; mov cr4, eax
    code.push(0xb8); // mov eax, PAGE_TABLES
    code.extend((PAGE_TABLES as u32).to_le_bytes());
    code.extend([0x0f, 0x22, 0xd8]); // mov cr3, eax
    code.extend([0xb9, 0x80, 0, 0, 0xc0, 0x0f, 0x32, 0x80, 0xcc, 1, 0x0f, 0x30]); // efer |= LME
    code.extend([0x0f, 0x20, 0xc0, 0x0d, 0, 0, 0, 0x80, 0x0f, 0x22, 0xc0]); // cr0 |= PG
    code.push(0xea); // jmp far CODE64
    code.extend((CODE as u32 + code.len() as u32 + 6).to_le_bytes());
    code.extend(selector::CODE64.to_le_bytes());
    code.extend([0x48, 0xff, 0xc8, 0xf4]); // dec rax; hlt
    let mut bench = Bench::real(&code);
    let mut tables = Bench::long(&[]);
    std::mem::swap(&mut bench.board.ram, &mut tables.board.ram);
    bench.write(CODE, &code);
    bench.write(0xf0, &[0x5f, 0, 0, 0x20, 0, 0]);
    bench.run_to_halt();
    assert_eq!(bench.cpu.segs[seg::CS].selector, selector::CODE64);
    assert!(bench.cpu.is_64bit() && bench.cpu.efer == efer::LME | efer::LMA);
    assert_eq!(bench.cpu.regs.get(reg::RAX), 0xe000_0010);
}

#[test]
fn control_registers_refuse_what_does_not_fit() {
    // mov cr0, rax / mov cr4, rax / mov cr3, rax / mov cr8, rax
    let write = |number: u8, value: u64| {
        let code =
            if number == 8 { vec![0x44, 0x0f, 0x22, 0xc0, 0xf4] } else { vec![0x0f, 0x22, 0xc0 | number << 3, 0xf4] };
        let mut bench = Bench::long(&code);
        bench.cpu.regs.set(reg::RAX, value);
        bench.caught()
    };
    let on = cr0::PE | cr0::PG;
    assert_eq!(write(0, on), None);
    assert_eq!(write(0, on | 1 << 32), GP);
    assert_eq!(write(0, cr0::PG), GP, "paging needs protection");
    assert_eq!(write(0, on | cr0::NW), GP, "NW without CD");
    assert_eq!(write(0, cr0::PE), GP, "64-bit code cannot switch paging off");
    assert_eq!(write(4, cr4::PAE | cr4::SMAP), None);
    assert_eq!(write(4, cr4::SMAP), GP, "long mode needs PAE");
    assert_eq!(write(4, cr4::PAE | cr4::VME), GP, "VME is not modelled");
    assert_eq!(write(4, cr4::PAE | cr4::PCIDE), None);
    assert_eq!(write(3, PAGE_TABLES | 1 << 40), GP, "beyond physical addresses");
    assert_eq!(write(3, PAGE_TABLES | 1 << 63), GP, "no PCIDs");
    assert_eq!(write(8, 15), None);
    assert_eq!(write(8, 16), GP);
    assert_eq!(write(1, 0), UD);
}

#[test]
fn programs_do_not_reach_the_system() {
    let privileged: [&[u8]; 13] = [
        &[0x0f, 0x20, 0xc0],       // mov rax, cr0
        &[0x0f, 0x22, 0xd8],       // mov cr3, rax
        &[0x0f, 0x23, 0xc0],       // mov dr0, rax
        &[0x0f, 0x01, 0x14, 0x24], // lgdt [rsp]
        &[0x0f, 0x01, 0xf0],       // lmsw ax
        &[0x0f, 0x06],             // clts
        &[0x0f, 0x08],             // invd
        &[0x0f, 0x01, 0x3c, 0x24], // invlpg [rsp]
        &[0x0f, 0x30],             // wrmsr
        &[0x0f, 0x32],             // rdmsr
        &[0xf4],                   // hlt
        &[0x0f, 0x01, 0xf8],       // swapgs
        &[0x0f, 0x00, 0xd8],       // ltr ax
    ];
    for code in privileged {
        let mut bench = user(code);
        assert_eq!(bench.caught(), GP, "{code:02x?}");
        assert_eq!((bench.cpu.cpl(), bench.read64(KERNEL_STACK - 40)), (0, CODE), "{code:02x?}");
    }
    // sgdt [rsp] is allowed without UMIP.
    let mut bench = user(&[0x0f, 0x01, 0x04, 0x24, 0xcc]);
    assert_eq!(bench.caught(), GP);
    assert_eq!(bench.read64(KERNEL_STACK - 40), CODE + 4);
    let mut bench = user(&[0x0f, 0x01, 0x04, 0x24, 0xcc]);
    bench.cpu.cr4 |= cr4::UMIP;
    bench.caught();
    assert_eq!(bench.read64(KERNEL_STACK - 40), CODE);
}

#[test]
fn syscall_and_sysret_change_levels_without_memory() {
    // syscall; hlt
    let mut bench = user(&[0x0f, 0x05, 0xf4]);
    bench.cpu.msrs.star = 0x001b_0018 << 32;
    bench.cpu.msrs.lstar = DATA;
    bench.cpu.msrs.fmask = Flags::IF | Flags::DF;
    bench.write(DATA, &[0x48, 0x0f, 0x07]);
    bench.set_flags(Flags::IF | Flags::CF | Flags::DF);
    bench.run(1);
    assert_eq!((bench.cpu.cpl(), bench.cpu.regs.rip()), (0, DATA));
    assert_eq!((bench.cpu.segs[seg::CS].selector, bench.cpu.segs[seg::SS].selector), (0x18, 0x20));
    assert_eq!((bench.cpu.regs.get(reg::RCX), bench.cpu.regs.get(reg::R11)), (CODE + 2, 0x603));
    assert_eq!(bench.cpu.flags.get(), 3);
    bench.run(1);
    assert_eq!((bench.cpu.cpl(), bench.cpu.regs.rip(), bench.cpu.flags.get()), (3, CODE + 2, 0x603));
    assert_eq!((bench.cpu.segs[seg::CS].selector, bench.cpu.segs[seg::SS].selector), (0x2b, 0x23));
    assert_eq!(bench.caught(), GP);
}

#[test]
fn sysret_traps_by_the_flag_that_it_loads() {
    // syscall; nop
    let mut bench = user(&[0x0f, 0x05, 0x90]);
    bench.cpu.msrs.star = 0x001b_0018 << 32;
    bench.cpu.msrs.lstar = DATA;
    bench.cpu.msrs.fmask = Flags::TF;
    bench.write(DATA, &[0x48, 0x0f, 0x07]);
    bench.set_flags(Flags::TF);
    assert_eq!(bench.caught(), Some(1));
    assert_eq!((bench.read64(KERNEL_STACK - 40), bench.read64(KERNEL_STACK - 32)), (CODE + 2, 0x2b));
}

#[test]
fn syscall_needs_to_be_enabled() {
    let mut bench = user(&[0x0f, 0x05]);
    bench.cpu.efer &= !efer::SCE;
    assert_eq!(bench.caught(), UD);
    let mut bench = Bench::long(&[0x48, 0x0f, 0x07]);
    bench.cpu.regs.set(reg::RCX, 1 << 47);
    assert_eq!(bench.caught(), GP, "SYSRET to no canonical address faults at level 0");
    assert_eq!(bench.cpu.regs.get(reg::RSP), STACK - 48);
}

#[test]
fn sysenter_and_sysexit_use_flat_segments() {
    let mut bench = Bench::protected(&[0x0f, 0x34, 0xf4]);
    bench.set_code(selector::USER_CODE32, selector::USER_DATA);
    bench.cpu.msrs.sysenter_cs = 8;
    bench.cpu.msrs.sysenter_eip = DATA;
    bench.cpu.msrs.sysenter_esp = KERNEL_STACK;
    // mov edx, CODE + 2; mov ecx, STACK; sysexit
    let mut code = vec![0xba];
    code.extend((CODE as u32 + 2).to_le_bytes());
    code.push(0xb9);
    code.extend((STACK as u32).to_le_bytes());
    code.extend([0x0f, 0x35]);
    bench.write(DATA, &code);
    bench.run(1);
    assert_eq!((bench.cpu.cpl(), bench.cpu.regs.rip(), bench.cpu.regs.get(reg::RSP)), (0, DATA, KERNEL_STACK));
    bench.run(3);
    assert_eq!((bench.cpu.cpl(), bench.cpu.regs.rip(), bench.cpu.regs.get(reg::RSP)), (3, CODE + 2, STACK));
    assert_eq!((bench.cpu.segs[seg::CS].selector, bench.cpu.segs[seg::SS].selector), (0x1b, 0x23));
}

#[test]
fn bases_are_swapped_and_written() {
    // swapgs; wrfsbase rax; rdgsbase rbx; hlt
    let code = [0x0f, 0x01, 0xf8, 0xf3, 0x48, 0x0f, 0xae, 0xd0, 0xf3, 0x48, 0x0f, 0xae, 0xcb, 0xf4];
    let run = |base: u64, cr4: u64| {
        let mut bench = Bench::long(&code);
        bench.cpu.cr4 |= cr4;
        bench.cpu.msrs.kernel_gs_base = 0x1234;
        bench.cpu.regs.set(reg::RAX, base);
        (bench.caught(), bench.cpu.segs[seg::FS].base, bench.cpu.regs.get(reg::RBX))
    };
    assert_eq!(run(0xffff_8000_0000_0000, cr4::FSGSBASE), (None, 0xffff_8000_0000_0000, 0x1234));
    assert_eq!(run(1 << 47, cr4::FSGSBASE), (GP, 0, 0));
    assert_eq!(run(0, 0), (UD, 0, 0));
}

#[test]
fn msrs_keep_what_they_may() {
    let (caught, bench) = wrmsr(0xc000_0082, 0xffff_ffff_8100_0000);
    assert_eq!((caught, bench.cpu.msrs.lstar), (None, 0xffff_ffff_8100_0000));
    assert_eq!(wrmsr(0xc000_0082, 1 << 47).0, GP, "LSTAR is an address");
    assert_eq!(wrmsr(0x277, 0x0007_0406_0007_0406).0, None);
    assert_eq!(wrmsr(0x277, 2).0, GP, "no such memory type");
    assert_eq!(wrmsr(0xc000_0080, efer::SCE | efer::LME | efer::LMA | 1 << 1).0, GP, "reserved in EFER");
    assert_eq!(wrmsr(0xc000_0080, efer::SCE).0, GP, "LME cannot change under paging");
    assert_eq!(wrmsr(0x3a, 1).0, GP, "IA32_FEATURE_CONTROL is locked");
    assert_eq!(wrmsr(0x1234_5678, 0).0, GP);
    assert_eq!(rdmsr(0x1234_5678), Err(13));
    assert_eq!(rdmsr(0xfe), Ok(0x508));
    assert_eq!(rdmsr(0x1b), Ok(0xfee0_0900));
    assert_eq!(rdmsr(0x10a).map(|value| value & 3), Ok(3));
    assert_eq!(rdmsr(0x802), Err(13), "not in x2APIC mode");
}

#[test]
fn msrs_of_the_second_level_are_not_in_the_first() {
    for msr in [0x48, 0x10a, 0xc000_0103] {
        let mut bench = Bench::long_with_model("x86-64-v1", &[0x0f, 0x32, 0xf4]);
        bench.cpu.regs.set(reg::RCX, msr);
        assert_eq!(bench.caught(), GP, "{msr:#x}");
    }
    // rdtscp
    assert_eq!(Bench::long_with_model("x86-64-v1", &[0x0f, 0x01, 0xf9, 0xf4]).caught(), UD);
}

#[test]
fn the_time_stamp_counter_counts_ticks_and_can_be_set() {
    // nop; rdtsc; hlt
    let mut bench = Bench::long(&[0x90, 0x0f, 0x31, 0xf4]);
    bench.board.now = 0x1_0000_0000;
    bench.run_to_halt();
    assert_eq!((bench.cpu.regs.get(reg::RDX), bench.cpu.regs.get(reg::RAX)), (1, 1));
    // wrmsr; rdtsc; hlt
    let mut bench = Bench::long(&[0x0f, 0x30, 0x0f, 0x31, 0xf4]);
    bench.board.now = 1000;
    set_edx_eax(&mut bench, 0x10, 50_000);
    bench.run_to_halt();
    assert_eq!(bench.cpu.regs.get(reg::RAX), 50_001);
    assert_eq!(bench.cpu.msrs.tsc_adjust, 49_000);
    let (_, bench) = wrmsr(0x3b, 5);
    assert_eq!((bench.cpu.msrs.tsc_offset, bench.cpu.msrs.tsc_adjust), (5, 5));
    // rdtsc at level 3 with TSD
    let mut bench = user(&[0x0f, 0x31]);
    bench.cpu.cr4 |= cr4::TSD;
    assert_eq!(bench.caught(), GP);
}

#[test]
fn smap_guards_user_pages_until_stac() {
    // mov [0x20000], al; (stac;) ...
    let store = [0x88, 0x04, 0x25, 0, 0, 2, 0];
    let mut guarded = Bench::long(&store);
    guarded.cpu.cr4 |= cr4::SMAP;
    guarded.write(PAGE_TABLES + 0x3000 + 8 * 0x10, &(CODE | 3).to_le_bytes());
    for page in (0..0x10).chain(0x80..0x90) {
        guarded.write(PAGE_TABLES + 0x3000 + 8 * page, &(page << 12 | 3).to_le_bytes());
    }
    assert_eq!(guarded.caught(), Some(14));
    assert_eq!(guarded.read64(STACK - 48), 3);
    let mut open = Bench::long(&[&[0x0f, 0x01, 0xcb][..], &store, &[0x0f, 0x01, 0xca, 0xf4]].concat());
    std::mem::swap(&mut open.board.ram, &mut guarded.board.ram);
    open.write(CODE, &[&[0x0f, 0x01, 0xcb][..], &store, &[0x0f, 0x01, 0xca, 0xf4]].concat());
    open.cpu.cr4 |= cr4::SMAP;
    assert_eq!(open.caught(), None);
    assert!(!open.cpu.flags.has(Flags::AC));
}

#[test]
fn general_detect_guards_the_debug_registers() {
    // mov dr7, rax; mov rbx, dr0
    let mut bench = Bench::long(&[0x0f, 0x23, 0xf8, 0x0f, 0x21, 0xc3]);
    bench.cpu.regs.set(reg::RAX, 1 << 13);
    assert_eq!(bench.caught(), Some(1));
    assert_eq!((bench.cpu.dr6, bench.cpu.dr7), (0xffff_2ff0, 0x400));
    assert_eq!(bench.read64(STACK - 40), CODE + 3);
}

#[test]
fn debug_registers_keep_their_fixed_bits() {
    // mov dr6, rax; mov rbx, dr6; mov dr4, rax; hlt
    let code = [0x0f, 0x23, 0xf0, 0x0f, 0x21, 0xf3, 0x0f, 0x23, 0xe0, 0xf4];
    let mut bench = Bench::long(&code);
    bench.cpu.regs.set(reg::RAX, 0);
    assert_eq!(bench.caught(), None);
    assert_eq!(bench.cpu.regs.get(reg::RBX), 0xffff_0ff0);
    let mut bench = Bench::long(&code);
    bench.cpu.cr4 |= cr4::DE;
    assert_eq!(bench.caught(), UD, "DR4 with debug extensions");
    let mut bench = Bench::long(&code);
    bench.cpu.regs.set(reg::RAX, 1 << 32);
    assert_eq!(bench.caught(), GP);
}

#[test]
fn cpuid_follows_the_machine() {
    // cpuid; hlt
    let mut bench = Bench::long(&[0x0f, 0xa2, 0xf4]);
    bench.cpu.cr4 |= cr4::OSXSAVE;
    bench.cpu.regs.set(reg::RAX, 1);
    assert_eq!(bench.caught(), None);
    assert_eq!(bench.cpu.regs.get(reg::RCX) >> 27 & 1, 1);
    assert_eq!(bench.cpu.regs.get(reg::RAX), 0x106a3);
}

#[test]
fn xcr0_has_what_the_model_has() {
    // xsetbv; xgetbv; hlt
    let run = |model: &str, value: u64, cr4: u64| {
        let mut bench = Bench::long_with_model(model, &[0x0f, 0x01, 0xd1, 0x0f, 0x01, 0xd0, 0xf4]);
        bench.cpu.cr4 |= cr4;
        set_edx_eax(&mut bench, 0, value);
        (bench.caught(), bench.cpu.xcr0)
    };
    assert_eq!(run("x86-64-v2", 3, cr4::OSXSAVE), (None, 3));
    assert_eq!(run("x86-64-v2", 2, cr4::OSXSAVE), (GP, 1));
    assert_eq!(run("x86-64-v2", 7, cr4::OSXSAVE), (GP, 1));
    assert_eq!(run("x86-64-v2", 3, 0), (UD, 1));
    assert_eq!(run("x86-64-v3", 7, cr4::OSXSAVE), (None, 7));
    assert_eq!(run("x86-64-v3", 5, cr4::OSXSAVE), (GP, 1), "AVX without SSE");
    assert_eq!(run("x86-64-v3", 15, cr4::OSXSAVE), (GP, 1));
}

#[test]
fn pae_paging_loads_its_pointers_with_cr3() {
    // mov cr3, eax; hlt
    let run = |pointer: u64| {
        let mut bench = Bench::protected(&[0x0f, 0x22, 0xd8, 0xf4]);
        bench.write(PAGE_TABLES, &pointer.to_le_bytes());
        bench.write(PAGE_TABLES + 0x1000, &0x83u64.to_le_bytes());
        bench.cpu.cr4 = cr4::PAE;
        bench.cpu.cr0 |= cr0::PG;
        bench.cpu.pdptes = [PAGE_TABLES + 0x1001, 0, 0, 0];
        bench.cpu.regs.set(reg::RAX, PAGE_TABLES);
        (bench.caught(), bench.cpu.pdptes[0])
    };
    assert_eq!(run(PAGE_TABLES + 0x1001), (None, PAGE_TABLES + 0x1001));
    assert_eq!(run(PAGE_TABLES + 0x1003), (GP, PAGE_TABLES + 0x1001), "bit 1 is reserved");
}

#[test]
fn a_segment_of_real_mode_serves_protected_mode_until_it_is_loaded() {
    // mov eax, cr0; or al, 1; mov cr0, eax; mov [0], al; hlt
    let mut bench = Bench::real(&[0x0f, 0x20, 0xc0, 0x0c, 1, 0x0f, 0x22, 0xc0, 0xa2, 0x34, 0x12, 0xf4]);
    bench.cpu.segs[seg::DS] = Segment::real_mode(0x2000);
    bench.run_to_halt();
    assert_eq!(bench.read64(DATA + 0x1234) as u8, 0x11);
    assert_eq!(bench.cpu.cpl(), 0);
}
