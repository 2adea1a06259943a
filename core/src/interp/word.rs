//! The operand sizes, as types that handlers are generic over.

use super::exec::Exec;
use super::op::HIGH_BYTE;

/// An unsigned integer of an operand's size.
pub(crate) trait Word: Copy + Eq + Default + 'static {
    /// Bytes.
    const BYTES: usize;
    /// Bits.
    const BITS: u32 = Self::BYTES as u32 * 8;
    /// The little-endian bytes.
    type Bytes: AsRef<[u8]> + AsMut<[u8]> + Default;
    /// From little-endian bytes.
    fn from_le(bytes: Self::Bytes) -> Self;
    /// To little-endian bytes.
    fn to_le(self) -> Self::Bytes;
    /// The value at an offset of RAM.
    fn load(ram: &crate::memory::Ram, offset: u64) -> Option<Self>;
    /// Stores to a page of RAM that takes plain writes.
    fn store(self, ram: &mut crate::memory::Ram, offset: u64);
}

/// A [`Word`] that general-purpose registers hold.
pub(crate) trait Integer: Word {
    /// Zero-extended.
    fn zero_extend(self) -> u64;
    /// Sign-extended.
    fn sign_extend(self) -> u64;
    /// The low part of a 64-bit value.
    fn truncate(value: u64) -> Self;
    /// A register's value.
    fn get(x: &Exec<'_>, register: u8) -> Self;
    /// Sets a register, as instructions of this operand size do.
    fn set(self, x: &mut Exec<'_>, register: u8);
    /// A mask of all bits.
    const MASK: u64 = u64::MAX >> (64 - Self::BITS);
    /// The sign bit.
    const SIGN: u64 = 1 << (Self::BITS - 1);
}

/// Implements [`Word`] for a type of so many bytes with `from_le_bytes` and `to_le_bytes`.
macro_rules! word {
    ($type:ty, $bytes:literal) => {
        impl Word for $type {
            const BYTES: usize = $bytes;
            type Bytes = [u8; $bytes];
            #[inline(always)]
            fn from_le(bytes: Self::Bytes) -> Self {
                Self::from_le_bytes(bytes)
            }
            #[inline(always)]
            fn to_le(self) -> Self::Bytes {
                self.to_le_bytes()
            }
            #[inline(always)]
            fn load(ram: &crate::memory::Ram, offset: u64) -> Option<Self> {
                ram.get(offset).map(Self::from_le_bytes)
            }
            #[inline(always)]
            fn store(self, ram: &mut crate::memory::Ram, offset: u64) {
                ram.write_plain(offset, self.to_le_bytes());
            }
        }
    };
}

pub(super) use word;

word!(u8, 1);
word!(u16, 2);
word!(u32, 4);
word!(u64, 8);
word!(u128, 16);

macro_rules! integer {
    ($type:ty, $signed:ty, $get:expr, $set:expr) => {
        impl Integer for $type {
            #[inline(always)]
            fn zero_extend(self) -> u64 {
                u64::from(self)
            }
            #[inline(always)]
            fn sign_extend(self) -> u64 {
                self as $signed as i64 as u64
            }
            #[inline(always)]
            fn truncate(value: u64) -> Self {
                value as Self
            }
            #[inline(always)]
            fn get(x: &Exec<'_>, register: u8) -> Self {
                $get(x, register)
            }
            #[inline(always)]
            fn set(self, x: &mut Exec<'_>, register: u8) {
                $set(x, register, self);
            }
        }
    };
}

integer!(u8, i8, get_byte, set_byte);
integer!(u16, i16, |x: &Exec<'_>, r| x.cpu.regs.get(r) as u16, |x: &mut Exec<'_>, r, v| x.cpu.regs.set16(r, v));
integer!(u32, i32, |x: &Exec<'_>, r| x.cpu.regs.get(r) as u32, |x: &mut Exec<'_>, r, v| x.cpu.regs.set32(r, v));
integer!(u64, i64, |x: &Exec<'_>, r| x.cpu.regs.get(r), |x: &mut Exec<'_>, r, v| x.cpu.regs.set(r, v));

#[inline(always)]
fn get_byte(x: &Exec<'_>, register: u8) -> u8 {
    let shift = if register & HIGH_BYTE != 0 { 8 } else { 0 };
    (x.cpu.regs.get(register & !HIGH_BYTE) >> shift) as u8
}

#[inline(always)]
fn set_byte(x: &mut Exec<'_>, register: u8, value: u8) {
    let shift = if register & HIGH_BYTE != 0 { 8 } else { 0 };
    let register = register & !HIGH_BYTE;
    let old = x.cpu.regs.get(register) & !(0xff << shift);
    x.cpu.regs.set(register, old | u64::from(value) << shift);
}
