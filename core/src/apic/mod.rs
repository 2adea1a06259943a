//! The local APIC of each vCPU, and the messages between them (SDM vol. 3, chapter 11 Advanced Programmable Interrupt
//! Controller).

use crate::board::Board;
use serde::{Deserialize, Serialize};

/// Everything that software can observe of a local APIC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalApicState {
    /// IA32_APIC_BASE.
    pub base: u64,
    /// INIT is waiting to be taken.
    pub init: bool,
    /// A start-up IPI is waiting to be taken: its vector.
    pub start_up: Option<u8>,
    /// An NMI is waiting to be taken.
    pub nmi: bool,
    /// The level of LINT0 while it is wired to the 8259 pair (ExtINT).
    pub external: bool,
}

/// A local APIC.
#[derive(Clone, Debug)]
pub struct LocalApic {
    /// All state.
    pub state: LocalApicState,
}

impl LocalApic {
    /// The local APIC of vCPU `index` after power-on.
    pub fn new(index: u32) -> Self {
        let bsp = if index == 0 { 1 << 8 } else { 0 };
        let base = 0xfee0_0000 | 1 << 11 | bsp;
        Self { state: LocalApicState { base, init: false, start_up: None, nmi: false, external: false } }
    }

    /// IA32_APIC_BASE.
    #[inline(always)]
    pub fn base(&self) -> u64 {
        self.state.base
    }

    /// Whether anything waits for the vCPU that could interrupt it, whatever its flags say: a maskable interrupt above
    /// the processor priority, an external one, NMI, INIT or a start-up IPI. Kept up to date, so that asking is cheap.
    #[inline(always)]
    pub fn has_signal(&self) -> bool {
        self.has_maskable() || self.state.nmi || self.state.init || self.state.start_up.is_some()
    }

    /// Whether a maskable interrupt waits that the processor priority lets through, or an external one.
    #[inline(always)]
    pub fn has_maskable(&self) -> bool {
        self.state.external
    }
}

impl Board {
    /// Puts a local APIC into its state after power-on.
    pub(crate) fn reset_apic(&mut self, cpu: usize) {
        self.apics[cpu] = LocalApic::new(cpu as u32);
    }

    /// Takes the highest maskable interrupt of `cpu`, with an acknowledge cycle to the 8259 pair if it is external.
    pub(crate) fn acknowledge_interrupt(&mut self, cpu: usize) -> Option<u8> {
        if self.apics[cpu].state.external { self.acknowledge_external() } else { None }
    }

    /// Reads the APIC register at `offset` of its page as `cpu`.
    pub(crate) fn apic_read(&mut self, _cpu: usize, _offset: u64) -> u32 {
        0
    }

    /// Writes the APIC register at `offset` of its page as `cpu`.
    pub(crate) fn apic_write(&mut self, _cpu: usize, _offset: u64, _value: u32) {}

    /// Reads an x2APIC MSR (0x800 to 0x8ff) or IA32_TSC_DEADLINE; `None` raises #GP.
    pub(crate) fn apic_read_msr(&mut self, _cpu: usize, _msr: u32) -> Option<u64> {
        None
    }

    /// Writes an x2APIC MSR, IA32_TSC_DEADLINE or IA32_APIC_BASE; `None` raises #GP.
    pub(crate) fn apic_write_msr(&mut self, _cpu: usize, _msr: u32, _value: u64) -> Option<()> {
        None
    }

    /// The task priority class, CR8.
    pub(crate) fn task_priority(&self, _cpu: usize) -> u8 {
        0
    }

    /// Sets the task priority class by MOV to CR8.
    pub(crate) fn set_task_priority(&mut self, _cpu: usize, _class: u8) {}

    /// The timer `slot` of a local APIC is due.
    pub(crate) fn apic_timer(&mut self, _cpu: usize, _slot: u32) {}

    /// The level of a local interrupt pin changed.
    pub(crate) fn local_interrupt(&mut self, cpu: usize, pin: u8, level: bool) {
        if pin == 0 {
            self.apics[cpu].state.external = level;
        } else if level {
            self.apics[cpu].state.nmi = true;
        }
        self.request_leave();
    }

    /// Delivers an interrupt message (SDM vol. 3, 11.11 Message Signalled Interrupts).
    pub fn interrupt_message(&mut self, _address: u64, _data: u32) {
        self.request_leave();
    }
}
