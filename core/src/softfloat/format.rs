//! The formats, and taking numbers apart.

use serde::{Deserialize, Serialize};

/// An x87 double-extended number as it lies in a register or in ten bytes of memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct F80 {
    /// The sign in bit 15, the exponent (biased by 16383) below.
    pub sign_exp: u16,
    /// The significand with its explicit integer bit 63.
    pub sig: u64,
}

/// Half precision, as F16C converts it.
#[derive(Clone, Copy, Debug)]
pub struct F16;

/// Single precision.
#[derive(Clone, Copy, Debug)]
pub struct F32;

/// Double precision.
#[derive(Clone, Copy, Debug)]
pub struct F64;

/// What kind of number a bit pattern is; FXAM reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Plus or minus zero.
    Zero,
    /// Smaller than the smallest normal number (pseudo-denormals of [`F80`] too).
    Denormal,
    /// An ordinary number.
    Normal,
    /// Plus or minus infinity.
    Infinity,
    /// A quiet NaN.
    Quiet,
    /// A signalling NaN.
    Signalling,
    /// An [`F80`] encoding that the 387 and later reject: unnormal, pseudo-NaN, pseudo-infinity.
    Unsupported,
}

/// A number taken apart.
#[derive(Clone, Copy, Debug)]
pub struct Unpacked {
    pub(super) class: Class,
    pub(super) negative: bool,
    /// Unbiased exponent of the integer bit; finite non-zero numbers only.
    pub(super) exp: i32,
    /// Significand with the integer bit at 63, denormals normalised. Of a NaN: the fraction below
    /// an integer bit that is set.
    pub(super) sig: u64,
}

impl Unpacked {
    #[inline]
    pub(super) const fn is_nan(self) -> bool {
        matches!(self.class, Class::Quiet | Class::Signalling)
    }

    #[inline]
    pub(super) const fn is_zero(self) -> bool {
        matches!(self.class, Class::Zero)
    }

    #[inline]
    pub(super) const fn is_infinity(self) -> bool {
        matches!(self.class, Class::Infinity)
    }

    #[inline]
    pub(super) const fn is_denormal(self) -> bool {
        matches!(self.class, Class::Denormal)
    }

    /// The number with the other sign.
    #[inline]
    pub(super) const fn negated(self) -> Self {
        Self { negative: !self.negative, ..self }
    }

    /// What DAZ makes of it.
    #[inline]
    pub(super) const fn flushed(self, daz: bool) -> Self {
        if daz && self.is_denormal() {
            return Self { class: Class::Zero, sig: 0, ..self };
        }
        self
    }
}

/// A binary format. The trait is closed: [`F16`], [`F32`], [`F64`] and [`F80`].
pub trait Format: Copy + sealed::Sealed {
    /// The bit pattern of a number.
    type Bits: Copy + PartialEq + core::fmt::Debug;
    /// Bits of the significand, with the integer bit.
    const PRECISION: u32;
    /// Bits of the exponent.
    const EXP_BITS: u32;
    /// The exponent of 1.0, and the largest exponent of a number.
    const BIAS: i32 = (1 << (Self::EXP_BITS - 1)) - 1;
    /// The smallest exponent of a normal number.
    const MIN_EXP: i32 = 1 - Self::BIAS;
    /// The x87's own format, with its own rules for NaNs, precision and unmasked exceptions.
    const EXTENDED: bool = false;

    /// Takes a bit pattern apart.
    fn unpack(bits: Self::Bits) -> Unpacked;

    /// Puts sign, biased exponent and significand (integer bit at 63, or clear for a denormal)
    /// together. The significand has no bits beyond the format's.
    fn pack(negative: bool, biased: u32, sig: u64) -> Self::Bits;

    /// The host's `a + b`, if the host is certain to answer as the soft path would.
    #[inline]
    fn host_add(_a: Self::Bits, _b: Self::Bits) -> Option<Self::Bits> {
        None
    }

