//! The I/O APIC: 24 inputs, each with an entry that says which interrupt message it sends.
//!
//! Documents: Intel 82093AA I/O Advanced Programmable Interrupt Controller, "Register Description"; Intel ICH9
//! datasheet, 13.5 Advanced Programmable Interrupt Controller, for version 20h and its EOI register.
//!
//! Lines are logical, so the polarity bits have no effect. A message is always taken: delivery status reads as idle,
//! and remote IRR is set by sending. Not modelled: the pin assertion register and boot configuration.

use super::map;
use reprise_core::board::{Board, DeviceId, LineId, Region, Sink};
use reprise_core::clock::Tick;
use reprise_core::device::{Context, Device, DeviceInput, Width};
use reprise_core::property::{AttachError, Category, DeviceSpec, Properties};
use reprise_core::state::{StateError, decode, encode};
use serde::{Deserialize, Serialize};

const PINS: usize = 24;
/// The input that the 8259 pair's output comes in at.
const PIN_INTR: u32 = 0;
/// The input that ISA interrupt request 0 comes in at; request 2 does not exist.
const PIN_ISA_IRQ_0: u32 = 2;

const IOREGSEL: u64 = 0x00;
const IOWIN: u64 = 0x10;
const EOIR: u64 = 0x40;

const IOAPICID: u8 = 0x00;
const IOAPICVER: u8 = 0x01;
const IOAPICARB: u8 = 0x02;
const IOREDTBL: u8 = 0x10;
const IOREDTBL_END: u8 = IOREDTBL + 2 * PINS as u8;

const ID_WRITABLE: u32 = 0x0f00_0000;
const VERSION: u32 = 0x20 | (PINS as u32 - 1) << 16;

const DELIVERY_LOWEST: u64 = 1;
const LOGICAL: u64 = 1 << 11;
const REMOTE_IRR: u64 = 1 << 14;
const LEVEL: u64 = 1 << 15;
const MASKED: u64 = 1 << 16;
/// Trigger mode and level of a message.
const ASSERTED_LEVEL: u32 = 1 << 15 | 1 << 14;
const WRITABLE: u64 = 0xff00_0000_0001_afff;

/// What it is.
pub const SPEC: DeviceSpec = DeviceSpec {
    name: "ioapic",
    category: Category::Bridge,
    bus: "",
    description: "I/O APIC",
    user_creatable: false,
    properties: &[],
    attach,
};

/// Connects the global system interrupts, and the output of the 8259 pair to input 0.
fn attach(board: &mut Board, _: &Properties) -> Result<DeviceId, AttachError> {
    let id = board.add_device(SPEC.name, Box::new(IoApic::new()));
    map(board, SPEC.name, id, Region::registers(0, 0xfec0_0000..0xfec0_1000))?;
    board.connect_sink(LineId::INTR, Sink::Device(id, PIN_INTR));
    board.connect_sink(LineId::gsi(0), Sink::Device(id, PIN_ISA_IRQ_0));
    for gsi in (1..PINS as u8).filter(|&gsi| u32::from(gsi) != PIN_ISA_IRQ_0) {
        board.connect_sink(LineId::gsi(gsi), Sink::Device(id, u32::from(gsi)));
    }
    board.add_io_apic(id);
    Ok(id)
}

/// Everything that software can observe of the I/O APIC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoApicState {
    id: u32,
    select: u8,
    entries: [u64; PINS],
    /// Levels of the inputs.
    lines: u32,
}

impl Default for IoApicState {
    fn default() -> Self {
        Self { id: 0, select: 0, entries: [MASKED; PINS], lines: 0 }
    }
}

impl IoApicState {
    fn read(&self, offset: u64) -> u32 {
        match (offset, self.select) {
            (IOREGSEL, select) => u32::from(select),
            (IOWIN, IOAPICID | IOAPICARB) => self.id,
            (IOWIN, IOAPICVER) => VERSION,
            (IOWIN, select @ IOREDTBL..IOREDTBL_END) => {
                let (pin, shift) = entry_half(select);
                (self.entries[pin] >> shift) as u32
            }
            _ => 0,
        }
    }
}

/// The I/O APIC.
pub struct IoApic {
    state: IoApicState,
}

impl Default for IoApic {
    fn default() -> Self {
        Self::new()
    }
}

impl IoApic {
    /// An I/O APIC after power-on.
    pub fn new() -> Self {
        Self { state: IoApicState::default() }
    }

    /// Sends the message of an entry. Delivery modes that know no end of interrupt are edge-triggered, whatever the
    /// entry says.
    fn send(&mut self, pin: usize, ctx: &mut Context<'_>) {
        let entry = &mut self.state.entries[pin];
        let level = is_level_triggered(*entry);
        if level {
            *entry |= REMOTE_IRR;
        }
        let logical = *entry & LOGICAL != 0;
        let address = 0xfee0_0000 | (*entry >> 56) << 12 | u64::from(logical) << 2;
        let data = (*entry & 0x7ff) as u32 | if level { ASSERTED_LEVEL } else { 0 };
        ctx.interrupt_message(address, data);
    }

