//! What can go wrong when a network is opened.

use std::io;

/// Why a network could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum NetdevError {
    /// The host does not let us have an address or a device.
    #[error("cannot open {name}: {source}")]
    Open {
        /// What it is called.
        name: String,
        /// What the host said.
        source: io::Error,
    },
    /// What was asked for contradicts itself.
    #[error("{0}")]
    Invalid(String),
}
