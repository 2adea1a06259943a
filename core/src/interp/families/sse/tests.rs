//! What a sequence of user-mode instructions cannot show: when the units may execute, and XSAVE. The instructions
//! themselves are compared with silicon (`tests/tests/cpu_silicon.rs`, `tests/tests/sse_silicon.rs`).

use crate::cpu::{Vector, cr0, cr4, reg};
use crate::interp::tests::{Bench, DATA, handler};
use crate::softfloat::F80;

const ADDPS: &[u8] = &[0x0f, 0x58, 0xc1];
const PADDB_MMX: &[u8] = &[0x0f, 0xfc, 0xc1];
const FXSAVE: &[u8] = &[0x0f, 0xae, 0x06];
const FXRSTOR: &[u8] = &[0x0f, 0xae, 0x0e];
const FXSAVE64: &[u8] = &[0x48, 0x0f, 0xae, 0x06];
const LDMXCSR: &[u8] = &[0x0f, 0xae, 0x16];
const XSAVE: &[u8] = &[0x0f, 0xae, 0x26];
const XRSTOR: &[u8] = &[0x0f, 0xae, 0x2e];

/// Executes one instruction with RSI at [`DATA`], in a machine that `prepare` had its way with.
fn execute(code: &[u8], prepare: impl FnOnce(&mut Bench)) -> Bench {
    let mut bench = Bench::long(code);
    bench.cpu.cr4 |= cr4::OSXSAVE;
    bench.cpu.xcr0 = 3;
    bench.cpu.regs.set(reg::RSI, DATA);
    bench.cpu.regs.set(reg::RAX, 3);
    prepare(&mut bench);
    bench.run(1);
    bench
}

/// The exception that an instruction raises.
fn fault(code: &[u8], prepare: impl FnOnce(&mut Bench)) -> Option<Vector> {
    use Vector::{DeviceNotAvailable, GeneralProtection, InvalidOpcode, SimdError, X87Error};
    let rip = execute(code, prepare).cpu.regs.rip();
    let all = [DeviceNotAvailable, GeneralProtection, InvalidOpcode, SimdError, X87Error];
    all.into_iter().find(|vector| handler(*vector as u8) == rip)
}

#[test]
fn sse_needs_osfxsr_and_neither_em_nor_ts() {
    assert_eq!(fault(ADDPS, |_| ()), None);
    assert_eq!(fault(ADDPS, |b| b.cpu.cr4 &= !cr4::OSFXSR), Some(Vector::InvalidOpcode));
    assert_eq!(fault(ADDPS, |b| b.cpu.cr0 |= cr0::EM), Some(Vector::InvalidOpcode));
    assert_eq!(fault(ADDPS, |b| b.cpu.cr0 |= cr0::TS), Some(Vector::DeviceNotAvailable));
    assert_eq!(fault(ADDPS, |b| b.cpu.cr0 |= cr0::TS | cr0::EM), Some(Vector::InvalidOpcode));
}

#[test]
fn mmx_needs_no_osfxsr_but_no_pending_x87_exception() {
    assert_eq!(fault(PADDB_MMX, |b| b.cpu.cr4 &= !cr4::OSFXSR), None);
    assert_eq!(fault(PADDB_MMX, |b| b.cpu.cr0 |= cr0::EM), Some(Vector::InvalidOpcode));
    assert_eq!(fault(PADDB_MMX, |b| b.cpu.cr0 |= cr0::TS), Some(Vector::DeviceNotAvailable));
    assert_eq!(fault(PADDB_MMX, |b| b.cpu.x87.status |= 0x80), Some(Vector::X87Error));
}

