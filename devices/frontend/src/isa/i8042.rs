//! The keyboard controller of a PC, with a PS/2 keyboard and a PS/2 mouse.
//!
//! Documents: Intel, UPI-41AH/42AH, "8042AH Functional Description" for the ports; IBM, Personal System/2 Hardware
//! Interface Technical Reference, "Keyboard and Auxiliary Device Controller", for the commands.
//!
//! The controller, the keyboard and the mouse answer at once, so the input buffer is never seen to be full; bytes wait
//! where they come from until the output buffer is free. After power-on the command byte is as firmware leaves it:
//! keyboard translated and interrupting, mouse off. Not modelled: the password commands, and the gate of address line
//! A20, which is always open whatever the output port says.

use super::ps2_keyboard::Keyboard;
use super::ps2_mouse::Mouse;
use super::ps2_scan_codes::translate;
use super::{BUS, map};
use reprise_core::board::{Board, DeviceId, LineId, OutputPin, Region};
use reprise_core::clock::Tick;
use reprise_core::device::{Context, Device, DeviceInput, Width};
use reprise_core::output::PowerEvent;
use reprise_core::property::{AttachError, Category, DeviceSpec, Properties};
use reprise_core::state::{StateError, decode, encode};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Port 0x60, and port 0x64.
const DATA: u32 = 0;
const COMMAND: u32 = 1;
/// Timer: the key that is held repeats.
const TYPEMATIC: u32 = 0;
/// Bytes of the controller's own that wait.
const REPLY_LIMIT: usize = 16;

const STATUS_OUTPUT_FULL: u8 = 1 << 0;
const STATUS_SYSTEM: u8 = 1 << 2;
const STATUS_COMMAND: u8 = 1 << 3;
const STATUS_UNLOCKED: u8 = 1 << 4;
const STATUS_MOUSE: u8 = 1 << 5;

/// The command byte.
const MODE_KEYBOARD_INTERRUPT: u8 = 1 << 0;
const MODE_MOUSE_INTERRUPT: u8 = 1 << 1;
const MODE_SYSTEM: u8 = 1 << 2;
const MODE_KEYBOARD_OFF: u8 = 1 << 4;
const MODE_MOUSE_OFF: u8 = 1 << 5;
const MODE_TRANSLATE: u8 = 1 << 6;

/// The output port.
const OUTPUT_NOT_RESET: u8 = 1 << 0;
const OUTPUT_A20: u8 = 1 << 1;
const OUTPUT_KEYBOARD_FULL: u8 = 1 << 4;
const OUTPUT_MOUSE_FULL: u8 = 1 << 5;
/// The lines to keyboard and mouse are idle.
const OUTPUT_IDLE: u8 = 0xcc;
/// The input port: the keyboard is not locked.
const INPUT_UNLOCKED: u8 = 1 << 7;

const READ_RAM: u8 = 0x20;
const WRITE_RAM: u8 = 0x60;
const RAM_MASK: u8 = 0x1f;
const MOUSE_OFF: u8 = 0xa7;
const MOUSE_ON: u8 = 0xa8;
const TEST_MOUSE: u8 = 0xa9;
const SELF_TEST: u8 = 0xaa;
const TEST_KEYBOARD: u8 = 0xab;
const KEYBOARD_OFF: u8 = 0xad;
const KEYBOARD_ON: u8 = 0xae;
const READ_INPUT_PORT: u8 = 0xc0;
const READ_OUTPUT_PORT: u8 = 0xd0;
const WRITE_OUTPUT_PORT: u8 = 0xd1;
const WRITE_KEYBOARD_BUFFER: u8 = 0xd2;
const WRITE_MOUSE_BUFFER: u8 = 0xd3;
const WRITE_MOUSE: u8 = 0xd4;
const A20_OFF: u8 = 0xdd;
const A20_ON: u8 = 0xdf;
const PULSE: u8 = 0xf0;

