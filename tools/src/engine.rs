//! Which engine runs the vCPUs. It is no part of a machine's configuration: whichever it is, the run is the same.

use reprise_core::clock::Tick;
use reprise_core::cpu::Model;
use reprise_core::engine::Engine;
use reprise_core::interp::Interpreter;

/// Makes an engine for CPUs of a model.
pub type MakeEngine = fn(&'static Model) -> Box<dyn Engine>;

/// An engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKind {
    /// The interpreter.
    Interp,
}

impl EngineKind {
    /// The one that runs machines unless the user says otherwise.
    pub const DEFAULT: Self = Self::Interp;
    /// The one that is compared with the interpreter in lockstep. An engine is compared with itself only if its caches are
    /// perturbed in one of the two machines.
    pub const COMPARED: Self = Self::Interp;
    /// All engines, by name.
    pub const ALL: [(&str, Self); 1] = [("interp", Self::Interp)];

    /// What makes this engine.
    pub fn make(self) -> MakeEngine {
        match self {
            Self::Interp => |model| Box::new(Interpreter::new(model)),
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Interp => "interp",
        }
    }
}

/// How the vCPUs are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineChoice {
    /// By one engine.
    One(EngineKind),
    /// By two, in two machines that are compared every so many ticks.
    Lockstep {
        /// Ticks between two comparisons.
        slice: Tick,
    },
}

impl EngineChoice {
    /// Ticks between two comparisons unless the user says otherwise.
    pub const SLICE: Tick = 100_000;

    /// The engine of the machine that the host sees.
    pub fn first(self) -> EngineKind {
        match self {
            Self::One(kind) => kind,
            Self::Lockstep { .. } => EngineKind::Interp,
        }
    }

    /// What the user would write.
    pub fn spelling(self) -> String {
        match self {
            Self::One(kind) => kind.name().into(),
            Self::Lockstep { slice: Self::SLICE } => "lockstep".into(),
            Self::Lockstep { slice } => format!("lockstep,slice={slice}"),
        }
    }
}

impl Default for EngineChoice {
    fn default() -> Self {
        Self::One(EngineKind::DEFAULT)
    }
}
