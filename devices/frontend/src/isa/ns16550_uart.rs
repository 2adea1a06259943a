//! The serial port of a PC: a 16550A UART.
//!
//! Document: National Semiconductor, PC16550D Universal Asynchronous Receiver/Transmitter with FIFOs, 8.0 Registers.
//! As on every PC, the modem output OUT2 gates the interrupt, which loopback therefore switches off.
//!
//! A byte for the transmitter leaves at once, so the transmitter is always empty and its FIFO is never seen to hold
//! anything: a console would else spend most of a boot waiting. Received bytes arrive as fast as the FIFO has room, and
//! only the character timeout takes the time that the divisor says. The modem inputs CTS, DSR and DCD are always on.
//! Not modelled: breaks, parity and framing errors from outside, and words shorter than eight bits.

use super::{BUS, CHARDEV, chardev, given, map, port_range};
use reprise_core::backend::ChardevId;
use reprise_core::board::{Board, DeviceId, LineId, OutputPin, Region};
use reprise_core::clock::{TICKS_PER_SECOND, Tick};
use reprise_core::device::{Context, Device, DeviceInput, Width};
use reprise_core::output::Output;
use reprise_core::property::{AttachError, Category, DeviceSpec, Properties, PropertyKind, PropertySpec};
use reprise_core::state::{StateError, decode, encode};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Ports and interrupt requests of COM1 to COM4.
const WIRING: [(u64, u8); 4] = [(0x3f8, 4), (0x2f8, 3), (0x3e8, 4), (0x2e8, 3)];
const FIFO_DEPTH: usize = 16;
/// Bits a second with a divisor of 1: the crystal's 1.8432 MHz over 16.
const BASE_BAUD: u64 = 115_200;
/// Timer: nothing came or went for four characters while bytes waited.
const CHARACTER_TIMEOUT: u32 = 0;

const IER_RECEIVED: u8 = 1 << 0;
const IER_THR_EMPTY: u8 = 1 << 1;
const IER_LINE_STATUS: u8 = 1 << 2;
const IER_MODEM_STATUS: u8 = 1 << 3;
const IER_ALL: u8 = 0x0f;

const IIR_NONE: u8 = 0x01;
const IIR_MODEM_STATUS: u8 = 0x00;
const IIR_THR_EMPTY: u8 = 0x02;
const IIR_RECEIVED: u8 = 0x04;
const IIR_LINE_STATUS: u8 = 0x06;
const IIR_TIMEOUT: u8 = 0x0c;
const IIR_FIFOS_ENABLED: u8 = 0xc0;

const FCR_ENABLE: u8 = 1 << 0;
const FCR_CLEAR_RECEIVER: u8 = 1 << 1;
/// Bits that stay: enable, DMA mode and trigger level.
const FCR_KEPT: u8 = 0xc9;

const LCR_DLAB: u8 = 1 << 7;

const MCR_OUT2: u8 = 1 << 3;
const MCR_LOOP: u8 = 1 << 4;
const MCR_ALL: u8 = 0x1f;

const LSR_DATA_READY: u8 = 1 << 0;
const LSR_OVERRUN: u8 = 1 << 1;
const LSR_THR_EMPTY: u8 = 1 << 5;
const LSR_TRANSMITTER_EMPTY: u8 = 1 << 6;

const MSR_CTS: u8 = 1 << 4;
const MSR_DSR: u8 = 1 << 5;
const MSR_RI: u8 = 1 << 6;
const MSR_DCD: u8 = 1 << 7;

/// What it is.
pub const SPEC: DeviceSpec = DeviceSpec {
    name: "isa-serial",
    category: Category::Input,
    bus: BUS,
    description: "Serial port, a 16550A UART",
    user_creatable: true,
    properties: &[
        PropertySpec {
            name: "index",
            kind: PropertyKind::Number(3),
            default: "",
            description: "Which of COM1 to COM4 it is, from 0; the next one by default",
        },
        PropertySpec {
            name: "iobase",
            kind: PropertyKind::Number(0xffff),
            default: "",
            description: "First I/O port; that of the index by default",
        },
        PropertySpec {
            name: "irq",
            kind: PropertyKind::Number(15),
            default: "",
            description: "Interrupt request; that of the index by default",
        },
        CHARDEV,
    ],
    attach,
};

