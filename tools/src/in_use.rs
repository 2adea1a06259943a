//! Files that this process has open: what it writes must not take the place of what it reads.

use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// What tells a file from all others, by whatever name or link it is reached. Only where bytes stay, a device and its
/// number: what goes to a pipe or a terminal replaces nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Identity {
    File { device: u64, inode: u64 },
    BlockDevice(u64),
}

fn identity(file: &Metadata) -> Option<Identity> {
    let kind = file.file_type();
    if kind.is_file() {
        return Some(Identity::File { device: file.dev(), inode: file.ino() });
    }
    kind.is_block_device().then(|| Identity::BlockDevice(file.rdev()))
}

fn identity_of(path: &Path) -> Option<Identity> {
    identity(&fs::metadata(path).ok()?)
}

/// Whether both are names of one file.
pub(crate) fn are_one_file(a: &Path, b: &Path) -> bool {
    identity_of(a).is_some_and(|identity| identity_of(b) == Some(identity))
}

/// By what name this process has the file at `path` open, if it has.
pub(crate) fn open_as(path: &Path) -> Option<PathBuf> {
    let wanted = identity_of(path)?;
    let mut open = fs::read_dir("/proc/self/fd").ok()?.flatten();
    let descriptor = open.find(|descriptor| identity_of(&descriptor.path()) == Some(wanted))?;
    Some(fs::read_link(descriptor.path()).unwrap_or_else(|_| path.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn a_file_is_known_by_every_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let open = File::create(path("file")).unwrap();
        fs::hard_link(path("file"), path("hard")).unwrap();
        std::os::unix::fs::symlink(path("hard"), path("soft")).unwrap();
        fs::write(path("other"), "").unwrap();
        for name in ["file", "hard", "soft"] {
            assert!(open_as(&path(name)).is_some_and(|name| are_one_file(&name, &path("file"))), "{name}");
        }
        for name in ["other", "none", "."] {
            assert!(open_as(&path(name)).is_none() && !are_one_file(&path(name), &path("file")), "{name}");
        }
        drop(open);
        assert_eq!((open_as(&path("file")), open_as(Path::new("/dev/null"))), (None, None));
    }
}
