//! Where the guest's status flags are.
//!
//! # The problem
//!
//! Most instructions set flags, few look at them, and yet RFLAGS must be exact wherever native code leaves: an interrupt
//! or a page fault pushes it. Saving host flags after each instruction costs more than the instruction.
//!
//! # The mechanism
//!
//! While translating we know for each point of a block what set the flags last and where its operands are. As long as
//! they are intact nothing is stored: a [`FlagsAt`] beside the site says how to compute the flags, should native code
//! leave there. An operand that is about to be overwritten is moved to a slot first. Where a block ends, operands and a
//! code for the operation go to slots by plain moves ([`Base::Entry`] is what the next block finds there). Flags that are
//! no function of operands at hand (shifts, products, vector comparisons) are saved by `lahf` and `seto`.
//!
//! INC and DEC keep CF, so they go on top of what set the others before.

use crate::registers::Slot;
use reprise_core::cpu::{CpuState, Flags};

/// What sets flags as a function of operands at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// a - b.
    Sub = 1,
    /// a is the difference, and b was taken away.
    SubResult = 2,
    /// a is the sum, and b was added.
    AddResult = 3,
    /// a is the result of a bitwise operation.
    Logic = 4,
    /// a is 0 minus something.
    Negated = 5,
    /// a is shifted left by b, which is not 0.
    Shl = 6,
    /// a is shifted right by b, which is not 0.
    Shr = 7,
    /// a is shifted right by b, which is not 0, with its sign.
    Sar = 8,
    /// a times b.
    Mul = 9,
    /// a times b, with signs.
    Imul = 10,
    /// a is the result of ANDN.
    AndNot = 11,
    /// a is the result of BEXTR.
    Extracted = 12,
    /// a is the result of BLSI.
    Lowest = 13,
    /// a with what BLSMSK makes of it.
    LowestMask = 14,
    /// a without its lowest bit.
    LowestCleared = 15,
    /// a is the result of BZHI, and b the number of bits.
    LowBits = 16,
    /// a is the number of zeros that TZCNT or LZCNT found.
    Zeros = 17,
}

impl Kind {
    /// By code.
    const ALL: [Self; 17] = [
        Self::Sub,
        Self::SubResult,
        Self::AddResult,
        Self::Logic,
        Self::Negated,
        Self::Shl,
        Self::Shr,
        Self::Sar,
        Self::Mul,
        Self::Imul,
        Self::AndNot,
        Self::Extracted,
        Self::Lowest,
        Self::LowestMask,
        Self::LowestCleared,
        Self::LowBits,
        Self::Zeros,
    ];

    fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code).checked_sub(1)?).copied()
    }

    /// Whether a repetition of the operation on the host gives all flags; if not, the manuals leave some undefined, or its
    /// operands must be in certain registers.
    pub(crate) fn can_repeat(self) -> bool {
        matches!(self, Self::Sub | Self::SubResult | Self::AddResult | Self::Logic | Self::Negated)
    }

    /// Whether b counts.
    pub(crate) fn has_b(self) -> bool {
        use Kind::{AndNot, Extracted, Logic, Lowest, LowestCleared, LowestMask, Negated, Zeros};
        !matches!(self, Logic | Negated | AndNot | Extracted | Lowest | LowestMask | LowestCleared | Zeros)
    }
}

/// INC or DEC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Step {
    /// INC.
    Up = 1,
    /// DEC.
    Down = 2,
}

/// Where an operand is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loc {
    /// In the guest's register of this number.
    Register(u8),
    /// In the slot for it.
    Slot,
    /// Here, sign-extended.
    Immediate(i32),
}

/// What set the flags, INC and DEC aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    /// As the block found them: the slots say.
    Entry,
    /// In the slot for raw flags.
    Raw,
    /// An operation of `size` bytes.
    Known {
        /// Which.
        kind: Kind,
        /// Bytes.
        size: u8,
        /// First operand.
        a: Loc,
        /// Second operand.
        b: Loc,
    },
}

/// How to compute the flags at a point of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlagsAt {
    /// What set them.
    pub base: Base,
    /// INC or DEC after it, with bytes and result; of its flags all but CF count.
    pub top: Option<(Step, u8, Loc)>,
}

impl FlagsAt {
    /// As the block found them.
    pub(crate) const ENTRY: Self = Self { base: Base::Entry, top: None };
    /// In the slot for raw flags.
    pub(crate) const RAW: Self = Self { base: Base::Raw, top: None };
}

