//! The local APIC of each vCPU, and the messages between them (SDM vol. 3, chapter 11 Advanced Programmable Interrupt
//! Controller), in xAPIC and x2APIC mode.
//!
//! Not modelled: system management interrupts, remote read, focus checking, the corrected machine check entry of the
//! local vector table, suppression of EOI broadcasts, and the time that messages take. The thermal and performance
//! entries can be programmed, but nothing makes them fire.

mod message;
mod registers;
mod timer;

#[cfg(test)]
mod tests;

use crate::board::Board;
use crate::scheduler::{Owner, Timer};
use message::{Delivery, Interrupt};
use registers::{Mode, Register, base, error, icr, lvt, svr};
use serde::{Deserialize, Serialize};
use timer::{TimerMode, TimerState};

/// IA32_APIC_BASE.
const MSR_APIC_BASE: u32 = 0x1b;
/// IA32_TSC_DEADLINE.
const MSR_TSC_DEADLINE: u32 = 0x6e0;
/// The first x2APIC MSR.
const MSR_X2APIC: u32 = 0x800;

/// One bit for each vector.
type Vectors = [u32; 8];

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
    /// A message of delivery mode ExtINT is waiting to be taken.
    external: bool,
    /// Levels of the local interrupt pins.
    pins: [bool; 2],
    /// The ID in xAPIC mode.
    id: u8,
    tpr: u8,
    ldr: u32,
    dfr: u32,
    svr: u32,
    isr: Vectors,
    tmr: Vectors,
    irr: Vectors,
    /// The error status register as last latched by a write.
    esr: u32,
    /// Errors since then.
    errors: u32,
    icr: u64,
    lvt: [u32; lvt::COUNT],
    timer: TimerState,
}

/// A local APIC.
#[derive(Clone, Debug)]
pub struct LocalApic {
    /// All state. The engine and the run loop take `init`, `start_up` and `nmi` from here.
    pub state: LocalApicState,
    /// The initial APIC ID, which is the ID in x2APIC mode.
    index: u32,
    /// Cached answer of [`has_maskable`](Self::has_maskable).
    maskable: bool,
}

impl LocalApicState {
    /// After power-on (SDM vol. 3, 11.4.7.1 Local APIC State After Power-Up or Reset).
    fn new(index: u32) -> Self {
        let bsp = if index == 0 { base::BSP } else { 0 };
        Self {
            base: 0xfee0_0000 | base::EN | bsp,
            init: false,
            start_up: None,
            nmi: false,
            external: false,
            pins: [false; 2],
            id: index as u8,
            tpr: 0,
            ldr: 0,
            dfr: u32::MAX,
            svr: 0xff,
            isr: [0; 8],
            tmr: [0; 8],
            irr: [0; 8],
            esr: 0,
            errors: 0,
            icr: 0,
            lvt: [lvt::MASKED; lvt::COUNT],
            timer: TimerState::default(),
        }
    }
}

impl LocalApic {
    /// The local APIC of vCPU `index` after power-on.
    pub fn new(index: u32) -> Self {
        Self { state: LocalApicState::new(index), index, maskable: false }
    }

    /// Takes saved state over.
    pub(crate) fn set_state(&mut self, state: LocalApicState) {
        self.state = state;
        self.refresh();
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
        self.maskable || self.state.nmi || self.state.init || self.state.start_up.is_some()
    }

    /// Whether a maskable interrupt waits that the processor priority lets through, or an external one.
    #[inline(always)]
    pub fn has_maskable(&self) -> bool {
        self.maskable
    }

    /// The page at which the registers answer; `None` while they are MSRs, or the local APIC is disabled.
    #[inline]
    pub fn page(&self) -> Option<u64> {
        (self.mode() == Mode::XApic).then_some(self.state.base & base::PAGE)
    }

    fn mode(&self) -> Mode {
        Mode::of(self.state.base).unwrap_or(Mode::Disabled)
    }

    fn is_software_enabled(&self) -> bool {
        self.state.svr & svr::ENABLE != 0
    }

    fn logical_x2apic_id(&self) -> u32 {
        (self.index >> 4) << 16 | 1 << (self.index & 15)
    }

