//! Bit tests, bit scans, population count, CRC32, and the wide compare-and-exchange (SDM vol. 1, 7.3.7 Bit and Byte
//! Instructions; vol. 2 for CRC32, CMPXCHG8B and CMPXCHG16B).

use super::data::register_from;
use super::operand::{Imm, Mem, Reg, Rm, Source, Target, by_size};
use crate::cpu::{Exception, Flags, reg};
use crate::interp::exec::{Exec, Outcome};
use crate::interp::op::{Handler, Lowering, Op};
use crate::interp::word::Integer;
use iced_x86::{CpuidFeature, Mnemonic};

/// What becomes of the tested bit.
trait BitChange {
    const WRITES: bool = true;
    fn apply(value: u64, bit: u64) -> u64;
}

struct Keep;
struct Set;
struct Reset;
struct Complement;

impl BitChange for Keep {
    const WRITES: bool = false;
    fn apply(value: u64, _bit: u64) -> u64 {
        value
    }
}

impl BitChange for Set {
    #[inline(always)]
    fn apply(value: u64, bit: u64) -> u64 {
        value | bit
    }
}

impl BitChange for Reset {
    #[inline(always)]
    fn apply(value: u64, bit: u64) -> u64 {
        value & !bit
    }
}

impl BitChange for Complement {
    #[inline(always)]
    fn apply(value: u64, bit: u64) -> u64 {
        value ^ bit
    }
}

/// A bit of the operand itself: the index is taken modulo the operand's width.
fn test_bit<W: Integer, C: BitChange, D: Target + Source, S: Source>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let index = S::get::<W>(x, op)?.zero_extend() & u64::from(W::BITS - 1);
    if !C::WRITES {
        let value = <D as Source>::get::<W>(x, op)?.zero_extend();
        x.cpu.flags.put(Flags::CF, value >> index & 1 != 0);
        return Ok(());
    }
    let (place, old) = D::take::<W>(x, op)?;
    let value = old.zero_extend();
    D::put(x, op, place, W::truncate(C::apply(value, 1 << index)))?;
    x.cpu.flags.put(Flags::CF, value >> index & 1 != 0);
    Ok(())
}

/// A bit of the bit string at the memory operand: the signed index reaches beyond the operand.
fn test_bit_string<W: Integer, C: BitChange>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let index = W::get(x, op.rm).sign_extend() as i64;
    let step = (index >> W::BITS.trailing_zeros()).wrapping_mul(W::BYTES as i64);
    let offset = x.wrap(x.offset(op).wrapping_add(step as u64), op.address_size);
    let linear = x.linear(op.seg, offset, W::BYTES, C::WRITES)?;
    let bit = index as u64 & u64::from(W::BITS - 1);
    if C::WRITES {
        x.check_write(linear, W::BYTES, op.seg)?;
    }
    let value = x.load::<W>(linear, op.seg)?.zero_extend();
    if C::WRITES {
        x.store(linear, W::truncate(C::apply(value, 1 << bit)), op.seg)?;
    }
    x.cpu.flags.put(Flags::CF, value >> bit & 1 != 0);
    Ok(())
}

/// BSF and BSR: of zero, the destination stays as it is (undefined by the manual).
fn scan<W: Integer, S: Source, const REVERSE: bool>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let value = S::get::<W>(x, op)?.zero_extend();
    x.cpu.flags.update(Flags::STATUS, if value == 0 { Flags::ZF } else { 0 });
    if value != 0 {
        let at = if REVERSE { 63 - value.leading_zeros() } else { value.trailing_zeros() };
        W::truncate(u64::from(at)).set(x, op.reg);
    }
    Ok(())
}

fn population_count<W: Integer, S: Source>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let value = S::get::<W>(x, op)?.zero_extend();
    x.cpu.flags.update(Flags::STATUS, if value == 0 { Flags::ZF } else { 0 });
    W::truncate(u64::from(value.count_ones())).set(x, op.reg);
    Ok(())
}

/// CRC-32C, bit-reflected polynomial 0x1edc6f41.
fn crc32<W: Integer, S: Source>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let value = S::get::<W>(x, op)?.zero_extend();
    let mut crc = u32::get(x, op.reg);
    for byte in &value.to_le_bytes()[..W::BYTES] {
        crc = (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ if crc & 1 != 0 { 0x82f6_3b78 } else { 0 });
    }
    crc.set(x, op.reg);
    Ok(())
}