/// The slots that hold flags: operation, operands, raw flags.
pub(crate) struct FlagSlots<'a>(pub &'a [u64; 16]);

/// Code of raw flags, the kinds of [`Kind`] aside.
pub(crate) const RAW_KIND: u32 = 0;

/// The code for the operation slot.
pub(crate) fn code(kind: u32, size: u8) -> u32 {
    kind | u32::from(size) << 8
}

/// The code for INC or DEC, which goes into the upper half.
pub(crate) fn top_code(step: Step, size: u8) -> u16 {
    step as u16 | u16::from(size) << 8
}

impl FlagSlots<'_> {
    fn slot(&self, slot: Slot) -> u64 {
        self.0[slot.index()]
    }

    fn kind(&self) -> u32 {
        self.slot(Slot::FlagsKind) as u32
    }

    /// Flags as `lahf` and `seto al` left them in `ax`.
    fn raw(&self) -> u64 {
        from_raw((self.slot(Slot::FlagsKind) >> 32) as u16)
    }

    fn value(&self, loc: Loc, slot: Slot, cpu: &CpuState) -> u64 {
        match loc {
            Loc::Register(number) => cpu.regs.get(number),
            Loc::Slot => self.slot(slot),
            Loc::Immediate(value) => i64::from(value) as u64,
        }
    }

    /// Brings `cpu`'s status flags up to date.
    pub(crate) fn settle(&self, at: &FlagsAt, cpu: &mut CpuState) {
        match at.base {
            Base::Entry => self.settle_entry(cpu),
            Base::Raw => cpu.flags.update(Flags::STATUS, self.raw()),
            Base::Known { kind, size, a, b } => {
                let (a, b) = (self.value(a, Slot::FlagsA, cpu), self.value(b, Slot::FlagsB, cpu));
                set_known(cpu, kind, size, a, b);
            }
        }
        if let Some((step, size, result)) = at.top {
            let result = self.value(result, Slot::FlagsTop, cpu);
            set_step(cpu, step, size, result);
        }
    }

    fn settle_entry(&self, cpu: &mut CpuState) {
        let code = self.kind();
        match Kind::from_code(code as u8) {
            Some(kind) => {
                set_known(cpu, kind, (code >> 8) as u8, self.slot(Slot::FlagsA), self.slot(Slot::FlagsB));
            }
            None => cpu.flags.update(Flags::STATUS, self.raw()),
        }
        let (step, size) = ((code >> 16) as u8, (code >> 24) as u8);
        if step != 0 {
            let step = if step == Step::Up as u8 { Step::Up } else { Step::Down };
            set_step(cpu, step, size, self.slot(Slot::FlagsTop));
        }
    }
}

fn from_raw(raw: u16) -> u64 {
    let overflow = if raw & 1 != 0 { Flags::OF } else { 0 };
    u64::from(raw >> 8) & (Flags::STATUS & 0xff) | overflow
}

/// Flags as `lahf` and `seto al` would leave them in `ax`.
pub(crate) fn to_raw(flags: u64) -> u16 {
    ((flags & 0xff) as u16) << 8 | u16::from(flags & Flags::OF != 0)
}

fn truncate(value: u64, size: u8) -> u64 {
    if size == 8 { value } else { value & ((1 << (8 * size)) - 1) }
}

fn sign_extend(value: u64, size: u8) -> u64 {
    let shift = 64 - 8 * u32::from(size);
    ((value << shift) as i64 >> shift) as u64
}

fn set_known(cpu: &mut CpuState, kind: Kind, size: u8, a: u64, b: u64) {
    match kind {
        Kind::Sub => set_difference(cpu, size, a, b, a.wrapping_sub(b)),
        Kind::SubResult => set_difference(cpu, size, a.wrapping_add(b), b, a),
        Kind::Negated => set_difference(cpu, size, 0, a.wrapping_neg(), a),
        Kind::AddResult => set_sum(cpu, size, a.wrapping_sub(b), b, a),
        Kind::Logic => cpu.flags.set_result(sign_extend(a, size), 0),
        Kind::Shl | Kind::Shr | Kind::Sar => set_shift(cpu, kind, size, a, b),
        Kind::Mul => set_product(cpu, size, u128::from(truncate(a, size)) * u128::from(truncate(b, size)), false),
        Kind::Imul => {
            let wide = |value| i128::from(sign_extend(value, size) as i64);
            set_product(cpu, size, (wide(a) * wide(b)) as u128, true);
        }
        Kind::AndNot
        | Kind::Extracted
        | Kind::Lowest
        | Kind::LowestMask
        | Kind::LowestCleared
        | Kind::LowBits
        | Kind::Zeros => set_bits(cpu, kind, size, truncate(a, size), b),
    }
}

