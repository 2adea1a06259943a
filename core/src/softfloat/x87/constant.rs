//! The constants of FLD1, FLDL2T, FLDL2E, FLDPI, FLDLG2, FLDLN2 and FLDZ.

use super::super::env::{Env, Rounding};
use super::super::format::F80;
use super::super::round::{Unrounded, round};

/// What an instruction D9 E8 to D9 EE loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Constant {
    /// FLD1
    One,
    /// FLDL2T: the binary logarithm of 10.
    Log2Ten,
    /// FLDL2E: the binary logarithm of e.
    Log2E,
    /// FLDPI
    Pi,
    /// FLDLG2: the decimal logarithm of 2.
    Log10Two,
    /// FLDLN2: the natural logarithm of 2.
    LnTwo,
    /// FLDZ
    Zero,
}

const fn number(exp: i32, sig: u128) -> Unrounded {
    Unrounded { negative: false, exp, sig }
}

const LOG2_TEN: Unrounded = number(1, 0xd49a_784b_cd1b_8afe_492b_f6ff_4daf_db4d);
pub(super) const LOG2_E: Unrounded = number(0, 0xb8aa_3b29_5c17_f0bb_be87_fed0_691d_3e89);
pub(super) const PI: Unrounded = number(1, 0xc90f_daa2_2168_c234_c4c6_628b_80dc_1cd1);
const LOG10_TWO: Unrounded = number(-2, 0x9a20_9a84_fbcf_f798_8f89_59ac_0b7c_9178);
pub(super) const LN_TWO: Unrounded = number(-1, 0xb172_17f7_d1cf_79ab_c9e3_b398_03f2_f6af);

/// Loads a constant. The last bit follows the rounding control; nothing is raised.
pub fn constant(which: Constant, rounding: Rounding) -> F80 {
    let number = match which {
        Constant::One => return F80::ONE,
        Constant::Zero => return F80::ZERO,
        Constant::Log2Ten => LOG2_TEN,
        Constant::Log2E => LOG2_E,
        Constant::Pi => PI,
        Constant::Log10Two => LOG10_TWO,
        Constant::LnTwo => LN_TWO,
    };
    let mut env = Env::from_control_word(0x037f);
    env.rounding = rounding;
    round::<F80>(number, &mut env)
}
