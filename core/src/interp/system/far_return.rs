//! IRET and far RET: back to the same or an outer privilege level (SDM vol. 3, 5.8.6 Returning from a Called Procedure
//! and 6.12.1 Exception- or Interrupt-Handler Procedures; vol. 2, IRET and RET). Returns to another task or to
//! virtual-8086 mode are not modelled and raise #GP.

use super::deliver::real_code;
use super::descriptor::Descriptor;
use crate::cpu::{Exception, Flags, Segment, Vector, reg, seg};
use crate::interp::exec::{Exec, Outcome};
use crate::interp::memory::is_canonical;
use crate::interp::op::{Lowering, Op, flag};
use crate::interp::word::Integer;
use iced_x86::{Code, Mnemonic};

/// Flags that IRET and POPF load whatever the privilege level.
pub(super) const ALWAYS: u64 = Flags::STATUS | Flags::TF | Flags::DF | Flags::NT;
/// Data segment registers.
const DATA_SEGMENTS: [usize; 4] = [seg::ES, seg::DS, seg::FS, seg::GS];

impl Exec<'_> {
    /// Flags of privilege that the current level may load.
    pub(super) fn privileged_flags(&self) -> u64 {
        let cpl = self.cpu.cpl();
        let interrupt = if cpl <= self.iopl() { Flags::IF } else { 0 };
        let level = if cpl == 0 { Flags::IOPL } else { 0 };
        interrupt | level
    }

    /// The I/O privilege level.
    pub(in crate::interp) fn iopl(&self) -> u8 {
        (self.cpu.flags.get() >> 12 & 3) as u8
    }

    /// The code segment that a return goes to, checked.
    fn return_segment(&mut self, selector: u16) -> Outcome<Descriptor> {
        let mut code = self.descriptor(selector)?;
        let segment = &code.segment;
        let level = segment.rpl();
        let fits = if segment.is_conforming() { segment.dpl() <= level } else { segment.dpl() == level };
        let both_sizes = self.cpu.is_long_mode() && segment.is_long() && segment.is_big();
        if !segment.is_code() || level < self.cpu.cpl() || !fits || both_sizes {
            return self.gp_selector(selector);
        }
        if !segment.is_present() {
            return self.raise_selector(Vector::SegmentNotPresent, selector);
        }
        self.set_accessed(&mut code)?;
        Ok(code)
    }

    /// The stack segment of an outer level, or of any level in 64-bit mode, checked.
    fn return_stack(&mut self, selector: u16, code: &Segment) -> Outcome<Segment> {
        let level = code.rpl();
        let to_long = self.cpu.is_long_mode() && code.is_long();
        if Segment::is_null(selector) && to_long && level != 3 && selector as u8 == level {
            return Ok(Segment::null_stack(level));
        }
        let mut stack = self.descriptor(selector)?;
        let segment = &stack.segment;
        if segment.rpl() != level || segment.dpl() != level || !segment.is_writable() {
            return self.gp_selector(selector);
        }
        if !segment.is_present() {
            return self.raise_selector(Vector::StackFault, selector);
        }
        self.set_accessed(&mut stack)?;
        Ok(stack.segment)
    }

    /// Raises #GP unless `target` lies in `code`.
    pub(super) fn check_target(&mut self, code: &Segment, target: u64) -> Outcome {
        let inside = if self.cpu.is_long_mode() && code.is_long() {
            is_canonical(target)
        } else {
            target <= u64::from(code.limit)
        };
        if inside { Ok(()) } else { self.raise(Exception::gp(0)) }
    }

    /// Takes away the data segments that an outer level may not use.
    fn drop_segments(&mut self, level: u8) {
        for number in DATA_SEGMENTS {
            let segment = &mut self.cpu.segs[number];
            let shared = segment.is_conforming() || segment.dpl() >= level;
            if !Segment::is_null(segment.selector) && !shared {
                segment.selector = 0;
                segment.attributes = 0;
            }
        }
    }

    /// Sets the stack pointer that a return of operand size `W` has popped.
    fn set_returned_pointer<W: Integer>(&mut self, stack: &Segment, from_long: bool, pointer: u64) {
        if W::BYTES == 2 && !from_long || W::BYTES == 4 && !from_long && !stack.is_big() {
            self.cpu.regs.set16(reg::RSP, pointer as u16);
        } else {
            self.cpu.regs.set(reg::RSP, pointer);
        }
    }
}

fn iret<W: Integer>(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    // Even one that faults lets NMIs through again (SDM vol. 3, 6.7.1 Handling Multiple NMIs).
    x.cpu.nmi_blocked = false;
    x.stop();
    if x.cpu.is_protected() { iret_protected::<W>(x) } else { iret_real::<W>(x) }
}

fn iret_real<W: Integer>(x: &mut Exec<'_>) -> Outcome {
    let size = W::BYTES as u64;
    let rip = x.peek_stack::<W>(0)?.zero_extend();
    let selector = x.peek_stack::<W>(size)?.zero_extend() as u16;
    let flags = x.peek_stack::<W>(2 * size)?.zero_extend();
    if rip > u64::from(x.cpu.segs[seg::CS].limit) {
        return x.raise(Exception::gp(0));
    }
    x.release_stack(3 * size);
    load_flags::<W>(x, flags);
    x.cpu.segs[seg::CS] = real_code(&x.cpu.segs[seg::CS], selector);
    x.cpu.regs.set_rip(rip);
    x.privilege_changed();
    Ok(())
}

