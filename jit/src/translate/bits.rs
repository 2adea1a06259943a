//! BMI1 and LZCNT. Flags that they leave undefined are computed from operands or result.

use super::Unit;
use super::flags::{Base, FlagsAt, Kind, Loc};
use super::pass::register;
use super::plan::Planned;
use super::{Source, plan::operand_size};
use crate::registers::Slot;
use iced_x86::{Mnemonic, RflagsBits};

const CARRY_ZERO: u32 = RflagsBits::CF | RflagsBits::ZF;
const WITHOUT_SIGN: u32 = CARRY_ZERO | RflagsBits::OF;
const DEFINED: u32 = WITHOUT_SIGN | RflagsBits::SF;

impl Unit<'_> {
    pub(super) fn bits(&mut self, planned: &Planned) {
        let insn = &planned.insn;
        let exchange = self.prepare(planned);
        let (target, _) = register(insn, 0).expect("the result goes into a register");
        let (kind, a, defined) = match insn.mnemonic() {
            Mnemonic::Andn => (Kind::AndNot, target, DEFINED),
            Mnemonic::Bextr => (Kind::Extracted, target, WITHOUT_SIGN),
            Mnemonic::Blsi => (Kind::Lowest, target, DEFINED),
            Mnemonic::Blsmsk => (Kind::LowestMask, Loc::Slot, DEFINED),
            Mnemonic::Blsr => (Kind::LowestCleared, Loc::Slot, DEFINED),
            Mnemonic::Bzhi => (Kind::LowBits, target, DEFINED),
            _ => (Kind::Zeros, target, CARRY_ZERO),
        };
        if planned.live && a == Loc::Slot {
            self.keep(planned, 1, Slot::FlagsA);
        }
        if planned.live && kind.has_b() {
            self.keep(planned, 2, Slot::FlagsB);
        }
        self.execute(planned, exchange);
        if !planned.live {
            return self.note_flags(planned);
        }
        let base = Base::Known { kind, size: operand_size(insn, 0), a, b: Loc::Slot };
        self.source = Source::At(FlagsAt { base, top: None });
        self.host = defined;
    }
}
