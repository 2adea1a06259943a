//! The architectural state of a vCPU: everything software can observe, and nothing else.
//!
//! Engines run on [`CpuState`] directly; the runtime type is the saved type.

mod exception;
mod flags;
pub mod model;
mod msr;
mod register;
mod registers;
mod segment;
pub mod undefined;
mod vector;

pub use exception::{Exception, Vector};
pub use flags::Flags;
pub use model::Model;
pub use msr::Msrs;
pub use register::Register;
pub use registers::{Registers, reg};
pub use segment::{Segment, TableRegister, seg};
pub use vector::{VectorRegister, X87};

use serde::{Deserialize, Serialize};

/// Bits of CR0 (SDM vol. 3, 2.5 Control Registers).
#[allow(missing_docs)]
pub mod cr0 {
    pub const PE: u64 = 1 << 0;
    pub const MP: u64 = 1 << 1;
    pub const EM: u64 = 1 << 2;
    pub const TS: u64 = 1 << 3;
    pub const ET: u64 = 1 << 4;
    pub const NE: u64 = 1 << 5;
    pub const WP: u64 = 1 << 16;
    pub const AM: u64 = 1 << 18;
    pub const NW: u64 = 1 << 29;
    pub const CD: u64 = 1 << 30;
    pub const PG: u64 = 1 << 31;
}

/// Bits of CR4 (SDM vol. 3, 2.5 Control Registers).
#[allow(missing_docs)]
pub mod cr4 {
    pub const VME: u64 = 1 << 0;
    pub const PVI: u64 = 1 << 1;
    pub const TSD: u64 = 1 << 2;
    pub const DE: u64 = 1 << 3;
    pub const PSE: u64 = 1 << 4;
    pub const PAE: u64 = 1 << 5;
    pub const MCE: u64 = 1 << 6;
    pub const PGE: u64 = 1 << 7;
    pub const PCE: u64 = 1 << 8;
    pub const OSFXSR: u64 = 1 << 9;
    pub const OSXMMEXCPT: u64 = 1 << 10;
    pub const UMIP: u64 = 1 << 11;
    pub const FSGSBASE: u64 = 1 << 16;
    pub const PCIDE: u64 = 1 << 17;
    pub const OSXSAVE: u64 = 1 << 18;
    pub const SMEP: u64 = 1 << 20;
    pub const SMAP: u64 = 1 << 21;
}

/// Bits of XCR0, the state components of XSAVE (SDM vol. 1, 13.1 XSAVE-Supported Features and State-Component
/// Bitmaps).
#[allow(missing_docs)]
pub mod xcr0 {
    pub const X87: u64 = 1 << 0;
    pub const SSE: u64 = 1 << 1;
    pub const AVX: u64 = 1 << 2;
}

/// Bits of IA32_EFER (SDM vol. 3, 2.2.1 Extended Feature Enable Register).
#[allow(missing_docs)]
pub mod efer {
    pub const SCE: u64 = 1 << 0;
    pub const LME: u64 = 1 << 8;
    pub const LMA: u64 = 1 << 10;
    pub const NXE: u64 = 1 << 11;
}

/// What a vCPU is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activity {
    /// Executing instructions.
    Running,
    /// In HLT, until an interrupt.
    Halted,
    /// After INIT, until a start-up IPI.
    WaitForSipi,
    /// Shut down by a triple fault, until a reset.
    Shutdown,
}

/// What holds interrupts back until after the next instruction (SDM vol. 3, 6.8.3 Masking Exceptions and Interrupts
/// When Switching Stacks; vol. 2, STI).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shadow {
    /// Nothing.
    None,
    /// STI: maskable interrupts.
    Sti,
    /// MOV SS or POP SS: interrupts and debug traps.
    MovSs,
}