    /// Sends for a level-triggered input that is high and not yet being served.
    fn sense_level(&mut self, pin: usize, ctx: &mut Context<'_>) {
        let (entry, high) = (self.state.entries[pin], self.state.lines >> pin & 1 != 0);
        if high && is_level_triggered(entry) && entry & (MASKED | REMOTE_IRR) == 0 {
            self.send(pin, ctx);
        }
    }

    fn write_window(&mut self, value: u32, ctx: &mut Context<'_>) {
        match self.state.select {
            IOAPICID => self.state.id = value & ID_WRITABLE,
            select @ IOREDTBL..IOREDTBL_END => self.write_entry(select, value, ctx),
            select => log::debug!(target: "guest_errors", "I/O APIC: write of {value:#010x} to register {select:#04x}"),
        }
    }

    fn write_entry(&mut self, select: u8, value: u32, ctx: &mut Context<'_>) {
        let (pin, shift) = entry_half(select);
        let old = self.state.entries[pin];
        let half = 0xffff_ffff << shift;
        let written = old & !half | u64::from(value) << shift;
        let mut new = written & WRITABLE | old & REMOTE_IRR;
        // An edge-triggered entry serves nothing; software uses that to end an interrupt by hand.
        if new & LEVEL == 0 {
            new &= !REMOTE_IRR;
        }
        self.state.entries[pin] = new;
        self.sense_level(pin, ctx);
    }

    fn end(&mut self, vector: u8, ctx: &mut Context<'_>) {
        for pin in 0..PINS {
            let entry = self.state.entries[pin];
            if entry as u8 == vector && entry & REMOTE_IRR != 0 {
                self.state.entries[pin] &= !REMOTE_IRR;
                self.sense_level(pin, ctx);
            }
        }
    }
}

/// Which entry, and by how much its half is shifted.
fn entry_half(select: u8) -> (usize, u32) {
    let at = usize::from(select - IOREDTBL);
    (at / 2, if at % 2 == 0 { 0 } else { 32 })
}

fn is_level_triggered(entry: u64) -> bool {
    entry & LEVEL != 0 && entry >> 8 & 7 <= DELIVERY_LOWEST
}

impl Device for IoApic {
    fn read(&mut self, region: u32, offset: u64, width: Width, ctx: &mut Context<'_>) -> u64 {
        self.peek(region, offset, width, ctx.now())
    }

    fn write(&mut self, _: u32, offset: u64, _: Width, value: u64, ctx: &mut Context<'_>) {
        match offset {
            IOREGSEL => self.state.select = value as u8,
            IOWIN => self.write_window(value as u32, ctx),
            EOIR => self.end(value as u8, ctx),
            _ => log::debug!(target: "guest_errors", "I/O APIC: write of {value:#x} at {offset:#05x}"),
        }
    }

    fn peek(&self, _: u32, offset: u64, _: Width, _: Tick) -> u64 {
        u64::from(self.state.read(offset))
    }

