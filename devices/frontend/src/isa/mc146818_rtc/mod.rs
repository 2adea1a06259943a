//! The real-time clock and its battery-backed memory, with the second bank that chipsets added.
//!
//! Documents: Motorola, MC146818 Real-Time Clock Plus RAM, "Registers" and "Update Cycle"; Intel ICH9 datasheet, 13.6 Real
//! Time Clock Registers, for the second bank at ports 72h and 73h.
//!
//! The time of day is the tick plus an offset: nothing runs while nobody looks, and the flags of register C are worked
//! out when they are read. A timer is armed only for an interrupt that is enabled and not yet pending. An update takes no
//! time, and the update-in-progress bit announces it 244 us ahead.
//!
//! What the clock shows at power-on is a property, never the host's clock. A reset keeps time and memory, as a battery
//! does. Not modelled: daylight saving, the square wave, other crystals than 32.768 kHz (they stop the clock), and the
//! mask of NMIs, which is kept but gates none.

mod calendar;

use super::{BUS, map};
use calendar::{DateTime, weekday};
use reprise_core::board::{Board, DeviceId, LineId, OutputPin, Region};
use reprise_core::clock::{Clock, TICKS_PER_SECOND, Tick};
use reprise_core::device::{Context, Device, DeviceInput, Width};
use reprise_core::property::{AttachError, Category, DeviceSpec, Properties, PropertyKind, PropertySpec};
use reprise_core::state::{StateError, decode, encode};
use serde::{Deserialize, Serialize};

const DIVIDER: Clock = Clock::new(32_768);
/// Update-in-progress is set this long before an update: eight counts of the divider.
const UPDATE_NOTICE: Tick = 244_141;
/// Released from reset, the divider takes this long to the first update.
const FIRST_UPDATE: Tick = TICKS_PER_SECOND / 2;
/// The only timer: the next interrupt.
const NEXT_INTERRUPT: u32 = 0;

const SECONDS: usize = 0x00;
const SECONDS_ALARM: usize = 0x01;
const MINUTES: usize = 0x02;
const MINUTES_ALARM: usize = 0x03;
const HOURS: usize = 0x04;
const HOURS_ALARM: usize = 0x05;
const DAY_OF_WEEK: usize = 0x06;
const DAY_OF_MONTH: usize = 0x07;
const MONTH: usize = 0x08;
const YEAR: usize = 0x09;
const REGISTER_A: usize = 0x0a;
const REGISTER_B: usize = 0x0b;
const REGISTER_C: usize = 0x0c;
const REGISTER_D: usize = 0x0d;
/// Not the MC146818's, but every PC's.
const CENTURY: usize = 0x32;
/// Bytes of both banks.
const BYTES: usize = 256;
const BANK: usize = 128;

const A_UPDATE_IN_PROGRESS: u8 = 1 << 7;
/// Divider values past this stop the clock or are no crystal of ours.
const A_DIVIDER_32_KHZ: u8 = 0x20;
const A_DIVIDER: u8 = 0x70;
const A_DIVIDER_RESET: u8 = 0x60;
const B_SET: u8 = 1 << 7;
const B_BINARY: u8 = 1 << 2;
const B_24_HOURS: u8 = 1 << 1;
/// Interrupts of register B, and their flags in register C.
const PERIODIC: u8 = 1 << 6;
const ALARM: u8 = 1 << 5;
const UPDATE_ENDED: u8 = 1 << 4;
const INTERRUPTS: u8 = PERIODIC | ALARM | UPDATE_ENDED;
const B_SQUARE_WAVE: u8 = 1 << 3;
const C_INTERRUPT: u8 = 1 << 7;
const D_VALID: u8 = 1 << 7;
const HOUR_PM: u8 = 1 << 7;
/// Alarm bytes from here on match anything.
const ALARM_ANY: u8 = 0xc0;
const INDEX_NMI_MASK: u8 = 1 << 7;

/// What it is.
pub const SPEC: DeviceSpec = DeviceSpec {
    name: "mc146818rtc",
    category: Category::Misc,
    bus: BUS,
    description: "Real-time clock and CMOS memory",
    user_creatable: false,
    properties: &[
        PropertySpec {
            name: "base",
            kind: PropertyKind::Number(253_402_300_799),
            default: "1735689600",
            description: "Seconds since 1970 UTC at power-on",
        },
        PropertySpec {
            name: "base_year",
            kind: PropertyKind::Number(9999),
            default: "0",
            description: "Year that the year and century registers count from",
        },
    ],
    attach,
};

