//! What a sequence of user-mode instructions cannot show: when VEX-encoded instructions may execute, other modes, and how
//! far an instruction gets before a fault. The instructions themselves are compared with silicon
//! (`tests/tests/cpu_silicon.rs`).

use crate::cpu::{Vector, VectorRegister, cr0, cr4, reg, xcr0};
use crate::interp::tests::{Bench, DATA, handler, selector};

/// `vaddps ymm0, ymm0, ymm1`
const VADDPS: &[u8] = &[0xc5, 0xfc, 0x58, 0xc1];
/// `vmovaps ymm0, [rsi]`
const VMOVAPS: &[u8] = &[0xc5, 0xfc, 0x28, 0x06];
/// `vmovups ymm0, [rsi]`
const VMOVUPS: &[u8] = &[0xc5, 0xfc, 0x10, 0x06];
/// `vmovaps xmm0, xmm1`
const VMOVAPS_XMM: &[u8] = &[0xc5, 0xf8, 0x28, 0xc1];
/// `movaps xmm0, xmm1`
const MOVAPS: &[u8] = &[0x0f, 0x28, 0xc1];
/// `vzeroupper`
const VZEROUPPER: &[u8] = &[0xc5, 0xf8, 0x77];
/// `vzeroall`
const VZEROALL: &[u8] = &[0xc5, 0xfc, 0x77];
/// `vmaskmovps ymm0, ymm1, [rsi]`
const VMASKMOVPS_LOAD: &[u8] = &[0xc4, 0xe2, 0x75, 0x2c, 0x06];
/// `vmaskmovps [rsi], ymm1, ymm0`
const VMASKMOVPS_STORE: &[u8] = &[0xc4, 0xe2, 0x75, 0x2e, 0x06];
/// `vpgatherdd ymm0, [rsi + ymm2 * 4], ymm1`
const VPGATHERDD: &[u8] = &[0xc4, 0xe2, 0x75, 0x90, 0x04, 0x96];

/// Everything that AVX needs is there; all registers are full.
fn enable(bench: &mut Bench) {
    bench.cpu.cr4 |= cr4::OSXSAVE;
    bench.cpu.xcr0 = xcr0::X87 | xcr0::SSE | xcr0::AVX;
    bench.cpu.regs.set(reg::RSI, DATA);
    bench.cpu.vectors = [VectorRegister { low: 1, high: 2 }; 16];
}

/// Executes one instruction with RSI at [`DATA`], in a machine that `prepare` had its way with.
fn execute(code: &[u8], prepare: impl FnOnce(&mut Bench)) -> Bench {
    let mut bench = Bench::long_with_model("x86-64-v3", code);
    enable(&mut bench);
    prepare(&mut bench);
    bench.run(1);
    bench
}

/// The exception that an instruction raises.
fn fault(code: &[u8], prepare: impl FnOnce(&mut Bench)) -> Option<Vector> {
    use Vector::{DeviceNotAvailable, GeneralProtection, InvalidOpcode, PageFault};
    let rip = execute(code, prepare).cpu.regs.rip();
    let all = [DeviceNotAvailable, GeneralProtection, InvalidOpcode, PageFault];
    all.into_iter().find(|vector| handler(*vector as u8) == rip)
}

#[test]
fn avx_needs_osxsave_and_both_components_and_not_ts() {
    for code in [VADDPS, VZEROUPPER, VMASKMOVPS_LOAD] {
        assert_eq!(fault(code, |_| ()), None);
        assert_eq!(fault(code, |b| b.cpu.cr4 &= !cr4::OSXSAVE), Some(Vector::InvalidOpcode));
        assert_eq!(fault(code, |b| b.cpu.xcr0 = xcr0::X87 | xcr0::SSE), Some(Vector::InvalidOpcode));
        assert_eq!(fault(code, |b| b.cpu.cr0 |= cr0::TS), Some(Vector::DeviceNotAvailable));
    }
}

#[test]
fn avx_needs_neither_osfxsr_nor_minds_em() {
    assert_eq!(fault(VADDPS, |b| b.cpu.cr4 &= !cr4::OSFXSR), None);
    assert_eq!(fault(VADDPS, |b| b.cpu.cr0 |= cr0::EM), None);
}

#[test]
fn real_mode_and_older_models_have_no_vex_prefix() {
    let mut real = Bench::real_with_model("x86-64-v3", VADDPS);
    enable(&mut real);
    assert_eq!(real.caught(), Some(Vector::InvalidOpcode as u8));
    let mut old = Bench::long_with_model("x86-64-v2", VADDPS);
    enable(&mut old);
    assert_eq!(old.caught(), Some(Vector::InvalidOpcode as u8));
}

#[test]
fn reserved_encodings_are_undefined() {
    for prefix in [0x66, 0xf2, 0xf3, 0xf0, 0x48] {
        let code = [&[prefix], VADDPS].concat();
        assert_eq!(fault(&code, |_| ()), Some(Vector::InvalidOpcode), "{prefix:#x}");
    }
    // vmovaps with a second source; vmovhlps has no long form.
    for code in [&[0xc5, 0xf4, 0x28, 0xc1][..], &[0xc5, 0xf4, 0x12, 0xc1]] {
        assert_eq!(fault(code, |_| ()), Some(Vector::InvalidOpcode), "{code:02x?}");
    }
}

