//! Descriptor-table registers and instructions that look at descriptors (SDM vol. 3, 2.8.2 Loading and Storing System
//! Registers and 5.10 Pointer Validation).

use super::descriptor::kind;
use super::segments::{sizes, with_operand16};
use crate::cpu::{Exception, Flags, Segment, TableRegister, Vector, cr4};
use crate::interp::exec::{Exec, Outcome};
use crate::interp::memory::is_canonical;
use crate::interp::op::{Handler, Lowering, Op, flag};
use crate::interp::word::Integer;
use iced_x86::{Code, Mnemonic};

impl Exec<'_> {
    /// User-mode instruction prevention: what tells a program about the system is not for it.
    pub(super) fn check_umip(&mut self) -> Outcome {
        if self.cpu.cr4 & cr4::UMIP != 0 && self.cpu.cpl() > 0 { self.raise(Exception::gp(0)) } else { Ok(()) }
    }

    fn require_protected(&mut self) -> Outcome {
        if self.cpu.is_protected() { Ok(()) } else { self.raise(Exception::ud()) }
    }

    /// Reads a limit and a base; `size` is the operand's: 2 bytes mean a base of 24 bits.
    fn table_register(&mut self, op: &Op) -> Outcome<TableRegister> {
        let bytes = if op.size == 8 { 8 } else { 4 };
        let linear = self.ea(op, 2 + bytes, false)?;
        let limit = self.load::<u16>(linear, op.seg)?;
        let at = linear.wrapping_add(2);
        let base = match op.size {
            8 => self.load::<u64>(at, op.seg)?,
            4 => u64::from(self.load::<u32>(at, op.seg)?),
            _ => u64::from(self.load::<u32>(at, op.seg)? & 0xff_ffff),
        };
        if op.size == 8 && !is_canonical(base) {
            return self.raise(Exception::gp(0));
        }
        Ok(TableRegister { base, limit })
    }

    fn put_table_register(&mut self, op: &Op, value: TableRegister) -> Outcome {
        self.check_umip()?;
        let bytes = if op.size == 8 { 8 } else { 4 };
        let linear = self.ea(op, 2 + bytes, true)?;
        self.check_write(linear, 2 + bytes, op.seg)?;
        self.store(linear, value.limit, op.seg)?;
        let at = linear.wrapping_add(2);
        match op.size {
            8 => self.store(at, value.base, op.seg),
            4 => self.store(at, value.base as u32, op.seg),
            _ => self.store(at, value.base as u32 & 0xff_ffff, op.seg),
        }
    }
}

fn load_gdt(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.require_kernel()?;
    x.cpu.gdtr = x.table_register(op)?;
    Ok(())
}

fn load_idt(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.require_kernel()?;
    x.cpu.idtr = x.table_register(op)?;
    Ok(())
}

fn store_gdt(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let value = x.cpu.gdtr;
    x.put_table_register(op, value)
}

fn store_idt(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let value = x.cpu.idtr;
    x.put_table_register(op, value)
}

fn load_ldt(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.require_protected()?;
    x.require_kernel()?;
    let selector = x.operand16(op)?;
    if Segment::is_null(selector) {
        x.cpu.ldtr = Segment::null(selector);
        return Ok(());
    }
    let found = system_descriptor(x, selector)?;
    if found.segment.kind() != kind::LDT {
        return x.gp_selector(selector);
    }
    if !found.segment.is_present() {
        return x.raise_selector(Vector::SegmentNotPresent, selector);
    }
    let base = x.system_base(&found)?;
    x.cpu.ldtr = Segment { base, ..found.segment };
    Ok(())
}

/// A descriptor that must lie in the GDT.
fn system_descriptor(x: &mut Exec<'_>, selector: u16) -> Outcome<super::descriptor::Descriptor> {
    if selector & 4 != 0 { x.gp_selector(selector) } else { x.descriptor(selector) }
}

fn load_task(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.require_protected()?;
    x.require_kernel()?;
    let selector = x.operand16(op)?;
    let found = system_descriptor(x, selector)?;
    let available = match found.segment.kind() {
        kind::TSS32 => true,
        kind::TSS16 => !x.cpu.is_long_mode(),
        _ => false,
    };
    if !available {
        return x.gp_selector(selector);
    }
    if !found.segment.is_present() {
        return x.raise_selector(Vector::SegmentNotPresent, selector);
    }
    let base = x.system_base(&found)?;
    let busy = Segment { base, attributes: found.segment.attributes | 2, ..found.segment };
    x.store_system(found.linear.wrapping_add(5), busy.attributes as u8)?;
    x.cpu.tr = busy;
    Ok(())
}

fn store_ldt(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.require_protected()?;
    x.check_umip()?;
    x.put_operand16(op, u64::from(x.cpu.ldtr.selector))
}

fn store_task(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.require_protected()?;
    x.check_umip()?;
    x.put_operand16(op, u64::from(x.cpu.tr.selector))
}

