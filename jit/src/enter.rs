//! Into native code and out of it: thunks at the start of the code memory, and the one call.
//!
//! The entry thunk keeps what the host's calling convention wants kept (System V ABI, AMD64 supplement, 3.2.1 Registers) on
//! the host's stack, and makes `rsp` the anchor. Native code never calls and never touches the stack, so nothing can
//! unwind through it; it ends by `mov r9d, site` and a jump to a leave thunk, which stores all registers and returns the
//! site. RIP, RFLAGS and everything else of the guest are the caller's: a site says where they are.
//!
//! Invariants that others rely on: between an entry and the next leave, guest registers are where [`crate::registers`] says; the
//! host's direction flag stays clear and its MXCSR is the guest's. The host's x87 unit is the guest's while a word of the
//! table says so ([`crate::x87`]), and as the host's calling convention wants it otherwise and outside.
#![allow(unsafe_code)] // calling code that was emitted: there is no safe way to do it

use dynasmrt::{DynasmApi, dynasm};
use reprise_core::cpu::{Flags, VectorRegister};
use reprise_core::interp::table::SLOTS;

use crate::code_memory::{CodeMemory, Full};
use crate::emitter::{Condition, Emitter};
use crate::registers::{Slot, Word};
use crate::translate::flags::{Kind, Step, code, top_code};
use crate::x87::{IMAGE, LOADED, POINTER};

const R8: i32 = Slot::R8.displacement();
const R9: i32 = Slot::R9.displacement();
const R10: i32 = Slot::R10.displacement();
const R11: i32 = Slot::R11.displacement();
const MXCSR: i32 = Slot::Mxcsr.displacement();
const KIND: i32 = Slot::FlagsKind.displacement();
const FLAGS_A: i32 = Slot::FlagsA.displacement();
const FLAGS_B: i32 = Slot::FlagsB.displacement();
const FLAGS_TOP: i32 = Slot::FlagsTop.displacement();
const ADDRESS: i32 = Slot::Address.displacement();
/// Number of the register that holds where the thunk for flags goes on.
const R9_NUMBER: u8 = 9;
/// Upper half of the slot.
const FLAGS_RAW: i32 = Slot::FlagsKind.displacement() + 4;
const HOST_RSP: i32 = Slot::HostRsp.displacement();
const REGISTERS: i32 = Slot::Registers.displacement();
const VECTORS: i32 = Slot::Vectors.displacement();

/// Why and how native code returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Leave {
    /// What native code had in `r9d`.
    pub site: u64,
    /// Instructions that may still retire; negative when the last block's head found too few.
    pub budget: i64,
}

/// The guest's registers that native code keeps in the host's.
#[derive(Debug)]
pub struct Frame<'a> {
    /// By number; those from 16 on are not touched.
    pub registers: &'a mut [u64; 32],
    /// The low halves; the high ones too where the host has AVX.
    pub vectors: &'a mut [VectorRegister; 16],
}

/// The thunks, and the way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Native {
    enter: u64,
    serialize: u64,
    thunks: Thunks,
}

/// Where translated code jumps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thunks {
    /// Returns; `r9d` is the site. Host flags are lost.
    pub leave: u64,
    /// Makes the flags that a block found raw, and the host's, and jumps to the address in `r9`. Operations that are not
    /// repeated here leave at the site whose number [`Slot::Address`] holds.
    pub load_flags: u64,
    /// Gives RFLAGS.AC its other value, and goes on with the table for that; `r9` is where to. The host's flags are lost,
    /// and `r10` too.
    pub switch: u64,
}

/// How the entry thunk is called; the result comes in `rax` and `rdx`.
type Enter = unsafe extern "sysv64" fn(*mut u8, *mut u64, *mut VectorRegister, u64, i64) -> Leave;

impl Native {
    /// Emits the thunks; `wide` when the host has AVX, so that native code may use all of `ymm0` to `ymm15`.
    pub fn emit(emitter: &mut Emitter, memory: &mut CodeMemory, wide: bool) -> Result<Self, Full> {
        emitter.start(memory);
        let enter = emit_enter(emitter, wide);
        let serialize = emit_serialize(emitter);
        let leave = emit_leave(emitter, wide);
        let load_flags = emit_load_flags(emitter, leave);
        let switch = emit_switch(emitter);
        emitter.finish(memory)?;
        Ok(Self { enter, serialize, thunks: Thunks { leave, load_flags, switch } })
    }

    /// Where translated code jumps to.
    pub fn thunks(&self) -> Thunks {
        self.thunks
    }