#[test]
fn short_vex_forms_clear_the_upper_half_and_legacy_forms_keep_it() {
    let vex = execute(VMOVAPS_XMM, |b| b.cpu.vectors[1].low = 7);
    assert_eq!(vex.cpu.vectors[0], VectorRegister { low: 7, high: 0 });
    let legacy = execute(MOVAPS, |b| b.cpu.vectors[1].low = 7);
    assert_eq!(legacy.cpu.vectors[0], VectorRegister { low: 7, high: 2 });
}

#[test]
fn only_aligned_moves_mind_alignment() {
    let off_by = |bytes: u64| move |b: &mut Bench| b.cpu.regs.set(reg::RSI, DATA + bytes);
    assert_eq!(fault(VMOVAPS, off_by(32)), None);
    assert_eq!(fault(VMOVAPS, off_by(16)), Some(Vector::GeneralProtection));
    assert_eq!(fault(VMOVUPS, off_by(1)), None);
}

#[test]
fn clearing_reaches_the_registers_of_the_mode() {
    let compatible = |b: &mut Bench| b.set_code(selector::CODE32, selector::DATA);
    for (code, cleared) in [(VZEROUPPER, VectorRegister { low: 1, high: 0 }), (VZEROALL, VectorRegister::default())] {
        assert_eq!(execute(code, |_| ()).cpu.vectors, [cleared; 16]);
        let short = execute(code, compatible);
        assert_eq!(short.cpu.vectors[..8], [cleared; 8]);
        assert_eq!(short.cpu.vectors[8..], [VectorRegister { low: 1, high: 2 }; 8]);
    }
}

/// RSI 16 bytes below a page that is not there.
fn before_a_hole(bench: &mut Bench) {
    let leaf = bench.leaf(DATA + 0x1000);
    bench.write(leaf, &0u64.to_le_bytes());
    bench.cpu.regs.set(reg::RSI, DATA + 0xff0);
}

#[test]
fn elements_that_are_not_enabled_are_not_accessed() {
    let low = |b: &mut Bench| b.cpu.vectors[1] = VectorRegister { low: u128::MAX, high: 0 };
    let loaded = execute(VMASKMOVPS_LOAD, |b| {
        before_a_hole(b);
        low(b);
        b.write(DATA + 0xff0, &[3; 16]);
    });
    assert_eq!(loaded.cpu.vectors[0], VectorRegister { low: u128::from_le_bytes([3; 16]), high: 0 });
    let stored = execute(VMASKMOVPS_STORE, |b| {
        before_a_hole(b);
        low(b);
    });
    assert_eq!(stored.read64(DATA + 0xff0), 1);
}

#[test]
fn a_masked_store_writes_all_or_nothing() {
    let bench = execute(VMASKMOVPS_STORE, |b| {
        before_a_hole(b);
        b.cpu.vectors[1] = VectorRegister { low: u128::MAX, high: u128::MAX };
    });
    // The fault is the last byte's.
    assert_eq!((bench.cpu.cr2, bench.read64(DATA + 0xff0)), (DATA + 0x100f, 0));
}

#[test]
fn a_gather_keeps_what_it_had_before_a_fault_and_goes_on_from_there() {
    let mut bench = execute(VPGATHERDD, |b| {
        before_a_hole(b);
        b.write(DATA + 0xff0, &[5; 16]);
        b.write(DATA + 0x1000, &[6; 16]);
        b.cpu.vectors[0] = VectorRegister::default();
        b.cpu.vectors[1] = VectorRegister { low: u128::MAX, high: u128::MAX };
        // Indices 0 to 7.
        b.cpu.vectors[2] = VectorRegister { low: 3 << 96 | 2 << 64 | 1 << 32, high: 7 << 96 | 6 << 64 | 5 << 32 | 4 };
    });
    assert_eq!(bench.cpu.regs.rip(), handler(Vector::PageFault as u8));
    assert_eq!(bench.cpu.cr2, DATA + 0x1000);
    assert_eq!(bench.cpu.vectors[0], VectorRegister { low: u128::from_le_bytes([5; 16]), high: 0 });
    assert_eq!(bench.cpu.vectors[1], VectorRegister { low: 0, high: u128::MAX });
    let leaf = bench.leaf(DATA + 0x1000);
    bench.write(leaf, &((DATA + 0x1000) | 7).to_le_bytes());
    bench.cpu.regs.set_rip(crate::interp::tests::CODE);
    bench.run(1);
    assert_eq!(bench.cpu.vectors[0].high, u128::from_le_bytes([6; 16]));
    assert_eq!(bench.cpu.vectors[1], VectorRegister::default());
}

#[test]
fn other_modes_have_eight_registers_whatever_the_prefix_names() {
    // vxorps ymm0, ymm8, ymm1
    const VXORPS: &[u8] = &[0xc4, 0xe1, 0x3c, 0x57, 0xc1];
    let fill = |b: &mut Bench| b.cpu.vectors[8] = VectorRegister { low: 8, high: 8 };
    assert_eq!(execute(VXORPS, fill).cpu.vectors[0], VectorRegister { low: 9, high: 10 });
    let compatible = execute(VXORPS, |b| {
        fill(b);
        b.set_code(selector::CODE32, selector::DATA);
    });
    assert_eq!(compatible.cpu.vectors[0], VectorRegister::default());
}
