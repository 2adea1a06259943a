//! The high precision event timer: a free-running counter at 100 MHz, and three timers that compare with it.
//!
//! Document: Intel IA-PC HPET (High Precision Event Timers) Specification 1.0a, 2.3 Register Model and 2.4 Theory of
//! Operation.
//!
//! The counter is the clock's count plus an offset. Periodic comparators are brought up to date when they are looked at,
//! so that a timer without an interrupt costs no events. The interrupts of the 8254 and of the real-time clock come in
//! here, and are passed on to ISA interrupt requests 0 and 8 unless legacy replacement puts timers 0 and 1 in their
//! place. There an edge-triggered interrupt keeps its line high until the next, since the 8259 forgets a request whose
//! line falls; elsewhere it is a pulse. A comparator that is set to the counter's value matches after the counter has
//! gone around. Not modelled: delivery by messages (FSB).

use super::map;
use reprise_core::board::{Board, DeviceId, LineId, OutputPin, Region, Sink};
use reprise_core::clock::{Clock, Tick};
use reprise_core::device::{Context, Device, DeviceInput, Width};
use reprise_core::property::{AttachError, Category, DeviceSpec, Properties};
use reprise_core::state::{StateError, decode, encode};
use serde::{Deserialize, Serialize};

/// Where the registers are.
pub const BASE: u64 = 0xfed0_0000;
const SIZE: u64 = 0x400;
const CLOCK: Clock = Clock::new(100_000_000);
const FEMTOSECONDS: u64 = 1_000_000_000_000_000;
const TIMERS: usize = 3;
/// Input pins.
const FROM_PIT: u32 = 0;
const FROM_RTC: u32 = 1;
/// Timers that legacy replacement puts on ISA interrupt requests 0 and 8.
const LEGACY_TIMERS: usize = 2;
/// Inputs of the I/O APIC that a timer can be routed to.
const ROUTES: [u8; 9] = [8, 16, 17, 18, 19, 20, 21, 22, 23];

const CAPABILITIES: u64 = 0x000;
const CONFIGURATION: u64 = 0x010;
const INTERRUPT_STATUS: u64 = 0x020;
const MAIN_COUNTER: u64 = 0x0f0;
const TIMER_0: u64 = 0x100;

/// COUNTER_CLK_PERIOD, vendor, legacy replacement, 64-bit counter, number of timers, revision.
const CAPABILITIES_VALUE: u64 =
    (FEMTOSECONDS / CLOCK.hz()) << 32 | 0x8086 << 16 | 1 << 15 | 1 << 13 | (TIMERS as u64 - 1) << 8 | 1;

const ENABLE_CNF: u64 = 1 << 0;
const LEG_RT_CNF: u64 = 1 << 1;

const TN_INT_TYPE_CNF: u64 = 1 << 1;
const TN_INT_ENB_CNF: u64 = 1 << 2;
const TN_TYPE_CNF: u64 = 1 << 3;
const TN_PER_INT_CAP: u64 = 1 << 4;
const TN_SIZE_CAP: u64 = 1 << 5;
const TN_VAL_SET_CNF: u64 = 1 << 6;
const TN_32MODE_CNF: u64 = 1 << 8;
const TN_INT_ROUTE_CNF: u64 = 0x1f << 9;
const TN_WRITABLE: u64 =
    TN_INT_TYPE_CNF | TN_INT_ENB_CNF | TN_TYPE_CNF | TN_VAL_SET_CNF | TN_32MODE_CNF | TN_INT_ROUTE_CNF;
const TN_CAPABILITIES: u64 = 0x00ff_0100 << 32 | TN_PER_INT_CAP | TN_SIZE_CAP;

/// What it is.
pub const SPEC: DeviceSpec = DeviceSpec {
    name: "hpet",
    category: Category::Misc,
    bus: "",
    description: "High precision event timer",
    user_creatable: false,
    properties: &[],
    attach,
};