#[test]
fn unmasked_exceptions_are_undefined_opcodes_unless_enabled() {
    let divide_by_zero = |b: &mut Bench| {
        b.cpu.mxcsr = 0x1f80 & !(1 << 9);
        b.cpu.vectors[0].low = u128::from(1f32.to_bits());
    };
    const DIVSS: &[u8] = &[0xf3, 0x0f, 0x5e, 0xc1];
    assert_eq!(fault(DIVSS, divide_by_zero), Some(Vector::SimdError));
    let bench = execute(DIVSS, |b| {
        divide_by_zero(b);
        b.cpu.cr4 &= !cr4::OSXMMEXCPT;
    });
    assert_eq!(bench.cpu.regs.rip(), handler(Vector::InvalidOpcode as u8));
    assert_eq!((bench.cpu.mxcsr & 63, bench.cpu.vectors[0].low), (4, u128::from(1f32.to_bits())));
}

#[test]
fn reserved_bits_of_mxcsr_are_refused() {
    assert_eq!(fault(LDMXCSR, |b| b.write(DATA, &0xffffu32.to_le_bytes())), None);
    assert_eq!(fault(LDMXCSR, |b| b.write(DATA, &0x1_0000u32.to_le_bytes())), Some(Vector::GeneralProtection));
    assert_eq!(fault(FXRSTOR, |b| b.write(DATA + 24, &0x1_0000u32.to_le_bytes())), Some(Vector::GeneralProtection));
}

#[test]
fn save_areas_are_aligned() {
    let off_by = |bytes: u64| move |b: &mut Bench| b.cpu.regs.set(reg::RSI, DATA + bytes);
    assert_eq!(fault(FXSAVE, off_by(16)), None);
    assert_eq!(fault(FXSAVE, off_by(8)), Some(Vector::GeneralProtection));
    assert_eq!(fault(XSAVE, off_by(64)), None);
    assert_eq!(fault(XSAVE, off_by(16)), Some(Vector::GeneralProtection));
}

/// State in which everything differs from its initial value.
fn fill(bench: &mut Bench) {
    let x87 = &mut bench.cpu.x87;
    (x87.control, x87.status, x87.empty, x87.fop) = (0x27f, 3 << 11, 0xbd, 0x7aa);
    (x87.fip, x87.fcs, x87.fdp, x87.fds) = (0x1234_5678_9abc, 0x33, 0xdef0_1234_5678, 0x2b);
    for n in 0..8 {
        x87.regs[n] = F80 { sign_exp: 0x4000 + n as u16, sig: 0x8000_0000_0000_0000 + n as u64 };
    }
    for n in 0..16 {
        bench.cpu.vectors[n].low = 0x1111 * (n as u128 + 1);
    }
    bench.cpu.mxcsr = 0x1fa0;
}

#[test]
fn the_two_forms_of_fxsave_differ_in_the_pointers() {
    let long = execute(FXSAVE64, fill);
    assert_eq!((long.read64(DATA + 8), long.read64(DATA + 16)), (0x1234_5678_9abc, 0xdef0_1234_5678));
    let short = execute(FXSAVE, fill);
    assert_eq!((short.read64(DATA + 8), short.read64(DATA + 16)), (0x33_5678_9abc, 0x2b_1234_5678));
    for bench in [long, short] {
        assert_eq!(bench.read64(DATA), 0x07aa_0042_1800_027f);
        assert_eq!(bench.read64(DATA + 24), 0xffff_0000_1fa0);
        // ST(0) is R3.
        assert_eq!((bench.read64(DATA + 32), bench.read64(DATA + 40)), (0x8000_0000_0000_0003, 0x4003));
        assert_eq!(bench.read64(DATA + 160 + 15 * 16), 0x1_1110);
    }
}

#[test]
fn what_fxsave_saves_fxrstor_restores() {
    let mut bench = execute(&[FXSAVE, FXRSTOR].concat(), fill);
    let saved = bench.cpu.clone();
    bench.cpu.x87 = Default::default();
    bench.cpu.vectors = Default::default();
    bench.cpu.mxcsr = 0;
    bench.run(1);
    assert_eq!((bench.cpu.vectors, bench.cpu.mxcsr), (saved.vectors, saved.mxcsr));
    assert_eq!(bench.cpu.x87.regs, saved.x87.regs);
    assert_eq!((bench.cpu.x87.status, bench.cpu.x87.empty), (saved.x87.status, saved.x87.empty));
}

