//! A machine without devices, in which tests execute a few instructions: [`Bench`].
//!
//! | address | what |
//! | --- | --- |
//! | 0x2000 | GDT: the selectors of [`selector`] |
//! | 0x3000 | IDT: the gate of vector n leads to [`handler`]`(n)`, where a HLT lies |
//! | 0x4000 | task state: stack 0 ends at [`KERNEL_STACK`], IST 1 at [`IST_STACK`] |
//! | 0x10000 | the code under test |
//! | 0x20000 | [`DATA`] |
//! | 0x40000 | page tables: the first GiB, one to one, for everyone |

use super::Interpreter;
use crate::board::Board;
use crate::cpu::{CpuState, Flags, Model, Segment, TableRegister, cr0, cr4, efer, reg, seg};
use crate::engine::{Engine, Ran};

/// Where the code under test lies.
pub(crate) const CODE: u64 = 0x1_0000;
/// Memory that tests may use: 64 KiB.
pub(crate) const DATA: u64 = 0x2_0000;
/// End of the stack at the start.
pub(crate) const STACK: u64 = 0x9000;
/// End of the stack that the task state holds for privilege level 0.
pub(crate) const KERNEL_STACK: u64 = 0x7000;
/// End of the first stack of the interrupt stack table.
pub(crate) const IST_STACK: u64 = 0x6000;
pub(crate) const GDT: u64 = 0x2000;
pub(crate) const IDT: u64 = 0x3000;
pub(crate) const TSS: u64 = 0x4000;
pub(crate) const PAGE_TABLES: u64 = 0x4_0000;

/// Selectors of the descriptor table.
pub(crate) mod selector {
    pub(crate) const CODE32: u16 = 0x08;
    pub(crate) const DATA: u16 = 0x10;
    pub(crate) const CODE64: u16 = 0x18;
    pub(crate) const USER_DATA: u16 = 0x23;
    pub(crate) const USER_CODE64: u16 = 0x2b;
    pub(crate) const USER_CODE32: u16 = 0x33;
    pub(crate) const TSS: u16 = 0x38;
    pub(crate) const CODE16: u16 = 0x48;
}

const DESCRIPTORS: [u64; 12] = [
    0,
    0x00cf_9b00_0000_ffff,
    0x00cf_9300_0000_ffff,
    0x00af_9b00_0000_ffff,
    0x00cf_f300_0000_ffff,
    0x00af_fb00_0000_ffff,
    0x00cf_fb00_0000_ffff,
    0x0000_8b00_4000_0067,
    0,
    0x0000_9b00_0000_ffff,
    0x0000_9300_0000_ffff,
    0,
];

/// Where the handler of a vector lies.
pub(crate) fn handler(vector: u8) -> u64 {
    0x8_0000 + 16 * u64::from(vector)
}

/// A vCPU with 2 MiB of RAM.
pub(crate) struct Bench {
    pub(crate) cpu: CpuState,
    pub(crate) board: Board,
    engine: Interpreter,
}

impl Bench {
    fn new(model: &str, code: &[u8]) -> Self {
        let model = Model::find(model).expect("the model exists");
        let mut cpu = CpuState::new(0, model);
        cpu.regs.set(reg::RDX, 0);
        cpu.regs.set_rip(CODE);
        cpu.regs.set(reg::RSP, STACK);
        let board = Board::new(2 << 20, 1).expect("2 MiB can be mapped");
        let mut bench = Self { cpu, board, engine: Interpreter::new(model) };
        bench.write(CODE, code);
        for vector in 0..=255 {
            bench.write(handler(vector), &[0xf4]);
        }
        bench
    }

    /// Real mode, all segments at 0 but CS, which begins at [`CODE`].
    pub(crate) fn real(code: &[u8]) -> Self {
        Self::real_with_model(Model::DEFAULT, code)
    }