fn compare_exchange_8_bytes(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let (place, old) = Mem::take::<u64>(x, op)?;
    let pair = |x: &Exec<'_>, high, low| u64::from(u32::get(x, high)) << 32 | u64::from(u32::get(x, low));
    let equal = pair(x, reg::RDX, reg::RAX) == old;
    let new = if equal { pair(x, reg::RCX, reg::RBX) } else { old };
    Mem::put(x, op, place, new)?;
    if !equal {
        (old as u32).set(x, reg::RAX);
        ((old >> 32) as u32).set(x, reg::RDX);
    }
    x.cpu.flags.update(Flags::ZF, if equal { Flags::ZF } else { 0 });
    Ok(())
}

fn compare_exchange_16_bytes(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let linear = x.ea(op, 16, true)?;
    if !linear.is_multiple_of(16) {
        // Before any look at the address itself.
        return x.raise(Exception::gp(0));
    }
    let (place, old) = x.read_for_write::<u128>(op)?;
    let pair = |x: &Exec<'_>, high, low| u128::from(u64::get(x, high)) << 64 | u128::from(u64::get(x, low));
    let equal = pair(x, reg::RDX, reg::RAX) == old;
    let new = if equal { pair(x, reg::RCX, reg::RBX) } else { old };
    x.store(place, new, op.seg)?;
    if !equal {
        (old as u64).set(x, reg::RAX);
        ((old >> 64) as u64).set(x, reg::RDX);
    }
    x.cpu.flags.update(Flags::ZF, if equal { Flags::ZF } else { 0 });
    Ok(())
}

fn lower_test<C: BitChange>(l: &Lowering<'_>) -> Op {
    let size = l.operand_size(0);
    let run: Handler = match (l.is_register(0), l.is_register(1)) {
        (true, true) => by_size!(size, test_bit, C, Reg, Rm),
        (true, false) => by_size!(size, test_bit, C, Reg, Imm),
        (false, true) => by_size!(size, test_bit_string, C),
        (false, false) => by_size!(size, test_bit, C, Mem, Imm),
    };
    let mut op = l.op(run);
    if l.is_register(0) {
        op.reg = l.register(0);
    }
    if l.is_register(1) {
        op.rm = l.register(1);
    } else {
        op.imm = l.immediate(1);
    }
    op
}

macro_rules! scan_by_size {
    ($size:expr, $source:ty, $reverse:literal) => {
        match $size {
            2 => scan::<u16, $source, $reverse>,
            4 => scan::<u32, $source, $reverse>,
            _ => scan::<u64, $source, $reverse>,
        }
    };
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    let size = l.operand_size(0);
    Some(match l.insn.mnemonic() {
        Mnemonic::Bt => lower_test::<Keep>(l),
        Mnemonic::Bts => lower_test::<Set>(l),
        Mnemonic::Btr => lower_test::<Reset>(l),
        Mnemonic::Btc => lower_test::<Complement>(l),
        Mnemonic::Tzcnt if l.model.has(CpuidFeature::BMI1) => return None,
        Mnemonic::Lzcnt if l.model.has(CpuidFeature::LZCNT) => return None,
        Mnemonic::Bsf | Mnemonic::Tzcnt => {
            register_from(l, scan_by_size!(size, Rm, false), scan_by_size!(size, Mem, false))
        }
        Mnemonic::Bsr | Mnemonic::Lzcnt => {
            register_from(l, scan_by_size!(size, Rm, true), scan_by_size!(size, Mem, true))
        }
        Mnemonic::Popcnt => {
            register_from(l, by_size!(size, population_count, Rm), by_size!(size, population_count, Mem))
        }
        Mnemonic::Crc32 => {
            let size = l.operand_size(1);
            register_from(l, by_size!(size, crc32, Rm), by_size!(size, crc32, Mem))
        }
        Mnemonic::Cmpxchg8b => l.op(compare_exchange_8_bytes),
        Mnemonic::Cmpxchg16b => l.op(compare_exchange_16_bytes),
        _ => return None,
    })
}
