//! What tests of random runs share: how many, on which engines, into which file.

use reprise::engine::EngineKind;
use std::path::PathBuf;

/// So many, or as many times more as the environment asks for.
///
/// # Panics
///
/// If `REPRISE_SEEDS` is no number.
#[must_use]
pub fn seeds(count: u64) -> u64 {
    count * std::env::var("REPRISE_SEEDS").map_or(1, |times| times.parse().expect("REPRISE_SEEDS is a number"))
}

/// The engines of the two runs of a seed: with the others every pair comes up.
#[must_use]
pub fn engines(seed: u64) -> [EngineKind; 2] {
    let (all, seed) = (EngineKind::ALL, seed as usize);
    [all[seed % all.len()], all[(seed + 1 + seed / 2 / all.len()) % all.len()]].map(|(_, engine)| engine)
}

/// A recording that goes away with its test.
#[derive(Debug)]
pub struct Temporary(pub PathBuf);

impl Temporary {
    /// One of that name, and of this process.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("reprise-{}-{name}.rpr", std::process::id())))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