fn attach(board: &mut Board, properties: &Properties) -> Result<DeviceId, AttachError> {
    let index = given(properties, "index").unwrap_or_else(|| ports_on(board));
    let too_many = || AttachError::Invalid { device: SPEC.name, reason: "there are only COM1 to COM4".into() };
    let (base, irq) = *WIRING.get(index as usize).ok_or_else(too_many)?;
    let range = port_range(SPEC.name, given(properties, "iobase").unwrap_or(base), 8)?;
    let irq = given(properties, "irq").map_or(irq, |irq| irq as u8);
    let pin = board.connect_output(LineId::gsi(irq));
    let chardev = chardev(properties);
    let id = board.add_device(SPEC.name, Box::new(Ns16550Uart::new(pin, chardev)));
    map(board, SPEC.name, id, Region::ports(0, range))?;
    if let Some(chardev) = chardev {
        board.connect_chardev(chardev, id, 0);
    }
    Ok(id)
}

/// How many serial ports the board has.
fn ports_on(board: &Board) -> u64 {
    let is_one = |name: &&str| name.split('.').next() == Some(SPEC.name);
    board.device_names().filter(is_one).count() as u64
}

/// Everything that software can observe of a serial port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UartState {
    /// Received bytes: the FIFO, or the one receiver buffer.
    rx: VecDeque<u8>,
    ier: u8,
    fcr: u8,
    lcr: u8,
    mcr: u8,
    scr: u8,
    divisor: u16,
    /// The transmitter became empty, and nobody has taken note.
    thr_empty: bool,
    /// The character timeout passed.
    timeout: bool,
    /// A received byte was lost.
    overrun: bool,
    /// Low half of MSR.
    msr_changes: u8,
}

impl Default for UartState {
    fn default() -> Self {
        Self {
            rx: VecDeque::new(),
            ier: 0,
            fcr: 0,
            lcr: 0,
            mcr: 0,
            scr: 0,
            divisor: 12,
            thr_empty: false,
            timeout: false,
            overrun: false,
            msr_changes: 0,
        }
    }
}

/// A serial port.
pub struct Ns16550Uart {
    irq: OutputPin,
    chardev: Option<ChardevId>,
    state: UartState,
}

impl Ns16550Uart {
    /// A serial port after power-on that interrupts through `irq`.
    pub fn new(irq: OutputPin, chardev: Option<ChardevId>) -> Self {
        Self { irq, chardev, state: UartState::default() }
    }
}

impl Device for Ns16550Uart {
    fn read(&mut self, region: u32, offset: u64, width: Width, ctx: &mut Context<'_>) -> u64 {
        let value = self.peek(region, offset, width, ctx.now());
        match offset {
            0 if !self.state.divisor_latch() => self.take_received(ctx),
            2 if value as u8 & 0x0f == IIR_THR_EMPTY => self.state.thr_empty = false,
            5 => self.state.overrun = false,
            6 => self.state.msr_changes = 0,
            _ => {}
        }
        self.update_irq(ctx);
        value
    }

    fn write(&mut self, _region: u32, offset: u64, _width: Width, value: u64, ctx: &mut Context<'_>) {
        let value = value as u8;
        match offset {
            0 if self.state.divisor_latch() => self.state.divisor = self.state.divisor & 0xff00 | u16::from(value),
            1 if self.state.divisor_latch() => self.state.divisor = self.state.divisor & 0xff | u16::from(value) << 8,
            0 => self.transmit(value, ctx),
            1 => self.state.set_ier(value),
            2 => self.set_fcr(value, ctx),
            3 => self.state.lcr = value,
            4 => self.state.set_mcr(value),
            7 => self.state.scr = value,
            _ => log::debug!(target: "guest_errors", "{}: write to status register {offset}", SPEC.name),
        }
        self.update_irq(ctx);
    }

    fn peek(&self, _region: u32, offset: u64, _width: Width, _now: Tick) -> u64 {
        let state = &self.state;
        u64::from(match offset {
            0 if state.divisor_latch() => state.divisor as u8,
            1 if state.divisor_latch() => (state.divisor >> 8) as u8,
            0 => state.rx.front().copied().unwrap_or(0),
            1 => state.ier,
            2 => state.iir(),
            3 => state.lcr,
            4 => state.mcr,
            5 => state.lsr(),
            6 => state.modem_inputs() | state.msr_changes,
            _ => state.scr,
        })
    }

    fn timer(&mut self, _slot: u32, ctx: &mut Context<'_>) {
        self.state.timeout = !self.state.rx.is_empty();
        self.update_irq(ctx);
    }

