//! One counter of the 8254 ("Mode Definitions").
//!
//! All times are counts of the input clock since power-on. The clock pulse after a count is written, or after a
//! trigger, loads it.

use serde::{Deserialize, Serialize};

/// What software can observe of a counter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counter {
    /// 0 to 5.
    mode: u8,
    bcd: bool,
    /// RW bits of the control word: 1 least, 2 most significant byte, 3 both in turn.
    rw: u8,
    gate: bool,
    /// The first byte of a count of two.
    first_byte: Option<u8>,
    /// The next byte read is the second of two.
    second_read: bool,
    latch: Option<u16>,
    status: Option<u8>,
    /// The count that was loaded, 1 to 65536; 0 after a control word.
    count: u32,
    /// When it was loaded.
    start: i64,
    /// Counts that had passed when counting was stopped.
    stopped: Option<i64>,
    /// A count that is loaded by the next trigger or at the end of the period, and when it was written.
    waiting: Option<(u32, i64)>,
}

impl Counter {
    /// After power-on, which the datasheet leaves open: mode 0 without a count, so that OUT is low.
    pub(super) fn new(gate: bool) -> Self {
        Self {
            mode: 0,
            bcd: false,
            rw: 3,
            gate,
            first_byte: None,
            second_read: false,
            latch: None,
            status: None,
            count: 0,
            start: 0,
            stopped: None,
            waiting: None,
        }
    }

    fn is_periodic(&self) -> bool {
        matches!(self.mode, 2 | 3)
    }

    /// Modes in which GATE starts, and its level has no effect.
    fn is_triggered(&self) -> bool {
        matches!(self.mode, 1 | 5)
    }

    /// The count loaded, as a divisor.
    fn period(&self) -> i64 {
        i64::from(self.count).max(2)
    }

    /// Counts since the count was loaded.
    fn elapsed(&self, clk: u64) -> i64 {
        self.stopped.unwrap_or_else(|| (clk as i64).saturating_sub(self.start).max(0))
    }

    /// The level of OUT.
    pub(super) fn out(&self, clk: u64) -> bool {
        let settled = self.settled(clk);
        let elapsed = settled.elapsed(clk);
        let (count, loaded) = (i64::from(settled.count), settled.count != 0);
        match settled.mode {
            0 => loaded && elapsed >= count && settled.first_byte.is_none(),
            1 => !loaded || elapsed >= count || (clk as i64) < settled.start,
            2 => !loaded || !settled.gate || elapsed % settled.period() != settled.period() - 1,
            3 => !loaded || !settled.gate || elapsed % settled.period() < high_half(settled.period()),
            _ => !loaded || elapsed != count,
        }
    }

    /// OUT as an edge-triggered input sees it: the low phase of the modes that pulse is left out.
    pub(super) fn irq_level(&self, clk: u64) -> bool {
        self.mode > 1 || self.out(clk)
    }

    /// The counting element.
    fn value(&self, clk: u64) -> u16 {
        let settled = self.settled(clk);
        if settled.count == 0 {
            return 0;
        }
        let (elapsed, period) = (settled.elapsed(clk), settled.period());
        let modulus = if settled.bcd { 10_000 } else { 65_536 };
        let left = match settled.mode {
            2 => period - elapsed % period,
            3 => {
                let at = elapsed % period;
                let in_half = if at < high_half(period) { at } else { at - high_half(period) };
                period / 2 * 2 - 2 * in_half
            }
            _ => i64::from(settled.count) + modulus - elapsed % modulus,
        };
        let left = (left % modulus) as u16;
        if settled.bcd { to_bcd(left) } else { left }
    }

    /// The end of the period, or in mode 3 of the half, in which a count was written: then it is loaded. Also whether a
    /// whole period ends.
    fn boundary(&self, written: i64) -> (i64, bool) {
        let (period, high) = (self.period(), high_half(self.period()));
        let passed = written.saturating_sub(self.start);
        let begun = self.start + if passed < 0 { 0 } else { passed / period * period };
        if self.mode == 3 && passed - (begun - self.start) < high {
            (begun + high, false)
        } else {
            (begun + period, true)
        }
    }

    /// Loads a waiting count if its time has come.
    pub(super) fn settle(&mut self, clk: u64) {
        let Some((count, written)) = self.waiting else { return };
        if !self.is_periodic() || self.stopped.is_some() {
            return;
        }
        let (boundary, whole) = self.boundary(written);
        if boundary <= clk as i64 {
            self.count = count;
            self.start = if whole { boundary } else { boundary - high_half(self.period()) };
            self.waiting = None;
        }
    }

    fn settled(&self, clk: u64) -> Self {
        let mut settled = self.clone();
        settled.settle(clk);
        settled
    }

