//! Comparison, minimum and maximum.

use core::cmp::Ordering;

use super::arith::operand;
use super::env::{Env, Flags};
use super::format::{Class, Format, Unpacked};
use super::nan::note_denormals;

/// How two numbers compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The first is less.
    Less,
    /// They are equal; zeros are, whatever their signs.
    Equal,
    /// The first is greater.
    Greater,
    /// One is not a number.
    Unordered,
}

/// Which NaNs are an invalid operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NanRule {
    /// Signalling ones: UCOMIS, FUCOM, the quiet predicates of CMPPS.
    Quiet,
    /// All: COMIS, FCOM, the signalling predicates of CMPPS.
    Signalling,
}

/// Compares `a` with `b`.
#[inline]
pub fn compare<F: Format>(a: F::Bits, b: F::Bits, rule: NanRule, env: &mut Env) -> Relation {
    if let Some(ordering) = F::host_compare(a, b) {
        return relation(ordering);
    }
    compare_unpacked(operand::<F>(a, env), operand::<F>(b, env), rule, env)
}

#[inline]
const fn relation(ordering: Ordering) -> Relation {
    match ordering {
        Ordering::Less => Relation::Less,
        Ordering::Equal => Relation::Equal,
        Ordering::Greater => Relation::Greater,
    }
}

pub(super) fn compare_unpacked(a: Unpacked, b: Unpacked, rule: NanRule, env: &mut Env) -> Relation {
    let has = |class: Class| a.class == class || b.class == class;
    let always = has(Class::Unsupported) || has(Class::Signalling);
    if always || has(Class::Quiet) {
        if always || rule == NanRule::Signalling {
            env.raise(Flags::IE);
        }
        return Relation::Unordered;
    }
    note_denormals(&[a, b], env);
    relation(order(a, b))
}

/// The order of two numbers.
fn order(a: Unpacked, b: Unpacked) -> Ordering {
    if a.is_zero() && b.is_zero() {
        return Ordering::Equal;
    }
    let magnitude = |u: Unpacked| match u.class {
        Class::Zero => (i32::MIN, 0),
        Class::Infinity => (i32::MAX, 0),
        _ => (u.exp, u.sig),
    };
    match (a.negative, b.negative) {
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => magnitude(a).cmp(&magnitude(b)),
        (true, true) => magnitude(b).cmp(&magnitude(a)),
    }
}

/// MINSS: the lesser; the second operand as it is if one is a NaN or both are zeros.
#[inline]
pub fn min<F: Format>(a: F::Bits, b: F::Bits, env: &mut Env) -> F::Bits {
    choose::<F>(a, b, Relation::Less, env)
}

/// MAXSS: the greater; the second operand as it is if one is a NaN or both are zeros.
#[inline]
pub fn max<F: Format>(a: F::Bits, b: F::Bits, env: &mut Env) -> F::Bits {
    choose::<F>(a, b, Relation::Greater, env)
}

#[inline]
fn choose<F: Format>(a: F::Bits, b: F::Bits, wanted: Relation, env: &mut Env) -> F::Bits {
    let chosen = if compare::<F>(a, b, NanRule::Signalling, env) == wanted { a } else { b };
    let unpacked = F::unpack(chosen);
    if env.daz && unpacked.is_denormal() {
        return F::pack(unpacked.negative, 0, 0);
    }
    chosen
}
