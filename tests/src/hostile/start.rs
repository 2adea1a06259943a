//! Tables, registers and modes that hostile guests start with.
//!
//! Most of it is what a system would set up, so that the guest lives for a while: descriptors that fit, gates that lead
//! to code, page tables that map most addresses to themselves. Some of it is anything.

use super::code;
use reprise_core::cpu::{CpuState, Flags, Model, Segment, TableRegister, cr0, cr4, efer, reg, seg, xcr0};
use reprise_silicon::generate::Random;

/// Where things lie, both in physical memory and where the page tables map addresses to themselves.
pub mod place {
    /// Interrupt descriptor table of protected mode and, 16 bytes a gate, of long mode.
    pub const IDT: u64 = 0x2000;
    /// Global descriptor table.
    pub const GDT: u64 = 0x4000;
    /// Task states, one for each vCPU, 256 bytes apart.
    pub const TSS: u64 = 0x5000;
    /// Local descriptor table.
    pub const LDT: u64 = 0x5800;
    /// Stacks grow down from here.
    pub const STACK: u64 = 0x8000;
    /// Code: these pages, the first of which is also where start-up interrupts lead.
    pub const CODE: u64 = 0x8000;
    /// End of the code.
    pub const CODE_END: u64 = 0x1_0000;
    /// Pages of page tables: long mode, PAE, 32-bit, four each.
    pub const TABLES: u64 = 0x2_0000;
    /// Data.
    pub const DATA: u64 = 0x3_0000;
}

/// Descriptors in the GDT; TSS descriptors of the vCPUs follow from [`TASKS`] on.
const DESCRIPTORS: [u64; 12] = [
    0,
    0x00cf_9b00_0000_ffff, // 0x08: 32-bit code
    0x00cf_9300_0000_ffff, // 0x10: data
    0x00af_9b00_0000_ffff, // 0x18: 64-bit code
    0x0000_9b00_0000_ffff, // 0x20: 16-bit code
    0x0000_9300_0000_ffff, // 0x28: 16-bit data
    0x00cf_fb00_0000_ffff, // 0x30: 32-bit code of level 3
    0x00cf_f300_0000_ffff, // 0x38: data of level 3
    0x00af_fb00_0000_ffff, // 0x40: 64-bit code of level 3
    0x0000_fb00_0000_ffff, // 0x48: 16-bit code of level 3
    0x00cf_9f00_0000_ffff, // 0x50: conforming code
    0x0000_8200_5800_00ff, // 0x58: the LDT
];
/// Number of the first descriptor of a task state; each takes two.
const TASKS: usize = 14;
const GDT_ENTRIES: usize = 64;

/// A mode of the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Mode {
    Real,
    Protected16,
    Protected32,
    Paged32,
    Pae,
    Long,
    Compatibility,
}

impl Mode {
    /// All modes, those of current systems more often.
    pub const ALL: [Self; 10] = [
        Self::Real,
        Self::Protected16,
        Self::Protected32,
        Self::Paged32,
        Self::Paged32,
        Self::Pae,
        Self::Long,
        Self::Long,
        Self::Long,
        Self::Compatibility,
    ];

    /// How instructions are decoded.
    #[must_use]
    pub fn bitness(self) -> u32 {
        match self {
            Self::Real | Self::Protected16 => 16,
            Self::Protected32 | Self::Paged32 | Self::Pae | Self::Compatibility => 32,
            Self::Long => 64,
        }
    }

    fn is_long(self) -> bool {
        matches!(self, Self::Long | Self::Compatibility)
    }
}

/// How a vCPU starts.
pub struct Start {
    /// In which mode.
    pub mode: Mode,
    /// At which privilege level.
    pub level: u8,
    random: Random,
}

impl Start {
    /// A vCPU that starts in `mode`.
    pub fn new(random: &mut Random, mode: Mode) -> Self {
        let level = if mode != Mode::Real && random.percent(25) { 3 } else { 0 };
        Self { mode, level, random: Random::new(random.next()) }
    }