    /// Runs native code from `code` until it leaves.
    ///
    /// `anchor` is the address of the current table's entries: the sixteen slots lie below it, and 64 KiB more for signal frames.
    /// [`Slot::Mxcsr`] must hold a valid MXCSR.
    #[expect(clippy::not_unsafe_ptr_arg_deref, reason = "the anchor is the table's, as the code is the translator's")]
    pub fn run(&self, memory: &mut CodeMemory, anchor: *mut u8, frame: Frame<'_>, code: u64, budget: i64) -> Leave {
        assert!(memory.contains(code), "{code:#x} is not in translated code");
        assert!(memory.contains(self.enter), "the thunks are in another code memory");
        if memory.take_modified() {
            // SAFETY: `serialize` is the address of what `emit_serialize` emitted, a function that only returns.
            let serialize = unsafe { std::mem::transmute::<u64, extern "sysv64" fn()>(self.serialize) };
            serialize();
        }
        // SAFETY: `enter` is the address of what `emit_enter` emitted, a function of this type.
        let enter = unsafe { std::mem::transmute::<u64, Enter>(self.enter) };
        // SAFETY: the thunk follows the calling convention and stores only to the file, the vectors and the slots, which
        // are borrowed mutably; `code` is the start of something that was translated, which accesses memory through
        // the table at the anchor alone and ends at a leave thunk.
        unsafe { enter(anchor, frame.registers.as_mut_ptr(), frame.vectors.as_mut_ptr(), code, budget) }
    }
}

/// The entry: `rdi` anchor, `rsi` registers, `rdx` vectors, `rcx` code, `r8` budget.
fn emit_enter(e: &mut Emitter, wide: bool) -> u64 {
    let start = e.position();
    dynasm!(e
        ; .arch x64
        ; push rbx
        ; push rbp
        ; push r12
        ; push r13
        ; push r14
        ; push r15
        ; sub rsp, 8
        ; stmxcsr [rsp]
        ; mov [rdi + HOST_RSP], rsp
        ; mov [rdi + REGISTERS], rsi
        ; mov [rdi + VECTORS], rdx
        ; mov rsp, rdi
    );
    emit_vectors(e, wide, Direction::Load);
    dynasm!(e
        ; .arch x64
        ; ldmxcsr [rsp + MXCSR]
        ; cmp DWORD [rsp + LOADED], 0
    );
    let unloaded = e.jump_short_if(Condition::Equal);
    dynasm!(e ; .arch x64 ; frstor [rsp + IMAGE]);
    e.bind_short(unloaded);
    dynasm!(e
        ; .arch x64
        ; mov r9, rcx
        ; mov r10, rsi
        ; mov r11, r8
        ; mov rax, [r10 + 8 * 8]
        ; mov rcx, [r10 + 8 * 9]
        ; mov rdx, [r10 + 8 * 10]
        ; mov rbx, [r10 + 8 * 11]
        ; mov [rsp + R8], rax
        ; mov [rsp + R9], rcx
        ; mov [rsp + R10], rdx
        ; mov [rsp + R11], rbx
        ; mov rax, [r10]
        ; mov rcx, [r10 + 8]
        ; mov rdx, [r10 + 8 * 2]
        ; mov rbx, [r10 + 8 * 3]
        ; mov r8, [r10 + 8 * 4]
        ; mov rbp, [r10 + 8 * 5]
        ; mov rsi, [r10 + 8 * 6]
        ; mov rdi, [r10 + 8 * 7]
        ; mov r12, [r10 + 8 * 12]
        ; mov r13, [r10 + 8 * 13]
        ; mov r14, [r10 + 8 * 14]
        ; mov r15, [r10 + 8 * 15]
        ; jmp r9
    );
    start
}

/// The way out: `r9d` site, `r11` budget.
fn emit_leave(e: &mut Emitter, wide: bool) -> u64 {
    let start = e.position();
    dynasm!(e
        ; .arch x64
        ; mov r10, [rsp + REGISTERS]
        ; mov [r10], rax
        ; mov [r10 + 8], rcx
        ; mov [r10 + 8 * 2], rdx
        ; mov [r10 + 8 * 3], rbx
        ; mov [r10 + 8 * 4], r8
        ; mov [r10 + 8 * 5], rbp
        ; mov [r10 + 8 * 6], rsi
        ; mov [r10 + 8 * 7], rdi
        ; mov [r10 + 8 * 12], r12
        ; mov [r10 + 8 * 13], r13
        ; mov [r10 + 8 * 14], r14
        ; mov [r10 + 8 * 15], r15
        ; mov rax, [rsp + R8]
        ; mov rcx, [rsp + R9]
        ; mov rdx, [rsp + R10]
        ; mov rbx, [rsp + R11]
        ; mov [r10 + 8 * 8], rax
        ; mov [r10 + 8 * 9], rcx
        ; mov [r10 + 8 * 10], rdx
        ; mov [r10 + 8 * 11], rbx
        ; mov rdx, [rsp + VECTORS]
    );
    emit_vectors(e, wide, Direction::Store);
    dynasm!(e
        ; .arch x64
        ; cmp DWORD [rsp + LOADED], 0
    );
    let unloaded = e.jump_short_if(Condition::Equal);
    // It leaves the unit as the calling convention wants it: initialised.
    dynasm!(e ; .arch x64 ; fnsave [rsp + IMAGE]);
    e.bind_short(unloaded);
    dynasm!(e
        ; .arch x64
        ; stmxcsr [rsp + MXCSR]
        ; mov rsp, [rsp + HOST_RSP]
        ; ldmxcsr [rsp]
        ; mov eax, r9d
        ; mov rdx, r11
        ; add rsp, 8
        ; pop r15
        ; pop r14
        ; pop r13
        ; pop r12
        ; pop rbp
        ; pop rbx
        ; ret
    );
    start
}

