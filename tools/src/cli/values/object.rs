//! `-object`: what is no device's own: sources of random numbers, and files for the frames of networks.

use super::netdev::dump;
use super::{BackendOptions, List};
use crate::usage::UsageError;
use std::path::PathBuf;

/// What `-object` takes.
const OBJECTS: [&str; 3] = ["rng-random", "rng-builtin", "filter-dump"];
/// Where random numbers come from unless the user says otherwise, as in QEMU.
const DEFAULT_RANDOM: &str = "/dev/urandom";

/// A source of random numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RngBackend {
    /// A file that yields them.
    pub path: PathBuf,
}

/// Adds what `-object text` describes to `backends`.
pub fn add_object(text: &str, backends: &mut BackendOptions) -> Result<(), UsageError> {
    let mut list = List::parse(text);
    let kind = list.first.take().or_else(|| list.take("qom-type")).unwrap_or_default();
    let id = list.take("id").filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| UsageError::new(format!("-object '{text}' has no id: add id=NAME")))?;
    if kind == "filter-dump" {
        backends.dumps.push(dump::parse(text, list, &backends.netdevs)?);
        return Ok(());
    }
    let path = list.take("filename");
    list.finish("-object", &["id", "filename"])?;
    let path = match (kind.as_str(), path) {
        ("rng-random", path) => path.unwrap_or_else(|| DEFAULT_RANDOM.into()),
        ("rng-builtin", None) => DEFAULT_RANDOM.into(),
        ("rng-builtin", Some(_)) => return Err(UsageError::new("-object rng-builtin takes no file: use rng-random")),
        _ => return Err(UsageError::unknown("object", &kind, &OBJECTS)),
    };
    backends.rngs.add(&id, RngBackend { path: path.into() }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_of_random_numbers_as_qemu_writes_them() {
        let mut backends = BackendOptions::default();
        for text in ["rng-random,id=a", "rng-random,filename=/dev/hwrng,id=b", "rng-builtin,id=c"] {
            add_object(text, &mut backends).unwrap();
        }
        let paths: Vec<_> = backends.rngs.backends().iter().map(|rng| rng.path.to_str().unwrap()).collect();
        assert_eq!(paths, ["/dev/urandom", "/dev/hwrng", "/dev/urandom"]);
        for text in
            ["rng-random", "rng-egd,id=x", "rng-builtin,id=x,filename=y", "rng-random,id=a", "rng-random,id=x,y=z"]
        {
            assert!(add_object(text, &mut backends).is_err(), "{text}");
        }
    }
}
