//! Two engines on random programs: whatever the code is and however it is cut, they must agree to the last bit.
//!
//! [`code`] makes instructions, [`program`] what they run in, [`trial`] runs both engines, compares, and explains, and
//! [`soak`] runs trials in a process that may die.

pub mod code;
pub mod planted;
pub mod probed;
pub mod program;
pub mod soak;
pub mod trial;

use crate::machines::{Ending, Run};
use reprise::engine::{EngineKind, MakeEngine, jit_with};
use reprise::lockstep::{Difference, Lockstep};
use reprise::machine::{self, MachineConfig};
use reprise_core::clock::Tick;

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

/// The same with so little room for translated code that it drops all of it now and then.
#[must_use]
pub fn cramped() -> MakeEngine {
    |model| Box::new(jit_with(model, 1 << 20))
}

/// Runs the machine of `config` to its end, beside one on `engine` that is compared with it every `slice` ticks; how it
/// ended, or how they differ. As long as there is no other engine to compare, the second one's caches are perturbed.
///
/// # Panics
///
/// If the machine cannot be built.
pub fn side_by_side(config: &MachineConfig, engine: MakeEngine, slice: Tick) -> Result<Ending, Box<Difference>> {
    let mut run = Run::new(config, &[]);
    let mut second = machine::build(config, engine).expect("the first one could be built");
    if EngineKind::COMPARED == EngineKind::Interp {
        second.perturb_caches(1);
    }
    let mut lockstep = Lockstep::new(second, slice);
    let end = lockstep.run(&mut run.machine, &mut run.door, Tick::MAX);
    match lockstep.explain(&mut run.machine) {
        None => Ok(run.ending(end)),
        Some(difference) => Err(Box::new(difference.expect("the state can be restored"))),
    }
}
