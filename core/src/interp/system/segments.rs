//! Loads of data segment registers (SDM vol. 3, 3.4.2 Segment Selectors, 5.6 Privilege Level Checking when Accessing
//! Data Segments and 5.7 Privilege Level Checking when Loading the SS Register).

use crate::cpu::{Exception, Segment, Shadow, Vector, reg, seg};
use crate::interp::exec::{Exec, Outcome};
use crate::interp::op::{Handler, Lowering, Op, flag};
use crate::interp::word::Integer;
use iced_x86::Mnemonic;

/// A data segment register after a load in real mode: the limit stays as protected mode left it.
fn real_data(old: &Segment, selector: u16) -> Segment {
    let limit = if old.is_present() { old.limit } else { 0xffff };
    let attributes = old.attributes & (Segment::BIG | Segment::GRANULARITY) | 0x93;
    Segment { selector, base: u64::from(selector) << 4, limit, attributes }
}

impl Exec<'_> {
    /// Loads ES, SS, DS, FS or GS.
    pub(super) fn load_segment(&mut self, number: u8, selector: u16) -> Outcome {
        let register = usize::from(number) % 6;
        self.cpu.segs[register] = if !self.cpu.is_protected() {
            real_data(&self.cpu.segs[register], selector)
        } else if register == seg::SS {
            self.stack_segment(selector)?
        } else {
            self.data_segment(selector)?
        };
        Ok(())
    }

    fn stack_segment(&mut self, selector: u16) -> Outcome<Segment> {
        let cpl = self.cpu.cpl();
        if Segment::is_null(selector) && self.is_64bit && cpl < 3 && selector as u8 == cpl {
            return Ok(Segment::null_stack(cpl));
        }
        let mut stack = self.descriptor(selector)?;
        let segment = &stack.segment;
        if segment.rpl() != cpl || segment.dpl() != cpl || !segment.is_writable() {
            return self.gp_selector(selector);
        }
        if !segment.is_present() {
            return self.raise_selector(Vector::StackFault, selector);
        }
        self.set_accessed(&mut stack)?;
        Ok(stack.segment)
    }

    fn data_segment(&mut self, selector: u16) -> Outcome<Segment> {
        if Segment::is_null(selector) {
            return Ok(Segment::null(selector));
        }
        let mut data = self.descriptor(selector)?;
        let segment = &data.segment;
        let shared = segment.is_conforming() || segment.dpl() >= segment.rpl().max(self.cpu.cpl());
        if !segment.is_readable() || !shared {
            return self.gp_selector(selector);
        }
        if !segment.is_present() {
            return self.raise_selector(Vector::SegmentNotPresent, selector);
        }
        self.set_accessed(&mut data)?;
        Ok(data.segment)
    }

    /// The 16-bit register or memory operand: the register is in [`Op::rm`].
    pub(super) fn operand16(&mut self, op: &Op) -> Outcome<u16> {
        if op.rm == reg::ZERO { self.read(op) } else { Ok(self.cpu.regs.get(op.rm) as u16) }
    }

    /// Stores a system value as SLDT, STR, SMSW and MOV do: 16 bits to memory, the whole operand size to a register.
    pub(super) fn put_operand16(&mut self, op: &Op, value: u64) -> Outcome {
        match (op.rm, op.size) {
            (reg::ZERO, _) => return self.write(op, value as u16),
            (register, 2) => self.cpu.regs.set16(register, value as u16),
            (register, 4) => self.cpu.regs.set32(register, value as u32),
            (register, _) => self.cpu.regs.set(register, value),
        }
        Ok(())
    }

    /// After MOV and POP to a segment register: interrupts wait until the stack pointer is loaded, too.
    fn segment_loaded(&mut self, number: u8) {
        if usize::from(number) == seg::SS {
            self.cpu.shadow = Shadow::MovSs;
            self.stop();
        }
    }
}