    /// The processor-priority register (SDM vol. 3, 11.8.3.1 Task and Processor Priorities).
    fn processor_priority(&self) -> u8 {
        let (tpr, in_service) = (self.state.tpr, highest(&self.state.isr).unwrap_or(0));
        if tpr >> 4 >= in_service >> 4 { tpr } else { in_service & 0xf0 }
    }

    /// The arbitration-priority register (SDM vol. 3, 11.6.2.4 Lowest Priority Delivery Mode).
    fn arbitration_priority(&self) -> u8 {
        let class = |vectors| highest(vectors).unwrap_or(0) & 0xf0;
        let (tpr, irr, isr) = (self.state.tpr, class(&self.state.irr), class(&self.state.isr));
        if tpr & 0xf0 >= irr && tpr & 0xf0 > isr { tpr } else { (tpr & isr & 0xf0).max(irr) }
    }

    /// The highest vector that the processor priority lets through.
    fn deliverable(&self) -> Option<u8> {
        highest(&self.state.irr).filter(|vector| vector >> 4 > self.processor_priority() >> 4)
    }

    /// Whether the 8259 pair asks for this vCPU: by the pin, or by a message through the I/O APIC.
    fn has_external(&self) -> bool {
        let entry = self.state.lvt[lvt::LINT0];
        let connected = match self.mode() {
            Mode::Disabled => true,
            Mode::XApic | Mode::X2Apic => entry & lvt::MASKED == 0 && Delivery::of(entry) == Delivery::External,
        };
        self.state.external || connected && self.state.pins[0]
    }

    fn refresh(&mut self) {
        self.maskable = self.deliverable().is_some() || self.has_external();
    }

    fn timer_mode(&self) -> TimerMode {
        TimerMode::of(self.state.lvt[lvt::TIMER])
    }

    /// What a register reads as; reading changes nothing.
    fn read(&self, register: Register, now: u64) -> u32 {
        let state = &self.state;
        match register {
            Register::Id if self.mode() == Mode::X2Apic => self.index,
            Register::Id => u32::from(state.id) << 24,
            Register::Version => registers::VERSION,
            Register::TaskPriority => u32::from(state.tpr),
            Register::ArbitrationPriority => u32::from(self.arbitration_priority()),
            Register::ProcessorPriority => u32::from(self.processor_priority()),
            Register::LogicalDestination if self.mode() == Mode::X2Apic => self.logical_x2apic_id(),
            Register::LogicalDestination => state.ldr,
            Register::DestinationFormat => state.dfr,
            Register::SpuriousVector => state.svr,
            Register::InService(word) => state.isr[word],
            Register::TriggerMode(word) => state.tmr[word],
            Register::Request(word) => state.irr[word],
            Register::ErrorStatus => state.esr,
            Register::CommandLow => state.icr as u32,
            Register::CommandHigh => (state.icr >> 32) as u32,
            Register::Lvt(entry) => state.lvt[entry],
            Register::InitialCount => state.timer.initial,
            Register::CurrentCount => state.timer.count(self.timer_mode(), now),
            Register::DivideConfiguration => state.timer.divide,
            Register::EndOfInterrupt | Register::RemoteRead | Register::SelfIpi => 0,
        }
    }
}

impl Board {
    /// Puts a local APIC into its state after power-on; what comes in at its pins stays.
    pub(crate) fn reset_apic(&mut self, cpu: usize) {
        let mut state = LocalApicState::new(cpu as u32);
        state.pins = self.apics[cpu].state.pins;
        self.apics[cpu].set_state(state);
        self.arm_apic_timer(cpu);
    }

    /// Programs a local APIC as firmware leaves that of the first vCPU: software-enabled, LINT0 the virtual wire from
    /// the 8259 pair, LINT1 the NMI (Intel MultiProcessor Specification 1.4, 3.6.2.2 Virtual Wire Mode).
    pub fn set_virtual_wire(&mut self, cpu: usize) {
        let state = &mut self.apics[cpu].state;
        state.svr = 0xff | svr::ENABLE;
        state.lvt[lvt::LINT0] = 7 << 8 | lvt::LEVEL;
        state.lvt[lvt::LINT1] = 4 << 8 | lvt::LEVEL;
        self.apic_changed(cpu);
    }

