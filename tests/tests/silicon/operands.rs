//! Seeded operands that crowd the edges of a format.

use reprise_core::softfloat::F80;

/// SplitMix64.
pub(super) struct Seeded(pub(super) u64);

impl Seeded {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// Below `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_of(&mut self, choices: &[u64]) -> u64 {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// A fraction of `bits` bits.
    fn fraction(&mut self, bits: u32) -> u64 {
        let mask = u64::MAX >> (64 - bits);
        let random = self.next();
        let value = match self.below(10) {
            0 => 0,
            1 => 1,
            2 => u64::MAX,
            3 => 1 << (bits - 1),
            4 => random >> self.below(64),
            5 => !(random >> self.below(64)),
            6 => random << self.below(64),
            7 => 1 << self.below(u64::from(bits)),
            _ => random,
        };
        value & mask
    }

    /// A biased exponent of `bits` bits.
    fn exponent(&mut self, bits: u32) -> u64 {
        let top = (1u64 << bits) - 1;
        let bias = top >> 1;
        let near = self.below(9).wrapping_sub(4);
        let value = match self.below(16) {
            0 => 0,
            1 => 1 + self.below(4),
            2 => self.below(70),
            3 => top,
            4 => top - 1 - self.below(3),
            5..=8 => bias.wrapping_add(near),
            9 | 10 => bias + self.below(66),
            11 => bias.wrapping_sub(self.below(70)),
            12 => bias / 2 + self.below(6),
            13 => bias + bias / 2 + self.below(6),
            _ => self.next(),
        };
        value & top
    }

    /// A number of an interchange format.
    pub(super) fn interchange(&mut self, exp_bits: u32, precision: u32) -> u64 {
        let fraction_bits = precision - 1;
        let sign = self.below(2) << (exp_bits + fraction_bits);
        sign | self.exponent(exp_bits) << fraction_bits | self.fraction(fraction_bits)
    }

    /// A number of an interchange format that has to do with another one.
    pub(super) fn related(&mut self, to: u64, exp_bits: u32, precision: u32) -> u64 {
        let top_bit = 1 << (exp_bits + precision - 1);
        match self.below(6) {
            0 => to,
            1 => to ^ top_bit,
            2 => {
                let sign = self.below(2) * top_bit;
                to ^ sign ^ 1 << self.below(u64::from(precision))
            }
            _ => self.interchange(exp_bits, precision),
        }
    }

    /// An extended number, of supported encodings mostly.
    pub(super) fn extended(&mut self) -> F80 {
        let exponent = self.exponent(15) as u16;
        let sign = (self.below(2) as u16) << 15;
        let integer = match (exponent, self.below(24)) {
            (0, draw) => u64::from(draw < 4),
            (_, draw) => u64::from(draw > 0),
        };
        F80::new(exponent | sign, self.fraction(63) | integer << 63)
    }

    /// An extended number that has to do with another one.
    pub(super) fn extended_related(&mut self, to: F80) -> F80 {
        match self.below(6) {
            0 => F80::new(to.sign_exp ^ 0x8000, to.sig),
            1 => F80::new(to.sign_exp, to.sig ^ 1 << self.below(63)),
            2 => F80::new(to.sign_exp.wrapping_add(self.below(5) as u16) & 0x7fff, self.extended().sig),
            _ => self.extended(),
        }
    }

    /// An x87 control word: any rounding and precision, exceptions masked mostly.
    pub(super) fn control_word(&mut self, may_unmask: bool) -> u16 {
        let precision = self.one_of(&[0, 2, 3, 3]);
        let masks = if may_unmask && self.below(3) == 0 { self.below(64) } else { 63 };
        (self.below(4) << 10 | precision << 8 | masks) as u16
    }
}
