//! Accesses near one another: one look into the TLB serves several.
//!
//! Where several accesses of a block have the same base register, the first of them looks for all bytes between the lowest
//! and the highest at once, and keeps how far the host's address is from the base. The others then need no look: nothing
//! that native code does drops a translation, and if what Rust does in between drops one, native code does not go on.
//! Bytes that lie in two pages are left to the interpreter, and where that happens again and again the block is translated
//! anew without windows.

use super::Unit;
use super::plan::{Access, Class, Planned};
use super::status::{R9, R10};
use crate::emitter::Condition;
use crate::registers::{PLACES, Place, Word};
use crate::site::SiteKind;
use dynasmrt::{DynasmApi, dynasm};
use iced_x86::{Mnemonic, OpKind, Register};
use reprise_core::cpu::reg;

/// Windows that are open at a time, each with a word for its distance.
const WORDS: [Word; 4] = [Word::Distance0, Word::Distance1, Word::Distance2, Word::Distance3];
/// Longest window, in bytes. The longer, the more often it reaches into the next page.
const SPAN: i32 = 512;

/// An access by base register and displacement.
#[derive(Clone, Copy, Debug)]
struct Near {
    /// The guest register's number.
    base: u8,
    displacement: i32,
    size: i32,
    write: bool,
}

/// Bytes of one page that may be accessed without a look into the TLB.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    base: u8,
    /// The first byte, from what the base register is now.
    low: i32,
    /// The byte after the last.
    high: i32,
    /// The first byte, from what the base register was when the window was opened.
    origin: i32,
    write: bool,
}

/// All windows, by the word for their distance.
pub(super) type Windows = [Option<Window>; WORDS.len()];

/// What an instruction does to a register.
enum Change {
    None,
    By(i32),
    Unknown,
}

impl Near {
    fn of(planned: &Planned) -> Option<Self> {
        let stack = |displacement, write| Some(Self { base: reg::RSP, displacement, size: 8, write });
        match (planned.class, planned.access) {
            (Class::Push | Class::Call, None) => stack(-8, true),
            (Class::Pop | Class::Return, None) => stack(0, false),
            (Class::Pass | Class::Shift | Class::Multiply | Class::Divide | Class::BitScan, Some(access)) => {
                Self::operand(planned, access)
            }
            _ => None,
        }
    }

    fn operand(planned: &Planned, access: Access) -> Option<Self> {
        let insn = &planned.insn;
        let base = insn.memory_base();
        let plain = base.is_gpr64()
            && insn.memory_index() == Register::None
            && !matches!(insn.memory_segment(), Register::FS | Register::GS);
        let displacement = i32::try_from(insn.memory_displacement64() as i64).ok()?;
        let near = Self { base: base.number() as u8, displacement, size: i32::from(access.size), write: access.write };
        (plain && displacement.unsigned_abs() < 1 << 30).then_some(near)
    }
}

fn change(planned: &Planned, base: u8) -> Change {
    let insn = &planned.insn;
    let on_base = insn.op_count() > 0
        && insn.op0_kind() == OpKind::Register
        && insn.op0_register().is_gpr64()
        && insn.op0_register().number() == usize::from(base);
    let small = |value: i64| i32::try_from(value).ok().filter(|value| value.unsigned_abs() < 1 << 20);
    let by = |value: Option<i32>| value.map_or(Change::Unknown, Change::By);
    let immediate = |sign: i64| by((insn.op1_kind() != OpKind::Register).then(|| small(sign * insn.immediate(1) as i64)).flatten());
    match (planned.class, insn.mnemonic()) {
        (Class::System, _) => Change::Unknown,
        (Class::Push, _) if base == reg::RSP => Change::By(-8),
        (Class::Pop, _) if base == reg::RSP && !on_base => Change::By(8),
        (Class::Pass, Mnemonic::Add) if on_base && planned.access.is_none() => immediate(1),
        (Class::Pass, Mnemonic::Sub) if on_base && planned.access.is_none() => immediate(-1),
        (Class::Lea, _) if on_base && insn.memory_base() == insn.op0_register() && insn.memory_index() == Register::None => {
            by(small(insn.memory_displacement64() as i64))
        }
        _ if planned.writes >> base & 1 != 0 => Change::Unknown,
        _ => Change::None,
    }
}