    /// Takes the highest maskable interrupt of `cpu`, with an acknowledge cycle to the 8259 pair if it is external.
    pub fn acknowledge_interrupt(&mut self, cpu: usize) -> Option<u8> {
        let apic = &mut self.apics[cpu];
        if let Some(vector) = apic.deliverable() {
            set(&mut apic.state.irr, vector, false);
            set(&mut apic.state.isr, vector, true);
            apic.refresh();
            return Some(vector);
        }
        if !apic.has_external() {
            return None;
        }
        apic.state.external = false;
        apic.refresh();
        self.acknowledge_external()
    }

    /// Reads the APIC register at `offset` of its page as `cpu`.
    pub fn apic_read(&mut self, cpu: usize, offset: u64) -> u32 {
        let apic = &self.apics[cpu];
        if apic.mode() != Mode::XApic {
            return u32::MAX;
        }
        // Only the first 32 of each register's 128 bits are defined.
        if offset & 0xc != 0 {
            return 0;
        }
        match Register::at(offset >> 4, Mode::XApic) {
            Some(register) => apic.read(register, self.now),
            None => {
                self.apic_error(cpu, error::ILLEGAL_REGISTER);
                0
            }
        }
    }

    /// What [`apic_read`](Self::apic_read) would return, without any effect.
    pub fn apic_peek(&self, cpu: usize, offset: u64) -> u32 {
        let apic = &self.apics[cpu];
        match Register::at(offset >> 4, Mode::XApic) {
            _ if apic.mode() != Mode::XApic => u32::MAX,
            Some(register) if offset & 0xc == 0 => apic.read(register, self.now),
            Some(_) | None => 0,
        }
    }

    /// Writes the APIC register at `offset` of its page as `cpu`.
    pub fn apic_write(&mut self, cpu: usize, offset: u64, value: u32) {
        if self.apics[cpu].mode() != Mode::XApic || offset & 0xc != 0 {
            return;
        }
        match Register::at(offset >> 4, Mode::XApic) {
            Some(register) => self.write_apic_register(cpu, register, value),
            None => self.apic_error(cpu, error::ILLEGAL_REGISTER),
        }
    }

    /// Reads an x2APIC MSR (0x800 to 0x8ff), IA32_TSC_DEADLINE or IA32_APIC_BASE; `None` raises #GP.
    pub(crate) fn apic_read_msr(&mut self, cpu: usize, msr: u32) -> Option<u64> {
        let apic = &self.apics[cpu];
        match msr {
            MSR_APIC_BASE => Some(apic.state.base),
            MSR_TSC_DEADLINE if apic.timer_mode() != TimerMode::TscDeadline => Some(0),
            MSR_TSC_DEADLINE => Some(apic.state.timer.deadline(self.now)),
            _ => match x2apic_register(apic, msr)? {
                Register::CommandLow => Some(apic.state.icr),
                register if register.is_readable_msr() => Some(u64::from(apic.read(register, self.now))),
                _ => None,
            },
        }
    }

    /// Writes an x2APIC MSR, IA32_TSC_DEADLINE or IA32_APIC_BASE; `None` raises #GP.
    pub(crate) fn apic_write_msr(&mut self, cpu: usize, msr: u32, value: u64) -> Option<()> {
        match msr {
            MSR_APIC_BASE => return self.write_apic_base(cpu, value),
            MSR_TSC_DEADLINE => self.write_tsc_deadline(cpu, value),
            _ => {
                let register = x2apic_register(&self.apics[cpu], msr)?;
                if value & !register.writable_msr_bits()? != 0 {
                    return None;
                }
                if register == Register::CommandLow {
                    self.apics[cpu].state.icr = value & 0xffff_ffff_0000_0000;
                }
                self.write_apic_register(cpu, register, value as u32);
            }
        }
        Some(())
    }

    /// IA32_APIC_BASE (SDM vol. 3, 11.12.5 x2APIC State Transitions).
    fn write_apic_base(&mut self, cpu: usize, value: u64) -> Option<()> {
        if value & !(base::PAGE | base::EN | base::EXTD | base::BSP) != 0 {
            return None;
        }
        let (old, new) = (self.apics[cpu].mode(), Mode::of(value)?);
        if !old.can_become(new) {
            return None;
        }
        if old != new && (old == Mode::Disabled || new == Mode::Disabled) {
            self.reinitialise(cpu);
        }
        let apic = &mut self.apics[cpu];
        if new == Mode::X2Apic && old != new {
            apic.state.icr &= 0xffff_ffff;
        }
        apic.state.base = value;
        self.apic_changed(cpu);
        Some(())
    }

