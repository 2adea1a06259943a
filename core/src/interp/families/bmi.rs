//! BMI1, BMI2, LZCNT and MOVBE: bit manipulation with a destination of its own (SDM vol. 1, 5.1.16 Bit Manipulation
//! Instructions, BMI1 and BMI2; vol. 2, 2.5 VEX Encoding Support for GPR Instructions).
//!
//! Those with a VEX prefix work on general registers, so neither XCR0 nor CR0.TS keeps them from executing; but no VEX
//! prefix is recognized outside protected mode.

use super::data::register_from;
use super::operand::{Mem, Rm, Source};
use crate::cpu::{Exception, Flags, reg};
use crate::interp::exec::{Exec, Outcome};
use crate::interp::op::{Handler, Lowering, Op};
use crate::interp::word::Integer;
use iced_x86::{CpuidFeature, Mnemonic};

const ZERO_SIGN: u64 = Flags::ZF | Flags::SF;
const CARRY_ZERO: u64 = Flags::CF | Flags::ZF;
const ALL: u64 = CARRY_ZERO | Flags::SF;

/// What an instruction makes of `a`, the register that VEX.vvvv names (0 if none), and of `b`, its operand in a register
/// or in memory; both are zero-extended.
trait Operation {
    /// Which of CF, ZF and SF follow from the result; the other arithmetic flags become 0. If none follows, none changes.
    const FLAGS: u64;
    fn result<W: Integer>(a: u64, b: u64) -> u64;
    fn carry<W: Integer>(a: u64, b: u64) -> bool;
}

macro_rules! operations {
    ($($name:ident, $flags:expr, |$a:tt, $b:tt| $result:expr, |$c:tt, $d:tt| $carry:expr;)*) => {$(
        struct $name;
        impl Operation for $name {
            const FLAGS: u64 = $flags;
            #[inline(always)]
            fn result<W: Integer>($a: u64, $b: u64) -> u64 {
                $result
            }
            #[inline(always)]
            fn carry<W: Integer>($c: u64, $d: u64) -> bool {
                $carry
            }
        }
    )*};
}

operations! {
    Andn, ZERO_SIGN, |a, b| !a & b, |_, _| false;
    Bextr, Flags::ZF, |a, b| extract(a, b), |_, _| false;
    Blsi, ALL, |_, b| b & b.wrapping_neg(), |_, b| b != 0;
    Blsmsk, ALL, |_, b| b ^ b.wrapping_sub(1), |_, b| b == 0;
    Blsr, ALL, |_, b| b & b.wrapping_sub(1), |_, b| b == 0;
    Bzhi, ALL, |a, b| b & low_bits(a as u8), |a, _| u32::from(a as u8) >= W::BITS;
    Pdep, 0, |a, b| deposit(a, b), |_, _| false;
    Pext, 0, |a, b| gather(a, b), |_, _| false;
    Sarx, 0, |a, b| (W::truncate(b).sign_extend() as i64 >> count::<W>(a)) as u64, |_, _| false;
    Shlx, 0, |a, b| b << count::<W>(a), |_, _| false;
    Shrx, 0, |a, b| b >> count::<W>(a), |_, _| false;
    Tzcnt, CARRY_ZERO, |_, b| u64::from(b.trailing_zeros().min(W::BITS)), |_, b| b == 0;
    Lzcnt, CARRY_ZERO, |_, b| u64::from(b.leading_zeros() + W::BITS - 64), |_, b| b == 0;
}

/// As many bits of the source as the control's second byte says, from where its first byte says.
fn extract(control: u64, source: u64) -> u64 {
    let shifted = source.checked_shr(u32::from(control as u8)).unwrap_or(0);
    shifted & low_bits((control >> 8) as u8)
}

/// A mask of the low `count` bits.
fn low_bits(count: u8) -> u64 {
    1u64.checked_shl(u32::from(count)).map_or(u64::MAX, |bit| bit - 1)
}

fn count<W: Integer>(a: u64) -> u64 {
    a & u64::from(W::BITS - 1)
}

/// Each bit that is set, the lowest first.
fn bits(mut mask: u64) -> impl Iterator<Item = u64> {
    std::iter::from_fn(move || {
        let lowest = mask & mask.wrapping_neg();
        mask ^= lowest;
        (lowest != 0).then_some(lowest)
    })
}

/// PDEP: the source's low bits go where the mask has bits.
fn deposit(source: u64, mask: u64) -> u64 {
    bits(mask).enumerate().fold(0, |result, (index, bit)| if source >> index & 1 != 0 { result | bit } else { result })
}

