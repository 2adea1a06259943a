//! Which standard streams were open when the program started.
//!
//! Before `main`, Rust's runtime opens /dev/null in place of those that were not, so that no file opened later takes
//! their numbers. A console on a closed standard output would then run without a word, and without anyone to hear it.
//! So this looks before the runtime does: a function that the C library calls while it starts the program.

use std::sync::atomic::{AtomicBool, Ordering};

static STDOUT_WAS_CLOSED: AtomicBool = AtomicBool::new(false);

/// Whether standard output was closed when the program started.
pub(crate) fn stdout_was_closed() -> bool {
    STDOUT_WAS_CLOSED.load(Ordering::Relaxed)
}

extern "C" fn look() {
    let closed = rustix::io::fcntl_getfd(rustix::stdio::stdout()).is_err();
    STDOUT_WAS_CLOSED.store(closed, Ordering::Relaxed);
}

// SAFETY: `.init_array` holds pointers to functions that take at most (argc, argv, envp) and return nothing, called once
// before `main` (System V ABI, Initialization and Termination Functions). `look` needs nothing of Rust's runtime: it makes
// one system call and stores into an atomic.
#[allow(unsafe_code)]
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;
