//! Native code that is entered, computes, and leaves.
#![allow(clippy::disallowed_macros)] // tests ask what this host has, to run what it can

use std::arch::is_x86_feature_detected;

use super::*;
use crate::emitter::Condition;
use crate::x87;
use reprise_core::cpu::X87;
use reprise_core::interp::table::{X87_OFFSET, X87_WORDS};
use reprise_core::softfloat::F80;

/// A table as core has it: room for signal frames, slots, and the anchor behind them.
#[repr(C, align(64))]
struct Table {
    room: [u64; 8192],
    slots: [u64; 16],
    entries: [u64; 8],
    rest: [u64; X87_OFFSET / 8 + X87_WORDS - 8],
}

struct Fixture {
    memory: CodeMemory,
    emitter: Emitter,
    native: Native,
    table: Box<Table>,
    registers: [u64; 32],
    vectors: [VectorRegister; 16],
}

impl Fixture {
    fn new(wide: bool) -> Self {
        let mut memory = CodeMemory::new(1 << 16).expect("a small mapping");
        let mut emitter = Emitter::new();
        let native = Native::emit(&mut emitter, &mut memory, wide).expect("room");
        let rest = [0; X87_OFFSET / 8 + X87_WORDS - 8];
        let mut table = Box::new(Table { room: [0; 8192], slots: [0; 16], entries: [0; 8], rest });
        table.slots[Slot::Mxcsr.index()] = 0x1f80;
        let registers = std::array::from_fn(|number| 0x0101_0101_0101_0101 * number as u64);
        let vectors =
            std::array::from_fn(|number| VectorRegister { low: !0 - number as u128, high: number as u128 + 7 });
        emitter.start(&memory);
        Self { memory, emitter, native, table, registers, vectors }
    }

    /// Runs what was emitted since the last run.
    fn run(&mut self, budget: i64) -> Leave {
        let code = self.memory.hot_next();
        self.emitter.finish(&mut self.memory).expect("room");
        self.emitter.start(&self.memory);
        self.run_at(code, budget)
    }

    fn run_at(&mut self, code: u64, budget: i64) -> Leave {
        let table: *mut Table = &mut *self.table;
        let anchor = table.cast::<u8>().wrapping_add(std::mem::offset_of!(Table, entries));
        let frame = Frame { registers: &mut self.registers, vectors: &mut self.vectors };
        self.native.run(&mut self.memory, anchor, frame, code, budget)
    }

    /// The words for the x87 unit, which are the table's last.
    fn x87(&mut self) -> &mut [u64; X87_WORDS] {
        self.table.rest.last_chunk_mut().expect("there are as many")
    }

    fn leave(&mut self, site: i32) {
        dynasm!(self.emitter ; .arch x64 ; mov r9d, site);
        let _ = self.emitter.jump_to(self.native.thunks().leave);
    }
}

/// Both variants, or the one that the host can run.
fn fixtures() -> impl Iterator<Item = Fixture> {
    [false, true].into_iter().filter(|wide| !wide || is_x86_feature_detected!("avx")).map(Fixture::new)
}

#[test]
fn registers_come_and_go_unchanged() {
    for mut fixture in fixtures() {
        let (registers, vectors) = (fixture.registers, fixture.vectors);
        fixture.leave(77);
        assert_eq!(fixture.run(-5), Leave { site: 77, budget: -5 });
        assert_eq!(fixture.registers, registers);
        assert_eq!(fixture.vectors, vectors);
        assert_eq!(fixture.table.room, [0; 8192], "native code has no stack");
        assert_eq!(fixture.table.entries, [0; 8]);
    }
}

#[test]
fn every_register_is_where_the_table_of_registers_says() {
    use crate::registers::{PLACES, Place};
    for mut fixture in fixtures() {
        let before = fixture.registers;
        for place in PLACES {
            match place {
                Place::Host(register) => {
                    let number = register.number() as u8;
                    dynasm!(fixture.emitter ; .arch x64 ; add Rq(number), number as i32 + 1);
                }
                Place::Slot(slot) => {
                    dynasm!(fixture.emitter ; .arch x64 ; add QWORD [rsp + slot.displacement()], 100 + slot as i32);
                }
            }
        }
        fixture.leave(0);
        fixture.run(0);
        for (guest, place) in PLACES.iter().enumerate() {
            let added = match place {
                Place::Host(register) => register.number() as u64 + 1,
                Place::Slot(slot) => 100 + *slot as u64,
            };
            assert_eq!(fixture.registers[guest], before[guest] + added, "register {guest}");
        }
        assert_eq!(fixture.registers[16..], before[16..]);
    }
}