    /// Real mode with a named model.
    pub(crate) fn real_with_model(model: &str, code: &[u8]) -> Self {
        let mut bench = Self::new(model, code);
        bench.cpu.segs[seg::CS] = Segment::real_mode_code((CODE >> 4) as u16);
        bench.cpu.regs.set_rip(0);
        for vector in 0..=255 {
            let segment = (handler(vector) >> 4) as u16;
            bench.write(4 * u64::from(vector), &(u32::from(segment) << 16).to_le_bytes());
        }
        bench
    }

    /// Protected mode with flat 32-bit segments at privilege level 0, without paging.
    pub(crate) fn protected(code: &[u8]) -> Self {
        Self::protected_with_model(Model::DEFAULT, code)
    }

    /// Protected mode with a named model.
    pub(crate) fn protected_with_model(model: &str, code: &[u8]) -> Self {
        let mut bench = Self::new(model, code);
        bench.cpu.cr0 = cr0::PE | cr0::ET | cr0::NE;
        bench.load_tables();
        bench.set_code(selector::CODE32, selector::DATA);
        for vector in 0..=255 {
            bench.set_gate(vector, selector::CODE32, 0x8e);
        }
        bench.write(TSS + 4, &(KERNEL_STACK as u32).to_le_bytes());
        bench.write(TSS + 8, &u32::from(selector::DATA).to_le_bytes());
        bench
    }

    /// 64-bit mode at privilege level 0, with everything that the default model has for SSE enabled.
    pub(crate) fn long(code: &[u8]) -> Self {
        Self::long_with_model(Model::DEFAULT, code)
    }

    /// 64-bit mode with a named model.
    pub(crate) fn long_with_model(model: &str, code: &[u8]) -> Self {
        let mut bench = Self::new(model, code);
        bench.cpu.cr0 = cr0::PE | cr0::PG | cr0::WP | cr0::ET | cr0::NE | cr0::MP;
        bench.cpu.cr3 = PAGE_TABLES;
        bench.cpu.cr4 = cr4::PAE | cr4::OSFXSR | cr4::OSXMMEXCPT;
        bench.cpu.efer = efer::LME | efer::LMA | efer::NXE | efer::SCE;
        bench.load_tables();
        bench.set_code(selector::CODE64, selector::DATA);
        for vector in 0..=255 {
            bench.set_gate64(vector, 0x8e, 0);
        }
        bench.write(TSS + 4, &KERNEL_STACK.to_le_bytes());
        bench.write(TSS + 0x24, &IST_STACK.to_le_bytes());
        bench.write_page_tables();
        bench
    }

    /// Four levels for the first GiB, in pages of 4 KiB below 2 MiB.
    fn write_page_tables(&mut self) {
        self.write(PAGE_TABLES, &(PAGE_TABLES + 0x1007).to_le_bytes());
        self.write(PAGE_TABLES + 0x1000, &(PAGE_TABLES + 0x2007).to_le_bytes());
        self.write(PAGE_TABLES + 0x2000, &(PAGE_TABLES + 0x3007).to_le_bytes());
        for at in 1..512u64 {
            self.write(PAGE_TABLES + 0x2000 + 8 * at, &(at << 21 | 0x87).to_le_bytes());
        }
        for at in 0..512u64 {
            self.write(self.leaf(at << 12), &(at << 12 | 7).to_le_bytes());
        }
    }

    /// The address of the page-table entry of a page below 2 MiB.
    pub(crate) fn leaf(&self, address: u64) -> u64 {
        PAGE_TABLES + 0x3000 + 8 * (address >> 12)
    }

    fn load_tables(&mut self) {
        self.cpu.gdtr = TableRegister { base: GDT, limit: 8 * DESCRIPTORS.len() as u16 - 1 };
        self.cpu.idtr = TableRegister { base: IDT, limit: 0xfff };
        for (at, descriptor) in (0..).zip(DESCRIPTORS) {
            self.write(GDT + 8 * at, &descriptor.to_le_bytes());
        }
        self.cpu.tr = Segment::from_descriptor(selector::TSS, DESCRIPTORS[7]);
    }

    /// Continues in other segments, without any check: the way to privilege level 3.
    pub(crate) fn set_code(&mut self, code: u16, data: u16) {
        let load = |selector: u16| Segment::from_descriptor(selector, DESCRIPTORS[usize::from(selector >> 3)]);
        self.cpu.segs = [load(data); 6];
        self.cpu.segs[seg::CS] = load(code);
    }

