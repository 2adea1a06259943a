//! The transcendental functions: within one unit in the last place of the processor's.
//!
//! Both are within a unit of the true value, and ours is nearly always the nearest number, so a
//! larger distance is an error in one of them.

use reprise_core::softfloat::x87;
use reprise_core::softfloat::{Class, Env, F80};

use super::operands::Seeded;
use super::processor::{Frame, Run, extended, extended_bytes, is_intel, x87};

const CASES: u32 = 100_000;
const DEFAULT: u16 = 0x037f;

/// What a comparison found.
#[derive(Default)]
struct Distances {
    cases: u32,
    equal: u32,
    one: u32,
    more: u32,
    flags: u32,
}

/// Where a number stands among all of its sign.
fn position(a: F80) -> i128 {
    let magnitude = i128::from(a.sign_exp & 0x7fff) << 63 | i128::from(a.sig << 1 >> 1);
    if a.is_negative() { -magnitude } else { magnitude }
}

impl Distances {
    fn check(&mut self, name: &str, input: (F80, F80, u16), ours: (F80, u8), theirs: (F80, u8)) {
        self.cases += 1;
        let number = |a: F80| matches!(a.class(), Class::Normal | Class::Denormal | Class::Zero);
        let distance = if number(ours.0) && number(theirs.0) {
            (position(ours.0) - position(theirs.0)).unsigned_abs()
        } else {
            u128::from(ours.0 != theirs.0) * 2
        };
        match distance {
            0 => self.equal += 1,
            1 => self.one += 1,
            _ => self.more += 1,
        }
        let flags = is_intel() && ours.1 != theirs.1;
        self.flags += u32::from(flags);
        if (distance > 1 && self.more <= 4) || (flags && self.flags <= 4) {
            eprintln!("{name} {input:x?}\n    ours      {ours:x?}\n    processor {theirs:x?}");
        }
    }

    fn finish(self, name: &str) {
        eprintln!(
            "{name}: {} cases, {} equal, {} one unit apart, {} more, {} flags differ",
            self.cases, self.equal, self.one, self.more, self.flags
        );
        assert!(self.cases > 0 && self.more == 0 && self.flags == 0, "{name}");
    }
}

/// An operand and its domain.
type Draw = fn(&mut Seeded) -> F80;

fn compare(name: &str, run: Run, draw: (Draw, Draw), soft: impl Fn(F80, F80, &mut Env) -> Option<F80>) {
    let mut seeded = Seeded(8);
    let mut distances = Distances::default();
    for case in 0..CASES {
        let (a, b) = (draw.0(&mut seeded), draw.1(&mut seeded));
        let control = DEFAULT | ((case as u16 & 3) << 10);
        let mut frame = Frame {
            a: extended_bytes(a),
            b: extended_bytes(b),
            control: u32::from(control),
            default: u32::from(DEFAULT),
            ..Frame::default()
        };
        run(&mut frame);
        let mut env = Env::from_control_word(control);
        let out_of_range = frame.status & 1 << 10 != 0;
        let Some(ours) = soft(a, b, &mut env) else {
            assert!(out_of_range, "{name} {a:x?}");
            continue;
        };
        distances.check(
            name,
            (a, b, control),
            (ours, env.flags.bits()),
            (extended(frame.top), frame.status as u8 & 63),
        );
    }
    distances.finish(name);
}

/// Any supported number.
fn any(seeded: &mut Seeded) -> F80 {
    loop {
        let a = seeded.extended();
        if a.class() != Class::Unsupported {
            return a;
        }
    }
}

/// A magnitude below 2^`top`, and not tiny.
fn scaled(seeded: &mut Seeded, top: i16, spread: u64) -> F80 {
    let exponent = (0x3ffe + top - seeded.below(spread) as i16) as u16;
    F80::new(exponent | any(seeded).sign_exp & 0x8000, seeded.next() | 1 << 63)
}

fn angle(seeded: &mut Seeded) -> F80 {
    match seeded.below(3) {
        0 => any(seeded),
        1 => scaled(seeded, 63, 70),
        _ => scaled(seeded, 4, 10),
    }
}

/// Any magnitude below two, where the SDM leaves results undefined that are Intel's all the same.
fn undefined(seeded: &mut Seeded) -> F80 {
    let a = any(seeded);
    F80::new(a.sign_exp & 0xbfff, a.sig)
}

fn below_one(seeded: &mut Seeded) -> F80 {
    match seeded.below(4) {
        0 if is_intel() => undefined(seeded),
        _ => scaled(seeded, 0, 70),
    }
}

/// Within 1 - sqrt(1/2), where FYL2XP1 is defined.
fn small(seeded: &mut Seeded) -> F80 {
    match seeded.below(4) {
        0 if is_intel() => undefined(seeded),
        _ => scaled(seeded, -2, 70),
    }
}

fn ordinary(seeded: &mut Seeded) -> F80 {
    match seeded.below(3) {
        0 => any(seeded),
        1 => scaled(seeded, 1, 2),
        _ => scaled(seeded, 8, 16),
    }
}

#[test]
fn sine_and_cosine_agree() {
    compare("fsin", x87!("fsin"), (angle, any), |a, _, e| x87::fsin(a, e));
    compare("fcos", x87!("fcos"), (angle, any), |a, _, e| x87::fcos(a, e));
    compare("fsincos", x87!("fsincos"), (angle, any), |a, _, e| x87::fsincos(a, e).map(|(_, cosine)| cosine));
}

#[test]
fn tangents_agree() {
    compare("fptan", x87!("fptan", "fstp st(0)"), (angle, any), |a, _, e| x87::fptan(a, e).map(|(tangent, _)| tangent));
    compare("fpatan", x87!("fpatan"), (ordinary, ordinary), |a, b, e| Some(x87::fpatan(a, b, e)));
}

#[test]
fn exponential_and_logarithms_agree() {
    compare("f2xm1", x87!("f2xm1"), (below_one, any), |a, _, e| Some(x87::f2xm1(a, e)));
    compare("fyl2x", x87!("fyl2x"), (ordinary, ordinary), |a, b, e| Some(x87::fyl2x(a, b, e)));
    compare("fyl2xp1", x87!("fyl2xp1"), (small, ordinary), |a, b, e| Some(x87::fyl2xp1(a, b, e)));
}
