//! The registers of a vCPU as debuggers see them: their target description, and their values.
//!
//! One table says which registers there are, in which order, of which width and type; the description that debuggers
//! read, the answer to `g` and the numbers of `p` and `P` all come from it. The first 57 are numbered as gdb numbers
//! them itself, for debuggers that read no description. Numbers do not depend on the CPU model: what a model does not
//! have is at the end.
//!
//! As QEMU does, a 64-bit CPU is described as x86-64 in whatever mode it runs: a debugger cannot follow a change of the
//! description in the middle of a session. In 16-bit and 32-bit code registers are shown whole, and who wants to see
//! instructions says `set architecture i8086` or `i386`.

mod description;
#[cfg(test)]
mod tests;

pub(crate) use description::xml;

use reprise_core::board::Board;
use reprise_core::cpu::{CpuState, Model, Register, seg, xcr0};

/// Which feature of the target description a register belongs to. Debuggers know the first four by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Feature {
    Core,
    Sse,
    Segments,
    System,
    Avx,
}

const FEATURES: [Feature; 5] = [Feature::Core, Feature::Sse, Feature::Segments, Feature::System, Feature::Avx];

/// What a register holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// What a debugger can write.
    Register(Register),
    /// The selector in a segment register.
    Selector(usize),
    /// The base of a segment.
    Base(usize),
    KernelGsBase,
    Cr0,
    Cr2,
    Cr3,
    Cr4,
    /// The task priority, which the local APIC holds.
    Cr8,
    Efer,
    /// x87: the last instruction's selector.
    FpCodeSegment,
    /// x87: the last instruction's address.
    FpCode,
    /// x87: the last operand's selector.
    FpDataSegment,
    /// x87: the last operand's address.
    FpData,
    /// x87: the last instruction's opcode.
    FpOpcode,
}

/// A register of the table.
struct Entry {
    name: String,
    source: Source,
    /// Bytes in packets, which may be more than the register has.
    bytes: usize,
    /// Its type in the description.
    kind: &'static str,
    /// The group of which it is shown, where it is not that of its type.
    group: Option<&'static str>,
    feature: Feature,
}

/// General-purpose registers in gdb's order, by number.
const GENERAL: [u8; 16] = [0, 3, 1, 2, 6, 7, 5, 4, 8, 9, 10, 11, 12, 13, 14, 15];
const SELECTORS: [(&str, usize); 6] =
    [("cs", seg::CS), ("ss", seg::SS), ("ds", seg::DS), ("es", seg::ES), ("fs", seg::FS), ("gs", seg::GS)];

impl Entry {
    fn new(feature: Feature, name: impl Into<String>, source: Source, bytes: usize, kind: &'static str) -> Self {
        Self { name: name.into(), source, bytes, kind, group: None, feature }
    }

    /// A register that can be written, under its own name.
    fn of(feature: Feature, register: Register, bytes: usize, kind: &'static str) -> Self {
        Self::new(feature, register.to_string(), Source::Register(register), bytes, kind)
    }
}

/// The table of a CPU model.
fn table(model: &Model) -> Vec<Entry> {
    let mut table = core();
    table.extend(sse());
    table.extend(system());
    if model.xsave_components() & xcr0::AVX != 0 {
        table.extend((0..16).map(|n| Entry::of(Feature::Avx, Register::YmmHigh(n), 16, "uint128")));
    }
    table
}

fn core() -> Vec<Entry> {
    let feature = Feature::Core;
    let pointer = |number: u8| matches!(number, 4 | 5);
    let general = GENERAL.map(|number| {
        let kind = if pointer(number) { "data_ptr" } else { "int64" };
        Entry::of(feature, Register::General(number), 8, kind)
    });
    let mut core = Vec::from(general);
    core.push(Entry::of(feature, Register::Rip, 8, "code_ptr"));
    core.push(Entry::of(feature, Register::Flags, 4, "i386_eflags"));
    core.extend(SELECTORS.map(|(name, number)| Entry::new(feature, name, Source::Selector(number), 4, "int32")));
    core.extend((0..8).map(|n| Entry::of(feature, Register::St(n), 10, "i387_ext")));
    core.extend(
        fp_control()
            .map(|(name, source)| Entry { group: Some("float"), ..Entry::new(feature, name, source, 4, "int") }),
    );
    core
}