    /// Sets an 8-byte gate of type and attributes `kind`.
    pub(crate) fn set_gate(&mut self, vector: u8, selector: u16, kind: u8) {
        let offset = handler(vector);
        let gate = offset & 0xffff | u64::from(selector) << 16 | u64::from(kind) << 40 | (offset >> 16) << 48;
        self.write(IDT + 8 * u64::from(vector), &gate.to_le_bytes());
    }

    /// Sets a 16-byte gate of type and attributes `kind` that switches to stack `ist`.
    pub(crate) fn set_gate64(&mut self, vector: u8, kind: u8, ist: u8) {
        let offset = handler(vector);
        let code = u64::from(selector::CODE64) << 16;
        let low = offset & 0xffff | code | u64::from(ist) << 32 | u64::from(kind) << 40 | (offset >> 16) << 48;
        self.write(IDT + 16 * u64::from(vector), &low.to_le_bytes());
        self.write(IDT + 16 * u64::from(vector) + 8, &0u64.to_le_bytes());
    }

    /// Sets RFLAGS.
    pub(crate) fn set_flags(&mut self, flags: u64) {
        self.cpu.flags = Flags::from(flags);
    }

    /// Writes RAM.
    pub(crate) fn write(&mut self, address: u64, bytes: &[u8]) {
        self.board.ram.write(address, bytes);
    }

    /// The 64 bits at an address.
    pub(crate) fn read64(&self, address: u64) -> u64 {
        self.board.ram.get(address).map(u64::from_le_bytes).expect("the address is in RAM")
    }

    /// The 32 bits at an address.
    pub(crate) fn read32(&self, address: u64) -> u32 {
        self.read64(address) as u32
    }

    /// The 16 bits at an address.
    pub(crate) fn read16(&self, address: u64) -> u16 {
        self.read64(address) as u16
    }

    /// Executes `count` instructions, or fewer if the vCPU halts.
    pub(crate) fn run(&mut self, count: u64) -> Ran {
        self.engine.flush();
        self.engine.run(&mut self.cpu, &mut self.board, count)
    }

    /// Executes until the vCPU halts.
    pub(crate) fn run_to_halt(&mut self) {
        self.run(10_000);
        assert_ne!(self.cpu.activity, crate::cpu::Activity::Running, "no HLT within 10000 instructions");
    }

    /// The vector whose handler the vCPU has halted in.
    pub(crate) fn caught(&mut self) -> Option<u8> {
        self.run_to_halt();
        let linear = if self.cpu.is_protected() { 0 } else { self.cpu.segs[seg::CS].base } + self.cpu.regs.rip();
        (0..=255).find(|&vector| handler(vector) + 1 == linear)
    }
}

#[test]
fn instructions_execute_in_every_mode() {
    // mov ax, 0x1234 or mov eax, 0x..1234
    for mut bench in [Bench::real(&[0xb8, 0x34, 0x12]), Bench::protected(&[0xb8, 0x34, 0x12, 0, 0])] {
        assert_eq!(bench.run(1).retired, 1);
        assert_eq!(bench.cpu.regs.get(reg::RAX), 0x1234);
    }
    let mut bench = Bench::long(&[0x48, 0xc7, 0xc0, 0xff, 0xff, 0xff, 0xff, 0x48, 0x89, 0x04, 0x25, 0, 0, 2, 0]);
    bench.run(2);
    assert_eq!((bench.cpu.regs.get(reg::RAX), bench.read64(DATA)), (u64::MAX, u64::MAX));
}

#[test]
fn instructions_have_at_most_15_bytes() {
    let code = |prefixes: usize| [vec![0x66; prefixes], vec![0x90]].concat();
    assert_eq!(Bench::long(&code(14)).run(1).retired, 1);
    assert_eq!(Bench::long(&code(15)).caught(), Some(13));
    assert_eq!(Bench::long(&[0x0f, 0xff, 0xc0]).caught(), Some(6));
}
