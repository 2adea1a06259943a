//! Locks on image files, as QEMU's docs and block/file-posix.c have them, so that each sees the other's.
//!
//! A byte of the file stands for each permission: locked at 100 + n, "I use it"; locked at 200 + n, "others must not". The
//! locks belong to the open file and go with it.

use super::Locking;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc::{self, flock};
use std::fs::File;
use std::io;

/// The bytes of permissions in use.
const USED: i64 = 100;
/// The bytes of permissions that others must not use.
const UNSHARED: i64 = 200;

/// Permissions: the contents make sense, they are changed, the size is changed.
const CONSISTENT_READ: i64 = 0;
const WRITE: i64 = 1;
const RESIZE: i64 = 3;

/// What a user of an image does with it, and what others must not.
#[derive(Clone, Copy)]
pub(super) struct Use {
    pub(super) writes: bool,
    pub(super) share_writes: bool,
}

impl Use {
    fn used(self) -> &'static [i64] {
        if self.writes { &[CONSISTENT_READ, WRITE, RESIZE] } else { &[CONSISTENT_READ] }
    }

    fn unshared(self) -> &'static [i64] {
        if self.share_writes { &[] } else { &[WRITE, RESIZE] }
    }
}

/// Locks `file` for what is done with it, or says who is in the way.
pub(super) fn lock(file: &File, wanted: Use, locking: Locking) -> Result<(), String> {
    match (try_lock(file, wanted), locking) {
        (_, Locking::Off) | (Ok(None), _) => Ok(()),
        (Ok(Some(reason)), _) => Err(reason.into()),
        (Err(error), Locking::On) => Err(format!("cannot be locked: {error}")),
        (Err(error), Locking::Auto) => {
            log::debug!("an image is used without locks: {error}");
            Ok(())
        }
    }
}

/// Locks first and looks then, so that of two who come at once at least one sees the other.
fn try_lock(file: &File, wanted: Use) -> io::Result<Option<&'static str>> {
    let bytes = wanted.used().iter().map(|permission| USED + permission);
    for byte in bytes.chain(wanted.unshared().iter().map(|permission| UNSHARED + permission)) {
        fcntl(file, FcntlArg::F_OFD_SETLK(&at(byte, libc::F_RDLCK)))?;
    }
    for permission in wanted.used() {
        if is_locked_by_others(file, UNSHARED + permission)? {
            return Ok(Some(
                "another program uses it and does not let others write to it; is it running in a machine?",
            ));
        }
    }
    for permission in wanted.unshared() {
        if is_locked_by_others(file, USED + permission)? {
            return Ok(Some(
                "another program may write to it; end that first, or add share-rw=on to read what may change",
            ));
        }
    }
    Ok(None)
}

fn at(byte: i64, kind: libc::c_int) -> flock {
    flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: byte,
        l_len: 1,
        l_pid: 0,
    }
}

fn is_locked_by_others(file: &File, byte: i64) -> io::Result<bool> {
    let mut found = at(byte, libc::F_WRLCK);
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut found))?;
    Ok(found.l_type != libc::F_UNLCK as libc::c_short)
}