/// PEXT: the source's bits where the mask has bits become the low ones.
fn gather(source: u64, mask: u64) -> u64 {
    bits(mask).enumerate().fold(0, |result, (index, bit)| result | u64::from(source & bit != 0) << index)
}

/// Raises #UD where no VEX prefix is recognized (SDM vol. 2, 2.5.1 Exceptions Type 13).
fn vex_ready(x: &mut Exec<'_>) -> Outcome {
    if x.cpu.is_protected() { Ok(()) } else { x.raise(Exception::ud()) }
}

fn legacy<W: Integer, S: Source, O: Operation>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let b = S::get::<W>(x, op)?.zero_extend();
    let a = W::get(x, op.third).zero_extend();
    let result = W::truncate(O::result::<W>(a, b));
    result.set(x, op.reg);
    if O::FLAGS != 0 {
        let bit = |on: bool, flag: u64| if on { flag } else { 0 };
        let zero = bit(result.zero_extend() == 0, Flags::ZF);
        let sign = bit(result.zero_extend() & W::SIGN != 0, Flags::SF);
        let carry = bit(O::carry::<W>(a, b), Flags::CF);
        x.cpu.flags.update(Flags::STATUS, (zero | sign | carry) & O::FLAGS);
    }
    Ok(())
}

fn vex<W: Integer, S: Source, O: Operation>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    vex_ready(x)?;
    legacy::<W, S, O>(x, op)
}

/// MULX: no flag changes; of two equal destinations the high half stays.
fn multiply<W: Integer, S: Source>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    vex_ready(x)?;
    let b = u128::from(S::get::<W>(x, op)?.zero_extend());
    let product = u128::from(W::get(x, reg::RDX).zero_extend()) * b;
    W::truncate(product as u64).set(x, op.third);
    W::truncate((product >> W::BITS) as u64).set(x, op.reg);
    Ok(())
}

fn rotate<W: Integer, S: Source>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    vex_ready(x)?;
    let value = S::get::<W>(x, op)?.zero_extend();
    let count = count::<W>(op.imm) as u32;
    let low = value >> count;
    let high = value.checked_shl(W::BITS - count).unwrap_or(0);
    W::truncate(low | high).set(x, op.reg);
    Ok(())
}

/// The operand's bytes in the other order.
fn reversed<W: Integer>(value: W) -> W {
    W::truncate(value.zero_extend().swap_bytes() >> (64 - W::BITS))
}

fn load_reversed<W: Integer>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let value = x.read::<W>(op)?;
    reversed(value).set(x, op.reg);
    Ok(())
}

fn store_reversed<W: Integer>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.write(op, reversed(W::get(x, op.reg)))
}

/// Picks an instance of a generic handler for operands of 2, 4 or 8 bytes.
macro_rules! by_size {
    ($size:expr, $handler:ident $(, $parameter:ty)*) => {
        match $size {
            2 => $handler::<u16 $(, $parameter)*>,
            4 => $handler::<u32 $(, $parameter)*>,
            _ => $handler::<u64 $(, $parameter)*>,
        }
    };
}

/// Picks an instance of a generic handler for operands of 4 or 8 bytes, which is all that a VEX prefix can say.
macro_rules! by_vex_size {
    ($size:expr, $handler:ident $(, $parameter:ty)*) => {
        if $size == 4 { $handler::<u32 $(, $parameter)*> } else { $handler::<u64 $(, $parameter)*> }
    };
}

fn lower_count<O: Operation>(l: &Lowering<'_>) -> Op {
    let size = l.operand_size(0);
    register_from(l, by_size!(size, legacy, Rm, O), by_size!(size, legacy, Mem, O))
}

/// The first operand is the destination; `third` tells which one VEX.vvvv names beside it, if any, and `source` which
/// one is in a register or in memory.
fn lower_vex<O: Operation>(l: &Lowering<'_>, third: Option<u32>, source: u32) -> Op {
    let size = l.operand_size(0);
    with_source(l, third, source, by_vex_size!(size, vex, Rm, O), by_vex_size!(size, vex, Mem, O))
}

fn with_source(l: &Lowering<'_>, third: Option<u32>, source: u32, register: Handler, memory: Handler) -> Op {
    let third = third.map_or(reg::ZERO, |operand| l.register(operand));
    if l.is_register(source) {
        return Op { reg: l.register(0), third, rm: l.register(source), ..l.op(register) };
    }
    Op { reg: l.register(0), third, ..l.op(memory) }
}

