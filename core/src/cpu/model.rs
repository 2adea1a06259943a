//! Named CPU models: what CPUID shows. Never the host.

/// A named CPU model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// The name on the command line.
    pub name: &'static str,
    /// For people.
    pub description: &'static str,
    /// The level of the x86-64 psABI that it implements.
    pub level: u8,
}

/// All models.
pub const MODELS: &[Model] = &[
    Model { name: "x86-64-v1", description: "the x86-64 baseline: SSE2, CMPXCHG8B, FXSAVE", level: 1 },
    Model {
        name: "x86-64-v2",
        description: "baseline plus SSE4.2, SSSE3, POPCNT, CMPXCHG16B, AES-NI, PCLMULQDQ",
        level: 2,
    },
];

impl Model {
    /// The model that a machine has when none is named.
    pub const DEFAULT: &'static str = "x86-64-v2";

    /// The model called `name`.
    pub fn find(name: &str) -> Option<&'static Self> {
        MODELS.iter().find(|model| model.name == name)
    }

    /// Family, model and stepping, as in CPUID leaf 1 EAX.
    pub fn signature(&self) -> u32 {
        0x0001_06a3
    }
}