    fn line(&mut self, _pin: u32, _level: bool, _ctx: &mut Context<'_>) {}

    fn input(&mut self, input: DeviceInput<'_>, ctx: &mut Context<'_>) {
        if let DeviceInput::Bytes { bytes, .. } = input
            && self.state.mcr & MCR_LOOP == 0
        {
            bytes.iter().for_each(|&byte| self.state.receive(byte));
            self.restart_timeout(ctx);
            self.update_irq(ctx);
        }
    }

    fn input_room(&self, _port: u32) -> usize {
        if self.state.mcr & MCR_LOOP != 0 { 0 } else { self.state.depth().saturating_sub(self.state.rx.len()) }
    }

    fn reset(&mut self, ctx: &mut Context<'_>) {
        self.state = UartState::default();
        ctx.disarm(CHARACTER_TIMEOUT);
        self.update_irq(ctx);
    }

    fn save(&self) -> Vec<u8> {
        encode(&self.state)
    }

    fn load(&mut self, state: &[u8]) -> Result<(), StateError> {
        let state: UartState = decode(SPEC.name, state)?;
        if state.rx.len() > FIFO_DEPTH {
            let reason = format!("{} bytes in a FIFO of {FIFO_DEPTH}", state.rx.len());
            return Err(StateError::Malformed { part: SPEC.name.into(), reason });
        }
        self.state = state;
        Ok(())
    }
}

impl Ns16550Uart {
    fn transmit(&mut self, byte: u8, ctx: &mut Context<'_>) {
        self.state.thr_empty = true;
        if self.state.mcr & MCR_LOOP != 0 {
            self.state.receive(byte);
            self.restart_timeout(ctx);
        } else if let Some(chardev) = self.chardev {
            ctx.output(Output::Bytes { chardev, bytes: vec![byte] });
        }
    }

    fn take_received(&mut self, ctx: &mut Context<'_>) {
        self.state.rx.pop_front();
        self.state.timeout = false;
        self.restart_timeout(ctx);
    }

    fn set_fcr(&mut self, value: u8, ctx: &mut Context<'_>) {
        let toggled = (self.state.fcr ^ value) & FCR_ENABLE != 0;
        if toggled || value & (FCR_ENABLE | FCR_CLEAR_RECEIVER) == FCR_ENABLE | FCR_CLEAR_RECEIVER {
            self.state.rx.clear();
            self.state.timeout = false;
            self.restart_timeout(ctx);
        }
        self.state.fcr = if value & FCR_ENABLE != 0 { value & FCR_KEPT } else { 0 };
    }

    /// The character timeout runs from the last byte that came or went, while any waits in the FIFO.
    fn restart_timeout(&mut self, ctx: &mut Context<'_>) {
        if self.state.fifos_enabled() && !self.state.rx.is_empty() && !self.state.timeout {
            ctx.arm(CHARACTER_TIMEOUT, ctx.now().saturating_add(4 * self.state.character_ticks()));
        } else {
            ctx.disarm(CHARACTER_TIMEOUT);
        }
    }

    fn update_irq(&self, ctx: &mut Context<'_>) {
        let gate = self.state.mcr & (MCR_OUT2 | MCR_LOOP) == MCR_OUT2;
        ctx.set_line(self.irq, gate && self.state.iir() & IIR_NONE == 0);
    }
}

impl UartState {
    fn divisor_latch(&self) -> bool {
        self.lcr & LCR_DLAB != 0
    }

    fn fifos_enabled(&self) -> bool {
        self.fcr & FCR_ENABLE != 0
    }

    /// How many received bytes there is room for.
    fn depth(&self) -> usize {
        if self.fifos_enabled() { FIFO_DEPTH } else { 1 }
    }

    /// How many received bytes interrupt.
    fn trigger(&self) -> usize {
        if self.fifos_enabled() { [1, 4, 8, 14][usize::from(self.fcr >> 6)] } else { 1 }
    }

    /// The FIFO keeps what it has when a byte is lost; the lone buffer keeps the last one.
    fn receive(&mut self, byte: u8) {
        if self.rx.len() < self.depth() {
            self.rx.push_back(byte);
            return;
        }
        self.overrun = true;
        if !self.fifos_enabled() {
            self.rx.clear();
            self.rx.push_back(byte);
        }
    }

    /// The transmitter is always empty, so to enable its interrupt raises it.
    fn set_ier(&mut self, value: u8) {
        if value & !self.ier & IER_THR_EMPTY != 0 {
            self.thr_empty = true;
        }
        self.ier = value & IER_ALL;
    }

    fn set_mcr(&mut self, value: u8) {
        let before = self.modem_inputs();
        self.mcr = value & MCR_ALL;
        let (now, changed) = (self.modem_inputs(), before ^ self.modem_inputs());
        let ring_ended = changed & !now & MSR_RI;
        self.msr_changes |= (changed & (MSR_CTS | MSR_DSR | MSR_DCD) | ring_ended) >> 4;
    }

