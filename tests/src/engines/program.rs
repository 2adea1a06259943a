//! Programs for two engines: tables, code, data and registers, all a function of a seed.
//!
//! Page tables map addresses to themselves, as in [`hostile::start`](crate::hostile::start), whose modes, segments and odd
//! entries these programs have. Exceptions and interrupts lead to handlers of one HLT each, so the frames that they find stay
//! on the stack, where both machines are compared, until the trial goes on: by new registers, or by the IRET after the HLT.

use super::code::{self, Style};
use crate::hostile::code::{interesting, page};
use crate::hostile::start::{self, Mode, Start, place};
use crate::virtual_processor;
use iced_x86::CpuidFeature;
use reprise_core::cpu::{Activity, CpuState, Flags, Model, cr4, efer, seg};
use reprise_silicon::generate::{Case, Family, Generator, Random};

/// Handlers of exceptions and interrupts, so many bytes apart.
const HANDLERS: u64 = 0x1_0000;
const HANDLER_SIZE: u64 = 16;
/// Stack of handlers.
const HANDLER_STACK: u64 = place::STACK - 0x1000;
/// Pages of ordinary code; what hostile guests execute fills the others.
const MOST_ORDINARY: u64 = 3;

/// Floating-point numbers of which the most instructions make something.
const FLOATS: [u64; 12] = [
    0x3ff0_0000_3f80_0000,
    0x4008_0000_4040_0000,
    0xbff8_0000_bfc0_0000,
    0x7ff0_0000_7f80_0000,
    0xfff0_0000_ff80_0000,
    0x7ff8_0000_7fc0_0000,
    0x7ff4_0000_7fa0_0000,
    0x0000_0001_0000_0001,
    0x8000_0000_8000_0000,
    0x41ef_ffff_4eff_ffff,
    0x7fef_ffff_7f7f_ffff,
    0,
];

/// A program.
pub struct Program {
    /// What it is, for people.
    pub what: String,
    /// Physical addresses and what is there at the start.
    pub memory: Vec<(u64, Vec<u8>)>,
    /// The longest step that makes sense.
    pub longest: u64,
    /// Physical addresses that are written from outside while the program runs.
    pub disturbed: Vec<(u64, u64)>,
    kind: Kind,
}

enum Kind {
    /// Random code in any mode.
    Any { starts: Vec<CpuState>, entries: Vec<u64>, pointers: u16, alias: Option<u64>, frame: Frame },
    /// A user-mode sequence of the tests against silicon.
    Sequence { case: Box<Case>, start: Box<CpuState> },
}

/// How handlers find their frames.
#[derive(Clone, Copy)]
struct Frame {
    /// Address of the first handler in its code segment.
    first: u64,
    /// Bytes of a word.
    word: u64,
    /// Whether some exceptions have error codes.
    codes: bool,
}

/// Whether an exception pushes an error code.
fn has_code(vector: u64) -> bool {
    matches!(vector, 8 | 10..=14 | 17)
}

impl Program {
    /// Random code for `cpus` vCPUs of `model`.
    pub fn any(random: &mut Random, model: &Model, cpus: u32) -> Self {
        let mode = random.pick(&Mode::ALL);
        let mut vcpus: Vec<_> = (0..cpus).map(|_| Start::new(random, mode)).collect();
        if mode != Mode::Real && random.percent(25) {
            vcpus.iter_mut().for_each(|vcpu| vcpu.level = 3);
        }
        let pointers = pointers(random, mode.bitness());
        let mut memory = start::memory(random, &vcpus);
        let frame = write_handlers(&mut memory, mode);
        write_tasks(&mut memory, mode);
        let users = vcpus[0].level == 3 || random.percent(50);
        let mut entries = write_code(random, &mut memory, mode.bitness(), pointers);
        if let Some(alias) = alias(mode).filter(|_| random.percent(50)) {
            let again: Vec<_> = entries.iter().step_by(3).map(|entry| entry + alias).collect();
            entries.extend(again);
        }
        let starts: Vec<_> = (0..).zip(&vcpus).map(|(index, start)| vcpu(random, start, index, model, users)).collect();
        let no_execute = starts.iter().all(|cpu: &CpuState| cpu.efer & efer::NXE != 0);
        write_page_tables(random, &mut memory, users, no_execute);
        let level = starts[0].cpl();
        Self {
            what: format!("{mode:?} at level {level}, {}, {cpus} vCPUs", model.name),
            memory,
            longest: 10_000,
            disturbed: vec![
                (place::CODE, place::CODE_END),
                (place::TABLES, place::TABLES + 0xc000),
                (place::DATA, place::DATA + 0x8000),
            ],
            kind: Kind::Any { starts, entries, pointers, alias: alias(mode), frame },
        }
    }

