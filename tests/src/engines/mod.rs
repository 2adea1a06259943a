//! Two engines on random programs: whatever the code is and however it is cut, they must agree to the last bit.
//!
//! [`code`] makes instructions, [`program`] what they run in, [`trial`] runs both engines, compares, and explains.

pub mod code;
pub mod planted;
pub mod program;
pub mod trial;

use crate::machines::power_on_with;
use reprise::engine::{EngineKind, MakeEngine};
use reprise::machine::MachineConfig;
use reprise_core::machine::Machine;

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

/// The machine of `config` at power-on, on `engine`; with perturbed caches as long as there is no other engine to compare.
///
/// # Panics
///
/// If it cannot be built.
#[must_use]
pub fn start(config: &MachineConfig, engine: MakeEngine) -> Machine {
    let mut machine = power_on_with(config, engine);
    if EngineKind::COMPARED == EngineKind::Interp {
        machine.perturb_caches(1);
    }
    machine
}
