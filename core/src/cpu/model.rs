//! Named CPU models: what CPUID shows (SDM vol. 2, CPUID). Never the host.
//!
//! The models are Intel's of family 6, with a model number that operating systems attach no erratum and no
//! vulnerability to that IA32_ARCH_CAPABILITIES does not deny. The TSC and the crystal have 1 GHz. All vCPUs are cores
//! of one package.

use super::xcr0;
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
    Model { name: "x86-64-v3", description: "x86-64-v2 plus AVX, AVX2, FMA, F16C, BMI1, BMI2, LZCNT, MOVBE", level: 3 },
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

    /// The name that CPUID spells.
    fn brand(&self) -> &'static [u8] {
        match self.level {
            ..2 => b"Reprise x86-64-v1 virtual CPU",
            2 => b"Reprise x86-64-v2 virtual CPU",
            3.. => b"Reprise x86-64-v3 virtual CPU",
        }
    }

    /// State components of XSAVE that the model has: the bits of XCR0 that may be set.
    pub fn xsave_components(&self) -> u64 {
        match self.level {
            ..2 => 0,
            2 => xcr0::X87 | xcr0::SSE,
            3.. => xcr0::X87 | xcr0::SSE | xcr0::AVX,
        }
    }
}

/// What CPUID tells that is not the model's.
#[derive(Clone, Copy, Debug)]
pub struct CpuidContext {
    /// Initial APIC ID.
    pub apic_id: u32,
    /// vCPUs in the machine.
    pub cpus: u32,
    /// The local APIC is enabled.
    pub has_apic: bool,
    /// CR4.OSXSAVE.
    pub osxsave: bool,
    /// XCR0: the state components that are enabled.
    pub xcr0: u64,
}

/// Highest basic leaf.
const BASIC: u32 = 0x16;
const HYPERVISOR: u32 = 0x4000_0000;
const EXTENDED: u32 = 0x8000_0000;
/// Highest extended leaf.
const EXTENDED_LAST: u32 = 0x8000_0008;

const VENDOR: &[u8; 12] = b"GenuineIntel";
const HYPERVISOR_VENDOR: &[u8; 12] = b"ReprisePCEmu";

const TSC_HZ: u32 = 1_000_000_000;
const PHYSICAL_BITS: u32 = crate::interp::PHYSICAL_BITS;
const LINEAR_BITS: u32 = 48;
/// Bytes of an XSAVE area with x87 and SSE state: the legacy region and the header.
const XSAVE_BYTES: u32 = 576;
/// Bytes of the AVX component, which follows.
const AVX_BYTES: u32 = 256;

/// Leaf 1 EDX: FPU DE PSE TSC MSR PAE MCE CX8 SEP MTRR PGE MCA CMOV PAT PSE-36 CLFSH MMX FXSR SSE SSE2 SS.
const FEATURES_EDX: u32 = 1
    | 1 << 2
    | 1 << 3
    | 1 << 4
    | 1 << 5
    | 1 << 6
    | 1 << 7
    | 1 << 8
    | 1 << 11
    | 1 << 12
    | 1 << 13
    | 1 << 14
    | 1 << 15
    | 1 << 16
    | 1 << 17
    | 1 << 19
    | 1 << 23
    | 1 << 24
    | 1 << 25
    | 1 << 26
    | 1 << 27;
const EDX_APIC: u32 = 1 << 9;
const EDX_HTT: u32 = 1 << 28;
/// Leaf 1 ECX of every model: x2APIC, TSC deadline, hypervisor.
const PLATFORM_ECX: u32 = 1 << 21 | 1 << 24 | 1 << 31;
/// Leaf 1 ECX of the second level: SSE3 PCLMULQDQ SSSE3 CMPXCHG16B PCID SSE4.1 SSE4.2 POPCNT AES XSAVE.
const LEVEL_2_ECX: u32 = 1 | 1 << 1 | 1 << 9 | 1 << 13 | 1 << 17 | 1 << 19 | 1 << 20 | 1 << 23 | 1 << 25 | 1 << 26;
/// Leaf 1 ECX that the third level adds: FMA MOVBE AVX F16C.
const LEVEL_3_ECX: u32 = 1 << 12 | 1 << 22 | 1 << 28 | 1 << 29;
const ECX_OSXSAVE: u32 = 1 << 27;
/// Leaf 7 EBX: FSGSBASE TSC_ADJUST SMEP ERMS INVPCID SMAP.
const LEVEL_2_LEAF_7_EBX: u32 = 1 | 1 << 1 | 1 << 7 | 1 << 9 | 1 << 10 | 1 << 20;
/// Leaf 7 EBX that the third level adds: BMI1 AVX2 BMI2.
const LEVEL_3_LEAF_7_EBX: u32 = 1 << 3 | 1 << 5 | 1 << 8;
/// Leaf 7 ECX: UMIP.
const LEVEL_2_LEAF_7_ECX: u32 = 1 << 2;
/// Leaf 7 EDX: IBRS and IBPB, STIBP, IA32_ARCH_CAPABILITIES, SSBD.
const LEVEL_2_LEAF_7_EDX: u32 = 1 << 26 | 1 << 27 | 1 << 29 | 1 << 31;
/// Leaf 7, subleaf 2 EDX: BHI_CTRL, so that no kernel clears a branch history that there is not.
const LEVEL_2_LEAF_7_2_EDX: u32 = 1 << 4;
/// Leaf 0x80000001 EDX: SYSCALL, NX, pages of 1 GiB, long mode.
const EXTENDED_EDX: u32 = 1 << 11 | 1 << 20 | 1 << 26 | 1 << 29;
const EXTENDED_EDX_RDTSCP: u32 = 1 << 27;
/// Leaf 0x80000001 ECX: LAHF in 64-bit mode, PREFETCHW.
const EXTENDED_ECX: u32 = 1 | 1 << 8;
/// Leaf 0x80000001 ECX that the third level adds: LZCNT.
const EXTENDED_ECX_LZCNT: u32 = 1 << 5;