#[test]
fn fxrstor_derives_the_error_summary_and_drops_what_does_not_exist() {
    let restored = |control: u16, status: u16| {
        let words = u64::from(control) | u64::from(status) << 16;
        let x87 = execute(FXRSTOR, |b| b.write(DATA, &words.to_le_bytes())).cpu.x87;
        (x87.control, x87.status)
    };
    assert_eq!(restored(0xffff, 0x8080), (0x1f7f, 0));
    assert_eq!(restored(0x300, 1), (0x340, 0x8081));
}

#[test]
fn xsave_needs_osxsave_and_saves_what_is_asked_for() {
    assert_eq!(fault(XSAVE, |b| b.cpu.cr4 &= !cr4::OSXSAVE), Some(Vector::InvalidOpcode));
    assert_eq!(fault(XSAVE, |b| b.cpu.cr0 |= cr0::TS), Some(Vector::DeviceNotAvailable));
    let saved = |asked: u64| {
        execute(XSAVE, |b| {
            fill(b);
            b.cpu.regs.set(reg::RAX, asked);
            b.write(DATA + 512, &0x10u64.to_le_bytes());
        })
    };
    let present = |bench: &Bench| bench.read64(DATA + 512);
    assert_eq!([0, 1, 2, 3, 7].map(|asked| present(&saved(asked))), [0x10, 0x11, 0x12, 0x13, 0x13]);
    let x87 = saved(1);
    assert_ne!(x87.read64(DATA), 0);
    assert_eq!((x87.read64(DATA + 24), x87.read64(DATA + 160)), (0, 0));
    let sse = saved(2);
    assert_eq!((sse.read64(DATA), sse.read64(DATA + 24), sse.read64(DATA + 160)), (0, 0xffff_0000_1fa0, 0x1111));
}

#[test]
fn xrstor_initializes_what_is_absent_and_loads_mxcsr_all_the_same() {
    let restored = |asked: u64| {
        execute(XRSTOR, |b| {
            fill(b);
            b.cpu.regs.set(reg::RAX, asked);
            b.write(DATA + 24, &0x1f81u32.to_le_bytes());
        })
    };
    let x87 = restored(1).cpu;
    assert_eq!((x87.x87.control, x87.x87.status, x87.x87.empty), (0x37f, 0, 0xff));
    assert_eq!((x87.mxcsr, x87.vectors[0].low), (0x1fa0, 0x1111));
    let sse = restored(2).cpu;
    assert_eq!((sse.x87.control, sse.mxcsr, sse.vectors[15].low), (0x27f, 0x1f81, 0));
}

#[test]
fn xrstor_refuses_headers_it_does_not_know() {
    let with_word = |at: u64, word: u64| fault(XRSTOR, move |b| b.write(DATA + 512 + at, &word.to_le_bytes()));
    assert_eq!(with_word(0, 3), None);
    assert_eq!(with_word(0, 4), Some(Vector::GeneralProtection));
    assert_eq!(with_word(8, 1 << 63), Some(Vector::GeneralProtection));
    assert_eq!(with_word(16, 1), Some(Vector::GeneralProtection));
    assert_eq!(with_word(24, 1), None);
}

/// The same with x86-64-v3 and AVX enabled.
fn execute_with_avx(code: &[u8], prepare: impl FnOnce(&mut Bench)) -> Bench {
    let mut bench = Bench::long_with_model("x86-64-v3", code);
    bench.cpu.cr4 |= cr4::OSXSAVE;
    bench.cpu.xcr0 = 7;
    bench.cpu.regs.set(reg::RSI, DATA);
    bench.cpu.regs.set(reg::RAX, 7);
    fill(&mut bench);
    for n in 0..16 {
        bench.cpu.vectors[n].high = 0x2222 * (n as u128 + 1);
    }
    prepare(&mut bench);
    bench.run(1);
    bench
}

