//! Floating-point formats.

use serde::{Deserialize, Serialize};

/// An x87 80-bit number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct F80 {
    /// Sign and exponent.
    pub sign_exp: u16,
    /// Significand.
    pub sig: u64,
}
