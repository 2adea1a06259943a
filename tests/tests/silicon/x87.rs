//! The x87.

use reprise_core::softfloat::x87::{self, Arith, PartialRemainder};
use reprise_core::softfloat::{self, Env, F32, F64, F80, Flags, Format, IntWidth, NanRule, Relation, Rounding};

use super::operands::Seeded;
use super::processor::{Frame, Run, extended, extended_bytes, is_intel, low_bytes, x87};
use super::tally::Tally;

const CASES: u32 = 200_000;
const DEFAULT: u16 = 0x037f;
const C0: u16 = 1 << 8;
const C1: u16 = 1 << 9;
const C2: u16 = 1 << 10;
const C3: u16 = 1 << 14;
const CONDITIONS: u16 = C0 | C1 | C2 | C3;

fn frame(a: F80, b: F80, control: u16) -> Frame {
    Frame {
        a: extended_bytes(a),
        b: extended_bytes(b),
        control: u32::from(control),
        default: u32::from(DEFAULT),
        ..Frame::default()
    }
}

/// Exceptions and condition codes that a result is compared by. C1 and the responses to unmasked
/// exceptions are Intel's.
fn visible(status: u16) -> u16 {
    let conditions = if is_intel() { CONDITIONS } else { 0 };
    status & (63 | conditions)
}

/// The status word an environment stands for.
fn status(env: &Env) -> u16 {
    u16::from(env.flags.bits()) | if env.c1 { C1 } else { 0 }
}

/// Compares an instruction of one or two operands whose result is in ST(0).
fn check_register(name: &str, run: Run, soft: impl Fn(F80, F80, &mut Env) -> F80, failures: &mut Vec<String>) {
    let mut seeded = Seeded(1);
    let mut tally = Tally::new(name);
    for _ in 0..CASES {
        let a = seeded.extended();
        let b = seeded.extended_related(a);
        let control = seeded.control_word(is_intel());
        let mut frame = frame(a, b, control);
        run(&mut frame);
        let mut env = Env::from_control_word(control);
        let mut ours = soft(a, b, &mut env);
        env.settle();
        if env.blocks_register() {
            ours = a;
        }
        tally.check(
            (a, b, control),
            (ours, visible(status(&env))),
            (extended(frame.top), visible(frame.status as u16)),
        );
    }
    tally.finish(failures);
}

