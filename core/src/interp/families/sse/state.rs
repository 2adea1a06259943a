//! MXCSR, and saving and restoring the units' state in the legacy region, which FXSAVE areas are and XSAVE areas begin
//! with (SDM vol. 1, 10.5 FXSAVE and FXRSTOR Instructions).

use super::operand::{Vector, after, aligned};
use super::vex::Vex128;
use crate::cpu::{Exception, Vector as ExceptionVector, X87, cr0};
use crate::interp::exec::{Exec, Outcome};
use crate::interp::op::{Handler, Lowering, Op};
use crate::interp::word::Word;
use crate::softfloat::F80;
use iced_x86::Mnemonic;

/// Bits of MXCSR that exist.
const MXCSR_MASK: u32 = 0xffff;
/// Bits of the x87 control word that exist.
const CONTROL_MASK: u16 = 0x1f3f;
/// The reserved bit of the x87 control word that is always set.
const CONTROL_FIXED: u16 = 1 << 6;
/// Exceptions in the x87 status word, and their masks in the control word.
const EXCEPTIONS: u16 = 0x3f;
/// ES and B of the x87 status word, which follow from the exceptions and their masks.
const ERROR: u16 = 1 << 7 | 1 << 15;
/// Bytes of the legacy region, which is all of an FXSAVE area.
pub(super) const LEGACY: usize = 512;

fn load_mxcsr<V: Vector>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    V::ready(x)?;
    let mxcsr = x.read::<u32>(op)?;
    check_mxcsr(x, mxcsr)?;
    x.cpu.mxcsr = mxcsr;
    Ok(())
}

fn store_mxcsr<V: Vector>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    V::ready(x)?;
    x.write(op, x.cpu.mxcsr)
}

pub(super) fn check_mxcsr(x: &mut Exec<'_>, mxcsr: u32) -> Outcome {
    if mxcsr & !MXCSR_MASK != 0 { x.raise(Exception::gp(0)) } else { Ok(()) }
}

/// A save area in memory that was checked as a whole.
#[derive(Clone, Copy)]
pub(super) struct Area {
    pub(super) linear: u64,
    pub(super) segment: u8,
    /// REX.W: instruction and data pointers of 64 bits instead of offset and selector.
    pub(super) wide: bool,
}

impl Area {
    pub(super) fn load<W: Word>(&self, x: &mut Exec<'_>, offset: u64) -> Outcome<W> {
        let linear = after(x, self.linear, offset);
        x.load(linear, self.segment)
    }

    pub(super) fn store<W: Word>(&self, x: &mut Exec<'_>, offset: u64, value: W) -> Outcome {
        let linear = after(x, self.linear, offset);
        x.store(linear, value, self.segment)
    }

    /// Offset of ST(index).
    fn st(index: usize) -> u64 {
        32 + 16 * index as u64
    }

    /// Offset of an XMM register.
    fn xmm(register: u8) -> u64 {
        160 + 16 * u64::from(register)
    }
}

/// XMM registers that the current mode has.
pub(super) fn registers(x: &Exec<'_>) -> u8 {
    if x.is_64bit { 16 } else { 8 }
}

/// The physical register that is ST(index).
fn physical(x87: &X87, index: usize) -> usize {
    usize::from(x87.status >> 11).wrapping_add(index) & 7
}

/// Offset and selector in one quadword, as areas without REX.W have them.
fn pointer(area: Area, offset: u64, selector: u16) -> u64 {
    if area.wide { offset } else { offset & 0xffff_ffff | u64::from(selector) << 32 }
}

pub(super) fn save_x87(x: &mut Exec<'_>, area: Area) -> Outcome {
    let x87 = x.cpu.x87.clone();
    let words = u64::from(x87.control)
        | u64::from(x87.status) << 16
        | u64::from(!x87.empty) << 32
        | u64::from(x87.fop & 0x7ff) << 48;
    area.store(x, 0, words)?;
    area.store(x, 8, pointer(area, x87.fip, x87.fcs))?;
    area.store(x, 16, pointer(area, x87.fdp, x87.fds))?;
    for index in 0..8 {
        let number = x87.regs[physical(&x87, index)];
        area.store(x, Area::st(index), u128::from(number.sign_exp) << 64 | u128::from(number.sig))?;
    }
    Ok(())
}

