//! Moves between vector registers, general registers and memory (SDM vol. 1, 9.4.1 Data Transfer Instructions, 10.4.1.1
//! SSE Data Movement Instructions, 11.4.1.1 SSE2 Data Movement Instructions).

use super::form::{Form, by_form, form, from_register, is_mmx, is_xmm, mnemonic, plain, single, whole, xmm};
use super::operand::{Aligned, Loose, Low, Operation, Rm, Source, Vector, Xmm, after, aligned, both_ready, combine};
use super::vex::{Vex128, Vex256};
use crate::cpu::reg;
use crate::interp::exec::{Exec, Outcome};
use crate::interp::families::operand as general;
use crate::interp::op::{Handler, Lowering, Op};
use crate::interp::word::Integer;
use iced_x86::Mnemonic;

/// Loads a whole register.
fn load<V: Vector, S: Source>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    V::ready(x)?;
    let value = S::get::<V>(x, op)?;
    V::enter(x);
    value.put(x, op.reg);
    Ok(())
}

/// Stores a whole register; to an aligned address, if `ALIGNED`.
fn store<V: Vector, const ALIGNED: bool>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    V::ready(x)?;
    let value = V::of(x, op.rm);
    V::rewind(x);
    if ALIGNED {
        let linear = aligned(x, op, V::BYTES, V::BYTES as u64, true)?;
        x.store(linear, value, op.seg)?;
    } else {
        x.write(op, value)?;
    }
    V::enter(x);
    Ok(())
}

fn store_aligned<V: Vector>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    store::<V, true>(x, op)
}

fn store_anywhere<V: Vector>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    store::<V, false>(x, op)
}

/// Stores the low `W` of a register.
fn store_low<V: Xmm, W: Integer>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    V::ready(x)?;
    x.write(op, W::truncate(u128::of(x, op.rm) as u64))
}

/// Stores the high quadword of an XMM register.
fn store_high<V: Xmm>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    V::ready(x)?;
    x.write(op, (u128::of(x, op.rm) >> 64) as u64)
}

/// MOVD and MOVQ from a general register or memory: zero-extended.
fn from_general<V: Vector, W: Integer, S: general::Source>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    V::ready(x)?;
    let value = S::get::<W>(x, op)?;
    V::enter(x);
    V::from_low(value.zero_extend()).put(x, op.reg);
    Ok(())
}

/// MOVD and MOVQ to a general register or memory.
fn to_general<V: Vector, W: Integer, D: general::Target>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    V::ready(x)?;
    let value = W::truncate(V::of(x, op.rm).low());
    V::rewind(x);
    D::set(x, op, value)?;
    V::enter(x);
    Ok(())
}

/// Declares how a move combines the destination with the source.
macro_rules! merges {
    ($($name:ident($a:pat, $b:pat) = $value:expr;)*) => {$(
        struct $name;
        impl Operation<u128> for $name {
            #[inline(always)]
            fn apply($a: u128, $b: u128, _imm: u8) -> u128 {
                $value
            }
        }
    )*};
}

const LOW_64: u128 = u64::MAX as u128;
const LOW_32: u128 = u32::MAX as u128;

merges! {
    Zeroing64(_, b) = b & LOW_64;
    Low32(a, b) = a & !LOW_32 | b & LOW_32;
    Low64(a, b) = a & !LOW_64 | b & LOW_64;
    LowToHigh(a, b) = a & LOW_64 | b << 64;
    HighToLow(a, b) = a & !LOW_64 | b >> 64;
}

/// MOVQ2DQ.
fn mmx_to_xmm(x: &mut Exec<'_>, op: &Op) -> Outcome {
    both_ready(x)?;
    u64::enter(x);
    u128::from(u64::of(x, op.rm)).put(x, op.reg);
    Ok(())
}

/// MOVDQ2Q.
fn xmm_to_mmx(x: &mut Exec<'_>, op: &Op) -> Outcome {
    both_ready(x)?;
    u64::enter(x);
    u128::of(x, op.rm).low().put(x, op.reg);
    Ok(())
}

/// MASKMOVQ and MASKMOVDQU: stores at DS:rDI the bytes whose mask is negative. All of the place must be writable, as
/// processors have it: its quadwords are checked from the last to the first.
fn store_masked<V: Vector>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    V::ready(x)?;
    V::enter(x);
    let offset = x.wrap(x.cpu.regs.get(reg::RDI), op.address_size);
    let linear = x.linear(op.seg, offset, V::BYTES, true)?;
    for quadword in (0..V::BYTES).step_by(8).rev() {
        x.check_write(after(x, linear, quadword as u64), 8, op.seg)?;
    }
    let (value, mask) = (V::of(x, op.reg).to_le(), V::of(x, op.rm).to_le());
    for (at, (byte, mask)) in (0..).zip(value.as_ref().iter().zip(mask.as_ref())) {
        if mask & 0x80 != 0 {
            x.store(after(x, linear, at), *byte, op.seg)?;
        }
    }
    Ok(())
}

