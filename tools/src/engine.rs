//! Which engine runs the vCPUs. It is no part of a machine's configuration: whichever it is, the run is the same.

use reprise_core::clock::Tick;
use reprise_core::cpu::Model;
use reprise_core::engine::Engine;
use reprise_core::interp::Interpreter;
use reprise_jit::{CODE_BYTES, HostFeatures, Jit};

/// Makes an engine for CPUs of a model.
pub type MakeEngine = fn(&'static Model) -> Box<dyn Engine>;

/// An engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKind {
    /// The interpreter.
    Interp,
    /// The translator to host code.
    Jit,
}

impl EngineKind {
    /// The one that runs machines unless the user says otherwise.
    pub const DEFAULT: Self = Self::Jit;
    /// The one that is compared with the interpreter in lockstep. An engine is compared with itself only if its caches are
    /// perturbed in one of the two machines.
    pub const COMPARED: Self = Self::Jit;
    /// All engines, by name.
    pub const ALL: [(&str, Self); 2] = [("interp", Self::Interp), ("jit", Self::Jit)];

    /// What makes this engine.
    pub fn make(self) -> MakeEngine {
        match self {
            Self::Interp => |model| Box::new(Interpreter::new(model)),
            Self::Jit => {
                |model| if host_can_translate() { Box::new(new_jit(model)) } else { interpreter_instead(model) }
            }
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Interp => "interp",
            Self::Jit => "jit",
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

/// A translator to host code.
pub(crate) fn new_jit(model: &'static Model) -> Jit {
    jit_with(model, CODE_BYTES)
}

/// The same with so many bytes for host code, at least 1 MiB.
///
/// # Panics
///
/// If the host gives no memory.
pub fn jit_with(model: &'static Model, bytes: usize) -> Jit {
    Jit::new(model, host_features(), bytes).expect("the host gives memory for code")
}

/// Whether the host's processor has what translated code takes for granted: x86-64-v2 and AES.
#[allow(clippy::disallowed_macros)] // it decides how fast a guest runs, and never what it computes
fn host_can_translate() -> bool {
    use std::arch::is_x86_feature_detected as has;
    has!("sse4.2") && has!("ssse3") && has!("popcnt") && has!("cmpxchg16b") && has!("aes") && has!("pclmulqdq")
}

/// The interpreter, on a host that cannot run translated code.
fn interpreter_instead(model: &'static Model) -> Box<dyn Engine> {
    log::warn!("this processor lacks SSE4.2, AES or PCLMULQDQ, which translated code needs: interpreting");
    Box::new(Interpreter::new(model))
}

/// What the host's processor can do, as far as translated code makes use of it.
#[allow(clippy::disallowed_macros)] // it decides how fast a guest runs, and never what it computes
fn host_features() -> HostFeatures {
    use std::arch::is_x86_feature_detected as has;
    let avx2 = has!("avx2");
    let vectors = avx2 && has!("fma") && has!("f16c");
    HostFeatures { avx2, v3: vectors && has!("bmi1") && has!("bmi2") && has!("lzcnt") && has!("movbe") }
}
