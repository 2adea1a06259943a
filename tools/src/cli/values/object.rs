//! `-object`: back ends that are no device's own: sources of random numbers.

use super::{List, Named};
use crate::usage::UsageError;
use std::path::PathBuf;

/// What `-object` takes.
const OBJECTS: [&str; 2] = ["rng-random", "rng-builtin"];
/// Where random numbers come from unless the user says otherwise, as in QEMU.
const DEFAULT_RANDOM: &str = "/dev/urandom";

/// A source of random numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RngBackend {
    /// A file that yields them.
    pub path: PathBuf,
}

/// Adds what `-object text` describes to `rngs`.
pub fn add_object(text: &str, rngs: &mut Named<RngBackend>) -> Result<(), UsageError> {
    let mut list = List::parse(text);
    let kind = list.first.take().or_else(|| list.take("qom-type")).unwrap_or_default();
    let (id, path) = (list.take("id"), list.take("filename"));
    list.finish("-object", &["id", "filename"])?;
    let id = id.filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| UsageError::new(format!("-object '{text}' has no id: add id=NAME")))?;
    let path = match (kind.as_str(), path) {
        ("rng-random", path) => path.unwrap_or_else(|| DEFAULT_RANDOM.into()),
        ("rng-builtin", None) => DEFAULT_RANDOM.into(),
        ("rng-builtin", Some(_)) => return Err(UsageError::new("-object rng-builtin takes no file: use rng-random")),
        _ => return Err(UsageError::unknown("object", &kind, &OBJECTS)),
    };
    rngs.add(&id, RngBackend { path: path.into() }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use reprise_core::backend::BackendKind;

    #[test]
    fn sources_of_random_numbers_as_qemu_writes_them() {
        let mut rngs = Named::new(BackendKind::Rng);
        for text in ["rng-random,id=a", "rng-random,filename=/dev/hwrng,id=b", "rng-builtin,id=c"] {
            add_object(text, &mut rngs).unwrap();
        }
        let paths: Vec<_> = rngs.backends().iter().map(|rng| rng.path.to_str().unwrap()).collect();
        assert_eq!(paths, ["/dev/urandom", "/dev/hwrng", "/dev/urandom"]);
        for text in
            ["rng-random", "rng-egd,id=x", "rng-builtin,id=x,filename=y", "rng-random,id=a", "rng-random,id=x,y=z"]
        {
            assert!(add_object(text, &mut rngs).is_err(), "{text}");
        }
    }
}
