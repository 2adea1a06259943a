//! Delivery of exceptions and interrupts: what becomes of a second fault, and real mode (SDM vol. 3, chapter 6 Interrupt
//! and Exception Handling; 6.15, "Interrupt 8: Double Fault Exception"; 20.1.4 Interrupt and Exception Handling).

use crate::cpu::{Activity, Exception, Flags, Segment, Shadow, Vector, reg, seg};
use crate::interp::exec::{Exec, Outcome, Trap};
use crate::output::PowerEvent;

/// Where an event comes from: who may cause it, and what its errors say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// INT n, INT3 or INTO: the gate must admit the program's privilege level.
    Software,
    /// Anything else: an interrupt, an exception or INT1. Faults on the way have the EXT bit in their error codes.
    External,
}

/// Something that transfers control through the interrupt descriptor table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    pub(super) vector: u8,
    /// The error code, of those that push one.
    pub(super) code: Option<u32>,
    pub(super) cause: Cause,
    /// RF in the saved flags: the instruction will be executed again.
    pub(super) resume: bool,
}

impl Event {
    /// INT n and its like.
    pub(super) fn software(vector: u8) -> Self {
        Self { vector, code: None, cause: Cause::Software, resume: false }
    }

    /// An interrupt, or INT1.
    pub(super) fn external(vector: u8) -> Self {
        Self { vector, code: None, cause: Cause::External, resume: false }
    }

    fn exception(exception: &Exception) -> Self {
        Self {
            vector: exception.vector as u8,
            code: exception.has_code().then_some(exception.code),
            cause: Cause::External,
            resume: !matches!(exception.vector, Vector::Debug | Vector::DoubleFault),
        }
    }
}

/// Classes of exceptions (SDM vol. 3, table 6-4 Interrupt and Exception Classes).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Benign,
    Contributory,
    PageFault,
    DoubleFault,
}

fn class(vector: Vector) -> Class {
    match vector {
        Vector::DivideError
        | Vector::InvalidTss
        | Vector::SegmentNotPresent
        | Vector::StackFault
        | Vector::GeneralProtection => Class::Contributory,
        Vector::PageFault => Class::PageFault,
        Vector::DoubleFault => Class::DoubleFault,
        Vector::Debug
        | Vector::Nmi
        | Vector::Breakpoint
        | Vector::Overflow
        | Vector::BoundRange
        | Vector::InvalidOpcode
        | Vector::DeviceNotAvailable
        | Vector::X87Error
        | Vector::AlignmentCheck
        | Vector::SimdError => Class::Benign,
    }
}

/// What becomes of an exception during the delivery of another one; `None` is shutdown (SDM vol. 3, table 6-5
/// Conditions for Generating a Double Fault).
fn second_fault(first: Vector, second: Exception) -> Option<Exception> {
    let double = Exception::with_code(Vector::DoubleFault, 0);
    match (class(first), class(second.vector)) {
        (Class::DoubleFault, Class::Contributory | Class::PageFault | Class::DoubleFault) => None,
        (Class::Contributory, Class::Contributory) | (Class::PageFault, Class::Contributory | Class::PageFault) => {
            Some(double)
        }
        (Class::Benign | Class::Contributory | Class::PageFault | Class::DoubleFault, _) => Some(second),
    }
}

/// Exceptions that are delivered in place of one another before the instruction is tried again. Longer chains have no
/// end: an alignment check whose frame is misaligned raises the next one. A processor hangs there until an NMI; so does
/// ours, but time goes on.
const LONGEST_CHAIN: usize = 8;

