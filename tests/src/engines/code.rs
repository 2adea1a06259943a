//! Ordinary code of random instructions, for 16, 32 and 64 bits.
//!
//! An instruction is any bytes of the right shape (prefixes, an opcode, an operand, a constant) that decode to one. Most
//! of what would soon end a program is thrown away again: privileged instructions, jumps to nowhere, writes to the few
//! registers that point to data. Jumps, loops, calls and returns are put in on purpose; they lead to where instructions
//! begin, mostly forward.

use crate::hostile::code::interesting;
use crate::hostile::start::place;
use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, Register,
};
use reprise_silicon::generate::Random;

/// Instructions that are drawn for one that is kept, at most.
const DRAWS: usize = 40;
const RSP: usize = 4;

/// Code, and where its instructions begin.
pub struct Code {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Offsets of the instructions that were meant.
    pub starts: Vec<u64>,
}

/// What code is like.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// 16, 32 or 64.
    pub bitness: u32,
    /// Registers that point to data, a bit each.
    pub pointers: u16,
    /// In how many of a hundred places there is a jump.
    pub jumps: u64,
    /// How many of a hundred privileged instructions are kept.
    pub privileged: u64,
}

/// Code of `length` bytes that will lie at `origin`, in a segment that begins at address 0.
pub fn ordinary(random: &mut Random, style: Style, origin: u64, length: usize) -> Code {
    let factory = InstructionInfoFactory::new();
    let mut writer =
        Writer { random, style, origin, bytes: Vec::new(), starts: Vec::new(), fixups: Vec::new(), factory };
    while writer.bytes.len() + 32 < length {
        writer.piece();
    }
    writer.finish(length)
}

/// A place that is to hold where an instruction begins.
struct Fixup {
    at: usize,
    size: usize,
    /// Whether it holds a distance from the byte after it.
    relative: bool,
}

struct Writer<'a> {
    random: &'a mut Random,
    style: Style,
    origin: u64,
    bytes: Vec<u8>,
    starts: Vec<u64>,
    fixups: Vec<Fixup>,
    factory: InstructionInfoFactory,
}

/// Bits of a REX prefix.
mod rex {
    pub(super) const W: u8 = 8;
    pub(super) const R: u8 = 4;
    pub(super) const X: u8 = 2;
    pub(super) const B: u8 = 1;
}