/// A cache of leaf 4.
struct Cache {
    /// 1 data, 2 instruction, 3 unified.
    kind: u32,
    level: u32,
    ways: u32,
    sets: u32,
    /// All cores share it, and it holds what the others hold.
    shared: bool,
}

const CACHES: [Cache; 4] = [
    Cache { kind: 1, level: 1, ways: 8, sets: 64, shared: false },
    Cache { kind: 2, level: 1, ways: 8, sets: 64, shared: false },
    Cache { kind: 3, level: 2, ways: 8, sets: 512, shared: false },
    Cache { kind: 3, level: 3, ways: 16, sets: 8192, shared: true },
];

/// Four characters of a text, as a register holds them; zeros past its end.
fn characters(text: &[u8], at: usize) -> u32 {
    let byte = |n: usize| text.get(at + n).copied().unwrap_or(0);
    u32::from_le_bytes([byte(0), byte(1), byte(2), byte(3)])
}

fn bit(on: bool, bit: u32) -> u32 {
    if on { bit } else { 0 }
}

/// Bits of an APIC ID that number the cores of the package.
fn core_bits(cpus: u32) -> u32 {
    cpus.max(1).next_power_of_two().trailing_zeros()
}

impl Model {
    /// EAX, EBX, ECX and EDX of a leaf.
    pub fn cpuid(&self, leaf: u32, subleaf: u32, context: &CpuidContext) -> [u32; 4] {
        match leaf {
            HYPERVISOR => [
                HYPERVISOR,
                characters(HYPERVISOR_VENDOR, 0),
                characters(HYPERVISOR_VENDOR, 4),
                characters(HYPERVISOR_VENDOR, 8),
            ],
            EXTENDED..=EXTENDED_LAST => self.extended_leaf(leaf),
            // Beyond the highest leaf comes what the highest basic one holds.
            _ => self.basic_leaf(leaf.min(BASIC), subleaf, context),
        }
    }

    fn basic_leaf(&self, leaf: u32, subleaf: u32, context: &CpuidContext) -> [u32; 4] {
        match leaf {
            0 => [BASIC, characters(VENDOR, 0), characters(VENDOR, 8), characters(VENDOR, 4)],
            1 => self.features(context),
            // One descriptor: "see leaf 4".
            2 => [0xff01, 0, 0, 0],
            4 => cache(subleaf, context),
            // The local APIC's timer never stops.
            6 => [1 << 2, 0, 0, 0],
            7 if self.level >= 2 => self.structured_features(subleaf),
            0xb => topology(subleaf, context),
            0xd if self.level >= 2 => self.xsave(subleaf, context),
            // The TSC has the crystal's frequency.
            0x15 => [1, 1, TSC_HZ, 0],
            0x16 => [TSC_HZ / 1_000_000, TSC_HZ / 1_000_000, 100, 0],
            _ => [0; 4],
        }
    }

    /// Leaf 1.
    fn features(&self, context: &CpuidContext) -> [u32; 4] {
        let several = context.cpus > 1;
        let ids = 1 << core_bits(context.cpus).min(7);
        // CLFLUSH works on 8 times 8 bytes.
        let ebx = context.apic_id << 24 | bit(several, ids << 16) | 8 << 8;
        let levels = self.from(2, LEVEL_2_ECX) | self.from(3, LEVEL_3_ECX);
        let osxsave = bit(context.osxsave, self.from(2, ECX_OSXSAVE));
        let edx = FEATURES_EDX | bit(context.has_apic, EDX_APIC) | bit(several, EDX_HTT);
        [self.signature(), ebx, PLATFORM_ECX | levels | osxsave, edx]
    }

