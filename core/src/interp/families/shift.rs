//! Shifts and rotates (SDM vol. 1, 7.3.6 Shift and Rotate Instructions). What the manual leaves undefined is answered in
//! [`crate::cpu::undefined`].

use super::operand::{Imm, Mem, Reg, Source, Target, by_size};
use crate::cpu::{Flags, reg};
use crate::interp::exec::{Exec, Outcome};
use crate::interp::op::{Handler, Lowering, Op};
use crate::interp::word::Integer;
use iced_x86::Mnemonic;

/// A shift or rotate by a count that is not zero after masking.
trait Shift {
    fn apply<W: Integer>(flags: &mut Flags, a: W, count: u32) -> W;
}

struct Shl;
struct Shr;
struct Sar;
struct Rol;
struct Ror;
struct Rcl;
struct Rcr;

/// The count in CL.
pub(super) struct Cl;

impl Source for Cl {
    #[inline(always)]
    fn get<W: Integer>(x: &mut Exec<'_>, _op: &Op) -> Outcome<W> {
        Ok(W::truncate(x.cpu.regs.get(reg::RCX)))
    }
}

#[inline(always)]
fn carry_overflow(carry: bool, overflow: bool) -> u64 {
    u64::from(carry) | u64::from(overflow) << 11
}

#[inline(always)]
fn sign<W: Integer>(value: u64) -> bool {
    value & W::SIGN != 0
}

impl Shift for Shl {
    #[inline(always)]
    fn apply<W: Integer>(flags: &mut Flags, a: W, count: u32) -> W {
        let wide = u128::from(a.zero_extend()) << count;
        let result = W::truncate(wide as u64);
        let carry = wide >> W::BITS & 1 != 0;
        flags.set_result(result.sign_extend(), carry_overflow(carry, carry != sign::<W>(result.zero_extend())));
        result
    }
}

impl Shift for Shr {
    #[inline(always)]
    fn apply<W: Integer>(flags: &mut Flags, a: W, count: u32) -> W {
        let before = a.zero_extend() >> (count - 1);
        let result = W::truncate(before >> 1);
        flags.set_result(result.sign_extend(), carry_overflow(before & 1 != 0, sign::<W>(before)));
        result
    }
}

impl Shift for Sar {
    #[inline(always)]
    fn apply<W: Integer>(flags: &mut Flags, a: W, count: u32) -> W {
        let before = (a.sign_extend() as i64) >> (count - 1).min(63);
        let result = W::truncate((before >> 1) as u64);
        flags.set_result(result.sign_extend(), carry_overflow(before & 1 != 0, false));
        result
    }
}

/// Rotates change only CF and OF.
#[inline(always)]
fn put_rotated(flags: &mut Flags, carry: bool, overflow: bool) {
    flags.put(Flags::CF, carry);
    flags.put(Flags::OF, overflow);
}

impl Shift for Rol {
    #[inline(always)]
    fn apply<W: Integer>(flags: &mut Flags, a: W, count: u32) -> W {
        let (a, by) = (a.zero_extend(), count % W::BITS);
        let result = if by == 0 { a } else { (a << by | a >> (W::BITS - by)) & W::MASK };
        put_rotated(flags, result & 1 != 0, (result & 1 != 0) != sign::<W>(result));
        W::truncate(result)
    }
}

impl Shift for Ror {
    #[inline(always)]
    fn apply<W: Integer>(flags: &mut Flags, a: W, count: u32) -> W {
        let (a, by) = (a.zero_extend(), count % W::BITS);
        let result = if by == 0 { a } else { (a >> by | a << (W::BITS - by)) & W::MASK };
        put_rotated(flags, sign::<W>(result), sign::<W>(result) != sign::<W>(result << 1));
        W::truncate(result)
    }
}

impl Shift for Rcl {
    #[inline(always)]
    fn apply<W: Integer>(flags: &mut Flags, a: W, count: u32) -> W {
        let by = count % (W::BITS + 1);
        let wide = u128::from(flags.carry()) << W::BITS | u128::from(a.zero_extend());
        if by == 0 {
            return a;
        }
        let rotated = wide << by | wide >> (W::BITS + 1 - by);
        let carry = rotated >> W::BITS & 1 != 0;
        put_rotated(flags, carry, carry != sign::<W>(rotated as u64));
        W::truncate(rotated as u64)
    }
}

impl Shift for Rcr {
    #[inline(always)]
    fn apply<W: Integer>(flags: &mut Flags, a: W, count: u32) -> W {
        let by = count % (W::BITS + 1);
        let wide = u128::from(flags.carry()) << W::BITS | u128::from(a.zero_extend());
        if by == 0 {
            return a;
        }
        let rotated = wide >> by | wide << (W::BITS + 1 - by);
        let result = rotated as u64;
        put_rotated(flags, rotated >> W::BITS & 1 != 0, sign::<W>(result) != sign::<W>(result << 1));
        W::truncate(result)
    }
}