fn move_to_segment(x: &mut Exec<'_>, op: &Op) -> Outcome {
    if usize::from(op.reg) == seg::CS {
        return x.raise(Exception::ud());
    }
    let selector = x.operand16(op)?;
    x.load_segment(op.reg, selector)?;
    x.segment_loaded(op.reg);
    Ok(())
}

fn move_from_segment(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let selector = x.cpu.segs[usize::from(op.reg) % 6].selector;
    x.put_operand16(op, u64::from(selector))
}

fn push_segment<W: Integer>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let selector = x.cpu.segs[usize::from(op.reg) % 6].selector;
    x.push(W::truncate(u64::from(selector)))
}

fn pop_segment<W: Integer>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let selector = x.peek_stack::<W>(0)?.zero_extend() as u16;
    // The stack pointer moves by the old stack's width, so it moves first.
    let before = x.cpu.regs.get(reg::RSP);
    x.release_stack(W::BYTES as u64);
    let loaded = x.load_segment(op.reg, selector);
    if loaded.is_err() {
        x.cpu.regs.set(reg::RSP, before);
        return loaded;
    }
    x.segment_loaded(op.reg);
    Ok(())
}

/// LES, LDS, LSS, LFS and LGS: the segment register is in `third`.
fn load_far_pointer<W: Integer>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let (selector, offset) = x.far_pointer::<W>(op)?;
    x.load_segment(op.third, selector)?;
    W::truncate(offset).set(x, op.reg);
    Ok(())
}

impl Exec<'_> {
    /// A selector and an offset in memory.
    pub(super) fn far_pointer<W: Integer>(&mut self, op: &Op) -> Outcome<(u16, u64)> {
        let linear = self.ea(op, W::BYTES + 2, false)?;
        let offset = self.load::<W>(linear, op.seg)?.zero_extend();
        let selector = self.load::<u16>(linear.wrapping_add(W::BYTES as u64), op.seg)?;
        Ok((selector, offset))
    }
}

/// An op whose 16-bit operand `index` is a register or memory.
pub(super) fn with_operand16(l: &Lowering<'_>, index: u32, run: Handler) -> Op {
    let mut op = Op { size: l.operand_size(index) as u8, ..l.op(run) };
    if l.is_register(index) {
        op.rm = l.register(index);
    }
    op
}

fn lower_move(l: &Lowering<'_>) -> Option<Op> {
    let is_segment = |index| l.is_register(index) && l.insn.op_register(index).is_segment_register();
    if is_segment(0) {
        return Some(Op { reg: l.register(0), ..with_operand16(l, 1, move_to_segment) });
    }
    is_segment(1).then(|| Op { reg: l.register(1), ..with_operand16(l, 0, move_from_segment) })
}

/// The three sizes of a handler.
macro_rules! sizes {
    ($size:expr, $handler:ident) => {
        match $size {
            2 => $handler::<u16>,
            4 => $handler::<u32>,
            _ => $handler::<u64>,
        }
    };
}

pub(super) use sizes;

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    let far = |register: usize| {
        let run: Handler = sizes!(l.operand_size(0), load_far_pointer);
        Op { reg: l.register(0), third: register as u8, ..l.op(run) }
    };
    let stack = || l.insn.stack_pointer_increment().unsigned_abs();
    let mut op = match l.insn.mnemonic() {
        Mnemonic::Mov => lower_move(l)?,
        Mnemonic::Push if l.is_register(0) && l.insn.op0_register().is_segment_register() => {
            Op { reg: l.register(0), ..l.op(sizes!(stack(), push_segment)) }
        }
        Mnemonic::Pop if l.is_register(0) && l.insn.op0_register().is_segment_register() => {
            Op { reg: l.register(0), ..l.op(sizes!(stack(), pop_segment)) }
        }
        Mnemonic::Les => far(seg::ES),
        Mnemonic::Lds => far(seg::DS),
        Mnemonic::Lss => far(seg::SS),
        Mnemonic::Lfs => far(seg::FS),
        Mnemonic::Lgs => far(seg::GS),
        _ => return None,
    };
    op.flags |= flag::ENDS_BLOCK;
    Some(op)
}
