//! Which NaN an operation answers with: SDM volume 1, 4.8.3.5 "Operating on SNaNs and QNaNs".

use super::env::{Env, Flags};
use super::format::{Class, Format, Unpacked};

/// The bit that makes a NaN quiet, and the integer bit.
const QUIET: u64 = 3 << 62;

/// The answer to an invalid operation: raises IE.
#[cold]
pub(super) fn invalid<F: Format>(env: &mut Env) -> F::Bits {
    env.raise(Flags::IE);
    F::pack(true, 2 * F::BIAS as u32 + 1, QUIET)
}

/// A NaN as a result: quiet, and with the payload that fits.
pub(super) fn quieted<F: Format>(nan: Unpacked) -> F::Bits {
    F::pack(nan.negative, 2 * F::BIAS as u32 + 1, nan.sig | QUIET)
}

/// The answer if the operand is not a number; raises IE for a signalling or unsupported one.
#[inline]
pub(super) fn screen<F: Format>(a: Unpacked, env: &mut Env) -> Option<F::Bits> {
    match a.class {
        Class::Zero | Class::Denormal | Class::Normal | Class::Infinity => None,
        Class::Quiet => Some(quieted::<F>(a)),
        Class::Signalling => {
            env.raise(Flags::IE);
            Some(quieted::<F>(a))
        }
        Class::Unsupported => Some(invalid::<F>(env)),
    }
}

/// The answer if one of two operands is not a number.
#[inline]
pub(super) fn screen_two<F: Format>(a: Unpacked, b: Unpacked, env: &mut Env) -> Option<F::Bits> {
    let number = |u: Unpacked| !u.is_nan() && u.class != Class::Unsupported;
    if number(a) && number(b) {
        return None;
    }
    Some(propagate::<F>(a, b, env))
}

#[cold]
fn propagate<F: Format>(a: Unpacked, b: Unpacked, env: &mut Env) -> F::Bits {
    if a.class == Class::Unsupported || b.class == Class::Unsupported {
        return invalid::<F>(env);
    }
    if a.class == Class::Signalling || b.class == Class::Signalling {
        env.raise(Flags::IE);
    }
    let chosen = match (a.is_nan(), b.is_nan()) {
        (true, true) if F::EXTENDED => larger(a, b),
        (true, _) => a,
        (false, _) => b,
    };
    quieted::<F>(chosen)
}

/// The x87's choice between two NaNs: a quiet one before a signalling one, then the larger
/// significand, then the positive one.
fn larger(a: Unpacked, b: Unpacked) -> Unpacked {
    match (a.class == Class::Signalling, b.class == Class::Signalling) {
        (true, false) => b,
        (false, true) => a,
        _ if a.sig != b.sig => {
            if a.sig > b.sig {
                a
            } else {
                b
            }
        }
        _ if a.negative => b,
        _ => a,
    }
}

/// Raises DE for a denormal operand.
#[inline]
pub(super) fn note_denormals(operands: &[Unpacked], env: &mut Env) {
    if operands.iter().any(|operand| operand.is_denormal()) {
        env.raise(Flags::DE);
    }
}
