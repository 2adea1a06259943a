//! Descriptors in the descriptor tables (SDM vol. 3, 3.4.5 Segment Descriptors and 3.5 System Descriptor Types).

use crate::cpu::{Exception, Segment, Vector};
use crate::interp::exec::{Exec, Outcome};

/// Types of system descriptors and gates (SDM vol. 3, table 3-2 System-Segment and Gate-Descriptor Types).
pub(super) mod kind {
    pub(in crate::interp::system) const LDT: u16 = 0x2;
    pub(in crate::interp::system) const TSS16: u16 = 0x1;
    pub(in crate::interp::system) const TSS16_BUSY: u16 = 0x3;
    pub(in crate::interp::system) const CALL_GATE16: u16 = 0x4;
    pub(in crate::interp::system) const TASK_GATE: u16 = 0x5;
    pub(in crate::interp::system) const INTERRUPT_GATE16: u16 = 0x6;
    pub(in crate::interp::system) const TRAP_GATE16: u16 = 0x7;
    pub(in crate::interp::system) const TSS32: u16 = 0x9;
    pub(in crate::interp::system) const TSS32_BUSY: u16 = 0xb;
    pub(in crate::interp::system) const CALL_GATE32: u16 = 0xc;
    pub(in crate::interp::system) const INTERRUPT_GATE32: u16 = 0xe;
    pub(in crate::interp::system) const TRAP_GATE32: u16 = 0xf;
}

/// A descriptor, and where it was found.
#[derive(Clone, Copy)]
pub(super) struct Descriptor {
    /// Linear address.
    pub(super) linear: u64,
    /// Its first eight bytes.
    pub(super) raw: u64,
    /// The same, as a segment register holds them.
    pub(super) segment: Segment,
}

impl Descriptor {
    /// For a gate: the offset in the code segment, of 32 bits.
    pub(super) fn gate_offset(&self) -> u64 {
        self.raw & 0xffff | self.raw >> 32 & 0xffff_0000
    }

    /// For a gate: the selector of the code segment.
    pub(super) fn gate_selector(&self) -> u16 {
        (self.raw >> 16) as u16
    }
}

impl Exec<'_> {
    /// The descriptor of a selector; `None` if it lies outside its table.
    pub(super) fn find_descriptor(&mut self, selector: u16) -> Outcome<Option<Descriptor>> {
        let at = u64::from(selector & !7);
        let (base, limit) = if selector & 4 == 0 {
            (self.cpu.gdtr.base, u64::from(self.cpu.gdtr.limit))
        } else if self.cpu.ldtr.is_present() {
            (self.cpu.ldtr.base, u64::from(self.cpu.ldtr.limit))
        } else {
            return Ok(None);
        };
        if at + 7 > limit {
            return Ok(None);
        }
        let linear = base.wrapping_add(at);
        let raw = self.load_system::<u64>(linear)?;
        Ok(Some(Descriptor { linear, raw, segment: Segment::from_descriptor(selector, raw) }))
    }

    /// The descriptor of a selector; null selectors and those outside their table raise `fault`.
    pub(super) fn descriptor_or(&mut self, selector: u16, fault: Vector) -> Outcome<Descriptor> {
        if Segment::is_null(selector) {
            return self.raise(Exception::with_code(fault, 0));
        }
        match self.find_descriptor(selector)? {
            Some(found) => Ok(found),
            None => self.raise_selector(fault, selector),
        }
    }

    /// The descriptor of a selector; null selectors and those outside their table raise #GP.
    pub(super) fn descriptor(&mut self, selector: u16) -> Outcome<Descriptor> {
        self.descriptor_or(selector, Vector::GeneralProtection)
    }

    /// Raises an exception whose error code is a selector.
    #[cold]
    pub(super) fn raise_selector<T>(&mut self, vector: Vector, selector: u16) -> Outcome<T> {
        self.raise(Exception::with_code(vector, u32::from(selector & !3)))
    }

    /// Raises #GP with a selector for its error code.
    #[cold]
    pub(super) fn gp_selector<T>(&mut self, selector: u16) -> Outcome<T> {
        self.raise_selector(Vector::GeneralProtection, selector)
    }

    /// Marks a code or data segment accessed, in memory and in `descriptor`.
    pub(super) fn set_accessed(&mut self, descriptor: &mut Descriptor) -> Outcome {
        if descriptor.segment.attributes & Segment::ACCESSED == 0 {
            descriptor.segment.attributes |= Segment::ACCESSED;
            let access = descriptor.segment.attributes as u8;
            self.store_system(descriptor.linear.wrapping_add(5), access)?;
        }
        Ok(())
    }

    /// The base of a 16-byte system descriptor in long mode: the high half is in the next eight bytes.
    pub(super) fn system_base(&mut self, descriptor: &Descriptor) -> Outcome<u64> {
        if !self.cpu.is_long_mode() {
            return Ok(descriptor.segment.base);
        }
        let high = self.high_half(descriptor)?;
        Ok(descriptor.segment.base | high << 32)
    }

    /// The second eight bytes of a 16-byte descriptor in long mode: they must lie in the table, and their type be zero.
    pub(super) fn high_half(&mut self, descriptor: &Descriptor) -> Outcome<u64> {
        let selector = descriptor.segment.selector;
        let limit = if selector & 4 == 0 { u32::from(self.cpu.gdtr.limit) } else { self.cpu.ldtr.limit };
        if u32::from(selector & !7) + 15 > limit {
            return self.gp_selector(selector);
        }
        let high = self.load_system::<u64>(descriptor.linear.wrapping_add(8))?;
        if high >> 40 & 0x1f != 0 { self.gp_selector(selector) } else { Ok(high) }
    }
}
