//! Two engines on random programs: whatever the code is and however it is cut, they must agree to the last bit.
//!
//! [`code`] makes instructions, [`program`] what they run in, [`trial`] runs both engines, compares, and explains.

pub mod code;
pub mod program;
pub mod trial;

use reprise::engine::{EngineKind, MakeEngine};

/// The engine that is right.
#[must_use]
pub fn reference() -> MakeEngine {
    EngineKind::Interp.make()
}

/// The engine that is compared with it.
#[must_use]
pub fn compared() -> MakeEngine {
    EngineKind::COMPARED.make()
}
