//! A PS/2 keyboard with scan code sets 1 to 3.
//!
//! Document: IBM, Personal System/2 Hardware Interface Technical Reference, "Keyboards (101- and 102-Key)": "Commands from
//! the System". A key that is held repeats after the typematic delay, in ticks. Replies are ready at once, also that of
//! the self test after a reset. Replies go before scan codes that wait. In set 3, keys send make and break codes after
//! power-on, and commands choose for each whether it sends break codes, but not whether it repeats.

use super::ps2_scan_codes::{Modifiers, exists, key, sequence, set_3};
use reprise_core::clock::{TICKS_PER_SECOND, Tick};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Bytes of scan codes that wait; one more says that some were lost.
const BUFFER: usize = 16;
/// 10.9 characters a second after half a second.
const TYPEMATIC_DEFAULT: u8 = 0x2b;
/// Reply: understood.
const ACK: u8 = 0xfa;
/// Reply: not understood, say it again.
const RESEND: u8 = 0xfe;
/// Reply: the self test passed.
const SELF_TEST_PASSED: u8 = 0xaa;

const SET_LEDS: u8 = 0xed;
const ECHO: u8 = 0xee;
const SCAN_CODE_SET: u8 = 0xf0;
const IDENTIFY: u8 = 0xf2;
const SET_TYPEMATIC: u8 = 0xf3;
const ENABLE: u8 = 0xf4;
const DISABLE: u8 = 0xf5;
const SET_DEFAULTS: u8 = 0xf6;
const ALL_TYPEMATIC: u8 = 0xf7;
const ALL_MAKE_BREAK: u8 = 0xf8;
const ALL_MAKE: u8 = 0xf9;
const ALL_TYPEMATIC_MAKE_BREAK: u8 = 0xfa;
const KEY_TYPEMATIC: u8 = 0xfb;
const KEY_MAKE_BREAK: u8 = 0xfc;
const KEY_MAKE: u8 = 0xfd;
const SEND_AGAIN: u8 = 0xfe;
const RESET: u8 = 0xff;

/// A keyboard: all of it is state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keyboard {
    replies: VecDeque<u8>,
    codes: VecDeque<u8>,
    scanning: bool,
    set: u8,
    leds: u8,
    typematic: u8,
    /// Codes of set 3 whose keys send no break code, a bit each.
    no_break: [u64; 4],
    /// The command whose argument comes next.
    awaiting: Option<u8>,
    /// The last byte sent.
    last: u8,
    /// Keys that are down.
    held: Vec<u16>,
    repeating: Option<u16>,
}

impl Default for Keyboard {
    fn default() -> Self {
        Self {
            replies: VecDeque::new(),
            codes: VecDeque::new(),
            scanning: true,
            set: 2,
            leds: 0,
            typematic: TYPEMATIC_DEFAULT,
            no_break: [0; 4],
            awaiting: None,
            last: SELF_TEST_PASSED,
            held: Vec::new(),
            repeating: None,
        }
    }
}

impl Keyboard {
    /// Whether this can be the state of a keyboard.
    pub fn is_sound(&self) -> bool {
        let queues = self.replies.len() <= BUFFER && self.codes.len() <= BUFFER + 1;
        queues && (1..=3).contains(&self.set) && self.held.iter().all(|&key| exists(key)) && self.held.len() <= 256
    }

    /// A key went down or up. Another one down while it is held changes nothing: repeating is the keyboard's.
    pub fn key(&mut self, code: u16, down: bool) {
        if !self.scanning || !exists(code) || down == self.held.contains(&code) {
            return;
        }
        if down {
            self.send_codes(code, true);
            self.held.push(code);
            self.repeating = (code != key::PAUSE).then_some(code);
        } else {
            self.held.retain(|&held| held != code);
            self.repeating = self.repeating.filter(|&repeating| repeating != code);
            self.send_codes(code, false);
        }
    }

    /// The key that repeats.
    pub fn repeating(&self) -> Option<u16> {
        self.repeating
    }

    /// Sends the key that repeats once more.
    pub fn repeat(&mut self) {
        if let Some(code) = self.repeating {
            self.send_codes(code, true);
        }
    }

    /// Ticks until a key begins to repeat ("Set Typematic Rate/Delay").
    pub fn repeat_delay(&self) -> Tick {
        (u64::from(self.typematic >> 5 & 3) + 1) * TICKS_PER_SECOND / 4
    }

    /// Ticks from one repetition to the next ("Set Typematic Rate/Delay").
    pub fn repeat_period(&self) -> Tick {
        let (mantissa, exponent) = (u64::from(self.typematic & 7), self.typematic >> 3 & 3);
        ((8 + mantissa) << exponent) * TICKS_PER_SECOND / 240
    }

