//! The state and the data a sequence starts from: values at which instructions behave differently.

use std::ops::Range;

use super::random::Random;
use crate::level::has_v3;
use crate::memory::{CODE_BASE, DATA_BASE, DATA_LEN};
use crate::state::{STATUS_FLAGS, UserState};

/// Offset in the data area of a valid FXSAVE image. x87 environments and FXSAVE images are kept here and in
/// no other place, because parts of them differ between processors.
pub const ENVIRONMENT_OFFSET: usize = 0x3800;

/// Pointers start below this offset, so that what goes through them meets the environment seldom.
const POINTER_LIMIT: u64 = 0x3000;

/// Vector registers that mostly hold small numbers of 32 bits at the start.
pub(super) const INDICES_32: Range<usize> = 12..14;
/// Vector registers that mostly hold small numbers of 64 bits at the start.
pub(super) const INDICES_64: Range<usize> = 14..16;

const RCX: usize = 1;
const RSP: usize = 4;
const RSI: usize = 6;
const RDI: usize = 7;

/// What a general register is for at the start. Later instructions may change that.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Points into the data area.
    Pointer,
    /// A small number, to index with.
    Index,
    /// Any value.
    Value,
}

/// The start of a sequence.
pub(super) struct Start {
    pub(super) state: UserState,
    pub(super) roles: [Role; 16],
}

pub(super) fn start(random: &mut Random) -> Start {
    let roles = roles(random);
    let mut state = UserState::new(CODE_BASE);
    for (register, role) in roles.iter().enumerate() {
        state.gpr[register] = match role {
            Role::Pointer => pointer(random),
            Role::Index => random.below(64).wrapping_sub(16),
            Role::Value => integer(random),
        };
    }
    if random.percent(90) {
        state.gpr[RCX] = random.below(48);
    }
    state.rflags = UserState::sane_rflags(random.next() & STATUS_FLAGS);
    if random.percent(75) {
        state.rflags &= !(1 << 10);
    }
    set_x87(&mut state, random);
    set_sse(&mut state, random);
    Start { state, roles }
}

fn roles(random: &mut Random) -> [Role; 16] {
    let mut roles = [Role::Value; 16];
    for role in &mut roles[3..] {
        *role = match random.below(10) {
            0..4 => Role::Pointer,
            4..6 => Role::Index,
            _ => Role::Value,
        };
    }
    for register in [RSP, RSI, RDI] {
        roles[register] = Role::Pointer;
    }
    roles
}

/// Mostly aligned; now and then so near an end of the area that an access goes past it.
fn pointer(random: &mut Random) -> u64 {
    let offset = match random.below(32) {
        0 => random.below(32),
        1 => DATA_LEN as u64 - random.below(32),
        2..4 => 0x400 + random.below(POINTER_LIMIT - 0x800),
        // Around a page boundary within.
        4 => 0x1000 * (1 + random.below(2)) - random.below(32),
        _ => 0x400 + random.below((POINTER_LIMIT - 0x800) / 16) * 16,
    };
    DATA_BASE + offset
}

/// An integer at which carries, signs, sizes or divisions change.
pub(super) fn integer(random: &mut Random) -> u64 {
    const EDGES: [u64; 18] = [
        0,
        1,
        2,
        0x7f,
        0x80,
        0xff,
        0x7fff,
        0x8000,
        0xffff,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_ffff,
        0x1_0000_0000,
        0x7fff_ffff_ffff_ffff,
        0x8000_0000_0000_0000,
        u64::MAX,
        u64::MAX - 1,
        0x5555_5555_5555_5555,
    ];
    match random.below(8) {
        0..3 => random.next(),
        3..5 => random.pick(&EDGES),
        5 => random.next() >> random.below(64),
        6 => (random.next() as i64 >> random.below(64)) as u64,
        _ => random.below(256),
    }
}

