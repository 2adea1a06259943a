//! The environment of an operation: rounding, masks, and what it raised.

/// Rounding direction, with the encoding of the RC fields of MXCSR and the x87 control word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Rounding {
    /// To nearest, ties to even.
    NearestEven = 0,
    /// Toward minus infinity.
    Down = 1,
    /// Toward plus infinity.
    Up = 2,
    /// Toward zero.
    Zero = 3,
}

impl Rounding {
    /// From the low two bits of an RC field (or of the immediate of ROUNDSS).
    #[inline]
    pub const fn from_rc(rc: u32) -> Self {
        match rc & 3 {
            0 => Self::NearestEven,
            1 => Self::Down,
            2 => Self::Up,
            _ => Self::Zero,
        }
    }
}

/// The x87 precision control: it shortens the significand of add, sub, mul, div and sqrt, and
/// leaves the range of the exponent alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// 24 bits.
    Single,
    /// 53 bits.
    Double,
    /// 64 bits.
    Extended,
}

impl Precision {
    /// From the PC field of the x87 control word; the reserved value 1 acts as extended.
    #[inline]
    pub const fn from_pc(pc: u32) -> Self {
        match pc & 3 {
            0 => Self::Single,
            2 => Self::Double,
            _ => Self::Extended,
        }
    }

    /// Bits of the significand.
    #[inline]
    pub(super) const fn bits(self) -> u32 {
        match self {
            Self::Single => 24,
            Self::Double => 53,
            Self::Extended => 64,
        }
    }
}

/// A set of exceptions, in the bit positions that MXCSR and the x87 words share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u8);

impl Flags {
    /// No exception.
    pub const NONE: Self = Self(0);
    /// Invalid operation.
    pub const IE: Self = Self(1);
    /// Denormal operand.
    pub const DE: Self = Self(2);
    /// Division by zero.
    pub const ZE: Self = Self(4);
    /// Overflow.
    pub const OE: Self = Self(8);
    /// Underflow.
    pub const UE: Self = Self(16);
    /// Precision: the result is inexact.
    pub const PE: Self = Self(32);
    /// What is found before computing: reported instead of a result when unmasked.
    pub const BEFORE: Self = Self(7);
    /// All six.
    pub const ALL: Self = Self(63);

    /// From the low six bits; the others are dropped.
    #[inline]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & 63)
    }

    /// As the low six bits of MXCSR or of the x87 status word.
    #[inline]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// True if no exception is in the set.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// True if the two sets share an exception.
    #[inline]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Those in both sets.
    #[inline]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those in this set and not in the other.
    #[inline]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Those in either set.
    #[inline]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What an instruction computes with, and what it raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Env {
    /// Rounding direction.
    pub rounding: Rounding,
    /// x87 precision control; looked at by arithmetic on [`F80`](super::F80) only.
    pub precision: Precision,
    /// The exceptions that are masked.
    pub masks: Flags,
    /// MXCSR.DAZ: denormal operands count as zeros, silently.
    pub daz: bool,
    /// MXCSR.FTZ: tiny results become zeros while underflow is masked.
    pub ftz: bool,
    /// The host may compute in place of this module, because nobody can see whether PE was raised:
    /// rounding is to nearest, PE is masked and already set. Then `flags` may lack PE.
    pub inexact_known: bool,
    /// What was raised since the environment was made.
    pub flags: Flags,
    /// x87 C1: the last inexact result was rounded away from zero.
    pub c1: bool,
}

impl Env {
    /// The environment of an SSE instruction.
    #[inline]
    pub const fn from_mxcsr(mxcsr: u32) -> Self {
        // PE is bit 5, PM bit 12, RC bits 13 and 14.
        const LOOKED_AT: u32 = 1 << 5 | 1 << 12 | 3 << 13;
        const ALREADY_INEXACT: u32 = 1 << 5 | 1 << 12;
        Self {
            rounding: Rounding::from_rc(mxcsr >> 13),
            precision: Precision::Extended,
            masks: Flags::from_bits((mxcsr >> 7) as u8),
            daz: mxcsr & 1 << 6 != 0,
            ftz: mxcsr & 1 << 15 != 0,
            inexact_known: mxcsr & LOOKED_AT == ALREADY_INEXACT,
            flags: Flags::NONE,
            c1: false,
        }
    }

    /// The environment of an x87 instruction.
    #[inline]
    pub const fn from_control_word(fcw: u16) -> Self {
        Self {
            rounding: Rounding::from_rc(fcw as u32 >> 10),
            precision: Precision::from_pc(fcw as u32 >> 8),
            masks: Flags::from_bits(fcw as u8),
            daz: false,
            ftz: false,
            inexact_known: false,
            flags: Flags::NONE,
            c1: false,
        }
    }

    /// Adds to the raised exceptions.
    #[inline]
    pub const fn raise(&mut self, flags: Flags) {
        self.flags = self.flags.or(flags);
    }

    /// Those raised that are not masked.
    #[inline]
    pub const fn unmasked(&self) -> Flags {
        self.flags.without(self.masks)
    }

    /// Ends an instruction: true if an unmasked exception was raised. If one was found before
    /// computing, what the computation raised is forgotten, as the hardware did not compute.
    #[inline]
    pub const fn settle(&mut self) -> bool {
        if self.unmasked().intersects(Flags::BEFORE) {
            self.flags = self.flags.and(Flags::BEFORE);
            self.c1 = false;
        }
        !self.unmasked().is_empty()
    }

    /// x87: an unmasked exception leaves a destination register as it was.
    #[inline]
    pub const fn blocks_register(&self) -> bool {
        self.unmasked().intersects(Flags::BEFORE)
    }

    /// x87: an unmasked exception leaves a destination in memory (and the stack) as it was.
    #[inline]
    pub const fn blocks_memory(&self) -> bool {
        let before_store = Flags::BEFORE.or(Flags::OE).or(Flags::UE);
        self.unmasked().intersects(before_store)
    }
}