    /// The state of vCPU `index`.
    #[must_use]
    pub fn state(&self, index: u32, model: &Model) -> CpuState {
        let mut random = self.random.clone();
        let mut cpu = CpuState::new(0, model);
        cpu.index = index;
        cpu.cr0 = cr0::ET;
        for number in 0..16 {
            cpu.regs.set(number, code::interesting(&mut random));
        }
        cpu.regs.set(reg::RSP, place::STACK - 0x400 * u64::from(index) - random.below(32));
        cpu.regs.set_rip(place::CODE + random.below(place::CODE_END - place::CODE));
        cpu.flags.set(random.next() & (Flags::STATUS | Flags::DF | Flags::IF | Flags::IOPL | Flags::AC));
        self.set_mode(&mut cpu, &mut random);
        if self.mode != Mode::Real {
            self.set_segments(&mut cpu, &mut random);
        }
        self.set_features(&mut cpu, &mut random);
        set_vectors(&mut cpu, &mut random, model);
        cpu
    }

    fn set_mode(&self, cpu: &mut CpuState, random: &mut Random) {
        cpu.gdtr = TableRegister { base: place::GDT, limit: 8 * GDT_ENTRIES as u16 - 1 };
        if self.mode == Mode::Real {
            for segment in &mut cpu.segs {
                *segment = Segment::real_mode(0);
            }
            cpu.segs[seg::CS] = Segment::real_mode_code(0);
            return;
        }
        cpu.idtr = TableRegister { base: place::IDT, limit: 0xfff };
        cpu.cr0 |= cr0::PE;
        let tables = |number: u64| place::TABLES + 0x4000 * number;
        match self.mode {
            Mode::Real | Mode::Protected16 | Mode::Protected32 => {}
            Mode::Paged32 => cpu.cr3 = tables(2),
            Mode::Pae => {
                cpu.cr3 = tables(1);
                cpu.cr4 |= cr4::PAE;
                cpu.pdptes = [(tables(1) + 0x1000) | 1, (tables(1) + 0x1000) | 1, 0, (tables(1) + 0x1000) | 1];
            }
            Mode::Long | Mode::Compatibility => {
                cpu.cr3 = tables(0);
                cpu.cr4 |= cr4::PAE;
                cpu.efer |= efer::LME | efer::LMA;
            }
        }
        if cpu.cr3 != 0 {
            cpu.cr0 |= cr0::PG;
        }
        if random.percent(50) {
            cpu.efer |= efer::NXE | efer::SCE;
        }
    }

    fn set_segments(&self, cpu: &mut CpuState, random: &mut Random) {
        let descriptor = |selector: u16| Segment::from_descriptor(selector, DESCRIPTORS[usize::from(selector >> 3)]);
        let user = self.level == 3;
        let (code, data) = match (self.mode, user) {
            (Mode::Protected16, false) => (0x20, 0x28),
            (Mode::Protected16, true) => (0x4b, 0x3b),
            (Mode::Long, false) => (0x18, 0x10),
            (Mode::Long, true) => (0x43, 0x3b),
            (_, false) => (0x08, 0x10),
            (_, true) => (0x33, 0x3b),
        };
        cpu.segs = [descriptor(data); 6];
        cpu.segs[seg::CS] = descriptor(code);
        if random.percent(20) {
            let odd = seg::ES + random.pick(&[seg::ES, seg::DS, seg::FS, seg::GS]);
            cpu.segs[odd] = Segment::from_descriptor(data, random.next());
            cpu.segs[odd].attributes |= Segment::S | Segment::PRESENT;
        }
        if random.percent(15) {
            // A code segment that ends where code is.
            cpu.segs[seg::CS].limit = (place::CODE + random.below(0x4000)) as u32;
        }
        let kind = if self.mode == Mode::Protected16 { 3 } else { 0xb };
        let base = place::TSS + 256 * u64::from(cpu.index);
        cpu.tr =
            Segment { base, limit: 0xff, selector: 8 * (TASKS as u16 + 2 * cpu.index as u16), ..Segment::system(kind) };
        cpu.ldtr = Segment { base: place::LDT, limit: 0xff, selector: 0x58, ..Segment::system(2) };
        if self.mode.is_long() {
            for number in [seg::FS, seg::GS] {
                cpu.segs[number].base = random.pick(&[0, 0, 0x1000, 0xffff_8000_0000_0000]);
            }
        }
    }

