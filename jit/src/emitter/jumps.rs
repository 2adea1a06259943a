//! Jumps: to addresses, and forward to code that is not there yet.

use dynasmrt::DynasmApi;
use iced_x86::ConditionCode;

use super::{Emitter, Side};
use crate::code_memory::relative;

/// What a conditional jump asks of the flags; the numbers are the encoding's (Intel SDM vol. 2, B.1.4.7 Condition Test
/// (tttn) Field).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
#[repr(u8)]
pub enum Condition {
    Overflow,
    NotOverflow,
    Below,
    AboveOrEqual,
    Equal,
    NotEqual,
    BelowOrEqual,
    Above,
    Sign,
    NotSign,
    Parity,
    NotParity,
    Less,
    GreaterOrEqual,
    LessOrEqual,
    Greater,
}

use Condition::*;

/// By number.
const CONDITIONS: [Condition; 16] = [
    Overflow,
    NotOverflow,
    Below,
    AboveOrEqual,
    Equal,
    NotEqual,
    BelowOrEqual,
    Above,
    Sign,
    NotSign,
    Parity,
    NotParity,
    Less,
    GreaterOrEqual,
    LessOrEqual,
    Greater,
];

impl Condition {
    /// The condition with this number, of which the low four bits count.
    pub fn from_number(number: u8) -> Self {
        CONDITIONS[usize::from(number & 15)]
    }

    /// The condition of a guest's conditional jump, move or set.
    pub fn of(code: ConditionCode) -> Option<Self> {
        Some(match code {
            ConditionCode::None => return None,
            ConditionCode::o => Overflow,
            ConditionCode::no => NotOverflow,
            ConditionCode::b => Below,
            ConditionCode::ae => AboveOrEqual,
            ConditionCode::e => Equal,
            ConditionCode::ne => NotEqual,
            ConditionCode::be => BelowOrEqual,
            ConditionCode::a => Above,
            ConditionCode::s => Sign,
            ConditionCode::ns => NotSign,
            ConditionCode::p => Parity,
            ConditionCode::np => NotParity,
            ConditionCode::l => Less,
            ConditionCode::ge => GreaterOrEqual,
            ConditionCode::le => LessOrEqual,
            ConditionCode::g => Greater,
        })
    }

    /// True when this one is false.
    pub fn negated(self) -> Self {
        Self::from_number(self as u8 ^ 1)
    }
}

/// A jump that has been emitted, and whose target may be given later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a jump must be bound, or patched once it is in the code memory"]
pub struct Jump {
    field: u64,
    side: Side,
}

impl Jump {
    /// Address of its four displacement bytes, for [`crate::code_memory::CodeMemory::patch_rel32`].
    pub fn field(self) -> u64 {
        self.field
    }
}

/// A jump of one displacement byte, whose target comes soon after it in the same buffer.
#[derive(Debug)]
#[must_use = "a jump must be bound"]
pub struct ShortJump {
    next: u64,
    side: Side,
}

impl Emitter {
    /// Emits a jump to an address of either area.
    pub fn jump_to(&mut self, target: u64) -> Jump {
        let jump = self.jump();
        self.bind_to(jump, target);
        jump
    }

    /// Emits a conditional jump to an address of either area.
    pub fn jump_if_to(&mut self, condition: Condition, target: u64) -> Jump {
        let jump = self.jump_if(condition);
        self.bind_to(jump, target);
        jump
    }

    /// Emits a jump that is to be bound; unbound, it does nothing.
    pub fn jump(&mut self) -> Jump {
        self.push(0xe9);
        self.field()
    }

    /// Emits a conditional jump that is to be bound; unbound, it does nothing.
    pub fn jump_if(&mut self, condition: Condition) -> Jump {
        self.extend(&[0x0f, 0x80 | condition as u8]);
        self.field()
    }

    /// Emits `lea register, [rip + ...]` of an address of either area, or of one that is bound later.
    pub fn address_of(&mut self, register: u8) -> Jump {
        self.extend(&[0x48 | register >> 3 << 2, 0x8d, 0x05 | (register & 7) << 3]);
        self.field()
    }

    /// Makes a jump of either buffer lead to where the active one is now.
    pub fn bind(&mut self, jump: Jump) {
        self.bind_to(jump, self.position());
    }

    /// Makes a jump of either buffer lead to an address of either area.
    pub fn bind_to(&mut self, jump: Jump, target: u64) {
        let buffer = &mut self.buffers[jump.side as usize];
        let at = (jump.field - buffer.base) as usize;
        buffer.code[at..at + 4].copy_from_slice(&relative(jump.field, target).to_le_bytes());
    }

    /// Emits a jump of two bytes that is to be bound to a place at most 127 bytes further on in the same buffer.
    pub fn jump_short(&mut self) -> ShortJump {
        self.short(0xeb)
    }

    /// Emits a conditional jump of two bytes that is to be bound to a place at most 127 bytes further on in the same buffer.
    pub fn jump_short_if(&mut self, condition: Condition) -> ShortJump {
        self.short(0x70 | condition as u8)
    }

    /// Makes a short jump lead to where the active buffer, which must be the jump's own, is now.
    pub fn bind_short(&mut self, jump: ShortJump) {
        assert_eq!(jump.side, self.side, "a short jump stays in its buffer");
        let distance = i8::try_from(self.position() - jump.next).expect("a short jump's target is near");
        let buffer = self.active();
        let next = (jump.next - buffer.base) as usize;
        buffer.code[next - 1] = distance as u8;
    }

    fn field(&mut self) -> Jump {
        let jump = Jump { field: self.position(), side: self.side };
        self.push_i32(0);
        jump
    }

    fn short(&mut self, opcode: u8) -> ShortJump {
        self.extend(&[opcode, 0]);
        ShortJump { next: self.position(), side: self.side }
    }
}
