//! Shifts by the lanes' own counts, blends, tests, and clearing of registers (SDM vol. 1, 14.7.3 Shift; vol. 2, VPBLENDD,
//! VPSLLVD, VTESTPS, VZEROUPPER).

use crate::cpu::{Flags, VectorRegister};
use crate::interp::exec::{Exec, Outcome};
use crate::interp::families::sse::form::{Form, by_form, form, from_register, plain, whole};
use crate::interp::families::sse::lanes::{Lanes, mask, zip};
use crate::interp::families::sse::operand::{Mem, Operation, Rm, Source, Xmm, operations};
use crate::interp::families::sse::shuffle::blend;
use crate::interp::families::sse::vex::{Vex128, Vex256, ready};
use crate::interp::op::{Handler, Lowering, Op};
use iced_x86::Mnemonic;

operations! {
    fn lower_operation;
    xmm Vpsllvd(a, b, _) = zip(a, b, |x: u32, count: u32| x.checked_shl(count).unwrap_or(0));
    xmm Vpsllvq(a, b, _) = zip(a, b, |x: u64, count: u64| if count < 64 { x << count } else { 0 });
    xmm Vpsrlvd(a, b, _) = zip(a, b, |x: u32, count: u32| x.checked_shr(count).unwrap_or(0));
    xmm Vpsrlvq(a, b, _) = zip(a, b, |x: u64, count: u64| if count < 64 { x >> count } else { 0 });
    xmm Vpsravd(a, b, _) = zip(a, b, |x: u32, count: u32| (x as i32 >> count.min(31)) as u32);
    xmm Vpblendd[4](a, b, imm) = blend::<u32, _>(a, b, imm);
}

/// VTESTPS and VTESTPD: as PTEST, of the lanes' signs alone.
fn test_signs<V: Xmm + Lanes<T>, S: Source, T: Copy + Default + PartialOrd>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    V::ready(x)?;
    let b = S::get::<V>(x, op)?;
    let signs = |v: V| mask(v, |lane: T| lane < T::default());
    let (a, b) = (signs(V::of(x, op.third)), signs(b));
    let zero = if a & b == 0 { Flags::ZF } else { 0 };
    let carry = if !a & b == 0 { Flags::CF } else { 0 };
    x.cpu.flags.update(Flags::STATUS, zero | carry);
    Ok(())
}

/// The vector registers that the mode has.
fn registers<'a>(x: &'a mut Exec<'_>) -> &'a mut [VectorRegister] {
    let count = if x.is_64bit { 16 } else { 8 };
    &mut x.cpu.vectors[..count]
}

fn zero_upper(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    ready(x)?;
    registers(x).iter_mut().for_each(|register| register.high = 0);
    Ok(())
}

fn zero_all(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    ready(x)?;
    registers(x).fill(VectorRegister::default());
    Ok(())
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    Some(match l.insn.mnemonic() {
        Mnemonic::Vtestps => whole!(l, test_signs, i32),
        Mnemonic::Vtestpd => whole!(l, test_signs, i64),
        Mnemonic::Vzeroupper => l.op(zero_upper),
        Mnemonic::Vzeroall => l.op(zero_all),
        _ => return lower_operation(l),
    })
}
