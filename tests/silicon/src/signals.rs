//! A sequence's exceptions, as the signals Linux makes of them.
//!
//! The handler copies the interrupted state out of the signal frame and has the kernel continue at
//! [`resume`](crate::crossing::resume) instead. A signal that is not a sequence's goes to whoever
//! handled it before. A timer on the thread's processor time ends sequences that do not end by themselves.
#![allow(unsafe_code)] // sigaction, sigaltstack and the signal frame are C interfaces made of raw pointers

use std::cell::UnsafeCell;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};

use crate::crossing::{CROSSING, IN_SEQUENCE, resume};
use crate::memory::{CODE_BASE, CODE_PAGE_LEN};

/// The fault that ended the last run, if one did. Written by the handler, on the thread that runs the sequence.
pub(crate) static FAULTED: AtomicBool = AtomicBool::new(false);
pub(crate) static VECTOR: AtomicU32 = AtomicU32::new(0);
pub(crate) static ERROR_CODE: AtomicU32 = AtomicU32::new(0);
pub(crate) static ADDRESS: AtomicU64 = AtomicU64::new(0);

/// Counts runs, so that the timer can tell a long one from the next.
pub(crate) static RUN: AtomicU64 = AtomicU64::new(0);
/// Set when the timer ended the last run.
pub(crate) static ENDLESS: AtomicBool = AtomicBool::new(false);

static RUN_AT_LAST_TICK: AtomicU64 = AtomicU64::new(0);
static SANDBOX_THREAD: AtomicI32 = AtomicI32::new(0);

const FAULT_SIGNALS: [i32; 5] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP];
const TICK_SIGNAL: i32 = libc::SIGVTALRM;
const TICK_NANOSECONDS: i64 = 10_000_000;
const ALTERNATE_STACK_LEN: usize = 256 * 1024;
const PAGE_FAULT: i64 = 14;

struct Previous(UnsafeCell<[MaybeUninit<libc::sigaction>; FAULT_SIGNALS.len()]>);

// SAFETY: written while the handlers are being installed under the sandbox's lock, only read afterwards.
unsafe impl Sync for Previous {}

static PREVIOUS: Previous = Previous(UnsafeCell::new([const { MaybeUninit::uninit() }; FAULT_SIGNALS.len()]));

/// The signal set-up of the thread that runs sequences. Dropping it puts back what was there.
pub(crate) struct Signals {
    timer: libc::timer_t,
    previous_tick: libc::sigaction,
    previous_stack: libc::stack_t,
    // Keeps the alternate stack's memory.
    _stack: Vec<u8>,
}

impl Signals {
    /// The caller holds the sandbox's lock.
    pub(crate) fn install() -> io::Result<Self> {
        let mut stack = vec![0u8; ALTERNATE_STACK_LEN];
        let previous_stack = use_alternate_stack(&mut stack)?;
        // SAFETY: gettid has no preconditions.
        SANDBOX_THREAD.store(unsafe { libc::gettid() }, Ordering::SeqCst);
        for (slot, signal) in FAULT_SIGNALS.into_iter().enumerate() {
            let previous = set_action(signal, on_fault as *const () as usize, libc::SA_NODEFER)?;
            // SAFETY: under the lock; a handler that reads the slot does so only once its signal is ours.
            unsafe { (*PREVIOUS.0.get())[slot].write(previous) };
        }
        let previous_tick = set_action(TICK_SIGNAL, on_tick as *const () as usize, libc::SA_RESTART)?;
        Ok(Self { timer: start_timer()?, previous_tick, previous_stack, _stack: stack })
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // SAFETY: the timer is ours; the actions and the stack are those that were in force before.
        unsafe {
            libc::timer_delete(self.timer);
            // A tick that is already pending must not kill the process.
            let mut ignore: libc::sigaction = self.previous_tick;
            ignore.sa_sigaction = libc::SIG_IGN;
            libc::sigaction(TICK_SIGNAL, &ignore, ptr::null_mut());
            libc::sigaction(TICK_SIGNAL, &self.previous_tick, ptr::null_mut());
            for (slot, signal) in FAULT_SIGNALS.into_iter().enumerate() {
                let previous = (*PREVIOUS.0.get())[slot].assume_init_ref();
                libc::sigaction(signal, previous, ptr::null_mut());
            }
            libc::sigaltstack(&self.previous_stack, ptr::null_mut());
        }
    }
}