    /// A sequence, mostly of one family; where the model has the newer ones, every other time of one of these.
    pub fn sequence(generator: &Generator, random: &mut Random, model: &'static Model) -> Self {
        let families = Family::on_host();
        let newer = model.level >= 3 && families.len() == Family::ALL.len() && random.percent(50);
        let family = random.pick(if newer { Family::newer() } else { families });
        let case = generator.case(random.next(), Some(family));
        Self {
            what: format!("sequence {} of {family:?}, {}", case.seed, model.name),
            memory: virtual_processor::memory(&case),
            longest: 64,
            disturbed: vec![(virtual_processor::DATA, virtual_processor::DATA + 0x4000)],
            kind: Kind::Sequence { case: Box::new(case), start: Box::new(virtual_processor::start_state(model)) },
        }
    }

    /// Lets `cpu` begin anew somewhere.
    pub fn restart(&self, random: &mut Random, cpu: &mut CpuState) {
        match &self.kind {
            Kind::Any { starts, entries, pointers, alias, .. } => {
                if random.percent(85) {
                    let (vectors, x87) = (cpu.vectors, cpu.x87.clone());
                    *cpu = starts[cpu.index as usize].clone();
                    (cpu.vectors, cpu.x87) = (vectors, x87);
                }
                set_registers(random, cpu, *pointers, *alias);
                jump(random, cpu, entries);
            }
            Kind::Sequence { case, start } => {
                let index = cpu.index;
                *cpu = (**start).clone();
                cpu.index = index;
                virtual_processor::enter(cpu, &case.state);
                if random.percent(60) {
                    let register = random.pick(&[0, 1, 2, 3, 5, 8, 9, 10, 11, 15]);
                    cpu.regs.set(register, random.next() >> random.below(64));
                }
                cpu.flags.set(cpu.flags.get() ^ random.next() & Flags::STATUS);
                if random.percent(4) {
                    cpu.flags.set(cpu.flags.get() | Flags::TF);
                }
            }
        }
        (cpu.activity, cpu.pending_debug) = (Activity::Running, 0);
    }

    /// Lets `cpu`, which is in a handler's HLT, return from it: what to write to the frame before that, and where, if it
    /// shall return to somewhere else. `None` if it is in none.
    pub fn resume(&self, random: &mut Random, cpu: &mut CpuState) -> Option<(u64, Vec<u8>)> {
        let Kind::Any { entries, frame, .. } = &self.kind else { return None };
        let offset = cpu.regs.rip().checked_sub(frame.first)?;
        let vector = offset / HANDLER_SIZE;
        if vector > 255 || offset % HANDLER_SIZE != 1 || cpu.activity != Activity::Halted {
            return None;
        }
        cpu.activity = Activity::Running;
        let code = if frame.codes && has_code(vector) { frame.word } else { 0 };
        let place = (cpu.segs[seg::SS].base.wrapping_add(cpu.regs.get(4)).wrapping_add(code)) & 0xf_ffff;
        let is_trap = matches!(vector, 1..=4) || vector > 31;
        let target = if is_trap && random.percent(90) { return Some((0, Vec::new())) } else { random.pick(entries) };
        Some((place, target.to_le_bytes()[..frame.word as usize].to_vec()))
    }
}