const SELF_TEST_PASSED: u8 = 0x55;
const INTERFACE_PASSED: u8 = 0x00;
/// A keyboard's mark of a break code; translation turns it into bit 7 of the next.
const BREAK: u8 = 0xf0;

/// What it is.
pub const SPEC: DeviceSpec = DeviceSpec {
    name: "i8042",
    category: Category::Input,
    bus: BUS,
    description: "Keyboard controller with PS/2 keyboard and mouse",
    user_creatable: false,
    properties: &[],
    attach,
};

fn attach(board: &mut Board, _properties: &Properties) -> Result<DeviceId, AttachError> {
    let keyboard_irq = board.connect_output(LineId::gsi(1));
    let mouse_irq = board.connect_output(LineId::gsi(12));
    let id = board.add_device(SPEC.name, Box::new(I8042::new(keyboard_irq, mouse_irq)));
    map(board, SPEC.name, id, Region::ports(DATA, 0x60..0x61))?;
    map(board, SPEC.name, id, Region::ports(COMMAND, 0x64..0x65))?;
    board.set_keyboard(id);
    board.set_pointer(id);
    Ok(id)
}

/// Everything that software can observe of the controller and what is plugged into it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct I8042State {
    /// The controller's memory; byte 0 is the command byte.
    ram: [u8; 32],
    output_port: u8,
    self_tested: bool,
    /// The last write was a command.
    command_written: bool,
    /// The command whose data comes next.
    awaiting: Option<u8>,
    /// The output buffer; it keeps its byte when it is read.
    data: u8,
    full: bool,
    /// The byte in the output buffer is the mouse's.
    from_mouse: bool,
    /// Bytes of the controller's own that wait for the output buffer, and whether they count as the mouse's.
    replies: VecDeque<(u8, bool)>,
    keyboard: Keyboard,
    mouse: Mouse,
}

impl Default for I8042State {
    fn default() -> Self {
        let mut ram = [0; 32];
        ram[0] = MODE_KEYBOARD_INTERRUPT | MODE_SYSTEM | MODE_MOUSE_OFF | MODE_TRANSLATE;
        Self {
            ram,
            output_port: OUTPUT_NOT_RESET | OUTPUT_A20 | OUTPUT_IDLE,
            self_tested: true,
            command_written: true,
            awaiting: None,
            data: 0,
            full: false,
            from_mouse: false,
            replies: VecDeque::new(),
            keyboard: Keyboard::default(),
            mouse: Mouse::default(),
        }
    }
}

/// The controller.
pub struct I8042 {
    keyboard_irq: OutputPin,
    mouse_irq: OutputPin,
    state: I8042State,
}

impl I8042 {
    /// A controller after power-on.
    pub fn new(keyboard_irq: OutputPin, mouse_irq: OutputPin) -> Self {
        Self { keyboard_irq, mouse_irq, state: I8042State::default() }
    }
}

impl Device for I8042 {
    fn read(&mut self, region: u32, offset: u64, width: Width, ctx: &mut Context<'_>) -> u64 {
        let value = self.peek(region, offset, width, ctx.now());
        if region == DATA && self.state.full {
            // The line falls between two bytes, or the second one would be no edge for the interrupt controller.
            self.state.full = false;
            self.update_irqs(ctx);
            self.refill(ctx);
        }
        value
    }

    fn write(&mut self, region: u32, _offset: u64, _width: Width, value: u64, ctx: &mut Context<'_>) {
        self.state.command_written = region == COMMAND;
        if region == COMMAND {
            self.command(value as u8, ctx);
        } else {
            self.data(value as u8, ctx);
        }
        self.refill(ctx);
    }

    fn peek(&self, region: u32, _offset: u64, _width: Width, _now: Tick) -> u64 {
        u64::from(if region == DATA { self.state.data } else { self.state.status() })
    }