/// Connects the outputs of the 8254 and the real-time clock, and passes them on.
fn attach(board: &mut Board, _: &Properties) -> Result<DeviceId, AttachError> {
    let legacy = [board.connect_output(LineId::gsi(0)), board.connect_output(LineId::gsi(8))];
    let routes = ROUTES.map(|gsi| board.connect_output(LineId::gsi(gsi)));
    let id = board.add_device(SPEC.name, Box::new(Hpet::new(legacy, routes)));
    map(board, SPEC.name, id, Region::registers(0, BASE..BASE + SIZE).widths(4, 8))?;
    board.connect_sink(LineId::PIT, Sink::Device(id, FROM_PIT));
    board.connect_sink(LineId::RTC, Sink::Device(id, FROM_RTC));
    Ok(id)
}

/// One timer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Comparator {
    /// Bits of the configuration register that can be written.
    config: u64,
    /// The comparator register: in periodic mode the accumulator.
    value: u64,
    /// What periodic mode adds at each match.
    period: u64,
    /// The main counter when `value` was last brought up to date.
    since: u64,
}

impl Default for Comparator {
    /// After power-on (2.3.9 Timer N Comparator Value Register).
    fn default() -> Self {
        Self { config: 0, value: u64::MAX, period: 0, since: 0 }
    }
}

impl Comparator {
    /// The bits that are compared.
    fn mask(&self) -> u64 {
        if self.config & TN_32MODE_CNF != 0 { 0xffff_ffff } else { u64::MAX }
    }

    /// Counts from `since` to the match, less 1.
    fn ahead(&self) -> u64 {
        self.value.wrapping_sub(self.since).wrapping_sub(1) & self.mask()
    }

    fn is_periodic(&self) -> bool {
        self.config & TN_TYPE_CNF != 0
    }

    fn is_level(&self) -> bool {
        self.config & TN_INT_TYPE_CNF != 0
    }

    fn can_interrupt(&self) -> bool {
        self.config & TN_INT_ENB_CNF != 0
    }

    fn route(&self) -> u64 {
        (self.config & TN_INT_ROUTE_CNF) >> 9
    }

    /// Brings the comparator up to date with the main counter; whether it has matched since.
    fn settle(&mut self, counter: u64) -> bool {
        let (elapsed, ahead) = (counter.wrapping_sub(self.since), self.ahead());
        let matched = elapsed > ahead;
        if matched && self.is_periodic() && self.period != 0 {
            let times = (elapsed - ahead - 1) / self.period + 1;
            self.value = self.value.wrapping_add(times.wrapping_mul(self.period)) & self.mask();
        }
        self.since = counter;
        matched
    }

    /// Counts from `since`, which is now, to the next match.
    fn distance(&self) -> Option<u64> {
        self.ahead().checked_add(1)
    }

    fn write_config(&mut self, value: u64) {
        self.config = value & TN_WRITABLE;
        if !self.is_periodic() {
            self.config &= !TN_VAL_SET_CNF;
        }
        self.value &= self.mask();
        self.period &= self.mask();
    }

    /// In periodic mode a write sets the period, and the accumulator only if software asked for it (2.3.9.2.2 Periodic
    /// Mode).
    fn write_value(&mut self, merge: impl Fn(u64) -> u64) {
        if !self.is_periodic() || self.config & TN_VAL_SET_CNF != 0 {
            self.value = merge(self.value) & self.mask();
        }
        if self.is_periodic() {
            self.period = merge(self.period) & self.mask();
        }
        self.config &= !TN_VAL_SET_CNF;
    }
}

/// Everything that software can observe of the timer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HpetState {
    config: u64,
    /// Interrupts of level-triggered timers that are pending.
    status: u64,
    /// The main counter while it is halted, else what it is ahead of the clock.
    offset: u64,
    timers: [Comparator; TIMERS],
    /// Levels of the interrupts of the 8254 and the real-time clock.
    inputs: [bool; 2],
}

impl HpetState {
    fn is_enabled(&self) -> bool {
        self.config & ENABLE_CNF != 0
    }

    fn replaces_legacy(&self) -> bool {
        self.config & LEG_RT_CNF != 0
    }

    fn counter(&self, now: Tick) -> u64 {
        if self.is_enabled() { CLOCK.count(now).wrapping_add(self.offset) } else { self.offset }
    }