/// Registers that point to data.
fn pointers(random: &mut Random, bitness: u32) -> u16 {
    let base = 1 << 3 | 1 << 5 | 1 << 6 | 1 << 7;
    if bitness != 64 {
        return base;
    }
    let more = [8, 9, 10, 11, 12, 13, 14, 15].map(|number| u16::from(random.percent(30)) << number);
    let fewer = base & random.pick(&[0xff, 0xff, 0xe8, 0xc8, 0xa0]);
    fewer | more.iter().sum::<u16>()
}

fn set_registers(random: &mut Random, cpu: &mut CpuState, pointers: u16, alias: Option<u64>) {
    for number in 0..16 {
        let mut value = if pointers >> number & 1 != 0 { pointer(random) } else { value(random) };
        if pointers >> number & 1 != 0 && random.percent(8) {
            value = value.wrapping_add(alias.unwrap_or(0));
        }
        cpu.regs.set(number, value);
    }
    if random.percent(80) {
        cpu.regs.set(1, random.below(40));
    }
    let stack = place::STACK - 0x400 * u64::from(cpu.index) - random.below(0x100);
    let stack = if random.percent(90) { stack & !7 } else { stack };
    cpu.regs.set(4, if random.percent(3) { interesting(random) } else { stack });
    cpu.flags.set(flags(random));
    cpu.mxcsr = if random.percent(85) { 0x1f80 } else { random.next() as u32 & 0xffff };
    if random.percent(20) {
        cpu.x87 = Default::default();
        cpu.x87.control = random.pick(&[0x37f, 0x27f, 0x340, 0x300, 0xf7f]);
    }
    for vector in &mut cpu.vectors {
        if random.percent(40) {
            (vector.low, vector.high) = (wide(random), wide(random));
        }
    }
    if random.percent(4) {
        cpu.dr = [0; 4].map(|_: u64| pointer(random));
        cpu.dr7 = 0x400 | random.next() & 0xffff_0003;
    }
}

/// Mostly an address of data.
fn pointer(random: &mut Random) -> u64 {
    match random.below(100) {
        0..=69 => place::DATA + ((0x400 + random.below(0x7000)) & !random.pick(&[0, 0, 3, 7, 15, 31])),
        70..=79 => place::DATA + 0x1000 * (1 + random.below(7)) - random.below(40),
        80..=84 => place::CODE + random.below(place::CODE_END - place::CODE),
        85..=87 => place::TABLES + random.below(0xc000),
        88..=90 => place::STACK - random.below(0x1000),
        _ => interesting(random),
    }
}

fn value(random: &mut Random) -> u64 {
    match random.below(5) {
        0 => random.below(16),
        1 => interesting(random),
        2 => random.next() & 0xffff_ffff,
        3 => (random.next() as i64 >> random.below(64)) as u64,
        _ => random.next(),
    }
}

fn wide(random: &mut Random) -> u128 {
    let mut half = || match random.below(3) {
        0 => random.next(),
        1 => random.pick(&FLOATS),
        _ => random.pick(&FLOATS) ^ random.next() >> random.below(64),
    };
    u128::from(half()) << 64 | u128::from(half())
}

fn flags(random: &mut Random) -> u64 {
    let mut flags = random.next() & Flags::STATUS;
    for (flag, chance) in
        [(Flags::IF, 50), (Flags::DF, 12), (Flags::TF, 3), (Flags::AC, 15), (Flags::NT, 2), (Flags::RF, 3)]
    {
        if random.percent(chance) {
            flags |= flag;
        }
    }
    flags | if random.percent(20) { Flags::IOPL } else { 0 }
}

fn jump(random: &mut Random, cpu: &mut CpuState, entries: &[u64]) {
    let linear = if random.percent(98) { random.pick(entries) } else { crate::hostile::code::address(random) };
    let base = if cpu.is_64bit() { 0 } else { cpu.segs[seg::CS].base };
    cpu.regs.set_rip(linear.wrapping_sub(base) & if cpu.is_64bit() { u64::MAX } else { 0xffff_ffff });
}