fn fp_control() -> [(&'static str, Source); 8] {
    [
        ("fctrl", Source::Register(Register::FpControl)),
        ("fstat", Source::Register(Register::FpStatus)),
        ("ftag", Source::Register(Register::FpTag)),
        ("fiseg", Source::FpCodeSegment),
        ("fioff", Source::FpCode),
        ("foseg", Source::FpDataSegment),
        ("fooff", Source::FpData),
        ("fop", Source::FpOpcode),
    ]
}

fn sse() -> Vec<Entry> {
    let mut sse: Vec<_> = (0..16).map(|n| Entry::of(Feature::Sse, Register::Xmm(n), 16, "vec128")).collect();
    let mxcsr = Entry::of(Feature::Sse, Register::Mxcsr, 4, "i386_mxcsr");
    sse.push(Entry { group: Some("vector"), ..mxcsr });
    sse
}

/// What systems software uses, under QEMU's names.
fn system() -> Vec<Entry> {
    let base = |name, number| Entry::new(Feature::Segments, name, Source::Base(number), 8, "int64");
    let register = |name, source, kind| Entry::new(Feature::System, name, source, 8, kind);
    vec![
        base("fs_base", seg::FS),
        base("gs_base", seg::GS),
        register("k_gs_base", Source::KernelGsBase, "int64"),
        register("cr0", Source::Cr0, "x64_cr0"),
        register("cr2", Source::Cr2, "int64"),
        register("cr3", Source::Cr3, "int64"),
        register("cr4", Source::Cr4, "x64_cr4"),
        register("cr8", Source::Cr8, "int64"),
        register("efer", Source::Efer, "x64_efer"),
    ]
}

fn value(source: Source, cpu: &CpuState, board: &Board) -> u128 {
    match source {
        Source::Register(register) => register.get(cpu),
        Source::Selector(number) => cpu.segs[number].selector.into(),
        Source::Base(number) => cpu.segs[number].base.into(),
        Source::KernelGsBase => cpu.msrs.kernel_gs_base.into(),
        Source::Cr0 => cpu.cr0.into(),
        Source::Cr2 => cpu.cr2.into(),
        Source::Cr3 => cpu.cr3.into(),
        Source::Cr4 => cpu.cr4.into(),
        Source::Cr8 => board.task_priority(cpu.index as usize).into(),
        Source::Efer => cpu.efer.into(),
        Source::FpCodeSegment => cpu.x87.fcs.into(),
        Source::FpCode => cpu.x87.fip.into(),
        Source::FpDataSegment => cpu.x87.fds.into(),
        Source::FpData => cpu.x87.fdp.into(),
        Source::FpOpcode => cpu.x87.fop.into(),
    }
}

/// A register: where its value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    source: Source,
    /// Bytes in packets.
    bytes: usize,
}

impl Slot {
    /// Its value as a number; `None` if it has more than 64 bits.
    pub(crate) fn number(self, cpu: &CpuState, board: &Board) -> Option<u64> {
        let value = value(self.source, cpu, board) as u64;
        match self.bytes {
            8 => Some(value),
            4 => Some(value & 0xffff_ffff),
            _ => None,
        }
    }

    /// Its value, least significant byte first.
    fn append_to(self, bytes: &mut Vec<u8>, cpu: &CpuState, board: &Board) {
        bytes.extend_from_slice(&value(self.source, cpu, board).to_le_bytes()[..self.bytes]);
    }
}

/// The registers of the vCPUs of one machine.
#[derive(Clone)]
pub(crate) struct Features {
    /// By number.
    registers: Vec<Slot>,
    description: String,
}

impl std::fmt::Debug for Features {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Features({} registers)", self.registers.len())
    }
}

impl Features {
    /// Those of a CPU model.
    pub(crate) fn new(model: &Model) -> Self {
        let registers = table(model).iter().map(|entry| Slot { source: entry.source, bytes: entry.bytes }).collect();
        Self { registers, description: xml(model) }
    }

    /// A part of the target description; there is only one, `target.xml`.
    pub(crate) fn description(&self, annex: &[u8]) -> Option<&str> {
        (annex == b"target.xml").then_some(self.description.as_str())
    }

    /// The register with a number.
    pub(crate) fn slot(&self, number: usize) -> Option<Slot> {
        self.registers.get(number).copied()
    }

    /// Bytes of all registers together.
    pub(crate) fn total(&self) -> usize {
        self.registers.iter().map(|slot| slot.bytes).sum()
    }

    /// The value of a register, least significant byte first.
    pub(crate) fn read(&self, cpu: &CpuState, board: &Board, number: usize) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        self.slot(number)?.append_to(&mut bytes, cpu, board);
        Some(bytes)
    }

    /// All registers one after the other, as `g` has them.
    pub(crate) fn read_all(&self, cpu: &CpuState, board: &Board) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.total());
        self.registers.iter().for_each(|slot| slot.append_to(&mut all, cpu, board));
        all
    }

    /// The register with a number, if it can be written.
    pub(crate) fn register(&self, number: usize) -> Option<Register> {
        match self.slot(number)?.source {
            Source::Register(register) => Some(register),
            _ => None,
        }
    }

    /// What `P` asks for: the register and its value. `None` if there is no such register, it cannot be written, or the
    /// bytes are not as many as it has.
    pub(crate) fn write(&self, number: usize, bytes: &[u8]) -> Option<(Register, u128)> {
        let register = self.register(number)?;
        (self.slot(number)?.bytes == bytes.len()).then(|| (register, from_bytes(bytes)))
    }

    /// What `G` asks for: the registers that differ, and their values. `None` if one of them cannot be written, or the
    /// bytes are not as many as all registers have.
    pub(crate) fn write_all(&self, cpu: &CpuState, board: &Board, bytes: &[u8]) -> Option<Vec<(Register, u128)>> {
        if bytes.len() != self.total() {
            return None;
        }
        let (mut changes, mut rest) = (Vec::new(), bytes);
        for (number, slot) in self.registers.iter().enumerate() {
            let (new, after) = rest.split_at(slot.bytes);
            rest = after;
            if self.read(cpu, board, number).as_deref() != Some(new) {
                changes.push(self.write(number, new)?);
            }
        }
        Some(changes)
    }
}

/// At most 16 bytes, least significant first.
fn from_bytes(bytes: &[u8]) -> u128 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u128::from(*byte))
}
