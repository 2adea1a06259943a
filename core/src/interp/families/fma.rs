//! FMA: a product and a sum that are rounded once (SDM vol. 1, 14.5 Fused-Multiply-ADD (FMA) Extensions).
//!
//! Each instruction comes in three orders of the same operands. The order matters beyond the values: of several NaNs the
//! first factor's is the answer, then the second one's, then the summand's (14.5.1 FMA Instruction Operand Order and Arithmetic
//! Behavior).

use super::sse::float::{Float, env, settle};
use super::sse::form::{Form, form, from_register, plain};
use super::sse::lanes::{Lanes, build};
use super::sse::operand::{Low, Mem, Rm, Source, Vector};
use super::sse::vex::{Vex128, Vex256};
use crate::interp::exec::{Exec, Outcome};
use crate::interp::op::{Handler, Lowering, Op};
use crate::interp::word::Integer;
use crate::softfloat::{self, Env, F32, F64, Format};
use iced_x86::Mnemonic;

/// Which operands are the factors, and which is the summand.
trait Order {
    /// Factor, factor and summand of the destination, the register that VEX.vvvv names, and the last operand.
    fn arrange<T>(destination: T, second: T, last: T) -> [T; 3];
}

/// The digits of the mnemonic: destination times last operand plus second.
struct Order132;
/// Second operand times destination plus last.
struct Order213;
/// Second operand times last plus destination.
struct Order231;

impl Order for Order132 {
    #[inline(always)]
    fn arrange<T>(destination: T, second: T, last: T) -> [T; 3] {
        [destination, last, second]
    }
}

impl Order for Order213 {
    #[inline(always)]
    fn arrange<T>(destination: T, second: T, last: T) -> [T; 3] {
        [second, destination, last]
    }
}

impl Order for Order231 {
    #[inline(always)]
    fn arrange<T>(destination: T, second: T, last: T) -> [T; 3] {
        [second, last, destination]
    }
}

/// What is negated before the sum is made: bits of [`Op::imm`].
mod negate {
    pub(super) const NOTHING: u64 = 0;
    pub(super) const PRODUCT: u64 = 1;
    /// The summand of numbers at even indices, the lowest among them.
    pub(super) const EVEN: u64 = 2;
    /// The summand of numbers at odd indices.
    pub(super) const ODD: u64 = 4;
    pub(super) const SUMMAND: u64 = EVEN | ODD;
}

/// A number with the other sign; a NaN keeps its own.
fn negated<F: Float>(number: F::Bits, on: bool) -> F::Bits {
    let bits = number.zero_extend();
    let infinity = F::Bits::MASK >> 1 & !(F::Bits::MASK >> (F::EXP_BITS + 1));
    let is_nan = bits & !F::Bits::SIGN > infinity;
    if on && !is_nan { F::Bits::truncate(bits ^ F::Bits::SIGN) } else { number }
}

/// The number at an index of the result.
fn fuse<F: Float>([a, b, c]: [F::Bits; 3], index: usize, signs: u64, env: &mut Env) -> F::Bits {
    let subtracts = signs & if index.is_multiple_of(2) { negate::EVEN } else { negate::ODD } != 0;
    let a = negated::<F>(a, signs & negate::PRODUCT != 0);
    softfloat::fused_multiply_add::<F>(a, b, negated::<F>(c, subtracts), env)
}

fn packed<V: Vector + Lanes<F::Bits>, S: Source, F: Float, O: Order>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    V::ready(x)?;
    let last = S::get::<V>(x, op)?;
    let operands = O::arrange(V::of(x, op.reg), V::of(x, op.third), last).map(Lanes::<F::Bits>::split);
    let mut env = env(x);
    let result = build::<F::Bits, V>(|i| fuse::<F>(operands.map(|lanes| lanes.as_ref()[i]), i, op.imm, &mut env));
    settle(x, env)?;
    result.put(x, op.reg);
    Ok(())
}

/// The numbers beside the lowest one stay the destination's.
fn scalar<S: Source, F: Float, O: Order>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    Vex128::ready(x)?;
    let Vex128([last]) = S::get(x, op)?;
    let (Vex128([destination]), Vex128([second])) = (Vex128::of(x, op.reg), Vex128::of(x, op.third));
    let operands = O::arrange(destination, second, last).map(F::low);
    let mut env = env(x);
    let result = fuse::<F>(operands, 0, op.imm, &mut env);
    settle(x, env)?;
    Vex128([F::with_low(destination, result)]).put(x, op.reg);
    Ok(())
}