/// How a vCPU is before its first registers are set.
fn vcpu(random: &mut Random, start: &Start, index: u32, model: &Model, users: bool) -> CpuState {
    let mut cpu = start.state(index, model);
    if start.mode.bitness() == 16 && random.percent(90) {
        // Data lies beyond what offsets of 16 bits reach.
        for number in [seg::DS, seg::ES] {
            cpu.segs[number].base = place::DATA;
            cpu.segs[number].selector = (place::DATA >> 4) as u16;
        }
    }
    if model.level >= 2 {
        let optional = cr4::SMAP | cr4::SMEP | cr4::FSGSBASE | cr4::OSXSAVE | cr4::UMIP;
        cpu.cr4 |= random.next() & optional;
        if start.level != 3 && users {
            // Little can be done where most pages are the user's.
            cpu.cr4 &= !(cr4::SMEP | if random.percent(60) { cr4::SMAP } else { 0 });
        }
        cpu.xcr0 = if model.has(CpuidFeature::AVX) { 7 } else { 3 };
    }
    cpu
}

/// Puts `bytes` over what is there.
fn replace(memory: &mut Vec<(u64, Vec<u8>)>, address: u64, bytes: Vec<u8>) {
    memory.push((address, bytes));
}

fn write_handlers(memory: &mut Vec<(u64, Vec<u8>)>, mode: Mode) -> Frame {
    let long = matches!(mode, Mode::Long | Mode::Compatibility);
    let word = match (long, mode.bitness()) {
        (true, _) => 8,
        (false, 32) => 4,
        _ => 2,
    };
    let frame = Frame {
        first: if matches!(mode, Mode::Real | Mode::Protected16) { 0 } else { HANDLERS },
        word,
        codes: mode != Mode::Real,
    };
    let (mut handlers, mut vectors, mut gates) = (Vec::new(), Vec::new(), Vec::new());
    for vector in 0..256_u64 {
        handlers.extend(handler(frame, vector));
        vectors.extend((((HANDLERS >> 4) << 16) as u32 | (vector * HANDLER_SIZE) as u32).to_le_bytes());
        gates.extend(gate(mode, long, vector));
    }
    replace(memory, HANDLERS, handlers);
    match mode {
        Mode::Real => replace(memory, 0, vectors),
        _ => replace(memory, place::IDT, gates),
    }
    frame
}

/// HLT, and what returns.
fn handler(frame: Frame, vector: u64) -> Vec<u8> {
    let mut code = vec![0xf4];
    let wide = frame.word == 8;
    if frame.codes && has_code(vector) {
        code.extend(if wide { &[0x48][..] } else { &[] });
        code.extend([0x83, 0xc4, frame.word as u8]);
    }
    code.extend(if wide { &[0x48, 0xcf][..] } else { &[0xcf] });
    code.resize(HANDLER_SIZE as usize, 0xf4);
    code
}

/// An interrupt gate, or now and then a trap gate (SDM vol. 3, 7.11 IDT Descriptors and 7.14.1 64-Bit Mode IDT).
fn gate(mode: Mode, long: bool, vector: u64) -> Vec<u8> {
    let (selector, kind) = match (long, mode) {
        (true, _) => (0x18, 0x8e),
        // There a gate of 16 bits can hold no more of an offset; the handlers' page is reached by a base.
        (false, Mode::Protected16) => (0x60, 0x86),
        (false, _) => (0x08, 0x8e),
    };
    let kind = kind | (vector / 5 % 2) | if matches!(vector, 3 | 4) || vector >= 0x80 { 0x60 } else { 0 };
    let address = if mode == Mode::Protected16 { 0 } else { HANDLERS } + vector * HANDLER_SIZE;
    let low = address & 0xffff | selector << 16 | kind << 40 | (address >> 16 & 0xffff) << 48;
    let mut gate = low.to_le_bytes().to_vec();
    gate.resize(if long { 16 } else { 8 }, 0);
    gate
}

