//! Saving and restoring the units' state (SDM vol. 1, 10.5 FXSAVE and FXRSTOR Instructions, 13.4 XSAVE Area, 13.7
//! Operation of XSAVE, 13.8 Operation of XRSTOR), and MXCSR.
//!
//! All registers are always saved: neither the init nor the modified optimization is used. Not modelled: the compacted
//! format, and state components other than x87 and SSE.

use super::operand::{Vector, after, aligned};
use super::vex::Vex128;
use crate::cpu::{Exception, Vector as ExceptionVector, X87, cr0, cr4, reg};
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
const LEGACY: usize = 512;
/// Bytes of the legacy region and the XSAVE header.
const XSAVE_AREA: usize = LEGACY + 64;
/// State component: x87.
const X87_STATE: u64 = 1;
/// State component: XMM registers.
const SSE_STATE: u64 = 2;

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

fn check_mxcsr(x: &mut Exec<'_>, mxcsr: u32) -> Outcome {
    if mxcsr & !MXCSR_MASK != 0 { x.raise(Exception::gp(0)) } else { Ok(()) }
}

/// A save area in memory that was checked as a whole.
#[derive(Clone, Copy)]
struct Area {
    linear: u64,
    segment: u8,
    /// REX.W: instruction and data pointers of 64 bits instead of offset and selector.
    wide: bool,
}

impl Area {
    fn load<W: Word>(&self, x: &mut Exec<'_>, offset: u64) -> Outcome<W> {
        let linear = after(x, self.linear, offset);
        x.load(linear, self.segment)
    }

    fn store<W: Word>(&self, x: &mut Exec<'_>, offset: u64, value: W) -> Outcome {
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
fn registers(x: &Exec<'_>) -> u8 {
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

fn save_x87(x: &mut Exec<'_>, area: Area) -> Outcome {
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

fn restore_x87(x: &mut Exec<'_>, area: Area) -> Outcome {
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

/// The x87 state that XRSTOR makes of an absent component (SDM vol. 1, 13.6 Processor Tracking).
fn initial_x87() -> X87 {
    X87 { control: 0x37f, empty: 0xff, ..X87::default() }
}

fn save_mxcsr(x: &mut Exec<'_>, area: Area) -> Outcome {
    area.store(x, 24, u64::from(MXCSR_MASK) << 32 | u64::from(x.cpu.mxcsr))
}

fn save_xmm(x: &mut Exec<'_>, area: Area) -> Outcome {
    (0..registers(x)).try_for_each(|register| area.store(x, Area::xmm(register), u128::of(x, register)))
}

fn restore_xmm(x: &mut Exec<'_>, area: Area) -> Outcome {
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

/// What XSAVE and XRSTOR need; the state components that are asked for and enabled.
fn requested(x: &mut Exec<'_>) -> Outcome<u64> {
    if x.cpu.cr4 & cr4::OSXSAVE == 0 {
        return x.raise(Exception::ud());
    }
    if x.cpu.cr0 & cr0::TS != 0 {
        return x.raise(Exception::new(ExceptionVector::DeviceNotAvailable));
    }
    let mask = x.cpu.regs.get(reg::RDX) << 32 | x.cpu.regs.get(reg::RAX) & 0xffff_ffff;
    Ok(mask & x.cpu.xcr0 & (X87_STATE | SSE_STATE))
}

fn xsave<const WIDE: bool>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let requested = requested(x)?;
    let linear = aligned(x, op, XSAVE_AREA, 64, true)?;
    x.check_write(linear, XSAVE_AREA, op.seg)?;
    let area = Area { linear, segment: op.seg, wide: WIDE };
    let present = area.load::<u64>(x, LEGACY as u64)?;
    if requested & X87_STATE != 0 {
        save_x87(x, area)?;
    }
    if requested & SSE_STATE != 0 {
        save_mxcsr(x, area)?;
        save_xmm(x, area)?;
    }
    area.store(x, LEGACY as u64, present | requested)
}

/// Checks the header for XRSTOR; the components that are present.
fn check_header(x: &mut Exec<'_>, area: Area) -> Outcome<u64> {
    let present = area.load::<u64>(x, LEGACY as u64)?;
    let compacted = area.load::<u64>(x, LEGACY as u64 + 8)?;
    let reserved = area.load::<u64>(x, LEGACY as u64 + 16)?;
    if present & !x.cpu.xcr0 != 0 || compacted != 0 || reserved != 0 {
        return x.raise(Exception::gp(0));
    }
    Ok(present)
}

fn xrstor<const WIDE: bool>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let requested = requested(x)?;
    let linear = aligned(x, op, XSAVE_AREA, 64, false)?;
    x.check_read(linear, XSAVE_AREA, op.seg)?;
    let area = Area { linear, segment: op.seg, wide: WIDE };
    let present = check_header(x, area)?;
    if requested & SSE_STATE != 0 {
        // MXCSR is loaded even if the XMM registers are initialized.
        let mxcsr = area.load::<u32>(x, 24)?;
        check_mxcsr(x, mxcsr)?;
        x.cpu.mxcsr = mxcsr;
    }
    if requested & X87_STATE != 0 {
        if present & X87_STATE != 0 { restore_x87(x, area)? } else { x.cpu.x87 = initial_x87() }
    }
    match (requested & SSE_STATE != 0, present & SSE_STATE != 0) {
        (true, true) => restore_xmm(x, area),
        (true, false) => {
            (0..registers(x)).for_each(|register| 0u128.put(x, register));
            Ok(())
        }
        (false, _) => Ok(()),
    }
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
        M::Xsave => xsave::<false>,
        M::Xsave64 => xsave::<true>,
        M::Xrstor => xrstor::<false>,
        M::Xrstor64 => xrstor::<true>,
        _ => return None,
    };
    Some(l.op(run))
}