    fn timer(&mut self, _slot: u32, ctx: &mut Context<'_>) {
        self.state.keyboard.repeat();
        if self.state.keyboard.repeating().is_some() {
            ctx.arm(TYPEMATIC, ctx.now().saturating_add(self.state.keyboard.repeat_period()));
        }
        self.refill(ctx);
    }

    fn line(&mut self, _pin: u32, _level: bool, _ctx: &mut Context<'_>) {}

    fn input(&mut self, input: DeviceInput<'_>, ctx: &mut Context<'_>) {
        match input {
            DeviceInput::Key(key) => self.with_keyboard(ctx, |keyboard| keyboard.key(key.code, key.down)),
            DeviceInput::Pointer(event) => self.state.mouse.pointer(event),
            DeviceInput::Bytes { .. }
            | DeviceInput::Connected { .. }
            | DeviceInput::Frame(_)
            | DeviceInput::Answer { .. }
            | DeviceInput::PowerButton => {}
        }
        self.refill(ctx);
    }

    fn input_room(&self, _port: u32) -> usize {
        0
    }

    fn reset(&mut self, ctx: &mut Context<'_>) {
        self.state = I8042State::default();
        ctx.disarm(TYPEMATIC);
        self.update_irqs(ctx);
    }

    fn save(&self) -> Vec<u8> {
        encode(&self.state)
    }

    fn load(&mut self, state: &[u8]) -> Result<(), StateError> {
        let state: I8042State = decode(SPEC.name, state)?;
        if state.replies.len() > REPLY_LIMIT || !state.keyboard.is_sound() || !state.mouse.is_sound() {
            return Err(StateError::Malformed { part: SPEC.name.into(), reason: "a field is out of range".into() });
        }
        self.state = state;
        Ok(())
    }
}

impl I8042 {
    fn command(&mut self, command: u8, ctx: &mut Context<'_>) {
        let state = &mut self.state;
        state.awaiting = None;
        match command {
            READ_RAM..=0x3f => state.reply(state.ram[usize::from(command & RAM_MASK)]),
            WRITE_RAM..=0x7f | WRITE_OUTPUT_PORT..=WRITE_MOUSE => state.awaiting = Some(command),
            MOUSE_OFF => state.ram[0] |= MODE_MOUSE_OFF,
            MOUSE_ON => state.ram[0] &= !MODE_MOUSE_OFF,
            TEST_MOUSE | TEST_KEYBOARD => state.reply(INTERFACE_PASSED),
            SELF_TEST => {
                state.self_tested = true;
                state.reply(SELF_TEST_PASSED);
            }
            KEYBOARD_OFF => state.ram[0] |= MODE_KEYBOARD_OFF,
            KEYBOARD_ON => state.ram[0] &= !MODE_KEYBOARD_OFF,
            READ_INPUT_PORT => state.reply(INPUT_UNLOCKED),
            READ_OUTPUT_PORT => state.reply(state.output_port()),
            A20_OFF => state.output_port &= !OUTPUT_A20,
            A20_ON => state.output_port |= OUTPUT_A20,
            PULSE..=0xff if command & OUTPUT_NOT_RESET == 0 => ctx.power(PowerEvent::Reset),
            PULSE..=0xff => {}
            _ => log::debug!(target: "guest_errors", "{}: unknown command {command:#04x}", SPEC.name),
        }
    }

    /// A byte for port 0x60: data of a command, or for the keyboard, whose interface that turns on.
    fn data(&mut self, byte: u8, ctx: &mut Context<'_>) {
        let state = &mut self.state;
        match state.awaiting.take() {
            Some(command @ WRITE_RAM..=0x7f) => state.ram[usize::from(command & RAM_MASK)] = byte,
            Some(WRITE_OUTPUT_PORT) => {
                state.output_port = byte | OUTPUT_NOT_RESET;
                if byte & OUTPUT_NOT_RESET == 0 {
                    ctx.power(PowerEvent::Reset);
                }
            }
            Some(WRITE_KEYBOARD_BUFFER) => state.put_reply(byte, false),
            Some(WRITE_MOUSE_BUFFER) => state.put_reply(byte, true),
            Some(WRITE_MOUSE) => {
                state.ram[0] &= !MODE_MOUSE_OFF;
                state.mouse.command(byte);
            }
            _ => {
                state.ram[0] &= !MODE_KEYBOARD_OFF;
                self.with_keyboard(ctx, |keyboard| keyboard.command(byte));
            }
        }
    }