/// Task states with a stack for handlers, and the code segment of 16-bit handlers.
fn write_tasks(memory: &mut Vec<(u64, Vec<u8>)>, mode: Mode) {
    let mut tasks = Vec::new();
    for cpu in 0..4_u64 {
        let stack = HANDLER_STACK - 0x100 * cpu;
        let mut task = vec![0; 256];
        match mode {
            Mode::Long | Mode::Compatibility => task[4..12].copy_from_slice(&stack.to_le_bytes()),
            Mode::Protected16 => task[2..6].copy_from_slice(&(stack as u32 | 0x28 << 16).to_le_bytes()),
            _ => task[4..12].copy_from_slice(&(stack | 0x10 << 32).to_le_bytes()),
        }
        task[0x66] = 0x68;
        tasks.extend(task);
    }
    replace(memory, place::TSS, tasks);
    let code = 0x0000_9b00_0000_ffff | (HANDLERS & 0xff_ffff) << 16;
    replace(memory, place::GDT + 0x60, u64::to_le_bytes(code).to_vec());
}

/// How far from its address memory is mapped a second time, by a large page.
fn alias(mode: Mode) -> Option<u64> {
    match mode {
        Mode::Long | Mode::Compatibility | Mode::Pae => Some(2 << 20),
        Mode::Paged32 => Some(4 << 20),
        Mode::Real | Mode::Protected16 | Mode::Protected32 => None,
    }
}

/// Most pages of the last levels: everything is allowed, to users if they are theirs. And a large page maps all of it again.
fn write_page_tables(random: &mut Random, memory: &mut Vec<(u64, Vec<u8>)>, users: bool, no_execute: bool) {
    let system = [place::IDT..HANDLER_STACK, HANDLERS..HANDLERS + 0x1000];
    let usual = if users { 0x67 } else { 0x63 };
    for (table, size) in [(3, 8), (6, 8), (9, 4)] {
        let mut entries = Vec::new();
        for page in (0..64_u64).map(|number| number << 12) {
            let rights = match random.below(60) {
                0 => 5,
                1 => usual ^ 4,
                2 => 0,
                3..=9 => usual & 7,
                10 if no_execute => usual | 1 << 63,
                _ => usual,
            };
            let is_vital = system.iter().any(|range| range.contains(&page));
            let rights = if is_vital && random.percent(98) { 0x63 } else { rights };
            entries.extend(&(page | rights).to_le_bytes()[..size]);
        }
        replace(memory, place::TABLES + 0x1000 * table, entries);
    }
    for (directory, size) in [(2, 8), (5, 8), (8, 4)] {
        let large = (usual | 0x80_u64).to_le_bytes()[..size].to_vec();
        replace(memory, place::TABLES + 0x1000 * directory + size as u64, large);
    }
}

/// Fills the pages of code; where something begins there.
fn write_code(random: &mut Random, memory: &mut Vec<(u64, Vec<u8>)>, bitness: u32, pointers: u16) -> Vec<u64> {
    let pages = 1 + random.below(MOST_ORDINARY);
    let style =
        Style { bitness, pointers, jumps: random.pick(&[3, 12, 12, 25, 70]), privileged: random.pick(&[0, 2, 2, 30]) };
    let length = random.pick(&[64, 200, 1000, 4096 * pages as usize]);
    let ordinary = code::ordinary(random, style, place::CODE, length);
    let mut entries: Vec<_> = ordinary.starts.iter().map(|start| place::CODE + start).collect();
    let end = place::CODE + ordinary.bytes.len() as u64;
    replace(memory, place::CODE, ordinary.bytes);
    let next = end.next_multiple_of(4096);
    if next < place::CODE_END {
        replace(memory, next, page(random, bitness));
        entries.extend((0..1 + entries.len() / 20).map(|_| next + random.below(4096)).collect::<Vec<_>>());
    }
    entries
}