fn load_flags<W: Integer>(x: &mut Exec<'_>, value: u64) {
    let wide = if W::BYTES == 2 { 0 } else { Flags::RF | Flags::AC | Flags::ID };
    let mask = ALWAYS | wide | x.privileged_flags();
    x.cpu.flags.update(mask, value);
}

fn iret_protected<W: Integer>(x: &mut Exec<'_>) -> Outcome {
    let size = W::BYTES as u64;
    if x.cpu.flags.has(Flags::NT) {
        return not_modelled(x, "a return to another task");
    }
    let rip = x.peek_stack::<W>(0)?.zero_extend();
    let selector = x.peek_stack::<W>(size)?.zero_extend() as u16;
    let flags = x.peek_stack::<W>(2 * size)?.zero_extend();
    if flags & Flags::VM != 0 && x.cpu.cpl() == 0 && !x.cpu.is_long_mode() {
        return not_modelled(x, "virtual-8086 mode");
    }
    let code = x.return_segment(selector)?;
    let level = code.segment.rpl();
    x.check_target(&code.segment, rip)?;
    if x.is_64bit || level > x.cpu.cpl() {
        let pointer = x.peek_stack::<W>(3 * size)?.zero_extend();
        let stack = x.peek_stack::<W>(4 * size)?.zero_extend() as u16;
        let stack = x.return_stack(stack, &code.segment)?;
        load_flags::<W>(x, flags);
        leave_to(x, &code.segment, stack);
        let from_long = x.is_64bit;
        x.set_returned_pointer::<W>(&stack, from_long, pointer);
    } else {
        load_flags::<W>(x, flags);
        x.release_stack(3 * size);
        x.cpu.segs[seg::CS] = code.segment;
    }
    x.cpu.regs.set_rip(rip);
    x.privilege_changed();
    Ok(())
}

/// Loads CS and SS of a level that may be an outer one.
fn leave_to(x: &mut Exec<'_>, code: &Segment, stack: Segment) {
    let outer = code.rpl() > x.cpu.cpl();
    x.cpu.segs[seg::CS] = *code;
    x.cpu.segs[seg::SS] = stack;
    if outer {
        x.drop_segments(code.rpl());
    }
}

#[cold]
fn not_modelled(x: &mut Exec<'_>, what: &str) -> Outcome {
    log::debug!(target: "unimp", "IRET asks for {what}, which is not modelled");
    x.raise(Exception::gp(0))
}

/// Far RET; the bytes to release beside the return address are in the immediate.
fn far_return<W: Integer>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let size = W::BYTES as u64;
    let rip = x.peek_stack::<W>(0)?.zero_extend();
    let selector = x.peek_stack::<W>(size)?.zero_extend() as u16;
    if !x.cpu.is_protected() {
        if rip > u64::from(x.cpu.segs[seg::CS].limit) {
            return x.raise(Exception::gp(0));
        }
        x.release_stack(2 * size + op.imm);
        x.cpu.segs[seg::CS] = real_code(&x.cpu.segs[seg::CS], selector);
    } else {
        far_return_protected::<W>(x, rip, selector, op.imm)?;
    }
    x.cpu.regs.set_rip(rip);
    x.privilege_changed();
    Ok(())
}

fn far_return_protected<W: Integer>(x: &mut Exec<'_>, rip: u64, selector: u16, release: u64) -> Outcome {
    let size = W::BYTES as u64;
    let code = x.return_segment(selector)?;
    x.check_target(&code.segment, rip)?;
    if code.segment.rpl() == x.cpu.cpl() {
        x.release_stack(2 * size + release);
        x.cpu.segs[seg::CS] = code.segment;
        return Ok(());
    }
    let pointer = x.peek_stack::<W>(2 * size + release)?.zero_extend();
    let stack = x.peek_stack::<W>(3 * size + release)?.zero_extend() as u16;
    let stack = x.return_stack(stack, &code.segment)?;
    leave_to(x, &code.segment, stack);
    let from_long = x.is_64bit;
    x.set_returned_pointer::<W>(&stack, from_long, pointer.wrapping_add(release));
    Ok(())
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    let release = || if l.insn.op_count() > 0 { l.immediate(0) & 0xffff } else { 0 };
    let mut op = match (l.insn.mnemonic(), l.insn.code()) {
        (Mnemonic::Iret, _) => l.op(iret::<u16>),
        (Mnemonic::Iretd, _) => l.op(iret::<u32>),
        (Mnemonic::Iretq, _) => l.op(iret::<u64>),
        (_, Code::Retfw | Code::Retfw_imm16) => Op { imm: release(), ..l.op(far_return::<u16>) },
        (_, Code::Retfd | Code::Retfd_imm16) => Op { imm: release(), ..l.op(far_return::<u32>) },
        (_, Code::Retfq | Code::Retfq_imm16) => Op { imm: release(), ..l.op(far_return::<u64>) },
        _ => return None,
    };
    op.flags |= flag::ENDS_BLOCK;
    Some(op)
}
