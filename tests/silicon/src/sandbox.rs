//! The sandbox: memory at fixed addresses, and one run at a time in it.
//!
//! A sequence runs in this process, so what keeps it from harm is that it knows no address outside
//! the sandbox, cannot make a system call (the generator sees to that), and gets a signal for all else.
#![allow(unsafe_code)] // memory at fixed addresses, and a call into machine code made at run time

use std::ffi::c_void;
use std::io;
use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::{Ordering, compiler_fence};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::crossing::{CROSSING, IN_SEQUENCE, enter, leave};
use crate::memory::{
    CODE_BASE, CODE_PAGE_LEN, DATA_BASE, DATA_LEN, EXIT_PAGE, RESERVED_BASE, RESERVED_LEN, write_code,
};
use crate::signals::{self, Signals};
use crate::state::{Fault, Outcome, UserState};

/// One sandbox a process: its addresses are fixed and signal handlers are the process's.
static LOCK: Mutex<()> = Mutex::new(());

const PAGE_LEN: usize = 0x1000;
const PAGE_FAULT: u32 = 14;
const ERROR_PRESENT: u32 = 1;
const MXCSR_RESERVED: u32 = 0xffff_0000;

/// Why the host gives no sandbox.
#[derive(Debug, thiserror::Error)]
pub enum SiliconError {
    /// The fixed addresses could not be mapped.
    #[error("cannot map the sandbox at {address:#x}: {error}")]
    Memory {
        /// The address asked for.
        address: u64,
        /// The host's reason.
        error: io::Error,
    },
    /// The host's processor lacks what the models have.
    #[error("the host's processor has no {0}: sequences need all of x86-64-v2, AES-NI and PCLMULQDQ")]
    Processor(&'static str),
    /// Signals or the timer could not be set up.
    #[error("cannot set up the sandbox's signals: {0}")]
    Signals(io::Error),
}

/// The host's processor, ready to run sequences. There is one in a process at a time, and it stays on its thread.
pub struct Silicon {
    // Dropped in this order: signals, memory, lock.
    _signals: Signals,
    memory: Memory,
    _lock: MutexGuard<'static, ()>,
    _not_send: PhantomData<*const ()>,
}

impl Silicon {
    /// Sets the sandbox up; waits while another thread has one.
    ///
    /// # Errors
    ///
    /// If the host's processor is too old, or the host refuses the memory or the signals it needs.
    pub fn new() -> Result<Self, SiliconError> {
        check_processor()?;
        let lock = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Self {
            memory: Memory::map()?,
            _signals: Signals::install().map_err(SiliconError::Signals)?,
            _lock: lock,
            _not_send: PhantomData,
        })
    }

    /// Runs `code` at [`CODE_BASE`] from that state (whose `rip` does not matter) with that data at
    /// [`DATA_BASE`], which is overwritten with what the sequence made of it.
    ///
    /// The sequence must be one that [`crate::generate::is_allowed`] accepts: the sandbox holds no
    /// system call back.
    ///
    /// # Panics
    ///
    /// If the code is too long, `data` is not [`DATA_LEN`] bytes, or MXCSR has reserved bits set.
    pub fn run(&mut self, code: &[u8], state: &UserState, data: &mut [u8]) -> Outcome {
        assert_eq!(data.len(), DATA_LEN, "the data area's length is fixed");
        assert_eq!(state.mxcsr() & MXCSR_RESERVED, 0, "MXCSR has reserved bits set");
        let mut start = state.clone();
        start.rip = CODE_BASE;
        write_code(self.memory.code(), code);
        self.memory.data().copy_from_slice(data);
        let outcome = self.cross(&start, code.len());
        data.copy_from_slice(self.memory.data());
        outcome
    }

    fn cross(&mut self, start: &UserState, code_len: usize) -> Outcome {
        signals::FAULTED.store(false, Ordering::SeqCst);
        signals::ENDLESS.store(false, Ordering::SeqCst);
        signals::RUN.fetch_add(1, Ordering::SeqCst);
        // SAFETY: `self` holds the lock, and no sequence is running.
        unsafe { CROSSING.get().load(start) };
        IN_SEQUENCE.store(true, Ordering::SeqCst);
        compiler_fence(Ordering::SeqCst);
        // SAFETY: rip is the code page, whose code ends in a jump to `leave`; MXCSR, the one thing `fxrstor64` can
        // refuse, and TF were checked or cleared; `self` keeps memory and handlers.
        unsafe { enter() };
        compiler_fence(Ordering::SeqCst);
        IN_SEQUENCE.store(false, Ordering::SeqCst);
        // SAFETY: as above; the sequence is over.
        let mut state = unsafe { CROSSING.get().store() };
        if signals::ENDLESS.load(Ordering::SeqCst) {
            Outcome::Endless
        } else if signals::FAULTED.load(Ordering::SeqCst) {
            Outcome::Fault(fault(state))
        } else {
            state.rip = CODE_BASE + code_len as u64;
            Outcome::Done(state)
        }
    }
}

fn check_processor() -> Result<(), SiliconError> {
    let features = [
        ("SSSE3", is_x86_feature_detected!("ssse3")),
        ("SSE4.2", is_x86_feature_detected!("sse4.2")),
        ("POPCNT", is_x86_feature_detected!("popcnt")),
        ("CMPXCHG16B", is_x86_feature_detected!("cmpxchg16b")),
        ("AES-NI", is_x86_feature_detected!("aes")),
        ("PCLMULQDQ", is_x86_feature_detected!("pclmulqdq")),
    ];
    match features.iter().find(|(_, present)| !present) {
        Some(&(name, _)) => Err(SiliconError::Processor(name)),
        None => Ok(()),
    }
}