    /// When OUT rises next, after `clk`.
    pub(super) fn next_rise(&self, clk: u64) -> Option<u64> {
        let settled = self.settled(clk);
        if settled.count == 0 || settled.stopped.is_some() || settled.first_byte.is_some() {
            return None;
        }
        let (clk, count) = (clk as i64, i64::from(settled.count));
        let rise = match (settled.mode, settled.waiting) {
            (0 | 1, _) => settled.start + count,
            (2 | 3, Some((next, written))) => match settled.boundary(written) {
                (end, true) => end,
                (half, false) => half + i64::from(next).max(2) / 2,
            },
            (2 | 3, None) => {
                let periods = (clk - settled.start).max(0) / settled.period();
                settled.start + (periods + 1) * settled.period()
            }
            _ => settled.start + count + 1,
        };
        (rise > clk).then_some(rise as u64)
    }

    /// Reads the status or count that was latched, else the count as it is.
    pub(super) fn read(&mut self, clk: u64) -> u8 {
        if let Some(status) = self.status.take() {
            return status;
        }
        let value = self.latch.unwrap_or_else(|| self.value(clk));
        let high = self.rw == 2 || self.rw == 3 && self.second_read;
        self.second_read = self.rw == 3 && !self.second_read;
        if !self.second_read {
            self.latch = None;
        }
        if high { (value >> 8) as u8 } else { value as u8 }
    }

    /// Latches what is not latched yet ("Read-Back Command").
    pub(super) fn read_back(&mut self, count: bool, status: bool, clk: u64) {
        if count && self.latch.is_none() {
            self.latch = Some(self.value(clk));
        }
        if status && self.status.is_none() {
            self.status = Some(self.status(clk));
        }
    }

    fn status(&self, clk: u64) -> u8 {
        let settled = self.settled(clk);
        let null_count = settled.count == 0 || settled.waiting.is_some() || (clk as i64) < settled.start;
        u8::from(self.out(clk)) << 7 | u8::from(null_count) << 6 | self.rw << 4 | self.mode << 1 | u8::from(self.bcd)
    }

    /// A control word: counting stops until a count is written.
    pub(super) fn write_control(&mut self, value: u8) {
        let mode = match value >> 1 & 7 {
            mode @ 6.. => mode - 4,
            mode => mode,
        };
        *self = Self { mode, bcd: value & 1 != 0, rw: value >> 4 & 3, ..Self::new(self.gate) };
    }

    /// A byte of a count.
    pub(super) fn write(&mut self, value: u8, clk: u64) {
        self.settle(clk);
        let count = match (self.rw, self.first_byte.take()) {
            (1, _) => u16::from(value),
            (2, _) => u16::from(value) << 8,
            (_, Some(first)) => u16::from_le_bytes([first, value]),
            (_, None) => {
                self.first_byte = Some(value);
                if self.mode == 0 {
                    self.stopped = Some(self.elapsed(clk));
                }
                return;
            }
        };
        self.write_count(if self.bcd { from_bcd(count) } else { u32::from(count) }, clk as i64);
    }

    fn write_count(&mut self, count: u32, clk: i64) {
        let count = match count {
            0 if self.bcd => 10_000,
            0 => 65_536,
            count => count,
        };
        if self.is_triggered() || self.is_periodic() && self.count != 0 {
            self.waiting = Some((count, clk));
        } else {
            (self.count, self.start) = (count, clk + 1);
            self.stopped = (!self.gate).then_some(0);
        }
    }

    /// The level of GATE.
    pub(super) fn set_gate(&mut self, gate: bool, clk: u64) {
        let rises = gate && !self.gate;
        let falls = !gate && self.gate;
        self.settle(clk);
        self.gate = gate;
        if rises && (self.is_triggered() || self.is_periodic()) {
            self.trigger(clk as i64);
        } else if rises && self.first_byte.is_none() {
            if let Some(elapsed) = self.stopped.take() {
                self.start = clk as i64 - elapsed;
            }
        } else if falls && !self.is_triggered() && self.count != 0 {
            self.stopped = Some(self.elapsed(clk));
        }
    }

    fn trigger(&mut self, clk: i64) {
        let count = self.waiting.take().map_or(self.count, |(count, _)| count);
        if count != 0 {
            (self.count, self.start, self.stopped) = (count, clk + 1, None);
        }
    }
}

/// How long OUT is high in mode 3: for odd counts one longer than low.
fn high_half(period: i64) -> i64 {
    (period + 1) / 2
}

fn to_bcd(value: u16) -> u16 {
    (0..4).fold(0, |bcd, digit| bcd | (value / 10_u16.pow(digit) % 10) << (4 * digit))
}

/// Digits past 9 count as what they are worth.
fn from_bcd(bcd: u16) -> u32 {
    (0..4).fold(0, |value, digit| value + u32::from(bcd >> (4 * digit) & 0xf) * 10_u32.pow(digit)) % 10_000
}