    /// Leaf 7.
    fn structured_features(&self, subleaf: u32) -> [u32; 4] {
        match subleaf {
            0 => {
                let ebx = LEVEL_2_LEAF_7_EBX | self.from(3, LEVEL_3_LEAF_7_EBX);
                [2, ebx, LEVEL_2_LEAF_7_ECX, LEVEL_2_LEAF_7_EDX]
            }
            2 => [0, 0, 0, LEVEL_2_LEAF_7_2_EDX],
            _ => [0; 4],
        }
    }

    /// Leaf 0xd: XSAVE alone. XSAVEOPT, XSAVEC and XSAVES (subleaf 1) leave out what is in its initial state or was not
    /// modified, which processors tell by different rules.
    fn xsave(&self, subleaf: u32, context: &CpuidContext) -> [u32; 4] {
        let components = self.xsave_components();
        let bytes = |components: u64| XSAVE_BYTES + bit(components & xcr0::AVX != 0, AVX_BYTES);
        match subleaf {
            0 => [components as u32, bytes(context.xcr0), bytes(components), (components >> 32) as u32],
            2 => [self.from(3, AVX_BYTES), self.from(3, XSAVE_BYTES), 0, 0],
            _ => [0; 4],
        }
    }

    /// Bits of the models from a level on.
    fn from(&self, level: u8, bits: u32) -> u32 {
        bit(self.level >= level, bits)
    }

    fn extended_leaf(&self, leaf: u32) -> [u32; 4] {
        match leaf {
            EXTENDED => [EXTENDED_LAST, 0, 0, 0],
            0x8000_0001 => {
                let ecx = self.from(2, EXTENDED_ECX) | self.from(3, EXTENDED_ECX_LZCNT);
                [0, 0, ecx, EXTENDED_EDX | self.from(2, EXTENDED_EDX_RDTSCP)]
            }
            0x8000_0002..=0x8000_0004 => {
                let at = 16 * (leaf - 0x8000_0002) as usize;
                std::array::from_fn(|word| characters(self.brand(), at + 4 * word))
            }
            // The second-level cache: 256 KiB, 8 ways, lines of 64 bytes.
            0x8000_0006 => [0, 0, 256 << 16 | 6 << 12 | 64, 0],
            // The TSC never stops and never changes its frequency.
            0x8000_0007 => [0, 0, 0, 1 << 8],
            0x8000_0008 => [LINEAR_BITS << 8 | PHYSICAL_BITS, 0, 0, 0],
            _ => [0; 4],
        }
    }
}

/// Leaf 4: deterministic cache parameters.
fn cache(subleaf: u32, context: &CpuidContext) -> [u32; 4] {
    let Some(cache) = CACHES.get(subleaf as usize) else { return [0; 4] };
    let ids = 1u32 << core_bits(context.cpus);
    let sharing = if cache.shared { ids } else { 1 };
    let self_initializing = 1 << 8;
    let eax = cache.kind | cache.level << 5 | self_initializing | (sharing - 1) << 14 | (ids - 1).min(63) << 26;
    let line = 63;
    [eax, (cache.ways - 1) << 22 | line, cache.sets - 1, u32::from(cache.shared) << 1]
}

