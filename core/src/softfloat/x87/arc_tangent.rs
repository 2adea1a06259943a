//! FPATAN.

use super::super::arith::exactly;
use super::super::env::Env;
use super::super::format::{F80, Format, Unpacked};
use super::super::nan::{note_denormals, screen_two};
use super::super::round::{Unrounded, round, zero};
use super::constant::PI;
use super::wide::{ONE, div, high_product, inexact, odd_reciprocals, scaled, square_fraction};

/// Terms of the series: an argument of at most 1/64 leaves 2^-144.
const ODD_RECIPROCALS: [u128; 12] = odd_reciprocals();

/// The arc tangents of 0/32, 1/32 ... 32/32 in Q127.
const ARC_TANGENTS: [u128; 33] = [
    0x0000_0000_0000_0000_0000_0000_0000_0000,
    0x03ff_aab7_752e_c495_09de_75dd_b76a_3188,
    0x07fd_56ed_cb3f_7a71_b659_3c96_e071_706b,
    0x0bf7_0c13_0178_8746_0935_67e7_84cf_8367,
    0x0fea_dd4d_5617_b6e3_2c89_7989_f3e8_88ef,
    0x13d6_eee8_c662_6c58_68ec_33a4_a06c_1fd1,
    0x17b9_7b4b_ce5b_0226_8f61_69f1_0393_8e91,
    0x1b90_d752_9260_a204_5ec4_34b8_396a_a5e0,
    0x1f5b_75f9_2c80_dd62_adb8_f3de_bef4_42fd,
    0x2317_eb46_17e2_f04c_3291_d22c_6fe2_0a63,
    0x26c4_ee6e_0fd7_979a_716a_ed26_349e_bcca,
    0x2a61_5b32_a39a_93b6_a66d_fdde_fdf6_7a30,
    0x2dec_3283_c9bd_e11c_e2a8_c848_b73f_9121,
    0x3164_9a72_9436_4adb_685d_1ba4_7d42_8a37,
    0x34c9_dd87_9847_f96d_909f_257a_4007_9c4e,
    0x381b_6992_9d93_df19_f18c_7b65_9e63_2e01,
    0x3b58_ce0a_c376_9ed1_5bf9_117b_2f0e_a341,
    0x3e81_ba16_a828_2f97_19b4_8f1f_5772_3b31,
    0x4195_fa53_6cc3_3f15_25b5_04e5_b0d2_8ae0,
    0x4495_766f_ef4a_a3da_84a2_3c7e_2395_a57e,
    0x4780_2eaf_7bfa_cfcd_ae41_af0b_32e2_1ba4,
    0x4a56_3964_c238_c37b_0c62_79c9_fbc5_197c,
    0x4d17_c073_38de_ed10_2113_7c71_1027_f9de,
    0x4fc4_fee2_7a5b_d0f6_7c5a_4932_2783_80f0,
    0x525e_3e8c_9a7b_8492_0cd4_3f95_22be_d64f,
    0x54e3_d5ee_2418_7ae4_48b5_425a_df3c_99fb,
    0x5756_261c_5a6c_6040_0a39_2f17_9f29_0385,
    0x59b5_98e4_8f82_1b48_ac80_a0ba_2231_7c9d,
    0x5c02_9f15_e118_cf39_e596_d2a9_0852_221f,
    0x5e3d_aef5_74c5_7940_6a08_9803_7407_d948,
    0x6067_42dc_5629_3320_44ee_b162_3749_7d12,
    0x627f_d7fd_5fc7_deaa_465a_1e88_5e4f_0111,
    0x6487_ed51_10b4_611a_6263_3145_c06e_0e69,
];

/// FPATAN: the angle of the point (`st0`, `st1`), from -pi to pi.
pub fn fpatan(st0: F80, st1: F80, env: &mut Env) -> F80 {
    let (x, y) = (F80::unpack(st0), F80::unpack(st1));
    if let Some(nan) = screen_two::<F80>(x, y, env) {
        return nan;
    }
    note_denormals(&[x, y], env);
    match magnitude(x, y) {
        Some(angle) => round::<F80>(Unrounded { negative: y.negative, ..inexact(angle) }, env),
        None => zero::<F80>(y.negative),
    }
}

/// The angle of the point (x, |y|); none if it is exactly zero.
fn magnitude(x: Unpacked, y: Unpacked) -> Option<Unrounded> {
    let eighth = Unrounded { exp: -1, ..PI };
    let acute = match (x.is_infinity(), y.is_infinity()) {
        (true, true) => Some(eighth),
        (true, false) => None,
        (false, true) => Some(quarter()),
        (false, false) => acute(x, y),
    };
    if !x.negative {
        return acute;
    }
    match acute {
        None => Some(PI),
        Some(acute) => PI.sum(negative(acute)),
    }
}

/// A quarter of a turn.
const fn quarter() -> Unrounded {
    Unrounded { exp: 0, ..PI }
}

const fn negative(a: Unrounded) -> Unrounded {
    Unrounded { negative: true, ..a }
}

/// The angle of the point (|x|, |y|) of finite numbers; none if it is exactly zero.
fn acute(x: Unpacked, y: Unpacked) -> Option<Unrounded> {
    if y.is_zero() {
        return None;
    }
    if x.is_zero() {
        return Some(quarter());
    }
    let steep = (y.exp, y.sig) > (x.exp, x.sig);
    let ratio = if steep { ratio(x, y) } else { ratio(y, x) };
    let angle = arc_tangent(ratio);
    if steep { quarter().sum(negative(angle)) } else { Some(angle) }
}

/// |a / b|
fn ratio(a: Unpacked, b: Unpacked) -> Unrounded {
    Unrounded { negative: false, ..div(exactly(a), exactly(b)) }
}

/// The arc tangent of a ratio of at most one:
/// `atan t = atan c + atan((t - c) / (1 + t c))`, with c the nearest multiple of 1/32.
fn arc_tangent(t: Unrounded) -> Unrounded {
    if t.exp < -6 {
        return series(t);
    }
    let t = t.sig >> -t.exp; // in Q127
    let index = (t >> 121).div_ceil(2).min(32);
    let centre = index << 122;
    let known = ARC_TANGENTS[index as usize];
    let distance = t.abs_diff(centre);
    if distance == 0 {
        return Unrounded::new(false, 0, known);
    }
    let denominator = (ONE >> 1) + (t >> 6) * index; // in Q126
    let argument = div(Unrounded::new(t < centre, 0, distance), Unrounded::new(false, 1, denominator));
    let rest = series(argument);
    Unrounded::new(false, 0, known).sum(rest).unwrap_or(rest)
}

/// The series `u - u^3/3 + u^5/5 - ...`
fn series(u: Unrounded) -> Unrounded {
    let z = square_fraction(u);
    let sum = ODD_RECIPROCALS.iter().rev().fold(0, |sum, &term| term - high_product(z, sum));
    scaled(u, sum.min(ONE - 1))
}