    /// Lets something happen to the keyboard, and times the repeating of the key that is then held.
    fn with_keyboard(&mut self, ctx: &mut Context<'_>, happen: impl FnOnce(&mut Keyboard)) {
        let keyboard = &mut self.state.keyboard;
        let before = keyboard.repeating();
        happen(keyboard);
        match keyboard.repeating() {
            after if after == before => {}
            Some(_) => ctx.arm(TYPEMATIC, ctx.now().saturating_add(keyboard.repeat_delay())),
            None => ctx.disarm(TYPEMATIC),
        }
    }

    /// Fills the output buffer if it is free and a byte waits.
    fn refill(&mut self, ctx: &mut Context<'_>) {
        if !self.state.full
            && let Some((byte, from_mouse)) = self.state.next_byte()
        {
            (self.state.data, self.state.full, self.state.from_mouse) = (byte, true, from_mouse);
        }
        self.update_irqs(ctx);
    }

    fn update_irqs(&self, ctx: &mut Context<'_>) {
        let state = &self.state;
        let interrupts =
            |mode: u8, from_mouse: bool| state.full && state.from_mouse == from_mouse && state.ram[0] & mode != 0;
        ctx.set_line(self.keyboard_irq, interrupts(MODE_KEYBOARD_INTERRUPT, false));
        ctx.set_line(self.mouse_irq, interrupts(MODE_MOUSE_INTERRUPT, true));
    }
}

impl I8042State {
    fn status(&self) -> u8 {
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        STATUS_UNLOCKED
            | bit(self.full, STATUS_OUTPUT_FULL)
            | bit(self.full && self.from_mouse, STATUS_MOUSE)
            | bit(self.self_tested, STATUS_SYSTEM)
            | bit(self.command_written, STATUS_COMMAND)
    }

    fn output_port(&self) -> u8 {
        let full = match (self.full, self.from_mouse) {
            (false, _) => 0,
            (true, false) => OUTPUT_KEYBOARD_FULL,
            (true, true) => OUTPUT_MOUSE_FULL,
        };
        self.output_port & !(OUTPUT_KEYBOARD_FULL | OUTPUT_MOUSE_FULL) | full
    }

    fn reply(&mut self, byte: u8) {
        self.put_reply(byte, false);
    }

    /// Queues a byte of the controller's own; a guest that never reads loses the oldest.
    fn put_reply(&mut self, byte: u8, from_mouse: bool) {
        if self.replies.len() == REPLY_LIMIT {
            self.replies.pop_front();
        }
        self.replies.push_back((byte, from_mouse));
    }

    /// The next byte for the output buffer, and whether it is the mouse's: the controller's own go first.
    fn next_byte(&mut self) -> Option<(u8, bool)> {
        if let Some(reply) = self.replies.pop_front() {
            return Some(reply);
        }
        if self.ram[0] & MODE_KEYBOARD_OFF == 0
            && let Some(code) = self.next_code()
        {
            return Some((code, false));
        }
        let mouse_is_on = self.ram[0] & MODE_MOUSE_OFF == 0;
        mouse_is_on.then(|| self.mouse.next_byte()).flatten().map(|byte| (byte, true))
    }

