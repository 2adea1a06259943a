//! Vector registers as VEX-encoded instructions see them (SDM vol. 1, 14.1 Intel AVX Overview; vol. 2, 2.3 Intel
//! Advanced Vector Extensions, 2.4 AVX and SSE Instruction Exception Classification).

use super::lanes::{Lanes, lanes};
use super::operand::Vector;
use crate::cpu::{Exception, Flags, Vector as ExceptionVector, VectorRegister, cr0, cr4, xcr0};
use crate::interp::exec::{Exec, Outcome};
use crate::interp::word::{Word, word};
use std::hint::black_box;

/// The state components that must be enabled.
const ENABLED: u64 = xcr0::SSE | xcr0::AVX;

/// Raises what keeps VEX-encoded instructions on vector registers from executing.
#[inline(always)]
pub(in crate::interp::families) fn ready(x: &mut Exec<'_>) -> Outcome {
    let enabled = x.cpu.cr4 & cr4::OSXSAVE != 0 && x.cpu.xcr0 & ENABLED == ENABLED;
    if !enabled || x.cpu.cr0 & (cr0::PE | cr0::TS) != cr0::PE || x.cpu.flags.has(Flags::VM) {
        return unavailable(x);
    }
    Ok(())
}

/// Real mode has no VEX prefix, and CR0.EM does not matter.
#[cold]
fn unavailable(x: &mut Exec<'_>) -> Outcome {
    let enabled = x.cpu.cr4 & cr4::OSXSAVE != 0 && x.cpu.xcr0 & ENABLED == ENABLED;
    if enabled && x.cpu.is_protected() && x.cpu.cr0 & cr0::TS != 0 {
        return x.raise(Exception::new(ExceptionVector::DeviceNotAvailable));
    }
    x.raise(Exception::ud())
}

/// An XMM register of a VEX.128 instruction, which clears the upper half of what it writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::interp::families) struct Vex128(pub(in crate::interp::families) [u128; 1]);
/// A YMM register of a VEX.256 instruction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::interp::families) struct Vex256(pub(in crate::interp::families) [u128; 2]);

macro_rules! vex {
    ($type:ty, $lanes:literal, $bytes:literal, $of:expr, $high:expr) => {
        impl $type {
            #[inline(always)]
            fn to_le_bytes(self) -> [u8; $bytes] {
                let lanes = self.0.map(u128::to_le_bytes);
                std::array::from_fn(|at| lanes[at / 16][at % 16])
            }
            #[inline(always)]
            fn from_le_bytes(bytes: [u8; $bytes]) -> Self {
                Self(std::array::from_fn(|lane| {
                    u128::from_le_bytes(std::array::from_fn(|at| bytes[16 * lane + at]))
                }))
            }
        }

        word!($type, $bytes);
        lanes!($type, $bytes: u8, i8, u16, i16, u32, i32, u64, i64);

        impl Vector for $type {
            type Lane = u128;
            const ALIGNED: bool = false;
            #[inline(always)]
            fn ready(x: &mut Exec<'_>) -> Outcome {
                ready(x)
            }
            #[inline(always)]
            fn of(x: &Exec<'_>, register: u8) -> Self {
                Self($of(&x.cpu.vectors[usize::from(register & 15)]))
            }
            #[inline(always)]
            fn put(self, x: &mut Exec<'_>, register: u8) {
                x.cpu.vectors[usize::from(register & 15)] = VectorRegister { low: self.0[0], high: $high(self) };
            }
            #[inline(always)]
            fn from_low(low: u64) -> Self {
                let mut lanes = [0; $lanes];
                lanes[0] = u128::from(low);
                Self(lanes)
            }
            #[inline(always)]
            fn low(self) -> u64 {
                self.0[0] as u64
            }
            #[inline(always)]
            fn lanewise(self, other: Self, mut f: impl FnMut(u128, u128, u32) -> u128) -> Self {
                Self(std::array::from_fn(|lane| f(self.0[lane], other.0[lane], lane as u32)))
            }
        }
    };
}

vex!(Vex128, 1, 16, |register: &VectorRegister| [register.low], |_| 0);
vex!(Vex256, 2, 32, |register: &VectorRegister| [register.low, register.high], |vector: Self| vector.0[1]);