    fn set_features(&self, cpu: &mut CpuState, random: &mut Random) {
        let optional0 = cr0::WP | cr0::AM | cr0::NE | cr0::MP | cr0::TS | cr0::EM;
        let optional4 = cr4::PSE | cr4::PGE | cr4::TSD | cr4::DE | cr4::PCE | cr4::UMIP;
        cpu.cr0 |= random.next() & random.next() & optional0;
        cpu.cr4 |= random.next() & optional4;
        if random.percent(80) {
            cpu.cr4 |= cr4::OSFXSR | cr4::OSXMMEXCPT;
            cpu.cr0 &= !(cr0::TS | cr0::EM);
        }
        cpu.msrs.lstar = code::address(random);
        cpu.msrs.star = 0x0030_0018_0000_0000 | random.below(0x10_0000);
        cpu.msrs.sysenter_cs = random.pick(&[0x08, 0x18, 0]);
        cpu.msrs.sysenter_eip = code::address(random);
        cpu.msrs.sysenter_esp = place::STACK - 8 * random.below(64);
        cpu.msrs.kernel_gs_base = code::address(random);
    }
}

/// Vector registers, and XSAVE with all that the model has for it, or not.
fn set_vectors(cpu: &mut CpuState, random: &mut Random, model: &Model) {
    let components = model.xsave_components();
    let mut half = || u128::from(random.next()) << 64 | u128::from(random.next());
    for vector in &mut cpu.vectors {
        vector.low = half();
        if components & xcr0::AVX != 0 {
            vector.high = half();
        }
    }
    if components != 0 && random.percent(60) {
        cpu.cr4 |= cr4::OSXSAVE;
        cpu.xcr0 = components;
    }
}

/// Everything in memory: tables, stacks, code and data.
pub fn memory(random: &mut Random, cpus: &[Start]) -> Vec<(u64, Vec<u8>)> {
    let mut memory = vec![(0, vectors(random)), (place::IDT, gates(random, cpus)), (place::GDT, descriptors(random))];
    memory.push((place::TSS, tasks(random)));
    memory.push((place::LDT, words(random, 64, |random, _| code::interesting(random))));
    memory.push((place::STACK - 0x1000, words(random, 512, |random, _| stacked(random))));
    for page in (place::CODE..place::CODE_END).step_by(4096) {
        let mode = random.pick(cpus.iter().map(|cpu| cpu.mode).collect::<Vec<_>>().as_slice());
        memory.push((page, code::page(random, mode.bitness())));
    }
    for table in 0..12 {
        memory.push((place::TABLES + 4096 * table, page_table(random, table)));
    }
    memory.push((place::DATA, words(random, 4096, |random, _| random.next())));
    memory
}

fn words(random: &mut Random, count: u64, mut word: impl FnMut(&mut Random, u64) -> u64) -> Vec<u8> {
    (0..count).flat_map(|index| word(random, index).to_le_bytes()).collect()
}

/// What a stack holds: addresses of code, selectors, flags, anything.
fn stacked(random: &mut Random) -> u64 {
    match random.below(8) {
        0..=2 => code::address(random),
        3 | 4 => code::selector(random),
        5 => random.next() & 0x3f_7fd5,
        _ => code::interesting(random),
    }
}

/// The interrupt vectors of real mode.
fn vectors(random: &mut Random) -> Vec<u8> {
    (0..256u32).flat_map(|_| (code::address(random) as u32 & 0xffff).to_le_bytes()).collect()
}

