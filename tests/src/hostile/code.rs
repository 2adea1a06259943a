//! Bytes that hostile guests execute: random ones, and sequences that lean toward what systems do.

use super::start::place;
use reprise_silicon::generate::Random;

/// Ports at which something answers.
const PORTS: &[u16] = &[
    0x20, 0x21, 0x40, 0x41, 0x42, 0x43, 0x60, 0x61, 0x64, 0x70, 0x71, 0x72, 0x73, 0x80, 0xa0, 0xa1, 0xb2, 0xb3, 0x2f8,
    0x2f9, 0x2fa, 0x2fb, 0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x3fd, 0x4d0, 0x4d1, 0x510, 0x511, 0x514, 0x518, 0x600,
    0x602, 0x604, 0x608, 0x620, 0x628, 0x630, 0xcf8, 0xcf9, 0xcfc, 0xcfe,
];
/// Model-specific registers that exist, and some that do not.
const MSRS: &[u32] = &[
    0x10,
    0x1b,
    0x3a,
    0x3b,
    0x48,
    0x8b,
    0xc1,
    0xfe,
    0x174,
    0x175,
    0x176,
    0x179,
    0x17a,
    0x1a0,
    0x1d9,
    0x200,
    0x201,
    0x20f,
    0x250,
    0x268,
    0x26f,
    0x277,
    0x2ff,
    0x400,
    0x401,
    0x427,
    0x6e0,
    0x6e0,
    0x802,
    0x808,
    0x80b,
    0x80f,
    0x830,
    0x830,
    0x832,
    0x838,
    0x83e,
    0x83f,
    0xc000_0080,
    0xc000_0081,
    0xc000_0082,
    0xc000_0084,
    0xc000_0100,
    0xc000_0101,
    0xc000_0102,
    0xc000_0103,
];

/// An address in the code.
pub fn address(random: &mut Random) -> u64 {
    place::CODE + random.below(place::CODE_END - place::CODE)
}

/// A selector, mostly of a descriptor that is there.
pub fn selector(random: &mut Random) -> u64 {
    if random.percent(85) {
        random.pick(&[0x08, 0x10, 0x18, 0x20, 0x28, 0x33, 0x3b, 0x43, 0x4b, 0x50, 0x53, 0x58, 0x70, 0x80, 0, 3, 0x7])
    } else {
        random.next() & 0xffff
    }
}

/// An address of registers in memory, or at the edge of RAM.
pub fn device_memory(random: &mut Random) -> u64 {
    let low = random.below(0x400) & !3;
    match random.below(12) {
        0..=4 => {
            0xfee0_0000 | random.pick(&[0x20, 0x80, 0xb0, 0xd0, 0xf0, 0x300, 0x310, 0x320, 0x350, 0x380, 0x3e0, low])
        }
        5 | 6 => 0xfec0_0000 | random.pick(&[0, 0x10, 0x40, low]),
        7 | 8 => 0xfed0_0000 | random.pick(&[0, 0x10, 0x20, 0xf0, 0x100, 0x108, 0x120, 0x128, low]),
        9 => 0xb000_0000 | random.pick(&[0, 0xf_8000, 0xf_8060, 0xf_a000]) | low,
        10 => random.pick(&[0x9_fffc, 0xa_0000, 0xb_fffe, 0xf_fffc]),
        _ => (4 << 20) - random.below(16),
    }
}

/// A number that often means something.
pub fn interesting(random: &mut Random) -> u64 {
    match random.below(16) {
        0..=2 => place::DATA + random.below(0x8000),
        3 => place::DATA + 0x1000 * random.below(8) - random.below(16),
        4 => place::TABLES + random.below(0xc000),
        5 => place::TABLES + 0x4000 * random.below(3) + 8 * random.below(64),
        6 | 7 => address(random),
        8 => random.pick(&[place::IDT, place::GDT, place::TSS, place::LDT]) + random.below(0x200),
        9 => device_memory(random),
        10 | 11 => random.below(64),
        12 => random.next(),
        13 => random.next() & 0xffff_ffff,
        14 => 1 << random.below(64),
        _ => (random.below(64) as i64 - 32) as u64,
    }
}

/// A page of code, to be decoded as `bitness` says.
pub fn page(random: &mut Random, bitness: u32) -> Vec<u8> {
    let mut writer = Writer { random, bitness, bytes: Vec::new() };
    while writer.bytes.len() < 4096 {
        writer.piece();
    }
    let mut bytes = writer.bytes;
    bytes.truncate(4096);
    bytes
}

