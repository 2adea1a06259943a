//! A PS/2 mouse with a wheel and five buttons.
//!
//! Documents: IBM, Personal System/2 Hardware Interface Technical Reference, "Mouse": "Commands"; Microsoft, "Five-Button
//! Wheel Mouse" for the sample rates that turn wheel and buttons on. Movement is reported as it happens, not at the
//! sample rate, and what finds no room in the buffer is added up. Replies are ready at once.

use reprise_core::device::PointerEvent;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Bytes of reports that wait: four of the longest.
const BUFFER: usize = 16;
/// Most counts that are added up.
const COUNT_LIMIT: i32 = 1 << 20;
/// Most counts of one report: nine bits.
const REPORT_LIMIT: i32 = 255;
const ACK: u8 = 0xfa;
const RESEND: u8 = 0xfe;

const SCALE_1_TO_1: u8 = 0xe6;
const SCALE_2_TO_1: u8 = 0xe7;
const SET_RESOLUTION: u8 = 0xe8;
const STATUS: u8 = 0xe9;
const STREAM_MODE: u8 = 0xea;
const READ_DATA: u8 = 0xeb;
const END_WRAP: u8 = 0xec;
const WRAP_MODE: u8 = 0xee;
const REMOTE_MODE: u8 = 0xf0;
const IDENTIFY: u8 = 0xf2;
const SET_RATE: u8 = 0xf3;
const ENABLE: u8 = 0xf4;
const DISABLE: u8 = 0xf5;
const SET_DEFAULTS: u8 = 0xf6;
const SEND_AGAIN: u8 = 0xfe;
const RESET: u8 = 0xff;

/// Identity of a mouse with three buttons and nothing else.
const STANDARD: u8 = 0;
/// Identity of a mouse with a wheel.
const WHEEL: u8 = 3;
/// Identity of a mouse with a wheel and five buttons.
const FIVE_BUTTONS: u8 = 4;

/// A mouse: all of it is state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mouse {
    replies: VecDeque<u8>,
    reports: VecDeque<u8>,
    enabled: bool,
    remote: bool,
    wrap: bool,
    scale_2_to_1: bool,
    resolution: u8,
    rate: u8,
    identity: u8,
    /// The two sample rates before the last.
    rates_before: [u8; 2],
    /// To the right.
    dx: i32,
    /// Upward, as the mouse has it.
    dy: i32,
    /// Wheel, toward the user.
    dz: i32,
    buttons: u8,
    buttons_reported: u8,
    /// The command whose argument comes next.
    awaiting: Option<u8>,
    /// The last byte sent.
    last: u8,
}

impl Default for Mouse {
    fn default() -> Self {
        Self {
            replies: VecDeque::new(),
            reports: VecDeque::new(),
            enabled: false,
            remote: false,
            wrap: false,
            scale_2_to_1: false,
            resolution: 2,
            rate: 100,
            identity: STANDARD,
            rates_before: [0; 2],
            dx: 0,
            dy: 0,
            dz: 0,
            buttons: 0,
            buttons_reported: 0,
            awaiting: None,
            last: 0,
        }
    }
}

impl Mouse {
    /// Whether this can be the state of a mouse.
    pub fn is_sound(&self) -> bool {
        let counts = [self.dx, self.dy, self.dz].iter().all(|count| (-COUNT_LIMIT..=COUNT_LIMIT).contains(count));
        counts && self.replies.len() <= BUFFER && self.reports.len() <= BUFFER
    }

    /// The mouse moved by this much to the right and downward, its wheel by this much away from the user, and its buttons
    /// are now these.
    pub fn pointer(&mut self, event: PointerEvent) {
        let PointerEvent { dx, dy, wheel, buttons } = event;
        self.buttons = buttons;
        if self.enabled || self.remote {
            let add = |count: i32, more: i32| (count + more).clamp(-COUNT_LIMIT, COUNT_LIMIT);
            self.dx = add(self.dx, i32::from(dx));
            self.dy = add(self.dy, -i32::from(dy));
            self.dz = add(self.dz, -i32::from(wheel));
        }
        self.stream();
    }

    /// The next byte for the controller.
    pub fn next_byte(&mut self) -> Option<u8> {
        let byte = self.replies.pop_front().or_else(|| self.reports.pop_front())?;
        self.last = byte;
        self.stream();
        Some(byte)
    }

    /// A byte came from the controller: a command, or the argument of one. It ends the reply that is under way.
    pub fn command(&mut self, byte: u8) {
        self.replies.clear();
        if self.wrap && !matches!(byte, END_WRAP | RESET) {
            return self.reply(&[byte]);
        }
        match self.awaiting.take() {
            Some(command) => self.argument(command, byte),
            None => self.obey(byte),
        }
    }

