//! Functions of one or two stack registers: sign, square root, rounding, scaling, remainders, and the transcendental
//! ones.

use super::status::{C0, C1, C2, C3};
use crate::interp::exec::{Exec, Outcome};
use crate::interp::op::{Lowering, Op};
use crate::softfloat::x87::{
    PartialRemainder, f2xm1, fcos, fpatan, fprem, fprem1, fptan, fscale, fsin, fsincos, fxtract, fyl2x, fyl2xp1,
};
use crate::softfloat::{Class, Env, F80, round_to_integral, sqrt};
use iced_x86::Mnemonic;

/// Checks, and that the first `needed` registers hold something; false if the masked answer was given already.
fn begin(x: &mut Exec<'_>, op: &Op, needed: u8, pops: u8) -> Outcome<bool> {
    x.x87_ready()?;
    x.note_pointer(op);
    if (0..needed).any(|i| x.is_empty(i)) {
        if x.stack_fault(false) {
            x.pop_times(pops);
            x.set_st(0, F80::INDEFINITE);
        }
        return Ok(false);
    }
    Ok(true)
}

/// ST(0) = f(ST(0)), with no exception.
fn sign(x: &mut Exec<'_>, op: &Op) -> Outcome {
    if begin(x, op, 1, 0)? {
        let value = x.st(0);
        x.cpu.x87.status &= !C1;
        x.set_st(0, if op.imm == 0 { value.abs() } else { value.negate() });
    }
    Ok(())
}

/// ST(0) = f(ST(0)).
fn unary(x: &mut Exec<'_>, op: &Op) -> Outcome {
    if !begin(x, op, 1, 0)? {
        return Ok(());
    }
    let (value, mut env) = (x.st(0), x.x87_env());
    let result = match op.imm {
        0 => sqrt::<F80>(value, &mut env),
        1 => round_to_integral::<F80>(value, env.rounding, true, &mut env),
        _ => f2xm1(value, &mut env),
    };
    conclude(x, result, env);
    Ok(())
}

fn conclude(x: &mut Exec<'_>, result: F80, mut env: Env) {
    x.finish_x87(&mut env);
    if !env.blocks_register() {
        x.set_st(0, result);
    }
}

/// FSCALE: ST(0) = f(ST(0), ST(1)), and nothing is popped.
fn scale(x: &mut Exec<'_>, op: &Op) -> Outcome {
    if begin(x, op, 2, 0)? {
        let mut env = x.x87_env();
        let result = fscale(x.st(0), x.st(1), &mut env);
        conclude(x, result, env);
    }
    Ok(())
}

/// ST(1) = f(ST(0), ST(1)), and the stack is popped.
fn binary_pop(x: &mut Exec<'_>, op: &Op) -> Outcome {
    if !begin(x, op, 2, 1)? {
        return Ok(());
    }
    let (st0, st1, mut env) = (x.st(0), x.st(1), x.x87_env());
    let result = match op.imm {
        0 => fpatan(st0, st1, &mut env),
        1 => fyl2x(st0, st1, &mut env),
        _ => fyl2xp1(st0, st1, &mut env),
    };
    x.finish_x87(&mut env);
    if !env.blocks_register() {
        x.set_st(1, result);
        x.pop_st();
    }
    Ok(())
}

fn remainder(x: &mut Exec<'_>, op: &Op) -> Outcome {
    if !begin(x, op, 2, 0)? {
        set_out_of_range(x, false);
        return Ok(());
    }
    let (st0, st1, mut env) = (x.st(0), x.st(1), x.x87_env());
    let PartialRemainder { value, quotient, incomplete } =
        if op.imm == 0 { fprem(st0, st1, &mut env) } else { fprem1(st0, st1, &mut env) };
    x.finish_x87(&mut env);
    if env.blocks_register() {
        set_out_of_range(x, false);
        return Ok(());
    }
    x.set_st(0, value);
    if env.flags.intersects(crate::softfloat::Flags::IE) || matches!(value.class(), Class::Quiet) {
        // Without a quotient its bits stay as they were.
        set_out_of_range(x, false);
        return Ok(());
    }
    let bit = |n: u8, condition: u16| if quotient >> n & 1 != 0 { condition } else { 0 };
    x.set_conditions(bit(0, C1) | bit(1, C3) | bit(2, C0) | if incomplete { C2 } else { 0 });
    Ok(())
}

/// FSIN and FCOS: an operand out of range sets C2 and stays.
fn sine(x: &mut Exec<'_>, op: &Op) -> Outcome {
    if !begin(x, op, 1, 0)? {
        return Ok(());
    }
    let (value, mut env) = (x.st(0), x.x87_env());
    let result = if op.imm == 0 { fsin(value, &mut env) } else { fcos(value, &mut env) };
    x.finish_x87(&mut env);
    set_out_of_range(x, result.is_none());
    if let Some(result) = result.filter(|_| !env.blocks_register()) {
        x.set_st(0, result);
    }
    Ok(())
}

fn set_out_of_range(x: &mut Exec<'_>, out_of_range: bool) {
    x.cpu.x87.status = x.cpu.x87.status & !C2 | if out_of_range { C2 } else { 0 };
}

/// FSINCOS, FPTAN and FXTRACT: two results, of which the second is pushed.
fn two_results(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.x87_ready()?;
    x.note_pointer(op);
    let underflow = x.is_empty(0);
    if underflow || !x.is_empty(7) {
        if x.stack_fault(!underflow) {
            x.set_st(0, F80::INDEFINITE);
            x.rotate_stack(-1);
            x.set_st(0, F80::INDEFINITE);
        }
        return Ok(());
    }
    let (value, mut env) = (x.st(0), x.x87_env());
    let results = match op.imm {
        0 => fsincos(value, &mut env),
        1 => fptan(value, &mut env),
        _ => {
            let (significand, exponent) = fxtract(value, &mut env);
            Some((exponent, significand))
        }
    };
    x.finish_x87(&mut env);
    if op.imm < 2 {
        set_out_of_range(x, results.is_none());
    }
    if let Some((below, pushed)) = results.filter(|_| !env.blocks_register()) {
        x.set_st(0, below);
        x.rotate_stack(-1);
        x.set_st(0, pushed);
    }
    Ok(())
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    use Mnemonic as M;
    let with = |run, imm| Some(Op { imm, ..l.op(run) });
    match l.insn.mnemonic() {
        M::Fabs => with(sign, 0),
        M::Fchs => with(sign, 1),
        M::Fsqrt => with(unary, 0),
        M::Frndint => with(unary, 1),
        M::F2xm1 => with(unary, 2),
        M::Fscale => with(scale, 0),
        M::Fpatan => with(binary_pop, 0),
        M::Fyl2x => with(binary_pop, 1),
        M::Fyl2xp1 => with(binary_pop, 2),
        M::Fprem => with(remainder, 0),
        M::Fprem1 => with(remainder, 1),
        M::Fsin => with(sine, 0),
        M::Fcos => with(sine, 1),
        M::Fsincos => with(two_results, 0),
        M::Fptan => with(two_results, 1),
        M::Fxtract => with(two_results, 2),
        _ => None,
    }
}