/// Makes the table in [`Word::OtherAnchor`], which may be the same, the current one.
fn emit_switch(e: &mut Emitter) -> u64 {
    let start = e.position();
    let word = |word: Word| word.displacement();
    dynasm!(e
        ; .arch x64
        ; mov [rsp + word(Word::Target)], r9
        ; mov DWORD [rsp + word(Word::Active)], 0
        ; mov r9, [rsp + word(Word::OtherAnchor)]
    );
    for slot in 1..=SLOTS as i32 {
        dynasm!(e ; .arch x64 ; mov r10, [rsp - 8 * slot] ; mov [r9 - 8 * slot], r10);
    }
    for kept in [Word::Target, Word::Interrupt, Word::Direction, Word::KernelGsBase] {
        dynasm!(e ; .arch x64 ; mov r10, [rsp + word(kept)] ; mov [r9 + word(kept)], r10);
    }
    dynasm!(e
        ; .arch x64
        ; mov r10, [rsp + word(Word::OtherFlags)]
        ; xor r10, Flags::AC as i32
        ; mov [r9 + word(Word::OtherFlags)], r10
        ; mov r10, [rsp + POINTER]
        ; mov [r9 + POINTER], r10
        ; mov r10, [rsp + LOADED]
        ; mov [r9 + LOADED], r10
        ; mov DWORD [rsp + LOADED], 0
        ; mov [r9 + word(Word::OtherAnchor)], rsp
        ; mov rsp, r9
        ; mov DWORD [rsp + word(Word::Active)], 1
        ; jmp QWORD [rsp + word(Word::Target)]
    );
    start
}

/// Repeats the operation that set the flags, if it is a common one, and makes them raw; changes `r10`.
fn emit_load_flags(e: &mut Emitter, leave: u64) -> u64 {
    let base = emit_load_base(e, leave);
    let start = e.position();
    dynasm!(e ; .arch x64 ; cmp WORD [rsp + KIND + 2], 0);
    let _ = e.jump_if_to(Condition::Equal, base);
    dynasm!(e ; .arch x64 ; mov [rsp + Word::Target.displacement()], r9);
    let after_base = e.address_of(R9_NUMBER);
    let _ = e.jump_to(base);
    e.bind(after_base);
    for step in [Step::Down, Step::Up] {
        for size in [4, 8, 1, 2] {
            dynasm!(e ; .arch x64 ; cmp WORD [rsp + KIND + 2], top_code(step, size) as i16);
            let other = e.jump_if(Condition::NotEqual);
            emit_load_raw(e);
            emit_step(e, step, size);
            emit_save_raw(e);
            dynasm!(e ; .arch x64 ; mov DWORD [rsp + KIND], 0 ; jmp QWORD [rsp + Word::Target.displacement()]);
            e.bind(other);
        }
    }
    // Unreachable: there are no other steps.
    dynasm!(e ; .arch x64 ; ud2);
    start
}

/// As [`emit_load_flags`], INC and DEC aside.
fn emit_load_base(e: &mut Emitter, leave: u64) -> u64 {
    let start = e.position();
    dynasm!(e ; .arch x64 ; cmp WORD [rsp + KIND], 0);
    let raw = e.jump_if(Condition::Equal);
    let mut found = Vec::new();
    for kind in [Kind::Sub, Kind::Logic, Kind::SubResult, Kind::AddResult] {
        for size in [4, 8, 1, 2] {
            dynasm!(e ; .arch x64 ; cmp WORD [rsp + KIND], code(kind as u32, size) as i16);
            let other = e.jump_short_if(Condition::NotEqual);
            dynasm!(e ; .arch x64 ; mov r10, [rsp + FLAGS_A]);
            emit_repetition(e, kind, size);
            found.push(e.jump());
            e.bind_short(other);
        }
    }
    dynasm!(e ; .arch x64 ; mov r9d, [rsp + ADDRESS]);
    let _ = e.jump_to(leave);
    for jump in found {
        e.bind(jump);
    }
    emit_save_raw(e);
    dynasm!(e ; .arch x64 ; mov WORD [rsp + KIND], 0 ; jmp r9);
    e.bind(raw);
    emit_load_raw(e);
    dynasm!(e ; .arch x64 ; jmp r9);
    start
}

