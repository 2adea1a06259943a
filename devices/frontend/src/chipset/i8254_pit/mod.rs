//! The interval timer with its three counters, and the system control port that its third one hangs on.
//!
//! Documents: Intel 82C54 CHMOS Programmable Interval Timer, "Programming the 82C54" and "Mode Definitions"; Intel ICH9
//! datasheet, 13.3 Timer I/O Registers and 13.7.1 NMI_SC NMI Status and Control Register, for port 61h.
//!
//! Nothing counts: a counter is the clock count at which it was loaded, and everything follows from the clock's count
//! now. The interrupt line shows what an edge-triggered input sees of OUT 0: in modes 2 to 5 it falls only right before
//! it rises, so that there is one event a period. A count of 1, which modes 2 and 3 forbid, acts as 2. Not modelled:
//! the loudspeaker, and the sources of NMI behind port 61h, whose enables are kept.

mod counter;

use super::map;
use counter::Counter;
use reprise_core::board::{Board, DeviceId, LineId, OutputPin, Region};
use reprise_core::clock::{Clock, Tick};
use reprise_core::device::{Context, Device, DeviceInput, Width};
use reprise_core::property::{AttachError, Category, DeviceSpec, Properties};
use reprise_core::state::{StateError, decode, encode};
use serde::{Deserialize, Serialize};

const CLOCK: Clock = Clock::new(1_193_182);
/// Counts from one refresh of memory to the next, as PCs program counter 1: 15 us.
const REFRESH: u64 = 18;

/// Regions.
const TIMER: u32 = 0;
const NMI_SC: u32 = 1;
/// Control word register.
const CONTROL: u64 = 3;

const SC_TIM_CNT2_EN: u8 = 1 << 0;
/// Gate of counter 2, loudspeaker, and the masks of the two sources of NMI.
const SC_WRITABLE: u8 = 0x0f;
const SC_REF_TOGGLE: u8 = 1 << 4;
const SC_TMR2_OUT_STS: u8 = 1 << 5;

/// What it is.
pub const SPEC: DeviceSpec = DeviceSpec {
    name: "isa-pit",
    category: Category::Misc,
    bus: "",
    description: "8254 interval timer and system control port",
    user_creatable: false,
    properties: &[],
    attach,
};

/// The interrupt goes to the HPET, which passes it on.
fn attach(board: &mut Board, _: &Properties) -> Result<DeviceId, AttachError> {
    let irq = board.connect_output(LineId::PIT);
    let id = board.add_device(SPEC.name, Box::new(I8254Pit::new(irq)));
    map(board, SPEC.name, id, Region::ports(TIMER, 0x40..0x44))?;
    map(board, SPEC.name, id, Region::ports(NMI_SC, 0x61..0x62))?;
    Ok(id)
}

/// Everything that software can observe of the timer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct I8254PitState {
    counters: [Counter; 3],
    /// The bits of port 61h that can be written.
    control: u8,
}

impl Default for I8254PitState {
    fn default() -> Self {
        Self { counters: [Counter::new(true), Counter::new(true), Counter::new(false)], control: 0 }
    }
}

impl I8254PitState {
    fn read(&mut self, region: u32, offset: u64, now: Tick) -> u8 {
        let clk = CLOCK.count(now);
        if region == NMI_SC {
            let refresh = if (clk / REFRESH).is_multiple_of(2) { 0 } else { SC_REF_TOGGLE };
            let out = if self.counters[2].out(clk) { SC_TMR2_OUT_STS } else { 0 };
            return self.control | refresh | out;
        }
        self.counters.get_mut(offset as usize).map_or(0, |counter| counter.read(clk))
    }

    /// Control word, counter latch command, read-back command.
    fn write_control(&mut self, value: u8, clk: u64) {
        match (value >> 6, value >> 4 & 3) {
            (3, _) => {
                for (index, counter) in self.counters.iter_mut().enumerate() {
                    if value >> (index + 1) & 1 != 0 {
                        counter.read_back(value & 1 << 5 == 0, value & 1 << 4 == 0, clk);
                    }
                }
            }
            (select, 0) => self.counters[usize::from(select)].read_back(true, false, clk),
            (select, _) => self.counters[usize::from(select)].write_control(value),
        }
    }
}

/// The timer.
pub struct I8254Pit {
    irq: OutputPin,
    state: I8254PitState,
}

impl I8254Pit {
    /// A timer whose OUT 0 is `irq`.
    pub fn new(irq: OutputPin) -> Self {
        Self { irq, state: I8254PitState::default() }
    }

    fn arm(&mut self, ctx: &mut Context<'_>) {
        match self.state.counters[0].next_rise(CLOCK.count(ctx.now())) {
            Some(clk) => ctx.arm(0, CLOCK.tick_of(clk)),
            None => ctx.disarm(0),
        }
    }
}

impl Device for I8254Pit {
    fn read(&mut self, region: u32, offset: u64, _: Width, ctx: &mut Context<'_>) -> u64 {
        u64::from(self.state.read(region, offset, ctx.now()))
    }

    fn write(&mut self, region: u32, offset: u64, _: Width, value: u64, ctx: &mut Context<'_>) {
        let (value, clk) = (value as u8, CLOCK.count(ctx.now()));
        if region == NMI_SC {
            self.state.control = value & SC_WRITABLE;
            self.state.counters[2].set_gate(value & SC_TIM_CNT2_EN != 0, clk);
            return;
        }
        match self.state.counters.get_mut(offset as usize) {
            Some(counter) if offset < CONTROL => counter.write(value, clk),
            _ => self.state.write_control(value, clk),
        }
        ctx.set_line(self.irq, self.state.counters[0].irq_level(clk));
        self.arm(ctx);
    }

    fn peek(&self, region: u32, offset: u64, _: Width, now: Tick) -> u64 {
        u64::from(self.state.clone().read(region, offset, now))
    }

    /// OUT 0 rises.
    fn timer(&mut self, _: u32, ctx: &mut Context<'_>) {
        ctx.set_line(self.irq, false);
        ctx.set_line(self.irq, true);
        self.state.counters[0].settle(CLOCK.count(ctx.now()));
        self.arm(ctx);
    }

    fn line(&mut self, _: u32, _: bool, _: &mut Context<'_>) {}

    fn input(&mut self, _: DeviceInput<'_>, _: &mut Context<'_>) {}

    fn input_room(&self, _port: u32) -> usize {
        0
    }

    fn reset(&mut self, ctx: &mut Context<'_>) {
        self.state = I8254PitState::default();
        ctx.set_line(self.irq, false);
        ctx.disarm(0);
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
