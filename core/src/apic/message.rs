//! Interrupt messages: from the command register, from devices and from the I/O APIC, to the local APICs that they
//! name (SDM vol. 3, 11.6 Issuing Interprocessor Interrupts, and 11.11 Message Signalled Interrupts).

use super::LocalApic;
use super::registers::{Mode, error, icr};
use crate::board::Board;

/// How an interrupt is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    Fixed,
    LowestPriority,
    /// System management mode is not modelled: ignored.
    Smi,
    Reserved,
    Nmi,
    Init,
    StartUp,
    External,
}

impl Delivery {
    /// From the three bits above the vector, which are alike in all registers and messages.
    pub(super) fn of(register: u32) -> Self {
        match register >> 8 & 7 {
            0 => Self::Fixed,
            1 => Self::LowestPriority,
            2 => Self::Smi,
            3 => Self::Reserved,
            4 => Self::Nmi,
            5 => Self::Init,
            6 => Self::StartUp,
            _ => Self::External,
        }
    }
}

/// What is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interrupt {
    pub(super) vector: u8,
    pub(super) delivery: Delivery,
    /// Level-triggered: its end is told to the I/O APICs.
    pub(super) level: bool,
}

/// Who is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) id: u32,
    pub(super) logical: bool,
    /// All 32 bits count; else it is an 8-bit one of the xAPIC format.
    pub(super) wide: bool,
}

impl Destination {
    fn is_broadcast(self) -> bool {
        self.id == if self.wide { u32::MAX } else { 0xff }
    }
}

impl LocalApic {
    /// Whether a message to `to` is for this local APIC (SDM vol. 3, 11.6.2 Determining IPI Destination, and 11.12.10
    /// Determining IPI Destination in x2APIC Mode).
    pub(super) fn is_meant(&self, to: Destination) -> bool {
        match (self.mode(), to.logical) {
            (Mode::Disabled, _) => false,
            (Mode::XApic | Mode::X2Apic, _) if to.is_broadcast() => true,
            (Mode::XApic, false) => to.id == u32::from(self.state.id),
            (Mode::X2Apic, false) => to.id == self.index,
            (Mode::XApic, true) => to.id <= 0xff && self.is_in_group(to.id as u8),
            (Mode::X2Apic, true) => {
                let own = self.logical_x2apic_id();
                to.id >> 16 == own >> 16 && to.id & own & 0xffff != 0
            }
        }
    }

    /// Flat and cluster model (SDM vol. 3, 11.6.2.2 Logical Destination Mode).
    fn is_in_group(&self, group: u8) -> bool {
        let own = (self.state.ldr >> 24) as u8;
        match self.state.dfr >> 28 {
            0xf => own & group != 0,
            0 => own >> 4 == group >> 4 && own & group & 0xf != 0,
            _ => false,
        }
    }
}

impl Board {
    /// Sends what the command register of `cpu` says.
    pub(super) fn send_command(&mut self, cpu: usize) {
        let apic = &self.apics[cpu];
        let command = apic.state.icr;
        let wide = apic.mode() == Mode::X2Apic;
        let id = if wide { (command >> 32) as u32 } else { (command >> 56) as u32 };
        let interrupt = Interrupt { vector: command as u8, delivery: Delivery::of(command as u32), level: false };
        if !self.can_send(cpu, interrupt, command) {
            return;
        }
        match command >> 18 & 3 {
            0 => self.send(Destination { id, logical: command & icr::LOGICAL != 0, wide }, interrupt, false),
            // Only fixed interrupts can be sent to oneself (SDM vol. 3, table 11-3).
            1 if interrupt.delivery == Delivery::Fixed => self.deliver(cpu, interrupt),
            1 => log::debug!(target: "guest_errors", "local APIC {cpu}: {interrupt:?} to itself"),
            shorthand => self.send_to_all(interrupt, (shorthand == 3).then_some(cpu)),
        }
    }

    /// Whether the command is one that makes a message at all.
    fn can_send(&mut self, cpu: usize, interrupt: Interrupt, command: u64) -> bool {
        match interrupt.delivery {
            Delivery::Fixed | Delivery::LowestPriority if interrupt.vector < 16 => {
                self.apic_error(cpu, error::SEND_ILLEGAL_VECTOR);
                false
            }
            // INIT level de-assert only synchronised the arbitration IDs of processors before the Pentium 4.
            Delivery::Init => command & icr::LEVEL == 0 || command & icr::ASSERT != 0,
            Delivery::External => false,
            _ => true,
        }
    }

    /// The self-IPI register (SDM vol. 3, 11.12.11 SELF IPI Register).
    pub(super) fn send_to_self(&mut self, cpu: usize, vector: u8) {
        if vector < 16 {
            self.apic_error(cpu, error::SEND_ILLEGAL_VECTOR);
        } else {
            self.deliver(cpu, Interrupt { vector, delivery: Delivery::Fixed, level: false });
        }
    }

    fn send_to_all(&mut self, interrupt: Interrupt, except: Option<usize>) {
        for target in (0..self.apics.len()).filter(|&target| Some(target) != except) {
            if self.apics[target].mode() != Mode::Disabled {
                self.deliver(target, interrupt);
            }
        }
    }

    fn send(&mut self, to: Destination, interrupt: Interrupt, redirect: bool) {
        if redirect || interrupt.delivery == Delivery::LowestPriority {
            if let Some(target) = self.lowest_priority(to) {
                self.deliver(target, interrupt);
            }
            return;
        }
        for target in 0..self.apics.len() {
            if self.apics[target].is_meant(to) {
                self.deliver(target, interrupt);
            }
        }
    }

    /// The one of several that an interrupt of lowest priority goes to: the first of those with the lowest processor
    /// priority (the SDM leaves ties to the bus).
    fn lowest_priority(&self, to: Destination) -> Option<usize> {
        let able = |cpu: &usize| self.apics[*cpu].is_meant(to) && self.apics[*cpu].is_software_enabled();
        (0..self.apics.len()).filter(able).min_by_key(|&cpu| (self.apics[cpu].processor_priority(), cpu))
    }

    /// Delivers an interrupt message (SDM vol. 3, 11.11 Message Signalled Interrupts).
    pub fn interrupt_message(&mut self, address: u64, data: u32) {
        let logical = address & 1 << 2 != 0;
        let redirect = logical && address & 1 << 3 != 0;
        let to = Destination { id: (address >> 12) as u32 & 0xff, logical, wide: false };
        let level = data & 1 << 15 != 0;
        if level && data & 1 << 14 == 0 {
            return;
        }
        self.send(to, Interrupt { vector: data as u8, delivery: Delivery::of(data), level }, redirect);
        self.request_leave();
    }
}
