//! A host that has other things to do.

use std::hint;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

/// A thread that keeps another of the host's cores busy until this is dropped.
pub struct BusyHost {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl BusyHost {
    /// A host that is busy from now on.
    #[must_use]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        Self { stop, thread: Some(thread::spawn(move || burn(&seen))) }
    }
}

fn burn(stop: &AtomicBool) {
    let mut value = 0u64;
    while !stop.load(Ordering::Relaxed) {
        value = hint::black_box(value.wrapping_mul(31).wrapping_add(7));
    }
}

impl Drop for BusyHost {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has no result, and cannot panic.
            let _ = thread.join();
        }
    }
}