fn attach(board: &mut Board, properties: &Properties) -> Result<DeviceId, AttachError> {
    let pin = board.connect_output(LineId::RTC);
    let mut rtc = Mc146818Rtc::new(pin, properties.number("base") as i64, properties.number("base_year") as i64);
    rtc.describe_machine(board.low_ram(), board.high_ram(), board.apics.len());
    let id = board.add_device(SPEC.name, Box::new(rtc));
    map(board, SPEC.name, id, Region::ports(0, 0x70..0x74))?;
    Ok(id)
}

/// Everything that software can observe of the clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RtcState {
    index: u8,
    nmi_masked: bool,
    extended_index: u8,
    /// Both banks. The time is here only while the clock stands; flags and the bits that only read are not here.
    cmos: Vec<u8>,
    /// Seconds since 1970 at which the divider would have begun to count.
    offset: i64,
    /// Ticks that the divider had counted at tick 0, below a second.
    phase: Tick,
    /// Days by which the day of the week differs from the calendar's.
    weekday_skew: u8,
    /// Flags of register C from events up to `flags_at`.
    flags: u8,
    flags_at: Tick,
}

/// The clock.
pub struct Mc146818Rtc {
    irq: OutputPin,
    base_year: i64,
    state: RtcState,
}

impl Mc146818Rtc {
    /// A clock that interrupts through `irq`, shows `base` seconds since 1970 at tick 0, and counts years from
    /// `base_year`.
    pub fn new(irq: OutputPin, base: i64, base_year: i64) -> Self {
        Self { irq, base_year, state: RtcState::power_on(base) }
    }

    /// Writes into the memory what firmware leaves there: memory sizes, equipment, and the number of CPUs.
    fn describe_machine(&mut self, low_ram: u64, high_ram: u64, cpus: usize) {
        let above = |start: u64, unit: u64| (low_ram.saturating_sub(start) / unit).min(0xffff);
        let (kib, units) = (above(1 << 20, 1 << 10), above(16 << 20, 1 << 16));
        let mut put = |at: usize, bytes: &[u8]| self.state.cmos[at..at + bytes.len()].copy_from_slice(bytes);
        put(0x14, &[0x06]);
        put(0x15, &640u16.to_le_bytes());
        put(0x17, &kib.to_le_bytes()[..2]);
        put(0x30, &kib.to_le_bytes()[..2]);
        put(0x34, &units.to_le_bytes()[..2]);
        put(0x5b, &(high_ram >> 16).to_le_bytes()[..3]);
        put(0x5f, &[cpus.saturating_sub(1) as u8]);
    }
}

impl Device for Mc146818Rtc {
    fn read(&mut self, region: u32, offset: u64, width: Width, ctx: &mut Context<'_>) -> u64 {
        let value = self.peek(region, offset, width, ctx.now());
        if offset == 1 && usize::from(self.state.index) == REGISTER_C {
            self.state.catch_up(ctx.now());
            self.state.flags = 0;
            self.schedule(ctx);
        }
        value
    }

    fn write(&mut self, _region: u32, offset: u64, _width: Width, value: u64, ctx: &mut Context<'_>) {
        let value = value as u8;
        match offset {
            0 => {
                self.state.nmi_masked = value & INDEX_NMI_MASK != 0;
                self.state.index = value & !INDEX_NMI_MASK;
            }
            1 => self.set_register(usize::from(self.state.index), value, ctx),
            2 => self.state.extended_index = value & 0x7f,
            _ => self.state.cmos[BANK + usize::from(self.state.extended_index)] = value,
        }
    }

    fn peek(&self, _region: u32, offset: u64, _width: Width, now: Tick) -> u64 {
        u64::from(match offset {
            0 => 0xff,
            1 => self.register(usize::from(self.state.index), now),
            2 => self.state.extended_index,
            _ => self.state.cmos[BANK + usize::from(self.state.extended_index)],
        })
    }