fn shift<W: Integer, O: Shift, D: Target, S: Source>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let mask = if W::BITS == 64 { 63 } else { 31 };
    let count = (S::get::<u8>(x, op)? & mask).into();
    let (place, a) = D::take::<W>(x, op)?;
    let mut flags = x.cpu.flags;
    let result = if count == 0 { a } else { O::apply(&mut flags, a, count) };
    D::put(x, op, place, result)?;
    x.cpu.flags = flags;
    Ok(())
}

/// SHLD and SHRD: the destination's bits, then the source's, then the destination's again.
fn double_shift<W: Integer, D: Target, S: Source, const LEFT: bool>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let mask = if W::BITS == 64 { 63 } else { 31 };
    let count = u32::from(S::get::<u8>(x, op)? & mask);
    let fill = W::get(x, op.rm).zero_extend();
    let (place, old) = D::take::<W>(x, op)?;
    if count == 0 {
        return D::put(x, op, place, old);
    }
    let (result, carry) = if LEFT {
        shift_left_double::<W>(old.zero_extend(), fill, count)
    } else {
        shift_right_double::<W>(old.zero_extend(), fill, count)
    };
    let result = W::truncate(result);
    D::put(x, op, place, result)?;
    let overflow = sign::<W>(result.zero_extend()) != sign::<W>(old.zero_extend());
    x.cpu.flags.set_result(result.sign_extend(), carry_overflow(carry, overflow));
    Ok(())
}

fn shift_left_double<W: Integer>(a: u64, fill: u64, count: u32) -> (u64, bool) {
    // A 16-bit operand may be shifted by more than its width; the bits that follow the source are the destination's.
    let (high, low, by) = if count > W::BITS { (fill, a, count - W::BITS) } else { (a, fill, count) };
    let wide = u128::from(high) << W::BITS | u128::from(low);
    ((wide << by >> W::BITS) as u64, high >> (W::BITS - by) & 1 != 0)
}

fn shift_right_double<W: Integer>(a: u64, fill: u64, count: u32) -> (u64, bool) {
    let (low, high, by) = if count > W::BITS { (fill, a, count - W::BITS) } else { (a, fill, count) };
    let wide = u128::from(high) << W::BITS | u128::from(low);
    ((wide >> by) as u64, wide >> (by - 1) & 1 != 0)
}

fn lower_shift<O: Shift>(l: &Lowering<'_>) -> Op {
    let size = l.operand_size(0);
    let by_cl = l.is_register(1);
    let run: Handler = match (l.is_register(0), by_cl) {
        (true, true) => by_size!(size, shift, O, Reg, Cl),
        (true, false) => by_size!(size, shift, O, Reg, Imm),
        (false, true) => by_size!(size, shift, O, Mem, Cl),
        (false, false) => by_size!(size, shift, O, Mem, Imm),
    };
    let mut op = l.op(run);
    if l.is_register(0) {
        op.reg = l.register(0);
    }
    if !by_cl {
        op.imm = l.immediate(1);
    }
    op
}

macro_rules! double_by_size {
    ($size:expr, $target:ty, $count:ty, $left:literal) => {
        match $size {
            2 => double_shift::<u16, $target, $count, $left>,
            4 => double_shift::<u32, $target, $count, $left>,
            _ => double_shift::<u64, $target, $count, $left>,
        }
    };
}

fn lower_double(l: &Lowering<'_>, left: bool) -> Op {
    let size = l.operand_size(0);
    let by_cl = l.is_register(2);
    let run: Handler = match (l.is_register(0), by_cl, left) {
        (true, true, true) => double_by_size!(size, Reg, Cl, true),
        (true, true, false) => double_by_size!(size, Reg, Cl, false),
        (true, false, true) => double_by_size!(size, Reg, Imm, true),
        (true, false, false) => double_by_size!(size, Reg, Imm, false),
        (false, true, true) => double_by_size!(size, Mem, Cl, true),
        (false, true, false) => double_by_size!(size, Mem, Cl, false),
        (false, false, true) => double_by_size!(size, Mem, Imm, true),
        (false, false, false) => double_by_size!(size, Mem, Imm, false),
    };
    let mut op = Op { rm: l.register(1), ..l.op(run) };
    if l.is_register(0) {
        op.reg = l.register(0);
    }
    if !by_cl {
        op.imm = l.immediate(2);
    }
    op
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    Some(match l.insn.mnemonic() {
        Mnemonic::Shl | Mnemonic::Sal => lower_shift::<Shl>(l),
        Mnemonic::Shr => lower_shift::<Shr>(l),
        Mnemonic::Sar => lower_shift::<Sar>(l),
        Mnemonic::Rol => lower_shift::<Rol>(l),
        Mnemonic::Ror => lower_shift::<Ror>(l),
        Mnemonic::Rcl => lower_shift::<Rcl>(l),
        Mnemonic::Rcr => lower_shift::<Rcr>(l),
        Mnemonic::Shld => lower_double(l, true),
        Mnemonic::Shrd => lower_double(l, false),
        _ => return None,
    })
}
