//! From a guest block to host code.
//!
//! | file | what |
//! | --- | --- |
//! | [`plan`] | decoding, and how each instruction is translated |
//! | [`flags`], [`status`] | where the guest's flags are, and the code that moves them |
//! | [`address`] | addresses and the inline look into the TLB |
//! | [`x87`] | the x87 unit's instructions |
//! | [`pass`], [`alu`], [`bits`], [`muldiv`], [`stack`], [`control`], [`exchange`], [`string`], [`system`] | instructions by the way they are translated |

mod address;
mod alu;
mod bits;
mod control;
mod exchange;
pub(crate) mod flags;
mod muldiv;
mod pass;
pub(crate) mod plan;
mod shift;
mod slots;
mod stack;
mod status;
mod string;
mod system;
mod window;
mod x87;

use crate::emitter::{Condition, Emitter, Jump, Side};
use crate::enter::Thunks;
use crate::registers::Slot;
use crate::site::{Site, SiteKind};
use dynasmrt::{DynasmApi, dynasm};
use flags::FlagsAt;
use plan::{Class, Plan, Planned};

/// What is known of the guest's flags at a point of a block.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Source {
    /// They can be computed.
    At(FlagsAt),
    /// They are the host's.
    Host,
    /// Nobody will look at them before they are set again.
    Dead,
}

/// A block being translated.
struct Unit<'a> {
    e: &'a mut Emitter,
    plan: &'a Plan,
    thunks: Thunks,
    first_site: u32,
    sites: Vec<Site>,
    source: Source,
    /// Those of the host's status flags that are the guest's, as iced numbers them.
    host: u32,
    /// What is known of the x87 unit.
    x87: x87::Known,
    /// What may be accessed without a look into the TLB, and which window gives way first.
    windows: window::Windows,
    oldest: usize,
    /// Whether windows may be opened.
    near: bool,
    /// The current instruction.
    index: usize,
}

/// Translates a block of at least one instruction into `e`. Sites are numbered from `first_site` on. `near` lets one look
/// into the TLB serve several accesses.
pub(crate) fn translate(plan: &Plan, e: &mut Emitter, thunks: Thunks, first_site: u32, near: bool) -> Vec<Site> {
    let source = Source::At(FlagsAt::ENTRY);
    let mut unit = Unit {
        e,
        plan,
        thunks,
        first_site,
        sites: Vec::new(),
        source,
        host: 0,
        x87: x87::Known::default(),
        windows: window::Windows::default(),
        oldest: 0,
        near,
        index: 0,
    };
    unit.head();
    for index in 0..plan.insns.len() {
        unit.index = index;
        unit.e.begin_instruction();
        if plan.insns[index].ends_block() {
            unit.store_x87_pointer();
        }
        unit.instruction(&plan.insns[index]);
        unit.move_windows(&plan.insns[index]);
    }
    if plan.insns.last().is_some_and(|last| !last.ends_block()) {
        unit.store_x87_pointer();
        unit.fall_through();
    }
    unit.sites
}

/// Displacement of a slot, for an address of one displacement byte.
fn slot(slot: Slot) -> i8 {
    slot.displacement() as i8
}

impl Unit<'_> {
    /// Pays for the block, or leaves. One whose first instruction is the interpreter's lies on the cold side.
    fn head(&mut self) {
        let count = self.plan.native() as i8;
        if count == 0 {
            self.e.switch(Side::Cold);
            return;
        }
        dynasm!(self.e ; .arch x64 ; sub r11, BYTE count);
        let poor = self.e.jump_if(Condition::Sign);
        let site = self.site(SiteKind::Budget, 0, 0);
        self.cold_leave(poor, site);
    }

    fn instruction(&mut self, planned: &Planned) {
        match planned.class {
            Class::Pass => self.pass(planned),
            Class::Nop => {}
            Class::Lea => self.lea(planned),
            Class::Push => self.push(planned),
            Class::Pop => self.pop(planned),
            Class::Leave => self.leave_frame(planned),
            Class::Shift => self.shift(planned),
            Class::Multiply => self.multiply(planned),
            Class::Divide => self.divide(planned),
            Class::BitScan => self.bit_scan(planned),
            Class::Bits => self.bits(planned),
            Class::Masked => self.masked(planned),
            Class::Call => self.call(planned),
            Class::CallIndirect => self.call_indirect(planned),
            Class::Return => self.ret(planned),
            Class::Jump => self.jump_direct(planned),
            Class::JumpIf => self.jump_if(planned),
            Class::JumpIndirect => self.jump_indirect(planned),
            Class::JumpByCount => self.jump_by_count(planned),
            Class::BitString => self.bit_string(planned),
            Class::Exchange => self.exchange(planned),
            Class::String => self.string(planned),
            Class::System => self.system(planned),
            Class::X87 => self.x87(planned),
            Class::Interpret => self.interpret(),
        }
    }

    /// Leaves the instruction, which ends the block, to the interpreter.
    fn interpret(&mut self) {
        self.free_host_flags();
        let site = self.interpret_site();
        self.emit_leave(site);
    }

    /// A place to leave at because the current instruction is the interpreter's.
    fn interpret_site(&mut self) -> u32 {
        let mnemonic = self.plan.insns[self.index].insn.mnemonic();
        self.site(SiteKind::Interpret(mnemonic), self.index, 0)
    }

    /// A place to leave at before instruction `index` of the block.
    fn site(&mut self, kind: SiteKind, index: usize, retry: u64) -> u32 {
        let insn = &self.plan.insns[index];
        self.site_at(kind, insn.at(), self.plan.native().saturating_sub(index) as u8, retry)
    }

    fn site_at(&mut self, kind: SiteKind, at: u16, refund: u8, retry: u64) -> u32 {
        let flags = match self.source {
            Source::At(flags) => flags,
            Source::Dead => FlagsAt::RAW,
            Source::Host => unreachable!("host flags are saved before native code can leave"),
        };
        let last = self.plan.insns[self.index].at();
        let head = self.plan.insns[0].at();
        self.sites.push(Site { kind, at, last, head, refund, flags, x87: self.x87.last, retry });
        self.first_site + self.sites.len() as u32 - 1
    }

    /// Emits a leave at a site.
    fn emit_leave(&mut self, site: u32) {
        dynasm!(self.e ; .arch x64 ; mov r9d, DWORD site as i32);
        let _ = self.e.jump_to(self.thunks.leave);
    }

    /// Lets a jump lead to a cold leave at a site.
    fn cold_leave(&mut self, jump: Jump, site: u32) {
        let side = self.e.switch(Side::Cold);
        self.e.bind(jump);
        self.emit_leave(site);
        self.e.switch(side);
    }
}