    fn timer(&mut self, _slot: u32, ctx: &mut Context<'_>) {
        self.state.catch_up(ctx.now());
        self.schedule(ctx);
    }

    fn line(&mut self, _pin: u32, _level: bool, _ctx: &mut Context<'_>) {}

    fn input(&mut self, _input: DeviceInput<'_>, _ctx: &mut Context<'_>) {}

    fn input_room(&self, _port: u32) -> usize {
        0
    }

    /// The RESET pin (MC146818, "Signal Descriptions"): only interrupts and flags are cleared.
    fn reset(&mut self, ctx: &mut Context<'_>) {
        self.state.catch_up(ctx.now());
        self.state.flags = 0;
        self.state.cmos[REGISTER_B] &= !(INTERRUPTS | B_SQUARE_WAVE);
        (self.state.index, self.state.nmi_masked, self.state.extended_index) = (0, false, 0);
        self.schedule(ctx);
    }

    fn save(&self) -> Vec<u8> {
        encode(&self.state)
    }

    fn load(&mut self, state: &[u8]) -> Result<(), StateError> {
        let state: RtcState = decode(SPEC.name, state)?;
        let indices = usize::from(state.index.max(state.extended_index));
        if state.cmos.len() != BYTES || state.phase >= TICKS_PER_SECOND || indices >= BANK {
            return Err(StateError::Malformed { part: SPEC.name.into(), reason: "a field is out of range".into() });
        }
        self.state = state;
        Ok(())
    }
}

impl Mc146818Rtc {
    /// What the register `index` of the first bank reads as.
    fn register(&self, index: usize, now: Tick) -> u8 {
        let state = &self.state;
        match index {
            SECONDS | MINUTES | HOURS | DAY_OF_WEEK..=YEAR | CENTURY if state.runs() => {
                state.time_register(index, state.seconds(now), self.base_year)
            }
            REGISTER_A if state.update_is_near(now) => state.cmos[REGISTER_A] | A_UPDATE_IN_PROGRESS,
            REGISTER_C => state.register_c(now),
            REGISTER_D => D_VALID,
            _ => state.cmos[index],
        }
    }

    fn set_register(&mut self, index: usize, value: u8, ctx: &mut Context<'_>) {
        match index {
            REGISTER_C | REGISTER_D => {
                log::debug!(target: "guest_errors", "{}: write to register {index:#04x}, which only reads", SPEC.name);
            }
            SECONDS..=REGISTER_B | CENTURY => {
                self.change_clock(index, value, ctx.now());
                self.schedule(ctx);
            }
            _ => self.state.cmos[index] = value,
        }
    }

    /// Writes a register that the clock depends on: if that changes or stops the time, it is taken to memory first, and
    /// once it runs again, taken back.
    fn change_clock(&mut self, index: usize, value: u8, now: Tick) {
        let state = &mut self.state;
        state.catch_up(now);
        let (ran, was_reset) = (state.runs(), state.divider_is_reset());
        if ran {
            state.store_time(now, self.base_year);
        }
        state.cmos[index] = match index {
            REGISTER_A => value & !A_UPDATE_IN_PROGRESS,
            REGISTER_B if value & B_SET != 0 => value & !UPDATE_ENDED,
            _ => value,
        };
        if was_reset && !state.divider_is_reset() {
            state.phase = (TICKS_PER_SECOND + FIRST_UPDATE - now % TICKS_PER_SECOND) % TICKS_PER_SECOND;
        }
        let is_time = !matches!(index, SECONDS_ALARM | MINUTES_ALARM | HOURS_ALARM | REGISTER_A | REGISTER_B);
        if state.runs() && (is_time || !ran) {
            state.take_time(now, self.base_year);
        }
    }

    /// Drives the interrupt, and arms the timer for the next event that will raise it.
    fn schedule(&self, ctx: &mut Context<'_>) {
        ctx.set_line(self.irq, self.state.interrupts());
        match self.state.next_interrupt(ctx.now()) {
            Some(deadline) => ctx.arm(NEXT_INTERRUPT, deadline),
            None => ctx.disarm(NEXT_INTERRUPT),
        }
    }
}

impl RtcState {
    fn power_on(base: i64) -> Self {
        let mut cmos = vec![0; BYTES];
        cmos[REGISTER_A] = 0x26;
        cmos[REGISTER_B] = B_24_HOURS;
        Self {
            index: 0,
            nmi_masked: false,
            extended_index: 0,
            cmos,
            offset: base,
            phase: 0,
            weekday_skew: 0,
            flags: 0,
            flags_at: 0,
        }
    }