fn lower_multiply(l: &Lowering<'_>) -> Op {
    let size = l.operand_size(0);
    with_source(l, Some(1), 2, by_vex_size!(size, multiply, Rm), by_vex_size!(size, multiply, Mem))
}

fn lower_rotate(l: &Lowering<'_>) -> Op {
    let size = l.operand_size(0);
    let op = with_source(l, None, 1, by_vex_size!(size, rotate, Rm), by_vex_size!(size, rotate, Mem));
    Op { imm: l.immediate(2), ..op }
}

fn lower_movbe(l: &Lowering<'_>) -> Op {
    if l.is_register(0) {
        return Op { reg: l.register(0), ..l.op(by_size!(l.operand_size(0), load_reversed)) };
    }
    Op { reg: l.register(1), ..l.op(by_size!(l.operand_size(1), store_reversed)) }
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    use Mnemonic as M;
    Some(match l.insn.mnemonic() {
        M::Tzcnt if l.model.has(CpuidFeature::BMI1) => lower_count::<Tzcnt>(l),
        M::Lzcnt if l.model.has(CpuidFeature::LZCNT) => lower_count::<Lzcnt>(l),
        M::Andn => lower_vex::<Andn>(l, Some(1), 2),
        M::Bextr => lower_vex::<Bextr>(l, Some(2), 1),
        M::Blsi => lower_vex::<Blsi>(l, None, 1),
        M::Blsmsk => lower_vex::<Blsmsk>(l, None, 1),
        M::Blsr => lower_vex::<Blsr>(l, None, 1),
        M::Bzhi => lower_vex::<Bzhi>(l, Some(2), 1),
        M::Pdep => lower_vex::<Pdep>(l, Some(1), 2),
        M::Pext => lower_vex::<Pext>(l, Some(1), 2),
        M::Sarx => lower_vex::<Sarx>(l, Some(2), 1),
        M::Shlx => lower_vex::<Shlx>(l, Some(2), 1),
        M::Shrx => lower_vex::<Shrx>(l, Some(2), 1),
        M::Mulx => lower_multiply(l),
        M::Rorx => lower_rotate(l),
        M::Movbe => lower_movbe(l),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Vector;
    use crate::interp::tests::{Bench, CODE, handler};

    const V3: &str = "x86-64-v3";
    /// `shlx rax, rcx, rdx` in 64-bit mode; `shlx eax, ecx, edx` in others.
    const SHLX: &[u8] = &[0xc4, 0xe2, 0xe9, 0xf7, 0xc1];

    fn run(mut bench: Bench) -> Bench {
        bench.cpu.regs.set(reg::RCX, 1);
        bench.cpu.regs.set(reg::RDX, 35);
        bench.run(1);
        bench
    }

    #[test]
    fn without_64_bit_mode_a_wide_operand_has_32_bits() {
        let long = run(Bench::long_with_model(V3, SHLX));
        assert_eq!(long.cpu.regs.get(reg::RAX), 1 << 35);
        let protected = run(Bench::protected_with_model(V3, SHLX));
        assert_eq!(protected.cpu.regs.get(reg::RAX), 1 << 3);
    }

    #[test]
    fn vex_prefixes_need_a_model_that_has_them_and_protected_mode() {
        let undefined = handler(Vector::InvalidOpcode as u8);
        assert_eq!(run(Bench::long_with_model("x86-64-v2", SHLX)).cpu.regs.rip(), undefined);
        assert_eq!(run(Bench::long_with_model(V3, SHLX)).cpu.regs.rip(), CODE + SHLX.len() as u64);
        let real = run(Bench::real_with_model(V3, SHLX));
        assert_eq!(real.cpu.regs.rip() + real.cpu.segs[crate::cpu::seg::CS].base, undefined);
    }

    #[test]
    fn old_models_ignore_the_prefix_of_tzcnt_and_lzcnt() {
        let count = |model: &str, code: &[u8]| {
            let mut bench = Bench::long_with_model(model, code);
            bench.cpu.regs.set(reg::RCX, 0x100);
            bench.run(1);
            bench.cpu.regs.get(reg::RAX)
        };
        let lzcnt = &[0xf3, 0x0f, 0xbd, 0xc1];
        assert_eq!((count("x86-64-v2", lzcnt), count(V3, lzcnt)), (8, 23));
        let tzcnt = &[0xf3, 0x0f, 0xbc, 0xc1];
        assert_eq!((count("x86-64-v2", tzcnt), count(V3, tzcnt)), (8, 8));
    }
}