    /// High half of MSR; in loopback RTS, DTR, OUT1 and OUT2 come back as CTS, DSR, RI and DCD.
    fn modem_inputs(&self) -> u8 {
        if self.mcr & MCR_LOOP == 0 {
            return MSR_CTS | MSR_DSR | MSR_DCD;
        }
        let swapped = (self.mcr & 1) << 1 | (self.mcr & 2) >> 1;
        (self.mcr & 0x0c | swapped) << 4
    }

    fn lsr(&self) -> u8 {
        let ready = if self.rx.is_empty() { 0 } else { LSR_DATA_READY };
        let overrun = if self.overrun { LSR_OVERRUN } else { 0 };
        LSR_THR_EMPTY | LSR_TRANSMITTER_EMPTY | ready | overrun
    }

    /// The interrupt of highest priority (PC16550D, 8.5 Interrupt Identification Register).
    fn iir(&self) -> u8 {
        let enabled = |source: u8| self.ier & source != 0;
        let source = if enabled(IER_LINE_STATUS) && self.overrun {
            IIR_LINE_STATUS
        } else if enabled(IER_RECEIVED) && self.rx.len() >= self.trigger() {
            IIR_RECEIVED
        } else if enabled(IER_RECEIVED) && self.timeout {
            IIR_TIMEOUT
        } else if enabled(IER_THR_EMPTY) && self.thr_empty {
            IIR_THR_EMPTY
        } else if enabled(IER_MODEM_STATUS) && self.msr_changes != 0 {
            IIR_MODEM_STATUS
        } else {
            IIR_NONE
        };
        source | if self.fifos_enabled() { IIR_FIFOS_ENABLED } else { 0 }
    }