    fn set_counter(&mut self, value: u64, now: Tick) {
        self.offset = if self.is_enabled() { value.wrapping_sub(CLOCK.count(now)) } else { value };
        for timer in &mut self.timers {
            timer.since = value;
        }
    }

    /// The 64-bit register at `offset`.
    fn read(&self, offset: u64, now: Tick) -> u64 {
        match offset {
            CAPABILITIES => CAPABILITIES_VALUE,
            CONFIGURATION => self.config,
            INTERRUPT_STATUS => self.status,
            MAIN_COUNTER => self.counter(now),
            _ => self.read_timer(offset, now),
        }
    }

    fn read_timer(&self, offset: u64, now: Tick) -> u64 {
        let Some(timer) = timer_at(offset).map(|index| &self.timers[index]) else { return 0 };
        match offset & 0x1f {
            0x00 => timer.config | TN_CAPABILITIES,
            0x08 => {
                let mut timer = timer.clone();
                timer.settle(self.counter(now));
                timer.value
            }
            _ => 0,
        }
    }

    /// Whether timer `index` has its line to itself, in place of the 8254 or the real-time clock.
    fn is_legacy(&self, index: usize) -> bool {
        self.replaces_legacy() && index < LEGACY_TIMERS
    }

    /// Whether level-triggered timer `index` asks for an interrupt.
    fn asks(&self, index: usize) -> bool {
        let timer = &self.timers[index];
        self.is_enabled() && timer.can_interrupt() && timer.is_level() && self.status >> index & 1 != 0
    }
}

/// Which timer has the register at `offset`.
fn timer_at(offset: u64) -> Option<usize> {
    let index = (offset.checked_sub(TIMER_0)? / 0x20) as usize;
    (index < TIMERS).then_some(index)
}

/// The high precision event timer.
pub struct Hpet {
    /// ISA interrupt requests 0 and 8.
    legacy: [OutputPin; LEGACY_TIMERS],
    /// In the order of [`ROUTES`].
    routes: [OutputPin; ROUTES.len()],
    state: HpetState,
}

impl Hpet {
    /// A timer with its outputs to ISA interrupt requests 0 and 8, and to the inputs of the I/O APIC in `routes`.
    pub fn new(legacy: [OutputPin; 2], routes: [OutputPin; 9]) -> Self {
        Self { legacy, routes, state: HpetState::default() }
    }

    /// Brings all comparators up to date, with the interrupts of those that matched.
    fn settle(&mut self, ctx: &mut Context<'_>) {
        let counter = self.state.counter(ctx.now());
        for index in 0..TIMERS {
            if self.state.timers[index].settle(counter) {
                self.interrupt(index, ctx);
            }
        }
    }

    fn interrupt(&mut self, index: usize, ctx: &mut Context<'_>) {
        let timer = &self.state.timers[index];
        if timer.is_level() {
            self.state.status |= 1 << index;
        } else if timer.can_interrupt() && self.state.is_legacy(index) {
            ctx.set_line(self.legacy[index], false);
            ctx.set_line(self.legacy[index], true);
        } else if timer.can_interrupt()
            && let Some(at) = ROUTES.iter().position(|&route| u64::from(route) == timer.route())
        {
            ctx.set_line(self.routes[at], true);
        }
        // Level-triggered lines follow the status; the pulse of an edge ends.
        self.drive(ctx);
    }

    /// Drives all outputs as the state says.
    fn drive(&mut self, ctx: &mut Context<'_>) {
        let state = &self.state;
        for (index, &pin) in self.legacy.iter().enumerate() {
            let timer = &state.timers[index];
            let level = match (state.replaces_legacy(), timer.is_level()) {
                (false, _) => state.inputs[index],
                (true, true) => state.asks(index),
                (true, false) => state.is_enabled() && timer.can_interrupt() && ctx.line_is_driven(pin),
            };
            ctx.set_line(pin, level);
        }
        for (&route, &pin) in ROUTES.iter().zip(&self.routes) {
            let asks = |&index: &usize| {
                !state.is_legacy(index) && state.timers[index].route() == u64::from(route) && state.asks(index)
            };
            ctx.set_line(pin, (0..TIMERS).any(|index| asks(&index)));
        }
    }

