//! Signals that end or stop the process, turned into something that the run loop sees between two instructions.

use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use signal_hook::{flag, low_level};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Signals that end the run.
const ENDING: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/// The signals caught so far.
pub struct Signals {
    /// Readable when any signal has come.
    wake: UnixStream,
    ending: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    go_on: Arc<AtomicBool>,
}

impl Signals {
    /// Catches the signals from now on; those that the process was told to ignore (nohup, say) stay ignored.
    pub fn catch() -> io::Result<Self> {
        let (signals, waker) = Self::catch_with_waker()?;
        for (signal, seen) in [(SIGTSTP, &signals.stop), (SIGCONT, &signals.go_on)] {
            flag::register(signal, Arc::clone(seen))?;
            low_level::pipe::register(signal, waker.try_clone()?)?;
        }
        Ok(signals)
    }

    /// Catches only those that end: for who has something to clean up, and no terminal to put back before a stop.
    pub fn catch_ending() -> io::Result<Self> {
        Self::catch_with_waker().map(|(signals, _)| signals)
    }

    fn catch_with_waker() -> io::Result<(Self, UnixStream)> {
        let (wake, waker) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let signals = Self { wake, ending: Arc::default(), stop: Arc::default(), go_on: Arc::default() };
        let ignored = ignored_signals();
        for signal in ENDING.into_iter().filter(|signal| ignored & 1 << (signal - 1) == 0) {
            flag::register_usize(signal, Arc::clone(&signals.ending), signal as usize)?;
            low_level::pipe::register(signal, waker.try_clone()?)?;
        }
        Ok((signals, waker))
    }

    /// What becomes readable when a signal has come.
    pub fn wake(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Forgets that [`wake`](Self::wake) was readable.
    pub fn clear_wake(&mut self) {
        let mut buffer = [0; 64];
        while io::Read::read(&mut self.wake, &mut buffer).is_ok_and(|count| count == buffer.len()) {}
    }

    /// The signal that ends the run, if one has come.
    pub fn ending(&self) -> Option<i32> {
        match self.ending.load(Ordering::Relaxed) {
            0 => None,
            signal => Some(signal as i32),
        }
    }

    /// Whether the process is asked to stop; asks once.
    pub fn take_stop(&self) -> bool {
        self.stop.swap(false, Ordering::Relaxed)
    }

    /// Whether the process was stopped and goes on; tells once.
    pub fn take_go_on(&self) -> bool {
        self.go_on.swap(false, Ordering::Relaxed)
    }

    /// Stops the process as SIGTSTP does by default; returns when it goes on.
    pub fn stop_now(&self) -> io::Result<()> {
        low_level::emulate_default_handler(SIGTSTP)
    }
}

/// Dies of `signal` as if it had not been caught, so that whoever started us sees why.
pub fn die_of(signal: i32) -> io::Result<()> {
    low_level::emulate_default_handler(signal)
}

/// The mask of ignored signals, bit n-1 for signal n (proc(5), /proc/pid/status).
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