    fn divider_is_reset(&self) -> bool {
        self.cmos[REGISTER_A] & A_DIVIDER_RESET == A_DIVIDER_RESET
    }

    /// Whether the time goes on.
    fn runs(&self) -> bool {
        self.cmos[REGISTER_B] & B_SET == 0 && self.cmos[REGISTER_A] & A_DIVIDER <= A_DIVIDER_32_KHZ
    }

    /// Seconds that the divider has counted.
    fn elapsed(&self, now: Tick) -> u64 {
        now.saturating_add(self.phase) / TICKS_PER_SECOND
    }

    /// The tick at which the divider has counted `seconds`.
    fn tick_of(&self, seconds: u64) -> Tick {
        seconds.saturating_mul(TICKS_PER_SECOND).saturating_sub(self.phase)
    }

    /// Seconds since 1970 that the clock shows while it runs.
    fn seconds(&self, now: Tick) -> i64 {
        self.offset.wrapping_add(self.elapsed(now) as i64)
    }

    fn update_is_near(&self, now: Tick) -> bool {
        let into_second = now.saturating_add(self.phase) % TICKS_PER_SECOND;
        self.runs() && into_second >= TICKS_PER_SECOND - UPDATE_NOTICE
    }

    /// `number`, below 100, as the data mode writes it.
    fn encode(&self, number: u8) -> u8 {
        if self.cmos[REGISTER_B] & B_BINARY != 0 { number } else { ((number / 10) << 4) + number % 10 }
    }

    fn decode(&self, byte: u8) -> u8 {
        if self.cmos[REGISTER_B] & B_BINARY != 0 { byte } else { (byte >> 4) * 10 + (byte & 0xf) }
    }

    fn encode_hour(&self, hour: u8) -> u8 {
        if self.cmos[REGISTER_B] & B_24_HOURS != 0 {
            return self.encode(hour);
        }
        let pm = if hour >= 12 { HOUR_PM } else { 0 };
        self.encode((hour + 11) % 12 + 1) | pm
    }

    fn decode_hour(&self, byte: u8) -> u8 {
        if self.cmos[REGISTER_B] & B_24_HOURS != 0 {
            return self.decode(byte);
        }
        let pm = if byte & HOUR_PM != 0 { 12 } else { 0 };
        self.decode(byte & !HOUR_PM) % 12 + pm
    }

    /// What a time register shows at `seconds` since 1970.
    fn time_register(&self, index: usize, seconds: i64, base_year: i64) -> u8 {
        let time = DateTime::from_seconds(seconds);
        let year = time.year - base_year;
        match index {
            SECONDS => self.encode(time.second),
            MINUTES => self.encode(time.minute),
            HOURS => self.encode_hour(time.hour),
            DAY_OF_WEEK => self.encode((weekday(seconds) + self.weekday_skew % 7) % 7 + 1),
            DAY_OF_MONTH => self.encode(time.day),
            MONTH => self.encode(time.month),
            YEAR => self.encode(year.rem_euclid(100) as u8),
            _ => self.encode(year.div_euclid(100).rem_euclid(100) as u8),
        }
    }

    /// Stops the time: it is in memory from now on.
    fn store_time(&mut self, now: Tick, base_year: i64) {
        let seconds = self.seconds(now);
        for index in [SECONDS, MINUTES, HOURS, DAY_OF_WEEK, DAY_OF_MONTH, MONTH, YEAR, CENTURY] {
            self.cmos[index] = self.time_register(index, seconds, base_year);
        }
    }

    /// Lets the time go on from what is in memory.
    fn take_time(&mut self, now: Tick, base_year: i64) {
        let field = |index: usize| self.decode(self.cmos[index]);
        let time = DateTime {
            year: i64::from(field(CENTURY)) * 100 + i64::from(field(YEAR)) + base_year,
            month: field(MONTH),
            day: field(DAY_OF_MONTH),
            hour: self.decode_hour(self.cmos[HOURS]),
            minute: field(MINUTES),
            second: field(SECONDS),
        };
        let seconds = time.seconds();
        self.weekday_skew = (field(DAY_OF_WEEK) % 7 + 13 - weekday(seconds)) % 7;
        self.offset = seconds.wrapping_sub(self.elapsed(now) as i64);
    }