    /// Everything as after power-on but what outlives INIT and disabling: the base, the pins, what already waits for
    /// the vCPU, and its TSC (SDM vol. 3, 11.4.7.3 Local APIC State After It Receives an INIT Reset).
    fn reinitialise(&mut self, cpu: usize) {
        let apic = &mut self.apics[cpu];
        let old = &apic.state;
        let mut fresh = LocalApicState::new(cpu as u32);
        (fresh.base, fresh.id, fresh.pins) = (old.base, old.id, old.pins);
        (fresh.init, fresh.start_up, fresh.nmi) = (old.init, old.start_up, old.nmi);
        fresh.timer.tsc_offset = old.timer.tsc_offset;
        apic.set_state(fresh);
        self.arm_apic_timer(cpu);
    }

    fn write_apic_register(&mut self, cpu: usize, register: Register, value: u32) {
        let now = self.now;
        let state = &mut self.apics[cpu].state;
        match register {
            Register::Id => state.id = (value >> 24) as u8,
            Register::TaskPriority => state.tpr = value as u8,
            Register::EndOfInterrupt => self.end_apic_interrupt(cpu),
            Register::LogicalDestination => state.ldr = value & 0xff00_0000,
            Register::DestinationFormat => state.dfr = value | 0x0fff_ffff,
            Register::SpuriousVector => self.write_spurious_vector(cpu, value),
            Register::ErrorStatus => state.esr = std::mem::take(&mut state.errors),
            Register::CommandLow => {
                state.icr = state.icr & 0xffff_ffff_0000_0000 | u64::from(value & icr::WRITABLE);
                self.send_command(cpu);
            }
            Register::CommandHigh => state.icr = state.icr & 0xffff_ffff | u64::from(value & 0xff00_0000) << 32,
            Register::Lvt(entry) => self.write_lvt(cpu, entry, value),
            Register::InitialCount => self.write_initial_count(cpu, value),
            Register::DivideConfiguration => {
                let mode = TimerMode::of(state.lvt[lvt::TIMER]);
                state.timer.set_divide(value & 0xb, mode, now);
                self.arm_apic_timer(cpu);
            }
            Register::SelfIpi => self.send_to_self(cpu, value as u8),
            Register::Version
            | Register::ArbitrationPriority
            | Register::ProcessorPriority
            | Register::RemoteRead
            | Register::InService(_)
            | Register::TriggerMode(_)
            | Register::Request(_)
            | Register::CurrentCount => {}
        }
        self.apic_changed(cpu);
    }

    /// Disabling by software masks the whole local vector table (SDM vol. 3, 11.4.7.2 Local APIC State After It Has
    /// Been Software Disabled).
    fn write_spurious_vector(&mut self, cpu: usize, value: u32) {
        let apic = &mut self.apics[cpu];
        apic.state.svr = value & svr::WRITABLE;
        if !apic.is_software_enabled() {
            apic.state.lvt.iter_mut().for_each(|entry| *entry |= lvt::MASKED);
            self.arm_apic_timer(cpu);
        }
    }

    fn write_lvt(&mut self, cpu: usize, entry: usize, value: u32) {
        let now = self.now;
        let apic = &mut self.apics[cpu];
        let old = apic.state.lvt[entry];
        let mut new = value & lvt::WRITABLE[entry];
        if !apic.is_software_enabled() {
            new |= lvt::MASKED;
        }
        if new & lvt::LEVEL != 0 {
            new |= old & lvt::REMOTE_IRR;
        }
        apic.state.lvt[entry] = new;
        match entry {
            lvt::TIMER => {
                apic.state.timer.change_mode(TimerMode::of(old), TimerMode::of(new), now);
                apic.state.timer.take_deadline(now);
                self.arm_apic_timer(cpu);
            }
            lvt::LINT0 => self.sense_level(cpu),
            _ => {}
        }
    }

    fn write_initial_count(&mut self, cpu: usize, count: u32) {
        let now = self.now;
        let apic = &mut self.apics[cpu];
        if apic.timer_mode() != TimerMode::TscDeadline {
            apic.state.timer.set_initial(count, now);
            self.arm_apic_timer(cpu);
        }
    }

