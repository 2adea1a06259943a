//! Fast system calls, and the FS and GS bases (SDM vol. 3, 5.8.7 Performing Fast Calls to System Procedures with the
//! SYSENTER and SYSEXIT Instructions and 5.8.8 Fast System Calls in 64-Bit Mode; vol. 2, SWAPGS, RDFSBASE).

use crate::cpu::{Exception, Flags, Segment, cr4, efer, reg, seg};
use crate::interp::exec::{Exec, Outcome};
use crate::interp::memory::is_canonical;
use crate::interp::op::{Lowering, Op, flag};
use iced_x86::{Code, Mnemonic};

/// A flat code segment of a level; its selector is computed, nothing is read from memory.
fn flat_code(selector: u16, level: u8, long: bool) -> Segment {
    let size = if long { Segment::LONG } else { Segment::BIG };
    let attributes = 0x9b | size | Segment::GRANULARITY | u16::from(level) << 5;
    Segment { selector, base: 0, limit: u32::MAX, attributes }
}

fn flat_stack(selector: u16, level: u8) -> Segment {
    let attributes = 0x93 | Segment::BIG | Segment::GRANULARITY | u16::from(level) << 5;
    Segment { selector, base: 0, limit: u32::MAX, attributes }
}

impl Exec<'_> {
    fn enter_flat(&mut self, code: Segment, stack: Segment, target: u64) {
        self.cpu.segs[seg::CS] = code;
        self.cpu.segs[seg::SS] = stack;
        self.cpu.regs.set_rip(target);
        self.privilege_changed();
    }

    /// SYSCALL and SYSRET exist in 64-bit mode, once enabled.
    fn require_syscall(&mut self) -> Outcome {
        if self.is_64bit && self.cpu.efer & efer::SCE != 0 { Ok(()) } else { self.raise(Exception::ud()) }
    }
}

fn syscall(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    x.require_syscall()?;
    let flags = x.cpu.flags.get();
    x.cpu.regs.set(reg::RCX, x.cpu.regs.rip());
    x.cpu.regs.set(reg::R11, flags & !Flags::RF);
    x.cpu.flags.set(flags & !(x.cpu.msrs.fmask | Flags::RF | Flags::VM));
    // A step into a kernel that masks TF is not seen.
    x.single_step &= x.cpu.flags.has(Flags::TF);
    let selector = (x.cpu.msrs.star >> 32) as u16 & !3;
    let target = x.cpu.msrs.lstar;
    x.enter_flat(flat_code(selector, 0, true), flat_stack(selector.wrapping_add(8), 0), target);
    Ok(())
}

fn sysret<const WIDE: bool>(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    x.require_syscall()?;
    x.require_kernel()?;
    let target = x.cpu.regs.get(reg::RCX);
    if WIDE && !is_canonical(target) {
        return x.raise(Exception::gp(0));
    }
    let base = (x.cpu.msrs.star >> 48) as u16;
    let (code, target) = if WIDE {
        (flat_code(base.wrapping_add(16) | 3, 3, true), target)
    } else {
        (flat_code(base | 3, 3, false), target & 0xffff_ffff)
    };
    x.cpu.flags.set(x.cpu.regs.get(reg::R11) & !(Flags::RF | Flags::VM));
    x.enter_flat(code, flat_stack(base.wrapping_add(8) | 3, 3), target);
    Ok(())
}

fn sysenter(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    let selector = x.cpu.msrs.sysenter_cs as u16 & !3;
    if !x.cpu.is_protected() || selector == 0 {
        return x.raise(Exception::gp(0));
    }
    let long = x.cpu.is_long_mode();
    let mask = if long { u64::MAX } else { 0xffff_ffff };
    let target = x.cpu.msrs.sysenter_eip & mask;
    x.cpu.flags.put(Flags::VM | Flags::IF | Flags::RF, false);
    x.cpu.regs.set(reg::RSP, x.cpu.msrs.sysenter_esp & mask);
    x.enter_flat(flat_code(selector, 0, long), flat_stack(selector.wrapping_add(8), 0), target);
    Ok(())
}

fn sysexit<const WIDE: bool>(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    let selector = x.cpu.msrs.sysenter_cs as u16 & !3;
    if !x.cpu.is_protected() || selector == 0 || x.cpu.cpl() != 0 {
        return x.raise(Exception::gp(0));
    }
    let mask = if WIDE { u64::MAX } else { 0xffff_ffff };
    let (target, pointer) = (x.cpu.regs.get(reg::RDX) & mask, x.cpu.regs.get(reg::RCX) & mask);
    if !is_canonical(target) || !is_canonical(pointer) {
        return x.raise(Exception::gp(0));
    }
    let code = selector.wrapping_add(if WIDE { 32 } else { 16 }) | 3;
    x.cpu.regs.set(reg::RSP, pointer);
    x.enter_flat(flat_code(code, 3, WIDE), flat_stack(code.wrapping_add(8), 3), target);
    Ok(())
}

fn swap_gs(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    x.require_kernel()?;
    std::mem::swap(&mut x.cpu.segs[seg::GS].base, &mut x.cpu.msrs.kernel_gs_base);
    Ok(())
}

impl Exec<'_> {
    fn require_base_access(&mut self) -> Outcome {
        if self.cpu.cr4 & cr4::FSGSBASE != 0 { Ok(()) } else { self.raise(Exception::ud()) }
    }
}

/// The segment register is in `third`.
fn read_base(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.require_base_access()?;
    let base = x.cpu.segs[usize::from(op.third) % 6].base;
    x.put_system_register(op, base);
    Ok(())
}

fn write_base(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.require_base_access()?;
    let base = x.system_register(op);
    if !is_canonical(base) {
        return x.raise(Exception::gp(0));
    }
    x.cpu.segs[usize::from(op.third) % 6].base = base;
    Ok(())
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    let base = |segment: usize, write: bool| Op {
        reg: l.register(0),
        third: segment as u8,
        size: l.operand_size(0) as u8,
        ..l.op(if write { write_base } else { read_base })
    };
    let ends = |op: Op| Op { flags: flag::ENDS_BLOCK, ..op };
    Some(match (l.insn.mnemonic(), l.insn.code()) {
        (Mnemonic::Syscall, _) => ends(l.op(syscall)),
        (_, Code::Sysretd) => ends(l.op(sysret::<false>)),
        (_, Code::Sysretq) => ends(l.op(sysret::<true>)),
        (Mnemonic::Sysenter, _) => ends(l.op(sysenter)),
        (_, Code::Sysexitd) => ends(l.op(sysexit::<false>)),
        (_, Code::Sysexitq) => ends(l.op(sysexit::<true>)),
        (Mnemonic::Swapgs, _) => l.op(swap_gs),
        (Mnemonic::Rdfsbase, _) => base(seg::FS, false),
        (Mnemonic::Rdgsbase, _) => base(seg::GS, false),
        (Mnemonic::Wrfsbase, _) => base(seg::FS, true),
        (Mnemonic::Wrgsbase, _) => base(seg::GS, true),
        _ => return None,
    })
}
