//! The Debian guests: the release's kernel, the newer one from its backports, and an initramfs whose
//! work has one right answer.
//!
//! `tests/debian/fetch` brings them into `.cache/debian`. A test that needs them and cannot have them
//! fails: a boot that was not tried must not look like one that worked.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Which of Debian's two kernels for this release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// The release's own `linux-image-amd64`.
    Stable,
    /// `linux-image-amd64` from the release's backports.
    Backports,
}

impl Suite {
    /// Both kernels, for tests that boot each.
    pub const ALL: [Self; 2] = [Self::Stable, Self::Backports];

    /// The suite's name: also its folder in the cache.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Backports => "backports",
        }
    }
}

/// The bzImage of that suite's kernel, fetched if it is not there yet.
///
/// # Panics
///
/// If it cannot be fetched.
#[must_use]
pub fn kernel(suite: Suite) -> PathBuf {
    fetched(&format!("{}/vmlinuz", suite.name()))
}

/// The initramfs, fetched and built if it is not there or older than its scripts.
///
/// # Panics
///
/// If it cannot be built.
#[must_use]
pub fn initramfs() -> PathBuf {
    fetched("initramfs.cpio.gz")
}

/// What the work script prints on a machine with that many processors, a line each without line ends.
#[must_use]
pub fn work_output(processors: usize) -> Vec<String> {
    let fixed = include_str!("../debian/work.expected");
    let mut lines = vec![format!("work: {processors} processors")];
    lines.extend(fixed.lines().map(str::to_owned));
    lines
}

/// The lines of the work script in a guest's console output.
#[must_use]
pub fn work_lines(console: &str) -> Vec<&str> {
    let lines = console.lines().map(str::trim_end);
    lines.filter(|line| line.starts_with("work: ")).collect()
}

fn fetched(piece: &str) -> PathBuf {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a folder of the tree");
    let script = top.join("tests/debian/fetch");
    // Idempotent and quick when everything is there; concurrent calls wait for one another.
    let status = Command::new(&script).stdin(Stdio::null()).status();
    let status = status.unwrap_or_else(|error| panic!("cannot run {}: {error}", script.display()));
    assert!(status.success(), "{} failed ({status}): run it by hand to see why", script.display());
    let path = top.join(".cache/debian").join(piece);
    assert!(path.exists(), "{} made no {}", script.display(), path.display());
    path
}