    /// Ticks of one character, with its start, parity and stop bits.
    fn character_ticks(&self) -> Tick {
        let data = 5 + u64::from(self.lcr & 3);
        let parity = u64::from(self.lcr >> 3 & 1);
        let half_stops = match (self.lcr >> 2 & 1, data) {
            (0, _) => 2,
            (_, 5) => 3,
            _ => 4,
        };
        let half_bits = 2 * (1 + data + parity) + half_stops;
        half_bits * u64::from(self.divisor.max(1)) * TICKS_PER_SECOND / (2 * BASE_BAUD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reprise_core::board::Space;
    use reprise_core::door::Room;

    const IRQ: LineId = LineId::gsi(4);

    fn uart() -> Board {
        let mut board = Board::new(1 << 20, 1).unwrap();
        attach(&mut board, &Properties::new(&SPEC, &[("chardev".into(), "0".into())]).unwrap()).unwrap();
        board
    }

    fn read(board: &mut Board, register: u64) -> u8 {
        board.read(Space::Port, 0x3f8 + register, 1) as u8
    }

    fn write(board: &mut Board, register: u64, value: u8) {
        board.write(Space::Port, 0x3f8 + register, 1, u64::from(value));
    }

    /// With FIFOs, a trigger level of 4 and interrupts `ier`, at 115200 baud, 8N1.
    fn with_fifos(ier: u8) -> Board {
        let mut board = uart();
        for (register, value) in [(3, 0x83), (0, 1), (1, 0), (3, 3), (2, 0x47), (4, MCR_OUT2), (1, ier)] {
            write(&mut board, register, value);
        }
        board
    }

    #[test]
    fn bytes_leave_at_once() {
        let mut board = uart();
        write(&mut board, 0, b'a');
        assert_eq!(board.outputs, [Output::Bytes { chardev: ChardevId(0), bytes: vec![b'a'] }]);
        assert_eq!(read(&mut board, 5), 0x60);
    }

    #[test]
    fn the_divisor_hides_behind_dlab() {
        let mut board = uart();
        write(&mut board, 3, 0x80);
        write(&mut board, 0, 0x34);
        write(&mut board, 1, 0x12);
        assert_eq!((read(&mut board, 0), read(&mut board, 1)), (0x34, 0x12));
        write(&mut board, 3, 0);
        assert_eq!((read(&mut board, 0), read(&mut board, 1)), (0, 0));
    }

    #[test]
    fn the_transmitter_interrupts_once_each_time_it_becomes_empty() {
        let mut board = with_fifos(IER_THR_EMPTY);
        assert!(board.line_level(IRQ));
        assert_eq!(read(&mut board, 2), 0xc2);
        assert!(!board.line_level(IRQ));
        assert_eq!(read(&mut board, 2), 0xc1);
        write(&mut board, 0, 0);
        assert!(board.line_level(IRQ));
        write(&mut board, 1, 0);
        assert!(!board.line_level(IRQ));
    }

    #[test]
    fn the_trigger_level_interrupts() {
        let mut board = with_fifos(IER_RECEIVED);
        board.chardev_input(ChardevId(0), b"abc");
        assert!(!board.line_level(IRQ));
        board.chardev_input(ChardevId(0), b"d");
        assert!(board.line_level(IRQ));
        assert_eq!(read(&mut board, 2), 0xc4);
        assert_eq!(read(&mut board, 0), b'a');
        assert!(!board.line_level(IRQ));
    }

    #[test]
    fn bytes_below_the_trigger_level_interrupt_after_four_characters() {
        let mut board = with_fifos(IER_RECEIVED);
        board.chardev_input(ChardevId(0), b"a");
        let due = board.scheduler.next_deadline().unwrap();
        assert_eq!(due, 4 * 86_805, "ten bits of 8.68 us each, four times");
        board.now = due;
        board.fire_due_timers();
        assert_eq!(read(&mut board, 2), 0xcc);
        assert!(board.line_level(IRQ));
        assert_eq!(read(&mut board, 0), b'a');
        assert!(!board.line_level(IRQ));
        assert_eq!(board.scheduler.next_deadline(), None);
    }

    #[test]
    fn a_full_fifo_has_no_room_and_overruns() {
        let mut board = with_fifos(IER_LINE_STATUS);
        assert_eq!(Room::chardev(&board, ChardevId(0)), 16);
        board.chardev_input(ChardevId(0), b"0123456789abcdef");
        assert_eq!(Room::chardev(&board, ChardevId(0)), 0);
        board.chardev_input(ChardevId(0), b"x");
        assert_eq!(read(&mut board, 2), 0xc6);
        assert_eq!(read(&mut board, 5), 0x63);
        assert_eq!(read(&mut board, 5), 0x61);
        let got: Vec<u8> = (0..16).map(|_| read(&mut board, 0)).collect();
        assert_eq!(got, b"0123456789abcdef");
        assert_eq!(read(&mut board, 5), 0x60);
    }

    #[test]
    fn without_fifos_the_last_byte_stays() {
        let mut board = uart();
        assert_eq!(Room::chardev(&board, ChardevId(0)), 1);
        board.chardev_input(ChardevId(0), b"ab");
        assert_eq!(read(&mut board, 5), 0x63);
        assert_eq!(read(&mut board, 0), b'b');
    }

    #[test]
    fn loopback_joins_transmitter_and_receiver_and_the_modem_lines() {
        let mut board = uart();
        write(&mut board, 4, 0x1a);
        assert_eq!(read(&mut board, 6) & 0xf0, 0x90);
        write(&mut board, 0, 0x5a);
        assert_eq!(board.outputs, []);
        assert_eq!(read(&mut board, 0), 0x5a);
        assert_eq!(Room::chardev(&board, ChardevId(0)), 0);
    }

    #[test]
    fn modem_changes_are_kept_until_read() {
        let mut board = uart();
        write(&mut board, 4, MCR_LOOP | 0x04);
        assert_eq!(read(&mut board, 6), 0x4b);
        write(&mut board, 4, MCR_LOOP);
        assert_eq!(read(&mut board, 6), 0x04);
        write(&mut board, 1, IER_MODEM_STATUS);
        write(&mut board, 4, MCR_OUT2);
        assert!(board.line_level(IRQ));
        assert_eq!(read(&mut board, 2), IIR_MODEM_STATUS);
        assert_eq!(read(&mut board, 6), 0xbb);
        assert!(!board.line_level(IRQ));
    }

    #[test]
    fn out2_gates_the_interrupt() {
        let mut board = with_fifos(IER_THR_EMPTY);
        write(&mut board, 4, 0);
        assert!(!board.line_level(IRQ));
    }

    #[test]
    fn ports_without_an_index_take_the_next_place() {
        let mut board = uart();
        for base in [0x2f8, 0x3e8, 0x2e8] {
            attach(&mut board, &Properties::new(&SPEC, &[]).unwrap()).unwrap();
            assert_eq!(board.peek(Space::Port, base + 5, 1), 0x60);
        }
        let fifth = attach(&mut board, &Properties::new(&SPEC, &[]).unwrap());
        assert!(matches!(fifth, Err(AttachError::Invalid { .. })));
    }
}
