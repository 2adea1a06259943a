//! Far JMP and CALL: to code segments and through call gates (SDM vol. 3, 5.8 Privilege Level Checking when Transferring
//! Program Control Between Code Segments). Transfers to a task are not modelled and raise #GP.

use super::deliver::real_code;
use super::descriptor::{Descriptor, kind};
use super::segments::sizes;
use super::stack::Stack;
use crate::cpu::{Exception, Segment, Vector, reg, seg};
use crate::interp::exec::{Exec, Outcome};
use crate::interp::op::{Handler, Lowering, Op, flag};
use crate::interp::word::Integer;
use iced_x86::OpKind;

/// How control is transferred.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Transfer {
    Jump,
    /// With a return address of this many bytes.
    Call(u8),
}

/// A call gate, checked as far as the gate itself goes.
struct CallGate {
    selector: u16,
    offset: u64,
    /// Bytes of a pushed value.
    size: u8,
    /// Parameters that move to the new stack.
    parameters: u64,
}

impl Exec<'_> {
    fn far(&mut self, transfer: Transfer, selector: u16, offset: u64) -> Outcome {
        if !self.cpu.is_protected() {
            self.far_real(transfer, selector, offset)?;
        } else {
            let target = self.descriptor(selector)?;
            if target.segment.is_ordinary() {
                self.far_direct(transfer, target, offset)?;
            } else {
                self.far_gate(transfer, &target)?;
            }
        }
        self.privilege_changed();
        Ok(())
    }

    fn far_real(&mut self, transfer: Transfer, selector: u16, offset: u64) -> Outcome {
        if offset > u64::from(self.cpu.segs[seg::CS].limit) {
            return self.raise(Exception::gp(0));
        }
        self.push_return(transfer)?;
        self.cpu.segs[seg::CS] = real_code(&self.cpu.segs[seg::CS], selector);
        self.cpu.regs.set_rip(offset);
        Ok(())
    }

    /// Pushes CS and RIP of a call that stays on its stack.
    fn push_return(&mut self, transfer: Transfer) -> Outcome {
        if let Transfer::Call(size) = transfer {
            let mut stack = self.current_stack();
            self.push_return_to(&mut stack, size)?;
            self.set_stack_pointer(stack.pointer);
        }
        Ok(())
    }

    fn push_return_to(&mut self, stack: &mut Stack, size: u8) -> Outcome {
        let cs = u64::from(self.cpu.segs[seg::CS].selector);
        self.push_to(stack, size, &[cs, self.cpu.regs.rip()])
    }

    fn far_direct(&mut self, transfer: Transfer, mut code: Descriptor, offset: u64) -> Outcome {
        let (segment, cpl) = (code.segment, self.cpu.cpl());
        let fits =
            if segment.is_conforming() { segment.dpl() <= cpl } else { segment.rpl() <= cpl && segment.dpl() == cpl };
        let both_sizes = self.cpu.is_long_mode() && segment.is_long() && segment.is_big();
        if !segment.is_code() || !fits || both_sizes {
            return self.gp_selector(segment.selector);
        }
        if !segment.is_present() {
            return self.raise_selector(Vector::SegmentNotPresent, segment.selector);
        }
        self.check_target(&segment, offset)?;
        self.set_accessed(&mut code)?;
        self.push_return(transfer)?;
        self.enter_segment(&code.segment, cpl, offset);
        Ok(())
    }

    fn enter_segment(&mut self, code: &Segment, level: u8, offset: u64) {
        self.cpu.segs[seg::CS] = Segment { selector: code.selector & !3 | u16::from(level), ..*code };
        self.cpu.regs.set_rip(offset);
    }

    fn call_gate(&mut self, gate: &Descriptor) -> Outcome<CallGate> {
        let selector = gate.segment.selector;
        let long = self.cpu.is_long_mode();
        let size = match (gate.segment.kind(), long) {
            (kind::CALL_GATE32, true) => 8,
            (kind::CALL_GATE32, false) => 4,
            (kind::CALL_GATE16, false) => 2,
            (other, _) => {
                if matches!(other, kind::TASK_GATE | kind::TSS16 | kind::TSS32) && !long {
                    log::debug!(target: "unimp", "far transfer to a task, which is not modelled");
                }
                return self.gp_selector(selector);
            }
        };
        if gate.segment.dpl() < self.cpu.cpl().max(gate.segment.rpl()) {
            return self.gp_selector(selector);
        }
        let high = if long { self.high_half(gate)? } else { 0 };
        if !gate.segment.is_present() {
            return self.raise_selector(Vector::SegmentNotPresent, selector);
        }
        let offset = if size == 2 { gate.gate_offset() & 0xffff } else { gate.gate_offset() | high << 32 };
        let parameters = if long { 0 } else { gate.raw >> 32 & 31 };
        Ok(CallGate { selector: gate.gate_selector(), offset, size, parameters })
    }

    fn far_gate(&mut self, transfer: Transfer, gate: &Descriptor) -> Outcome {
        let gate = self.call_gate(gate)?;
        let mut code = self.descriptor(gate.selector)?;
        let (segment, cpl) = (code.segment, self.cpu.cpl());
        let wrong_size = self.cpu.is_long_mode() && (!segment.is_long() || segment.is_big());
        let same_level = segment.is_conforming() || segment.dpl() == cpl;
        let refused = segment.dpl() > cpl || (transfer == Transfer::Jump && !same_level);
        if !segment.is_code() || refused || wrong_size {
            return self.gp_selector(gate.selector);
        }
        if !segment.is_present() {
            return self.raise_selector(Vector::SegmentNotPresent, gate.selector);
        }
        self.check_target(&segment, gate.offset)?;
        self.set_accessed(&mut code)?;
        if same_level {
            self.push_return(if transfer == Transfer::Jump { transfer } else { Transfer::Call(gate.size) })?;
            self.enter_segment(&code.segment, cpl, gate.offset);
            return Ok(());
        }
        self.call_inner(&gate, &code.segment)
    }

    /// A call through a gate to an inner level, on its own stack.
    fn call_inner(&mut self, gate: &CallGate, code: &Segment) -> Outcome {
        let level = code.dpl();
        let long = self.cpu.is_long_mode();
        let mut stack = if long {
            Stack::long(self.task_stack_long(level)?, self.stack_privilege(level))
        } else {
            self.task_stack(level)?
        };
        let old = u64::from(self.cpu.segs[seg::SS].selector);
        let parameters = self.parameters(gate)?;
        let rsp = self.cpu.regs.get(reg::RSP);
        let mut push = |x: &mut Self| {
            x.push_to(&mut stack, gate.size, &[old, rsp])?;
            x.push_to(&mut stack, gate.size, &parameters)?;
            x.push_return_to(&mut stack, gate.size)
        };
        if long {
            self.as_system(push)?
        } else {
            push(self)?
        }
        self.cpu.segs[seg::SS] = if long { Segment::null_stack(level) } else { stack.segment };
        self.enter_segment(code, level, gate.offset);
        if long {
            self.cpu.regs.set(reg::RSP, stack.pointer);
        } else {
            self.set_stack_pointer(stack.pointer);
        }
        Ok(())
    }

    /// The parameters on the caller's stack, the first pushed first.
    fn parameters(&mut self, gate: &CallGate) -> Outcome<Vec<u64>> {
        let mut values = Vec::new();
        for at in (0..gate.parameters).rev() {
            let depth = at * u64::from(gate.size);
            values.push(match gate.size {
                2 => self.peek_stack::<u16>(depth)?.zero_extend(),
                _ => self.peek_stack::<u32>(depth)?.zero_extend(),
            });
        }
        Ok(values)
    }
}

