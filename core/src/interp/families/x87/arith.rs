//! FADD, FSUB, FMUL and FDIV in all their forms.

use crate::interp::exec::{Exec, Outcome};
use crate::interp::op::{Lowering, Op};
use crate::softfloat::x87::{Arith, arith};
use crate::softfloat::{Env, F32, F64, F80, from_signed};
use iced_x86::{MemorySize, Mnemonic};

/// What follows from the operation's number in `imm`.
fn operation(op: &Op) -> Arith {
    match op.imm {
        0 => Arith::Add,
        1 => Arith::Mul,
        2 => Arith::Sub,
        3 => Arith::SubReverse,
        4 => Arith::Div,
        _ => Arith::DivReverse,
    }
}

/// Between registers: ST(`reg`) = ST(`reg`) op ST(`rm`), and `third` pops.
fn registers(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.x87_ready()?;
    x.note_pointer(op);
    let (target, source) = (op.reg, op.rm);
    if x.is_empty(target) || x.is_empty(source) {
        if x.stack_fault(false) {
            x.set_st(target, F80::INDEFINITE);
            x.pop_times(op.third);
        }
        return Ok(());
    }
    let mut env = x.x87_env();
    let result = arith::<F80>(operation(op), x.st(target), x.st(source), &mut env);
    conclude(x, op, target, result, env);
    Ok(())
}

fn conclude(x: &mut Exec<'_>, op: &Op, target: u8, result: F80, mut env: Env) {
    x.finish_x87(&mut env);
    if !env.blocks_register() {
        x.set_st(target, result);
        x.pop_times(op.third);
    }
}

/// With an operand in memory, of the kind in `size`.
fn memory(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.x87_ready()?;
    let operand = Operand::read(x, op)?;
    x.note_pointer(op);
    if x.is_empty(0) {
        if x.stack_fault(false) {
            x.set_st(0, F80::INDEFINITE);
        }
        return Ok(());
    }
    let mut env = x.x87_env();
    let st = x.st(0);
    let result = match operand {
        Operand::Single(bits) => arith::<F32>(operation(op), st, bits, &mut env),
        Operand::Double(bits) => arith::<F64>(operation(op), st, bits, &mut env),
        Operand::Integer(value) => {
            let exact = from_signed::<F80>(value, &mut Env::from_control_word(0x037f));
            arith::<F80>(operation(op), st, exact, &mut env)
        }
    };
    conclude(x, op, 0, result, env);
    Ok(())
}

/// A memory operand of arithmetic or comparison.
pub(super) enum Operand {
    Single(u32),
    Double(u64),
    Integer(i64),
}

/// Kinds of memory operands, in [`Op::size`].
pub(super) mod kind {
    pub(in super::super) const SINGLE: u8 = 0;
    pub(in super::super) const DOUBLE: u8 = 1;
    pub(in super::super) const WORD: u8 = 2;
    pub(in super::super) const DWORD: u8 = 3;
    pub(in super::super) const QWORD: u8 = 4;
    pub(in super::super) const EXTENDED: u8 = 5;
    pub(in super::super) const DECIMAL: u8 = 6;
}

impl Operand {
    pub(super) fn read(x: &mut Exec<'_>, op: &Op) -> Outcome<Self> {
        Ok(match op.size {
            kind::SINGLE => Self::Single(x.read(op)?),
            kind::DOUBLE => Self::Double(x.read(op)?),
            kind::WORD => Self::Integer(x.read::<u16>(op)? as i16 as i64),
            kind::DWORD => Self::Integer(x.read::<u32>(op)? as i32 as i64),
            _ => Self::Integer(x.read::<u64>(op)? as i64),
        })
    }
}

/// The kind of a memory operand.
pub(super) fn memory_kind(l: &Lowering<'_>) -> u8 {
    match l.insn.memory_size() {
        MemorySize::Float32 => kind::SINGLE,
        MemorySize::Float64 => kind::DOUBLE,
        MemorySize::Int16 => kind::WORD,
        MemorySize::Int32 => kind::DWORD,
        MemorySize::Float80 => kind::EXTENDED,
        MemorySize::Bcd => kind::DECIMAL,
        _ => kind::QWORD,
    }
}

/// The operation's number, and how often the stack is popped.
fn number(mnemonic: Mnemonic) -> Option<(u64, u8)> {
    Some(match mnemonic {
        Mnemonic::Fadd | Mnemonic::Fiadd => (0, 0),
        Mnemonic::Faddp => (0, 1),
        Mnemonic::Fmul | Mnemonic::Fimul => (1, 0),
        Mnemonic::Fmulp => (1, 1),
        Mnemonic::Fsub | Mnemonic::Fisub => (2, 0),
        Mnemonic::Fsubp => (2, 1),
        Mnemonic::Fsubr | Mnemonic::Fisubr => (3, 0),
        Mnemonic::Fsubrp => (3, 1),
        Mnemonic::Fdiv | Mnemonic::Fidiv => (4, 0),
        Mnemonic::Fdivp => (4, 1),
        Mnemonic::Fdivr | Mnemonic::Fidivr => (5, 0),
        Mnemonic::Fdivrp => (5, 1),
        _ => return None,
    })
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    let (imm, third) = number(l.insn.mnemonic())?;
    if l.is_register(0) {
        return Some(Op { imm, third, reg: l.register(0), rm: l.register(1), ..l.op(registers) });
    }
    Some(Op { imm, third, size: memory_kind(l), ..l.op(memory) })
}
