//! What translation costs: counts, and time by a stopwatch that the host lends. The guest can see none of it.

use std::fmt;
use std::time::Duration;

use crate::code_memory::Used;
use crate::leaves::LeaveCounts;

/// Time since some moment that stays the same; only differences count.
pub type Stopwatch = fn() -> Duration;

/// What has been translated since the beginning, code that was dropped included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JitStats {
    /// Blocks.
    pub blocks: u64,
    /// Guest instructions in them.
    pub guest_instructions: u64,
    /// Their bytes.
    pub guest_bytes: u64,
    /// Bytes of host code that runs often.
    pub hot_bytes: u64,
    /// Bytes of host code that runs rarely.
    pub cold_bytes: u64,
    /// Time spent on translation; zero without a stopwatch.
    pub translation: Duration,
    /// Jumps between blocks that were patched.
    pub links: u64,
    /// Calls into native code.
    pub entries: u64,
    /// Times that all code was dropped.
    pub flushes: u64,
    /// What native code left for, and what the interpreter executed in its place.
    pub leaves: LeaveCounts,
}

impl JitStats {
    /// Counts a block.
    pub fn add_block(&mut self, guest_instructions: u64, guest_bytes: u64, host: Used, time: Duration) {
        self.blocks += 1;
        self.guest_instructions += guest_instructions;
        self.guest_bytes += guest_bytes;
        self.hot_bytes += host.hot as u64;
        self.cold_bytes += host.cold as u64;
        self.translation += time;
    }

    /// Host bytes for each guest byte, hot and cold.
    pub fn expansion(&self) -> (f64, f64) {
        (ratio(self.hot_bytes, self.guest_bytes), ratio(self.cold_bytes, self.guest_bytes))
    }

    /// Nanoseconds of translation for each guest instruction.
    pub fn nanoseconds_per_instruction(&self) -> f64 {
        ratio(self.translation.as_nanos() as u64, self.guest_instructions)
    }
}

/// Zero of nothing.
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

impl fmt::Display for JitStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hot, cold) = self.expansion();
        let length = ratio(self.guest_instructions, self.blocks);
        writeln!(f, "blocks              {:>12}  of {length:.1} instructions", self.blocks)?;
        writeln!(f, "guest instructions  {:>12}  in {} bytes", self.guest_instructions, self.guest_bytes)?;
        writeln!(f, "hot host code       {:>12}  bytes, {hot:.2} times the guest's", self.hot_bytes)?;
        writeln!(f, "cold host code      {:>12}  bytes, {cold:.2} times the guest's", self.cold_bytes)?;
        if !self.translation.is_zero() {
            let (total, each) = (self.translation, self.nanoseconds_per_instruction());
            writeln!(f, "translation time    {:>12}  ms, {each:.0} ns an instruction", total.as_millis())?;
        }
        writeln!(f, "linked jumps        {:>12}", self.links)?;
        writeln!(f, "native entries      {:>12}", self.entries)?;
        write!(f, "code flushes        {:>12}", self.flushes)?;
        write!(f, "{}", self.leaves)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_add_up() {
        let mut stats = JitStats::default();
        stats.add_block(5, 20, Used { hot: 100, cold: 40 }, Duration::from_nanos(1000));
        stats.add_block(3, 12, Used { hot: 60, cold: 24 }, Duration::from_nanos(2000));
        assert_eq!(stats.expansion(), (5.0, 2.0));
        assert_eq!(stats.nanoseconds_per_instruction(), 375.0);
        let text = stats.to_string();
        assert!(text.contains("blocks                         2  of 4.0 instructions\n"), "{text}");
        assert!(text.contains("hot host code                160  bytes, 5.00 times the guest's\n"), "{text}");
        assert!(text.contains("0  ms, 375 ns an instruction\n"), "{text}");
    }

    #[test]
    fn nothing_is_divided_by_nothing_and_no_time_is_told_that_was_not_taken() {
        let text = JitStats::default().to_string();
        assert!(!text.contains("NaN") && !text.contains("translation time"), "{text}");
    }
}