fn conclude(failures: Vec<String>) {
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn x87_arithmetic_matches() {
    let mut f = Vec::new();
    check_register("fadd", x87!("fadd st(0), st(1)"), softfloat::add::<F80>, &mut f);
    check_register("fsub", x87!("fsub st(0), st(1)"), softfloat::sub::<F80>, &mut f);
    check_register("fmul", x87!("fmul st(0), st(1)"), softfloat::mul::<F80>, &mut f);
    check_register("fdiv", x87!("fdiv st(0), st(1)"), softfloat::div::<F80>, &mut f);
    let reverse = |op| move |a, b, env: &mut Env| x87::arith::<F80>(op, a, b, env);
    check_register("fsubr", x87!("fsubr st(0), st(1)"), reverse(Arith::SubReverse), &mut f);
    check_register("fdivr", x87!("fdivr st(0), st(1)"), reverse(Arith::DivReverse), &mut f);
    check_register("fsqrt", x87!("fsqrt"), |a, _, env| softfloat::sqrt::<F80>(a, env), &mut f);
    conclude(f);
}

fn check_fxtract(failures: &mut Vec<String>) {
    let mut seeded = Seeded(1);
    let mut tally = Tally::new("fxtract");
    for _ in 0..CASES {
        let (a, b) = (seeded.extended(), F80::ONE);
        let control = seeded.control_word(is_intel());
        let mut frame = frame(a, b, control);
        x87!("fxtract")(&mut frame);
        let mut env = Env::from_control_word(control);
        let (mut significand, mut exponent) = x87::fxtract(a, &mut env);
        env.settle();
        if env.blocks_register() {
            (significand, exponent) = (a, b);
        }
        tally.check(
            (a, control),
            (significand, exponent, visible(status(&env))),
            (extended(frame.top), extended(frame.next), visible(frame.status as u16)),
        );
    }
    tally.finish(failures);
}

#[test]
fn x87_rounding_and_scaling_match() {
    let mut f = Vec::new();
    let frndint = |a, _, env: &mut Env| softfloat::round_to_integral::<F80>(a, env.rounding, true, env);
    check_register("frndint", x87!("frndint"), frndint, &mut f);
    check_register("fscale", x87!("fscale"), x87::fscale, &mut f);
    check_fxtract(&mut f);
    conclude(f);
}

/// Runs an instruction with an operand of 32 or 64 bits in memory.
fn check_memory<M: Format>(
    name: &str,
    run: Run,
    draw: impl Fn(&mut Seeded) -> (M::Bits, u64),
    soft: impl Fn(F80, M::Bits, &mut Env) -> F80,
    failures: &mut Vec<String>,
) {
    let mut seeded = Seeded(2);
    let mut tally = Tally::new(name);
    for _ in 0..CASES {
        let a = seeded.extended();
        let (operand, bits) = draw(&mut seeded);
        let control = seeded.control_word(is_intel());
        let mut frame = frame(a, F80::ONE, control);
        frame.memory = low_bytes(bits);
        run(&mut frame);
        let mut env = Env::from_control_word(control);
        let mut ours = soft(a, operand, &mut env);
        env.settle();
        let loads = name.starts_with("fld") && !env.unmasked().intersects(Flags::IE);
        if env.blocks_register() && !loads {
            ours = a;
        }
        tally.check(
            (a, bits, control),
            (ours, visible(status(&env))),
            (extended(frame.top), visible(frame.status as u16)),
        );
    }
    tally.finish(failures);
}

fn single(seeded: &mut Seeded) -> (u32, u64) {
    let bits = seeded.interchange(8, 24);
    (bits as u32, bits)
}

fn double(seeded: &mut Seeded) -> (u64, u64) {
    let bits = seeded.interchange(11, 53);
    (bits, bits)
}

#[test]
fn x87_memory_operands_match() {
    let mut f = Vec::new();
    let with32 = |op| move |a, b, env: &mut Env| x87::arith::<F32>(op, a, b, env);
    let with64 = |op| move |a, b, env: &mut Env| x87::arith::<F64>(op, a, b, env);
    check_memory::<F32>("fadd m32", x87!("fadd dword ptr [rdi+32]"), single, with32(Arith::Add), &mut f);
    check_memory::<F64>("fadd m64", x87!("fadd qword ptr [rdi+32]"), double, with64(Arith::Add), &mut f);
    check_memory::<F64>("fmul m64", x87!("fmul qword ptr [rdi+32]"), double, with64(Arith::Mul), &mut f);
    check_memory::<F32>("fdiv m32", x87!("fdiv dword ptr [rdi+32]"), single, with32(Arith::Div), &mut f);
    check_memory::<F64>("fdivr m64", x87!("fdivr qword ptr [rdi+32]"), double, with64(Arith::DivReverse), &mut f);
    check_memory::<F32>("fsubr m32", x87!("fsubr dword ptr [rdi+32]"), single, with32(Arith::SubReverse), &mut f);
    check_memory::<F32>(
        "fld m32",
        x87!("fld dword ptr [rdi+32]"),
        single,
        |_, b, env| x87::load::<F32>(b, env),
        &mut f,
    );
    check_memory::<F64>(
        "fld m64",
        x87!("fld qword ptr [rdi+32]"),
        double,
        |_, b, env| x87::load::<F64>(b, env),
        &mut f,
    );
    conclude(f);
}

/// Compares an instruction that stores `bytes` bytes.
fn check_store(
    name: &str,
    run: Run,
    bytes: usize,
    soft: impl Fn(F80, &mut Env) -> [u8; 10],
    failures: &mut Vec<String>,
) {
    let mut seeded = Seeded(3);
    let mut tally = Tally::new(name);
    for _ in 0..CASES {
        let a = seeded.extended();
        let control = seeded.control_word(is_intel());
        let mut frame = frame(a, F80::ONE, control);
        run(&mut frame);
        let mut env = Env::from_control_word(control);
        let mut ours = soft(a, &mut env);
        env.settle();
        if env.blocks_memory() {
            ours = [0; 10];
        }
        tally.check(
            (a, control),
            (&ours[..bytes], visible(status(&env))),
            (&frame.memory[..bytes], visible(frame.status as u16)),
        );
    }
    tally.finish(failures);
}

fn ten(bits: u64) -> [u8; 10] {
    F80::new(0, bits).to_le_bytes()
}

#[test]
fn x87_stores_match() {
    let mut f = Vec::new();
    let m32 = |a, env: &mut Env| ten(u64::from(x87::store::<F32>(a, env)));
    let m64 = |a, env: &mut Env| ten(x87::store::<F64>(a, env));
    check_store("fst m32", x87!("fst dword ptr [rdi+32]"), 4, m32, &mut f);
    check_store("fst m64", x87!("fst qword ptr [rdi+32]"), 8, m64, &mut f);
    let integer = |width| move |a, env: &mut Env| ten(softfloat::to_signed::<F80>(a, width, env.rounding, env) as u64);
    check_store("fist m16", x87!("fist word ptr [rdi+32]"), 2, integer(IntWidth::W16), &mut f);
    check_store("fist m32", x87!("fist dword ptr [rdi+32]"), 4, integer(IntWidth::W32), &mut f);
    check_store("fistp m64", x87!("fistp qword ptr [rdi+32]"), 8, integer(IntWidth::W64), &mut f);
    let truncated =
        |width| move |a, env: &mut Env| ten(softfloat::to_signed::<F80>(a, width, Rounding::Zero, env) as u64);
    check_store("fisttp m16", x87!("fisttp word ptr [rdi+32]"), 2, truncated(IntWidth::W16), &mut f);
    check_store("fisttp m32", x87!("fisttp dword ptr [rdi+32]"), 4, truncated(IntWidth::W32), &mut f);
    check_store("fisttp m64", x87!("fisttp qword ptr [rdi+32]"), 8, truncated(IntWidth::W64), &mut f);
    check_store("fbstp", x87!("fbstp tbyte ptr [rdi+32]"), 10, x87::fbstp, &mut f);
    conclude(f);
}

#[test]
fn x87_integer_loads_match() {
    let mut seeded = Seeded(4);
    let mut tally = Tally::new("fild, fbld");
    for _ in 0..CASES {
        let value = (seeded.next() as i64) >> seeded.below(64);
        let mut from = frame(F80::ONE, F80::ONE, 0x037f);
        from.memory = low_bytes(value as u64);
        x87!("fild qword ptr [rdi+32]")(&mut from);
        let mut env = Env::from_control_word(0x037f);
        let ours = softfloat::from_signed::<F80>(value, &mut env);
        tally.check(value, (ours, status(&env)), (extended(from.top), from.status as u16 & 63));

        let packed = x87::fbstp(ours, &mut env);
        from.memory[..10].copy_from_slice(&packed);
        x87!("fbld tbyte ptr [rdi+32]")(&mut from);
        let ours = x87::fbld(packed, &mut env);
        if value.unsigned_abs() < 1_000_000_000_000_000_000 {
            tally.check(packed, ours, extended(from.top));
        }
    }
    let mut failures = Vec::new();
    tally.finish(&mut failures);
    conclude(failures);
}

fn condition(relation: Relation) -> u16 {
    match relation {
        Relation::Less => C0,
        Relation::Equal => C3,
        Relation::Greater => 0,
        Relation::Unordered => C0 | C2 | C3,
    }
}

fn check_compare(name: &str, run: Run, soft: impl Fn(F80, F80, u64, &mut Env) -> Relation, failures: &mut Vec<String>) {
    let mut seeded = Seeded(5);
    let mut tally = Tally::new(name);
    for _ in 0..CASES {
        let a = seeded.extended();
        let b = if seeded.below(8) == 0 { a } else { seeded.extended_related(a) };
        let bits = seeded.interchange(8, 24);
        let control = seeded.control_word(is_intel());
        let mut frame = frame(a, b, control);
        frame.memory = low_bytes(bits);
        run(&mut frame);
        let mut env = Env::from_control_word(control);
        let relation = condition(soft(a, b, bits, &mut env));
        env.settle();
        let ours = relation | status(&env);
        tally.check((a, b, bits, control), ours, frame.status as u16 & (63 | CONDITIONS));
    }
    tally.finish(failures);
}

#[test]
fn x87_comparisons_match() {
    let mut f = Vec::new();
    let quiet = |a, b, _, env: &mut Env| softfloat::compare::<F80>(a, b, NanRule::Quiet, env);
    let loud = |a, b, _, env: &mut Env| softfloat::compare::<F80>(a, b, NanRule::Signalling, env);
    let m32 = |a, _, bits, env: &mut Env| x87::compare_with::<F32>(a, bits as u32, NanRule::Signalling, env);
    check_compare("fcom", x87!("fcom st(1)"), loud, &mut f);
    check_compare("fucom", x87!("fucom st(1)"), quiet, &mut f);
    check_compare("fcom m32", x87!("fcom dword ptr [rdi+32]"), m32, &mut f);
    conclude(f);
}

/// C0, C3 and C1 for the quotient, C2 for incomplete.
fn remainder_status(r: PartialRemainder) -> u16 {
    let bit = |n: u8, condition| {
        if r.quotient >> n & 1 != 0 { condition } else { 0 }
    };
    bit(0, C1) | bit(1, C3) | bit(2, C0) | if r.incomplete { C2 } else { 0 }
}

fn check_remainder(
    name: &str,
    run: Run,
    soft: impl Fn(F80, F80, &mut Env) -> PartialRemainder,
    failures: &mut Vec<String>,
) {
    let mut seeded = Seeded(6);
    let mut tally = Tally::new(name);
    for _ in 0..CASES {
        let a = seeded.extended();
        let b = seeded.extended_related(a);
        let control = seeded.control_word(is_intel());
        let mut frame = frame(a, b, control);
        run(&mut frame);
        let mut env = Env::from_control_word(control);
        let mut ours = soft(a, b, &mut env);
        env.settle();
        if ours.incomplete && !is_intel() {
            continue;
        }
        let mut status = status(&env) & !C1 | remainder_status(ours);
        if env.blocks_register() {
            ours.value = a;
            status &= 63;
        }
        tally.check(
            (a, b, control),
            (ours.value, status),
            (extended(frame.top), frame.status as u16 & (63 | CONDITIONS)),
        );
    }
    tally.finish(failures);
}

#[test]
fn x87_remainders_match() {
    let mut f = Vec::new();
    check_remainder("fprem", x87!("fprem"), x87::fprem, &mut f);
    check_remainder("fprem1", x87!("fprem1"), x87::fprem1, &mut f);
    conclude(f);
}

#[test]
fn x87_constants_match() {
    use x87::Constant::{LnTwo, Log2E, Log2Ten, Log10Two, One, Pi, Zero};
    let constants = [
        (x87!("fld1"), One),
        (x87!("fldl2t"), Log2Ten),
        (x87!("fldl2e"), Log2E),
        (x87!("fldpi"), Pi),
        (x87!("fldlg2"), Log10Two),
        (x87!("fldln2"), LnTwo),
        (x87!("fldz"), Zero),
    ];
    for (run, which) in constants {
        for rc in 0..4 {
            let mut frame = frame(F80::ONE, F80::ONE, 0x007f | rc << 10);
            run(&mut frame);
            let ours = x87::constant(which, Rounding::from_rc(u32::from(rc)));
            assert_eq!(ours, extended(frame.top), "{which:?} rc {rc}");
            assert_eq!(frame.status as u16 & 63, 0);
        }
    }
}
