//! What translation costs: counts, and time by a stopwatch that the host lends. The guest can see none of it.

use std::fmt;
use std::time::Duration;

use crate::code_memory::Used;

/// Time since some moment that stays the same; only differences count.
pub type Stopwatch = fn() -> Duration;

/// What native code leaves for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The budget does not cover a block.
    Budget,
    /// An instruction is the interpreter's.
    Interpreted,
    /// A translation of an address is not cached, or the access needs care.
    Miss,
    /// Flags are to be made from operands.
    Flags,
    /// A jump within a page is not linked yet.
    Link,
    /// The target of another jump is not in the jump cache.
    Jump,
}

impl Reason {
    /// What people call them, by number.
    const NAMES: [&str; 6] = ["budget", "interpreted", "access", "flags", "link", "jump"];
}

/// What has been translated since the beginning, code that was dropped included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
    /// Returns from native code, by reason.
    pub leaves: [u64; Reason::NAMES.len()],
    /// Times that all code was dropped.
    pub flushes: u64,
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

    /// Counts a return from native code.
    #[inline]
    pub fn add_leave(&mut self, reason: Reason) {
        self.leaves[reason as usize] += 1;
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
        writeln!(f, "native entries      {:>12}", self.leaves.iter().sum::<u64>())?;
        for (name, count) in Reason::NAMES.iter().zip(self.leaves) {
            writeln!(f, "  left: {name:<12}{count:>12}")?;
        }
        write!(f, "code flushes        {:>12}", self.flushes)
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
        stats.add_leave(Reason::Jump);
        stats.add_leave(Reason::Jump);
        stats.add_leave(Reason::Budget);
        let text = stats.to_string();
        assert!(text.contains("native entries                 3\n  left: budget                 1\n"), "{text}");
        assert!(text.contains("  left: jump                   2\n"), "{text}");
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