    /// The next byte for the controller.
    pub fn next_byte(&mut self) -> Option<u8> {
        let byte = self.replies.pop_front().or_else(|| self.codes.pop_front())?;
        self.last = byte;
        Some(byte)
    }

    /// A byte came from the controller: a command, or the argument of one. It ends the reply that is under way.
    pub fn command(&mut self, byte: u8) {
        self.replies.clear();
        match self.awaiting.take() {
            Some(command) if byte < SET_LEDS => self.argument(command, byte),
            _ => self.obey(byte),
        }
    }

    fn obey(&mut self, command: u8) {
        match command {
            SET_LEDS | SCAN_CODE_SET | SET_TYPEMATIC | KEY_TYPEMATIC..=KEY_MAKE => {
                self.awaiting = Some(command);
                self.reply(&[ACK]);
            }
            ECHO => self.reply(&[ECHO]),
            IDENTIFY => self.reply(&[ACK, 0xab, 0x83]),
            ENABLE | DISABLE | SET_DEFAULTS => {
                if command != ENABLE {
                    self.set_defaults();
                }
                self.forget_keys();
                self.scanning = command != DISABLE;
                self.reply(&[ACK]);
            }
            ALL_TYPEMATIC | ALL_MAKE => self.set_all_breaks(u64::MAX),
            ALL_MAKE_BREAK | ALL_TYPEMATIC_MAKE_BREAK => self.set_all_breaks(0),
            SEND_AGAIN => self.reply(&[self.last]),
            RESET => {
                *self = Self::default();
                self.reply(&[ACK, SELF_TEST_PASSED]);
            }
            _ => self.reply(&[RESEND]),
        }
    }

    fn argument(&mut self, command: u8, byte: u8) {
        match (command, byte) {
            (SET_LEDS, _) => self.leds = byte & 7,
            (SCAN_CODE_SET, 0) => return self.reply(&[ACK, self.set]),
            (SCAN_CODE_SET, 1..=3) => {
                self.forget_keys();
                self.set = byte;
            }
            (SET_TYPEMATIC, 0..=0x7f) => self.typematic = byte,
            (KEY_TYPEMATIC | KEY_MAKE_BREAK | KEY_MAKE, _) => {
                self.set_break(byte, command == KEY_MAKE_BREAK);
                self.awaiting = Some(command);
            }
            _ => return self.reply(&[RESEND]),
        }
        self.reply(&[ACK]);
    }

    fn reply(&mut self, bytes: &[u8]) {
        self.replies.extend(bytes);
    }

    fn set_defaults(&mut self) {
        (self.set, self.typematic, self.no_break) = (2, TYPEMATIC_DEFAULT, [0; 4]);
    }

    /// Scan codes that wait are lost, and no key counts as held.
    fn forget_keys(&mut self) {
        self.codes.clear();
        self.held.clear();
        self.repeating = None;
    }

    fn set_all_breaks(&mut self, bits: u64) {
        self.no_break = [bits; 4];
        self.reply(&[ACK]);
    }

    fn set_break(&mut self, code: u8, sends: bool) {
        let (word, bit) = (usize::from(code >> 6), 1 << (code & 63));
        self.no_break[word] = if sends { self.no_break[word] & !bit } else { self.no_break[word] | bit };
    }

    fn sends_break(&self, key: u16) -> bool {
        let silent = |code: u8| self.no_break[usize::from(code >> 6)] >> (code & 63) & 1 != 0;
        self.set != 3 || !set_3(key).is_some_and(silent)
    }

    /// Puts what `key` sends into the buffer, all of it, or a byte that tells of the loss.
    fn send_codes(&mut self, key: u16, down: bool) {
        if !down && !self.sends_break(key) {
            return;
        }
        let codes = sequence(self.set, key, down, self.modifiers());
        if self.codes.len() + codes.len() <= BUFFER {
            self.codes.extend(codes);
        } else {
            let overrun = if self.set == 1 { 0xff } else { 0x00 };
            if self.codes.back() != Some(&overrun) {
                self.codes.push_back(overrun);
            }
        }
    }