fn set_zero(x: &mut Exec<'_>, on: bool) {
    x.cpu.flags.update(Flags::ZF, if on { Flags::ZF } else { 0 });
}

impl Exec<'_> {
    /// The descriptor of a selector that the program may ask about, and what it is.
    fn inspect(&mut self, selector: u16) -> Outcome<Option<(u64, Segment)>> {
        if Segment::is_null(selector) {
            return Ok(None);
        }
        let Some(found) = self.find_descriptor(selector)? else { return Ok(None) };
        let segment = found.segment;
        let visible = segment.is_conforming() || segment.dpl() >= segment.rpl().max(self.cpu.cpl());
        Ok(visible.then_some((found.raw, segment)))
    }
}

/// Whether LAR or LSL tells about a system descriptor; gates have no limit (SDM vol. 2, LAR and LSL).
fn is_told(kind: u16, long: bool, gates: bool) -> bool {
    match kind {
        kind::LDT | kind::TSS32 | kind::TSS32_BUSY => true,
        kind::TSS16 | kind::TSS16_BUSY => !long,
        kind::CALL_GATE32 => gates,
        kind::CALL_GATE16 | kind::TASK_GATE => gates && !long,
        _ => false,
    }
}

fn load_access_rights<W: Integer>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.require_protected()?;
    let selector = x.operand16(op)?;
    let long = x.cpu.is_long_mode();
    let found = x.inspect(selector)?.filter(|(_, s)| s.is_ordinary() || is_told(s.kind(), long, true));
    if let Some((raw, _)) = found {
        W::truncate(raw >> 32 & 0xf0_ff00).set(x, op.reg);
    }
    set_zero(x, found.is_some());
    Ok(())
}

fn load_limit<W: Integer>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.require_protected()?;
    let selector = x.operand16(op)?;
    let long = x.cpu.is_long_mode();
    let found = x.inspect(selector)?.filter(|(_, s)| s.is_ordinary() || is_told(s.kind(), long, false));
    if let Some((_, segment)) = found {
        W::truncate(u64::from(segment.limit)).set(x, op.reg);
    }
    set_zero(x, found.is_some());
    Ok(())
}

fn verify_read(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.require_protected()?;
    let selector = x.operand16(op)?;
    let readable = x.inspect(selector)?.is_some_and(|(_, segment)| segment.is_readable());
    set_zero(x, readable);
    Ok(())
}

fn verify_write(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.require_protected()?;
    let selector = x.operand16(op)?;
    let writable = x.inspect(selector)?.is_some_and(|(_, segment)| segment.is_writable());
    set_zero(x, writable);
    Ok(())
}

/// ARPL: the register is in [`Op::reg`].
fn adjust_privilege(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.require_protected()?;
    let wanted = x.cpu.regs.get(op.reg) as u16 & 3;
    let selector = x.operand16(op)?;
    let lower = selector & 3 < wanted;
    if lower {
        let op = Op { size: 2, ..*op };
        x.put_operand16(&op, u64::from(selector & !3 | wanted))?;
    }
    set_zero(x, lower);
    Ok(())
}

fn table(l: &Lowering<'_>, run: Handler) -> Op {
    let size = match l.insn.code() {
        Code::Lgdt_m1632_16 | Code::Lidt_m1632_16 | Code::Sgdt_m1632_16 | Code::Sidt_m1632_16 => 2,
        Code::Lgdt_m1664 | Code::Lidt_m1664 | Code::Sgdt_m1664 | Code::Sidt_m1664 => 8,
        _ => 4,
    };
    Op { size, ..l.op(run) }
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    let about = |run: Handler| Op { reg: l.register(0), ..with_operand16(l, 1, run) };
    let size = l.operand_size(0);
    let mut op = match l.insn.mnemonic() {
        Mnemonic::Lgdt => table(l, load_gdt),
        Mnemonic::Lidt => table(l, load_idt),
        Mnemonic::Sgdt => table(l, store_gdt),
        Mnemonic::Sidt => table(l, store_idt),
        Mnemonic::Lldt => with_operand16(l, 0, load_ldt),
        Mnemonic::Ltr => with_operand16(l, 0, load_task),
        Mnemonic::Sldt => with_operand16(l, 0, store_ldt),
        Mnemonic::Str => with_operand16(l, 0, store_task),
        Mnemonic::Lar => about(sizes!(size, load_access_rights)),
        Mnemonic::Lsl => about(sizes!(size, load_limit)),
        Mnemonic::Verr => with_operand16(l, 0, verify_read),
        Mnemonic::Verw => with_operand16(l, 0, verify_write),
        Mnemonic::Arpl => Op { reg: l.register(1), ..with_operand16(l, 0, adjust_privilege) },
        _ => return None,
    };
    op.flags |= flag::ENDS_BLOCK;
    Some(op)
}