/// CLFLUSH: memory is always coherent, but the address is checked as that of a byte read.
fn flush_line(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let linear = x.ea(op, 1, false)?;
    x.check_read(linear, 1, op.seg)
}

/// EMMS: all x87 registers are empty. The top of the stack is 0 afterwards, as processors have it.
fn empty(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    u64::ready(x)?;
    u64::enter(x);
    x.cpu.x87.empty = 0xff;
    Ok(())
}

/// A move of whole registers, of which those in memory are aligned.
fn lower_aligned(l: &Lowering<'_>) -> Op {
    if l.is_memory(0) {
        return plain(l, by_form!(l, store_aligned));
    }
    whole!(l, Aligned: load)
}

fn lower_unaligned(l: &Lowering<'_>) -> Op {
    if l.is_memory(0) {
        return plain(l, by_form!(l, store_anywhere));
    }
    whole!(l, Loose: load)
}

/// MOVD and MOVQ with a general register or memory on the other side.
fn lower_general<V: Vector>(l: &Lowering<'_>, to_vector: bool) -> Op {
    use general::{Mem, Reg, Rm};
    let wide = l.operand_size(u32::from(to_vector)) == 8;
    let run: Handler = match (to_vector, wide, l.is_memory(u32::from(to_vector))) {
        (true, false, false) => from_general::<V, u32, Rm>,
        (true, false, true) => from_general::<V, u32, Mem>,
        (true, true, false) => from_general::<V, u64, Rm>,
        (true, true, true) => from_general::<V, u64, Mem>,
        (false, false, false) => to_general::<V, u32, Reg>,
        (false, false, true) => to_general::<V, u32, Mem>,
        (false, true, false) => to_general::<V, u64, Reg>,
        (false, true, true) => to_general::<V, u64, Mem>,
    };
    plain(l, run)
}

fn lower_word_move(l: &Lowering<'_>) -> Op {
    match (is_mmx(l, 0), is_mmx(l, 1), is_xmm(l, 0), is_xmm(l, 1)) {
        (true, true, ..) => plain(l, load::<u64, Rm>),
        (true, ..) => lower_general::<u64>(l, true),
        (_, true, ..) => lower_general::<u64>(l, false),
        (_, _, true, true) => single!(l, Low<u64>: combine, Zeroing64),
        (_, _, to_vector, _) if form(l) == Form::Sse => lower_general::<u128>(l, to_vector),
        (_, _, to_vector, _) => lower_general::<Vex128>(l, to_vector),
    }
}

/// MOVSS and MOVSD: between registers they merge, from memory they clear the rest.
fn lower_scalar<W: Integer, O: Operation<u128>>(l: &Lowering<'_>) -> Op {
    match (l.is_memory(0), from_register(l)) {
        (true, _) => plain(l, by_form!(l, store_low, W)),
        (false, true) => xmm::<O>(l),
        (false, false) => single!(l, Low<W>: load),
    }
}

/// MOVLPS, MOVHPS and their kin: one half of a register from or to memory, or from a half of another register.
fn lower_half<O: Operation<u128>>(l: &Lowering<'_>, store: Handler) -> Op {
    if l.is_memory(0) {
        return plain(l, store);
    }
    single!(l, Low<u64>: combine, O)
}

fn lower_masked(l: &Lowering<'_>) -> Op {
    let run = if is_mmx(l, 1) { store_masked::<u64> } else { by_form!(l, store_masked) };
    // Operand 0 is the destination in memory.
    Op { reg: l.register(1), rm: l.register(2), ..l.op(run) }
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    use Mnemonic as M;
    Some(match mnemonic(l) {
        M::Movaps | M::Movapd | M::Movdqa | M::Movntps | M::Movntpd | M::Movntdq | M::Movntdqa => lower_aligned(l),
        M::Movups | M::Movupd | M::Movdqu | M::Lddqu => lower_unaligned(l),
        M::Movntq => plain(l, store::<u64, false>),
        M::Movd | M::Movq => lower_word_move(l),
        M::Movss => lower_scalar::<u32, Low32>(l),
        M::Movsd if !l.insn.is_string_instruction() => lower_scalar::<u64, Low64>(l),
        M::Movlps | M::Movlpd => lower_half::<Low64>(l, by_form!(l, store_low, u64)),
        M::Movhps | M::Movhpd => lower_half::<LowToHigh>(l, by_form!(l, store_high)),
        M::Movhlps => xmm::<HighToLow>(l),
        M::Movlhps => xmm::<LowToHigh>(l),
        M::Movq2dq => plain(l, mmx_to_xmm),
        M::Movdq2q => plain(l, xmm_to_mmx),
        M::Maskmovq | M::Maskmovdqu => lower_masked(l),
        M::Clflush => l.op(flush_line),
        M::Emms => l.op(empty),
        _ => return None,
    })
}
