//! Agent expressions: conditions of breakpoints, as a debugger compiles them, evaluated here (Debugging with GDB,
//! appendix F The GDB Agent Expression Mechanism).
//!
//! A breakpoint that is met a million times before its condition holds would otherwise stop the machine a million times,
//! for the debugger to look and let it go on. An expression is bytecode for a machine with a stack. It comes from a
//! client, so it is not trusted: it is checked once, when it is compiled, and the stack and the number of steps of an
//! evaluation are bounded.
//!
//! As in gdbserver, a condition that cannot be evaluated (memory that is not mapped, a division by zero) counts as true:
//! people see a stop too many rather than one too few, and their debugger looks again by itself.
//!
//! Not here, since they are for tracepoints and conditions have no use for them: `trace` and its kin, trace state
//! variables, `printf`, and the floating-point opcodes, which no debugger was ever seen to make.

mod evaluate;
#[cfg(test)]
mod tests;

use super::features::{Features, Slot};
use reprise_core::board::Board;
use reprise_core::cpu::CpuState;
use reprise_core::machine::View;
use reprise_core::probe::Condition;
use std::collections::BTreeMap;

/// Longest expression in bytes.
const LENGTH_LIMIT: usize = 4096;

/// Why bytes are no expression that can be evaluated here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Invalid {
    /// There are more than are taken.
    #[error("an expression of {0} bytes is too long: {LENGTH_LIMIT} are taken")]
    TooLong(usize),
    /// An opcode that does not exist, or not here.
    #[error("there is no opcode {opcode:#04x} (at {at})")]
    Opcode {
        /// Which opcode.
        opcode: u8,
        /// Its offset.
        at: usize,
    },
    /// The bytes end in an instruction.
    #[error("the expression ends in the middle of an instruction (at {0})")]
    CutOff(usize),
    /// A jump to where no instruction begins.
    #[error("no instruction begins at {0}, where the expression jumps to")]
    Target(usize),
    /// A register that does not exist.
    #[error("there is no register {0}")]
    Register(u16),
    /// A width of no or of too many bits.
    #[error("an integer cannot have {0} bits")]
    Width(u8),
}

/// An instruction. What follows on the stack is meant as the manual writes it: the top last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Binary(Binary),
    /// a -> !a
    LogNot,
    /// a -> ~a
    BitNot,
    /// a -> a, sign-extended from so many bits
    Extend(u32),
    /// a -> a, zero-extended from so many bits
    ZeroExtend(u32),
    /// address -> the value of so many bytes there
    Ref(usize),
    /// a -> ; goes on there if a is not zero
    IfGoto(usize),
    Goto(usize),
    /// -> value
    Const(u64),
    /// -> value of a register
    Register(Slot),
    /// Ends the evaluation: the top is its value
    End,
    /// a -> a a
    Dup,
    /// a ->
    Pop,
    /// a b -> b a
    Swap,
    /// -> the value so many below the top
    Pick(usize),
    /// a b c -> c a b
    Rotate,
}

/// a b -> a op b
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Binary {
    Add,
    Sub,
    Mul,
    DivSigned,
    DivUnsigned,
    RemSigned,
    RemUnsigned,
    Lsh,
    RshSigned,
    RshUnsigned,
    And,
    Or,
    Xor,
    Equal,
    LessSigned,
    LessUnsigned,
}

/// An expression, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expression {
    ops: Vec<Op>,
}

/// Bytes of an expression from some offset on.
struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl Reader<'_> {
    /// The next `count` bytes, most significant first.
    fn number(&mut self, count: usize) -> Result<u64, Invalid> {
        let bytes = self.bytes.get(self.at..self.at + count).ok_or(Invalid::CutOff(self.at))?;
        self.at += count;
        Ok(bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    fn width(&mut self) -> Result<u32, Invalid> {
        let width = self.number(1)? as u8;
        if (1..=64).contains(&width) { Ok(width.into()) } else { Err(Invalid::Width(width)) }
    }

    fn register(&mut self, features: &Features) -> Result<Slot, Invalid> {
        let number = self.number(2)? as u16;
        features.slot(number.into()).ok_or(Invalid::Register(number))
    }

    /// The next instruction; where it jumps to is an offset yet.
    fn op(&mut self, features: &Features) -> Result<Op, Invalid> {
        let at = self.at;
        let opcode = self.number(1)? as u8;
        Ok(match opcode {
            0x02..=0x0b | 0x0f..=0x11 | 0x13..=0x15 => Op::Binary(binary(opcode)),
            0x0e => Op::LogNot,
            0x12 => Op::BitNot,
            0x16 => Op::Extend(self.width()?),
            0x17..=0x1a => Op::Ref(1 << (opcode - 0x17)),
            0x20 => Op::IfGoto(self.number(2)? as usize),
            0x21 => Op::Goto(self.number(2)? as usize),
            0x22..=0x25 => Op::Const(self.number(1 << (opcode - 0x22))?),
            0x26 => Op::Register(self.register(features)?),
            0x27 => Op::End,
            0x28 => Op::Dup,
            0x29 => Op::Pop,
            0x2a => Op::ZeroExtend(self.width()?),
            0x2b => Op::Swap,
            0x32 => Op::Pick(self.number(1)? as usize),
            0x33 => Op::Rotate,
            _ => return Err(Invalid::Opcode { opcode, at }),
        })
    }
}

/// The binary operation with an opcode, which is one.
fn binary(opcode: u8) -> Binary {
    match opcode {
        0x02 => Binary::Add,
        0x03 => Binary::Sub,
        0x04 => Binary::Mul,
        0x05 => Binary::DivSigned,
        0x06 => Binary::DivUnsigned,
        0x07 => Binary::RemSigned,
        0x08 => Binary::RemUnsigned,
        0x09 => Binary::Lsh,
        0x0a => Binary::RshSigned,
        0x0b => Binary::RshUnsigned,
        0x0f => Binary::And,
        0x10 => Binary::Or,
        0x11 => Binary::Xor,
        0x13 => Binary::Equal,
        0x14 => Binary::LessSigned,
        _ => Binary::LessUnsigned,
    }
}

impl Expression {
    /// Checks the bytecode of an expression. Its register numbers are those of `features`.
    pub(crate) fn compile(bytes: &[u8], features: &Features) -> Result<Self, Invalid> {
        if bytes.len() > LENGTH_LIMIT {
            return Err(Invalid::TooLong(bytes.len()));
        }
        let mut reader = Reader { bytes, at: 0 };
        let (mut ops, mut places) = (Vec::new(), BTreeMap::new());
        while reader.at < bytes.len() {
            places.insert(reader.at, ops.len());
            ops.push(reader.op(features)?);
        }
        for op in &mut ops {
            if let Op::IfGoto(target) | Op::Goto(target) = op {
                *target = *places.get(target).ok_or(Invalid::Target(*target))?;
            }
        }
        Ok(Self { ops })
    }

    /// How many operations it has.
    pub(crate) fn len(&self) -> usize {
        self.ops.len()
    }
}

/// Holds if any of its expressions does. One of its kind that is none counts as one that always holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AnyOf(pub(crate) Vec<Expression>);

impl Condition for AnyOf {
    fn holds(&self, cpu: &CpuState, board: &Board) -> bool {
        let view = View::new(cpu, board);
        self.0.iter().any(|expression| expression.evaluate(cpu, board, &view).is_none_or(|value| value != 0))
    }
}
