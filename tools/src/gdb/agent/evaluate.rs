//! Evaluation of expressions.

use super::{Binary, Expression, Op};
use reprise_core::board::Board;
use reprise_core::cpu::CpuState;
use reprise_core::machine::View;

/// Values on the stack, at most. What gdb makes of a condition needs as many as its parentheses are deep.
const DEPTH: usize = 64;
/// Instructions of an evaluation, at most: it may jump back.
const STEPS: usize = 16 << 10;

struct Stack {
    values: [u64; DEPTH],
    len: usize,
}

impl Stack {
    fn push(&mut self, value: u64) -> Option<()> {
        *self.values.get_mut(self.len)? = value;
        self.len += 1;
        Some(())
    }

    fn pop(&mut self) -> Option<u64> {
        self.len = self.len.checked_sub(1)?;
        Some(self.values[self.len])
    }

    /// The value so many below the top.
    fn below(&mut self, depth: usize) -> Option<&mut u64> {
        let at = self.len.checked_sub(depth + 1)?;
        Some(&mut self.values[at])
    }

    fn replace(&mut self, change: impl FnOnce(u64) -> u64) -> Option<()> {
        let top = self.below(0)?;
        *top = change(*top);
        Some(())
    }

    fn swap(&mut self, depth: usize, other: usize) -> Option<()> {
        let (a, b) = (*self.below(depth)?, *self.below(other)?);
        (*self.below(depth)?, *self.below(other)?) = (b, a);
        Some(())
    }
}

fn signed(value: u64) -> i64 {
    value as i64
}

/// `None` for a division by zero.
fn binary(op: Binary, a: u64, b: u64) -> Option<u64> {
    // Shifts by 64 and more move everything out.
    let shift = u32::try_from(b).unwrap_or(u32::MAX);
    Some(match op {
        Binary::Add => a.wrapping_add(b),
        Binary::Sub => a.wrapping_sub(b),
        Binary::Mul => a.wrapping_mul(b),
        Binary::DivSigned if b == 0 => return None,
        Binary::DivSigned => signed(a).wrapping_div(signed(b)) as u64,
        Binary::DivUnsigned => a.checked_div(b)?,
        Binary::RemSigned if b == 0 => return None,
        Binary::RemSigned => signed(a).wrapping_rem(signed(b)) as u64,
        Binary::RemUnsigned => a.checked_rem(b)?,
        Binary::Lsh => a.checked_shl(shift).unwrap_or(0),
        Binary::RshSigned => (signed(a) >> shift.min(63)) as u64,
        Binary::RshUnsigned => a.checked_shr(shift).unwrap_or(0),
        Binary::And => a & b,
        Binary::Or => a | b,
        Binary::Xor => a ^ b,
        Binary::Equal => u64::from(a == b),
        Binary::LessSigned => u64::from(signed(a) < signed(b)),
        Binary::LessUnsigned => u64::from(a < b),
    })
}

fn load(view: &View<'_>, address: u64, size: usize) -> Option<u64> {
    let mut bytes = [0; 8];
    (view.read_linear(address, &mut bytes[..size]) == size).then(|| u64::from_le_bytes(bytes))
}

impl Expression {
    /// Its value; `None` if it has none.
    pub(super) fn evaluate(&self, cpu: &CpuState, board: &Board, view: &View<'_>) -> Option<u64> {
        let mut stack = Stack { values: [0; DEPTH], len: 0 };
        let mut next = 0;
        for _ in 0..STEPS {
            let op = *self.ops.get(next)?;
            next += 1;
            match op {
                Op::End => return stack.pop(),
                Op::Goto(target) => next = target,
                Op::IfGoto(target) => {
                    if stack.pop()? != 0 {
                        next = target;
                    }
                }
                Op::Register(slot) => stack.push(slot.number(cpu, board)?)?,
                Op::Ref(size) => {
                    let address = stack.pop()?;
                    stack.push(load(view, address, size)?)?;
                }
                Op::Binary(op) => {
                    let (b, a) = (stack.pop()?, stack.pop()?);
                    stack.push(binary(op, a, b)?)?;
                }
                op => rearrange(op, &mut stack)?,
            }
        }
        None
    }
}

/// What needs the stack only.
fn rearrange(op: Op, stack: &mut Stack) -> Option<()> {
    match op {
        Op::LogNot => stack.replace(|a| u64::from(a == 0)),
        Op::BitNot => stack.replace(|a| !a),
        Op::Extend(bits) => stack.replace(|a| (signed(a << (64 - bits)) >> (64 - bits)) as u64),
        Op::ZeroExtend(bits) => stack.replace(|a| a & u64::MAX >> (64 - bits)),
        Op::Const(value) => stack.push(value),
        Op::Dup => {
            let top = *stack.below(0)?;
            stack.push(top)
        }
        Op::Pop => stack.pop().map(drop),
        Op::Swap => stack.swap(0, 1),
        Op::Pick(depth) => {
            let value = *stack.below(depth)?;
            stack.push(value)
        }
        Op::Rotate => {
            stack.swap(0, 1)?;
            stack.swap(1, 2)
        }
        Op::Binary(_) | Op::Ref(_) | Op::IfGoto(_) | Op::Goto(_) | Op::Register(_) | Op::End => None,
    }
}