    fn write_tsc_deadline(&mut self, cpu: usize, deadline: u64) {
        let apic = &mut self.apics[cpu];
        if apic.timer_mode() == TimerMode::TscDeadline {
            apic.state.timer.set_deadline(deadline);
            self.check_tsc_deadline(cpu);
        }
    }

    /// Tells the local APIC how far the TSC of its vCPU is ahead of the tick: the TSC deadline follows the TSC.
    pub fn set_tsc_offset(&mut self, cpu: usize, offset: u64) {
        self.apics[cpu].state.timer.tsc_offset = offset;
        if self.apics[cpu].timer_mode() == TimerMode::TscDeadline {
            self.check_tsc_deadline(cpu);
        }
    }

    /// Fires a TSC deadline that has come already, else waits for it.
    fn check_tsc_deadline(&mut self, cpu: usize) {
        if self.apics[cpu].state.timer.take_deadline(self.now) {
            self.deliver_local(cpu, lvt::TIMER);
        }
        self.arm_apic_timer(cpu);
    }

    /// Arms the timer for its next expiry. A masked timer counts on, but its expiries have no effect.
    fn arm_apic_timer(&mut self, cpu: usize) {
        let timer = Timer { owner: Owner::LocalApic(cpu as u32), slot: 0 };
        let apic = &self.apics[cpu];
        let masked = apic.state.lvt[lvt::TIMER] & lvt::MASKED != 0;
        match apic.state.timer.next_expiry(apic.timer_mode(), self.now) {
            Some(tick) if !masked => {
                self.scheduler.arm(timer, tick);
                self.request_leave();
            }
            Some(_) | None => self.scheduler.disarm(timer),
        }
    }

    /// The timer `slot` of a local APIC is due.
    pub(crate) fn apic_timer(&mut self, cpu: usize, _slot: u32) {
        let Some(apic) = self.apics.get_mut(cpu) else { return };
        let due = match apic.timer_mode() {
            TimerMode::OneShot | TimerMode::Periodic => true,
            TimerMode::TscDeadline => apic.state.timer.take_deadline(self.now),
        };
        if due {
            self.deliver_local(cpu, lvt::TIMER);
        }
        self.arm_apic_timer(cpu);
    }

    /// The task priority class, CR8.
    pub fn task_priority(&self, cpu: usize) -> u8 {
        self.apics[cpu].state.tpr >> 4
    }

    /// Sets the task priority class by MOV to CR8.
    pub(crate) fn set_task_priority(&mut self, cpu: usize, class: u8) {
        self.apics[cpu].state.tpr = class << 4;
        self.apic_changed(cpu);
    }

    /// The level of a local interrupt pin changed.
    pub(crate) fn local_interrupt(&mut self, cpu: usize, pin: u8, level: bool) {
        let Some(apic) = self.apics.get_mut(cpu) else { return };
        let pin = usize::from(pin & 1);
        apic.state.pins[pin] = level;
        if apic.mode() == Mode::Disabled {
            apic.state.nmi |= pin == 1 && level;
        } else if pin == 0 && is_level_triggered(apic.state.lvt[lvt::LINT0]) {
            self.sense_level(cpu);
        } else if level {
            self.deliver_local(cpu, lvt::LINT0 + pin);
        }
        self.apic_changed(cpu);
    }

    /// Delivers a fixed level-triggered LINT0 while its pin is high; once until its end.
    fn sense_level(&mut self, cpu: usize) {
        let state = &mut self.apics[cpu].state;
        let entry = &mut state.lvt[lvt::LINT0];
        if state.pins[0] && is_level_triggered(*entry) && *entry & (lvt::REMOTE_IRR | lvt::MASKED) == 0 {
            *entry |= lvt::REMOTE_IRR;
            let interrupt = Interrupt { vector: *entry as u8, delivery: Delivery::Fixed, level: true };
            self.deliver(cpu, interrupt);
        }
    }

