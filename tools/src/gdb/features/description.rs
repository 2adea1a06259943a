//! The target description: XML that tells a debugger which registers there are (Debugging with GDB, appendix G Target
//! Descriptions).

use super::{Entry, FEATURES, Feature, table};
use reprise_core::cpu::{Flags, Model, cr0, cr4, efer};
use std::fmt::Write;

/// Bits of a type, by name.
type Bits = &'static [(&'static str, u64)];

const EFLAGS: Bits = &[
    ("CF", Flags::CF),
    ("PF", Flags::PF),
    ("AF", Flags::AF),
    ("ZF", Flags::ZF),
    ("SF", Flags::SF),
    ("TF", Flags::TF),
    ("IF", Flags::IF),
    ("DF", Flags::DF),
    ("OF", Flags::OF),
    ("NT", Flags::NT),
    ("RF", Flags::RF),
    ("VM", Flags::VM),
    ("AC", Flags::AC),
    ("VIF", Flags::VIF),
    ("VIP", Flags::VIP),
    ("ID", Flags::ID),
];

const CR0: Bits = &[
    ("PE", cr0::PE),
    ("MP", cr0::MP),
    ("EM", cr0::EM),
    ("TS", cr0::TS),
    ("ET", cr0::ET),
    ("NE", cr0::NE),
    ("WP", cr0::WP),
    ("AM", cr0::AM),
    ("NW", cr0::NW),
    ("CD", cr0::CD),
    ("PG", cr0::PG),
];

const CR4: Bits = &[
    ("VME", cr4::VME),
    ("PVI", cr4::PVI),
    ("TSD", cr4::TSD),
    ("DE", cr4::DE),
    ("PSE", cr4::PSE),
    ("PAE", cr4::PAE),
    ("MCE", cr4::MCE),
    ("PGE", cr4::PGE),
    ("PCE", cr4::PCE),
    ("OSFXSR", cr4::OSFXSR),
    ("OSXMMEXCPT", cr4::OSXMMEXCPT),
    ("UMIP", cr4::UMIP),
    ("FSGSBASE", cr4::FSGSBASE),
    ("PCIDE", cr4::PCIDE),
    ("OSXSAVE", cr4::OSXSAVE),
    ("SMEP", cr4::SMEP),
    ("SMAP", cr4::SMAP),
];

const EFER: Bits = &[("SCE", efer::SCE), ("LME", efer::LME), ("LMA", efer::LMA), ("NXE", efer::NXE)];

/// Bits of MXCSR (SDM vol. 1, figure 10-3 MXCSR Control/Status Register).
const MXCSR: Bits = &[
    ("IE", 1),
    ("DE", 1 << 1),
    ("ZE", 1 << 2),
    ("OE", 1 << 3),
    ("UE", 1 << 4),
    ("PE", 1 << 5),
    ("DAZ", 1 << 6),
    ("IM", 1 << 7),
    ("DM", 1 << 8),
    ("ZM", 1 << 9),
    ("OM", 1 << 10),
    ("UM", 1 << 11),
    ("PM", 1 << 12),
    ("FZ", 1 << 15),
];

/// What a vector register can be seen as: name, type of the elements, and how many.
const VECTORS: [(&str, &str, u32); 6] = [
    ("v4_float", "ieee_single", 4),
    ("v2_double", "ieee_double", 2),
    ("v16_int8", "int8", 16),
    ("v8_int16", "int16", 8),
    ("v4_int32", "int32", 4),
    ("v2_int64", "int64", 2),
];

impl Feature {
    fn name(self) -> &'static str {
        match self {
            Self::Core => "org.gnu.gdb.i386.core",
            Self::Sse => "org.gnu.gdb.i386.sse",
            Self::Segments => "org.gnu.gdb.i386.segments",
            Self::System => "org.qemu.gdb.i386.sys",
            Self::Avx => "org.gnu.gdb.i386.avx",
        }
    }

    /// The types that its registers have beside the predefined ones.
    fn types(self) -> String {
        match self {
            Self::Core => flags("i386_eflags", 4, EFLAGS),
            Self::Sse => vectors() + &flags("i386_mxcsr", 4, MXCSR),
            Self::System => flags("x64_cr0", 8, CR0) + &flags("x64_cr4", 8, CR4) + &flags("x64_efer", 8, EFER),
            Self::Segments | Self::Avx => String::new(),
        }
    }
}

fn flags(id: &str, size: u32, bits: Bits) -> String {
    let mut text = format!("<flags id=\"{id}\" size=\"{size}\">\n");
    for (name, bit) in bits {
        let at = bit.trailing_zeros();
        let _ = writeln!(text, "<field name=\"{name}\" start=\"{at}\" end=\"{at}\"/>");
    }
    text + "</flags>\n"
}

fn vectors() -> String {
    let mut text = String::new();
    for (name, element, count) in VECTORS {
        let _ = writeln!(text, "<vector id=\"{name}\" type=\"{element}\" count=\"{count}\"/>");
    }
    text += "<union id=\"vec128\">\n";
    for (name, ..) in VECTORS {
        let _ = writeln!(text, "<field name=\"{name}\" type=\"{name}\"/>");
    }
    text + "<field name=\"uint128\" type=\"uint128\"/>\n</union>\n"
}

fn register(number: usize, entry: &Entry) -> String {
    let Entry { name, bytes, kind, .. } = entry;
    let group = entry.group.map(|group| format!(" group=\"{group}\"")).unwrap_or_default();
    format!("<reg name=\"{name}\" bitsize=\"{}\" type=\"{kind}\" regnum=\"{number}\"{group}/>\n", 8 * bytes)
}

/// The whole description of a CPU model.
pub(crate) fn xml(model: &Model) -> String {
    let table = table(model);
    let mut text = String::from(
        "<?xml version=\"1.0\"?>\n<!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n<target version=\"1.0\">\n\
         <architecture>i386:x86-64</architecture>\n",
    );
    for feature in FEATURES {
        let registers: String = table
            .iter()
            .enumerate()
            .filter(|(_, e)| e.feature == feature)
            .map(|(number, e)| register(number, e))
            .collect();
        if !registers.is_empty() {
            let _ = write!(text, "<feature name=\"{}\">\n{}{registers}</feature>\n", feature.name(), feature.types());
        }
    }
    text + "</target>\n"
}
