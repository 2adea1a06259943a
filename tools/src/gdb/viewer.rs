//! Who watches a replay: standard output has its console, and signals end the server.

use reprise_backend::Signals;
use reprise_core::backend::ChardevId;
use reprise_core::output::Output;
use rustix::event::{PollFd, PollFlags, poll};
use std::cell::RefCell;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

/// The viewer of a replay, which everyone shares who moves it.
#[derive(Clone)]
pub(crate) struct Viewer(Rc<RefCell<Eyes>>);

struct Eyes {
    console: Option<ChardevId>,
    signals: Signals,
    failed: Option<io::Error>,
}

impl Viewer {
    /// Shows what leaves by `console`.
    pub(super) fn new(console: Option<ChardevId>, signals: Signals) -> Self {
        Self(Rc::new(RefCell::new(Eyes { console, signals, failed: None })))
    }

    /// Shows what left the machine.
    pub(super) fn output(&self, output: Output) {
        let mut eyes = self.0.borrow_mut();
        if let Output::Bytes { chardev, bytes } = output
            && Some(chardev) == eyes.console
            && eyes.failed.is_none()
        {
            eyes.failed = io::stdout().write_all(&bytes).err();
        }
    }

    /// Lets the console be seen.
    pub(super) fn flush(&self) {
        let mut eyes = self.0.borrow_mut();
        if eyes.console.is_some() && eyes.failed.is_none() {
            eyes.failed = io::stdout().flush().err();
        }
    }

    /// Obeys the signals; whether the server is to end. A console that nobody reads is no reason.
    pub(super) fn has_to_end(&self) -> bool {
        let mut eyes = self.0.borrow_mut();
        eyes.signals.clear_wake();
        if eyes.signals.take_stop() {
            // It fails only for signals that do not exist.
            let _ = eyes.signals.stop_now();
        }
        eyes.signals.ending().is_some()
    }

    /// The signal that ends the server.
    pub(super) fn signal(&self) -> Option<i32> {
        self.0.borrow().signals.ending()
    }

    /// Waits until one of `bells` can be read, or a signal comes.
    pub(super) fn wait(&self, bells: &[OwnedFd]) {
        let eyes = self.0.borrow();
        let fds = bells.iter().map(AsFd::as_fd).chain([eyes.signals.wake()]);
        let mut fds: Vec<_> = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        // An error is a signal, which is looked for anyhow.
        let _ = poll(&mut fds, None);
    }
}