    /// The keyboard's next byte, translated if that is wanted.
    fn next_code(&mut self) -> Option<u8> {
        let code = self.keyboard.next_byte()?;
        match code {
            _ if self.ram[0] & MODE_TRANSLATE == 0 => Some(code),
            BREAK => self.keyboard.next_byte().map(|code| translate(code) | 0x80),
            _ => Some(translate(code)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reprise_core::board::Space;
    use reprise_core::device::{KeyEvent, PointerEvent};

    const KEYBOARD_IRQ: LineId = LineId::gsi(1);
    const MOUSE_IRQ: LineId = LineId::gsi(12);

    fn controller() -> Board {
        let mut board = Board::new(1 << 20, 1).unwrap();
        attach(&mut board, &Properties::new(&SPEC, &[]).unwrap()).unwrap();
        board
    }

    fn command(board: &mut Board, byte: u8) {
        board.write(Space::Port, 0x64, 1, u64::from(byte));
    }

    fn data(board: &mut Board, byte: u8) {
        board.write(Space::Port, 0x60, 1, u64::from(byte));
    }

    fn status(board: &mut Board) -> u8 {
        board.read(Space::Port, 0x64, 1) as u8
    }

    /// All bytes that can be read, and whether they are the mouse's.
    fn drain(board: &mut Board) -> Vec<(u8, bool)> {
        let mut bytes = Vec::new();
        loop {
            let status = status(board);
            if status & STATUS_OUTPUT_FULL == 0 {
                return bytes;
            }
            bytes.push((board.read(Space::Port, 0x60, 1) as u8, status & STATUS_MOUSE != 0));
        }
    }

    fn keyboard_bytes(board: &mut Board) -> Vec<u8> {
        drain(board)
            .into_iter()
            .map(|(byte, from_mouse)| if from_mouse { panic!("the mouse's") } else { byte })
            .collect()
    }

    /// Writes the command byte.
    fn mode(board: &mut Board, mode: u8) {
        command(board, WRITE_RAM);
        data(board, mode);
    }

    fn key(board: &mut Board, code: u16, down: bool) {
        board.person_input(DeviceInput::Key(KeyEvent { code, down }));
    }

    #[test]
    fn self_tests_pass() {
        let mut board = controller();
        for (test, result) in [(SELF_TEST, 0x55), (TEST_KEYBOARD, 0), (TEST_MOUSE, 0)] {
            command(&mut board, test);
            assert_eq!(keyboard_bytes(&mut board), [result]);
        }
        assert_eq!(status(&mut board), STATUS_SYSTEM | STATUS_COMMAND | STATUS_UNLOCKED);
    }

    #[test]
    fn memory_and_ports_can_be_written_and_read() {
        let mut board = controller();
        command(&mut board, 0x7f);
        data(&mut board, 0xa5);
        command(&mut board, 0x3f);
        assert_eq!(keyboard_bytes(&mut board), [0xa5]);
        command(&mut board, A20_OFF);
        command(&mut board, READ_OUTPUT_PORT);
        assert_eq!(keyboard_bytes(&mut board), [0xcd]);
        command(&mut board, WRITE_OUTPUT_PORT);
        data(&mut board, 0xcf);
        command(&mut board, READ_OUTPUT_PORT);
        assert_eq!(keyboard_bytes(&mut board), [0xcf]);
    }

    #[test]
    fn the_mouse_interface_answers_as_linux_probes_it() {
        let mut board = controller();
        mode(&mut board, MODE_MOUSE_INTERRUPT);
        for byte in [0xf0, 0x56, 0xa4, 0xa5] {
            command(&mut board, WRITE_MOUSE_BUFFER);
            data(&mut board, byte);
            assert!(board.line_level(MOUSE_IRQ) && !board.line_level(KEYBOARD_IRQ));
            assert_eq!(drain(&mut board), [(byte, true)]);
        }
        for (switch, off) in [(MOUSE_OFF, MODE_MOUSE_OFF), (MOUSE_ON, 0)] {
            command(&mut board, switch);
            command(&mut board, READ_RAM);
            assert_eq!(keyboard_bytes(&mut board)[0] & MODE_MOUSE_OFF, off);
        }
    }

    #[test]
    fn keys_are_translated_and_each_byte_interrupts() {
        let mut board = controller();
        key(&mut board, 103, true);
        assert!(board.line_level(KEYBOARD_IRQ));
        assert_eq!(board.read(Space::Port, 0x60, 1), 0xe0);
        assert!(board.line_level(KEYBOARD_IRQ));
        assert_eq!(board.read(Space::Port, 0x60, 1), 0x48);
        assert!(!board.line_level(KEYBOARD_IRQ));
        key(&mut board, 103, false);
        assert_eq!(keyboard_bytes(&mut board), [0xe0, 0xc8]);
        mode(&mut board, 0);
        key(&mut board, 103, true);
        key(&mut board, 103, false);
        assert_eq!(keyboard_bytes(&mut board), [0xe0, 0x75, 0xe0, 0xf0, 0x75]);
        assert!(!board.line_level(KEYBOARD_IRQ));
    }

    #[test]
    fn identity_and_scan_code_set_pass_through_translation() {
        let mut board = controller();
        data(&mut board, 0xf2);
        assert_eq!(keyboard_bytes(&mut board), [0xfa, 0xab, 0x41]);
        mode(&mut board, 0);
        data(&mut board, 0xf2);
        assert_eq!(keyboard_bytes(&mut board), [0xfa, 0xab, 0x83]);
    }

    #[test]
    fn a_keyboard_that_is_off_keeps_its_bytes_and_a_command_turns_it_on() {
        let mut board = controller();
        command(&mut board, KEYBOARD_OFF);
        key(&mut board, 30, true);
        assert_eq!(drain(&mut board), []);
        data(&mut board, 0xee);
        assert_eq!(keyboard_bytes(&mut board), [0xee, 0x1e]);
    }

    #[test]
    fn the_mouse_speaks_through_its_own_commands() {
        let mut board = controller();
        mode(&mut board, MODE_MOUSE_INTERRUPT | MODE_MOUSE_OFF);
        for byte in [0xff, 0xf4] {
            command(&mut board, WRITE_MOUSE);
            data(&mut board, byte);
        }
        board.person_input(DeviceInput::Pointer(PointerEvent { dx: 1, dy: -2, wheel: 0, buttons: 1 }));
        assert!(board.line_level(MOUSE_IRQ));
        let bytes: Vec<_> = drain(&mut board).into_iter().map(|(byte, _)| byte).collect();
        assert_eq!(bytes, [0xfa, 0xfa, 0x09, 1, 2], "the second command ended the rest of the first one's reply");
    }

    #[test]
    fn held_keys_repeat_in_ticks() {
        let mut board = controller();
        key(&mut board, 30, true);
        let mut fired = Vec::new();
        for _ in 0..3 {
            board.now = board.scheduler.next_deadline().unwrap();
            fired.push(board.now);
            board.fire_due_timers();
        }
        assert_eq!(fired, [500_000_000, 591_666_666, 683_333_332]);
        assert_eq!(keyboard_bytes(&mut board), [0x1e; 4]);
        key(&mut board, 30, false);
        assert_eq!(board.scheduler.next_deadline(), None);
    }

    #[test]
    fn the_reset_line_resets() {
        for (bytes, event) in [
            (&[0xfe][..], Some(PowerEvent::Reset)),
            (&[0xff], None),
            (&[WRITE_OUTPUT_PORT, 0xfe], Some(PowerEvent::Reset)),
            (&[WRITE_OUTPUT_PORT, 0xff], None),
        ] {
            let mut board = controller();
            command(&mut board, bytes[0]);
            bytes[1..].iter().for_each(|&byte| data(&mut board, byte));
            assert_eq!(board.take_power(), event);
        }
    }

    #[test]
    fn a_guest_that_never_reads_is_no_trouble() {
        let mut board = controller();
        for _ in 0..1000 {
            command(&mut board, SELF_TEST);
            data(&mut board, 0xf2);
        }
        assert!(drain(&mut board).len() <= REPLY_LIMIT + 1 + 3);
    }
}