impl Unit<'_> {
    /// Leaves the host address of the memory operand in r9, if a window can serve. As after
    /// [`access`](Self::access), the host's flags and r10 are lost.
    pub(super) fn near(&mut self, planned: &Planned, access: Access) -> bool {
        if !self.near {
            return false;
        }
        let Some(near) = Near::operand(planned, access).filter(|_| Near::of(planned).is_some()) else { return false };
        self.near_by(near, access.aligned)
    }

    /// As [`near`](Self::near), for what an instruction pushes or pops.
    pub(super) fn near_stack(&mut self, displacement: i32, write: bool) -> bool {
        let planned = &self.plan.insns[self.index];
        let near = Near { base: reg::RSP, displacement, size: 8, write };
        self.near && Near::of(planned).is_some() && planned.access.is_none() && self.near_by(near, false)
    }

    fn near_by(&mut self, near: Near, aligned: bool) -> bool {
        let open = (0..).zip(&self.windows).find_map(|(number, window)| {
            let window = (*window)?;
            let inside = near.displacement >= window.low && near.displacement + near.size <= window.high;
            (window.base == near.base && inside && (window.write || !near.write)).then_some((number, window))
        });
        let range = if open.is_some() { None } else { self.range(near) };
        if open.is_none() && range.is_none() {
            return false;
        }
        self.free_host_flags();
        let retry = self.e.position();
        if aligned {
            // Before the look into the TLB: a misaligned address faults first.
            self.add_base(near.base, None, near.displacement);
            dynasm!(self.e ; .arch x64 ; test r9b, (near.size - 1) as i8);
            self.interpret_if(Condition::NotEqual);
        }
        match (open, range) {
            (Some((number, window)), _) => {
                let word: Word = WORDS[number];
                self.add_base(near.base, Some(word), near.displacement - window.origin);
            }
            (None, Some((low, high))) => self.open(near, low, high, retry),
            (None, None) => unreachable!("one of the two is there"),
        }
        true
    }

    /// The bytes that accesses from the current instruction on touch by the same base: if there are several.
    fn range(&self, first: Near) -> Option<(i32, i32)> {
        let (mut low, mut high) = (first.displacement, first.displacement + first.size);
        let (mut shift, mut several) = (0i32, false);
        for (number, planned) in self.plan.insns[self.index..].iter().enumerate() {
            if let Some(near) = Near::of(planned).filter(|near| number > 0 && near.base == first.base) {
                let at = near.displacement.saturating_add(shift);
                let (lower, higher) = (low.min(at), high.max(at.saturating_add(near.size)));
                if (first.write || !near.write) && higher.saturating_sub(lower) <= SPAN {
                    (low, high, several) = (lower, higher, true);
                }
            }
            match change(planned, first.base) {
                Change::None => {}
                Change::By(distance) => shift = shift.saturating_add(distance),
                Change::Unknown => break,
            }
        }
        several.then_some((low, high))
    }

    /// Looks for the bytes from `low` to `high`, and leaves the address of the access in r9.
    fn open(&mut self, near: Near, low: i32, high: i32, retry: u64) {
        let number = self.windows.iter().position(Option::is_none).unwrap_or(self.oldest);
        self.oldest = (number + 1) % WORDS.len();
        self.add_base(near.base, None, low);
        let access = Access { size: 0, write: near.write, aligned: false };
        self.compare_span(access, (high - low) as u16);
        let miss = self.e.jump_if(Condition::Above);
        let kind = SiteKind::Miss { size: (high - low) as u16, write: near.write, several: true };
        let site = self.site(kind, self.index, retry);
        self.cold_miss(miss, access, site);
        self.add_host();
        dynasm!(self.e ; .arch x64 ; mov r10, r9);
        match PLACES[usize::from(near.base)] {
            Place::Host(host) => dynasm!(self.e ; .arch x64 ; sub r10, Rq(host.number() as u8)),
            Place::Slot(home) => dynasm!(self.e ; .arch x64 ; sub r10, [BYTE rsp + super::slot(home)]),
        }
        dynasm!(self.e ; .arch x64 ; mov [DWORD rsp + WORDS[number].displacement()], r10);
        if near.displacement != low {
            dynasm!(self.e ; .arch x64 ; lea r9, [DWORD r9 + (near.displacement - low)]);
        }
        self.windows[number] = Some(Window { base: near.base, low, high, origin: low, write: near.write });
    }

    /// Puts the sum of base register, displacement and a word, if there is one, into r9.
    fn add_base(&mut self, base: u8, word: Option<Word>, displacement: i32) {
        let Some(word) = word else {
            match PLACES[usize::from(base)] {
                Place::Host(host) => self.address_of(host.number() as u8, None, displacement),
                Place::Slot(home) => {
                    dynasm!(self.e ; .arch x64 ; mov r9, [BYTE rsp + super::slot(home)]);
                    self.address_of(R9, None, displacement);
                }
            }
            return;
        };
        dynasm!(self.e ; .arch x64 ; mov r9, [DWORD rsp + word.displacement()]);
        match PLACES[usize::from(base)] {
            Place::Host(host) => self.address_of(R9, Some(host.number() as u8), displacement),
            Place::Slot(home) => {
                dynasm!(self.e ; .arch x64 ; mov r10, [BYTE rsp + super::slot(home)]);
                self.address_of(R9, Some(R10), displacement);
            }
        }
    }

    /// `lea r9, [base + index + displacement]`.
    fn address_of(&mut self, base: u8, index: Option<u8>, displacement: i32) {
        match (index, i8::try_from(displacement)) {
            (Some(index), Ok(near)) => dynasm!(self.e ; .arch x64 ; lea r9, [BYTE Rq(base) + Rq(index) + near]),
            (Some(index), Err(_)) => dynasm!(self.e ; .arch x64 ; lea r9, [DWORD Rq(base) + Rq(index) + displacement]),
            (None, Ok(near)) => dynasm!(self.e ; .arch x64 ; lea r9, [BYTE Rq(base) + near]),
            (None, Err(_)) => dynasm!(self.e ; .arch x64 ; lea r9, [DWORD Rq(base) + displacement]),
        }
    }

    /// After an instruction: windows move against their base registers, and close where those get another value.
    pub(super) fn move_windows(&mut self, planned: &Planned) {
        for number in 0..WORDS.len() {
            let Some(window) = &mut self.windows[number] else { continue };
            match change(planned, window.base) {
                Change::None => {}
                Change::By(distance) => {
                    window.low = window.low.saturating_sub(distance);
                    window.high = window.high.saturating_sub(distance);
                }
                Change::Unknown => self.windows[number] = None,
            }
        }
    }
}
