//! What needs no processor to compare with; that is `tests/tests/softfloat_silicon.rs`.

use super::x87;
use super::*;

const MXCSR: u32 = 0x1f80;
const INEXACT: u32 = 0x20;
const FTZ: u32 = 0x8000;
const DAZ: u32 = 0x40;

/// SplitMix64.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A number whose exponent is at an edge or in the middle as often as anywhere.
    fn double(&mut self) -> u64 {
        let (random, draw) = (self.next(), self.next());
        let exponent = match draw & 7 {
            0 => 0,
            1 => 1 + (draw >> 8 & 3),
            2 => 0x7ff - (draw >> 8 & 3),
            3..=5 => 0x3fc + (draw >> 8 & 7),
            _ => random >> 52 & 0x7ff,
        };
        let fraction = (random & 0xf_ffff_ffff_ffff) >> ((draw >> 16) % 53);
        random & 1 << 63 | exponent << 52 | fraction
    }

    fn single(&mut self) -> u32 {
        let wide = self.double();
        let exponent = (wide >> 52 & 0x7ff) as u32;
        let exponent = match exponent {
            0..=4 => exponent,
            0x7fc.. => exponent - 0x700,
            _ => exponent & 0xff,
        };
        ((wide >> 63) as u32) << 31 | exponent << 23 | wide as u32 & 0x7f_ffff
    }

    fn extended(&mut self) -> F80 {
        let bits = self.double();
        let mut env = Env::from_mxcsr(MXCSR);
        let number = x87::load::<F64>(bits, &mut env);
        F80::new(number.sign_exp, number.sig ^ self.next() >> 53)
    }
}

type Binary64 = fn(u64, u64, &mut Env) -> u64;
const BINARY: [Binary64; 6] = [
    add::<F64>,
    sub::<F64>,
    mul::<F64>,
    div::<F64>,
    |a, _, env| sqrt::<F64>(a, env),
    |a, _, env| to_signed::<F64>(a, IntWidth::W64, Rounding::Zero, env) as u64,
];

#[test]
fn the_host_answers_as_the_soft_path_does() {
    let mut seeded = Seeded(1);
    for _ in 0..100_000 {
        let (a, b) = (seeded.double(), seeded.double());
        for operation in BINARY {
            let mut soft = Env::from_mxcsr(MXCSR);
            let mut fast = Env::from_mxcsr(MXCSR | INEXACT);
            assert!(fast.inexact_known && !soft.inexact_known);
            let expected = operation(a, b, &mut soft);
            assert_eq!(operation(a, b, &mut fast), expected, "{a:x} {b:x}");
            assert_eq!(fast.flags.or(Flags::PE), soft.flags.or(Flags::PE), "{a:x} {b:x}");
        }
    }
}

#[test]
fn single_arithmetic_is_the_hosts() {
    let mut seeded = Seeded(2);
    for _ in 0..100_000 {
        let (a, b) = (seeded.single(), seeded.single());
        let (x, y) = (f32::from_bits(a), f32::from_bits(b));
        let mut env = Env::from_mxcsr(MXCSR);
        let pairs = [
            (add::<F32>(a, b, &mut env), x + y),
            (sub::<F32>(a, b, &mut env), x - y),
            (mul::<F32>(a, b, &mut env), x * y),
            (div::<F32>(a, b, &mut env), x / y),
            (sqrt::<F32>(a, &mut env), x.sqrt()),
            (convert::<F64, F32>(f64::from(x).to_bits(), &mut env), f64::from(x) as f32),
        ];
        for (ours, host) in pairs {
            let both_nan = f32::from_bits(ours).is_nan() && host.is_nan();
            assert!(both_nan || ours == host.to_bits(), "{a:x} {b:x}");
        }
    }
}

