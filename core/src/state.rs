//! Saved state: one encoding for everything that goes into checkpoints and fingerprints.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Largest saved state of one part, in bytes; a claim beyond it is damage.
pub const STATE_LIMIT: usize = 1 << 28;

/// Why saved state was not taken over.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// The bytes are no state of this part.
    #[error("saved state of {part} cannot be decoded: {reason}")]
    Malformed {
        /// Which part.
        part: String,
        /// What the decoder said.
        reason: String,
    },
    /// The state names what this machine does not have.
    #[error("saved state of {part} does not fit this machine: expected {expected}, found {found}")]
    Mismatch {
        /// Which part.
        part: String,
        /// What this machine has.
        expected: String,
        /// What the state has.
        found: String,
    },
}

/// The bytes of `state`: little-endian, variable-length integers, the same on every host.
pub fn encode<T: Serialize>(state: &T) -> Vec<u8> {
    bincode::serde::encode_to_vec(state, bincode::config::standard()).expect("plain state has no value that fails")
}

/// The state of `part` in `bytes`, all of them.
pub fn decode<T: DeserializeOwned>(part: &str, bytes: &[u8]) -> Result<T, StateError> {
    let config = bincode::config::standard().with_limit::<STATE_LIMIT>();
    let malformed = |reason: String| StateError::Malformed { part: part.to_owned(), reason };
    match bincode::serde::decode_from_slice(bytes, config) {
        Ok((state, used)) if used == bytes.len() => Ok(state),
        Ok((_, used)) => Err(malformed(format!("{} bytes follow its {used}", bytes.len() - used))),
        Err(error) => Err(malformed(error.to_string())),
    }
}
