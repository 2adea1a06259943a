//! AES and carry-less multiplication (SDM vol. 1, 12.13 AESNI and PCLMULQDQ; FIPS 197 for the transformations).
//!
//! The substitution boxes are computed from their definition. A table for each direction holds what a byte of the state
//! contributes to its column, substitution and column mixing in one.

use super::operand::{Operation, operations};
use crate::interp::op::{Lowering, Op};
use iced_x86::Mnemonic;

/// Product in the field of 256 elements, modulo x^8 + x^4 + x^3 + x + 1.
const fn multiply(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    while b != 0 {
        if b & 1 != 0 {
            product ^= a;
        }
        a = a << 1 ^ if a & 0x80 != 0 { 0x1b } else { 0 };
        b >>= 1;
    }
    product
}

/// The multiplicative inverse, which is the 254th power; 0 for 0.
const fn inverse(a: u8) -> u8 {
    let mut power = a;
    let mut n = 0;
    while n < 6 {
        power = multiply(multiply(power, power), a);
        n += 1;
    }
    multiply(power, power)
}

/// FIPS 197, 5.1.1 SubBytes() Transformation.
const SUBSTITUTE: [u8; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let b = inverse(at as u8);
        table[at] = b ^ b.rotate_left(1) ^ b.rotate_left(2) ^ b.rotate_left(3) ^ b.rotate_left(4) ^ 0x63;
        at += 1;
    }
    table
};

/// FIPS 197, 5.3.2 InvSubBytes() Transformation.
const UNSUBSTITUTE: [u8; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        table[SUBSTITUTE[at] as usize] = at as u8;
        at += 1;
    }
    table
};

/// What a byte in row 0, substituted, contributes to the rows of its column; rows below rotate it.
const fn contributions(substitution: &[u8; 256], factors: [u8; 4]) -> [u32; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let b = substitution[at];
        table[at] = u32::from_le_bytes([
            multiply(b, factors[0]),
            multiply(b, factors[1]),
            multiply(b, factors[2]),
            multiply(b, factors[3]),
        ]);
        at += 1;
    }
    table
}

/// SubBytes and MixColumns.
static ENCRYPT: [u32; 256] = contributions(&SUBSTITUTE, [2, 1, 1, 3]);
/// InvSubBytes and InvMixColumns.
static DECRYPT: [u32; 256] = contributions(&UNSUBSTITUTE, [14, 9, 13, 11]);

/// Makes column by column what `f` makes of a row's byte in the column that the rows were shifted from.
fn columns(state: u128, shift: usize, f: impl Fn(u8, u32) -> u32) -> u128 {
    let bytes = state.to_le_bytes();
    (0..4).fold(0, |result, column| {
        let value = (0..4).fold(0, |value, row| value ^ f(bytes[4 * ((column + shift * row) % 4) + row], row as u32));
        result | u128::from(value) << (32 * column)
    })
}

/// Rows shifted left by their number (FIPS 197, 5.1.2 ShiftRows() Transformation).
const LEFT: usize = 1;
/// Rows shifted right by their number.
const RIGHT: usize = 3;

fn mixed(table: &[u32; 256]) -> impl Fn(u8, u32) -> u32 {
    |byte, row| table[usize::from(byte)].rotate_left(8 * row)
}

fn unmixed(table: &[u8; 256]) -> impl Fn(u8, u32) -> u32 {
    |byte, row| u32::from(table[usize::from(byte)]) << (8 * row)
}

fn substitute_word(word: u32) -> u32 {
    u32::from_le_bytes(word.to_le_bytes().map(|byte| SUBSTITUTE[usize::from(byte)]))
}

/// AESKEYGENASSIST.
fn assist_key(b: u128, imm: u8) -> u128 {
    let low = substitute_word((b >> 32) as u32);
    let high = substitute_word((b >> 96) as u32);
    let rotated = |word: u32| u128::from(word.rotate_right(8) ^ u32::from(imm));
    u128::from(low) | rotated(low) << 32 | u128::from(high) << 64 | rotated(high) << 96
}

/// The product of two polynomials over the field of two elements.
fn carry_less_product(a: u64, b: u64) -> u128 {
    (0..64).fold(0, |product, bit| product ^ (u128::from(b) << bit) & u128::from(a >> bit & 1).wrapping_neg())
}

/// The high or the low half.
fn half(v: u128, high: bool) -> u64 {
    if high { (v >> 64) as u64 } else { v as u64 }
}

operations! {
    fn lower_cipher;
    xmm Aesenc(a, b, _) = columns(a, LEFT, mixed(&ENCRYPT)) ^ b;
    xmm Aesenclast(a, b, _) = columns(a, LEFT, unmixed(&SUBSTITUTE)) ^ b;
    xmm Aesdec(a, b, _) = columns(a, RIGHT, mixed(&DECRYPT)) ^ b;
    xmm Aesdeclast(a, b, _) = columns(a, RIGHT, unmixed(&UNSUBSTITUTE)) ^ b;
    // The table undoes a substitution first.
    xmm Aesimc(_, b, _) = columns(b, 0, |byte, row| mixed(&DECRYPT)(SUBSTITUTE[usize::from(byte)], row));
    xmm Aeskeygenassist(_, b, imm) = assist_key(b, imm);
    xmm Pclmulqdq(a, b, imm) = carry_less_product(half(a, imm & 1 != 0), half(b, imm & 16 != 0));
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    lower_cipher(l)
}