pub(super) fn restore_x87(x: &mut Exec<'_>, area: Area) -> Outcome {
    let words = area.load::<u64>(x, 0)?;
    let (ip, dp) = (area.load::<u64>(x, 8)?, area.load::<u64>(x, 16)?);
    let split = |value: u64| if area.wide { (value, 0) } else { (value & 0xffff_ffff, (value >> 32) as u16) };
    let ((fip, fcs), (fdp, fds)) = (split(ip), split(dp));
    let mut x87 = X87 {
        control: words as u16 & CONTROL_MASK | CONTROL_FIXED,
        status: (words >> 16) as u16 & !ERROR,
        empty: !((words >> 32) as u8),
        fop: (words >> 48) as u16 & 0x7ff,
        fip,
        fcs,
        fdp,
        fds,
        ..X87::default()
    };
    if x87.status & !x87.control & EXCEPTIONS != 0 {
        x87.status |= ERROR;
    }
    for index in 0..8 {
        let number = area.load::<u128>(x, Area::st(index))?;
        x87.regs[physical(&x87, index)] = F80 { sign_exp: (number >> 64) as u16, sig: number as u64 };
    }
    x.cpu.x87 = x87;
    Ok(())
}

pub(super) fn save_mxcsr(x: &mut Exec<'_>, area: Area) -> Outcome {
    area.store(x, 24, u64::from(MXCSR_MASK) << 32 | u64::from(x.cpu.mxcsr))
}

pub(super) fn save_xmm(x: &mut Exec<'_>, area: Area) -> Outcome {
    (0..registers(x)).try_for_each(|register| area.store(x, Area::xmm(register), u128::of(x, register)))
}

pub(super) fn restore_xmm(x: &mut Exec<'_>, area: Area) -> Outcome {
    for register in 0..registers(x) {
        area.load::<u128>(x, Area::xmm(register))?.put(x, register);
    }
    Ok(())
}

/// FXSAVE and FXRSTOR need no enabling by CR4.OSFXSR.
fn fx_ready(x: &mut Exec<'_>) -> Outcome {
    match x.cpu.cr0 {
        cr0 if cr0 & cr0::EM != 0 => x.raise(Exception::ud()),
        cr0 if cr0 & cr0::TS != 0 => x.raise(Exception::new(ExceptionVector::DeviceNotAvailable)),
        _ => Ok(()),
    }
}

fn fxsave<const WIDE: bool>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    fx_ready(x)?;
    let linear = aligned(x, op, LEGACY, 16, true)?;
    x.check_write(linear, LEGACY, op.seg)?;
    let area = Area { linear, segment: op.seg, wide: WIDE };
    save_x87(x, area)?;
    save_mxcsr(x, area)?;
    save_xmm(x, area)
}

fn fxrstor<const WIDE: bool>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    fx_ready(x)?;
    let linear = aligned(x, op, LEGACY, 16, false)?;
    x.check_read(linear, LEGACY, op.seg)?;
    let area = Area { linear, segment: op.seg, wide: WIDE };
    let mxcsr = area.load::<u32>(x, 24)?;
    check_mxcsr(x, mxcsr)?;
    restore_x87(x, area)?;
    x.cpu.mxcsr = mxcsr;
    restore_xmm(x, area)
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    use Mnemonic as M;
    let run: Handler = match l.insn.mnemonic() {
        M::Ldmxcsr => load_mxcsr::<u128>,
        M::Stmxcsr => store_mxcsr::<u128>,
        M::Vldmxcsr => load_mxcsr::<Vex128>,
        M::Vstmxcsr => store_mxcsr::<Vex128>,
        M::Fxsave => fxsave::<false>,
        M::Fxsave64 => fxsave::<true>,
        M::Fxrstor => fxrstor::<false>,
        M::Fxrstor64 => fxrstor::<true>,
        _ => return None,
    };
    Some(l.op(run))
}