    /// An entry of the local vector table fires.
    fn deliver_local(&mut self, cpu: usize, entry: usize) {
        let value = self.apics[cpu].state.lvt[entry];
        let delivery = match entry {
            lvt::TIMER | lvt::ERROR => Delivery::Fixed,
            _ => Delivery::of(value),
        };
        let (vector, level) = (value as u8, false);
        match delivery {
            _ if value & lvt::MASKED != 0 => {}
            Delivery::Fixed | Delivery::Nmi | Delivery::Init => {
                self.deliver(cpu, Interrupt { vector, delivery, level });
            }
            // An external interrupt follows the level of the pin; the rest cannot be made locally.
            Delivery::External | Delivery::LowestPriority | Delivery::Smi | Delivery::Reserved | Delivery::StartUp => {}
        }
    }

    /// A message has reached the local APIC that it is for.
    fn deliver(&mut self, cpu: usize, interrupt: Interrupt) {
        let state = &mut self.apics[cpu].state;
        match interrupt.delivery {
            Delivery::Fixed | Delivery::LowestPriority => self.accept(cpu, interrupt.vector, interrupt.level),
            Delivery::Nmi => state.nmi = true,
            Delivery::Init => {
                (state.init, state.start_up, state.nmi) = (true, None, false);
                self.reinitialise(cpu);
            }
            Delivery::StartUp => state.start_up = Some(interrupt.vector),
            Delivery::External => state.external = true,
            Delivery::Smi | Delivery::Reserved => {}
        }
        self.apic_changed(cpu);
    }

    /// Fixed interrupts (SDM vol. 3, 11.8.4 Interrupt Acceptance for Fixed Interrupts).
    fn accept(&mut self, cpu: usize, vector: u8, level: bool) {
        if vector < 16 {
            self.apic_error(cpu, error::RECEIVE_ILLEGAL_VECTOR);
            return;
        }
        let apic = &mut self.apics[cpu];
        if apic.is_software_enabled() {
            set(&mut apic.state.irr, vector, true);
            set(&mut apic.state.tmr, vector, level);
        }
    }

    /// EOI (SDM vol. 3, 11.8.5 Signaling Interrupt Servicing Completion).
    fn end_apic_interrupt(&mut self, cpu: usize) {
        let state = &mut self.apics[cpu].state;
        let Some(vector) = highest(&state.isr) else { return };
        set(&mut state.isr, vector, false);
        if !get(&state.tmr, vector) {
            return;
        }
        if state.lvt[lvt::LINT0] as u8 == vector {
            state.lvt[lvt::LINT0] &= !lvt::REMOTE_IRR;
            self.sense_level(cpu);
        }
        self.broadcast_end_of_interrupt(vector);
    }

    /// Logs an error; the first since software last wrote the error status register interrupts.
    fn apic_error(&mut self, cpu: usize, bit: u32) {
        log::debug!(target: "guest_errors", "local APIC {cpu}: error {bit:#04x}");
        let state = &mut self.apics[cpu].state;
        let armed = state.errors == 0;
        state.errors |= bit;
        if armed {
            self.deliver_local(cpu, lvt::ERROR);
        }
    }

    /// What the vCPU may be interrupted by may have changed.
    fn apic_changed(&mut self, cpu: usize) {
        self.apics[cpu].refresh();
        if self.apics[cpu].has_signal() {
            self.request_leave();
        }
    }
}

/// The register that an x2APIC MSR is.
fn x2apic_register(apic: &LocalApic, msr: u32) -> Option<Register> {
    let number = msr.checked_sub(MSR_X2APIC)?;
    if apic.mode() != Mode::X2Apic {
        return None;
    }
    Register::at(u64::from(number), Mode::X2Apic)
}

fn is_level_triggered(entry: u32) -> bool {
    entry & lvt::LEVEL != 0 && Delivery::of(entry) == Delivery::Fixed
}

fn highest(vectors: &Vectors) -> Option<u8> {
    let word = vectors.iter().rposition(|&bits| bits != 0)?;
    Some((word as u32 * 32 + vectors[word].ilog2()) as u8)
}

fn get(vectors: &Vectors, vector: u8) -> bool {
    vectors[usize::from(vector >> 5)] >> (vector & 31) & 1 != 0
}

fn set(vectors: &mut Vectors, vector: u8, value: bool) {
    let word = &mut vectors[usize::from(vector >> 5)];
    *word = *word & !(1 << (vector & 31)) | u32::from(value) << (vector & 31);
}