/// Leaf 0xb: extended topology. A core has one thread.
fn topology(subleaf: u32, context: &CpuidContext) -> [u32; 4] {
    let (thread, core) = (1 << 8, 2 << 8);
    match subleaf {
        0 => [0, 1, thread, context.apic_id],
        1 => [core_bits(context.cpus), context.cpus, core | 1, context.apic_id],
        _ => [0, 0, subleaf & 0xff, context.apic_id],
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
            | F::RDPMC
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
            // Hints: processors without them execute NOPs.
            | F::CET_IBT
            | F::CET_SS
            | F::PREFETCHW
            | F::CLDEMOTE => true,
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
            | F::SMAP
            | F::INVPCID => self.level >= 2,
            F::AVX | F::AVX2 | F::FMA | F::F16C | F::BMI1 | F::BMI2 | F::LZCNT | F::MOVBE => self.level >= 3,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(model: &str, leaf: u32, subleaf: u32, cpus: u32) -> [u32; 4] {
        let context = CpuidContext { apic_id: cpus - 1, cpus, has_apic: true, osxsave: false, xcr0: 3 };
        Model::find(model).expect("the model exists").cpuid(leaf, subleaf, &context)
    }

    /// CPUID and the decoder must agree about what exists.
    #[test]
    fn leaves_show_what_instructions_there_are() {
        for model in MODELS {
            let has = |feature| u32::from(model.has(feature));
            let [_, _, ecx, edx] = leaf(model.name, 1, 0, 1);
            let [_, ebx7, ..] = leaf(model.name, 7, 0, 1);
            let [.., extended_ecx, extended] = leaf(model.name, 0x8000_0001, 0, 1);
            use CpuidFeature as F;
            for (register, bit, feature) in [
                (ecx, 0, F::SSE3),
                (ecx, 1, F::PCLMULQDQ),
                (ecx, 3, F::MONITOR),
                (ecx, 5, F::VMX),
                (ecx, 9, F::SSSE3),
                (ecx, 12, F::FMA),
                (ecx, 13, F::CMPXCHG16B),
                (ecx, 19, F::SSE4_1),
                (ecx, 20, F::SSE4_2),
                (ecx, 22, F::MOVBE),
                (ecx, 23, F::POPCNT),
                (ecx, 25, F::AES),
                (ecx, 26, F::XSAVE),
                (ecx, 28, F::AVX),
                (ecx, 29, F::F16C),
                (ecx, 30, F::RDRAND),
                (edx, 0, F::FPU),
                (edx, 4, F::TSC),
                (edx, 5, F::MSR),
                (edx, 8, F::CX8),
                (edx, 11, F::SEP),
                (edx, 15, F::CMOV),
                (edx, 19, F::CLFSH),
                (edx, 23, F::MMX),
                (edx, 24, F::FXSR),
                (edx, 25, F::SSE),
                (edx, 26, F::SSE2),
                (ebx7, 0, F::FSGSBASE),
                (ebx7, 3, F::BMI1),
                (ebx7, 5, F::AVX2),
                (ebx7, 8, F::BMI2),
                (ebx7, 10, F::INVPCID),
                (ebx7, 18, F::RDSEED),
                (ebx7, 20, F::SMAP),
                (extended_ecx, 5, F::LZCNT),
                (extended_ecx, 6, F::SSE4A),
                (extended, 11, F::SYSCALL),
                (extended, 27, F::RDTSCP),
            ] {
                assert_eq!(register >> bit & 1, has(feature), "{feature:?} of {}", model.name);
            }
        }
    }

    #[test]
    fn all_cpus_are_cores_of_one_package() {
        assert_eq!(leaf("x86-64-v2", 0xb, 1, 6), [3, 6, 0x201, 5]);
        assert_eq!(leaf("x86-64-v2", 4, 3, 6)[0], 0x1c01_c163);
        assert_eq!(leaf("x86-64-v2", 1, 0, 6)[1], 0x0508_0800);
        assert_eq!(leaf("x86-64-v2", 1, 0, 6)[3] >> 28 & 1, 1);
        assert_eq!(leaf("x86-64-v2", 1, 0, 1)[3] >> 28 & 1, 0);
    }

    /// The areas of SDM vol. 1, 13.4.3 Extended Region of an XSAVE Area.
    #[test]
    fn an_xsave_area_is_as_large_as_its_components() {
        assert_eq!(leaf("x86-64-v1", 0xd, 0, 1), [0; 4]);
        assert_eq!(leaf("x86-64-v2", 0xd, 0, 1), [3, 576, 576, 0]);
        assert_eq!(leaf("x86-64-v2", 0xd, 2, 1), [0; 4]);
        assert_eq!(leaf("x86-64-v3", 0xd, 0, 1), [7, 576, 832, 0]);
        assert_eq!(leaf("x86-64-v3", 0xd, 1, 1), [0; 4]);
        assert_eq!(leaf("x86-64-v3", 0xd, 2, 1), [256, 576, 0, 0]);
        let enabled = CpuidContext { apic_id: 0, cpus: 1, has_apic: true, osxsave: true, xcr0: 7 };
        let model = Model::find("x86-64-v3").expect("the model exists");
        assert_eq!(model.cpuid(0xd, 0, &enabled), [7, 832, 832, 0]);
        assert_eq!(model.cpuid(1, 0, &enabled)[2] >> 26 & 0b111, 0b111);
    }

    #[test]
    fn texts_are_spelt_in_registers() {
        for model in MODELS {
            let brand: Vec<u8> = (0x8000_0002..=0x8000_0004)
                .flat_map(|n| leaf(model.name, n, 0, 1))
                .flat_map(u32::to_le_bytes)
                .take_while(|&byte| byte != 0)
                .collect();
            assert_eq!(brand, format!("Reprise {} virtual CPU", model.name).as_bytes());
        }
        let [_, ebx, ecx, edx] = leaf("x86-64-v1", 0, 0, 1);
        let vendor: Vec<u8> = [ebx, edx, ecx].iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(vendor, VENDOR);
    }

    #[test]
    fn leaves_past_the_last_show_the_last() {
        assert_eq!(leaf("x86-64-v2", 0x17, 0, 1), leaf("x86-64-v2", 0x16, 0, 1));
        assert_eq!(leaf("x86-64-v2", 0x15, 0, 1), [1, 1, 1_000_000_000, 0]);
    }
}
