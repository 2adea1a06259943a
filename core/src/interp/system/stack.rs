//! Stacks of other privilege levels, and frames on them (SDM vol. 3, 5.8.5 Stack Switching and 7.2.1 Task-State Segment
//! (TSS)).

use super::descriptor::kind;
use crate::cpu::{Exception, Flags, Segment, Vector, reg, seg};
use crate::interp::exec::{Exec, Outcome};
use crate::interp::paging::Privilege;

/// A stack that is not, or not yet, the current one.
pub(super) struct Stack {
    /// The segment; with 64-bit pointers it has neither base nor limit.
    pub(super) segment: Segment,
    /// The stack pointer.
    pub(super) pointer: u64,
    /// Width of the stack pointer in bytes.
    width: u8,
    privilege: Privilege,
}

impl Stack {
    /// A stack of 64-bit mode.
    pub(super) fn long(pointer: u64, privilege: Privilege) -> Self {
        Self { segment: Segment::null(0), pointer, width: 8, privilege }
    }

    fn new(segment: Segment, pointer: u64, privilege: Privilege) -> Self {
        Self { segment, pointer, width: if segment.is_big() { 4 } else { 2 }, privilege }
    }
}

impl Exec<'_> {
    /// The stack in use.
    pub(super) fn current_stack(&self) -> Stack {
        let (pointer, privilege) = (self.cpu.regs.get(reg::RSP), self.data_privilege());
        if self.is_64bit {
            return Stack::long(pointer, privilege);
        }
        Stack::new(self.cpu.segs[seg::SS], pointer, privilege)
    }

    /// On whose behalf the stack of a privilege level is accessed.
    pub(super) fn stack_privilege(&self, level: u8) -> Privilege {
        match (level, self.cpu.flags.has(Flags::AC)) {
            (3, _) => Privilege::User,
            (_, true) => Privilege::SupervisorAc,
            (_, false) => Privilege::Supervisor,
        }
    }

    /// Pushes values of `size` bytes.
    pub(super) fn push_to(&mut self, stack: &mut Stack, size: u8, values: &[u64]) -> Outcome {
        for &value in values {
            let pointer = self.wrap(stack.pointer.wrapping_sub(u64::from(size)), stack.width);
            let linear = if stack.width == 8 {
                pointer
            } else {
                self.linear_in(&stack.segment, seg::SS as u8, pointer, usize::from(size), true)?
            };
            match size {
                2 => self.store_as(linear, value as u16, seg::SS as u8, stack.privilege)?,
                4 => self.store_as(linear, value as u32, seg::SS as u8, stack.privilege)?,
                _ => self.store_as(linear, value, seg::SS as u8, stack.privilege)?,
            }
            // Bits beyond the stack's width stay.
            let mask = u64::MAX >> (64 - 8 * u32::from(stack.width));
            stack.pointer = stack.pointer & !mask | pointer;
        }
        Ok(())
    }

    fn invalid_tss<T>(&mut self, selector: u16) -> Outcome<T> {
        self.raise_selector(Vector::InvalidTss, selector)
    }

    /// The 64-bit stack pointer at an offset of the task state.
    pub(super) fn task_pointer(&mut self, offset: u32) -> Outcome<u64> {
        if offset + 7 > self.cpu.tr.limit {
            return self.invalid_tss(self.cpu.tr.selector);
        }
        self.load_system(self.cpu.tr.base.wrapping_add(u64::from(offset)))
    }

    /// The stack pointer that the task state holds for a privilege level, in long mode.
    pub(super) fn task_stack_long(&mut self, level: u8) -> Outcome<u64> {
        self.task_pointer(4 + 8 * u32::from(level))
    }

    /// The stack that the task state holds for a privilege level, checked.
    pub(super) fn task_stack(&mut self, level: u8) -> Outcome<Stack> {
        let (selector, pointer) = self.task_stack_pointer(level)?;
        let mut stack = self.descriptor_or(selector, Vector::InvalidTss)?;
        let segment = &stack.segment;
        if segment.rpl() != level || segment.dpl() != level || !segment.is_writable() {
            return self.invalid_tss(selector);
        }
        if !segment.is_present() {
            return self.raise_selector(Vector::StackFault, selector);
        }
        self.set_accessed(&mut stack)?;
        Ok(Stack::new(stack.segment, pointer, self.stack_privilege(level)))
    }

    fn task_stack_pointer(&mut self, level: u8) -> Outcome<(u16, u64)> {
        let tr = self.cpu.tr;
        let wide = matches!(tr.kind(), kind::TSS32 | kind::TSS32_BUSY);
        let (offset, bytes) = if wide { (4 + 8 * u32::from(level), 6) } else { (2 + 4 * u32::from(level), 4) };
        if offset + bytes - 1 > tr.limit {
            return self.invalid_tss(tr.selector);
        }
        let at = tr.base.wrapping_add(u64::from(offset));
        if wide {
            let pointer = self.load_system::<u32>(at)?;
            return Ok((self.load_system(at.wrapping_add(4))?, u64::from(pointer)));
        }
        let pointer = self.load_system::<u16>(at)?;
        Ok((self.load_system(at.wrapping_add(2))?, u64::from(pointer)))
    }

    /// Linear address of `size` bytes at `offset` of a segment that is in no register yet.
    pub(super) fn linear_in(
        &mut self,
        segment: &Segment,
        number: u8,
        offset: u64,
        size: usize,
        write: bool,
    ) -> Outcome<u64> {
        let last = offset.wrapping_add(size as u64 - 1);
        if self.segment_admits(segment, offset, last, write) {
            return Ok(segment.base.wrapping_add(offset) & 0xffff_ffff);
        }
        // A new stack that is too short is named by its selector (SDM vol. 3, 6.15, "Interrupt 12").
        let code = if segment.selector == self.cpu.segs[usize::from(number) % 6].selector {
            0
        } else {
            u32::from(segment.selector & !3)
        };
        self.raise(Exception::with_code(Vector::StackFault, code))
    }
}
