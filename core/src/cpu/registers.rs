//! General-purpose registers and RIP.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Register numbers, as instructions encode them, and two more that make address arithmetic uniform.
#[allow(missing_docs)]
pub mod reg {
    pub const RAX: u8 = 0;
    pub const RCX: u8 = 1;
    pub const RDX: u8 = 2;
    pub const RBX: u8 = 3;
    pub const RSP: u8 = 4;
    pub const RBP: u8 = 5;
    pub const RSI: u8 = 6;
    pub const RDI: u8 = 7;
    pub const R8: u8 = 8;
    pub const R9: u8 = 9;
    pub const R10: u8 = 10;
    pub const R11: u8 = 11;
    pub const R12: u8 = 12;
    pub const R13: u8 = 13;
    pub const R14: u8 = 14;
    pub const R15: u8 = 15;
    /// Always zero: the base or index of an address that has none.
    pub const ZERO: u8 = 16;
    /// The instruction pointer.
    pub const RIP: u8 = 17;
}

/// The register file; sized so that a masked number never needs a bounds check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Registers {
    file: [u64; 32],
}

impl Registers {
    /// All 64 bits of a register.
    #[inline(always)]
    pub fn get(&self, number: u8) -> u64 {
        self.file[usize::from(number & 31)]
    }

    /// Sets all 64 bits of a register; [`reg::ZERO`] must not be set.
    #[inline(always)]
    pub fn set(&mut self, number: u8, value: u64) {
        debug_assert!(number < 16 || number == reg::RIP, "register {number} cannot be set");
        self.file[usize::from(number & 31)] = value;
    }

    /// Sets the low 32 bits and clears the high ones, as 32-bit instructions do.
    #[inline(always)]
    pub fn set32(&mut self, number: u8, value: u32) {
        self.set(number, u64::from(value));
    }

    /// Sets the low 16 bits and keeps the others.
    #[inline(always)]
    pub fn set16(&mut self, number: u8, value: u16) {
        self.set(number, self.get(number) & !0xffff | u64::from(value));
    }

    /// The instruction pointer; while an instruction executes, that of the next one.
    #[inline(always)]
    pub fn rip(&self) -> u64 {
        self.get(reg::RIP)
    }

    /// Sets the instruction pointer.
    #[inline(always)]
    pub fn set_rip(&mut self, value: u64) {
        self.set(reg::RIP, value);
    }

    /// The sixteen general-purpose registers.
    pub fn general(&self) -> [u64; 16] {
        std::array::from_fn(|number| self.file[number])
    }

    /// The whole file, for code that loads and stores it by number; [`reg::ZERO`] must stay zero.
    pub fn file_mut(&mut self) -> &mut [u64; 32] {
        &mut self.file
    }
}

impl Serialize for Registers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.general(), self.rip()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Registers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (general, rip) = <([u64; 16], u64)>::deserialize(deserializer)?;
        let mut registers = Self::default();
        registers.file[..16].copy_from_slice(&general);
        registers.set_rip(rip);
        Ok(registers)
    }
}
