//! Code that moves the guest's flags between the host's flags, operands and slots.

use super::flags::{Base, FlagsAt, Kind, Loc, RAW_KIND, Step, code, top_code};
use super::plan::{Planned, STATUS};
use super::{Source, Unit, slot};
use crate::emitter::{Condition, Side};
use crate::registers::{PLACES, Place, Slot};
use crate::site::SiteKind;
use dynasmrt::{DynasmApi, dynasm};
use iced_x86::RflagsBits;

/// Two-operand operations, by their number in the encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Alu {
    Add = 0,
    Or = 1,
    And = 4,
    Sub = 5,
    Xor = 6,
    Cmp = 7,
}

/// Number of the second scratch register, `r10`.
pub(super) const R10: u8 = 10;
/// Number of the first, `r9`.
pub(super) const R9: u8 = 9;

impl Unit<'_> {
    /// Makes room for code that changes the host's flags.
    pub(super) fn free_host_flags(&mut self) {
        if self.source == Source::Host {
            self.save_raw();
            self.source = Source::At(FlagsAt::RAW);
        }
        self.host = 0;
    }

    /// Saves the host's flags in the slot for raw ones, and leaves them as they are.
    fn save_raw(&mut self) {
        dynasm!(self.e
            ; .arch x64
            ; mov r10, rax
            ; lahf
            ; seto al
            ; mov [BYTE rsp + slot(Slot::FlagsKind) + 4], ax
            ; mov rax, r10
        );
    }

    /// Makes the host's flags of `wanted` the guest's; changes r10 only.
    pub(super) fn ensure_host(&mut self, wanted: u32) {
        if wanted & !self.host == 0 {
            return;
        }
        if let Some((step, size, result)) = self.step_that_gives(wanted) {
            self.load_step(step, size, result);
            self.host = STATUS & !RflagsBits::CF;
            return;
        }
        self.settle_flags();
        match self.source {
            Source::At(flags) => self.load_flags(flags),
            Source::Host | Source::Dead => {}
        }
        self.host = STATUS;
    }

    /// The INC or DEC that alone gives the flags of `wanted`: they are all but CF.
    pub(super) fn step_that_gives(&self, wanted: u32) -> Option<(Step, u8, Loc)> {
        match self.source {
            Source::At(flags) if wanted & RflagsBits::CF == 0 => flags.top,
            _ => None,
        }
    }

    fn load_flags(&mut self, flags: FlagsAt) {
        match flags.base {
            Base::Entry | Base::Raw => self.load_raw(),
            Base::Known { kind, size, a, b } => self.repeat(kind, size, a, b),
        }
        if let Some((step, size, result)) = flags.top {
            self.load_step(step, size, result);
        }
    }

    /// Repeats an INC or DEC; CF stays.
    fn load_step(&mut self, step: Step, size: u8, result: Loc) {
        self.load(R10, result, Slot::FlagsTop);
        match step {
            Step::Up => dynasm!(self.e ; .arch x64 ; lea r10, [r10 - 1]),
            Step::Down => dynasm!(self.e ; .arch x64 ; lea r10, [r10 + 1]),
        }
        self.step_register(step, size, R10);
    }

    /// INC or DEC of a host register.
    pub(super) fn step_register(&mut self, step: Step, size: u8, register: u8) {
        let extension = if step == Step::Up { 0 } else { 1 };
        self.operate(size, if size == 1 { 0xfe } else { 0xff }, extension, register);
    }

    /// Emits an instruction with one register operand in ModRM.rm, the other field of ModRM being `field`.
    fn operate(&mut self, size: u8, opcode: u8, field: u8, register: u8) {
        if size == 2 {
            self.e.push(0x66);
        }
        self.e.push(0x40 | u8::from(size == 8) << 3 | (field >> 3) << 2 | register >> 3);
        self.e.push(opcode);
        self.e.push(0xc0 | (field & 7) << 3 | register & 7);
    }

    /// TEST of a host register with itself.
    pub(super) fn test_register(&mut self, size: u8, register: u8) {
        self.operate(size, if size == 1 { 0x84 } else { 0x85 }, register, register);
    }

    /// Emits an operation on two host registers.
    pub(super) fn alu_registers(&mut self, alu: Alu, size: u8, target: u8, source: u8) {
        self.operate(size, (alu as u8) << 3 | u8::from(size != 1), source, target);
    }

    /// Emits an operation on a host register and an immediate.
    pub(super) fn alu_immediate(&mut self, alu: Alu, size: u8, target: u8, value: i32) {
        let short = i8::try_from(value).is_ok() || size == 1;
        let opcode = if size == 1 {
            0x80
        } else if short {
            0x83
        } else {
            0x81
        };
        self.operate(size, opcode, alu as u8, target);
        match (short, size) {
            (true, _) => self.e.push(value as u8),
            (false, 2) => self.e.push_i16(value as i16),
            (false, _) => self.e.push_i32(value),
        }
    }

    /// An operation on a host register and an operand of the guest's, in 64 bits or fewer.
    fn alu_loc(&mut self, alu: Alu, size: u8, target: u8, loc: Loc, home: Slot) {
        match loc {
            Loc::Immediate(value) => self.alu_immediate(alu, size, target, value),
            Loc::Register(number) => match PLACES[usize::from(number)] {
                Place::Host(host) => self.alu_registers(alu, size, target, host.number() as u8),
                Place::Slot(slot) => self.alu_slot(alu, size, target, slot),
            },
            Loc::Slot => self.alu_slot(alu, size, target, home),
        }
    }

    /// An operation on a host register and the low bytes of a slot.
    fn alu_slot(&mut self, alu: Alu, size: u8, target: u8, slot: Slot) {
        if size == 2 {
            self.e.push(0x66);
        }
        self.e.push(0x40 | u8::from(size == 8) << 3 | (target >> 3) << 2);
        self.e.push((alu as u8) << 3 | 2 | u8::from(size != 1));
        self.e.push(0x44 | (target & 7) << 3);
        self.e.push(0x24);
        self.e.push_i8(super::slot(slot));
    }

    /// Loads an operand into a host register, all 64 bits.
    fn load(&mut self, target: u8, loc: Loc, home: Slot) {
        match loc {
            Loc::Immediate(value) => dynasm!(self.e ; .arch x64 ; mov Rq(target), DWORD value),
            Loc::Register(number) => self.load_guest(target, number),
            Loc::Slot => dynasm!(self.e ; .arch x64 ; mov Rq(target), [BYTE rsp + slot(home)]),
        }
    }

    /// Loads a guest register into a host register.
    pub(super) fn load_guest(&mut self, target: u8, number: u8) {
        match PLACES[usize::from(number)] {
            Place::Host(host) => dynasm!(self.e ; .arch x64 ; mov Rq(target), Rq(host.number() as u8)),
            Place::Slot(home) => dynasm!(self.e ; .arch x64 ; mov Rq(target), [BYTE rsp + slot(home)]),
        }
    }

    /// Repeats the operation that set the flags; one that can be.
    fn repeat(&mut self, kind: Kind, size: u8, a: Loc, b: Loc) {
        self.load(R10, a, Slot::FlagsA);
        match kind {
            Kind::Sub => self.alu_loc(Alu::Cmp, size, R10, b, Slot::FlagsB),
            Kind::SubResult => {
                self.alu_loc(Alu::Add, size, R10, b, Slot::FlagsB);
                self.alu_loc(Alu::Cmp, size, R10, b, Slot::FlagsB);
            }
            Kind::AddResult => {
                self.alu_loc(Alu::Sub, size, R10, b, Slot::FlagsB);
                self.alu_loc(Alu::Add, size, R10, b, Slot::FlagsB);
            }
            Kind::Logic => self.alu_registers(Alu::And, size, R10, R10),
            Kind::Negated => {
                self.operate(size, if size == 1 { 0xf6 } else { 0xf7 }, 3, R10);
                self.operate(size, if size == 1 { 0xf6 } else { 0xf7 }, 3, R10);
            }
            Kind::Shl | Kind::Shr | Kind::Sar | Kind::Mul | Kind::Imul => unreachable!("these are settled first"),
            Kind::AndNot | Kind::Extracted | Kind::Lowest | Kind::LowestMask | Kind::LowestCleared => {
                unreachable!("these too")
            }
            Kind::LowBits | Kind::Zeros => unreachable!("these too"),
        }
    }

    fn load_raw(&mut self) {
        dynasm!(self.e
            ; .arch x64
            ; mov r10, rax
            ; movzx eax, WORD [BYTE rsp + slot(Slot::FlagsKind) + 4]
            ; add al, 0x7f
            ; sahf
            ; mov rax, r10
        );
    }

    /// Makes the flags raw if they are as the block found them, or of an operation that cannot be repeated, so that they
    /// can be loaded without leaving.
    pub(super) fn settle_flags(&mut self) {
        let Source::At(flags) = self.source else { return };
        match flags.base {
            Base::Raw => return,
            Base::Known { kind, .. } if kind.can_repeat() => return,
            Base::Known { .. } => {
                let jump = self.e.jump();
                let site = self.site(SiteKind::Flags, self.index, self.e.position());
                self.cold_leave(jump, site);
            }
            Base::Entry => self.settle_entry(),
        }
        // With INC or DEC on top, as before: where that is in the raw flags already, it changes nothing.
        self.source = Source::At(FlagsAt { base: Base::Raw, top: flags.top });
        self.host = 0;
    }

    /// Makes the flags raw that the block found.
    fn settle_entry(&mut self) {
        let retry = self.e.position();
        dynasm!(self.e ; .arch x64 ; cmp DWORD [BYTE rsp + slot(Slot::FlagsKind)], 0);
        let other = self.e.jump_if(Condition::NotEqual);
        let back = self.e.position();
        let site = self.site(SiteKind::Flags, self.index, retry);
        let side = self.e.switch(Side::Cold);
        self.e.bind(other);
        let address = self.e.address_of(R9);
        self.e.bind_to(address, back);
        dynasm!(self.e ; .arch x64 ; mov DWORD [BYTE rsp + slot(Slot::Address)], site as i32);
        let _ = self.e.jump_to(self.thunks.load_flags);
        self.e.switch(side);
    }

    /// Moves operands that the flags need out of the way of an instruction that overwrites them.
    pub(super) fn protect(&mut self, planned: &Planned) {
        let Source::At(flags) = self.source else { return };
        if !planned.live || planned.sets == super::plan::Sets::All || !uses_registers(&flags) {
            return;
        }
        self.source = Source::At(self.moved(flags, planned.writes));
    }

    /// The same flags, with operands in registers of `mask` moved to slots.
    fn moved(&mut self, flags: FlagsAt, mask: u16) -> FlagsAt {
        let base = match flags.base {
            Base::Known { kind, size, a, b } => {
                let a = self.moved_loc(a, Slot::FlagsA, mask);
                let b = self.moved_loc(b, Slot::FlagsB, mask);
                Base::Known { kind, size, a, b }
            }
            base @ (Base::Entry | Base::Raw) => base,
        };
        let top = flags.top.map(|(step, size, result)| (step, size, self.moved_loc(result, Slot::FlagsTop, mask)));
        FlagsAt { base, top }
    }

    fn moved_loc(&mut self, loc: Loc, home: Slot, mask: u16) -> Loc {
        match loc {
            Loc::Register(number) if mask >> number & 1 != 0 => {
                self.store_guest(number, home);
                Loc::Slot
            }
            other => other,
        }
    }

    /// Copies a guest register to a slot; changes r10 only.
    pub(super) fn store_guest(&mut self, number: u8, home: Slot) {
        match PLACES[usize::from(number)] {
            Place::Host(host) => {
                dynasm!(self.e ; .arch x64 ; mov [BYTE rsp + slot(home)], Rq(host.number() as u8));
            }
            Place::Slot(from) => dynasm!(self.e
                ; .arch x64
                ; mov r10, [BYTE rsp + slot(from)]
                ; mov [BYTE rsp + slot(home)], r10
            ),
        }
    }

    fn store_loc(&mut self, loc: Loc, home: Slot) {
        match loc {
            Loc::Register(number) => self.store_guest(number, home),
            Loc::Immediate(value) => dynasm!(self.e ; .arch x64 ; mov QWORD [BYTE rsp + slot(home)], value),
            Loc::Slot => {}
        }
    }

    /// Puts the flags where the next block looks for them. The host's flags stay; changes r10 only.
    pub(super) fn hand_over_flags(&mut self) {
        if self.source == Source::Host {
            self.save_raw();
            self.source = Source::At(FlagsAt::RAW);
        }
        let Source::At(flags) = self.source else { unreachable!("flags after a block are always needed") };
        let top = flags.top.map_or(0, |(step, size, result)| {
            self.store_loc(result, Slot::FlagsTop);
            top_code(step, size)
        });
        match flags.base {
            Base::Entry if top == 0 => {}
            Base::Entry => dynasm!(self.e ; .arch x64 ; mov WORD [BYTE rsp + slot(Slot::FlagsKind) + 2], top as i16),
            Base::Raw => self.store_code(RAW_KIND, top),
            Base::Known { kind, size, a, b } => {
                self.store_loc(a, Slot::FlagsA);
                if kind.has_b() {
                    self.store_loc(b, Slot::FlagsB);
                }
                self.store_code(code(kind as u32, size), top);
            }
        }
        self.source = Source::At(FlagsAt::ENTRY);
    }

    fn store_code(&mut self, base: u32, top: u16) {
        let code = base | u32::from(top) << 16;
        dynasm!(self.e ; .arch x64 ; mov DWORD [BYTE rsp + slot(Slot::FlagsKind)], code as i32);
    }
}

fn uses_registers(flags: &FlagsAt) -> bool {
    let register = |loc: Loc| matches!(loc, Loc::Register(_));
    let base = match flags.base {
        Base::Known { a, b, .. } => register(a) || register(b),
        Base::Entry | Base::Raw => false,
    };
    base || flags.top.is_some_and(|(_, _, result)| register(result))
}