    /// Arms each timer that has something to tell for its next match.
    fn arm(&self, ctx: &mut Context<'_>) {
        let count = CLOCK.count(ctx.now());
        for (index, timer) in self.state.timers.iter().enumerate() {
            let wanted = self.state.is_enabled() && (timer.can_interrupt() || timer.is_level());
            match timer.distance().and_then(|distance| count.checked_add(distance)) {
                Some(due) if wanted => ctx.arm(index as u32, CLOCK.tick_of(due)),
                Some(_) | None => ctx.disarm(index as u32),
            }
        }
    }

    fn write_register(&mut self, offset: u64, merge: impl Fn(u64) -> u64, ctx: &mut Context<'_>) {
        let now = ctx.now();
        match offset {
            CONFIGURATION => self.write_config(merge(self.state.config), ctx),
            INTERRUPT_STATUS => self.state.status &= !merge(0),
            MAIN_COUNTER => self.state.set_counter(merge(self.state.counter(now)), now),
            _ => self.write_timer(offset, merge),
        }
    }

    fn write_config(&mut self, value: u64, ctx: &mut Context<'_>) {
        let (now, replaced) = (ctx.now(), self.state.replaces_legacy());
        let counter = self.state.counter(now);
        self.state.config = value & (ENABLE_CNF | LEG_RT_CNF);
        self.state.set_counter(counter, now);
        if self.state.replaces_legacy() && !replaced {
            self.legacy.iter().for_each(|&pin| ctx.set_line(pin, false));
        }
    }

    fn write_timer(&mut self, offset: u64, merge: impl Fn(u64) -> u64) {
        let Some(index) = timer_at(offset) else { return };
        let timer = &mut self.state.timers[index];
        match offset & 0x1f {
            0x00 => {
                timer.write_config(merge(timer.config));
                // A timer that is no longer level-triggered has nothing pending.
                if !timer.is_level() {
                    self.state.status &= !(1 << index);
                }
            }
            0x08 => timer.write_value(merge),
            _ => {}
        }
    }
}

impl Device for Hpet {
    fn read(&mut self, region: u32, offset: u64, width: Width, ctx: &mut Context<'_>) -> u64 {
        self.peek(region, offset, width, ctx.now())
    }

    fn write(&mut self, _: u32, offset: u64, width: Width, value: u64, ctx: &mut Context<'_>) {
        let shift = 8 * (offset & 7);
        let mask = width.mask() << shift;
        self.settle(ctx);
        self.write_register(offset & !7, |old| old & !mask | value << shift & mask, ctx);
        self.drive(ctx);
        self.arm(ctx);
    }

    fn peek(&self, _: u32, offset: u64, _: Width, now: Tick) -> u64 {
        self.state.read(offset & !7, now) >> (8 * (offset & 7))
    }

    /// A comparator matches.
    fn timer(&mut self, _: u32, ctx: &mut Context<'_>) {
        self.settle(ctx);
        self.arm(ctx);
    }

    fn line(&mut self, pin: u32, level: bool, ctx: &mut Context<'_>) {
        self.state.inputs[pin as usize & 1] = level;
        self.drive(ctx);
    }

    fn input(&mut self, _: DeviceInput<'_>, _: &mut Context<'_>) {}

    fn input_room(&self, _port: u32) -> usize {
        0
    }

    /// What comes in from the 8254 and the real-time clock stays, and is passed on.
    fn reset(&mut self, ctx: &mut Context<'_>) {
        self.state = HpetState { inputs: self.state.inputs, ..HpetState::default() };
        (0..TIMERS as u32).for_each(|slot| ctx.disarm(slot));
        self.drive(ctx);
    }

    fn save(&self) -> Vec<u8> {
        encode(&self.state)
    }

    fn load(&mut self, state: &[u8]) -> Result<(), StateError> {
        self.state = decode(SPEC.name, state)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
