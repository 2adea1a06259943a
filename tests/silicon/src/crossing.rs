//! The crossing between the host's code and a sequence: all registers out, all registers in.
//!
//! A sequence owns every register, so on its side no register can point at anything of ours: the state lies
//! in one static, reached relative to rip. [`enter`] loads the sequence's state and jumps to it; the jump at the
//! sequence's end leads to [`leave`], which stores the state; a signal handler that has stored it already continues
//! at [`resume`], which only puts the host's state back and returns from `enter`.
#![allow(unsafe_code)] // naked functions, and a static shared with a signal handler: there is no safe way to do either

use std::arch::naked_asm;
use std::cell::UnsafeCell;
use std::mem::offset_of;
use std::sync::atomic::AtomicBool;

use crate::state::UserState;

/// Set from just before `enter` to just after it: a fault in between is the sequence's.
pub(crate) static IN_SEQUENCE: AtomicBool = AtomicBool::new(false);

/// The state that crosses. `fxrstor` wants its area aligned to 16.
#[repr(C, align(64))]
pub(crate) struct Crossing {
    pub(crate) fx: [u8; 512],
    pub(crate) high: [u128; 16],
    pub(crate) gpr: [u64; 16],
    pub(crate) rip: u64,
    pub(crate) rflags: u64,
    host_rsp: u64,
    /// Whether there are YMM registers: 1 or 0.
    avx: u64,
}

/// The one crossing of this process.
pub(crate) struct CrossingCell(UnsafeCell<Crossing>);

// SAFETY: only the thread that holds the sandbox's lock touches the contents: itself between runs, and during
// a run the functions below and the signal handlers, which interrupt that thread and no other.
unsafe impl Sync for CrossingCell {}

pub(crate) static CROSSING: CrossingCell = CrossingCell(UnsafeCell::new(Crossing {
    fx: [0; 512],
    high: [0; 16],
    gpr: [0; 16],
    rip: 0,
    rflags: 0,
    host_rsp: 0,
    avx: 0,
}));

impl CrossingCell {
    /// # Safety
    ///
    /// The caller holds the sandbox's lock, or is a signal handler that interrupted a sequence on the thread
    /// that does; and no other reference from here is alive.
    #[expect(clippy::mut_from_ref, reason = "the lock outside makes the access exclusive")]
    pub(crate) unsafe fn get(&self) -> &mut Crossing {
        // SAFETY: the caller promises exclusive access.
        unsafe { &mut *self.0.get() }
    }
}

impl Crossing {
    pub(crate) fn load(&mut self, state: &UserState) {
        self.fx = state.fx;
        self.high = state.high;
        self.avx = u64::from(is_x86_feature_detected!("avx"));
        self.gpr = state.gpr;
        self.rip = state.rip;
        self.rflags = UserState::sane_rflags(state.rflags);
    }

    pub(crate) fn store(&self) -> UserState {
        let rflags = UserState::sane_rflags(self.rflags);
        UserState { gpr: self.gpr, rip: self.rip, rflags, fx: self.fx, high: self.high }
    }
}

