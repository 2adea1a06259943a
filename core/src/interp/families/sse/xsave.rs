//! XSAVE and XRSTOR (SDM vol. 1, 13.4 XSAVE Area, 13.7 Operation of XSAVE, 13.8 Operation of XRSTOR).
//!
//! XINUSE has every enabled component, always, so all registers are saved: neither the init nor the modified
//! optimization is used, and what is saved does not depend on how a component came by its contents. Not modelled: the
//! compacted format, and state components other than x87, SSE and AVX.

use super::operand::{Vector, aligned};
use super::state::{Area, LEGACY, check_mxcsr, registers, restore_x87, restore_xmm, save_mxcsr, save_x87, save_xmm};
use crate::cpu::{Exception, Vector as ExceptionVector, X87, cr0, cr4, reg, xcr0};
use crate::interp::exec::{Exec, Outcome};
use crate::interp::op::{Handler, Lowering, Op};
use iced_x86::Mnemonic;

/// Bytes of the legacy region and the header, which follows it.
const HEADER_END: usize = LEGACY + 64;
/// Bytes with the AVX component.
const AVX_END: usize = HEADER_END + 256;
/// Both have MXCSR to save and to restore.
const MXCSR: u64 = xcr0::SSE | xcr0::AVX;

/// Offset of the upper half of a YMM register.
fn upper_half(register: u8) -> u64 {
    HEADER_END as u64 + 16 * u64::from(register)
}

/// Bytes of an area with these components.
fn area_bytes(components: u64) -> usize {
    if components & xcr0::AVX != 0 { AVX_END } else { HEADER_END }
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
    Ok(mask & x.cpu.xcr0)
}

fn save_upper_halves(x: &mut Exec<'_>, area: Area) -> Outcome {
    (0..registers(x)).try_for_each(|register| {
        let half = x.cpu.vectors[usize::from(register)].high;
        area.store(x, upper_half(register), half)
    })
}

fn xsave<const WIDE: bool>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let requested = requested(x)?;
    let bytes = area_bytes(requested);
    let linear = aligned(x, op, bytes, 64, true)?;
    x.check_write(linear, bytes, op.seg)?;
    let area = Area { linear, segment: op.seg, wide: WIDE };
    let present = area.load::<u64>(x, LEGACY as u64)?;
    if requested & xcr0::X87 != 0 {
        save_x87(x, area)?;
    }
    if requested & MXCSR != 0 {
        save_mxcsr(x, area)?;
    }
    if requested & xcr0::SSE != 0 {
        save_xmm(x, area)?;
    }
    if requested & xcr0::AVX != 0 {
        save_upper_halves(x, area)?;
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

/// The x87 state that XRSTOR makes of an absent component (SDM vol. 1, 13.6 Processor Tracking of XSAVE-Managed State).
fn initial_x87() -> X87 {
    X87 { control: 0x37f, empty: 0xff, ..X87::default() }
}

/// Restores the XMM registers, or initializes them.
fn put_xmm(x: &mut Exec<'_>, area: Area, present: bool) -> Outcome {
    if present {
        return restore_xmm(x, area);
    }
    (0..registers(x)).for_each(|register| 0u128.put(x, register));
    Ok(())
}

/// Restores the upper halves of the YMM registers, or initializes them.
fn put_upper_halves(x: &mut Exec<'_>, area: Area, present: bool) -> Outcome {
    for register in 0..registers(x) {
        let half = if present { area.load::<u128>(x, upper_half(register))? } else { 0 };
        x.cpu.vectors[usize::from(register)].high = half;
    }
    Ok(())
}

fn xrstor<const WIDE: bool>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let requested = requested(x)?;
    let linear = aligned(x, op, HEADER_END, 64, false)?;
    x.check_read(linear, HEADER_END, op.seg)?;
    let area = Area { linear, segment: op.seg, wide: WIDE };
    let present = check_header(x, area)?;
    let bytes = area_bytes(requested & present);
    x.ea(op, bytes, false)?;
    x.check_read(linear, bytes, op.seg)?;
    if requested & MXCSR != 0 {
        // MXCSR is loaded even if the registers are initialized.
        let mxcsr = area.load::<u32>(x, 24)?;
        check_mxcsr(x, mxcsr)?;
        x.cpu.mxcsr = mxcsr;
    }
    if requested & xcr0::X87 != 0 {
        if present & xcr0::X87 != 0 { restore_x87(x, area)? } else { x.cpu.x87 = initial_x87() }
    }
    if requested & xcr0::SSE != 0 {
        put_xmm(x, area, present & xcr0::SSE != 0)?;
    }
    if requested & xcr0::AVX != 0 {
        put_upper_halves(x, area, present & xcr0::AVX != 0)?;
    }
    Ok(())
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    let run: Handler = match l.insn.mnemonic() {
        Mnemonic::Xsave => xsave::<false>,
        Mnemonic::Xsave64 => xsave::<true>,
        Mnemonic::Xrstor => xrstor::<false>,
        Mnemonic::Xrstor64 => xrstor::<true>,
        _ => return None,
    };
    Some(l.op(run))
}