    fn timer(&mut self, _: u32, _: &mut Context<'_>) {}

    /// Edges at a masked input are lost ("Interrupt Mask").
    fn line(&mut self, pin: u32, level: bool, ctx: &mut Context<'_>) {
        let pin = pin as usize % PINS;
        let was = self.state.lines >> pin & 1 != 0;
        self.state.lines = self.state.lines & !(1 << pin) | u32::from(level) << pin;
        let entry = self.state.entries[pin];
        if is_level_triggered(entry) {
            self.sense_level(pin, ctx);
        } else if level && !was && entry & MASKED == 0 {
            self.send(pin, ctx);
        }
    }

    fn input(&mut self, _: DeviceInput<'_>, _: &mut Context<'_>) {}

    fn input_room(&self, _port: u32) -> usize {
        0
    }

    /// What comes in at the inputs stays.
    fn reset(&mut self, _: &mut Context<'_>) {
        self.state = IoApicState { lines: self.state.lines, ..IoApicState::default() };
    }

    fn save(&self) -> Vec<u8> {
        encode(&self.state)
    }

    fn load(&mut self, state: &[u8]) -> Result<(), StateError> {
        self.state = decode(SPEC.name, state)?;
        Ok(())
    }

    fn end_of_interrupt(&mut self, vector: u8, ctx: &mut Context<'_>) {
        self.end(vector, ctx);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{board, same_future};
    use super::*;
    use reprise_core::board::{OutputPin, Space};

    const BASE: u64 = 0xfec0_0000;
    const EOI: u64 = 0xb0;

    fn get(board: &mut Board, register: u8) -> u32 {
        board.write(Space::Memory, BASE, 4, u64::from(register));
        board.read(Space::Memory, BASE + IOWIN, 4) as u32
    }

    fn put(board: &mut Board, register: u8, value: u32) {
        board.write(Space::Memory, BASE, 4, u64::from(register));
        board.write(Space::Memory, BASE + IOWIN, 4, u64::from(value));
    }

    fn low(pin: u8) -> u8 {
        IOREDTBL + 2 * pin
    }

    fn with_line(gsi: u8) -> (Board, OutputPin) {
        let mut board = board(&[&SPEC]);
        let pin = board.connect_output(LineId::gsi(gsi));
        (board, pin)
    }

    #[test]
    fn registers_after_power_on() {
        let mut board = board(&[&SPEC]);
        assert_eq!(get(&mut board, IOAPICVER), 0x0017_0020);
        assert_eq!((get(&mut board, low(23)), get(&mut board, low(23) + 1)), (0x1_0000, 0));
        assert_eq!(get(&mut board, low(24)), 0);
        put(&mut board, IOAPICID, u32::MAX);
        assert_eq!((get(&mut board, IOAPICID), get(&mut board, IOAPICARB)), (0x0f00_0000, 0x0f00_0000));
        put(&mut board, low(3), u32::MAX);
        put(&mut board, low(3) + 1, u32::MAX);
        assert_eq!((get(&mut board, low(3)), get(&mut board, low(3) + 1)), (0x1_afff, 0xff00_0000));
    }

    #[test]
    fn an_edge_sends_once_and_is_lost_while_masked() {
        let (mut board, pin) = with_line(4);
        board.set_line(pin, true);
        put(&mut board, low(4), 0x41);
        assert_eq!(board.acknowledge_interrupt(0), None, "an edge while masked is lost");
        board.set_line(pin, false);
        board.set_line(pin, true);
        assert_eq!(board.acknowledge_interrupt(0), Some(0x41));
        board.apic_write(0, EOI, 0);
        assert_eq!(board.acknowledge_interrupt(0), None);
    }

    #[test]
    fn a_level_is_sent_again_after_its_end_while_it_lasts() {
        let (mut board, pin) = with_line(16);
        board.set_line(pin, true);
        put(&mut board, low(16), 0x8051);
        assert_eq!(board.acknowledge_interrupt(0), Some(0x51), "a level counts on unmasking");
        assert_eq!(get(&mut board, low(16)), 0xc051);
        board.apic_write(0, EOI, 0);
        assert_eq!(board.acknowledge_interrupt(0), Some(0x51));
        board.set_line(pin, false);
        board.set_line(pin, true);
        board.set_line(pin, false);
        board.apic_write(0, EOI, 0);
        assert_eq!(get(&mut board, low(16)), 0x8051);
        assert_eq!(board.acknowledge_interrupt(0), None);
    }

    #[test]
    fn remote_irr_is_cleared_by_the_eoi_register_and_by_switching_to_edges() {
        let (mut board, pin) = with_line(16);
        put(&mut board, low(16), 0x8051);
        board.set_line(pin, true);
        board.set_line(pin, false);
        board.write(Space::Memory, BASE + EOIR, 4, 0x52);
        assert_eq!(get(&mut board, low(16)), 0xc051);
        board.write(Space::Memory, BASE + EOIR, 4, 0x51);
        assert_eq!(get(&mut board, low(16)), 0x8051);
        board.set_line(pin, true);
        put(&mut board, low(16), 0x1_0051);
        assert_eq!(get(&mut board, low(16)), 0x1_0051);
    }

    #[test]
    fn isa_request_0_is_input_2() {
        let (mut board, pin) = with_line(0);
        put(&mut board, low(0), 0x40);
        put(&mut board, low(2), 0x42);
        board.set_line(pin, true);
        assert_eq!(board.acknowledge_interrupt(0), Some(0x42));
    }

    #[test]
    fn external_and_non_maskable_interrupts_are_messages_too() {
        let mut board = board(&[&SPEC, &super::super::i8259_pic::SPEC]);
        board.apic_write(0, 0x350, 0x1_0000);
        put(&mut board, low(0), 0x700);
        put(&mut board, low(5), 0x8400);
        let pin = board.connect_output(LineId::gsi(5));
        board.set_line(pin, true);
        assert!(board.apics[0].state.nmi);
        assert_eq!(get(&mut board, low(5)), 0x8400, "remote IRR is for interrupts that end");
        assert!(!board.apics[0].has_maskable());
        board.write(Space::Port, 0x21, 1, 0);
        let pin = board.connect_output(LineId::gsi(3));
        board.set_line(pin, true);
        assert!(board.apics[0].has_maskable());
        assert_eq!(board.acknowledge_interrupt(0), Some(3));
        assert!(!board.apics[0].has_maskable());
    }

    #[test]
    fn reset_masks_everything() {
        let (mut board, pin) = with_line(4);
        put(&mut board, low(4), 0x41);
        board.reset_devices();
        assert_eq!(get(&mut board, low(4)), 0x1_0000);
        board.set_line(pin, true);
        assert_eq!(board.acknowledge_interrupt(0), None);
    }

    #[test]
    fn saved_state_has_the_same_future() {
        same_future(&[&SPEC], &[(Space::Memory, BASE, 0x44)], 3000);
    }
}