#[test]
fn a_loop_adds_numbers_until_the_budget_is_spent() {
    for mut fixture in fixtures() {
        fixture.registers[0] = 0;
        let head = fixture.emitter.position();
        dynasm!(fixture.emitter ; .arch x64 ; sub r11, 2);
        let spent = fixture.emitter.jump_if(Condition::Sign);
        dynasm!(fixture.emitter ; .arch x64 ; add rax, 3);
        let _ = fixture.emitter.jump_to(head);
        let hot = fixture.emitter.switch(crate::emitter::Side::Cold);
        fixture.emitter.bind(spent);
        fixture.leave(9);
        fixture.emitter.switch(hot);
        assert_eq!(fixture.run(101), Leave { site: 9, budget: -1 });
        assert_eq!(fixture.registers[0], 150);
    }
}

#[test]
fn the_guests_mxcsr_is_loaded_and_its_flags_come_back_while_the_hosts_stays() {
    for mut fixture in fixtures() {
        // 1 / 3 rounded up is inexact.
        fixture.table.slots[Slot::Mxcsr.index()] = 0x5f80;
        fixture.vectors[0].low = u128::from(1f64.to_bits());
        fixture.vectors[1].low = u128::from(3f64.to_bits());
        dynasm!(fixture.emitter ; .arch x64 ; divsd xmm0, xmm1);
        fixture.leave(0);
        fixture.run(0);
        assert_eq!(fixture.vectors[0].low, u128::from((1f64 / 3f64).to_bits() + 1));
        assert_eq!(fixture.table.slots[Slot::Mxcsr.index()], 0x5fa0);
        assert_eq!(std::hint::black_box(1f64) / std::hint::black_box(10f64), 0.1);
    }
}

#[test]
fn wide_registers_keep_their_high_halves() {
    if !is_x86_feature_detected!("avx2") {
        return;
    }
    let mut fixture = Fixture::new(true);
    fixture.vectors[3] = VectorRegister { low: 1, high: 2 };
    fixture.vectors[15] = VectorRegister { low: 10, high: 20 };
    dynasm!(fixture.emitter ; .arch x64 ; vpaddq ymm4, ymm3, ymm15);
    fixture.leave(0);
    fixture.run(0);
    assert_eq!(fixture.vectors[4], VectorRegister { low: 11, high: 22 });
}

#[test]
fn narrow_entries_leave_high_halves_alone() {
    let mut fixture = Fixture::new(false);
    fixture.vectors[3] = VectorRegister { low: 1, high: 2 };
    dynasm!(fixture.emitter ; .arch x64 ; paddq xmm3, xmm3);
    fixture.leave(0);
    fixture.run(0);
    assert_eq!(fixture.vectors[3], VectorRegister { low: 2, high: 2 });
}

#[test]
fn a_patched_jump_leads_to_the_new_place_at_once() {
    for mut fixture in fixtures() {
        let code = fixture.emitter.position();
        let link = fixture.emitter.jump();
        fixture.leave(1);
        assert_eq!(fixture.run(0).site, 1);
        for site in 2..50 {
            let target = fixture.emitter.position();
            fixture.leave(site);
            fixture.emitter.finish(&mut fixture.memory).expect("room");
            fixture.emitter.start(&fixture.memory);
            fixture.memory.patch_rel32(link.field(), target);
            assert_eq!(fixture.run_at(code, 0).site, site as u64);
        }
    }
}

#[test]
#[should_panic(expected = "is not in translated code")]
fn nothing_but_translated_code_is_entered() {
    let mut fixture = Fixture::new(false);
    let beyond = fixture.memory.hot_next();
    fixture.run_at(beyond, 0);
}

#[test]
fn the_x87_unit_is_the_guests_only_while_native_code_runs() {
    for mut fixture in fixtures() {
        let unit = X87 { control: 0x0f7f, empty: 0xff, ..X87::default() };
        x87::load(&unit, fixture.x87());
        dynasm!(fixture.emitter ; .arch x64 ; fld1);
        fixture.leave(1);
        fixture.run(0);
        let mut after = unit.clone();
        assert!(x87::unload(fixture.x87(), &mut after));
        assert_eq!((after.control, after.status, after.empty), (0x0f7f, 7 << 11, 0x7f));
        assert_eq!(after.regs[7], F80 { sign_exp: 0x3fff, sig: 1 << 63 });
        x87::forget(fixture.x87());
        dynasm!(fixture.emitter ; .arch x64 ; fnstcw [rsp + x87::CONTROL]);
        fixture.leave(2);
        fixture.run(0);
        assert_eq!(fixture.x87()[15] >> 32, 0x37f, "the host's own");
    }
}