fn checked(result: i32) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn use_alternate_stack(memory: &mut [u8]) -> io::Result<libc::stack_t> {
    let stack = libc::stack_t { ss_sp: memory.as_mut_ptr().cast(), ss_flags: 0, ss_size: memory.len() };
    let mut previous = MaybeUninit::uninit();
    // SAFETY: the memory lives as long as `Signals`, which puts the previous stack back when dropped.
    unsafe {
        checked(libc::sigaltstack(&stack, previous.as_mut_ptr()))?;
        Ok(previous.assume_init())
    }
}

fn set_action(signal: i32, handler: usize, flags: i32) -> io::Result<libc::sigaction> {
    // SAFETY: all zero is a valid sigaction; the handler has the signature SA_SIGINFO asks for.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | flags;
        libc::sigemptyset(&mut action.sa_mask);
        let mut previous = MaybeUninit::uninit();
        checked(libc::sigaction(signal, &action, previous.as_mut_ptr()))?;
        Ok(previous.assume_init())
    }
}

/// A tick for this thread for every so much of processor time it uses: a busy machine makes no sequence endless.
fn start_timer() -> io::Result<libc::timer_t> {
    let period = libc::timespec { tv_sec: 0, tv_nsec: TICK_NANOSECONDS };
    let setting = libc::itimerspec { it_interval: period, it_value: period };
    // SAFETY: all zero is a valid sigevent; the thread named in it is the current one.
    unsafe {
        let mut event: libc::sigevent = std::mem::zeroed();
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = TICK_SIGNAL;
        event.sigev_notify_thread_id = libc::gettid();
        let mut timer = ptr::null_mut();
        checked(libc::timer_create(libc::CLOCK_THREAD_CPUTIME_ID, &mut event, &mut timer))?;
        checked(libc::timer_settime(timer, 0, &setting, ptr::null_mut()))?;
        Ok(timer)
    }
}

extern "C" fn on_fault(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::ucontext_t) {
    // SAFETY: gettid has no preconditions.
    let thread = unsafe { libc::gettid() };
    if !IN_SEQUENCE.load(Ordering::SeqCst) || thread != SANDBOX_THREAD.load(Ordering::SeqCst) {
        pass_on(signal, info, context);
        return;
    }
    // SAFETY: the kernel passes a valid context to a handler with SA_SIGINFO.
    let context = unsafe { &mut *context };
    let registers = &context.uc_mcontext.gregs;
    let vector = registers[libc::REG_TRAPNO as usize];
    VECTOR.store(vector as u32, Ordering::SeqCst);
    ERROR_CODE.store(registers[libc::REG_ERR as usize] as u32, Ordering::SeqCst);
    let address = if vector == PAGE_FAULT { registers[libc::REG_CR2 as usize] } else { 0 };
    ADDRESS.store(address as u64, Ordering::SeqCst);
    FAULTED.store(true, Ordering::SeqCst);
    store_interrupted(context);
    continue_at_resume(context);
}

extern "C" fn on_tick(_: i32, _: *mut libc::siginfo_t, context: *mut libc::ucontext_t) {
    if !IN_SEQUENCE.load(Ordering::SeqCst) {
        return;
    }
    let run = RUN.load(Ordering::SeqCst);
    if RUN_AT_LAST_TICK.swap(run, Ordering::SeqCst) != run {
        return;
    }
    // SAFETY: the kernel passes a valid context to a handler with SA_SIGINFO.
    let context = unsafe { &mut *context };
    let rip = context.uc_mcontext.gregs[libc::REG_RIP as usize] as u64;
    // Elsewhere it is on its way in or out, or about to fault.
    if (CODE_BASE..CODE_BASE + CODE_PAGE_LEN as u64).contains(&rip) {
        ENDLESS.store(true, Ordering::SeqCst);
        continue_at_resume(context);
    }
}