impl Writer<'_> {
    fn piece(&mut self) {
        if self.random.percent(self.style.jumps) {
            self.jump();
        } else {
            self.instruction();
        }
    }

    fn start(&mut self) {
        self.starts.push(self.bytes.len() as u64);
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn instruction(&mut self) {
        for _ in 0..DRAWS {
            let drawn = self.draw();
            let ip = self.origin + self.bytes.len() as u64;
            let decoded = Decoder::with_ip(self.style.bitness, &drawn, ip, DecoderOptions::NONE).decode();
            if self.is_wanted(&decoded) {
                self.start();
                let length = decoded.len().min(drawn.len());
                return self.put(&drawn[..length]);
            }
        }
    }

    fn is_wanted(&mut self, instruction: &Instruction) -> bool {
        if instruction.is_invalid() {
            return self.random.below(200) == 0;
        }
        let usual = match instruction.flow_control() {
            FlowControl::Next => true,
            FlowControl::Interrupt | FlowControl::Exception => self.random.percent(4),
            FlowControl::UnconditionalBranch
            | FlowControl::IndirectBranch
            | FlowControl::ConditionalBranch
            | FlowControl::Return
            | FlowControl::Call
            | FlowControl::IndirectCall
            | FlowControl::XbeginXabortXend => self.random.percent(2),
        };
        usual && self.is_harmless(instruction) && self.keeps_pointers(instruction)
    }

    /// Privileged instructions and those that load segments mostly fault, or change the mode.
    fn is_harmless(&mut self, instruction: &Instruction) -> bool {
        match instruction.mnemonic() {
            Mnemonic::Hlt => self.random.percent(1),
            Mnemonic::Popf | Mnemonic::Popfd | Mnemonic::Popfq => self.random.percent(20),
            Mnemonic::In | Mnemonic::Out | Mnemonic::Insb | Mnemonic::Insd | Mnemonic::Insw => self.random.percent(2),
            Mnemonic::Outsb | Mnemonic::Outsd | Mnemonic::Outsw => self.random.percent(2),
            _ if instruction.is_privileged() => self.random.percent(self.style.privileged),
            _ => true,
        }
    }

    fn keeps_pointers(&mut self, instruction: &Instruction) -> bool {
        let info = self.factory.info(instruction);
        let (mut pointer, mut stack, mut segment) = (false, false, false);
        for used in info.used_registers() {
            let writes = matches!(
                used.access(),
                OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
            );
            let register = used.register();
            segment |= writes && register.is_segment_register();
            if writes && register.is_gpr() {
                let number = register.full_register() as usize - Register::RAX as usize;
                pointer |= self.style.pointers >> number & 1 != 0;
                stack |= number == RSP;
            }
        }
        let pushes = instruction.is_stack_instruction() && !matches!(instruction.mnemonic(), Mnemonic::Leave);
        let steps = instruction.is_string_instruction();
        (!pointer || steps || self.random.percent(4))
            && (!stack || pushes || self.random.percent(3))
            && (!segment || self.random.percent(4))
    }

    /// Bytes that may be an instruction, and more than enough of them.
    fn draw(&mut self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(40);
        for (prefixes, chance) in [
            (&[0x66][..], 18),
            (&[0x67], 4),
            (&[0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65], 6),
            (&[0xf2, 0xf3], 8),
            (&[0xf0], 2),
        ] {
            if self.random.percent(chance) {
                bytes.push(self.random.pick(prefixes));
            }
        }
        let short_addresses = bytes.contains(&0x67);
        let (operand, extension) = self.operand(short_addresses);
        match self.random.below(100) {
            0..=6 => self.vex(&mut bytes, extension),
            class => {
                if self.style.bitness == 64 && (extension != 0 || self.random.percent(10)) {
                    bytes.push(0x40 | extension);
                }
                self.opcode(class, &mut bytes);
            }
        }
        bytes.extend(operand);
        bytes.extend(self.constant().to_le_bytes());
        bytes
    }

    fn opcode(&mut self, class: u64, bytes: &mut Vec<u8>) {
        let any = self.random.next() as u8;
        match class {
            7..=27 => {
                // What code mostly is made of: moves, additions, comparisons, addresses.
                let common = [0x01, 0x03, 0x09, 0x0b, 0x21, 0x23, 0x29, 0x2b, 0x31, 0x33, 0x39, 0x3b, 0x83, 0x81, 0x85];
                let moves = [0x88, 0x89, 0x8a, 0x8b, 0x8b, 0x89, 0x8d, 0xc7, 0xc6, 0x50, 0x58, 0xb8, 0xf7, 0xff, 0xc1];
                bytes.push(if any & 1 == 0 { self.random.pick(&common) } else { self.random.pick(&moves) });
            }
            28..=57 => bytes.push(any),
            58..=62 => bytes.push(0xd8 | any & 7),
            63..=65 => bytes.push(self.random.pick(&[0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf])),
            66..=89 => bytes.extend([0x0f, any]),
            90..=96 => bytes.extend([0x0f, 0x38, any]),
            _ => bytes.extend([0x0f, 0x3a, any]),
        }
    }

    /// A VEX prefix of three or two bytes and the opcode (SDM vol. 2, 2.3 Intel Advanced Vector Extensions).
    fn vex(&mut self, bytes: &mut Vec<u8>, extension: u8) {
        let [byte, opcode] = (self.random.next() as u16).to_le_bytes();
        if self.random.percent(30) {
            bytes.extend([0xc5, byte, opcode]);
        } else {
            let inverted = !extension & 7;
            let map = self.random.pick(&[1, 1, 2, 2, 3]);
            bytes.extend([0xc4, inverted << 5 | map, byte, opcode]);
        }
    }

    /// An operand in a register or in memory, as ModRM and what follows it, and the bits of REX that it needs.
    fn operand(&mut self, short_addresses: bool) -> (Vec<u8>, u8) {
        let field = self.random.below(8) as u8;
        let extension = if self.random.percent(40) { self.random.next() as u8 & (rex::W | rex::R) } else { 0 };
        let extension = if self.style.bitness == 64 { extension } else { 0 };
        if self.random.percent(45) {
            let register = self.random.below(if self.style.bitness == 64 { 16 } else { 8 }) as u8;
            return (vec![0xc0 | field << 3 | register & 7], extension | register >> 3);
        }
        let short = (self.style.bitness == 16) != short_addresses && self.style.bitness != 64;
        if short {
            return (self.short_memory(field), extension);
        }
        let (bytes, more) = self.memory(field);
        (bytes, extension | more)
    }

    /// Memory by 16-bit addresses.
    fn short_memory(&mut self, field: u8) -> Vec<u8> {
        let (mode, register) = (self.random.below(3) as u8, self.random.below(8) as u8);
        let displacement = self.random.below(0x100) as u16;
        let mut bytes = vec![mode << 6 | field << 3 | register];
        match (mode, register) {
            (0, 6) => bytes.extend((self.random.below(0x7000) as u16).to_le_bytes()),
            (0, _) => {}
            (1, _) => bytes.push(displacement as u8),
            _ => bytes.extend(displacement.wrapping_sub(0x80).to_le_bytes()),
        }
        bytes
    }

    fn pointer(&mut self) -> u8 {
        if self.random.percent(4) {
            return self.random.below(if self.style.bitness == 64 { 16 } else { 8 }) as u8;
        }
        if self.random.percent(8) {
            return RSP as u8;
        }
        let known: Vec<u8> = (0..16).filter(|number| self.style.pointers >> number & 1 != 0).collect();
        self.random.pick(&known)
    }

    /// Memory by 32- or 64-bit addresses, and the bits of REX for it.
    fn memory(&mut self, field: u8) -> (Vec<u8>, u8) {
        let base = self.pointer();
        let near = (self.random.below(0x400) as u32).wrapping_sub(0x200);
        match self.random.below(100) {
            0..=7 => {
                // Relative to RIP in 64-bit code, absolute elsewhere.
                let here = self.origin + self.bytes.len() as u64;
                let wide = self.style.bitness == 64;
                let place = interesting(self.random).wrapping_sub(if wide { here } else { 0 });
                let mut bytes = vec![field << 3 | 5];
                bytes.extend((place as u32).to_le_bytes());
                (bytes, 0)
            }
            8..=22 => {
                let index = self.random.below(if self.style.bitness == 64 { 16 } else { 8 }) as u8;
                let scale = self.random.below(4) as u8;
                let mut bytes = vec![0x80 | field << 3 | 4, scale << 6 | (index & 7) << 3 | base & 7];
                bytes.extend(near.to_le_bytes());
                (bytes, if index >= 8 { rex::X } else { 0 } | if base >= 8 { rex::B } else { 0 })
            }
            form => {
                let wide = form >= 80;
                let mut bytes = vec![if wide { 0x80 } else { 0x40 } | field << 3 | base & 7];
                if base & 7 == 4 {
                    bytes.push(0x24);
                }
                bytes.extend(&near.to_le_bytes()[..if wide { 4 } else { 1 }]);
                (bytes, if base >= 8 { rex::B } else { 0 })
            }
        }
    }

    /// A constant, or an address that an instruction holds.
    fn constant(&mut self) -> u64 {
        match self.random.below(4) {
            0 => interesting(self.random),
            1 => place::DATA + self.random.below(0x7000),
            2 => self.random.below(0x100),
            _ => self.random.next(),
        }
    }

    /// Bytes of a near distance or address.
    fn near(&self) -> usize {
        if self.style.bitness == 16 { 2 } else { 4 }
    }

    /// A jump whose last bytes say where to.
    fn jump_by(&mut self, opcode: &[u8], size: usize, relative: bool) {
        self.start();
        self.put(opcode);
        self.fixups.push(Fixup { at: self.bytes.len(), size, relative });
        self.put(&[0; 4][..size]);
    }

    fn jump(&mut self) {
        let condition = self.random.below(16) as u8;
        let near = self.near();
        match self.random.below(100) {
            0..=44 => self.jump_by(&[0x70 | condition], 1, true),
            45..=59 => self.jump_by(&[0x0f, 0x80 | condition], near, true),
            60..=66 => self.jump_by(&[0xe0 | condition & 3], 1, true),
            67..=76 => self.jump_by(&[0xe9], near, true),
            77..=84 => self.jump_by(&[0xe8], near, true),
            85..=91 => {
                self.start();
                self.put(&[0xc3]);
            }
            _ => {
                // mov register, target; jmp or call register.
                let register = self.random.pick(&[0, 1, 2]);
                self.jump_by(&[0xb8 | register], near, false);
                let kind = self.random.pick(&[0xd0, 0xe0]);
                self.start();
                self.put(&[0xff, kind | register]);
            }
        }
    }

    /// Where an instruction begins that a jump from `from` can reach; mostly later ones.
    fn target(&mut self, from: u64, size: usize) -> Option<u64> {
        let reach = if size == 1 { 120 } else { u64::MAX };
        let forward = self.random.percent(75);
        let near: Vec<_> = self.starts.iter().copied().filter(|&start| start.abs_diff(from) < reach).collect();
        let wanted: Vec<_> = near.iter().copied().filter(|&start| (start >= from) == forward).collect();
        let choice = if wanted.is_empty() { near } else { wanted };
        (!choice.is_empty()).then(|| self.random.pick(&choice))
    }

    fn finish(mut self, length: usize) -> Code {
        // The end leads back to the start.
        self.start();
        let near = self.near();
        let distance = (self.bytes.len() as u32 + 1 + near as u32).wrapping_neg();
        self.put(&[0xe9]);
        self.put(&distance.to_le_bytes()[..near]);
        for fixup in std::mem::take(&mut self.fixups) {
            let Fixup { at, size, relative } = fixup;
            let next = (at + size) as u64;
            let Some(target) = self.target(next, size) else { continue };
            let value = if relative { target.wrapping_sub(next) } else { self.origin + target };
            self.bytes[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
        }
        self.bytes.resize(length, 0xcc);
        Code { bytes: self.bytes, starts: self.starts }
    }
}