/// Runs the state in [`CROSSING`] until it comes to [`leave`] or [`resume`].
///
/// # Safety
///
/// The state's rip lies in the sandbox, `fxrstor64` accepts its image, its TF is clear, and the signal
/// handlers are installed.
#[unsafe(naked)]
pub(crate) unsafe extern "sysv64" fn enter() {
    naked_asm!(
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "sub rsp, 8",
        "stmxcsr [rsp]",
        "fnstcw [rsp + 4]",
        "mov [rip + {c} + {host_rsp}], rsp",
        "fxrstor64 [rip + {c} + {fx}]",
        "cmp qword ptr [rip + {c} + {avx}], 0",
        "je 2f",
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
        "vinsertf128 ymm\\n, ymm\\n, xmmword ptr [rip + {c} + {high} + 16 * \\n], 1",
        ".endr",
        "2:",
        "push qword ptr [rip + {c} + {rflags}]",
        "popfq",
        "mov rax, [rip + {c} + {gpr}]",
        "mov rcx, [rip + {c} + {gpr} + 8]",
        "mov rdx, [rip + {c} + {gpr} + 16]",
        "mov rbx, [rip + {c} + {gpr} + 24]",
        "mov rsp, [rip + {c} + {gpr} + 32]",
        "mov rbp, [rip + {c} + {gpr} + 40]",
        "mov rsi, [rip + {c} + {gpr} + 48]",
        "mov rdi, [rip + {c} + {gpr} + 56]",
        "mov r8, [rip + {c} + {gpr} + 64]",
        "mov r9, [rip + {c} + {gpr} + 72]",
        "mov r10, [rip + {c} + {gpr} + 80]",
        "mov r11, [rip + {c} + {gpr} + 88]",
        "mov r12, [rip + {c} + {gpr} + 96]",
        "mov r13, [rip + {c} + {gpr} + 104]",
        "mov r14, [rip + {c} + {gpr} + 112]",
        "mov r15, [rip + {c} + {gpr} + 120]",
        "jmp qword ptr [rip + {c} + {rip}]",
        c = sym CROSSING,
        fx = const offset_of!(Crossing, fx),
        high = const offset_of!(Crossing, high),
        avx = const offset_of!(Crossing, avx),
        gpr = const offset_of!(Crossing, gpr),
        rip = const offset_of!(Crossing, rip),
        rflags = const offset_of!(Crossing, rflags),
        host_rsp = const offset_of!(Crossing, host_rsp),
    )
}

/// Where a sequence's end leads: stores its state and goes on as [`resume`].
///
/// # Safety
///
/// Only to be reached by a jump from a sequence that [`enter`] started.
#[unsafe(naked)]
pub(crate) unsafe extern "sysv64" fn leave() {
    naked_asm!(
        "mov [rip + {c} + {gpr}], rax",
        "mov [rip + {c} + {gpr} + 8], rcx",
        "mov [rip + {c} + {gpr} + 16], rdx",
        "mov [rip + {c} + {gpr} + 24], rbx",
        "mov [rip + {c} + {gpr} + 32], rsp",
        "mov [rip + {c} + {gpr} + 40], rbp",
        "mov [rip + {c} + {gpr} + 48], rsi",
        "mov [rip + {c} + {gpr} + 56], rdi",
        "mov [rip + {c} + {gpr} + 64], r8",
        "mov [rip + {c} + {gpr} + 72], r9",
        "mov [rip + {c} + {gpr} + 80], r10",
        "mov [rip + {c} + {gpr} + 88], r11",
        "mov [rip + {c} + {gpr} + 96], r12",
        "mov [rip + {c} + {gpr} + 104], r13",
        "mov [rip + {c} + {gpr} + 112], r14",
        "mov [rip + {c} + {gpr} + 120], r15",
        "mov rsp, [rip + {c} + {host_rsp}]",
        "pushfq",
        "pop qword ptr [rip + {c} + {rflags}]",
        "fxsave64 [rip + {c} + {fx}]",
        "cmp qword ptr [rip + {c} + {avx}], 0",
        "je 2f",
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
        "vextractf128 xmmword ptr [rip + {c} + {high} + 16 * \\n], ymm\\n, 1",
        ".endr",
        "2:",
        "jmp {resume}",
        c = sym CROSSING,
        fx = const offset_of!(Crossing, fx),
        high = const offset_of!(Crossing, high),
        avx = const offset_of!(Crossing, avx),
        gpr = const offset_of!(Crossing, gpr),
        rflags = const offset_of!(Crossing, rflags),
        host_rsp = const offset_of!(Crossing, host_rsp),
        resume = sym resume,
    )
}

/// Puts the host's registers back and returns to the caller of [`enter`].
///
/// # Safety
///
/// Only to be reached while a sequence that [`enter`] started is running.
#[unsafe(naked)]
pub(crate) unsafe extern "sysv64" fn resume() {
    naked_asm!(
        "mov rsp, [rip + {c} + {host_rsp}]",
        "push 2",
        "popfq",
        "fninit",
        "fldcw [rsp + 4]",
        "ldmxcsr [rsp]",
        "cmp qword ptr [rip + {c} + {avx}], 0",
        "je 2f",
        "vzeroupper",
        "2:",
        "add rsp, 8",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
        "ret",
        c = sym CROSSING,
        avx = const offset_of!(Crossing, avx),
        host_rsp = const offset_of!(Crossing, host_rsp),
    )
}