    /// Brings the flags up to date.
    fn catch_up(&mut self, now: Tick) {
        self.flags |= self.events(now);
        self.flags_at = now;
    }

    /// Flags of what happened after `flags_at`, up to `now`.
    fn events(&self, now: Tick) -> u8 {
        if now <= self.flags_at {
            return 0;
        }
        let periodic = self.period().is_some_and(|period| {
            let periods = |tick: Tick| DIVIDER.count(tick.saturating_add(self.phase)) / period;
            periods(now) > periods(self.flags_at)
        });
        let updated = self.runs() && self.elapsed(now) > self.elapsed(self.flags_at);
        let alarm = updated && self.next_alarm(self.seconds(self.flags_at)).is_some_and(|at| at <= self.seconds(now));
        (if periodic { PERIODIC } else { 0 })
            | (if updated { UPDATE_ENDED } else { 0 })
            | (if alarm { ALARM } else { 0 })
    }

    fn register_c(&self, now: Tick) -> u8 {
        let flags = self.flags | self.events(now);
        let interrupt = flags & self.cmos[REGISTER_B] & INTERRUPTS != 0;
        flags | if interrupt { C_INTERRUPT } else { 0 }
    }

    /// Whether a flag is set whose interrupt is enabled.
    fn interrupts(&self) -> bool {
        self.flags & self.cmos[REGISTER_B] & INTERRUPTS != 0
    }

    /// Counts of the divider from one periodic interrupt to the next (MC146818, table "Periodic Interrupt Rate").
    fn period(&self) -> Option<u64> {
        let a = self.cmos[REGISTER_A];
        match a & 0x0f {
            0 => None,
            _ if a & A_DIVIDER > A_DIVIDER_32_KHZ => None,
            rate @ (1 | 2) => Some(1 << (rate + 6)),
            rate => Some(1 << (rate - 1)),
        }
    }

    /// The tick of the next event that sets a flag whose interrupt is enabled. A flag that is set already raises nothing
    /// more before register C is read.
    fn next_interrupt(&self, now: Tick) -> Option<Tick> {
        let waits = |flag: u8| self.cmos[REGISTER_B] & !self.flags & flag != 0;
        let periodic = self.period().filter(|_| waits(PERIODIC)).map(|period| {
            let count = DIVIDER.count(now.saturating_add(self.phase));
            DIVIDER.tick_of((count / period + 1) * period).saturating_sub(self.phase)
        });
        let updated = (self.runs() && waits(UPDATE_ENDED)).then(|| self.tick_of(self.elapsed(now) + 1));
        let alarm = self.runs() && waits(ALARM);
        let alarm = alarm.then(|| self.next_alarm(self.seconds(now))).flatten();
        let alarm = alarm.map(|seconds| self.tick_of(seconds.wrapping_sub(self.offset) as u64));
        [periodic, updated, alarm].into_iter().flatten().min()
    }

    /// The first second after `seconds` at which the alarm bytes match: they are looked for by the hour, then by the
    /// minute, then by the second. `None` if they are no time.
    fn next_alarm(&self, seconds: i64) -> Option<i64> {
        let matches = |index: usize, shown: u8| self.cmos[index] >= ALARM_ANY || self.cmos[index] == shown;
        let mut at = seconds.wrapping_add(1);
        for _ in 0..2 * (24 + 60 + 60) {
            let time = DateTime::from_seconds(at);
            let step = if !matches(HOURS_ALARM, self.encode_hour(time.hour)) {
                3600 - at.rem_euclid(3600)
            } else if !matches(MINUTES_ALARM, self.encode(time.minute)) {
                60 - at.rem_euclid(60)
            } else if !matches(SECONDS_ALARM, self.encode(time.second)) {
                1
            } else {
                return Some(at);
            };
            at = at.wrapping_add(step);
        }
        None
    }
}

#[cfg(test)]
mod tests;