    fn modifiers(&self) -> Modifiers {
        let held = |left, right| self.held.contains(&left) || self.held.contains(&right);
        Modifiers {
            shift: held(key::LEFT_SHIFT, key::RIGHT_SHIFT),
            ctrl: held(key::LEFT_CTRL, key::RIGHT_CTRL),
            alt: held(key::LEFT_ALT, key::RIGHT_ALT),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(keyboard: &mut Keyboard) -> Vec<u8> {
        std::iter::from_fn(|| keyboard.next_byte()).collect()
    }

    /// What the keyboard answers to each byte.
    fn answers(keyboard: &mut Keyboard, bytes: &[u8]) -> Vec<u8> {
        let answer = |&byte| {
            keyboard.command(byte);
            sent(keyboard)
        };
        bytes.iter().flat_map(answer).collect()
    }

    #[test]
    fn commands_and_their_replies() {
        let mut keyboard = Keyboard::default();
        assert_eq!(answers(&mut keyboard, &[RESET]), [ACK, 0xaa]);
        assert_eq!(answers(&mut keyboard, &[IDENTIFY]), [ACK, 0xab, 0x83]);
        assert_eq!(answers(&mut keyboard, &[SEND_AGAIN]), [0x83]);
        assert_eq!(answers(&mut keyboard, &[ECHO]), [ECHO]);
        assert_eq!(answers(&mut keyboard, &[SET_LEDS, 7]), [ACK, ACK]);
        assert_eq!(keyboard.leds, 7);
        assert_eq!(answers(&mut keyboard, &[SCAN_CODE_SET, 0]), [ACK, ACK, 2]);
        assert_eq!(answers(&mut keyboard, &[SCAN_CODE_SET, 4]), [ACK, RESEND]);
        assert_eq!(answers(&mut keyboard, &[0x12]), [RESEND]);
        assert_eq!(answers(&mut keyboard, &[SET_LEDS, IDENTIFY]), [ACK, ACK, 0xab, 0x83], "a command for an argument");
    }

    #[test]
    fn a_keyboard_that_is_switched_off_sends_nothing() {
        let mut keyboard = Keyboard::default();
        assert_eq!(answers(&mut keyboard, &[DISABLE]), [ACK]);
        keyboard.key(30, true);
        assert_eq!(sent(&mut keyboard), []);
        assert_eq!(answers(&mut keyboard, &[ENABLE]), [ACK]);
        keyboard.key(30, true);
        assert_eq!(sent(&mut keyboard), [0x1c]);
    }

    #[test]
    fn held_keys_repeat_until_another_one_or_release() {
        let mut keyboard = Keyboard::default();
        keyboard.key(30, true);
        keyboard.key(30, true);
        assert_eq!(sent(&mut keyboard), [0x1c], "the host's own repeating is not seen");
        keyboard.repeat();
        assert_eq!(sent(&mut keyboard), [0x1c]);
        keyboard.key(48, true);
        keyboard.key(30, false);
        assert_eq!(keyboard.repeating(), Some(48));
        keyboard.key(48, false);
        assert_eq!(keyboard.repeating(), None);
        assert_eq!(keyboard.repeat_delay(), TICKS_PER_SECOND / 2);
        assert_eq!(keyboard.repeat_period(), 11 * 2 * TICKS_PER_SECOND / 240);
    }

    #[test]
    fn a_full_buffer_tells_of_the_loss_once() {
        let mut keyboard = Keyboard::default();
        for _ in 0..20 {
            keyboard.key(103, true);
            keyboard.key(103, false);
        }
        let codes = sent(&mut keyboard);
        assert_eq!(codes[..15], [[0xe0, 0x75, 0xe0, 0xf0, 0x75]; 3].concat());
        assert_eq!(codes[15..], [0]);
    }

    #[test]
    fn print_screen_follows_the_modifiers() {
        let mut keyboard = Keyboard::default();
        keyboard.key(key::LEFT_ALT, true);
        sent(&mut keyboard);
        keyboard.key(key::SYS_RQ, true);
        keyboard.key(key::SYS_RQ, false);
        assert_eq!(sent(&mut keyboard), [0x84, 0xf0, 0x84]);
    }

    #[test]
    fn set_3_keys_send_break_codes_by_choice() {
        let mut keyboard = Keyboard::default();
        assert_eq!(answers(&mut keyboard, &[SCAN_CODE_SET, 3, KEY_MAKE, 0x1c, 0x08, ENABLE]), [ACK; 6]);
        for code in [30, 1, 48] {
            keyboard.key(code, true);
            keyboard.key(code, false);
        }
        assert_eq!(sent(&mut keyboard), [0x1c, 0x08, 0x32, 0xf0, 0x32]);
        assert_eq!(answers(&mut keyboard, &[ALL_MAKE_BREAK]), [ACK]);
        keyboard.key(1, true);
        keyboard.key(1, false);
        assert_eq!(sent(&mut keyboard), [0x08, 0xf0, 0x08]);
    }
}