    /// The host's `a - b`, as [`Format::host_add`].
    #[inline]
    fn host_sub(_a: Self::Bits, _b: Self::Bits) -> Option<Self::Bits> {
        None
    }

    /// The host's `a * b`, as [`Format::host_add`].
    #[inline]
    fn host_mul(_a: Self::Bits, _b: Self::Bits) -> Option<Self::Bits> {
        None
    }

    /// The host's `a / b`, as [`Format::host_add`].
    #[inline]
    fn host_div(_a: Self::Bits, _b: Self::Bits) -> Option<Self::Bits> {
        None
    }

    /// The host's square root, as [`Format::host_add`].
    #[inline]
    fn host_sqrt(_a: Self::Bits) -> Option<Self::Bits> {
        None
    }

    /// The host's comparison of two numbers that are normal or zero.
    #[inline]
    fn host_compare(_a: Self::Bits, _b: Self::Bits) -> Option<core::cmp::Ordering> {
        None
    }

    /// The host's truncation of a normal number or zero whose magnitude is below 2^62, and whether
    /// it is exact.
    #[inline]
    fn host_truncate(_a: Self::Bits) -> Option<(i64, bool)> {
        None
    }

    /// The host's conversion of an integer, rounded to nearest.
    #[inline]
    fn host_from_signed(_value: i64) -> Option<Self::Bits> {
        None
    }
}

pub(super) mod sealed {
    /// Keeps [`Format`](super::Format) closed.
    pub trait Sealed {}
    impl Sealed for super::F16 {}
    impl Sealed for super::F32 {}
    impl Sealed for super::F64 {}
    impl Sealed for super::F80 {}
}

/// Takes an IEEE interchange format apart, given as its 64-bit zero extension.
#[inline]
fn unpack_interchange<F: Format>(bits: u64) -> Unpacked {
    let fraction_bits = F::PRECISION - 1;
    let max_biased = (1u64 << F::EXP_BITS) - 1;
    let negative = bits >> (fraction_bits + F::EXP_BITS) & 1 != 0;
    let biased = bits >> fraction_bits & max_biased;
    let fraction = (bits & ((1 << fraction_bits) - 1)) << (63 - fraction_bits);
    if biased == 0 {
        return unpack_denormal::<F>(negative, fraction);
    }
    let class = match (biased == max_biased, fraction == 0) {
        (false, _) => Class::Normal,
        (true, true) => Class::Infinity,
        (true, false) if fraction >> 62 != 0 => Class::Quiet,
        (true, false) => Class::Signalling,
    };
    Unpacked { class, negative, exp: biased as i32 - F::BIAS, sig: fraction | 1 << 63 }
}

/// A significand at the smallest exponent; zero if there is none.
#[inline]
fn unpack_denormal<F: Format>(negative: bool, sig: u64) -> Unpacked {
    let shift = sig.leading_zeros();
    let class = if sig == 0 { Class::Zero } else { Class::Denormal };
    Unpacked { class, negative, exp: F::MIN_EXP - shift as i32, sig: sig.checked_shl(shift).unwrap_or(0) }
}

/// Puts an IEEE interchange format together, as its 64-bit zero extension.
#[inline]
fn pack_interchange<F: Format>(negative: bool, biased: u32, sig: u64) -> u64 {
    let fraction_bits = F::PRECISION - 1;
    let fraction = sig << 1 >> (64 - fraction_bits);
    let sign = u64::from(negative) << (fraction_bits + F::EXP_BITS);
    sign | u64::from(biased) << fraction_bits | fraction
}

impl Format for F16 {
    type Bits = u16;
    const PRECISION: u32 = 11;
    const EXP_BITS: u32 = 5;

    #[inline]
    fn unpack(bits: u16) -> Unpacked {
        unpack_interchange::<Self>(u64::from(bits))
    }

    #[inline]
    fn pack(negative: bool, biased: u32, sig: u64) -> u16 {
        pack_interchange::<Self>(negative, biased, sig) as u16
    }
}