/// The architectural state of one vCPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuState {
    /// General-purpose registers and RIP.
    pub regs: Registers,
    /// RFLAGS.
    pub flags: Flags,
    /// Segment registers ES, CS, SS, DS, FS, GS, by [`seg`] number.
    pub segs: [Segment; 6],
    /// Local descriptor table register.
    pub ldtr: Segment,
    /// Task register.
    pub tr: Segment,
    /// Global descriptor table register.
    pub gdtr: TableRegister,
    /// Interrupt descriptor table register.
    pub idtr: TableRegister,
    /// Control register 0.
    pub cr0: u64,
    /// Page-fault linear address.
    pub cr2: u64,
    /// Root of the page tables.
    pub cr3: u64,
    /// Control register 4.
    pub cr4: u64,
    /// PAE page-directory pointers, loaded with CR3 (SDM vol. 3, 4.4.1 PDPTE Registers).
    pub pdptes: [u64; 4],
    /// Extended feature enable register.
    pub efer: u64,
    /// Debug address registers.
    pub dr: [u64; 4],
    /// Debug status.
    pub dr6: u64,
    /// Debug control.
    pub dr7: u64,
    /// Extended control register 0.
    pub xcr0: u64,
    /// Model-specific registers.
    pub msrs: Msrs,
    /// x87 state; MMX registers alias it.
    pub x87: X87,
    /// SSE control and status.
    pub mxcsr: u32,
    /// Vector registers.
    pub vectors: [VectorRegister; 16],
    /// What the vCPU is doing.
    pub activity: Activity,
    /// What holds interrupts back.
    pub shadow: Shadow,
    /// An NMI is being handled: others wait for IRET.
    pub nmi_blocked: bool,
    /// Bits for DR6 of debug traps that are due at the next instruction boundary.
    pub pending_debug: u64,
    /// The CPU's number: its place in the machine and its initial APIC ID.
    pub index: u32,
}

impl CpuState {
    /// The state after power-on (SDM vol. 3, 10.1.1 Processor State After Reset).
    pub fn new(index: u32, model: &Model) -> Self {
        let mut state = Self {
            regs: Registers::default(),
            flags: Flags::default(),
            segs: [Segment::real_mode(0); 6],
            ldtr: Segment::system(0x2),
            tr: Segment::system(0xb),
            gdtr: TableRegister::default(),
            idtr: TableRegister::default(),
            cr0: cr0::CD | cr0::NW | cr0::ET,
            cr2: 0,
            cr3: 0,
            cr4: 0,
            pdptes: [0; 4],
            efer: 0,
            dr: [0; 4],
            dr6: 0xffff_0ff0,
            dr7: 0x400,
            xcr0: 1,
            msrs: Msrs::default(),
            x87: X87::default(),
            mxcsr: 0x1f80,
            vectors: [VectorRegister::default(); 16],
            activity: if index == 0 { Activity::Running } else { Activity::WaitForSipi },
            shadow: Shadow::None,
            nmi_blocked: false,
            pending_debug: 0,
            index,
        };
        state.segs[seg::CS] = Segment { base: 0xffff_0000, ..Segment::real_mode_code(0xf000) };
        state.regs.set(reg::RDX, u64::from(model.signature()));
        state.regs.set_rip(0xfff0);
        state
    }

    /// The state after INIT: as after power-on, but for what INIT leaves alone (SDM vol. 3, table 10-1): the caches'
    /// enables, x87 and SSE state, and most model-specific registers.
    pub fn init(&mut self, model: &Model) {
        let fresh = Self::new(self.index, model);
        *self = Self {
            cr0: self.cr0 & (cr0::CD | cr0::NW) | cr0::ET,
            xcr0: self.xcr0,
            msrs: self.msrs.clone(),
            x87: self.x87.clone(),
            mxcsr: self.mxcsr,
            vectors: self.vectors,
            ..fresh
        };
        if self.index != 0 {
            self.activity = Activity::WaitForSipi;
        }
    }

    /// Start-up IPI: real mode at page `vector`.
    pub fn start_up(&mut self, vector: u8) {
        self.segs[seg::CS] = Segment::real_mode_code(u16::from(vector) << 8);
        self.regs.set_rip(0);
        self.activity = Activity::Running;
    }

    /// Current privilege level, 0 to 3.
    #[inline(always)]
    pub fn cpl(&self) -> u8 {
        self.segs[seg::SS].dpl()
    }

    /// Whether the CPU runs 64-bit code: long mode is active, and CS is a 64-bit segment.
    #[inline(always)]
    pub fn is_64bit(&self) -> bool {
        self.efer & efer::LMA != 0 && self.segs[seg::CS].is_long()
    }

    /// Whether protection is enabled.
    #[inline(always)]
    pub fn is_protected(&self) -> bool {
        self.cr0 & cr0::PE != 0
    }

    /// Whether long mode is active.
    #[inline(always)]
    pub fn is_long_mode(&self) -> bool {
        self.efer & efer::LMA != 0
    }
}