/// End of what Linux calls user space: the last page below the hole belongs to nobody.
const USER_END: u64 = (1 << 47) - 0x1000;

fn fault(state: UserState) -> Fault {
    let vector = signals::VECTOR.load(Ordering::SeqCst);
    let address = signals::ADDRESS.load(Ordering::SeqCst);
    let mut error_code = signals::ERROR_CODE.load(Ordering::SeqCst);
    let is_page_fault = vector == PAGE_FAULT;
    if is_page_fault && address >= USER_END {
        error_code &= !ERROR_PRESENT;
    }
    Fault { vector: vector as u8, error_code, address: is_page_fault.then_some(address), state }
}

/// The sandbox's pages. The code page is mapped twice: sequences execute the one, the other is written.
struct Memory {
    writable_code: *mut c_void,
}

impl Memory {
    fn map() -> Result<Self, SiliconError> {
        reserve()?;
        let memory = Self { writable_code: map_code_twice()? };
        map_fixed(DATA_BASE, DATA_LEN, libc::PROT_READ | libc::PROT_WRITE, None)?;
        map_exit_page()?;
        Ok(memory)
    }

    fn code(&mut self) -> &mut [u8] {
        // SAFETY: mapped writable for CODE_PAGE_LEN bytes until drop; no sequence runs while `self` is borrowed.
        unsafe { std::slice::from_raw_parts_mut(self.writable_code.cast(), CODE_PAGE_LEN) }
    }

    fn data(&mut self) -> &mut [u8] {
        // SAFETY: mapped read-write for DATA_LEN bytes until drop; no sequence runs while `self` is borrowed.
        unsafe { std::slice::from_raw_parts_mut(DATA_BASE as *mut u8, DATA_LEN) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: both ranges were mapped by `map` and nothing points into them any more.
        unsafe {
            libc::munmap(self.writable_code, CODE_PAGE_LEN);
            libc::munmap(RESERVED_BASE as *mut c_void, RESERVED_LEN);
        }
    }
}

fn mapped(address: u64, result: *mut c_void) -> Result<*mut c_void, SiliconError> {
    if result == libc::MAP_FAILED || (address != 0 && result as u64 != address) {
        return Err(SiliconError::Memory { address, error: io::Error::last_os_error() });
    }
    Ok(result)
}

/// Takes the whole range, so that nothing else of this process is ever in it.
fn reserve() -> Result<(), SiliconError> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
    // SAFETY: MAP_FIXED_NOREPLACE replaces no mapping.
    let result = unsafe { libc::mmap(RESERVED_BASE as *mut c_void, RESERVED_LEN, libc::PROT_NONE, flags, -1, 0) };
    mapped(RESERVED_BASE, result).map(drop)
}

/// Maps pages within the reserved range: of that file, or anonymous ones.
fn map_fixed(address: u64, len: usize, protection: i32, file: Option<i32>) -> Result<(), SiliconError> {
    assert!(address >= RESERVED_BASE && address + len as u64 <= RESERVED_BASE + RESERVED_LEN as u64);
    let kind = match file {
        Some(_) => libc::MAP_SHARED,
        None => libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
    };
    // SAFETY: MAP_FIXED replaces pages of the reserved range only, which is ours.
    let result =
        unsafe { libc::mmap(address as *mut c_void, len, protection, kind | libc::MAP_FIXED, file.unwrap_or(-1), 0) };
    mapped(address, result).map(drop)
}

fn map_code_twice() -> Result<*mut c_void, SiliconError> {
    // SAFETY: the descriptor is ours and closed once both mappings hold the file.
    unsafe {
        let file = libc::memfd_create(c"sandbox code".as_ptr(), libc::MFD_CLOEXEC);
        if file < 0 || libc::ftruncate(file, CODE_PAGE_LEN as i64) != 0 {
            return Err(SiliconError::Memory { address: CODE_BASE, error: io::Error::last_os_error() });
        }
        let executable = map_fixed(CODE_BASE, CODE_PAGE_LEN, libc::PROT_READ | libc::PROT_EXEC, Some(file));
        let writable =
            libc::mmap(ptr::null_mut(), CODE_PAGE_LEN, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, file, 0);
        libc::close(file);
        executable?;
        let writable = mapped(0, writable)?;
        ptr::copy_nonoverlapping(crate::memory::code_page(&[]).as_ptr(), writable.cast(), CODE_PAGE_LEN);
        Ok(writable)
    }
}

fn map_exit_page() -> Result<(), SiliconError> {
    map_fixed(EXIT_PAGE, PAGE_LEN, libc::PROT_READ | libc::PROT_WRITE, None)?;
    // SAFETY: the page was just mapped writable, and stays readable.
    let result = unsafe {
        (EXIT_PAGE as *mut u64).write(leave as *const () as u64);
        libc::mprotect(EXIT_PAGE as *mut c_void, PAGE_LEN, libc::PROT_READ)
    };
    if result != 0 {
        return Err(SiliconError::Memory { address: EXIT_PAGE, error: io::Error::last_os_error() });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