/// ZF, SF and CF; the others are 0 (see [`reprise_core::cpu::undefined`]).
fn set_bits(cpu: &mut CpuState, kind: Kind, size: u8, a: u64, b: u64) {
    let bits = 8 * u64::from(size);
    let (result, carry) = match kind {
        Kind::Lowest => (a, a != 0),
        Kind::LowestMask => (truncate(a ^ a.wrapping_sub(1), size), a == 0),
        Kind::LowestCleared => (a & a.wrapping_sub(1), a == 0),
        Kind::LowBits => (a, b & 0xff >= bits),
        Kind::Zeros => (a, a == bits),
        _ => (a, false),
    };
    let sign = kind != Kind::Extracted && result >> (bits - 1) != 0;
    let flag = |on: bool, flag: u64| if on { flag } else { 0 };
    let flags = flag(carry, Flags::CF) | flag(result == 0, Flags::ZF) | flag(sign, Flags::SF);
    cpu.flags.update(Flags::STATUS, flags);
}

/// Flags of a shift by a count that is not 0 once masked (see [`reprise_core::cpu::undefined`]): as after the last of so
/// many shifts by 1.
fn set_shift(cpu: &mut CpuState, kind: Kind, size: u8, a: u64, count: u64) {
    let bits = 8 * u32::from(size);
    let count = (count & if size == 8 { 63 } else { 31 }) as u32;
    let before = match kind {
        Kind::Shl => u128::from(truncate(a, size)) << (count - 1),
        Kind::Sar => (sign_extend(a, size) as i64 >> (count - 1)) as u128,
        _ => u128::from(truncate(a, size)) >> (count - 1),
    } as u64;
    let top = before >> (bits - 1) & 1;
    let (carry, result, overflow) = match kind {
        Kind::Shl => (top, before << 1, top ^ (before << 1) >> (bits - 1) & 1),
        Kind::Sar => (before & 1, (before as i64 >> 1) as u64, 0),
        _ => (before & 1, truncate(before, size) >> 1, top),
    };
    cpu.flags.set_result(sign_extend(truncate(result, size), size), carry | overflow << 11);
}

/// CF and OF say whether the product is longer than its low half, of which SF, ZF and PF are.
fn set_product(cpu: &mut CpuState, size: u8, product: u128, signed: bool) {
    let low = sign_extend(product as u64, size);
    let fits = if signed { product as i128 == i128::from(low as i64) } else { product >> (8 * size) == 0 };
    cpu.flags.set_result(low, if fits { 0 } else { Flags::CF | Flags::OF });
}

/// CF, AF and OF from the carries out of each bit.
fn carries(carry: u64, size: u8) -> u64 {
    let bits = 8 * u32::from(size);
    let cf = carry >> (bits - 1) & 1;
    let of = cf ^ (carry >> (bits - 2) & 1);
    cf | (carry >> 3 & 1) << 4 | of << 11
}

fn set_difference(cpu: &mut CpuState, size: u8, a: u64, b: u64, difference: u64) {
    let (a, b, d) = (truncate(a, size), truncate(b, size), truncate(difference, size));
    cpu.flags.set_result(sign_extend(d, size), carries((!a & b) | ((!a | b) & d), size));
}

fn set_sum(cpu: &mut CpuState, size: u8, a: u64, b: u64, sum: u64) {
    let (a, b, s) = (truncate(a, size), truncate(b, size), truncate(sum, size));
    cpu.flags.set_result(sign_extend(s, size), carries((a & b) | ((a | b) & !s), size));
}

/// INC and DEC set all flags but CF.
fn set_step(cpu: &mut CpuState, step: Step, size: u8, result: u64) {
    let carry = cpu.flags.carry();
    match step {
        Step::Up => set_sum(cpu, size, result.wrapping_sub(1), 1, result),
        Step::Down => set_difference(cpu, size, result.wrapping_add(1), 1, result),
    }
    cpu.flags.put(Flags::CF, carry);
}