impl Format for F32 {
    type Bits = u32;
    const PRECISION: u32 = 24;
    const EXP_BITS: u32 = 8;
    super::host::on_host!(u32, f32);

    #[inline]
    fn unpack(bits: u32) -> Unpacked {
        unpack_interchange::<Self>(u64::from(bits))
    }

    #[inline]
    fn pack(negative: bool, biased: u32, sig: u64) -> u32 {
        pack_interchange::<Self>(negative, biased, sig) as u32
    }
}

impl Format for F64 {
    type Bits = u64;
    const PRECISION: u32 = 53;
    const EXP_BITS: u32 = 11;
    super::host::on_host!(u64, f64);

    #[inline]
    fn unpack(bits: u64) -> Unpacked {
        unpack_interchange::<Self>(bits)
    }

    #[inline]
    fn pack(negative: bool, biased: u32, sig: u64) -> u64 {
        pack_interchange::<Self>(negative, biased, sig)
    }
}

super::host::host_tests!(F32, u32, 8, 24);
super::host::host_tests!(F64, u64, 11, 53);

impl Format for F80 {
    type Bits = Self;
    const PRECISION: u32 = 64;
    const EXP_BITS: u32 = 15;
    const EXTENDED: bool = true;

    #[inline]
    fn unpack(bits: Self) -> Unpacked {
        let negative = bits.is_negative();
        let biased = bits.sign_exp & 0x7fff;
        if biased == 0 {
            return unpack_denormal::<Self>(negative, bits.sig);
        }
        let class = match (bits.sig >> 63 != 0, biased == 0x7fff) {
            (false, _) => Class::Unsupported,
            (true, false) => Class::Normal,
            (true, true) if bits.sig << 1 == 0 => Class::Infinity,
            (true, true) if bits.sig >> 62 & 1 != 0 => Class::Quiet,
            (true, true) => Class::Signalling,
        };
        Unpacked { class, negative, exp: i32::from(biased) - Self::BIAS, sig: bits.sig }
    }

    #[inline]
    fn pack(negative: bool, biased: u32, sig: u64) -> Self {
        Self { sign_exp: u16::from(negative) << 15 | biased as u16, sig }
    }
}

impl F80 {
    /// Plus zero.
    pub const ZERO: Self = Self::new(0, 0);
    /// Plus one.
    pub const ONE: Self = Self::new(0x3fff, 1 << 63);
    /// Plus infinity.
    pub const INFINITY: Self = Self::new(0x7fff, 1 << 63);
    /// The real indefinite: the answer to an invalid operation.
    pub const INDEFINITE: Self = Self::new(0xffff, 3 << 62);

    /// From sign and exponent, and significand.
    pub const fn new(sign_exp: u16, sig: u64) -> Self {
        Self { sign_exp, sig }
    }

    /// From the ten bytes in memory.
    pub const fn from_le_bytes(bytes: [u8; 10]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j] = bytes;
        Self { sign_exp: u16::from_le_bytes([i, j]), sig: u64::from_le_bytes([a, b, c, d, e, f, g, h]) }
    }

    /// The ten bytes in memory.
    pub const fn to_le_bytes(self) -> [u8; 10] {
        let [a, b, c, d, e, f, g, h] = self.sig.to_le_bytes();
        let [i, j] = self.sign_exp.to_le_bytes();
        [a, b, c, d, e, f, g, h, i, j]
    }

    /// True if the sign bit is set.
    #[inline]
    pub const fn is_negative(self) -> bool {
        self.sign_exp >> 15 != 0
    }

    /// FABS.
    #[inline]
    pub const fn abs(self) -> Self {
        Self::new(self.sign_exp & 0x7fff, self.sig)
    }

    /// FCHS.
    #[inline]
    pub const fn negate(self) -> Self {
        Self::new(self.sign_exp ^ 0x8000, self.sig)
    }

    /// What FXAM sees.
    #[inline]
    pub fn class(self) -> Class {
        Self::unpack(self).class
    }
}
