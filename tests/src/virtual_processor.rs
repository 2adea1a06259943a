//! The interpreter in the place of the host's processor: runs the same user-mode sequences from the same states.
//!
//! The sequence runs at CPL 3 in 64-bit mode under page tables that map its code and data and nothing else. Exceptions
//! are delivered by the machine's own means to an interrupt table whose handlers halt, so the frame that they find is
//! part of what is compared.

use reprise_core::board::Board;
use reprise_core::cpu::{Activity, CpuState, Model, Segment, TableRegister, cr0, cr4, efer, seg};
use reprise_core::engine::Engine;
use reprise_core::interp::Interpreter;
use reprise_silicon::generate::Case;
use reprise_silicon::{CODE_BASE, DATA_BASE, DATA_LEN, EXIT_PAGE, Fault, Outcome, UserState, code_page};

/// Where things lie in the small machine's RAM.
mod at {
    pub(super) const GDT: u64 = 0x1000;
    pub(super) const IDT: u64 = 0x2000;
    pub(super) const TSS: u64 = 0x3000;
    pub(super) const HANDLERS: u64 = 0x4000;
    pub(super) const STACK_TOP: u64 = 0x6000;
    pub(super) const PML4: u64 = 0x8000;
    pub(super) const PDPT: u64 = 0x9000;
    pub(super) const HIGH_PDPT: u64 = 0xd000;
    pub(super) const HIGH_DIRECTORY: u64 = 0xe000;
    pub(super) const DIRECTORY: u64 = 0xa000;
    pub(super) const HIGH_TABLE: u64 = 0xb000;
    pub(super) const CODE_TABLE: u64 = 0xc000;
    pub(super) const EXIT: u64 = 0xf000;
    pub(super) const CODE: u64 = 0x10000;
    pub(super) const DATA: u64 = 0x20000;
}

/// Where the system's part of RAM is mapped: far from any address that sequences reach for, where a user's access would
/// find it present.
const SYSTEM: u64 = 0xffff_d5a9_7340_0000;

const USER: u64 = 4;
const WRITABLE: u64 = 2;
const PRESENT: u64 = 1;
/// Accessed and dirty are set from the start, so that no run differs from the first.
const USED: u64 = 0x60;
const NO_EXECUTE: u64 = 1 << 63;

/// Instructions after which a sequence is taken to be endless.
const ENDLESS: u64 = 200_000;

/// A machine that runs user-mode sequences.
pub struct VirtualProcessor {
    board: Board,
    engine: Box<dyn Engine>,
    start: CpuState,
}

impl VirtualProcessor {
    /// One that runs on the interpreter, with the highest model whose instructions the host's processor has.
    pub fn new() -> Self {
        let name = if reprise_silicon::has_v3() { "x86-64-v3" } else { "x86-64-v2" };
        let model = Model::find(name).expect("the model exists");
        Self::with_engine(Box::new(Interpreter::new(model)), model)
    }

    /// One that runs on another engine.
    pub fn with_engine(engine: Box<dyn Engine>, model: &'static Model) -> Self {
        let mut board = Board::new(1 << 20, 1).expect("a mebibyte of RAM");
        write_tables(&mut board);
        Self { board, engine, start: start_state(model) }
    }

    /// Runs a case's sequence; its data area is changed as the sequence changes it.
    pub fn run(&mut self, case: &Case, data: &mut [u8]) -> Outcome {
        assert_eq!(data.len(), DATA_LEN, "the data area's length is fixed");
        self.board.dma_write(at::CODE, &code_page(&case.code));
        self.board.dma_write(at::DATA, data);
        let mut cpu = self.start.clone();
        enter(&mut cpu, &case.state);
        let mut left = ENDLESS;
        while cpu.activity == Activity::Running && left > 0 {
            left -= self.engine.run(&mut cpu, &mut self.board, left).retired;
        }
        self.board.dma_read(at::DATA, data);
        if cpu.activity == Activity::Running { Outcome::Endless } else { self.outcome(&cpu, case) }
    }

    /// What the frame on the handler's stack says.
    fn outcome(&self, cpu: &CpuState, case: &Case) -> Outcome {
        let vector = (cpu.regs.rip() - SYSTEM - at::HANDLERS - 1) as u8;
        let has_code = matches!(vector, 8 | 10..=14 | 17);
        let words = if has_code { 6 } else { 5 };
        let mut frame = [0; 48];
        let frame = &mut frame[..8 * words];
        self.board.dma_read(at::STACK_TOP - 8 * words as u64, frame);
        let word = |index: usize| u64::from_le_bytes(frame[8 * index..8 * index + 8].try_into().expect("eight bytes"));
        let first = usize::from(has_code);
        let mut state = leave(cpu);
        state.rip = word(first);
        state.rflags = UserState::sane_rflags(word(first + 2));
        state.gpr[4] = word(first + 3);
        if state.rip == CODE_BASE + case.code.len() as u64 {
            return Outcome::Done(state);
        }
        let error_code = if has_code { word(0) as u32 } else { 0 };
        Outcome::Fault(Fault { vector, error_code, address: (vector == 14).then_some(cpu.cr2), state })
    }
}

impl Default for VirtualProcessor {
    fn default() -> Self {
        Self::new()
    }
}

/// Where a sequence's data lies in RAM.
pub const DATA: u64 = at::DATA;

/// Everything in memory for a sequence: addresses in RAM, and what is there.
///
/// # Panics
///
/// If the host has no memory for it.
#[must_use]
pub fn memory(case: &Case) -> Vec<(u64, Vec<u8>)> {
    let mut board = Board::new(1 << 20, 1).expect("a mebibyte of RAM");
    write_tables(&mut board);
    board.dma_write(at::CODE, &code_page(&case.code));
    board.dma_write(at::DATA, &case.data);
    let page = |number: u32| {
        let address = u64::from(number) << 12;
        (address, board.ram.slice(address, 4096).expect("it is a page of RAM").to_vec())
    };
    board.ram.nonzero_pages().map(page).collect()
}

