//! Packed decimal: FBLD and FBSTP.

use super::super::env::{Env, Flags};
use super::super::format::{F80, Format};
use super::super::integer::{from_magnitude, note_whole, round_whole};

/// The packed BCD indefinite: SDM volume 1, 4.7.1 "BCD and Packed BCD Integers".
const INDEFINITE: [u8; 10] = [0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0xff];
/// Eighteen digits.
const LARGEST: u64 = 999_999_999_999_999_999;

/// FBLD: from 18 digits and a sign. A digit above nine, which the SDM leaves undefined, counts as
/// its hexadecimal value.
pub fn fbld(bytes: [u8; 10], env: &mut Env) -> F80 {
    let [digits @ .., sign] = bytes;
    let magnitude =
        digits.iter().rev().fold(0u64, |value, byte| value * 100 + u64::from(byte >> 4) * 10 + u64::from(byte & 15));
    from_magnitude::<F80>(sign >> 7 != 0, magnitude, env)
}

/// FBSTP: to 18 digits and a sign.
pub fn fbstp(st0: F80, env: &mut Env) -> [u8; 10] {
    let a = F80::unpack(st0);
    match round_whole(a, env.rounding) {
        Some(w) if w.magnitude <= LARGEST => {
            note_whole(w.inexact, w.up, env);
            digits(a.negative, w.magnitude)
        }
        _ => {
            env.raise(Flags::IE);
            INDEFINITE
        }
    }
}

fn digits(negative: bool, mut magnitude: u64) -> [u8; 10] {
    let mut bytes = [0; 10];
    for byte in bytes.iter_mut().take(9) {
        let pair = (magnitude % 100) as u8;
        *byte = ((pair / 10) << 4) | (pair % 10);
        magnitude /= 100;
    }
    bytes[9] = u8::from(negative) << 7;
    bytes
}