/// Saves the host's flags as raw ones, and leaves them as they are.
fn emit_save_raw(e: &mut Emitter) {
    dynasm!(e ; .arch x64 ; mov r10, rax ; lahf ; seto al ; mov [rsp + FLAGS_RAW], ax ; mov rax, r10);
}

/// Loads raw flags into the host's.
fn emit_load_raw(e: &mut Emitter) {
    dynasm!(e ; .arch x64 ; mov r10, rax ; movzx eax, WORD [rsp + FLAGS_RAW] ; add al, 0x7f ; sahf ; mov rax, r10);
}

/// Repeats the INC or DEC whose result is in its slot.
fn emit_step(e: &mut Emitter, step: Step, size: u8) {
    dynasm!(e ; .arch x64 ; mov r10, [rsp + FLAGS_TOP]);
    match (step, size) {
        (Step::Up, 1) => dynasm!(e ; .arch x64 ; lea r10, [r10 - 1] ; inc r10b),
        (Step::Up, 2) => dynasm!(e ; .arch x64 ; lea r10, [r10 - 1] ; inc r10w),
        (Step::Up, 4) => dynasm!(e ; .arch x64 ; lea r10, [r10 - 1] ; inc r10d),
        (Step::Up, _) => dynasm!(e ; .arch x64 ; lea r10, [r10 - 1] ; inc r10),
        (Step::Down, 1) => dynasm!(e ; .arch x64 ; lea r10, [r10 + 1] ; dec r10b),
        (Step::Down, 2) => dynasm!(e ; .arch x64 ; lea r10, [r10 + 1] ; dec r10w),
        (Step::Down, 4) => dynasm!(e ; .arch x64 ; lea r10, [r10 + 1] ; dec r10d),
        (Step::Down, _) => dynasm!(e ; .arch x64 ; lea r10, [r10 + 1] ; dec r10),
    }
}

/// Repeats an operation; its first operand is in `r10`.
fn emit_repetition(e: &mut Emitter, kind: Kind, size: u8) {
    let mut operate = |opcode: u8| {
        if size == 2 {
            e.push(0x66);
        }
        // `op r10, [rsp + slot]` of `size` bytes.
        e.push(0x44 | u8::from(size == 8) << 3);
        e.extend(&[opcode | u8::from(size != 1), 0x54, 0x24, FLAGS_B as u8]);
    };
    match kind {
        Kind::Sub => operate(0x3a),
        Kind::SubResult => {
            operate(0x02);
            operate(0x3a);
        }
        Kind::AddResult => {
            operate(0x2a);
            operate(0x02);
        }
        _ => match size {
            1 => dynasm!(e ; .arch x64 ; test r10b, r10b),
            2 => dynasm!(e ; .arch x64 ; test r10w, r10w),
            4 => dynasm!(e ; .arch x64 ; test r10d, r10d),
            _ => dynasm!(e ; .arch x64 ; test r10, r10),
        },
    }
}

/// Which way the vector registers are copied.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Load,
    Store,
}

/// Copies all vector registers from or to the array at `rdx`; wide ones are clean after a store.
fn emit_vectors(e: &mut Emitter, wide: bool, direction: Direction) {
    for number in 0..16 {
        let offset = i32::from(number) * size_of::<VectorRegister>() as i32;
        match (wide, direction) {
            (false, Direction::Load) => dynasm!(e ; .arch x64 ; movaps Rx(number), [rdx + offset]),
            (false, Direction::Store) => dynasm!(e ; .arch x64 ; movaps [rdx + offset], Rx(number)),
            (true, Direction::Load) => dynasm!(e ; .arch x64 ; vmovups Ry(number), [rdx + offset]),
            (true, Direction::Store) => dynasm!(e ; .arch x64 ; vmovups [rdx + offset], Ry(number)),
        }
    }
    if wide && direction == Direction::Store {
        dynasm!(e ; .arch x64 ; vzeroupper);
    }
}

/// A function that does nothing but serialise: `iretq` is the one instruction that does so everywhere, without a hypervisor's help
/// (Intel SDM vol. 3, 9.3 Serializing Instructions).
fn emit_serialize(e: &mut Emitter) -> u64 {
    let start = e.position();
    dynasm!(e
        ; .arch x64
        ; pop rcx
        ; mov rdx, rsp
        ; mov eax, ss
        ; push rax
        ; push rdx
        ; pushfq
        ; mov eax, cs
        ; push rax
        ; push rcx
        ; iretq
    );
    start
}

#[cfg(test)]
mod tests;