fn store_interrupted(context: &libc::ucontext_t) {
    // The kernel's order of the general registers, as indices of the encoding's order.
    const GREGS: [i32; 16] = [
        libc::REG_RAX,
        libc::REG_RCX,
        libc::REG_RDX,
        libc::REG_RBX,
        libc::REG_RSP,
        libc::REG_RBP,
        libc::REG_RSI,
        libc::REG_RDI,
        libc::REG_R8,
        libc::REG_R9,
        libc::REG_R10,
        libc::REG_R11,
        libc::REG_R12,
        libc::REG_R13,
        libc::REG_R14,
        libc::REG_R15,
    ];
    let machine = &context.uc_mcontext;
    // SAFETY: this handler interrupted a sequence on the thread that holds the sandbox's lock.
    let crossing = unsafe { CROSSING.get() };
    for (register, index) in crossing.gpr.iter_mut().zip(GREGS) {
        *register = machine.gregs[index as usize] as u64;
    }
    crossing.rip = machine.gregs[libc::REG_RIP as usize] as u64;
    crossing.rflags = machine.gregs[libc::REG_EFL as usize] as u64;
    // SAFETY: on x86-64 the frame always has an FXSAVE image, of which `fpregs` points to the first byte.
    crossing.fx = unsafe { ptr::read_unaligned(machine.fpregs.cast::<[u8; 512]>()) };
    // SAFETY: as above.
    crossing.high = unsafe { upper_halves(machine.fpregs.cast()) };
}

/// The upper halves of the YMM registers in a signal frame's XSAVE area (SDM vol. 1, 13.4 XSAVE Area); its legacy region
/// says in bytes that are the system's whether there is more (`struct _fpx_sw_bytes` of Linux).
///
/// # Safety
///
/// `area` points to the floating-point state of a signal frame.
unsafe fn upper_halves(area: *const u8) -> [u128; 16] {
    const EXTENDED: u32 = 0x4650_5853;
    const MAGIC: usize = 464;
    const XSTATE_BV: usize = 512;
    const AVX: u64 = 1 << 2;
    const UPPER_HALVES: usize = 576;
    // SAFETY: the legacy region is always there; the header and, with its bit set, the AVX component follow if the
    // magic number says so.
    unsafe {
        let is_extended = ptr::read_unaligned(area.add(MAGIC).cast::<u32>()) == EXTENDED;
        if is_extended && ptr::read_unaligned(area.add(XSTATE_BV).cast::<u64>()) & AVX != 0 {
            return ptr::read_unaligned(area.add(UPPER_HALVES).cast());
        }
    }
    [0; 16]
}

fn continue_at_resume(context: &mut libc::ucontext_t) {
    const INTERRUPTS_ON: i64 = 0x202;
    let registers = &mut context.uc_mcontext.gregs;
    registers[libc::REG_RIP as usize] = resume as *const () as i64;
    // Clears TF above all: `resume` is not to be single-stepped.
    registers[libc::REG_EFL as usize] = INTERRUPTS_ON;
}

/// Not ours: what was installed before decides.
fn pass_on(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::ucontext_t) {
    let slot = FAULT_SIGNALS.iter().position(|&ours| ours == signal);
    let Some(slot) = slot else { return };
    // SAFETY: the slot was written when this handler was installed, and what it holds came from sigaction.
    unsafe {
        let previous = (*PREVIOUS.0.get())[slot].assume_init_ref();
        match previous.sa_sigaction {
            libc::SIG_DFL | libc::SIG_IGN => {
                // The instruction faults again, and then kills the process as it should.
                libc::signal(signal, libc::SIG_DFL);
            }
            handler if previous.sa_flags & libc::SA_SIGINFO != 0 => {
                let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::ucontext_t) =
                    std::mem::transmute(handler);
                handler(signal, info, context);
            }
            handler => {
                let handler: extern "C" fn(i32) = std::mem::transmute(handler);
                handler(signal);
            }
        }
    }
}
