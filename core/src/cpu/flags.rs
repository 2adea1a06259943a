//! RFLAGS, with the result flags of the last arithmetic instruction kept unevaluated.
//!
//! ZF, SF and PF are functions of a result, and most results are never asked for them. So an arithmetic instruction
//! stores its sign-extended result and computes only CF, AF and OF. Who looks at RFLAGS as a whole, and saved state,
//! sees the evaluated flags: the representation is not state.

use serde::{Deserialize, Serialize};

/// RFLAGS.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(from = "u64", into = "u64")]
pub struct Flags {
    /// All flags; ZF, SF and PF only if `lazy` is false.
    bits: u64,
    /// Sign-extended result from which ZF, SF and PF follow.
    result: u64,
    lazy: bool,
}

impl Flags {
    /// Carry.
    pub const CF: u64 = 1 << 0;
    /// Parity of the low byte of a result.
    pub const PF: u64 = 1 << 2;
    /// Auxiliary carry, out of bit 3.
    pub const AF: u64 = 1 << 4;
    /// Zero.
    pub const ZF: u64 = 1 << 6;
    /// Sign.
    pub const SF: u64 = 1 << 7;
    /// Trap: single step.
    pub const TF: u64 = 1 << 8;
    /// Interrupts enabled.
    pub const IF: u64 = 1 << 9;
    /// Direction of string instructions.
    pub const DF: u64 = 1 << 10;
    /// Overflow.
    pub const OF: u64 = 1 << 11;
    /// I/O privilege level, two bits.
    pub const IOPL: u64 = 3 << 12;
    /// Nested task.
    pub const NT: u64 = 1 << 14;
    /// Resume: no instruction breakpoint on the next instruction.
    pub const RF: u64 = 1 << 16;
    /// Virtual-8086 mode.
    pub const VM: u64 = 1 << 17;
    /// Alignment check, and access control with SMAP.
    pub const AC: u64 = 1 << 18;
    /// Virtual interrupt flag.
    pub const VIF: u64 = 1 << 19;
    /// Virtual interrupt pending.
    pub const VIP: u64 = 1 << 20;
    /// CPUID can be used.
    pub const ID: u64 = 1 << 21;
    /// The six flags of arithmetic.
    pub const STATUS: u64 = Self::CF | Self::PF | Self::AF | Self::ZF | Self::SF | Self::OF;
    const LAZY: u64 = Self::ZF | Self::SF | Self::PF;
    const FIXED: u64 = 2;
    /// Flags that exist; the others are always zero.
    const EXIST: u64 = 0x3f_7fd5;

    /// The whole register.
    #[inline]
    pub fn get(&self) -> u64 {
        if self.lazy { self.bits | self.evaluate() } else { self.bits }
    }

    /// Sets the whole register; bits that do not exist are dropped.
    #[inline]
    pub fn set(&mut self, value: u64) {
        *self = Self { bits: value & Self::EXIST | Self::FIXED, result: 0, lazy: false };
    }

    /// Sets the flags in `mask` from `value` and keeps the others.
    #[inline]
    pub fn update(&mut self, mask: u64, value: u64) {
        self.set(self.get() & !mask | value & mask);
    }

    /// Whether any flag in `mask` is set; for flags other than ZF, SF and PF.
    #[inline(always)]
    pub fn has(&self, mask: u64) -> bool {
        debug_assert_eq!(mask & Self::LAZY, 0, "ask zero(), sign() or parity()");
        self.bits & mask != 0
    }

    /// Sets or clears flags other than ZF, SF and PF.
    #[inline(always)]
    pub fn put(&mut self, mask: u64, on: bool) {
        debug_assert_eq!(mask & Self::LAZY, 0, "use update()");
        self.bits = if on { self.bits | mask } else { self.bits & !mask };
    }

    /// The flags after an arithmetic instruction: `result` sign-extended to 64 bits, and the values of CF, AF and OF as
    /// bits of the register.
    #[inline(always)]
    pub fn set_result(&mut self, result: u64, carries: u64) {
        debug_assert_eq!(carries & !(Self::CF | Self::AF | Self::OF), 0);
        self.bits = self.bits & !Self::STATUS | carries;
        self.result = result;
        self.lazy = true;
    }

    /// CF.
    #[inline(always)]
    pub fn carry(&self) -> bool {
        self.bits & Self::CF != 0
    }

    /// OF.
    #[inline(always)]
    pub fn overflow(&self) -> bool {
        self.bits & Self::OF != 0
    }

    /// ZF.
    #[inline(always)]
    pub fn zero(&self) -> bool {
        if self.lazy { self.result == 0 } else { self.bits & Self::ZF != 0 }
    }

    /// SF.
    #[inline(always)]
    pub fn sign(&self) -> bool {
        if self.lazy { (self.result as i64) < 0 } else { self.bits & Self::SF != 0 }
    }

    /// PF.
    #[inline(always)]
    pub fn parity(&self) -> bool {
        if self.lazy { (self.result as u8).count_ones() & 1 == 0 } else { self.bits & Self::PF != 0 }
    }

    fn evaluate(&self) -> u64 {
        let bit = |on: bool, flag: u64| if on { flag } else { 0 };
        bit(self.zero(), Self::ZF) | bit(self.sign(), Self::SF) | bit(self.parity(), Self::PF)
    }
}

impl Default for Flags {
    fn default() -> Self {
        Self { bits: Self::FIXED, result: 0, lazy: false }
    }
}

impl PartialEq for Flags {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Eq for Flags {}

impl From<u64> for Flags {
    fn from(value: u64) -> Self {
        let mut flags = Self::default();
        flags.set(value);
        flags
    }
}

impl From<Flags> for u64 {
    fn from(flags: Flags) -> Self {
        flags.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lazy_and_evaluated_flags_are_the_same_state() {
        let mut lazy = Flags::from(Flags::IF | Flags::ZF);
        lazy.set_result(0xffff_ffff_ffff_ff80, Flags::CF);
        assert_eq!(lazy.get(), Flags::IF | Flags::SF | Flags::CF | 2);
        assert_eq!(lazy, Flags::from(lazy.get()));
        assert!(!lazy.zero() && lazy.sign() && !lazy.parity() && lazy.carry());
        lazy.update(Flags::SF, 0);
        assert_eq!(lazy.get(), Flags::IF | Flags::CF | 2);
    }

    #[test]
    fn bits_that_do_not_exist_stay_zero() {
        assert_eq!(Flags::from(u64::MAX).get(), 0x3f_7fd7);
    }
}