    fn obey(&mut self, command: u8) {
        match command {
            SCALE_1_TO_1 | SCALE_2_TO_1 => self.scale_2_to_1 = command == SCALE_2_TO_1,
            SET_RESOLUTION | SET_RATE => self.awaiting = Some(command),
            STATUS => return self.reply(&[ACK, self.status(), self.resolution, self.rate]),
            STREAM_MODE | REMOTE_MODE => {
                self.remote = command == REMOTE_MODE;
                self.forget_movement();
            }
            READ_DATA => {
                let report = self.report();
                self.reply(&[ACK]);
                return self.reply(&report);
            }
            END_WRAP | WRAP_MODE => {
                self.wrap = command == WRAP_MODE;
                self.forget_movement();
            }
            IDENTIFY => return self.reply(&[ACK, self.identity]),
            ENABLE | DISABLE => {
                self.enabled = command == ENABLE;
                self.forget_movement();
            }
            SET_DEFAULTS => self.set_defaults(),
            SEND_AGAIN => return self.reply(&[self.last]),
            RESET => {
                self.set_defaults();
                (self.wrap, self.identity) = (false, STANDARD);
                return self.reply(&[ACK, 0xaa, self.identity]);
            }
            _ => return self.reply(&[RESEND]),
        }
        self.reply(&[ACK]);
    }

    fn argument(&mut self, command: u8, byte: u8) {
        match (command, byte) {
            (SET_RESOLUTION, 0..=3) => self.resolution = byte,
            (SET_RATE, _) => self.set_rate(byte),
            _ => return self.reply(&[RESEND]),
        }
        self.reply(&[ACK]);
    }

    /// Three rates in a row are the knock that turns a wheel on, or two more buttons.
    fn set_rate(&mut self, rate: u8) {
        match (self.rates_before, rate) {
            ([200, 100], 80) => self.identity = WHEEL,
            ([200, 200], 80) => self.identity = FIVE_BUTTONS,
            _ => {}
        }
        self.rates_before = [self.rates_before[1], rate];
        self.rate = rate;
    }

    fn set_defaults(&mut self) {
        (self.enabled, self.remote, self.scale_2_to_1) = (false, false, false);
        (self.resolution, self.rate, self.rates_before) = (2, 100, [0; 2]);
        self.forget_movement();
    }

    fn forget_movement(&mut self) {
        self.reports.clear();
        (self.dx, self.dy, self.dz) = (0, 0, 0);
        self.buttons_reported = self.buttons;
    }

    fn reply(&mut self, bytes: &[u8]) {
        self.replies.extend(bytes);
    }

    fn status(&self) -> u8 {
        let [left, right, middle] = [0, 1, 2].map(|button| self.buttons >> button & 1);
        let modes = u8::from(self.scale_2_to_1) << 4 | u8::from(self.enabled) << 5 | u8::from(self.remote) << 6;
        left << 2 | middle << 1 | right | modes
    }

    /// In stream mode, reports what is new as far as there is room.
    fn stream(&mut self) {
        while self.enabled && !self.remote && !self.wrap && self.has_news() && self.reports.len() + 4 <= BUFFER {
            let report = self.report();
            self.reports.extend(report);
        }
    }

    fn has_news(&self) -> bool {
        let wheel = self.identity != STANDARD && self.dz != 0;
        self.dx != 0 || self.dy != 0 || wheel || self.buttons != self.buttons_reported
    }

    /// The next report, whose counts are no longer to be reported.
    fn report(&mut self) -> Vec<u8> {
        let (dx, dy) = (take(&mut self.dx, REPORT_LIMIT), take(&mut self.dy, REPORT_LIMIT));
        let dz = if self.identity == STANDARD { std::mem::take(&mut self.dz) } else { take(&mut self.dz, 7) };
        let [dx, dy] = [dx, dy].map(|count| if self.scale_2_to_1 && !self.remote { scale(count) } else { count });
        self.buttons_reported = self.buttons;
        let signs = u8::from(dx < 0) << 4 | u8::from(dy < 0) << 5;
        let mut report = vec![1 << 3 | signs | self.buttons & 7, dx as u8, dy as u8];
        match self.identity {
            STANDARD => {}
            FIVE_BUTTONS => report.push(dz as u8 & 0xf | (self.buttons & 0x18) << 1),
            _ => report.push(dz as u8),
        }
        report
    }
}

/// Takes up to `limit` counts, either way.
fn take(count: &mut i32, limit: i32) -> i32 {
    let taken = (*count).clamp(-limit, limit);
    *count -= taken;
    taken
}