/// Gates of protected mode, or of long mode if the first vCPU starts there.
fn gates(random: &mut Random, cpus: &[Start]) -> Vec<u8> {
    let long = cpus[0].mode.is_long();
    let words = if long { 2 } else { 1 };
    let mut table = Vec::new();
    for _ in 0..256 {
        let offset = code::address(random) & 0xffff;
        let selector = match (long, cpus[0].mode) {
            (true, _) => 0x18,
            (false, Mode::Protected16) => 0x20,
            (false, _) => random.pick(&[0x08, 0x08, 0x08, 0x20, 0x50]),
        };
        let kind = random.pick(&[0x8e, 0x8e, 0xee, 0x8f, 0xef, 0x8e, 0xe6, 0x85]);
        let kind = if long { kind | 0x0e } else { kind };
        let stack = if random.percent(10) { random.below(8) } else { u64::from(long && random.percent(60)) };
        let gate = if random.percent(4) { random.next() } else { offset | selector << 16 | stack << 32 | kind << 40 };
        table.extend(gate.to_le_bytes());
        table.resize(table.len() + 8 * (words - 1), 0);
    }
    table
}

fn descriptors(random: &mut Random) -> Vec<u8> {
    let mut table = words(random, GDT_ENTRIES as u64, |random, _| {
        let gate = code::address(random) & 0xffff | code::selector(random) << 16;
        random.pick(&[random.clone().next(), gate | 0x8c << 40, gate | 0xec << 40, gate | 0xe4 << 40, 0])
    });
    for (index, descriptor) in DESCRIPTORS.iter().enumerate() {
        table[8 * index..8 * index + 8].copy_from_slice(&descriptor.to_le_bytes());
    }
    for cpu in 0..4 {
        let at = 8 * (TASKS + 2 * cpu);
        let descriptor = 0x0000_8900_0000_00ff | (place::TSS + 256 * cpu as u64) << 16;
        table[at..at + 8].copy_from_slice(&descriptor.to_le_bytes());
        table[at + 8..at + 16].fill(0);
    }
    table
}

/// Task states: stacks of all formats at once, as far as they do not overlap.
fn tasks(random: &mut Random) -> Vec<u8> {
    let mut all = Vec::new();
    for _ in 0..4 {
        let mut task = words(random, 32, |random, _| if random.percent(50) { 0 } else { random.next() });
        let stack = place::STACK - 16 * random.below(64);
        task[4..8].copy_from_slice(&(stack as u32).to_le_bytes());
        task[8..12].copy_from_slice(&0x10u32.to_le_bytes());
        if random.percent(60) {
            for at in (4..0x5c).step_by(8) {
                task[at..at + 8].copy_from_slice(&stack.to_le_bytes());
            }
        }
        task[0x66..0x68].copy_from_slice(&(0x68 + random.below(256) as u16).to_le_bytes());
        all.extend(task);
    }
    all
}

/// A page of page tables: number 0 to 3 of long mode, 4 to 7 of PAE paging, 8 to 11 of 32-bit paging.
fn page_table(random: &mut Random, number: u64) -> Vec<u8> {
    let next = place::TABLES + 4096 * (number + 1);
    let level = [4, 3, 2, 1, 3, 2, 1, 0, 2, 1, 0, 0][number as usize];
    if number < 8 {
        return words(random, 512, |random, index| entry(random, level, index, next));
    }
    let entries = (0..1024).flat_map(|index| (entry(random, level, index, next) as u32).to_le_bytes());
    entries.collect()
}

/// Mostly addresses that are mapped to themselves, and the next table; rarely anything.
fn entry(random: &mut Random, level: u64, index: u64, next: u64) -> u64 {
    let usual = index < if level == 1 { 64 } else { 2 };
    let rights = random.pick(&[0x7, 0x67, 0x27, 0x7, 0x67, 0x7, 0x3, 0x63, 0x5]);
    if level > 1 && (usual || random.percent(30)) && !random.percent(2) {
        return next | 7;
    }
    match random.below(if usual { 400 } else { 8 }) {
        0 => random.next(),
        1 => code::device_memory(random) & !0xfff | rights,
        2 => 0,
        3 => random.below(1 << 12) << 12 | rights | 0x80,
        4 => (place::TABLES + 4096 * random.below(12)) | rights,
        5 => (place::CODE + 4096 * random.below(8)) | rights,
        _ if level > 1 => next | rights,
        _ => index << 12 | rights,
    }
}
