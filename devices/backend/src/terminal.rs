//! The host's terminal: raw while the guest's console is on it, and always put back.
//!
//! Put back when the owner is dropped, before a panic's message is printed, and around a stop by SIGTSTP. Signals that
//! end the process are caught (see [`crate::Signals`]) and end the run, which drops the owner. Only SIGKILL leaves a
//! raw terminal behind.

use rustix::process::getpgrp;
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, OutputModes, SpecialCodeIndex, Termios, isatty, tcgetattr, tcgetpgrp,
    tcsetattr,
};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic;
use std::sync::{Arc, Mutex, PoisonError, TryLockError, Weak};

/// Who gets Ctrl-C, Ctrl-Z and Ctrl-\.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalKeys {
    /// The guest gets them as bytes.
    Guest,
    /// The host's terminal makes signals of them.
    Host,
}

/// A terminal in raw mode. What it was before is put back on drop.
pub struct RawTerminal {
    settings: Arc<Mutex<Settings>>,
}

struct Settings {
    fd: OwnedFd,
    before: Termios,
    raw: Termios,
    is_raw: bool,
}

impl RawTerminal {
    /// Makes `fd` raw if it is a terminal.
    pub fn enter(fd: BorrowedFd<'_>, keys: SignalKeys) -> io::Result<Option<Self>> {
        if !isatty(fd) {
            return Ok(None);
        }
        let before = tcgetattr(fd)?;
        let raw = raw_settings(before.clone(), keys);
        let settings = Settings { fd: fd.try_clone_to_owned()?, before, raw, is_raw: false };
        let terminal = Self { settings: Arc::new(Mutex::new(settings)) };
        terminal.enter_again()?;
        put_back_on_panic(Arc::downgrade(&terminal.settings));
        Ok(Some(terminal))
    }

    /// Makes the terminal raw after [`put_back`](Self::put_back), unless this process is in its background.
    pub fn enter_again(&self) -> io::Result<()> {
        let mut settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        if !in_foreground(settings.fd.as_fd()) {
            return Ok(());
        }
        tcsetattr(&settings.fd, OptionalActions::Now, &settings.raw)?;
        settings.is_raw = true;
        Ok(())
    }

    /// Puts the terminal back as it was.
    pub fn put_back(&self) {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner).put_back();
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        self.put_back();
    }
}

impl Settings {
    fn put_back(&mut self) {
        if std::mem::take(&mut self.is_raw) {
            // There is nobody to tell if the terminal is gone.
            let _ = tcsetattr(&self.fd, OptionalActions::Now, &self.before);
        }
    }
}

/// Every byte goes through at once and unchanged. Output processing stays, so that our own messages look right.
fn raw_settings(mut settings: Termios, keys: SignalKeys) -> Termios {
    settings.input_modes -= InputModes::IGNBRK
        | InputModes::BRKINT
        | InputModes::PARMRK
        | InputModes::ISTRIP
        | InputModes::INLCR
        | InputModes::IGNCR
        | InputModes::ICRNL
        | InputModes::IXON;
    settings.output_modes |= OutputModes::OPOST;
    settings.local_modes -= LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::IEXTEN;
    match keys {
        SignalKeys::Guest => settings.local_modes -= LocalModes::ISIG,
        SignalKeys::Host => settings.local_modes |= LocalModes::ISIG,
    }
    settings.special_codes[SpecialCodeIndex::VMIN] = 1;
    settings.special_codes[SpecialCodeIndex::VTIME] = 0;
    settings
}

/// Whether this process may change the terminal without being stopped. One that is not our controlling terminal stops
/// nobody.
fn in_foreground(fd: BorrowedFd<'_>) -> bool {
    tcgetpgrp(fd).map_or(true, |group| group == getpgrp())
}

fn put_back_on_panic(settings: Weak<Mutex<Settings>>) {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if let Some(settings) = settings.upgrade() {
            match settings.try_lock() {
                Ok(mut settings) => settings.put_back(),
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner().put_back(),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        before(info);
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{Mode, OFlags, open};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    fn terminal() -> (OwnedFd, OwnedFd) {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        let name = ptsname(&controller, Vec::new()).unwrap();
        let user = open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        (controller, user)
    }

    fn is_canonical(fd: &OwnedFd) -> bool {
        let modes = tcgetattr(fd).unwrap().local_modes;
        assert_eq!(modes.contains(LocalModes::ICANON), modes.contains(LocalModes::ECHO));
        modes.contains(LocalModes::ICANON)
    }

    #[test]
    fn a_drop_puts_the_terminal_back() {
        let (_controller, user) = terminal();
        let raw = RawTerminal::enter(user.as_fd(), SignalKeys::Guest).unwrap().unwrap();
        assert!(!is_canonical(&user));
        drop(raw);
        assert!(is_canonical(&user));
    }

    #[test]
    fn a_panic_puts_the_terminal_back_before_anyone_unwinds() {
        let (_controller, user) = terminal();
        let raw = RawTerminal::enter(user.as_fd(), SignalKeys::Guest).unwrap().unwrap();
        let before = panic::catch_unwind(|| panic!("a test of panics")).is_err() && is_canonical(&user);
        assert!(before, "put back while its owner still lives");
        raw.enter_again().unwrap();
        assert!(!is_canonical(&user));
    }

    #[test]
    fn the_host_keeps_its_signal_keys_if_asked() {
        let (_controller, user) = terminal();
        let has_signals = |user: &OwnedFd| tcgetattr(user).unwrap().local_modes.contains(LocalModes::ISIG);
        let host = RawTerminal::enter(user.as_fd(), SignalKeys::Host).unwrap();
        assert!(has_signals(&user));
        drop(host);
        let _guest = RawTerminal::enter(user.as_fd(), SignalKeys::Guest).unwrap();
        assert!(!has_signals(&user));
    }

    #[test]
    fn what_is_no_terminal_is_left_alone() {
        let file = open("/dev/null", OFlags::RDWR, Mode::empty()).unwrap();
        assert!(RawTerminal::enter(file.as_fd(), SignalKeys::Guest).unwrap().is_none());
    }
}