/// The bits of a binary32 number of any class.
fn single(random: &mut Random) -> u32 {
    let sign = (random.next() as u32) & 0x8000_0000;
    let fraction = random.next() as u32 & 0x007f_ffff;
    let magnitude = match random.below(16) {
        0 => 0,
        1 => 0x7f80_0000,
        2 => 0x7fc0_0000 | fraction,
        3 => 0x7f80_0000 | (fraction & 0x003f_ffff | 1),
        4 => fraction,
        5 => 1,
        6 => 0x7f7f_ffff,
        7 => 0x0080_0000,
        8 => (random.below(1000) as f32).to_bits(),
        9..13 => (120 + random.below(16) as u32) << 23 | fraction,
        _ => random.next() as u32 & 0x7fff_ffff,
    };
    sign | magnitude
}

/// The bits of a binary64 number of any class.
fn double(random: &mut Random) -> u64 {
    let sign = random.next() & 1 << 63;
    let fraction = random.next() & ((1 << 52) - 1);
    let magnitude = match random.below(16) {
        0 => 0,
        1 => 0x7ff << 52,
        2 => 0x7ff8 << 48 | fraction,
        3 => 0x7ff << 52 | (fraction & ((1 << 51) - 1) | 1),
        4 => fraction,
        5 => 1,
        6 => (0x7ff << 52) - 1,
        7 => 1 << 52,
        8 => (random.below(1 << 33) as f64).to_bits(),
        9 => f64::from(f32::from_bits(single(random) & 0x7fff_ffff)).to_bits(),
        10..14 => (1010 + random.below(24)) << 52 | fraction,
        _ => random.next() >> 1,
    };
    sign | magnitude
}

/// The bits of an 80-bit number of any class, those that are no longer supported included.
pub(super) fn extended(random: &mut Random) -> [u8; 10] {
    const INTEGER_BIT: u64 = 1 << 63;
    let fraction = random.next();
    let (exponent, significand) = match random.below(20) {
        0 => (0, 0),
        1 => (0x7fff, INTEGER_BIT),
        2 => (0x7fff, 3 << 62 | fraction),
        3 => (0x7fff, INTEGER_BIT | fraction >> 2 | 1),
        4 => (0, fraction >> 1),
        5 => (0, INTEGER_BIT | fraction),
        6 => (random.next() & 0x7fff, fraction >> 1),
        7 => (0x7ffe, u64::MAX),
        8 => (1, INTEGER_BIT),
        9 => (0x3fff, INTEGER_BIT),
        10..12 => (0x3fff + random.below(70), INTEGER_BIT | fraction),
        12 => (0x3fff + random.below(24), INTEGER_BIT | fraction & 0xffff_ff00_0000_0000),
        13..18 => (0x3ff0 + random.below(32), INTEGER_BIT | fraction),
        _ => (random.next() & 0x7fff, INTEGER_BIT | fraction),
    };
    let sign_and_exponent = exponent as u16 | (random.next() as u16 & 0x8000);
    let mut bytes = [0; 10];
    bytes[..8].copy_from_slice(&significand.to_le_bytes());
    bytes[8..].copy_from_slice(&sign_and_exponent.to_le_bytes());
    bytes
}

fn vector(random: &mut Random) -> u128 {
    let lanes =
        |random: &mut Random, lane: fn(&mut Random) -> u64| u128::from(lane(random)) | u128::from(lane(random)) << 64;
    match random.below(8) {
        0..3 => lanes(random, |random| u64::from(single(random)) | u64::from(single(random)) << 32),
        3..6 => lanes(random, double),
        6 => lanes(random, integer),
        _ => lanes(random, Random::next),
    }
}

/// Small numbers of that many bits, to index with.
fn indices(random: &mut Random, bits: u32) -> u128 {
    let index = |random: &mut Random| random.below(64).wrapping_sub(16) & u64::MAX >> (64 - bits);
    (0..128 / bits).fold(0, |vector, lane| vector | u128::from(index(random)) << (lane * bits))
}

