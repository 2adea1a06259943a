//! Named CPU models: what CPUID shows. Never the host.

use iced_x86::CpuidFeature;

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

impl Model {
    /// Whether the model has every feature that an instruction needs.
    pub fn has_all(&self, features: &[CpuidFeature]) -> bool {
        features.iter().all(|&feature| self.has(feature))
    }

    /// Whether the model has a feature.
    pub fn has(&self, feature: CpuidFeature) -> bool {
        use CpuidFeature as F;
        match feature {
            F::INTEL8086
            | F::INTEL8086_ONLY
            | F::INTEL186
            | F::INTEL286
            | F::INTEL386
            | F::INTEL486
            | F::X64
            | F::CPUID
            | F::MSR
            | F::TSC
            | F::CX8
            | F::CMOV
            | F::SEP
            | F::SYSCALL
            | F::FPU
            | F::FPU287
            | F::FPU387
            | F::MMX
            | F::FXSR
            | F::SSE
            | F::SSE2
            | F::CLFSH
            | F::MULTIBYTENOP
            | F::PAUSE
            | F::CET_IBT
            | F::CET_SS
            | F::PREFETCHW
            | F::CLDEMOTE
            | F::SMAP => true,
            F::SSE3
            | F::SSSE3
            | F::SSE4_1
            | F::SSE4_2
            | F::POPCNT
            | F::AES
            | F::PCLMULQDQ
            | F::CMPXCHG16B
            | F::XSAVE
            | F::RDTSCP
            | F::FSGSBASE
            | F::INVPCID => self.level >= 2,
            F::LZCNT | F::BMI1 => false,
            _ => false,
        }
    }
}
