//! Virtual time: the tick, and the exact-ratio clocks derived from it.
//!
//! The tick is the one position in a run: 1 tick is 1 ns of guest time. Every other clock of the PC (TSC, HPET, PIT,
//! local APIC, ACPI PM timer, RTC) is a [`Clock`]: an integer ratio of the tick, computed from the absolute tick and
//! never accumulated, so that no rounding error depends on when or how often a guest looks.

/// A position in a run, in ticks since power-on.
pub type Tick = u64;

/// Ticks in one second of guest time.
pub const TICKS_PER_SECOND: u64 = 1_000_000_000;

/// A free-running clock whose count is an exact integer ratio of the tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Frequency in hertz.
    hz: u64,
}

impl Clock {
    /// A clock of `hz` counts a second of guest time; at least 1.
    pub const fn new(hz: u64) -> Self {
        assert!(hz > 0, "a clock that stands still is not a clock");
        Self { hz }
    }

    /// Frequency in hertz.
    pub const fn hz(self) -> u64 {
        self.hz
    }

    /// Whole counts that have passed at `tick`, modulo 2^64.
    pub const fn count(self, tick: Tick) -> u64 {
        if self.hz == TICKS_PER_SECOND {
            return tick;
        }
        (tick as u128 * self.hz as u128 / TICKS_PER_SECOND as u128) as u64
    }

    /// The first tick at which [`count`](Self::count) is at least `count`; saturates at the end of time.
    pub const fn tick_of(self, count: u64) -> Tick {
        if self.hz == TICKS_PER_SECOND {
            return count;
        }
        let tick = (count as u128 * TICKS_PER_SECOND as u128).div_ceil(self.hz as u128);
        if tick > u64::MAX as u128 { u64::MAX } else { tick as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tick_of_is_the_first_tick_of_a_count() {
        for hz in [1, 32_768, 1_193_182, 3_579_545, 10_000_000, TICKS_PER_SECOND] {
            let clock = Clock::new(hz);
            for count in [1, 2, 3, 17, 1000, 1 << 30] {
                let tick = clock.tick_of(count);
                assert_eq!(clock.count(tick), count, "{hz} Hz");
                assert_eq!(clock.count(tick - 1), count - 1, "{hz} Hz");
            }
        }
    }

    #[test]
    fn the_end_of_time_saturates() {
        assert_eq!(Clock::new(1).tick_of(u64::MAX), u64::MAX);
    }
}