#[test]
fn xsave_saves_upper_halves_behind_the_header() {
    let saved = |asked: u64| execute_with_avx(XSAVE, |b| b.cpu.regs.set(reg::RAX, asked));
    let all = saved(7);
    assert_eq!((all.read64(DATA + 512), all.read64(DATA + 576), all.read64(DATA + 816)), (7, 0x2222, 0x2_2220));
    let avx = saved(4);
    assert_eq!((avx.read64(DATA + 512), avx.read64(DATA + 576), avx.read64(DATA + 160)), (4, 0x2222, 0));
    assert_eq!(avx.read64(DATA + 24), 0xffff_0000_1fa0, "MXCSR goes with either");
    let sse = saved(3);
    assert_eq!((sse.read64(DATA + 512), sse.read64(DATA + 576)), (3, 0));
}

#[test]
fn an_area_is_as_long_as_the_components_that_are_used() {
    // The page after the header is not there.
    let at_the_end = |code: &[u8], asked: u64, present: u64| {
        let bench = execute_with_avx(code, |b| {
            b.cpu.regs.set(reg::RAX, asked);
            b.cpu.regs.set(reg::RSI, DATA + 0xfc0 - 512);
            b.write(DATA + 0xfc0, &present.to_le_bytes());
            b.write(DATA + 0xfc0 - 512 + 24, &0x1f80u32.to_le_bytes());
            let leaf = b.leaf(DATA + 0x1000);
            b.write(leaf, &0u64.to_le_bytes());
        });
        (bench.cpu.regs.rip() == handler(Vector::PageFault as u8), bench.cpu.mxcsr)
    };
    assert_eq!(at_the_end(XSAVE, 3, 0), (false, 0x1fa0));
    assert_eq!(at_the_end(XSAVE, 7, 0), (true, 0x1fa0));
    assert_eq!(at_the_end(XRSTOR, 7, 3), (false, 0x1f80));
    assert_eq!(at_the_end(XRSTOR, 7, 7), (true, 0x1fa0), "nothing is restored");
}

#[test]
fn xrstor_restores_or_initializes_upper_halves() {
    let restored = |asked: u64, present: u64| {
        let bench = execute_with_avx(XRSTOR, |b| {
            b.cpu.regs.set(reg::RAX, asked);
            b.write(DATA + 512, &present.to_le_bytes());
            b.write(DATA + 24, &0x1f81u32.to_le_bytes());
            b.write(DATA + 816, &0x5555u64.to_le_bytes());
        });
        (bench.cpu.vectors[15].low, bench.cpu.vectors[15].high, bench.cpu.mxcsr)
    };
    assert_eq!(restored(7, 7), (0, 0x5555, 0x1f81));
    assert_eq!(restored(7, 3), (0, 0, 0x1f81));
    assert_eq!(restored(3, 7), (0, 0x2_2220, 0x1f81));
    assert_eq!(restored(4, 0), (0x1_1110, 0, 0x1f81));
    assert_eq!(restored(1, 7), (0x1_1110, 0x2_2220, 0x1fa0));
}

#[test]
fn a_save_area_that_is_not_writable_as_a_whole_stays_as_it_is() {
    let bench = execute(FXSAVE, |b| {
        fill(b);
        b.cpu.regs.set(reg::RSI, DATA + 0xf00);
        let leaf = b.leaf(DATA + 0x1000);
        b.write(leaf, &0u64.to_le_bytes());
    });
    assert_eq!((bench.cpu.regs.rip(), bench.cpu.cr2), (handler(14), DATA + 0x1000));
    assert_eq!(bench.read64(DATA + 0xf00), 0);
}

/// FIPS 197, appendix B: the first round of the cipher example.
#[test]
fn aes_does_what_its_standard_shows() {
    let state = |hex: u128| hex.swap_bytes();
    let bench = execute(&[0x66, 0x0f, 0x38, 0xdc, 0xc1], |b| {
        b.cpu.vectors[0].low = state(0x193d_e3be_a0f4_e22b_9ac6_8d2a_e9f8_4808);
        b.cpu.vectors[1].low = state(0xa0fa_fe17_8854_2cb1_23a3_3939_2a6c_7605);
    });
    assert_eq!(bench.cpu.vectors[0].low, state(0xa49c_7ff2_689f_352b_6b5b_ea43_026a_5049));
}
