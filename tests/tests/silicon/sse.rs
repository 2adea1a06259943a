//! SSE and what builds on it.

use reprise_core::softfloat::{self, Env, F16, F32, F64, Format, IntWidth, NanRule, Relation, Rounding};

use super::operands::Seeded;
use super::processor::{Frame, Run, low, low_bytes, sse};
use super::tally::Tally;

const CASES: u32 = 200_000;
const DEFAULT: u32 = 0x1f80;

/// Masked exceptions; any rounding, DAZ, FTZ and already raised flags.
fn mxcsr(seeded: &mut Seeded) -> u32 {
    let random = seeded.next() as u32;
    let raised = if random & 1 << 20 != 0 { 0 } else { random & 63 };
    DEFAULT | random & 0x6000 & (random >> 1 | random >> 3) | random & 0x8040 | raised
}

/// One case of an instruction: three numbers of a format of the given shape.
struct Shape {
    exp_bits: u32,
    precision: u32,
}

const HALF: Shape = Shape { exp_bits: 5, precision: 11 };
const SINGLE: Shape = Shape { exp_bits: 8, precision: 24 };
const DOUBLE: Shape = Shape { exp_bits: 11, precision: 53 };

/// Compares an instruction whose result is the low bits of XMM0, or RAX.
fn check(
    name: &str,
    run: Run,
    shape: &Shape,
    result: impl Fn(&Frame) -> u64,
    soft: impl Fn(u64, u64, u64, &mut Env) -> u64,
    failures: &mut Vec<String>,
) {
    let mut seeded = Seeded(7);
    let mut tally = Tally::new(name);
    for _ in 0..CASES {
        let a = seeded.interchange(shape.exp_bits, shape.precision);
        let b = seeded.related(a, shape.exp_bits, shape.precision);
        let c = seeded.related(a, shape.exp_bits, shape.precision);
        let control = mxcsr(&mut seeded);
        let mut frame = Frame {
            a: low_bytes(a),
            b: low_bytes(b),
            c: low_bytes(c),
            control,
            default: DEFAULT,
            status: a,
            ..Frame::default()
        };
        run(&mut frame);
        let mut env = Env::from_mxcsr(control);
        let ours = soft(a, b, c, &mut env);
        assert!(!env.settle());
        tally.check((a, b, c, control), (ours, control | u32::from(env.flags.bits())), (result(&frame), frame.control));
    }
    tally.finish(failures);
}

fn in32(frame: &Frame) -> u64 {
    low(frame.top) & 0xffff_ffff
}

fn in64(frame: &Frame) -> u64 {
    low(frame.top)
}

fn in_rax(frame: &Frame) -> u64 {
    frame.status
}

type Binary<F> = fn(<F as Format>::Bits, <F as Format>::Bits, &mut Env) -> <F as Format>::Bits;

fn check32(name: &str, run: Run, soft: Binary<F32>, f: &mut Vec<String>) {
    let soft = |a, b, _, env: &mut Env| u64::from(soft(a as u32, b as u32, env));
    check(name, run, &SINGLE, in32, soft, f);
}

fn check64(name: &str, run: Run, soft: Binary<F64>, f: &mut Vec<String>) {
    check(name, run, &DOUBLE, in64, |a, b, _, env| soft(a, b, env), f);
}