/// Counts as 2:1 scaling reports them.
fn scale(count: i32) -> i32 {
    let size = match count.abs() {
        size @ (0 | 1) => size,
        2 => 1,
        3 => 3,
        4 => 6,
        5 => 9,
        size => (2 * size).min(REPORT_LIMIT),
    };
    size * count.signum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(mouse: &mut Mouse) -> Vec<u8> {
        std::iter::from_fn(|| mouse.next_byte()).collect()
    }

    fn answers(mouse: &mut Mouse, bytes: &[u8]) -> Vec<u8> {
        let answer = |&byte| {
            mouse.command(byte);
            sent(mouse)
        };
        bytes.iter().flat_map(answer).collect()
    }

    fn streaming(rates: [u8; 3]) -> Mouse {
        let mut mouse = Mouse::default();
        for rate in rates {
            answers(&mut mouse, &[SET_RATE, rate]);
        }
        answers(&mut mouse, &[ENABLE]);
        mouse
    }

    fn moved(dx: i16, dy: i16, wheel: i8, buttons: u8) -> PointerEvent {
        PointerEvent { dx, dy, wheel, buttons }
    }

    #[test]
    fn commands_and_their_replies() {
        let mut mouse = Mouse::default();
        assert_eq!(answers(&mut mouse, &[RESET]), [ACK, 0xaa, 0]);
        assert_eq!(answers(&mut mouse, &[STATUS]), [ACK, 0, 2, 100]);
        assert_eq!(answers(&mut mouse, &[SET_RESOLUTION, 3, SET_RATE, 40, SCALE_2_TO_1, ENABLE]), [ACK; 6]);
        assert_eq!(answers(&mut mouse, &[STATUS]), [ACK, 0x30, 3, 40]);
        assert_eq!(answers(&mut mouse, &[SET_RESOLUTION, 4]), [ACK, RESEND]);
        assert_eq!(answers(&mut mouse, &[0xe1]), [RESEND]);
        assert_eq!(answers(&mut mouse, &[WRAP_MODE, 0x55, STATUS, END_WRAP]), [ACK, 0x55, STATUS, ACK]);
    }

    #[test]
    fn a_standard_mouse_reports_three_bytes() {
        let mut mouse = streaming([100; 3]);
        mouse.pointer(moved(3, 5, 1, 0b11));
        assert_eq!(sent(&mut mouse), [0x2b, 3, 0xfb]);
        mouse.pointer(moved(0, 0, 0, 0b11));
        assert_eq!(sent(&mut mouse), []);
        mouse.pointer(moved(-300, 0, 0, 0));
        assert_eq!(sent(&mut mouse), [0x18, 1, 0, 0x18, 211, 0]);
    }

    #[test]
    fn the_knocks_turn_on_wheel_and_buttons() {
        let mut mouse = streaming([200, 100, 80]);
        assert_eq!(answers(&mut mouse, &[IDENTIFY]), [ACK, WHEEL]);
        mouse.pointer(moved(0, 0, 2, 0));
        assert_eq!(sent(&mut mouse), [0x08, 0, 0, 0xfe]);
        let mut mouse = streaming([200, 200, 80]);
        assert_eq!(answers(&mut mouse, &[IDENTIFY]), [ACK, FIVE_BUTTONS]);
        mouse.pointer(moved(0, 0, -1, 0b1_1000));
        assert_eq!(sent(&mut mouse), [0x08, 0, 0, 0x31]);
    }

    #[test]
    fn movement_without_room_is_added_up() {
        let mut mouse = streaming([100; 3]);
        for _ in 0..1000 {
            mouse.pointer(moved(1, 0, 0, 0));
        }
        let reports = sent(&mut mouse);
        assert_eq!(reports.chunks(3).map(|report| u32::from(report[1])).sum::<u32>(), 1000);
        assert!(reports.len() < 40);
    }

    #[test]
    fn remote_mode_reports_when_asked() {
        let mut mouse = Mouse::default();
        answers(&mut mouse, &[REMOTE_MODE]);
        mouse.pointer(moved(7, 0, 0, 0b100));
        assert_eq!(sent(&mut mouse), []);
        assert_eq!(answers(&mut mouse, &[READ_DATA]), [ACK, 0x0c, 7, 0]);
        assert_eq!(answers(&mut mouse, &[READ_DATA]), [ACK, 0x0c, 0, 0]);
        assert_eq!(answers(&mut mouse, &[STATUS])[1], 0x42);
    }

    #[test]
    fn scaling_stretches_the_fast_ones() {
        let mut mouse = streaming([100; 3]);
        answers(&mut mouse, &[SCALE_2_TO_1]);
        for (by, reported) in [(1, 1), (2, 1), (3, 3), (4, 6), (5, 9), (6, 12), (200, 255)] {
            mouse.pointer(moved(by, 0, 0, 0));
            assert_eq!(sent(&mut mouse)[1], reported);
        }
    }
}
