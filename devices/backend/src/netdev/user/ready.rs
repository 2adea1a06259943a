//! Which of the host's sockets have something to do.

use rustix::event::{PollFd, Timespec, poll};

/// The keys of those that are ready now.
pub(super) fn ready<K>(watched: Vec<(K, PollFd<'_>)>) -> Vec<K> {
    if watched.is_empty() {
        return Vec::new();
    }
    let (keys, mut fds): (Vec<K>, Vec<PollFd<'_>>) = watched.into_iter().unzip();
    // A signal interrupts it: then we look again soon.
    if poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_err() {
        return Vec::new();
    }
    keys.into_iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty()).map(|(key, _)| key).collect()
}