fn put(board: &mut Board, address: u64, value: u64) {
    board.dma_write(address, &value.to_le_bytes());
}

fn write_tables(board: &mut Board) {
    let descriptors = [0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff, 0x00cf_f300_0000_ffff, 0x00af_fb00_0000_ffff];
    for (index, descriptor) in descriptors.into_iter().enumerate() {
        put(board, at::GDT + 8 * index as u64, descriptor);
    }
    for vector in 0..32 {
        let handler = at::HANDLERS + vector;
        let entry = SYSTEM + handler;
        // Breakpoints are for everyone, as on every system.
        let attributes = if vector == 3 { 0xee00 } else { 0x8e00 };
        put(board, at::IDT + 16 * vector, entry & 0xffff | 8 << 16 | attributes << 32 | entry >> 16 << 48);
        put(board, at::IDT + 16 * vector + 8, entry >> 32);
        board.dma_write(handler, &[0xf4]);
    }
    put(board, at::TSS + 4, SYSTEM + at::STACK_TOP);
    write_page_tables(board);
}

fn write_page_tables(board: &mut Board) {
    let table = PRESENT | WRITABLE | USER | USED;
    put(board, at::PML4, at::PDPT | table);
    put(board, at::PDPT, at::DIRECTORY | table);
    put(board, at::PML4 + (SYSTEM >> 39 & 511) * 8, at::HIGH_PDPT | table);
    put(board, at::HIGH_PDPT + (SYSTEM >> 30 & 511) * 8, at::HIGH_DIRECTORY | table);
    put(board, at::HIGH_DIRECTORY + (SYSTEM >> 21 & 511) * 8, at::HIGH_TABLE | table);
    put(board, at::DIRECTORY + (CODE_BASE >> 21) * 8, at::CODE_TABLE | table);
    for page in 1..7 {
        put(board, at::HIGH_TABLE + 8 * page, page << 12 | PRESENT | WRITABLE | USED);
    }
    let slot = |address: u64| at::CODE_TABLE + (address >> 12 & 511) * 8;
    // The jump that ends a sequence finds an address that is none, and so faults where it stands.
    put(board, slot(EXIT_PAGE), at::EXIT | PRESENT | USER | USED | NO_EXECUTE);
    board.dma_write(at::EXIT, &0x8000_0000_0000_0000_u64.to_le_bytes());
    put(board, slot(CODE_BASE), at::CODE | PRESENT | USER | USED);
    for page in 0..(DATA_LEN as u64 >> 12) {
        let flags = PRESENT | WRITABLE | USER | USED | NO_EXECUTE;
        put(board, slot(DATA_BASE + (page << 12)), (at::DATA + (page << 12)) | flags);
    }
}

/// The registers of a system whose user runs a sequence, before [`enter`].
pub fn start_state(model: &'static Model) -> CpuState {
    let mut cpu = CpuState::new(0, model);
    cpu.cr0 = cr0::PE | cr0::MP | cr0::ET | cr0::NE | cr0::WP | cr0::PG;
    cpu.cr3 = at::PML4;
    cpu.cr4 = cr4::PAE | cr4::OSFXSR | cr4::OSXMMEXCPT | cr4::OSXSAVE;
    cpu.xcr0 = model.xsave_components();
    cpu.efer = efer::LME | efer::LMA | efer::NXE;
    cpu.segs = [Segment::from_descriptor(0x1b, 0x00cf_f300_0000_ffff); 6];
    cpu.segs[seg::CS] = Segment::from_descriptor(0x23, 0x00af_fb00_0000_ffff);
    cpu.gdtr = TableRegister { base: SYSTEM + at::GDT, limit: 0x27 };
    cpu.idtr = TableRegister { base: SYSTEM + at::IDT, limit: 0x1ff };
    cpu.tr = Segment { selector: 0x28, base: SYSTEM + at::TSS, limit: 0x67, attributes: 0x8b };
    cpu
}

/// Puts the registers of a user into `cpu`.
pub fn enter(cpu: &mut CpuState, state: &UserState) {
    for (register, value) in state.gpr.into_iter().enumerate() {
        cpu.regs.set(register as u8, value);
    }
    cpu.regs.set_rip(state.rip);
    cpu.flags.set(state.rflags);
    cpu.mxcsr = state.mxcsr();
    cpu.x87.control = state.fcw();
    cpu.x87.status = state.fsw();
    cpu.x87.empty = !state.ftw();
    let top = usize::from(state.fsw() >> 11 & 7);
    for i in 0..8 {
        cpu.x87.regs[(top + i) & 7] = reprise_core::softfloat::F80::from_le_bytes(state.st(i));
    }
    for i in 0..16 {
        cpu.vectors[i].low = state.xmm(i);
        cpu.vectors[i].high = state.high[i];
    }
}

fn leave(cpu: &CpuState) -> UserState {
    let mut state = UserState::new(cpu.regs.rip());
    state.gpr = cpu.regs.general();
    state.set_fcw(cpu.x87.control);
    state.set_fsw(cpu.x87.status);
    state.set_ftw(!cpu.x87.empty);
    state.set_mxcsr(cpu.mxcsr);
    let top = usize::from(cpu.x87.status >> 11 & 7);
    for i in 0..8 {
        state.set_st(i, cpu.x87.regs[(top + i) & 7].to_le_bytes());
    }
    for i in 0..16 {
        state.set_xmm(i, cpu.vectors[i].low);
        state.high[i] = cpu.vectors[i].high;
    }
    state
}