struct Writer<'a> {
    random: &'a mut Random,
    bitness: u32,
    bytes: Vec<u8>,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn byte(&mut self) -> u8 {
        self.random.next() as u8
    }

    /// Random bytes.
    fn noise(&mut self, count: u64) {
        for _ in 0..count {
            let byte = self.byte();
            self.bytes.push(byte);
        }
    }

    fn prefix(&mut self) {
        if self.random.percent(20) {
            let prefix = self.random.pick(&[0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x2e, 0x36, 0x26, 0x64, 0x65]);
            self.put(&[prefix]);
        }
        if self.bitness == 64 && self.random.percent(40) {
            let rex = 0x40 | self.random.below(16) as u8;
            self.put(&[rex]);
        }
    }

    /// MOV register, value: as wide as the mode allows without a prefix, rarely as it allows with one.
    fn set(&mut self, register: u8, value: u64) {
        let wide = self.bitness == 64 && value >> 32 != 0;
        if wide {
            self.put(&[0x48]);
        }
        if self.bitness == 16 && value >> 16 != 0 {
            self.put(&[0x66]);
        }
        self.put(&[0xb8 | register]);
        let size = if wide {
            8
        } else if self.bitness == 16 && value >> 16 == 0 {
            2
        } else {
            4
        };
        self.put(&value.to_le_bytes()[..size]);
    }

    /// A ModRM byte with `field` and what follows it: an operand in memory near what a register points to.
    fn memory(&mut self, field: u8) {
        let address = self.random.pick(&[0, 1, 2, 3, 6, 7]);
        let (mode, bytes) = if self.random.percent(70) { (0, 0) } else { (1, 1) };
        let address = if mode == 0 && self.bitness == 16 && address == 6 { 7 } else { address };
        self.put(&[mode << 6 | field << 3 | address]);
        self.noise(bytes);
    }

    /// An operand in memory, or mostly so.
    fn operand(&mut self, field: u8) {
        if self.random.percent(75) {
            self.memory(field);
        } else {
            let register = self.random.below(8) as u8;
            self.put(&[0xc0 | field << 3 | register]);
        }
    }

    fn register(&mut self) -> u8 {
        self.random.pick(&[0, 1, 2, 3, 5, 6, 7])
    }

    /// One instruction or a short sequence.
    fn piece(&mut self) {
        match self.random.below(40) {
            0 => {
                let count = 1 + self.random.below(12);
                self.noise(count);
            }
            1..=5 => self.arithmetic(),
            6 | 7 => self.pointer(),
            8 | 9 => self.stack(),
            10..=12 => self.string(),
            13 | 14 => self.jump(),
            15..=17 => self.control_register(),
            18 => self.model_specific(),
            19 | 20 => self.tables(),
            21 | 22 => self.far(),
            23..=25 => self.port(),
            26 | 27 => self.device(),
            28 | 29 => self.self_modifying(),
            30 | 31 => self.page_table(),
            32 => self.vector_state(),
            33 => self.vector(),
            34 => self.x87(),
            35 | 36 => self.flags(),
            37 => self.segment(),
            _ => self.special(),
        }
    }

    fn arithmetic(&mut self) {
        self.prefix();
        let field = self.random.below(8) as u8;
        match self.random.below(8) {
            0..=2 => {
                let opcode = (self.random.below(8) << 3 | self.random.below(4)) as u8;
                self.put(&[opcode]);
                self.operand(field);
            }
            3 => {
                let opcode =
                    self.random.pick(&[0x84, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8b, 0xf6, 0xf7, 0xfe, 0xd0, 0xd3]);
                self.put(&[opcode]);
                self.operand(field);
            }
            4 => {
                self.put(&[0x83]);
                self.operand(field);
                self.noise(1);
            }
            5 => {
                let opcode =
                    self.random.pick(&[0xa3, 0xab, 0xb3, 0xbb, 0xaf, 0xb6, 0xb7, 0xbe, 0xc0, 0xc1, 0xb0, 0xb1, 0xbc]);
                self.put(&[0x0f, opcode]);
                self.operand(field);
            }
            6 => {
                let wide = if self.bitness == 64 { 0x48 } else { 0x90 };
                self.put(&[wide, 0x0f, 0xc7]);
                self.memory(1);
            }
            _ => {
                let opcode = self.byte();
                self.put(&[0x0f, opcode]);
                self.operand(field);
            }
        }
    }

    /// A register that points to something.
    fn pointer(&mut self) {
        let register = self.register();
        let value = interesting(self.random);
        self.set(register, value);
    }

    fn stack(&mut self) {
        self.prefix();
        match self.random.below(8) {
            0 | 1 => {
                let opcode = 0x50 | self.random.below(16) as u8;
                self.put(&[if opcode == 0x5c { 0x58 } else { opcode }]);
            }
            2 => self.put(&[0x60]),
            3 => self.put(&[0x61]),
            4 => {
                let level = self.random.below(34) as u8;
                let size = self.byte() & 0x3f;
                self.put(&[0xc8, size, 0, level]);
            }
            5 => self.put(&[0xc9]),
            6 => {
                let stack = place::STACK - self.random.below(0x400);
                self.set(4, stack);
            }
            _ => {
                let edge = 0x1000 * (5 + self.random.below(4)) + self.random.below(12);
                self.set(4, edge);
            }
        }
    }

    fn string(&mut self) {
        if self.random.percent(50) {
            let count = match self.random.below(4) {
                0 => self.random.next(),
                1 => self.random.below(5000),
                _ => self.random.below(40),
            };
            self.set(1, count);
        }
        if self.random.percent(30) {
            let (from, to) = (interesting(self.random), interesting(self.random));
            self.set(6, from);
            self.set(7, to);
        }
        if self.random.percent(30) {
            let direction = self.random.pick(&[0xfc, 0xfd]);
            self.put(&[direction]);
        }
        let opcode =
            self.random.pick(&[0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf, 0x6c, 0x6d, 0x6e, 0x6f]);
        if opcode < 0x70 {
            let port = self.random.pick(PORTS);
            self.set(2, u64::from(port));
        }
        if self.random.percent(20) {
            self.put(&[0x67]);
        }
        if self.random.percent(80) {
            let repeat = self.random.pick(&[0xf2, 0xf3, 0xf3]);
            self.put(&[repeat]);
        }
        if self.random.percent(20) {
            self.put(&[if self.bitness == 64 { 0x48 } else { 0x66 }]);
        }
        self.put(&[opcode]);
    }

    fn jump(&mut self) {
        let distance = (self.random.below(64) as i64 - 32) as u8;
        match self.random.below(8) {
            0..=3 => {
                let opcode = 0x70 | self.random.below(16) as u8;
                self.put(&[opcode, distance]);
            }
            4 => {
                let opcode = 0xe0 | self.random.below(4) as u8;
                self.put(&[opcode, distance]);
            }
            5 => self.put(&[0xeb, distance & 0x1f]),
            6 => {
                let (register, target) = (self.register(), address(self.random));
                self.set(register, target);
                let call = self.random.pick(&[0xd0, 0xe0]);
                self.put(&[0xff, call | register]);
            }
            _ => {
                let opcode = self.random.pick(&[0xc3, 0xc3, 0xc2]);
                self.put(&[opcode, distance & 0x38, 0]);
            }
        }
    }

    fn control_register(&mut self) {
        let register = self.register();
        let number = self.random.pick(&[0, 0, 2, 3, 3, 4, 4, 8]);
        let value = match number {
            0 => self.random.pick(&[0x8000_0011, 0x8001_0033, 0x11, 0x10, 0x8005_0033, 0xe000_0011, 0x8000_0013]),
            3 => place::TABLES + 0x4000 * self.random.below(3) + self.random.pick(&[0, 0, 0, 0x1000, 0x18]),
            4 => self.random.pick(&[0x20, 0x6a0, 0x620, 0x10, 0xb0, 0x30_0620, 0x1_06a0, 0x2_0620, 0x620, 0x8]),
            _ => interesting(self.random),
        };
        let value = if self.random.percent(15) { value ^ 1 << self.random.below(32) } else { value };
        match self.random.below(6) {
            0 => self.put(&[0x0f, 0x20, 0xc0 | (number & 7) << 3 | register]),
            1 | 2 => {
                self.set(register, value);
                self.put(&[0x0f, 0x22, 0xc0 | (number & 7) << 3 | register]);
            }
            3 => {
                // Change a bit of what is there.
                self.put(&[0x0f, 0x20, 0xc0 | (number & 7) << 3 | register]);
                let bit = self.random.below(32) as u8;
                self.put(&[0x66, 0x0f, 0xba, 0xf8 | register, bit & 0x1f]);
                self.put(&[0x0f, 0x22, 0xc0 | (number & 7) << 3 | register]);
            }
            4 => {
                let number = self.random.below(8) as u8;
                let value = match number {
                    0..=3 => interesting(self.random),
                    _ => self.random.next() & 0xffff_ffff & !(1 << 13),
                };
                self.set(register, value);
                self.put(&[0x0f, 0x23, 0xc0 | number << 3 | register]);
            }
            _ => {
                self.put(&[0x0f, 0x21, 0xc0 | (self.bytes.len() as u8 & 7) << 3 | register]);
            }
        }
    }

    fn model_specific(&mut self) {
        let number = self.random.pick(MSRS);
        self.set(1, u64::from(number));
        if self.random.percent(70) {
            let value = match number {
                0x1b => self.random.pick(&[0xfee0_0900, 0xfee0_0800, 0xfee0_0c00, 0x3_0800, 0x3_3900, 0x2_3800]),
                0x830 => self.random.below(0x10_0000),
                0xc000_0080 => self.random.pick(&[0x500, 0xd01, 0x901, 0x801, 1]),
                0x6e0 | 0x838 => self.random.below(100_000),
                _ => interesting(self.random),
            };
            self.set(0, value & 0xffff_ffff);
            self.set(2, value >> 32);
            self.put(&[0x0f, 0x30]);
        } else {
            self.put(&[0x0f, 0x32]);
        }
    }

    fn tables(&mut self) {
        let field = self.random.below(8) as u8;
        if self.random.percent(50) {
            let register = self.register();
            let value = if self.random.percent(50) { selector(self.random) } else { interesting(self.random) };
            self.set(register, value);
            self.put(&[0x0f, 0x00, 0xc0 | field << 3 | register]);
        } else {
            let opcode = self.random.pick(&[0x01, 0x01, 0x02, 0x03]);
            self.prefix();
            self.put(&[0x0f, opcode]);
            // LGDT and LIDT of whatever is there end most guests at once.
            let field = if (field == 2 || field == 3) && self.random.percent(80) { 7 } else { field };
            self.operand(field);
        }
    }

    fn far(&mut self) {
        let (target, selector) = (address(self.random), selector(self.random));
        let wide = self.bitness != 16;
        match self.random.below(8) {
            0 | 1 => {
                let opcode = self.random.pick(&[0x9a, 0xea]);
                self.put(&[opcode]);
                self.put(&target.to_le_bytes()[..if wide { 4 } else { 2 }]);
                self.put(&selector.to_le_bytes()[..2]);
            }
            2 => {
                let field = self.random.pick(&[3, 5]);
                self.put(&[0xff]);
                self.memory(field);
            }
            3..=5 => {
                // IRET to a frame made for it.
                let stack = place::STACK - self.random.below(0x800);
                let flags = self.random.next() & 0x4_7fd5;
                let frame = [0x10, stack, flags, selector, target];
                for value in frame {
                    self.set(0, value);
                    self.put(&[0x50]);
                }
                if self.bitness == 64 {
                    self.put(&[0x48]);
                }
                self.put(&[0xcf]);
            }
            6 => {
                self.set(0, selector);
                self.put(&[0x50]);
                self.set(0, target);
                self.put(&[0x50, 0xcb]);
            }
            _ => {
                let opcode = self.random.pick(&[0xcf, 0xcb]);
                self.put(&[opcode]);
            }
        }
    }

    fn port(&mut self) {
        let port = if self.random.percent(95) { self.random.pick(PORTS) } else { self.byte().into() };
        self.set(2, u64::from(port));
        if self.random.percent(60) {
            let value = if self.random.percent(50) { self.random.below(256) } else { interesting(self.random) };
            self.set(0, value & 0xffff_ffff);
        }
        if self.random.percent(20) {
            self.put(&[0x66]);
        }
        let opcode = self.random.pick(&[0xec, 0xed, 0xee, 0xee, 0xee, 0xef]);
        let opcode = if port == 0xcf9 { 0xec } else { opcode };
        self.put(&[opcode]);
        if self.random.percent(15) {
            let opcode = self.random.pick(&[0x6c, 0x6d, 0x6e, 0x6f]);
            self.put(&[0xf3, opcode]);
        }
    }

    /// Registers in memory; interrupts between processors among them.
    fn device(&mut self) {
        let at = device_memory(self.random);
        self.set(3, at);
        let value = match at {
            0xfee0_0300 => {
                let mode = self.random.pick(&[0x000, 0x100, 0x400, 0x500, 0x608, 0x608, 0x700]);
                mode | self.random.pick(&[0, 0x4_0000, 0x8_0000, 0xc_0000, 0x4000]) | self.random.below(256) & 0xf8
            }
            0xfee0_0380 => self.random.below(2000),
            0xfee0_0320 => self.random.below(256) | self.random.pick(&[0, 0x2_0000, 0x1_0000]),
            0xfee0_00f0 => 0x1ff,
            _ => interesting(self.random),
        };
        self.set(0, value & 0xffff_ffff);
        if self.bitness == 16 {
            self.put(&[0x67]);
        }
        let opcode = self.random.pick(&[0x89, 0x89, 0x89, 0x8b, 0x88, 0x8a, 0x01, 0x87, 0xff, 0xa4]);
        self.put(&[opcode, 0x03]);
    }

    fn self_modifying(&mut self) {
        match self.random.below(3) {
            0 => {
                // call $+0; pop ebx; a store close by.
                self.put(if self.bitness == 16 { &[0xe8, 0, 0] } else { &[0xe8, 0, 0, 0, 0] });
                self.put(&[0x5b]);
                let distance = self.random.below(40) as u8;
                let value = self.byte();
                self.put(&[0xc6, if self.bitness == 16 { 0x47 } else { 0x43 }, distance, value]);
                if self.bitness == 16 {
                    let last = self.bytes.len();
                    self.bytes[last - 5] = 0x5f;
                }
            }
            1 if self.bitness == 64 => {
                let distance = self.random.below(40) as u8;
                let value = self.byte();
                self.put(&[0xc6, 0x05, distance, 0, 0, 0, value]);
            }
            _ => {
                let target = address(self.random);
                self.set(7, target);
                let opcode = self.random.pick(&[0xaa, 0xab, 0xa4, 0xa5]);
                self.put(&[opcode]);
            }
        }
    }

    /// Stores into page tables.
    fn page_table(&mut self) {
        let table = self.random.below(12);
        let slot = if self.random.percent(80) { self.random.below(64) } else { self.random.below(512) };
        self.set(7, place::TABLES + 4096 * table + 8 * slot);
        let value = match self.random.below(8) {
            0 => self.random.next(),
            1 => 0,
            2 => device_memory(self.random) & !0xfff | 7,
            3 => (place::TABLES + 4096 * self.random.below(12)) | 7,
            4 => slot << 12 | self.random.below(256),
            _ => slot << 12 | self.random.pick(&[7, 0x67, 5, 3, 0x27]),
        };
        match self.random.below(4) {
            0 => {
                let bit = self.random.pick(&[0, 1, 2, 5, 6, 7, 12]);
                self.put(&[0x0f, 0xba, if self.bitness == 16 { 0x3d } else { 0x3f }, bit]);
            }
            1 => {
                self.set(0, value & 0xffff_ffff);
                self.put(&[0xab]);
            }
            _ => {
                self.set(0, value);
                self.put(&[if self.bitness == 64 { 0x48 } else { 0x66 }, 0xab]);
            }
        }
        if self.random.percent(20) {
            self.put(&[0x0f, 0x01]);
            self.memory(7);
        }
    }

    /// FXSAVE, XSAVE and their like.
    fn vector_state(&mut self) {
        if self.random.percent(50) {
            let area = place::DATA + 64 * self.random.below(0x1c0);
            self.set(3, area);
        }
        if self.bitness == 64 && self.random.percent(30) {
            self.put(&[0x48]);
        }
        match self.random.below(8) {
            0 => {
                let components = self.random.pick(&[1, 3, 7, 7, 7, 5]);
                self.set(1, 0);
                self.set(2, 0);
                self.set(0, components);
                self.put(&[0x0f, 0x01, 0xd0 | (self.bytes.len() as u8 & 1)]);
            }
            1 => {
                let field = self.random.pick(&[0, 1, 3, 4, 5, 6, 7]);
                self.put(&[0x0f, 0xc7]);
                self.memory(field);
            }
            _ => {
                let field = self.random.pick(&[0, 1, 2, 3, 4, 4, 5, 5, 6, 7]);
                self.put(&[0x0f, 0xae, field << 3 | if self.bitness == 16 { 7 } else { 3 }]);
            }
        }
    }

    fn vector(&mut self) {
        if self.random.percent(50) {
            return self.vex();
        }
        let prefix = self.random.pick(&[0x90, 0x66, 0xf2, 0xf3]);
        let (opcode, field) = (self.byte(), self.random.below(8) as u8);
        self.put(&[prefix, 0x0f]);
        if self.random.percent(20) {
            self.put(&[0x38]);
        }
        self.put(&[opcode]);
        self.operand(field);
    }

    /// A VEX prefix, and what may follow one: often FMA, gathers or bit manipulation, which have an opcode map of their own.
    fn vex(&mut self) {
        let map = self.random.pick(&[1, 1, 2, 2, 3]);
        let registers = if self.bitness == 64 { self.byte() & 0xe0 } else { 0xe0 };
        let rest = self.byte();
        if map == 1 && self.random.percent(50) {
            self.put(&[0xc5, rest | if self.bitness == 64 { 0 } else { 0x80 }]);
        } else {
            self.put(&[0xc4, registers | map, rest]);
        }
        let opcode = match self.random.below(4) {
            0 if map == 2 => self.random.pick(&[0xf2, 0xf3, 0xf5, 0xf6, 0xf7, 0x13, 0x2c, 0x2e, 0x8c, 0x8e]),
            1 if map == 2 => 0x90 | self.byte() & 0x2f,
            _ => self.byte(),
        };
        let field = self.random.below(8) as u8;
        self.put(&[opcode]);
        self.operand(field);
        if map == 3 {
            self.noise(1);
        }
    }

    fn x87(&mut self) {
        let opcode = 0xd8 | self.random.below(8) as u8;
        self.put(&[opcode]);
        if self.random.percent(50) {
            let register = 0xc0 | self.byte();
            self.put(&[register]);
        } else {
            let field = self.random.below(8) as u8;
            self.memory(field);
        }
    }

    fn flags(&mut self) {
        match self.random.below(8) {
            0 | 1 => self.put(&[0xfb]),
            2 => self.put(&[0xfb, 0xf4]),
            3 => self.put(&[0xfa]),
            4 => {
                let flags = self.random.next() & 0x3f_7fd5 & !(1 << 17);
                self.set(0, flags & 0xffff);
                self.put(&[0x50, 0x9d]);
            }
            5 => {
                let flags = self.random.pick(&[0x102, 0x302, 0x202, 0x3302, 0x4_0202, 0x1_0302]);
                self.set(0, flags);
                self.put(&[0x50, 0x9d]);
            }
            6 => self.put(&[0x9c]),
            _ => {
                let opcode = self.random.pick(&[0xf4, 0xf5, 0xf8, 0xf9, 0x9e, 0x9f]);
                self.put(&[opcode]);
            }
        }
    }

    fn segment(&mut self) {
        let register = self.register();
        let value = selector(self.random);
        let number = self.random.pick(&[0, 2, 2, 3, 4, 5]);
        self.set(register, value);
        self.put(&[0x8e, 0xc0 | number << 3 | register]);
        if self.random.percent(30) {
            let opcode = self.random.pick(&[0xb2, 0xb4, 0xb5]);
            self.put(&[0x0f, opcode]);
            self.memory(register);
        }
    }

    fn special(&mut self) {
        const SPECIAL: &[&[u8]] = &[
            &[0x0f, 0xa2],
            &[0x0f, 0x31],
            &[0x0f, 0x33],
            &[0x0f, 0x09],
            &[0x0f, 0x06],
            &[0x0f, 0x01, 0xf8],
            &[0x0f, 0x01, 0xf9],
            &[0x0f, 0x01, 0xca],
            &[0x0f, 0x01, 0xcb],
            &[0xf3, 0x90],
            &[0xf3, 0x90],
            &[0x0f, 0x05],
            &[0x0f, 0x07],
            &[0x48, 0x0f, 0x07],
            &[0x0f, 0x34],
            &[0x0f, 0x35],
            &[0x48, 0x0f, 0x35],
            &[0xcc],
            &[0xce],
            &[0xf1],
            &[0x0f, 0x0b],
            &[0x0f, 0x77],
            &[0xf4],
            &[0x9b],
        ];
        if self.random.percent(15) {
            let vector = self.byte();
            self.put(&[0xcd, vector]);
        } else {
            let special = self.random.pick(SPECIAL);
            self.put(special);
        }
    }
}