impl Exec<'_> {
    /// Delivers an exception; RIP is that of the faulting instruction.
    pub(in crate::interp) fn deliver_exception(&mut self, exception: Exception) {
        let mut current = exception;
        for _ in 0..LONGEST_CHAIN {
            self.record(&current);
            if self.interrupt(&Event::exception(&current)).is_ok() {
                return;
            }
            let second = self.exception;
            if second.vector == Vector::PageFault {
                self.cpu.cr2 = second.info;
            }
            match second_fault(current.vector, second) {
                Some(next) => current = next,
                None => return self.triple_fault(),
            }
        }
    }

    /// Delivers an interrupt at an instruction boundary.
    pub(super) fn deliver_interrupt(&mut self, vector: u8) {
        if self.interrupt(&Event::external(vector)).is_err() {
            let exception = self.exception;
            self.deliver_exception(exception);
        }
    }

    /// The registers that say more about an exception than its error code.
    fn record(&mut self, exception: &Exception) {
        match exception.vector {
            Vector::PageFault => self.cpu.cr2 = exception.info,
            Vector::Debug => self.record_debug(exception.info),
            _ => {}
        }
    }

    fn triple_fault(&mut self) {
        log::debug!(
            target: "guest_errors",
            "cpu {}: triple fault at {:#06x}:{:#018x}",
            self.cpu.index,
            self.cpu.segs[seg::CS].selector,
            self.cpu.regs.rip()
        );
        self.cpu.activity = Activity::Shutdown;
        self.board.power(PowerEvent::TripleFault);
        self.stop();
    }

    /// Transfers control to the handler of an event; on `Err` nothing has changed.
    pub(super) fn interrupt(&mut self, event: &Event) -> Outcome {
        self.log_event(event);
        let stack = self.cpu.regs.get(reg::RSP);
        let entered = if !self.cpu.is_protected() {
            self.interrupt_real(event)
        } else if self.cpu.is_long_mode() {
            self.as_system(|x| x.interrupt_long(event))
        } else {
            self.interrupt_protected(event)
        };
        match entered {
            Ok(()) => {
                self.cpu.shadow = Shadow::None;
                self.cpu.activity = Activity::Running;
                // The handler is not stepped into.
                self.single_step = false;
                self.privilege_changed();
                Ok(())
            }
            Err(Trap) => {
                self.cpu.regs.set(reg::RSP, stack);
                self.mark_external(event.cause);
                Err(Trap)
            }
        }
    }

    fn log_event(&self, event: &Event) {
        log::debug!(
            target: "int",
            "cpu {}: vector {:#04x}, error code {:#06x}, at {:#06x}:{:#018x}, cr2 {:#018x}, tick {}",
            self.cpu.index,
            event.vector,
            event.code.unwrap_or(0),
            self.cpu.segs[seg::CS].selector,
            self.cpu.regs.rip(),
            self.cpu.cr2,
            self.board.now
        );
    }

    /// Sets the EXT bit of a fault's error code (SDM vol. 3, 6.13 Error Code).
    fn mark_external(&mut self, cause: Cause) {
        let names_selector = matches!(
            self.exception.vector,
            Vector::InvalidTss | Vector::SegmentNotPresent | Vector::StackFault | Vector::GeneralProtection
        );
        if cause == Cause::External && names_selector {
            self.exception.code |= 1;
        }
    }

    fn interrupt_real(&mut self, event: &Event) -> Outcome {
        let entry = u64::from(event.vector) * 4;
        if entry + 3 > u64::from(self.cpu.idtr.limit) {
            return self.raise(Exception::gp(u32::from(event.vector) << 3 | 2));
        }
        let pointer = self.load_system::<u32>(self.cpu.idtr.base.wrapping_add(entry))?;
        let flags = self.cpu.flags.get();
        self.push(flags as u16)?;
        self.push(self.cpu.segs[seg::CS].selector)?;
        self.push(self.cpu.regs.rip() as u16)?;
        self.cpu.flags.put(Flags::IF | Flags::TF | Flags::AC | Flags::RF, false);
        self.cpu.segs[seg::CS] = real_code(&self.cpu.segs[seg::CS], (pointer >> 16) as u16);
        self.cpu.regs.set_rip(u64::from(pointer & 0xffff));
        Ok(())
    }
}

/// CS after a load in real mode: the limit stays as protected mode left it (SDM vol. 3, 9.9.2 Switching Back to
/// Real-Address Mode).
pub(super) fn real_code(old: &Segment, selector: u16) -> Segment {
    let attributes = old.attributes & (Segment::BIG | Segment::GRANULARITY) | 0x9b;
    Segment { selector, base: u64::from(selector) << 4, limit: old.limit.max(0xffff), attributes }
}