/// FNV-1a of many answers: whatever the host, and whatever the path, these are the bits.
#[test]
fn answers_do_not_depend_on_the_host() {
    let mut seeded = Seeded(3);
    let mut digest = 0xcbf2_9ce4_8422_2325u64;
    let mut take = |value: u64| digest = (digest ^ value).wrapping_mul(0x100_0000_01b3);
    for case in 0..5_000u16 {
        let (a, b) = (seeded.extended(), seeded.extended());
        let mut env = Env::from_control_word(0x037f | (case & 3) << 10);
        let mut answers = vec![
            add::<F80>(a, b, &mut env),
            mul::<F80>(a, b, &mut env),
            div::<F80>(a, b, &mut env),
            sqrt::<F80>(a, &mut env),
            x87::fprem(a, b, &mut env).value,
            x87::fpatan(a, b, &mut env),
            x87::f2xm1(a, &mut env),
            x87::fyl2x(a, b, &mut env),
            x87::fyl2xp1(a, b, &mut env),
        ];
        answers.extend(x87::fsin(a, &mut env));
        answers.extend(x87::fcos(a, &mut env));
        answers.extend(x87::fptan(a, &mut env).map(|(tangent, _)| tangent));
        for answer in answers {
            take(u64::from(answer.sign_exp));
            take(answer.sig);
        }
        take(u64::from(env.flags.bits()));
    }
    assert_eq!(digest, 0x0de4_06aa_22e8_c6c5, "{digest:#x}");
}

#[test]
fn nan_operands_follow_the_unit() {
    let (quiet, signalling) = (0x7ff8_0000_0000_0001u64, 0xfff0_0000_0000_0002u64);
    let mut env = Env::from_mxcsr(MXCSR);
    assert_eq!(add::<F64>(quiet, signalling, &mut env), quiet);
    assert_eq!(env.flags, Flags::IE);
    let quieted = signalling | 1 << 51;
    assert_eq!(add::<F64>(signalling, quiet, &mut env), quieted);

    let (quiet, signalling) = (F80::new(0x7fff, 0xc000_0000_0000_0001), F80::new(0xffff, 0x9000_0000_0000_0002));
    let mut env = Env::from_control_word(0x037f);
    assert_eq!(add::<F80>(signalling, quiet, &mut env), quiet);
    let larger = F80::new(0xffff, 0xd000_0000_0000_0000);
    assert_eq!(add::<F80>(quiet, larger, &mut env), larger);
}

#[test]
fn flushing_affects_operands_and_results() {
    let (smallest, half) = (1u64 << 52, 0.5f64.to_bits());
    let mut env = Env::from_mxcsr(MXCSR | FTZ);
    assert_eq!(mul::<F64>(smallest, half, &mut env), 0);
    assert_eq!(env.flags, Flags::UE.or(Flags::PE));
    let mut env = Env::from_mxcsr(MXCSR | DAZ);
    assert_eq!(add::<F64>(1, smallest, &mut env), smallest);
    assert_eq!(env.flags, Flags::NONE);
    let mut env = Env::from_mxcsr(MXCSR);
    assert_eq!(add::<F64>(1, smallest, &mut env), smallest | 1);
    assert_eq!(env.flags, Flags::DE);
}

#[test]
fn an_unmasked_exception_found_before_computing_hides_later_ones() {
    // A denormal operand and an inexact result.
    let third = (1.0f64 / 3.0).to_bits();
    let mut env = Env::from_mxcsr(MXCSR & !0x100);
    mul::<F64>(5, third, &mut env);
    assert!(env.settle());
    assert_eq!(env.flags, Flags::DE);
    // Unmasked underflow needs a tiny result only; it is exact here.
    let mut env = Env::from_mxcsr(MXCSR & !0x800);
    mul::<F64>(1 << 52 | 1, 0.5f64.to_bits(), &mut env);
    assert!(env.settle());
    assert_eq!(env.flags, Flags::UE);
}

#[test]
fn an_unmasked_x87_overflow_wraps_the_exponent() {
    let huge = F80::new(0x7ffe, 1 << 63);
    let mut env = Env::from_control_word(0x0377);
    let product = mul::<F80>(huge, huge, &mut env);
    assert!(env.settle() && !env.blocks_register() && env.blocks_memory());
    assert_eq!(product, F80::new(0x7ffe + 0x3fff - 24576, 1 << 63));
}

#[test]
fn packed_decimal_survives() {
    let mut env = Env::from_control_word(0x037f);
    let packed = [0x21, 0x43, 0x65, 0x87, 0x09, 0, 0, 0, 0, 0x80];
    let number = x87::fbld(packed, &mut env);
    assert_eq!(number, from_signed::<F80>(-987_654_321, &mut env));
    assert_eq!(x87::fbstp(number, &mut env), packed);
    assert!(env.flags.is_empty());
    let hostile = x87::fbld([0xff; 10], &mut env);
    assert_eq!(hostile.class(), Class::Normal);
}