/// Picks an instance of a handler by the form and by where the last operand is.
macro_rules! shape {
    ($l:ident, packed, $format:ty, $order:ty) => {
        match (form($l), from_register($l)) {
            (Form::Vex256, true) => packed::<Vex256, Rm, $format, $order>,
            (Form::Vex256, false) => packed::<Vex256, Mem, $format, $order>,
            (Form::Vex128 | Form::Sse, true) => packed::<Vex128, Rm, $format, $order>,
            (Form::Vex128 | Form::Sse, false) => packed::<Vex128, Mem, $format, $order>,
        }
    };
    ($l:ident, scalar, $format:ty, $order:ty) => {
        if from_register($l) {
            scalar::<Rm, $format, $order>
        } else {
            scalar::<Low<<$format as Format>::Bits>, $format, $order>
        }
    };
}

/// The handler of a mnemonic, and what it negates.
macro_rules! handlers {
    ($l:ident; $($kind:ident $format:ident, $signs:expr => $a:ident $b:ident $c:ident;)*) => {
        match $l.insn.mnemonic() {
            $(
                Mnemonic::$a => (shape!($l, $kind, $format, Order132) as Handler, $signs),
                Mnemonic::$b => (shape!($l, $kind, $format, Order213) as Handler, $signs),
                Mnemonic::$c => (shape!($l, $kind, $format, Order231) as Handler, $signs),
            )*
            _ => return None,
        }
    };
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    use negate::{EVEN, NOTHING, ODD, PRODUCT, SUMMAND};
    let (run, signs) = handlers! { l;
        packed F32, NOTHING => Vfmadd132ps Vfmadd213ps Vfmadd231ps;
        packed F64, NOTHING => Vfmadd132pd Vfmadd213pd Vfmadd231pd;
        scalar F32, NOTHING => Vfmadd132ss Vfmadd213ss Vfmadd231ss;
        scalar F64, NOTHING => Vfmadd132sd Vfmadd213sd Vfmadd231sd;
        packed F32, SUMMAND => Vfmsub132ps Vfmsub213ps Vfmsub231ps;
        packed F64, SUMMAND => Vfmsub132pd Vfmsub213pd Vfmsub231pd;
        scalar F32, SUMMAND => Vfmsub132ss Vfmsub213ss Vfmsub231ss;
        scalar F64, SUMMAND => Vfmsub132sd Vfmsub213sd Vfmsub231sd;
        packed F32, PRODUCT => Vfnmadd132ps Vfnmadd213ps Vfnmadd231ps;
        packed F64, PRODUCT => Vfnmadd132pd Vfnmadd213pd Vfnmadd231pd;
        scalar F32, PRODUCT => Vfnmadd132ss Vfnmadd213ss Vfnmadd231ss;
        scalar F64, PRODUCT => Vfnmadd132sd Vfnmadd213sd Vfnmadd231sd;
        packed F32, PRODUCT | SUMMAND => Vfnmsub132ps Vfnmsub213ps Vfnmsub231ps;
        packed F64, PRODUCT | SUMMAND => Vfnmsub132pd Vfnmsub213pd Vfnmsub231pd;
        scalar F32, PRODUCT | SUMMAND => Vfnmsub132ss Vfnmsub213ss Vfnmsub231ss;
        scalar F64, PRODUCT | SUMMAND => Vfnmsub132sd Vfnmsub213sd Vfnmsub231sd;
        packed F32, EVEN => Vfmaddsub132ps Vfmaddsub213ps Vfmaddsub231ps;
        packed F64, EVEN => Vfmaddsub132pd Vfmaddsub213pd Vfmaddsub231pd;
        packed F32, ODD => Vfmsubadd132ps Vfmsubadd213ps Vfmsubadd231ps;
        packed F64, ODD => Vfmsubadd132pd Vfmsubadd213pd Vfmsubadd231pd;
    };
    Some(Op { imm: signs, ..plain(l, run) })
}
