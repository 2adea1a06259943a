//! Interrupt and trap gates in protected and long mode (SDM vol. 3, 6.12 Exception and Interrupt Handling and 6.14
//! Exception and Interrupt Handling in 64-bit Mode).

use super::deliver::{Cause, Event};
use super::descriptor::{Descriptor, kind};
use super::stack::Stack;
use crate::cpu::{Exception, Flags, Segment, Vector, reg, seg};
use crate::interp::exec::{Exec, Outcome};
use crate::interp::memory::is_canonical;

/// Of a gate what delivery needs.
struct Gate {
    selector: u16,
    offset: u64,
    /// Interrupt gates mask interrupts.
    masks: bool,
    /// Bytes of a pushed value.
    size: u8,
    /// Stack of the interrupt stack table, or 0.
    ist: u8,
}

/// An error code that names an entry of the IDT.
fn idt_code(vector: u8) -> u32 {
    u32::from(vector) << 3 | 2
}

impl Exec<'_> {
    /// The gate of an event, checked.
    fn gate(&mut self, event: &Event, long: bool) -> Outcome<Gate> {
        let bytes = if long { 16 } else { 8 };
        let at = u64::from(event.vector) * bytes;
        if at + bytes - 1 > u64::from(self.cpu.idtr.limit) {
            return self.raise(Exception::gp(idt_code(event.vector)));
        }
        let linear = self.cpu.idtr.base.wrapping_add(at);
        let raw = self.load_system::<u64>(linear)?;
        let gate = Descriptor { linear, raw, segment: Segment::from_descriptor(0, raw) };
        let (size, masks) = match (gate.segment.kind(), long) {
            (kind::INTERRUPT_GATE32, true) => (8, true),
            (kind::TRAP_GATE32, true) => (8, false),
            (kind::INTERRUPT_GATE32, false) => (4, true),
            (kind::TRAP_GATE32, false) => (4, false),
            (kind::INTERRUPT_GATE16, false) => (2, true),
            (kind::TRAP_GATE16, false) => (2, false),
            (other, _) => return self.no_gate(event, other),
        };
        if event.cause == Cause::Software && gate.segment.dpl() < self.cpu.cpl() {
            return self.raise(Exception::gp(idt_code(event.vector)));
        }
        if !gate.segment.is_present() {
            return self.raise(Exception::with_code(Vector::SegmentNotPresent, idt_code(event.vector)));
        }
        let high = if long { self.load_system::<u64>(linear.wrapping_add(8))? << 32 } else { 0 };
        let offset = if size == 2 { gate.gate_offset() & 0xffff } else { gate.gate_offset() | high };
        let ist = if long { (raw >> 32) as u8 & 7 } else { 0 };
        Ok(Gate { selector: gate.gate_selector(), offset, masks, size, ist })
    }

    #[cold]
    fn no_gate(&mut self, event: &Event, found: u16) -> Outcome<Gate> {
        if found == kind::TASK_GATE {
            log::debug!(target: "unimp", "vector {:#04x} leads to a task gate: tasks are not modelled", event.vector);
        }
        self.raise(Exception::gp(idt_code(event.vector)))
    }

    /// The code segment that a gate leads to, and the privilege level that it runs at.
    fn handler_segment(&mut self, gate: &Gate, long: bool) -> Outcome<(Descriptor, u8)> {
        let code = self.descriptor(gate.selector)?;
        let cpl = self.cpu.cpl();
        let segment = &code.segment;
        let wrong_size = long && (!segment.is_long() || segment.is_big());
        if !segment.is_code() || segment.dpl() > cpl || (wrong_size && segment.is_present()) {
            return self.gp_selector(gate.selector);
        }
        if !segment.is_present() {
            return self.raise_selector(Vector::SegmentNotPresent, gate.selector);
        }
        Ok((code, if segment.is_conforming() { cpl } else { segment.dpl() }))
    }

    pub(super) fn interrupt_long(&mut self, event: &Event) -> Outcome {
        let gate = self.gate(event, true)?;
        let (code, level) = self.handler_segment(&gate, true)?;
        let switches = level < self.cpu.cpl();
        let top = match (gate.ist, switches) {
            (0, false) => self.cpu.regs.get(reg::RSP),
            (0, true) => self.task_stack_long(level)?,
            (ist, _) => self.task_pointer(0x1c + 8 * u32::from(ist))?,
        };
        if !is_canonical(top) {
            return self.raise(Exception::with_code(Vector::StackFault, 0));
        }
        let mut stack = Stack::long(top & !15, self.stack_privilege(level));
        let ss = self.cpu.segs[seg::SS].selector;
        self.push_to(&mut stack, 8, &[u64::from(ss), self.cpu.regs.get(reg::RSP)])?;
        self.push_frame(&mut stack, event, &gate)?;
        if !is_canonical(gate.offset) {
            return self.raise(Exception::gp(0));
        }
        self.enter_handler(&gate, code, level)?;
        if switches {
            self.cpu.segs[seg::SS] = Segment::null_stack(level);
        }
        self.cpu.regs.set(reg::RSP, stack.pointer);
        Ok(())
    }

    pub(super) fn interrupt_protected(&mut self, event: &Event) -> Outcome {
        let gate = self.gate(event, false)?;
        let (code, level) = self.handler_segment(&gate, false)?;
        let switches = level < self.cpu.cpl();
        let mut stack = if switches { self.task_stack(level)? } else { self.current_stack() };
        if switches {
            let ss = self.cpu.segs[seg::SS].selector;
            self.push_to(&mut stack, gate.size, &[u64::from(ss), self.cpu.regs.get(reg::RSP)])?;
        }
        self.push_frame(&mut stack, event, &gate)?;
        if gate.offset > u64::from(code.segment.limit) {
            return self.raise(Exception::gp(0));
        }
        self.enter_handler(&gate, code, level)?;
        self.cpu.segs[seg::SS] = stack.segment;
        self.set_stack_pointer(stack.pointer);
        Ok(())
    }

    fn push_frame(&mut self, stack: &mut Stack, event: &Event, gate: &Gate) -> Outcome {
        let resume = if event.resume { Flags::RF } else { 0 };
        let flags = self.cpu.flags.get() | resume;
        let cs = u64::from(self.cpu.segs[seg::CS].selector);
        self.push_to(stack, gate.size, &[flags, cs, self.cpu.regs.rip()])?;
        if let Some(code) = event.code {
            self.push_to(stack, gate.size, &[u64::from(code)])?;
        }
        Ok(())
    }

    fn enter_handler(&mut self, gate: &Gate, mut code: Descriptor, level: u8) -> Outcome {
        self.set_accessed(&mut code)?;
        let selector = gate.selector & !3 | u16::from(level);
        self.cpu.segs[seg::CS] = Segment { selector, ..code.segment };
        self.cpu.regs.set_rip(gate.offset);
        let masked = if gate.masks { Flags::IF } else { 0 };
        self.cpu.flags.put(Flags::TF | Flags::NT | Flags::RF | Flags::VM | masked, false);
        Ok(())
    }
}
