//! Conversion between formats, as SSE and F16C have it. The x87's are in `x87/memory.rs`.

use super::arith::exactly;
use super::env::{Env, Flags};
use super::format::{Format, Unpacked};
use super::nan::screen;
use super::round::{infinity, round, zero};

/// Whether the format is half precision, which MXCSR's DAZ and FTZ do not apply to.
const fn is_half<F: Format>() -> bool {
    F::EXP_BITS == 5
}

/// CVTSS2SD, CVTSD2SS, VCVTPH2PS, VCVTPS2PH: converts from `S` to `D`.
pub fn convert<S: Format, D: Format>(a: S::Bits, env: &mut Env) -> D::Bits {
    let a = S::unpack(a).flushed(env.daz && !is_half::<S>());
    if a.is_denormal() && !is_half::<S>() {
        env.raise(Flags::DE);
    }
    let ftz = env.ftz;
    env.ftz &= !is_half::<D>();
    if a.is_denormal() && is_half::<D>() {
        // Far too small. An unmasked underflow would tell whether the significand alone is exact; Intel's processors do
        // not normalize it to see.
        env.raise(Flags::PE);
    }
    let result = reformat::<D>(a, env);
    env.ftz = ftz;
    result
}

/// Puts a number into another format.
pub(super) fn reformat<D: Format>(a: Unpacked, env: &mut Env) -> D::Bits {
    if let Some(nan) = screen::<D>(a, env) {
        return nan;
    }
    if a.is_zero() {
        return zero::<D>(a.negative);
    }
    if a.is_infinity() {
        return infinity::<D>(a.negative);
    }
    round::<D>(exactly(a), env)
}