fn set_x87(state: &mut UserState, random: &mut Random) {
    const EXCEPTIONS: u16 = 0x3f;
    const ERROR_SUMMARY_AND_BUSY: u16 = 0x8080;
    let masks = if random.percent(80) { EXCEPTIONS } else { random.next() as u16 & EXCEPTIONS };
    let precision = random.pick(&[3, 3, 2, 0, 1]) << 8;
    let rounding = (random.below(4) as u16) << 10;
    state.set_fcw(0x40 | masks | precision | rounding);
    let mut status = (random.next() as u16 & 0x7f00) | (random.next() as u16 & masks);
    if random.percent(3) {
        status |= random.next() as u16 & EXCEPTIONS;
    }
    if status & !masks & EXCEPTIONS != 0 {
        status |= ERROR_SUMMARY_AND_BUSY;
    }
    state.set_fsw(status);
    let some = random.next() as u8;
    state.set_ftw(random.pick(&[0xff, 0xff, 0, some]));
    for i in 0..8 {
        state.set_st(i, extended(random));
    }
}

fn set_sse(state: &mut UserState, random: &mut Random) {
    const MASKS: u32 = 0x1f80;
    let mut mxcsr = random.next() as u32 & 0xe07f;
    mxcsr |= if random.percent(80) { MASKS } else { random.next() as u32 & MASKS };
    if random.percent(60) {
        // Neither denormals-are-zero nor flush-to-zero.
        mxcsr &= !0x8040;
    }
    state.set_mxcsr(mxcsr);
    for i in 0..16 {
        state.set_xmm(i, vector(random));
        if has_v3() {
            state.high[i] = vector(random);
        }
    }
    for (registers, bits) in [(INDICES_32, 32), (INDICES_64, 64)] {
        for i in registers {
            if has_v3() && random.percent(90) {
                state.set_xmm(i, indices(random, bits));
                state.high[i] = indices(random, bits);
            }
        }
    }
}

/// Contents for the data area. Making one takes longer than running a sequence, so there is a fixed stock of them.
pub(super) struct DataStock {
    areas: Vec<Vec<u8>>,
}

impl DataStock {
    const AREAS: u64 = 64;

    pub(super) fn new() -> Self {
        let areas = (0..Self::AREAS).map(|seed| data_area(&mut Random::new(seed)));
        Self { areas: areas.collect() }
    }

    /// One of the stock with some of its contents, and the environment, drawn anew.
    pub(super) fn draw(&self, random: &mut Random) -> Vec<u8> {
        const NEW_CHUNKS: u64 = 2;
        let mut data = self.areas[random.below(Self::AREAS) as usize].clone();
        for _ in 0..NEW_CHUNKS {
            let at = random.below((DATA_LEN / CHUNK_LEN) as u64) as usize * CHUNK_LEN;
            fill_chunk(&mut data[at..at + CHUNK_LEN], random);
        }
        put_environment(&mut data, random);
        data
    }
}

const CHUNK_LEN: usize = 256;

fn data_area(random: &mut Random) -> Vec<u8> {
    let mut data = vec![0; DATA_LEN];
    for chunk in data.chunks_exact_mut(CHUNK_LEN) {
        fill_chunk(chunk, random);
    }
    data
}

/// Numbers of one kind, or pointers, or zeros.
fn fill_chunk(chunk: &mut [u8], random: &mut Random) {
    let kind = random.below(8);
    for word in chunk.chunks_exact_mut(16) {
        let value = match kind {
            0..2 => vector(random),
            2 => u128::from(integer(random)),
            3 => u128::from(pointer(random)) | u128::from(random.next()) << 64,
            4 => padded(extended(random)),
            5 => 0,
            _ => u128::from(random.next()) | u128::from(random.next()) << 64,
        };
        word.copy_from_slice(&value.to_le_bytes());
    }
}

fn put_environment(data: &mut [u8], random: &mut Random) {
    let mut state = UserState::new(CODE_BASE);
    set_x87(&mut state, random);
    set_sse(&mut state, random);
    data[ENVIRONMENT_OFFSET..ENVIRONMENT_OFFSET + 512].copy_from_slice(&state.fx);
}

fn padded(bytes: [u8; 10]) -> u128 {
    let mut wide = [0; 16];
    wide[..10].copy_from_slice(&bytes);
    u128::from_le_bytes(wide)
}