#[test]
fn integer_limits_are_exact() {
    let mut env = Env::from_mxcsr(MXCSR);
    let convert = |a: f64, env: &mut Env| to_signed::<F64>(a.to_bits(), IntWidth::W32, Rounding::NearestEven, env);
    assert_eq!(convert(2_147_483_647.0, &mut env), 2_147_483_647);
    assert_eq!(convert(-2_147_483_648.0, &mut env), -2_147_483_648);
    assert!(env.flags.is_empty());
    assert_eq!(convert(2_147_483_647.5, &mut env), -2_147_483_648);
    assert_eq!(env.flags, Flags::IE);
    let all = u64::MAX as f64;
    let unsigned = to_unsigned::<F64>(all.to_bits(), IntWidth::W64, Rounding::Zero, &mut env);
    assert_eq!(unsigned, u64::MAX);
}

/// FSIN: operands and the nearest answer.
const FSIN: [[F80; 3]; 3] = [
    [
        F80::new(0xbffe, 0xa6a3_a450_6513_270e),
        F80::new(0x3fff, 0x8000_0000_0000_0000),
        F80::new(0xbffe, 0x9b1e_3b8c_3378_3e2a),
    ],
    [
        F80::new(0xc02f, 0xdd9d_c9f8_1818_e811),
        F80::new(0x3fff, 0x8000_0000_0000_0000),
        F80::new(0xbffc, 0x98ea_8eea_ba5c_6ec5),
    ],
    [
        F80::new(0x402b, 0x8999_50d8_36f6_75cc),
        F80::new(0x3fff, 0x8000_0000_0000_0000),
        F80::new(0x3ffe, 0xee90_7593_e3ae_c7f2),
    ],
];

/// FCOS: operands and the nearest answer.
const FCOS: [[F80; 3]; 3] = [
    [
        F80::new(0xc020, 0xbd9c_1724_11e2_0b8f),
        F80::new(0x3fff, 0x8000_0000_0000_0000),
        F80::new(0x3ffe, 0xd5d4_9e88_7fcc_70ab),
    ],
    [
        F80::new(0xc021, 0xd3ac_94af_0f21_ddb6),
        F80::new(0x3fff, 0x8000_0000_0000_0000),
        F80::new(0x3ffe, 0x817a_4d35_56fb_5fdb),
    ],
    [
        F80::new(0x4007, 0xa09f_76b5_a170_b338),
        F80::new(0x3fff, 0x8000_0000_0000_0000),
        F80::new(0x3ffe, 0xb1bd_2bf5_3c2e_657d),
    ],
];

/// FPTAN: operands and the nearest answer.
const FPTAN: [[F80; 3]; 3] = [
    [
        F80::new(0x3ff2, 0x95e6_0af5_93bd_04cf),
        F80::new(0x3fff, 0x8000_0000_0000_0000),
        F80::new(0x3ff2, 0x95e6_0b06_b55d_2d14),
    ],
    [
        F80::new(0xc007, 0x8e81_973e_0bec_d7b0),
        F80::new(0x3fff, 0x8000_0000_0000_0000),
        F80::new(0x3fff, 0x987e_998a_f32b_c808),
    ],
    [
        F80::new(0x4010, 0xa4ed_e6a4_6b4c_b242),
        F80::new(0x3fff, 0x8000_0000_0000_0000),
        F80::new(0xc000, 0xd287_baca_f4ea_0448),
    ],
];

/// FPATAN: operands and the nearest answer.
const FPATAN: [[F80; 3]; 3] = [
    [
        F80::new(0x4005, 0x8f6d_0558_4ef8_aa38),
        F80::new(0x3fec, 0x94e3_bf91_1a61_dbe2),
        F80::new(0x3fe6, 0x84e0_4a50_02d5_5c55),
    ],
    [
        F80::new(0x3fed, 0x98f1_35d2_5f55_7203),
        F80::new(0x3fe5, 0x8f42_05b4_907a_70c3),
        F80::new(0x3ff6, 0xefc9_f9b1_219f_79ab),
    ],
    [
        F80::new(0x4000, 0x881e_d162_ae2e_b154),
        F80::new(0xbff5, 0x95e7_61d1_7731_af10),
        F80::new(0xbff4, 0x8cf6_0fa2_c8a6_8b87),
    ],
];