fn conclude(failures: Vec<String>) {
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn sse_arithmetic_matches() {
    let mut f = Vec::new();
    check32("addss", sse!("addss xmm0, xmm1"), softfloat::add::<F32>, &mut f);
    check64("addsd", sse!("addsd xmm0, xmm1"), softfloat::add::<F64>, &mut f);
    check32("subss", sse!("subss xmm0, xmm1"), softfloat::sub::<F32>, &mut f);
    check64("subsd", sse!("subsd xmm0, xmm1"), softfloat::sub::<F64>, &mut f);
    check32("mulss", sse!("mulss xmm0, xmm1"), softfloat::mul::<F32>, &mut f);
    check64("mulsd", sse!("mulsd xmm0, xmm1"), softfloat::mul::<F64>, &mut f);
    check32("divss", sse!("divss xmm0, xmm1"), softfloat::div::<F32>, &mut f);
    check64("divsd", sse!("divsd xmm0, xmm1"), softfloat::div::<F64>, &mut f);
    check32("sqrtss", sse!("sqrtss xmm0, xmm0"), |a, _, e| softfloat::sqrt::<F32>(a, e), &mut f);
    check64("sqrtsd", sse!("sqrtsd xmm0, xmm0"), |a, _, e| softfloat::sqrt::<F64>(a, e), &mut f);
    check32("minss", sse!("minss xmm0, xmm1"), softfloat::min::<F32>, &mut f);
    check64("minsd", sse!("minsd xmm0, xmm1"), softfloat::min::<F64>, &mut f);
    check32("maxss", sse!("maxss xmm0, xmm1"), softfloat::max::<F32>, &mut f);
    check64("maxsd", sse!("maxsd xmm0, xmm1"), softfloat::max::<F64>, &mut f);
    conclude(f);
}

/// What LAHF shows of ZF, PF and CF.
fn comparison_flags(relation: Relation) -> u64 {
    match relation {
        Relation::Less => 1,
        Relation::Equal => 0x40,
        Relation::Greater => 0,
        Relation::Unordered => 0x45,
    }
}

fn flags_in_ah(frame: &Frame) -> u64 {
    frame.status >> 8 & 0x45
}

#[test]
fn sse_comparisons_match() {
    let mut f = Vec::new();
    let c32 =
        |rule| move |a, b, _, env: &mut Env| comparison_flags(softfloat::compare::<F32>(a as u32, b as u32, rule, env));
    let c64 = |rule| move |a, b, _, env: &mut Env| comparison_flags(softfloat::compare::<F64>(a, b, rule, env));
    let runs = [
        ("comiss", sse!("comiss xmm0, xmm1", "lahf"), NanRule::Signalling, &SINGLE),
        ("ucomiss", sse!("ucomiss xmm0, xmm1", "lahf"), NanRule::Quiet, &SINGLE),
        ("comisd", sse!("comisd xmm0, xmm1", "lahf"), NanRule::Signalling, &DOUBLE),
        ("ucomisd", sse!("ucomisd xmm0, xmm1", "lahf"), NanRule::Quiet, &DOUBLE),
    ];
    for (name, run, rule, shape) in runs {
        match shape.precision {
            24 => check(name, run, shape, flags_in_ah, c32(rule), &mut f),
            _ => check(name, run, shape, flags_in_ah, c64(rule), &mut f),
        }
    }
    conclude(f);
}

#[test]
fn sse_conversions_match() {
    let mut f = Vec::new();
    let to64 = |a, _, _, env: &mut Env| softfloat::convert::<F32, F64>(a as u32, env);
    let to32 = |a, _, _, env: &mut Env| u64::from(softfloat::convert::<F64, F32>(a, env));
    check("cvtss2sd", sse!("cvtss2sd xmm0, xmm0"), &SINGLE, in64, to64, &mut f);
    check("cvtsd2ss", sse!("cvtsd2ss xmm0, xmm0"), &DOUBLE, in32, to32, &mut f);

    let s32 = |a, width, rounding, env: &mut Env| softfloat::to_signed::<F32>(a as u32, width, rounding, env) as u64;
    let s64 = |a, width, rounding, env: &mut Env| softfloat::to_signed::<F64>(a, width, rounding, env) as u64;
    let (w32, w64, zero) = (IntWidth::W32, IntWidth::W64, Rounding::Zero);
    let low32 = 0xffff_ffff;
    check(
        "cvtss2si r32",
        sse!("cvtss2si eax, xmm0"),
        &SINGLE,
        in_rax,
        |a, _, _, e| s32(a, w32, e.rounding, e) & low32,
        &mut f,
    );
    check("cvtss2si r64", sse!("cvtss2si rax, xmm0"), &SINGLE, in_rax, |a, _, _, e| s32(a, w64, e.rounding, e), &mut f);
    check(
        "cvttss2si r32",
        sse!("cvttss2si eax, xmm0"),
        &SINGLE,
        in_rax,
        |a, _, _, e| s32(a, w32, zero, e) & low32,
        &mut f,
    );
    check("cvttss2si r64", sse!("cvttss2si rax, xmm0"), &SINGLE, in_rax, |a, _, _, e| s32(a, w64, zero, e), &mut f);
    check(
        "cvtsd2si r32",
        sse!("cvtsd2si eax, xmm0"),
        &DOUBLE,
        in_rax,
        |a, _, _, e| s64(a, w32, e.rounding, e) & low32,
        &mut f,
    );
    check("cvtsd2si r64", sse!("cvtsd2si rax, xmm0"), &DOUBLE, in_rax, |a, _, _, e| s64(a, w64, e.rounding, e), &mut f);
    check(
        "cvttsd2si r32",
        sse!("cvttsd2si eax, xmm0"),
        &DOUBLE,
        in_rax,
        |a, _, _, e| s64(a, w32, zero, e) & low32,
        &mut f,
    );
    check("cvttsd2si r64", sse!("cvttsd2si rax, xmm0"), &DOUBLE, in_rax, |a, _, _, e| s64(a, w64, zero, e), &mut f);

    let i32s = |a, _, _, env: &mut Env| u64::from(softfloat::from_signed::<F32>(a as i32 as i64, env));
    let i64s = |a, _, _, env: &mut Env| u64::from(softfloat::from_signed::<F32>(a as i64, env));
    let i64d = |a, _, _, env: &mut Env| softfloat::from_signed::<F64>(a as i64, env);
    check("cvtsi2ss r32", sse!("cvtsi2ss xmm0, eax"), &DOUBLE, in32, i32s, &mut f);
    check("cvtsi2ss r64", sse!("cvtsi2ss xmm0, rax"), &DOUBLE, in32, i64s, &mut f);
    check("cvtsi2sd r64", sse!("cvtsi2sd xmm0, rax"), &DOUBLE, in64, i64d, &mut f);
    conclude(f);
}

#[test]
fn sse4_rounding_matches() {
    if !is_x86_feature_detected!("sse4.1") {
        return;
    }
    let mut f = Vec::new();
    let r32 = |a, mode, loud, env: &mut Env| u64::from(softfloat::round_to_integral::<F32>(a as u32, mode, loud, env));
    let r64 = softfloat::round_to_integral::<F64>;
    check("roundss 4", sse!("roundss xmm0, xmm0, 4"), &SINGLE, in32, |a, _, _, e| r32(a, e.rounding, true, e), &mut f);
    check(
        "roundss 10",
        sse!("roundss xmm0, xmm0, 10"),
        &SINGLE,
        in32,
        |a, _, _, e| r32(a, Rounding::Up, false, e),
        &mut f,
    );
    check(
        "roundsd 0",
        sse!("roundsd xmm0, xmm0, 0"),
        &DOUBLE,
        in64,
        |a, _, _, e| r64(a, Rounding::NearestEven, true, e),
        &mut f,
    );
    check(
        "roundsd 9",
        sse!("roundsd xmm0, xmm0, 9"),
        &DOUBLE,
        in64,
        |a, _, _, e| r64(a, Rounding::Down, false, e),
        &mut f,
    );
    conclude(f);
}

#[test]
fn fma_matches() {
    if !is_x86_feature_detected!("fma") {
        return;
    }
    let mut f = Vec::new();
    let s = |a, b, c, env: &mut Env| u64::from(softfloat::fused_multiply_add::<F32>(a as u32, b as u32, c as u32, env));
    // 132: xmm0 = xmm0 * xmm2 + xmm1
    check("vfmadd132ss", sse!("vfmadd132ss xmm0, xmm1, xmm2"), &SINGLE, in32, |a, b, c, e| s(a, c, b, e), &mut f);
    let d = softfloat::fused_multiply_add::<F64>;
    check("vfmadd132sd", sse!("vfmadd132sd xmm0, xmm1, xmm2"), &DOUBLE, in64, |a, b, c, e| d(a, c, b, e), &mut f);
    // 213: xmm0 = xmm1 * xmm0 + xmm2
    check("vfmadd213sd", sse!("vfmadd213sd xmm0, xmm1, xmm2"), &DOUBLE, in64, |a, b, c, e| d(b, a, c, e), &mut f);
    // 231: xmm0 = xmm1 * xmm2 + xmm0
    check("vfmadd231sd", sse!("vfmadd231sd xmm0, xmm1, xmm2"), &DOUBLE, in64, |a, b, c, e| d(b, c, a, e), &mut f);
    conclude(f);
}

#[test]
fn f16c_matches() {
    if !is_x86_feature_detected!("f16c") {
        return;
    }
    let mut f = Vec::new();
    let widen = |a, _, _, env: &mut Env| u64::from(softfloat::convert::<F16, F32>(a as u16, env));
    let narrow = |a, _, _, env: &mut Env| u64::from(softfloat::convert::<F32, F16>(a as u32, env));
    check("vcvtph2ps", sse!("vcvtph2ps xmm0, xmm0"), &HALF, in32, widen, &mut f);
    check("vcvtps2ph", sse!("vcvtps2ph xmm0, xmm0, 4"), &SINGLE, in64, narrow, &mut f);
    conclude(f);
}