/// The pointer is in the immediate: selector above 32 bits of offset.
fn jump_immediate(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.far(Transfer::Jump, (op.imm >> 32) as u16, op.imm & 0xffff_ffff)
}

fn call_immediate(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.far(Transfer::Call(op.size), (op.imm >> 32) as u16, op.imm & 0xffff_ffff)
}

fn jump_memory<W: Integer>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let (selector, offset) = x.far_pointer::<W>(op)?;
    x.far(Transfer::Jump, selector, offset)
}

fn call_memory<W: Integer>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let (selector, offset) = x.far_pointer::<W>(op)?;
    x.far(Transfer::Call(W::BYTES as u8), selector, offset)
}

fn immediate(l: &Lowering<'_>, run: Handler) -> Op {
    let (size, offset) = match l.insn.op0_kind() {
        OpKind::FarBranch16 => (2, u32::from(l.insn.far_branch16())),
        _ => (4, l.insn.far_branch32()),
    };
    let imm = u64::from(l.insn.far_branch_selector()) << 32 | u64::from(offset);
    Op { imm, size, ..l.op(run) }
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    // The operand is the offset and two bytes of selector.
    let size = || l.operand_size(0) - 2;
    let insn = l.insn;
    let op = if insn.is_jmp_far() {
        immediate(l, jump_immediate)
    } else if insn.is_call_far() {
        immediate(l, call_immediate)
    } else if insn.is_jmp_far_indirect() {
        l.op(sizes!(size(), jump_memory))
    } else if insn.is_call_far_indirect() {
        l.op(sizes!(size(), call_memory))
    } else {
        return None;
    };
    Some(Op { flags: flag::ENDS_BLOCK, ..op })
}