/// F2XM1: operands and the nearest answer.
const F2XM1: [[F80; 3]; 3] = [
    [
        F80::new(0x3feb, 0xbf98_e277_4cbd_87ad),
        F80::new(0x3fff, 0x8000_0000_0000_0000),
        F80::new(0x3feb, 0x84ce_1ce7_de1d_fb98),
    ],
    [
        F80::new(0x3fdc, 0x930d_6eaf_14f4_733f),
        F80::new(0x3fff, 0x8000_0000_0000_0000),
        F80::new(0x3fdb, 0xcbdb_a68d_d7e7_6857),
    ],
    [
        F80::new(0xbffc, 0xd7ee_05cd_e009_02c7),
        F80::new(0x3fff, 0x8000_0000_0000_0000),
        F80::new(0xbffc, 0x8b3f_35c6_4475_b047),
    ],
];

/// FYL2X: operands and the nearest answer.
const FYL2X: [[F80; 3]; 3] = [
    [
        F80::new(0x3ffe, 0xffff_ffff_fff9_4f5e),
        F80::new(0x3ff7, 0x830e_07bc_1e39_8f10),
        F80::new(0xbfca, 0x9e1c_639f_aa7c_b8f8),
    ],
    [
        F80::new(0x3ffd, 0xd790_f82e_c1d3_fcff),
        F80::new(0xc004, 0x8a09_7c97_6bf4_6c69),
        F80::new(0x4004, 0xac45_9db0_9308_4d17),
    ],
    [
        F80::new(0x4001, 0xc3ba_ea9e_13de_ef86),
        F80::new(0x3fff, 0xb1fe_e08f_5712_4242),
        F80::new(0x4000, 0xe886_cb5d_972c_cd06),
    ],
];

/// FYL2XP1: operands and the nearest answer.
const FYL2XP1: [[F80; 3]; 3] = [
    [
        F80::new(0xbfe2, 0xcc01_1cdd_9474_031b),
        F80::new(0xbff7, 0xc51a_bd81_f1d6_9ed6),
        F80::new(0x3fdb, 0xe29b_019d_3e89_8a1c),
    ],
    [
        F80::new(0xbfed, 0x8f88_080b_10a3_d6b2),
        F80::new(0x3ffe, 0x93f4_48b3_a5aa_3c81),
        F80::new(0xbfec, 0xef5a_7d47_beb0_1f90),
    ],
    [
        F80::new(0x3ff7, 0xc8db_40af_7215_8370),
        F80::new(0x4000, 0xf0ce_5835_05c6_af07),
        F80::new(0x3ffa, 0x87df_3dd3_febd_c9c6),
    ],
];

fn assert_nearest(vectors: [[F80; 3]; 3], function: impl Fn(F80, F80, &mut Env) -> Option<F80>) {
    for [a, b, nearest] in vectors {
        let mut env = Env::from_control_word(0x037f);
        assert_eq!(function(a, b, &mut env), Some(nearest), "{a:x?} {b:x?}");
        assert_eq!(env.flags, Flags::PE);
    }
}

/// The answers were computed to 600 bits by another program, with Intel's pi.
#[test]
fn transcendental_answers_are_the_nearest() {
    assert_nearest(FSIN, |a, _, env| x87::fsin(a, env));
    assert_nearest(FCOS, |a, _, env| x87::fcos(a, env));
    assert_nearest(FPTAN, |a, _, env| x87::fptan(a, env).map(|(t, _)| t));
    assert_nearest(FPATAN, |a, b, env| Some(x87::fpatan(a, b, env)));
    assert_nearest(F2XM1, |a, _, env| Some(x87::f2xm1(a, env)));
    assert_nearest(FYL2X, |a, b, env| Some(x87::fyl2x(a, b, env)));
    assert_nearest(FYL2XP1, |a, b, env| Some(x87::fyl2xp1(a, b, env)));
}
